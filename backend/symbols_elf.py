"""ELF files for x86-64: headers, sections, segments, notes; every read bounded by the file.

Lives here: the only use of pyelftools for symbols, for file and program headers. Tables (sections here;
symbols, strings and relocations, handed out as bytes to backend/symbols.py and backend/ifunc.py) are unpacked
in one pass. Nothing in a file is trusted: what contradicts itself raises MalformedElf, and work and memory
are bounded by the file's size and by the limits below. Format: the System V ABI, elf(5).

Files are read with pread, not mapped: a file cut short by its owner while mapped here would kill the tracer
with SIGBUS.
"""

import io
import os
import struct
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from typing import Any, Final

from elftools.common.exceptions import ELFError
from elftools.common.utils import struct_parse
from elftools.elf.structs import ELFStructs

from backend.errors import MalformedElf

MAX_TABLE_BYTES = 1 << 29
"""Largest table read: the string table of a Chromium with all its symbols is about half of this."""

_EHDR_BYTES, _PHDR_BYTES = 64, 56
# Name, type, flags, address, offset, size, link, info, alignment, size of an entry.
_SHDR = struct.Struct("<IIQQQQIIQQ")
_MAX_SECTIONS = 1 << 16
_MAX_SEGMENTS = 1 << 12
_MAX_NOTES_BYTES = 1 << 20
_PF_X, _PF_W = 1, 2
_SHF_WRITE, _SHF_ALLOC, _SHF_EXECINSTR, _SHF_COMPRESSED = 0x1, 0x2, 0x4, 0x800
_SHN_XINDEX = 0xFFFF
_MAX_SECTION_NAME = 256
_NT_GNU_BUILD_ID = 3


@dataclass(frozen=True, slots=True)
class Image:
    """The bytes of an ELF file, wherever they are.

    `pread(size, offset)` may return fewer bytes than asked, as os.pread does.
    """

    pread: Callable[[int, int], bytes]
    size_bytes: int

    def read(self, offset: int, size: int) -> bytes:
        """Return exactly `size` bytes at `offset`; raises MalformedElf where the file has no such bytes."""
        if not 0 <= offset <= self.size_bytes - size or size < 0:
            raise MalformedElf(f"{size} bytes at offset {offset:#x} are outside the file")
        if size > MAX_TABLE_BYTES:
            raise MalformedElf(f"a table of {size} bytes is too large")
        data = self.pread(size, offset)
        if len(data) != size:
            raise MalformedElf("the file was cut short while it was read")
        return data


@dataclass(frozen=True, slots=True)
class Segment:
    """One PT_LOAD program header: where `file_bytes` at `offset` of the file belong, less the load bias."""

    address: int
    offset: int
    file_bytes: int
    memory_bytes: int
    writable: bool
    executable: bool

    def __contains__(self, address: int) -> bool:
        """Whether the file has the byte at virtual address `address` in this segment."""
        return 0 <= address - self.address < self.file_bytes


class SectionType(IntEnum):
    """The types of sections that dtrap uses (elf.h, SHT_*)."""

    SYMTAB = 2
    STRTAB = 3
    RELA = 4
    NOTE = 7
    NOBITS = 8
    DYNSYM = 11
    GNU_VERSYM = 0x6FFFFFFF


@dataclass(frozen=True, slots=True)
class Section:
    """One section header. `type` is a SectionType or one that dtrap has no use for."""

    name: str
    type: int
    address: int
    offset: int
    size_bytes: int
    link: int
    flags: int

    @property
    def allocated(self) -> bool:
        return self.flags & _SHF_ALLOC != 0

    @property
    def writable(self) -> bool:
        return self.flags & _SHF_WRITE != 0

    @property
    def executable(self) -> bool:
        return self.allocated and self.flags & _SHF_EXECINSTR != 0

    @property
    def has_bytes(self) -> bool:
        """False where the section is only a promise: zero-filled memory, or stripped into a debug file."""
        return self.type != SectionType.NOBITS and self.flags & _SHF_COMPRESSED == 0


