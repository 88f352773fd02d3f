"""The functions of an ELF file, each with its names: symbol tables unpacked, aliases joined, sizes bounded.

Lives here: `.symtab` and `.dynsym` of a file and of the files that complete it -> FunctionTable. Not here:
finding debug files (backend/debug_files.py), what an IFUNC symbol stands for in a process (backend/ifunc.py),
sites (backend/sites.py, which takes the table).
"""

import gc
import struct
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate, chain, repeat
from typing import NamedTuple

from backend.errors import MalformedElf
from backend.symbols_elf import ElfFile, SectionType

_SYMBOL = struct.Struct("<IBBHQQ")
_SHN_UNDEF, _SHN_LORESERVE, _SHN_XINDEX = 0, 0xFF00, 0xFFFF
_STT_FUNC, _STT_GNU_IFUNC = 2, 10
_STB_LOCAL = 0
_STB_WEAK = 2
# The mark of a symbol version that is not the default one: VERSYM_HIDDEN. It fits above st_info's eight bits.
_OLD_VERSION = 0x8000
# Names that are tails of others may together be this many times as large as the string table, and an
# allowance more.
_NAMES_GROWTH, _NAMES_ALLOWANCE = 8, 1 << 20


class Function(NamedTuple):
    """One function of a file: an address, and all the names it has.

    A NamedTuple, since a browser's library has half a million. `address` is virtual, as the file gives it;
    for an IFUNC it is the resolver's, which no probe must be placed at. `size` is in bytes, at least 1, and
    ends within the section; `sized` says whether a symbol has it. `aliases` are the names other than the canonical
    `name`, sorted, without symbol versions.
    """

    address: int
    size: int
    name: str
    aliases: tuple[str, ...] = ()
    ifunc: bool = False
    sized: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name, *self.aliases)


@dataclass(frozen=True, slots=True)
class FunctionTable:
    """The functions of one file, ascending by address, no two at the same, and its executable sections.

    `text` are `[start, end)` of virtual addresses, ascending and disjoint.
    """

    functions: tuple[Function, ...]
    text: tuple[tuple[int, int], ...]

    def at(self, address: int) -> Function | None:
        """Return the function that starts at `address`."""
        index = bisect_left(self.functions, (address,))
        if index < len(self.functions) and self.functions[index].address == address:
            return self.functions[index]
        return None

    def extent(self, address: int) -> int:
        """Return how far it is in bytes from `address` to the next function or the end of its section.

        0 outside the sections.
        """
        end = next((end for start, end in self.text if start <= address < end), address)
        index = bisect_left(self.functions, (address + 1,))
        if index < len(self.functions):
            end = min(end, self.functions[index].address)
        return end - address


# Address, size, name, binding and type as in st_info (with _OLD_VERSION or-ed to it).
_Row = tuple[int, int, str, int]


def read_functions(file: ElfFile, completing: Iterable[ElfFile] = ()) -> FunctionTable:
    """Return the functions of `file`, with those that the files `completing` it (debug files) add.

    A symbol counts when it is STT_FUNC or STT_GNU_IFUNC, defined, named, and inside an executable section of
    `file` (an executable segment where the file has no section headers). Size 0, as assemblers give, means up
    to the next function. Aliases are one Function, named by `preference`. Raises MalformedElf for tables that
    lie outside their file.
    """
    with _collector_paused():
        return _read_functions(file, completing)


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Without the garbage collector: it would walk millions of tuples over and over, half of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _read_functions(file: ElfFile, completing: Iterable[ElfFile]) -> FunctionTable:
    text = _text_ranges(file)
    rows: list[_Row] = []
    for symbols in (file, *completing):
        rows += _function_symbols(symbols)
    rows.sort()
    functions: list[Function] = []
    for start, end in text:
        inside = rows[bisect_left(rows, (start,)) : bisect_left(rows, (end,))]
        first = 0
        while first < len(inside):
            address, size, name, info = inside[first]
            after = first + 1
            while after < len(inside) and inside[after][0] == address:
                after += 1
            aliases: tuple[str, ...] = ()
            ifunc = info & 15 == _STT_GNU_IFUNC
            if after > first + 1:
                name, aliases, size, ifunc = _join(inside[first:after])
            sized = size > 0
            if size == 0 or size > end - address:
                # A size that leaves the section is nonsense; one of 0 is an assembler's.
                size = (inside[after][0] if size == 0 and after < len(inside) else end) - address
            functions.append(Function(address, size, name, aliases, ifunc, sized))
            first = after
    return FunctionTable(tuple(functions), text)


