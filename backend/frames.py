"""The functions that an object's unwind table describes, and where exceptions land in them.

Lives here: `.eh_frame` -> Frames, without the rules for unwinding but for one fact: whether a part of code begins
with a frame, as no function does and what a compiler has split off one may. And `.gcc_except_table` -> landing
pads. Hands both to object_code.py. Nothing in a file is trusted: entries that make no sense are passed over.
Sources: Linux Standard Base, "Exception Frames"; Itanium C++ ABI, "Exception Handling Tables".
"""

import struct
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from backend.errors import MalformedElf
from backend.leb128 import unsigned
from backend.symbols_elf import ElfFile

Read = Callable[[int, int], bytes]


@dataclass(frozen=True, slots=True)
class Frames:
    """Ranges of code by address, ascending: `[starts[n], ends[n])`.

    `handlers`: the address of what `.gcc_except_table` has for it, 0 for none. `framed`: 1 where the range is
    entered with a frame, so that it is a part of some function and none itself.
    """

    starts: "array[int]"
    ends: "array[int]"
    handlers: "array[int]"
    framed: bytes

    def __len__(self) -> int:
        return len(self.starts)

    def index(self, address: int) -> int | None:
        """Return the number of the range that holds an address."""
        place = bisect_right(self.starts, address) - 1
        return place if place >= 0 and address < self.ends[place] else None


_OMITTED: Final = 0xFF
_PC_RELATIVE: Final = 0x10
_INDIRECT: Final = 0x80
_FORMATS: Final = {
    0x00: "<Q", 0x02: "<H", 0x03: "<I", 0x04: "<Q", 0x0A: "<h", 0x0B: "<i", 0x0C: "<q",
}  # fmt: skip
_RSP: Final = 7
_AT_ENTRY: Final = (_RSP, 8)


@dataclass(frozen=True, slots=True)
class _Common:
    """What the entries that share a common information entry are made of. Encodings as in the LSB."""

    addresses: int
    handlers: int
    has_data: bool
    signal: bool
    frame: tuple[int, int] | None


def read_frames(file: ElfFile) -> Frames:
    """Return the ranges that `.eh_frame` describes; none where the file has none. Raises MalformedElf."""
    section = file.section(".eh_frame")
    rows = [] if section is None else sorted(_rows(file.section_bytes(section), section.address))
    return Frames(
        array("Q", (row[0] for row in rows)),
        array("Q", (row[1] for row in rows)),
        array("Q", (row[2] for row in rows)),
        bytes(row[3] for row in rows),
    )


def _rows(data: bytes, base: int) -> Iterator[tuple[int, int, int, bool]]:
    """Yield start, end, handlers and framed of each entry."""
    commons: dict[int, _Common | None] = {}
    at = 0
    while at + 8 <= len(data):
        length, way = struct.unpack_from("<II", data, at)
        end = at + 4 + length
        if length == 0 or length == 0xFFFFFFFF or end > len(data):
            return
        if way:
            common_at = at + 4 - way
            if common_at not in commons:
                commons[common_at] = None
                with suppress(struct.error, IndexError):
                    commons[common_at] = _common(data, common_at)
            common = commons[common_at]
            if common is not None:
                with suppress(struct.error, IndexError):
                    row = _row(data, base, at + 8, end, common)
                    if row[0] < row[1]:
                        yield row
        at = end


def _common(data: bytes, at: int) -> _Common | None:
    """Return what the common information entry at an offset says; None if it is made in a way not known."""
    length, way, version = struct.unpack_from("<IIB", data, at)
    end = at + 4 + length
    if way or version != 1 or end > len(data):
        return None
    letters_end = data.index(0, at + 9, end)
    letters = data[at + 9 : letters_end].decode("ascii", "replace")
    _, at = unsigned(data, letters_end + 1)
    _, at = unsigned(data, at)
    at += 1  # the column of the return address
    addresses, handlers = 0, _OMITTED
    if letters.startswith("z"):
        _, at = unsigned(data, at)
        for letter in letters[1:]:
            match letter:
                case "R":
                    addresses, at = data[at], at + 1
                case "L":
                    handlers, at = data[at], at + 1
                case "P":
                    at += 1 + _size(data[at])
                case "S" | "B":
                    pass
                case _:
                    return None
    elif letters:
        return None
    if addresses & 0x0F not in _FORMATS:
        return None
    frame = _frame(data, at, end, None)
    return _Common(addresses, handlers, letters.startswith("z"), "S" in letters, frame)


