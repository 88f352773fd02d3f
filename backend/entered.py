"""All addresses of an object that something may enter other than by going on from the instruction before.

Lives here: what direct branches lead to, what instructions and data name, jump tables, landing pads, beginnings
of functions, put together as a set for scratch/windows.py. It may hold addresses that nothing enters; none that
something enters is missing, as far as an object's code is instructions and its functions are what symbols and
the unwind table say. Where an indirect jump isn't understood, all of its function's instructions are in the set.
Return addresses are not: they follow from the calls themselves.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Final

from backend import frames, object_cache, object_code, sweep_code
from backend.object_code import ObjectCode
from backend.sweeper import Marker
from backend.symbols_elf import Section
from scratch import encoding, flow, jump_tables, sweep
from scratch.address_set import AddressSet
from scratch.flow import NotWhole
from scratch.sweep import Flow, Swept

_CHUNK: Final = 4 << 20
"""Bytes of code swept at a time."""

_WORTH_KEEPING: Final = 1 << 18
"""Bytes of code from which on the set is kept on disk."""

_LONG: Final = 8 << 20
"""Bytes of code from which on the set is looked for for seconds."""

_MAKERS: Final[tuple[ModuleType, ...]] = (frames, object_code, sweep_code, encoding, flow, jump_tables, sweep)
"""What decides it besides this module."""

_INDIRECT: Final = frozenset((Flow.INDIRECT_JMP,))


def entered(code: ObjectCode, takes_long: Callable[[], object] = lambda: None) -> AddressSet:
    """Return the addresses, as the file has them, that may be entered; of a large object from disk if known. Where it
    will take seconds to find them, `takes_long` is called before.
    """
    if not code.text:
        return AddressSet(0, b"")
    size = sum(end - start for start, end in code.text)
    if size < _WORTH_KEEPING or not code.file.build_id:
        return AddressSet(code.text[0][0], _found(code, size, takes_long))
    stamp = f"entered {code.file.build_id.hex()} {code.file.image.size_bytes}"
    makers = (__file__, *(str(maker.__file__) for maker in _MAKERS))
    return AddressSet(
        code.text[0][0], object_cache.kept(stamp, makers, lambda: _found(code, size, takes_long))
    )


def _found(code: ObjectCode, size: int, takes_long: Callable[[], object]) -> bytes:
    if size >= _LONG:
        takes_long()
    return _Finder(code).find()


class _Finder:
    """Finds the addresses of one object."""

    def __init__(self, code: ObjectCode) -> None:
        self._code = code
        self._start, self._end = code.text[0][0], code.text[-1][1]
        self._marker = Marker(self._start, self._end, absolute=code.file.fixed)

    def find(self) -> bytes:
        """Return the bits of the set, the first of which stands for the first byte of code."""
        code, mark = self._code, self._marker.mark
        mark(code.beginnings)
        mark(code.landing_pads)
        mark(code.pointers.values())
        for section in code.file.sections:
            # In constant data of code that is linked for no place, a word that looks like an address is none: the
            # loader would have to change it.
            constant = not section.writable and not code.file.fixed
            if section.allocated and section.has_bytes and not section.executable and not constant:
                mark(self._words(section))
        self._follow(self._sweep())
        return self._marker.bits.tobytes()

    def _words(self, section: Section) -> Iterator[int]:
        """Yield the aligned words of a section that may be addresses of code."""
        data = self._code.file.section_bytes(section)[-section.address % 8 :]
        words = array("Q", data[: len(data) // 8 * 8])
        return (word for word in words if self._start <= word < self._end)

    def _sweep(self) -> list[int]:
        """Mark what all code leads to or names; return the indirect jumps."""
        jumps: list[int] = []
        beginnings = self._code.beginnings
        for start, end in self._code.text:
            while start < end:
                # A chunk ends where a function begins.
                place = bisect_right(beginnings, min(start + _CHUNK, end)) - 1
                stop = beginnings[place] if place >= 0 and start + _CHUNK < end else end
                stop = end if stop <= start else stop
                known = beginnings[bisect_left(beginnings, start) : bisect_left(beginnings, stop)]
                swept = self._marker.sweep(self._code.read(start, stop - start), start, known)
                jumps += swept.of(_INDIRECT)
                start = stop
        return jumps

    def _follow(self, jumps: list[int]) -> None:
        """Mark where indirect jumps lead, each function's once."""
        code = self._code
        parts: list[tuple[int, int]] = []
        done: set[int] = set()
        for start, end in self._functions(jumps):
            if code.is_part(start):
                parts.append((start, end))
            else:
                done.update(self._decode(code.sweep(start, end)))
        for start, end in parts:
            # A part that its function's direct jumps lead to was decoded with it; else it is on its own, and
            # what its jumps do depends on what came before.
            if start not in done:
                self._marker.mark_beginnings(code.sweep(start, end))

    def _functions(self, jumps: list[int]) -> list[tuple[int, int]]:
        """Return the ranges that jumps, ascending, are in, each once, ascending."""
        found: set[tuple[int, int]] = set()
        known = 0
        for jump in jumps:
            if jump >= known:
                around = self._code.around(jump)
                found.add(around)
                # What lies in the same range and behind the same beginning has the same answer.
                known = min(around[1], self._code.extent(jump)[1])
        return sorted(found)

    def _decode(self, function: Swept) -> tuple[int, ...]:
        """Mark where the jumps of a function lead; return the parts that it turned out to have."""
        found = self._code.whole(function)
        if isinstance(found, NotWhole):
            self._marker.mark_beginnings(function)
            return ()
        self._marker.mark(found.targets)
        return found.parts
