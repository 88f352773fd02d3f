"""The instructions of a function: where they begin, and where they leave it.

Lives here: what scratch/ finds in the function's bytes, for one function of a process. Not here: which of them get
probes (function_probes.py, which takes the result).
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass

from backend.sites import PlacedFunction
from scratch.instruction import Instruction, Kind, sweep


@dataclass(frozen=True, slots=True)
class Decoded:
    """Offsets in bytes from the function's start, ascending.

    `starts` are of instructions, as far as they are certain. `exits` are of those that leave the function: every
    return, and jumps to elsewhere. `unknown` says why there may be more of either; None where there are not.
    """

    starts: array[int]
    exits: array[int]
    unknown: str | None


def decode(function: PlacedFunction) -> Decoded:
    """Return what is known of a function's instructions."""
    code = function.code(0, function.size)
    starts, exits = array("i"), array("i")
    for offset, instruction in sweep(code, function.address):
        if not isinstance(instruction, Instruction):
            return Decoded(array("i"), array("i"), f"{instruction.reason} at offset {offset:x}")
        starts.append(offset)
        match instruction.kind:
            case Kind.RET:
                exits.append(offset)
            case Kind.JMP | Kind.JCC if not 0 <= (instruction.target or 0) - function.address < len(code):
                exits.append(offset)
            case Kind.INDIRECT_JMP:
                return Decoded(starts, exits, f"an indirect jump at offset {offset:x}")
    return Decoded(starts, exits, None)
