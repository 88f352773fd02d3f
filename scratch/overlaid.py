"""A jump that another tool's uprobe comes to lie over, and how it is made so that the program survives that.

A uprobe is one byte to the kernel. It writes an int3 over the first one of the jump; at a hit it executes the
instruction that the file has there, of L bytes, and goes on behind that: where L is less than five, in the middle of
the jump's distance. When it is taken away the kernel writes back the first byte that the file has, and the distance
stays behind that. (kernel/events/uprobes.c: `uprobe_write_opcode`, `set_orig_insn`.)

Where the trampoline is chosen so that some bytes of the distance have certain values, neither is the end:

- The byte behind the first instruction is an int3: a thread that has executed the first instruction traps there.
- The other bytes of a first instruction of two bytes are its own, so that it is whole when its first byte is.
- A longer one that begins with a prefix (REX, say) has an int3 behind that: a prefix and an int3 are an int3. A thread
  traps there which has executed nothing.

What a trap of these is answered with is up to others; here is which bytes, and what a trap means.
"""

from dataclasses import dataclass
from typing import Final

from scratch.windows import JUMP_SIZE, Way, Window

_INT3: Final = 0xCC
_JUMP: Final = 0xE9
_PREFIXES: Final = frozenset((*range(0x40, 0x50), 0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x66, 0xF2, 0xF3))
"""Bytes that, before an int3, leave it one: not `lock`, nor what begins a VEX or EVEX prefix."""


@dataclass(frozen=True, slots=True)
class Pins:
    """Bits of a jump's 32-bit distance, those of `mask`, that have to be those of `value`."""

    mask: int
    value: int


@dataclass(frozen=True, slots=True)
class First:
    """The instruction that a jump lies over, or begins to: its size, and whether control leads on behind it."""

    size: int
    leads_on: bool


def pins(window: Window, first: First) -> Pins | None:
    """Return what the distance of a window's jump should have; None if any is as good, or none any good."""
    if window.way is not Way.NEAR or window.text[0] == _JUMP:
        return None
    fixed: dict[int, int] = {}
    if first.leads_on and first.size < JUMP_SIZE:
        fixed[first.size - 1] = _INT3
    if first.size == 2:
        fixed[0] = window.text[1]
    elif first.size > 2 and window.text[0] in _PREFIXES:
        fixed[0] = _INT3
    if not fixed:
        return None
    return Pins(sum(0xFF << 8 * at for at in fixed), sum(byte << 8 * at for at, byte in fixed.items()))


@dataclass(frozen=True, slots=True)
class Traps:
    """Addresses of the int3s in a jump, 0 where there is none: behind the first instruction, which has been executed
    then, and behind its prefix, when it has not begun.
    """

    behind: int
    before: int


def traps(start: int, original: bytes, written: bytes, first: First) -> Traps:
    """Return where a jump at `start` has int3s, `written` over `original`, whatever they were made for."""
    size = first.size
    behind = first.leads_on and size < len(written) and written[size] == _INT3
    before = size > 2 and original[0] in _PREFIXES and written[1] == _INT3
    return Traps(start + size if behind else 0, start + 1 if before else 0)


def survives(original: bytes, written: bytes, first: First) -> bool:
    """Tell whether a thread may meet a jump, `written` over `original`, at any time after another tool's uprobe has
    come there, or has gone.
    """
    size = first.size
    if first.leads_on and size < len(written) and written[size] != _INT3:
        return False
    if written[0] == original[0] or size == 1:
        return True
    return written[1] == (original[1] if size == 2 else _INT3) and (size == 2 or original[0] in _PREFIXES)