@dataclass(frozen=True, slots=True)
class ElfFile:
    """The headers of one file. `build_id` is empty where the file has none; `fixed`: it is linked for its place."""

    image: Image
    segments: tuple[Segment, ...]
    sections: tuple[Section, ...]
    build_id: bytes
    fixed: bool

    def section(self, name: str) -> Section | None:
        return next((section for section in self.sections if section.name == name), None)

    def section_bytes(self, section: Section) -> bytes:
        if not section.has_bytes:
            return b""
        return self.image.read(section.offset, section.size_bytes)

    def file_offset(self, address: int) -> int | None:
        """Return where the file keeps the byte at virtual address `address`; None where it keeps none."""
        for segment in self.segments:
            if address in segment:
                return address - segment.address + segment.offset
        return None


def file_image(fd: int) -> Image:
    """Return the content of an open file.

    The descriptor stays the caller's and has to stay open as long as the image is used.
    """

    def pread(size: int, offset: int) -> bytes:
        return os.pread(fd, size, offset)

    return Image(pread, os.fstat(fd).st_size)


def bytes_image(data: bytes) -> Image:
    """Return an ELF file that is in memory."""

    def pread(size: int, offset: int) -> bytes:
        return data[offset : offset + size]

    return Image(pread, len(data))


SYMBOL: Final = struct.Struct("<IBBHQQ")
"""Elf64_Sym: where its name is, info, visibility, section, value, size."""


def symbol_addresses(file: ElfFile, names: Collection[str]) -> dict[str, int]:
    """Return the virtual addresses of the symbols of these names that the file defines, functions or data."""
    found: dict[str, int] = {}
    for name, section, value in _symbols_named(file, names):
        if section:
            found.setdefault(name, value)
    return found


def has_symbol(file: ElfFile, name: str) -> bool:
    """Say whether the file defines a symbol of this name, or refers to one of another file."""
    return any(True for _ in _symbols_named(file, (name,)))


