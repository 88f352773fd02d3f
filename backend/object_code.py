"""The code of one object as the sweeps need it: its ranges, its constant data, the parts of its functions.

Lives here: reading an object's file by its own addresses; which ranges of code are functions, and which a
compiler has split off one. Functions decoded whole come from here (`whole`), by scratch/flow.py; what may
enter code from elsewhere is entered.py's. Addresses are the file's: less the load bias.
"""

import struct
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import cached_property
from heapq import merge
from itertools import groupby
from typing import Final

from backend.errors import MalformedElf
from backend.frames import Frames, landing_pads, read_frames
from backend.function_table import FunctionTable
from backend.sweeper import sweep
from backend.symbols_elf import ElfFile, Section, SectionType
from scratch.flow import Function, NotWhole, whole
from scratch.jump_tables import named_table
from scratch.sweep import Flow, Swept

_RELOCATION: Final = struct.Struct("<QQq")
_INDIRECT: Final = frozenset((Flow.INDIRECT_JMP,))
_RELATIVE, _INDIRECT_RELATIVE = 8, 37
_SPLIT_OFF: Final = ".cold"
_LINKAGE: Final = ".plt"
_NO_FRAMES: Final = Frames(array("Q"), array("Q"), array("Q"), b"")


class ObjectCode:
    """One object's code. What is read of the file is kept; `file` has to stay open as long as this is used.

    `symbols` are its functions', whatever else is known of them. Raises MalformedElf, here and later.
    """

    def __init__(self, file: ElfFile, symbols: FunctionTable) -> None:
        self.file = file
        self.text = symbols.text
        self._symbols = symbols

    @cached_property
    def frames(self) -> Frames:
        """What the unwind table describes; nothing where it is malformed."""
        try:
            return read_frames(self.file)
        except MalformedElf:
            return _NO_FRAMES

    @cached_property
    def landing_pads(self) -> frozenset[int]:
        """Where exceptions land; nowhere if the tables are malformed."""
        try:
            return frozenset(landing_pads(self.frames, self.file))
        except MalformedElf:
            return frozenset()

    @cached_property
    def beginnings(self) -> Sequence[int]:
        """Where functions and parts of functions begin, as symbols and the unwind table say, ascending."""
        both = merge(self._symbols.addresses, self.frames.starts)
        return array("Q", (address for address, _ in groupby(both)))

    @cached_property
    def pointers(self) -> dict[int, int]:
        """The words of the data that the loader makes pointers into the object: address and content."""
        found: dict[int, int] = {}
        for section in self.file.sections:
            if section.type == SectionType.RELA and section.allocated:
                data = self.file.section_bytes(section)
                rows = _RELOCATION.iter_unpack(data[: len(data) // _RELOCATION.size * _RELOCATION.size])
                found |= {at: addend for at, info, addend in rows if info in (_RELATIVE, _INDIRECT_RELATIVE)}
        return found

    @cached_property
    def tables(self) -> Sequence[int]:
        """Where the tables of addresses begin that indirect jumps name by themselves, ascending: such jumps has only
        code that is linked for its place.
        """
        if not self.file.fixed:
            return ()
        found: set[int] = set()
        for start, end in self.text:
            swept = self.sweep(start, end)
            # There may be a million jumps, and few different ones.
            named = map(named_table, set(map(swept.bytes_at, swept.of(_INDIRECT))))
            found.update(table for table in named if table is not None)
        return array("q", sorted(found))

    def read(self, address: int, size: int) -> bytes:
        """Return up to `size` bytes of the object, pointers as they will be but for the load bias."""
        section = self._section(address)
        if section is None:
            return b""
        left = section.address + section.size_bytes - address
        found = self.file.image.read(section.offset + address - section.address, min(size, left))
        if section.executable or not self.pointers:
            return found
        changed = None
        for place in range(address + -address % 8, address + len(found) - 7, 8):
            pointer = self.pointers.get(place)
            if pointer is not None:
                changed = changed or bytearray(found)
                changed[place - address : place - address + 8] = pointer.to_bytes(8, "little", signed=True)
        return found if changed is None else bytes(changed)

    def sweep(self, start: int, end: int) -> Swept:
        """Decode a range of code, as far as it is in one section; functions in it begin where they are known to."""
        beginnings = self.beginnings
        known = beginnings[bisect_right(beginnings, start) : bisect_left(beginnings, end)]
        section = self._section(start)
        code = self.read(start, end - start) if section is not None and section.executable else b""
        return sweep(code, start, known)

    def near(self, address: int, distance: int) -> Swept:
        """Decode the code up to so many bytes on either side of an address, and before that back to where a function
        begins.
        """
        index = bisect_right(self.text, (address, 1 << 64)) - 1
        if index < 0:
            return Swept(address, b"", b"")
        start, end = self.text[index]
        return self.sweep(self.extent(max(start, address - distance))[0], min(end, address + distance))

    def extent(self, address: int) -> tuple[int, int]:
        """Return the range that the function or part around an address has, up to the next one or the section's end.

        Padding at its end is part of it. Empty outside of code.
        """
        index = bisect_right(self.text, (address, 1 << 64)) - 1
        if index < 0 or address >= self.text[index][1]:
            return address, address
        start, end = self.text[index]
        beginnings = self.beginnings
        place = bisect_right(beginnings, address)
        if place:
            start = max(start, beginnings[place - 1])
        if place < len(beginnings):
            end = min(end, beginnings[place])
        return start, end

    def split_off(self, address: int) -> tuple[Swept, bool] | None:
        """Return the part of a function around an address, and whether it certainly is one: see flow.SplitOff."""
        number = self.frames.index(address)
        if number is None:
            return None
        start, end = self.frames.starts[number], self.frames.ends[number]
        certain = self.is_part(start)
        if not certain and self._symbols.place(start) is not None:
            return None
        section = self._section(address)
        if section is None or section.name.startswith(_LINKAGE):
            return None
        return self.sweep(start, end), certain

    def is_part(self, start: int) -> bool:
        """Say whether what begins at an address certainly is a part that was split off a function."""
        place = self._symbols.place(start)
        if place is not None and _SPLIT_OFF in self._symbols.name(place):
            return True
        number = self.frames.index(start)
        if number is None or not self.frames.framed[number]:
            return False
        section = self._section(start)
        # The linker's tables are described as a whole, by an expression.
        return section is not None and not section.name.startswith(_LINKAGE)

    def around(self, address: int) -> tuple[int, int]:
        """Return the range that the unwind table gives the code around an address, or `extent` if there is none."""
        number = self.frames.index(address)
        return (
            self.extent(address) if number is None else (self.frames.starts[number], self.frames.ends[number])
        )

    def whole(self, function: Swept) -> Function | NotWhole:
        """Return the function whose range was swept, with all its parts decoded."""
        return whole([function], self.read, self.landing_pads, self.split_off, self.tables)

    def _section(self, address: int) -> Section | None:
        place = bisect_right(self._sections, address, key=lambda section: section.address) - 1
        if place >= 0 and address < self._sections[place].address + self._sections[place].size_bytes:
            return self._sections[place]
        return None

    @cached_property
    def _sections(self) -> tuple[Section, ...]:
        """Return the sections that the file has bytes of, ascending."""
        mapped = (section for section in self.file.sections if section.allocated and section.has_bytes)
        return tuple(sorted(mapped, key=lambda section: section.address))
