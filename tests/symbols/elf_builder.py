"""ELF files made in code: a header, one executable segment, and the sections a test asks for."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

TEXT_ADDRESS = 0x1000
TEXT_OFFSET = 0x1000
TEXT_BYTES = 0x1000
LOCAL, GLOBAL, WEAK = 0, 1, 2
FUNC, OBJECT, IFUNC = 2, 1, 10
UNDEFINED, TEXT_INDEX, ABSOLUTE = 0, 1, 0xFFF1
_NULL, _PROGBITS, _SYMTAB, _STRTAB, _VERSYM = 0, 1, 2, 3, 0x6FFFFFFF


@dataclass(frozen=True, slots=True)
class Symbol:
    """One row of `.symtab`; `old_version` marks it in `.gnu.version` as not of the default version."""

    name: bytes
    address: int
    size: int = 4
    binding: int = GLOBAL
    kind: int = FUNC
    section: int = TEXT_INDEX
    old_version: bool = False


@dataclass(frozen=True, slots=True)
class RawSection:
    name: bytes
    type: int
    flags: int
    address: int
    content: bytes
    link: int = 0


def elf_with_symbols(symbols: Sequence[Symbol], *, sections: Sequence[RawSection] = ()) -> bytes:
    """Return a file whose `.text` is at TEXT_ADDRESS and whose `.symtab` has these symbols."""
    strings = b"\0"
    table = bytes(24)
    versions = struct.pack("<H", 0)
    for symbol in symbols:
        table += struct.pack(
            "<IBBHQQ",
            len(strings),
            symbol.binding << 4 | symbol.kind,
            0,
            symbol.section,
            symbol.address,
            symbol.size,
        )
        strings += symbol.name + b"\0"
        versions += struct.pack("<H", 0x8002 if symbol.old_version else 2)
    return elf_with_sections(
        [
            RawSection(b".symtab", _SYMTAB, 0, 0, table, link=3),
            RawSection(b".strtab", _STRTAB, 0, 0, strings),
            RawSection(b".gnu.version", _VERSYM, 2, 0, versions, link=2),
            *sections,
        ]
    )


def elf_with_sections(sections: Sequence[RawSection]) -> bytes:
    """Return a file with `.text` (section 1) and the given sections, numbered from 2."""
    text = RawSection(b".text", _PROGBITS, 6, TEXT_ADDRESS, bytes(range(256)) * (TEXT_BYTES // 256))
    listed = [RawSection(b"", _NULL, 0, 0, b""), text, *sections]
    names = b""
    name_offsets = []
    for section in [*listed, RawSection(b".shstrtab", _STRTAB, 0, 0, b"")]:
        name_offsets.append(len(names))
        names += section.name + b"\0"
    listed.append(RawSection(b".shstrtab", _STRTAB, 0, 0, names))
    body = b""
    headers = b""
    for section, name_offset in zip(listed, name_offsets, strict=True):
        offset = TEXT_OFFSET + len(body)
        body += section.content
        headers += struct.pack(
            "<IIQQQQIIQQ",
            name_offset,
            section.type,
            section.flags,
            section.address,
            offset,
            len(section.content),
            section.link,
            0,
            1,
            0,
        )
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\x02\x01\x01",
        3,
        62,
        1,
        TEXT_ADDRESS,
        64,
        TEXT_OFFSET + len(body),
        0,
        64,
        56,
        1,
        64,
        len(listed),
        len(listed) - 1,
    )
    segment = struct.pack(
        "<IIQQQQQQ", 1, 5, TEXT_OFFSET, TEXT_ADDRESS, TEXT_ADDRESS, TEXT_BYTES, TEXT_BYTES, 0x1000
    )
    return (header + segment).ljust(TEXT_OFFSET, b"\0") + body + headers