def _row(data: bytes, base: int, at: int, end: int, common: _Common) -> tuple[int, int, int, bool]:
    shape = _FORMATS[common.addresses & 0x0F]
    size = struct.calcsize(shape)
    (start,) = struct.unpack_from(shape, data, at)
    if common.addresses & 0x70 == _PC_RELATIVE:
        start += base + at
    length = int.from_bytes(data[at + size : at + 2 * size], "little")
    at += 2 * size
    handlers = 0
    if common.has_data:
        count, at = unsigned(data, at)
        if count and common.handlers != _OMITTED and not common.handlers & _INDIRECT:
            (handlers,) = struct.unpack_from(_FORMATS[common.handlers & 0x0F], data, at)
            if handlers and common.handlers & 0x70 == _PC_RELATIVE:
                handlers += base + at
        at += count
    # What handlers of signals return to is entered with a frame too.
    framed = not common.signal and _frame(data, at, end, common.frame) != _AT_ENTRY
    return start, start + length, handlers, framed


def _frame(data: bytes, at: int, end: int, known: tuple[int, int] | None) -> tuple[int, int] | None:
    """Return where the frame is at the first instruction: register and distance; None if not so simple."""
    found = known
    while at < end:
        operation = data[at]
        at += 1
        match operation:
            case 0x0C:
                register, at = unsigned(data, at)
                distance, at = unsigned(data, at)
                found = register, distance
            case 0x0D:
                register, at = unsigned(data, at)
                found = None if found is None else (register, found[1])
            case 0x0E:
                distance, at = unsigned(data, at)
                found = None if found is None else (found[0], distance)
            case 0x0F:
                return None
            case 0x00:
                pass
            case 0x07 | 0x08 | 0x2E:
                _, at = unsigned(data, at)
            case 0x05 | 0x09 | 0x11:
                _, at = unsigned(data, at)
                _, at = unsigned(data, at)
            case rule if rule & 0xC0 == 0x80:
                _, at = unsigned(data, at)
            case _:
                # An advance, most often: what follows is about later instructions.
                return found
    return found


def _size(encoding: int) -> int:
    return struct.calcsize(_FORMATS.get(encoding & 0x0F, "<Q"))


def landing_pads(frames: Frames, file: ElfFile) -> Iterator[int]:
    """Yield the addresses where exceptions land. Raises MalformedElf."""
    sections = [part for part in file.sections if part.name.startswith(".gcc_except_table")]
    for section in sections:
        data = file.section_bytes(section)
        end = section.address + len(data)
        for number, address in enumerate(frames.handlers):
            if section.address <= address < end:
                with suppress(struct.error, IndexError, KeyError):
                    yield from _pads(data, address - section.address, frames.starts[number])


def _pads(data: bytes, at: int, start: int) -> Iterator[int]:
    """Yield the landing pads of the table at an offset, of a range that begins at `start`."""
    base = start
    encoding, at = data[at], at + 1
    if encoding != _OMITTED:
        if encoding & 0x70:
            raise MalformedElf("landing pads that count from an unusual place")
        base, at = _value(data, at, encoding)
    encoding, at = data[at], at + 1
    if encoding != _OMITTED:
        _, at = unsigned(data, at)
    encoding, at = data[at], at + 1
    length, at = unsigned(data, at)
    end = at + length
    while at < end:
        _, at = _value(data, at, encoding)
        _, at = _value(data, at, encoding)
        pad, at = _value(data, at, encoding)
        _, at = unsigned(data, at)
        if pad:
            yield base + pad


def _value(data: bytes, at: int, encoding: int) -> tuple[int, int]:
    if encoding & 0x0F == 0x01:
        return unsigned(data, at)
    shape = _FORMATS[encoding & 0x0F]
    return struct.unpack_from(shape, data, at)[0], at + struct.calcsize(shape)
