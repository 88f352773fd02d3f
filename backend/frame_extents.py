"""How long a function without a symbol is, by the unwind table that even stripped files keep.

Lives here: `.eh_frame_hdr` (a sorted table of function starts) -> `.eh_frame` entry -> length. Not here:
functions that have symbols. The length goes to backend/process_symbols.py. Source: Linux Standard Base,
"Exception Frames"; only the encodings that linkers write are understood.
"""

import struct
from collections.abc import Set
from contextlib import suppress

from backend.errors import MalformedElf
from backend.symbols_elf import ElfFile

_HEADER = struct.Struct("<BBBBiI")
_ROW = struct.Struct("<ii")
_ENTRY = struct.Struct("<IIiI")
# version 1; .eh_frame's address relative to its place, four bytes; the count, four bytes; rows relative to
# the section, four bytes each.
_USUAL = (1, 0x1B, 0x03, 0x3B)


def frame_extents(file: ElfFile, addresses: Set[int]) -> dict[int, int]:
    """Return the sizes in bytes of the functions that start at these virtual addresses.

    One is missing where the file doesn't say: no table, no entry for it, or one that is not made as usual.
    """
    section = file.section(".eh_frame_hdr")
    if section is None or not addresses:
        return {}
    lengths: dict[int, int] = {}
    with suppress(MalformedElf):
        data = file.section_bytes(section)
        if len(data) < _HEADER.size or _HEADER.unpack_from(data)[:4] != _USUAL:
            return {}
        count = min(_HEADER.unpack_from(data)[5], (len(data) - _HEADER.size) // _ROW.size)
        for start, entry in _ROW.iter_unpack(data[_HEADER.size : _HEADER.size + count * _ROW.size]):
            if section.address + start in addresses:
                length = _length(file, section.address + entry, section.address + start)
                if length:
                    lengths[section.address + start] = length
    return lengths


def _length(file: ElfFile, entry_address: int, address: int) -> int:
    """Return the length that the frame description entry at `entry_address` gives; 0 if unusually made.

    Four words: size of the entry, way to its common part, start, length. The start, relative to its own
    place, has to be `address`: in any other encoding it would not be.
    """
    offset = file.file_offset(entry_address)
    if offset is None:
        return 0
    _, _, start, length = _ENTRY.unpack(file.image.read(offset, _ENTRY.size))
    return int(length) if entry_address + 8 + start == address else 0
