"""The parts of an ELF file that these tests look at."""

from dataclasses import dataclass
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection


@dataclass(frozen=True, slots=True)
class Part:
    """Some bytes of a file, where they lie in it, and the address they are linked for."""

    content: bytes
    offset: int
    address: int


@dataclass(frozen=True, slots=True)
class Symbol:
    """A defined symbol; `kind` is its STT_ name."""

    name: str
    kind: str
    address: int
    size: int


def section(path: Path | str, name: str) -> Part:
    """Return a section that the file must have."""
    with Path(path).open("rb") as file:
        found = ELFFile(file).get_section_by_name(name)
        assert found is not None, (path, name)
        return Part(found.data(), found["sh_offset"], found["sh_addr"])


def executable_segment(path: Path | str) -> Part:
    """Return the first loaded segment that is executable."""
    with Path(path).open("rb") as file:
        segments = ELFFile(file).iter_segments()
        found = next(s for s in segments if s["p_type"] == "PT_LOAD" and s["p_flags"] & 1)
        return Part(found.data(), found["p_offset"], found["p_vaddr"])


def symbols(path: Path | str, table: str = ".symtab") -> list[Symbol]:
    """Return the symbols of a table that the file must have, undefined and unnamed ones left out."""
    with Path(path).open("rb") as file:
        found = ELFFile(file).get_section_by_name(table)
        assert isinstance(found, SymbolTableSection), (path, table)
        return [
            Symbol(str(s.name), s["st_info"]["type"], s["st_value"], s["st_size"])
            for s in found.iter_symbols()
            if s.name and s["st_shndx"] != "SHN_UNDEF"
        ]