def preference(row: _Row) -> tuple[bool, bool, bool, int, bool, int, str]:
    """Order the names of one address; the least is the canonical one: what a user would say.

    Not local; no `$` or `.` in it (`f.cold`); not of an old symbol version (`free` before `cfree`); fewest
    leading underscores (`write` before `__write`, which is bound stronger); global before weak (`strchr`
    before `index`); shortest; alphabetical.
    """
    _, _, name, info = row
    underscores = len(name) - len(name.lstrip("_"))
    binding = info >> 4 & 15
    return (
        binding == _STB_LOCAL,
        "$" in name or "." in name,
        info & _OLD_VERSION != 0,
        underscores,
        binding == _STB_WEAK,
        len(name),
        name,
    )


def _join(rows: list[_Row]) -> tuple[str, tuple[str, ...], int, bool]:
    """Return canonical name, aliases, size and kind of the rows of one address."""
    names = {row[2] for row in rows}
    name = min(rows, key=preference)[2] if len(names) > 1 else rows[0][2]
    names.remove(name)
    # The smallest size given: whoever overwrites instructions relies on the function not being shorter.
    size = min((row[1] for row in rows if row[1]), default=0)
    return name, tuple(sorted(names)), size, any(row[3] & 15 == _STT_GNU_IFUNC for row in rows)


def _text_ranges(file: ElfFile) -> tuple[tuple[int, int], ...]:
    if file.sections:
        ranges = [(part.address, part.address + part.size_bytes) for part in file.sections if part.executable]
    else:
        ranges = [(part.address, part.address + part.file_bytes) for part in file.segments if part.executable]
    disjoint: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        # Sections that overlap are a hostile file's; the later one loses what the earlier has.
        start = max(start, disjoint[-1][1]) if disjoint else start
        if start < end:
            disjoint.append((start, end))
    return tuple(disjoint)


def _function_symbols(file: ElfFile) -> list[_Row]:
    rows: list[_Row] = []
    # A file has one table of each kind; a hostile one could list the same bytes as tables without end.
    for kind in (SectionType.SYMTAB, SectionType.DYNSYM):
        index = next((index for index, part in enumerate(file.sections) if part.type == kind), 0)
        section = file.sections[index] if index else None
        if section is None or section.link >= len(file.sections):
            continue
        versions = next(
            (part for part in file.sections if part.type == SectionType.GNU_VERSYM and part.link == index),
            None,
        )
        rows += _unpack(
            file.section_bytes(section),
            file.section_bytes(file.sections[section.link]),
            file.section_bytes(versions) if versions else b"",
        )
    return rows


def _unpack(table: bytes, strings: bytes, versions: bytes) -> list[_Row]:
    whole = len(table) // _SYMBOL.size
    symbols = _SYMBOL.iter_unpack(table[: whole * _SYMBOL.size])
    # The version index of each symbol, whose top bit says that the version is not the default one.
    version_of = struct.unpack(f"<{len(versions) // 2}H", versions[: len(versions) // 2 * 2])
    names = _Names(strings)
    rows = [
        (value, size, names[name_at], info | version & _OLD_VERSION)
        for (name_at, info, _, index, value, size), version in zip(
            symbols, chain(version_of, repeat(0)), strict=False
        )
        if (info & 15 == _STT_FUNC or info & 15 == _STT_GNU_IFUNC)
        and index != _SHN_UNDEF
        and (index < _SHN_LORESERVE or index == _SHN_XINDEX)
    ]
    if b"@" in strings:
        rows = [_without_version(row) if "@" in row[2] else row for row in rows]
    return [row for row in rows if row[2]]


def _without_version(row: _Row) -> _Row:
    """Cut `f@@V` (the default version) and `f@V` (an old one) to `f`."""
    address, size, name, info = row
    base, _, version = name.partition("@")
    return address, size, base, info if version.startswith("@") else info | _OLD_VERSION


class _Names(dict[int, str]):
    """A string table as a mapping from offsets to names, the empty one where there is none or it has no end.

    All strings are cut out in one pass. Offsets into the middle of one (linkers let a name be another's tail)
    are looked up singly; in a hostile file their sum could exceed the table without bound: then MalformedElf
    is raised.
    """

    __slots__ = ("_budget", "_strings")

    def __init__(self, strings: bytes) -> None:
        *pieces, _unended = strings.split(b"\0")
        starts = accumulate((len(piece) + 1 for piece in pieces), initial=0)
        texts = strings.decode("ascii").split("\0") if strings.isascii() else map(_decode, pieces)
        super().__init__(zip(starts, texts, strict=False))
        self[len(strings) - len(_unended)] = ""
        self._strings = strings
        self._budget = _NAMES_GROWTH * len(strings) + _NAMES_ALLOWANCE

    def __missing__(self, offset: int) -> str:
        end = self._strings.find(b"\0", offset)
        if end < 0:
            return ""
        self._budget -= end - offset
        if self._budget < 0:
            raise MalformedElf("the names of its symbols overlap without end")
        name = self[offset] = _decode(self._strings[offset:end])
        return name


def _decode(name: bytes) -> str:
    """Return a name as text; bytes that are no UTF-8 appear as `\\xNN`."""
    return name.decode("utf-8", "backslashreplace")