def _symbols_named(file: ElfFile, names: Collection[str]) -> Iterator[tuple[str, int, int]]:
    """Yield name, index of section (0: of another file) and value of all symbols of these names."""
    for section in file.sections:
        if section.type in (SectionType.SYMTAB, SectionType.DYNSYM) and 0 < section.link < len(file.sections):
            places = dict(name_places(file.section_bytes(file.sections[section.link]), names))
            table = file.section_bytes(section) if places else b""
            for at, _, _, index, value, _ in SYMBOL.iter_unpack(
                table[: len(table) // SYMBOL.size * SYMBOL.size]
            ):
                if at in places:
                    yield places[at], index, value


def name_places(strings: bytes, names: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Yield every offset in a string table at which one of the names can be had: it may be the tail of a longer one."""
    for name in names:
        needle = name.encode("utf-8", "surrogatepass") + b"\0"
        start = strings.find(needle)
        while start >= 0:
            yield start, name
            start = strings.find(needle, start + 1)


def read_segments(image: Image) -> tuple[Segment, ...]:
    """Return the PT_LOAD segments in the file's order: all that placing a loaded object needs."""
    return _segments(image, _header(image))[0]


def read_elf(image: Image) -> ElfFile:
    """Return the headers of the file. Raises MalformedElf."""
    header = _header(image)
    segments, notes = _segments(image, header)
    sections = _sections(image, header)
    notes += tuple(
        (section.offset, section.size_bytes) for section in sections if section.type == SectionType.NOTE
    )
    fixed = header["e_type"] == "ET_EXEC"
    return ElfFile(image, segments, sections, _build_id(image, notes), fixed)


@cache
def _structs() -> ELFStructs:
    structs = ELFStructs(little_endian=True, elfclass=64)
    structs.create_basic_structs()
    structs.create_advanced_structs(e_machine="EM_X86_64")
    return structs


def _parse(structure: Any, stream: io.BytesIO) -> Mapping[str, Any]:
    """Return the fields of one header by their names in elf.h.

    Named constants are spelled as pyelftools does, unknown ones are numbers.
    """
    try:
        fields: Mapping[str, Any] = struct_parse(structure, stream)
    except ELFError as error:
        raise MalformedElf(str(error)) from error
    return fields


def _header(image: Image) -> Mapping[str, Any]:
    data = image.read(0, min(_EHDR_BYTES, image.size_bytes))
    if data[:4] != b"\x7fELF":
        raise MalformedElf("it does not start as an ELF file does")
    if data[4:6] != b"\x02\x01" or len(data) < _EHDR_BYTES:
        raise MalformedElf("it is not 64-bit little-endian")
    header = _parse(_structs().Elf_Ehdr, io.BytesIO(data))
    if header["e_machine"] != "EM_X86_64":
        raise MalformedElf(f"it is for another machine, {header['e_machine']}")
    return header


def _segments(
    image: Image, header: Mapping[str, Any]
) -> tuple[tuple[Segment, ...], tuple[tuple[int, int], ...]]:
    """Return the PT_LOAD segments, and (offset, size) of each PT_NOTE."""
    count = header["e_phnum"]
    if count == 0:
        return (), ()
    if header["e_phentsize"] != _PHDR_BYTES or count > _MAX_SEGMENTS:
        raise MalformedElf(f"{count} program headers of {header['e_phentsize']} bytes")
    stream = io.BytesIO(image.read(header["e_phoff"], count * _PHDR_BYTES))
    structure = _structs().Elf_Phdr
    segments, notes = [], []
    for _ in range(count):
        fields = _parse(structure, stream)
        match fields["p_type"]:
            case "PT_LOAD":
                flags = fields["p_flags"]
                segments.append(
                    Segment(
                        fields["p_vaddr"],
                        fields["p_offset"],
                        fields["p_filesz"],
                        fields["p_memsz"],
                        flags & _PF_W != 0,
                        flags & _PF_X != 0,
                    )
                )
            case "PT_NOTE":
                notes.append((fields["p_offset"], fields["p_filesz"]))
    return tuple(segments), tuple(notes)


def _sections(image: Image, header: Mapping[str, Any]) -> tuple[Section, ...]:
    if header["e_shoff"] == 0:
        return ()
    if header["e_shentsize"] != _SHDR.size:
        raise MalformedElf(f"section headers of {header['e_shentsize']} bytes")
    # Section 0 holds the numbers that have outgrown the header.
    _, _, _, _, _, section_count, names_index, *_ = _SHDR.unpack(image.read(header["e_shoff"], _SHDR.size))
    count = header["e_shnum"] or section_count
    if header["e_shstrndx"] != _SHN_XINDEX:
        names_index = header["e_shstrndx"]
    if count > _MAX_SECTIONS:
        raise MalformedElf(f"{count} sections")
    rows = list(_SHDR.iter_unpack(image.read(header["e_shoff"], count * _SHDR.size)))
    names = b""
    if names_index < count and rows[names_index][1] == SectionType.STRTAB:
        names = image.read(rows[names_index][4], rows[names_index][5])
    return tuple(
        Section(_section_name(names, name_at), kind, address, offset, size, link, flags)
        for name_at, kind, flags, address, offset, size, link, _, _, _ in rows
    )


def _section_name(names: bytes, offset: int) -> str:
    limit = offset + _MAX_SECTION_NAME
    end = names.find(b"\0", offset, limit)
    return names[offset : end if end >= 0 else limit].decode("ascii", "backslashreplace")


def _build_id(image: Image, notes: tuple[tuple[int, int], ...]) -> bytes:
    """Return the NT_GNU_BUILD_ID of a linked file; empty where none can be read."""
    unread = image.size_bytes
    for offset, size in notes:
        unread -= size
        if unread < 0:
            break
        # A debug file keeps the program headers of the file it was made from, whose offsets mean nothing in
        # it.
        if size <= _MAX_NOTES_BYTES and offset + size <= image.size_bytes:
            for owner, kind, content in notes_of(image.read(offset, size)):
                if owner == b"GNU" and kind == _NT_GNU_BUILD_ID and content:
                    return content
    return b""


def notes_of(data: bytes) -> Iterator[tuple[bytes, int, bytes]]:
    """Yield owner, type and content of each note.

    Three words (sizes of owner and content, type), then both, padded to 4 bytes.
    """
    at = 0
    while at + 12 <= len(data):
        owner_bytes, content_bytes, kind = struct.unpack_from("<III", data, at)
        owner_at = at + 12
        content_at = owner_at + (owner_bytes + 3 & ~3)
        at = content_at + (content_bytes + 3 & ~3)
        if at > len(data) + 3:
            return
        yield (
            data[owner_at : owner_at + owner_bytes].rstrip(b"\0"),
            kind,
            data[content_at : content_at + content_bytes],
        )
