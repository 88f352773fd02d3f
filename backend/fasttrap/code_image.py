"""A relocatable x86-64 object as one piece of position-independent code: for a process that has no linker to offer.

The sections that are loaded are laid out one after another, and every reference between them is relative to rip, so
that the piece runs wherever it is copied. Source of the formats: ELF-64 object file format; System V ABI, AMD64
supplement, 4.4 (relocation types).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_SECTION: Final = struct.Struct("<IIQQQQIIQQ")
_SYMBOL: Final = struct.Struct("<IBBHQQ")
_RELOCATION: Final = struct.Struct("<QQq")
_SECTIONS_AT, _SECTION_COUNT_AT = 0x28, 0x3C
_SYMTAB, _NOBITS, _RELA = 2, 8, 4
_ALLOCATED: Final = 2
_UNWINDING: Final = 0x70000001
"""SHT_X86_64_UNWIND: nobody unwinds through this code."""
_PC32, _PLT32 = 2, 4
_LARGEST_ALIGNMENT: Final = 64


@dataclass(frozen=True, slots=True)
class CodeImage:
    """The code and data, to be copied to any address aligned to 64 bytes; `symbols` are offsets into it by name."""

    content: bytes
    symbols: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class _Section:
    kind: int
    flags: int
    offset: int
    size: int
    link: int
    info: int
    alignment: int


def code_image(code: bytes) -> CodeImage:
    """Return the image of an object that refers to nothing but itself, all by distances."""
    sections = _sections(code)
    content = bytearray()
    places: dict[int, int] = {}
    for number, section in enumerate(sections):
        if section.flags & _ALLOCATED and section.kind != _UNWINDING:
            assert section.alignment <= _LARGEST_ALIGNMENT, section
            content += bytes(-len(content) % max(section.alignment, 1))
            places[number] = len(content)
            is_empty = section.kind == _NOBITS
            content += (
                bytes(section.size) if is_empty else code[section.offset : section.offset + section.size]
            )
    symbols: dict[str, int] = {}
    for section in sections:
        if section.kind == _SYMTAB:
            for name, home, value in _symbols(code, sections, section):
                if home in places and name:
                    symbols[name] = places[home] + value
    for section in sections:
        if section.kind == _RELA and section.info in places:
            _relocate(content, places, code, sections, section)
    return CodeImage(bytes(content), symbols)


def _sections(code: bytes) -> list[_Section]:
    (start,) = struct.unpack_from("<Q", code, _SECTIONS_AT)
    (count,) = struct.unpack_from("<H", code, _SECTION_COUNT_AT)
    found = []
    for number in range(count):
        _, kind, flags, _, offset, size, link, info, alignment, _ = _SECTION.unpack_from(
            code, start + number * _SECTION.size
        )
        found.append(_Section(kind, flags, offset, size, link, info, alignment))
    return found


def _symbols(code: bytes, sections: list[_Section], table: _Section) -> list[tuple[str, int, int]]:
    """Return name, section and value of each symbol of a table, in order."""
    names = sections[table.link]
    found = []
    for at in range(table.offset, table.offset + table.size, _SYMBOL.size):
        name, _, _, home, value, _ = _SYMBOL.unpack_from(code, at)
        start = names.offset + name
        found.append((code[start : code.index(b"\0", start)].decode("ascii"), home, value))
    return found


def _relocate(
    content: bytearray, places: Mapping[int, int], code: bytes, sections: list[_Section], table: _Section
) -> None:
    """Fill in the distances that a section's relocations ask for."""
    symbols = _symbols(code, sections, sections[table.link])
    for at in range(table.offset, table.offset + table.size, _RELOCATION.size):
        offset, information, addend = _RELOCATION.unpack_from(code, at)
        name, home, value = symbols[information >> 32]
        assert information & 0xFFFFFFFF in (_PC32, _PLT32) and home in places, (name, hex(information))
        place = places[table.info] + offset
        distance = places[home] + value + addend - place
        content[place : place + 4] = distance.to_bytes(4, "little", signed=True)
