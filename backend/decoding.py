"""The instructions of a function in a process: where they begin, and where they leave it.

Lives here: the answers of object_code.py, which knows an object by its file's addresses, as offsets in one function.
Not here: which of them get probes (function_probes.py, which takes the result).
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass

from backend.errors import MalformedElf
from backend.objects import LoadedObject
from backend.process_symbols import Symbols
from backend.site_table import CODE_BYTES, branch_condition
from backend.sites import PlacedFunction
from backend.sweeper import sweep
from scratch.flow import ExitKind, Function, NotWhole, whole


@dataclass(frozen=True, slots=True)
class Decoded:
    """Offsets in bytes from the function's start.

    `starts` are of instructions, ascending. `exits` are of those that leave the function: every return, and jumps to
    elsewhere; `branches` of those that may: conditional jumps to elsewhere. Exits may lie in parts of the function
    that the compiler has put elsewhere: before the function, too. `unknown` says why there is nothing in any of them,
    `no_exits` why nothing is in the latter two.
    """

    starts: array[int]
    exits: array[int]
    branches: array[int]
    unknown: str | None = None
    no_exits: str | None = None


def decode(function: PlacedFunction, symbols: Symbols) -> Decoded:
    """Return what is known of a function's instructions."""
    start = function.address - function.object.bias
    if function.object.is_made:
        found = whole([sweep(function.code(0, function.size), start)], symbols.read_memory)
    else:
        found = _of_object(symbols, function.object, start, start + function.size)
    nothing = array("i")
    if isinstance(found, NotWhole):
        reason = f"{found.reason} at offset {found.address - start:x}"
        return Decoded(nothing, nothing, nothing, reason, reason)
    starts = array("i", (place - start for place in found.starts if 0 <= place - start < function.size))
    if found.falls_off:
        return Decoded(starts, nothing, nothing, None, "its last instruction goes on into another function")
    exits = [exit_.address - start for exit_ in found.exits if exit_.kind is not ExitKind.BRANCH]
    branches = [exit_.address - start for exit_ in found.exits if exit_.kind is ExitKind.BRANCH]
    for branch in branches:
        if branch_condition(function.code(branch, CODE_BYTES)) is None:
            reason = f"it is left by an instruction that looks at rcx at offset {branch:x}"
            return Decoded(starts, nothing, nothing, None, reason)
    return Decoded(starts, array("i", exits), array("i", branches))


def _of_object(symbols: Symbols, loaded: LoadedObject, start: int, end: int) -> Function | NotWhole:
    """Return the function of an object at these addresses of its file."""
    try:
        code = symbols.code(loaded)
        return (
            NotWhole("its file can't be read", start) if code is None else code.whole(code.sweep(start, end))
        )
    except MalformedElf as error:
        return NotWhole(error.reason, start)
