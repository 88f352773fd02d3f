"""The code of many trampolines, put together from parts that were made before: some microseconds each.

Functions begin alike, and what comes before and behind their first instructions is the same for all but for a few
words. What a trampoline is, and how its code is found out where nothing is known of it, is trampoline.py's.
"""

import struct
from dataclasses import dataclass
from typing import Final, assert_never

from scratch.displaced import SLOT_SIZE, OutOfLine, Way, leads_on, plan
from scratch.instruction import Instruction, Kind, decode
from scratch.overlaid import First
from scratch.templates import signed
from scratch.trampoline import (
    REACH,
    ClauseCall,
    InlineCount,
    Outline,
    UnitCall,
    build,
    outline,
    site_words,
)
from scratch.windows import Window

_HOME: Final = 1 << 32
"""An address like any other: what is found out there holds everywhere."""
_JUMP: Final = b"\xe9"
_JUMP_SIZE: Final = 5
_UNCHANGED: Final = frozenset((Kind.COMMON, Kind.RET))
_INT: Final = struct.Struct("<i")
_WORD: Final = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class _Displaced:
    """The code that executes some instructions elsewhere; None where that is to be found out for each site.

    At the offsets in `relatives` are 32-bit distances: their values, for instructions that were just behind each
    other's copies. `ends`: how far the lowest and the highest address that they name, and their end, are from the
    site. `comes_back`: a jump home follows. `first`: the first of them.
    """

    code: bytes | None
    relatives: tuple[tuple[int, int], ...]
    ends: tuple[int, int]
    comes_back: bool
    first: First


_NOTHING: Final = _Displaced(b"", (), (0, 0), comes_back=True, first=First(0, leads_on=True))


class Trampolines:
    """Makes code as `build` does, and remembers what repeats itself."""

    def __init__(self) -> None:
        self._displaced: dict[bytes, _Displaced] = {}
        self._outlines: dict[tuple[object, int], Outline] = {}

    def reach(self, window: Window) -> tuple[int, int]:
        """Return where the trampoline may be: [low, high), for its jump and for what it displaces."""
        low, high = window.reach
        site, lead = window.site, window.lead
        first, last = self._from_site(window).ends
        if lead:
            ends = self._leading(window).ends
            first, last = min(first, ends[0] - lead), max(last, ends[1] - lead)
        return max(low, 0, site + last - REACH), min(high, site + first + REACH)

    def size(self, window: Window, call: ClauseCall) -> int:
        """Return the code's size in bytes; a bound of it where only making it tells."""
        leading, displaced = self._leading(window), self._from_site(window)
        if leading.code is None or displaced.code is None:
            most = SLOT_SIZE * len(window.leading + window.instructions) + _JUMP_SIZE
            return most + len(self._outline(call, _NOTHING).code)
        return len(leading.code) + len(self._outline(call, displaced).code)

    def code(self, window: Window, at: int, call: ClauseCall) -> tuple[bytearray, int]:
        """Return the code of a window's trampoline at an address within reach, and the offset where it goes on behind
        the window's first instruction.
        """
        leading, displaced = self._leading(window), self._from_site(window)
        if leading.code is None or displaced.code is None:
            built = build(window.instructions, at, call, window.leading)
            return bytearray(built.code), built.behind_first
        lead = len(leading.code)
        parts = self._outline(call, displaced)
        made = bytearray(leading.code)
        made += parts.code
        for field, word in zip(parts.fields, site_words(call, window.site), strict=True):
            _WORD.pack_into(made, lead + field, word)
        _place(leading, made, 0, window.start, at)
        start = lead + parts.displaced
        end = start + len(displaced.code)
        made[start:end] = displaced.code
        _place(displaced, made, start, window.site, at)
        if displaced.comes_back:
            made[end : end + 1] = _JUMP
            _INT.pack_into(made, end + 1, window.resume - (at + end + _JUMP_SIZE))
        return made, (0 if lead else start) + self.first(window).size

    def first(self, window: Window) -> First:
        """Return the instruction at a window's start."""
        return (self._leading(window) if window.lead else self._from_site(window)).first

    def locks(self, window: Window, call: ClauseCall) -> tuple[int, ...]:
        """Return the offsets of lock prefixes in the code."""
        leading, displaced = self._leading(window), self._from_site(window)
        if leading.code is None or displaced.code is None:
            return build(window.instructions, window.site, call, window.leading).locks
        lead = len(leading.code)
        return tuple(lead + lock for lock in self._outline(call, displaced).locks)

    def _outline(self, call: ClauseCall, displaced: _Displaced) -> Outline:
        assert displaced.code is not None
        between = len(displaced.code) + (_JUMP_SIZE if displaced.comes_back else 0)
        key = _alike(call), between
        if key not in self._outlines:
            self._outlines[key] = outline(call, between)
        return self._outlines[key]

    def _leading(self, window: Window) -> _Displaced:
        """Return what executes the instructions before a window's site."""
        return self._of(window.text[: window.lead]) if window.lead else _NOTHING

    def _from_site(self, window: Window) -> _Displaced:
        """Return what executes those from the site on."""
        return self._of(window.text[window.lead : window.lead + window.size])

    def _of(self, code: bytes) -> _Displaced:
        found = self._displaced.get(code)
        if found is None:
            found = self._displaced[code] = _displace(code)
        return found


def _place(displaced: _Displaced, made: bytearray, start: int, home: int, at: int) -> None:
    """Put in the distances in code from offset `start` on of what is made for an address; it was at `home`."""
    for field, distance in displaced.relatives:
        _INT.pack_into(made, start + field, home - (at + start) + distance)


def _alike(call: ClauseCall) -> object:
    """Return what is equal for calls that differ in their site alone."""
    match call:
        case InlineCount(gate, cells, shards):
            return gate, len(cells), shards
        case UnitCall(gate, units, whole):
            return gate, tuple(function for function, _ in units), whole
        case never:
            assert_never(never)


def _displace(code: bytes) -> _Displaced:
    """Find out how instructions are executed elsewhere."""
    made = bytearray()
    relatives: list[tuple[int, int]] = []
    ends = [len(code)]
    known = comes_back = True
    first: First | None = None
    at = 0
    while at < len(code):
        instruction = decode(code[at:], _HOME + at)
        assert isinstance(instruction, Instruction), code
        planned = plan(instruction)
        assert isinstance(planned, OutOfLine), planned
        if instruction.operand is not None:
            ends.append(signed(instruction.operand - _HOME))
        if instruction.kind in _UNCHANGED and planned.way is Way.UNCHANGED:
            made += instruction.code
        elif instruction.kind is Kind.RIP_RELATIVE and instruction.operand is not None:
            field = len(made) + instruction.encoding.displacement_offset
            made += instruction.code
            relatives.append((field, signed(instruction.operand - _HOME) - len(made)))
        else:
            known = False
        at += instruction.size
        comes_back = leads_on(instruction)
        first = first or First(instruction.size, leads_on=comes_back)
    assert first is not None
    return _Displaced(
        bytes(made) if known else None, tuple(relatives), (min(ends), max(ends)), comes_back, first
    )
