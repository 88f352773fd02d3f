"""The functions of an ELF file, each with its names: symbol tables unpacked, aliases joined, sizes bounded.

Lives here: `.symtab` and `.dynsym` of a file and of the files that complete it -> FunctionTable. Not here: the table
(backend/function_table.py), finding debug files (backend/debug_files.py), what an IFUNC symbol stands for in a process
(backend/ifunc.py), sites (backend/sites.py, which takes the table).
"""

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import chain, compress, repeat

from backend.errors import MalformedElf
from backend.function_table import FunctionTable, TableMaker
from backend.symbols_elf import ElfFile, SectionType

_SYMBOL_BYTES, _INFO_PLACE = 24, 4
"""A symbol is three words: name, info, another byte, and section (32, 8, 8 and 16 bits); value; size."""
_NO_ADDRESS = 1 << 64
_NAMELESS = b"\0@"
"""What a symbol's name begins with that has none but a version."""
_SHN_UNDEF, _SHN_LORESERVE, _SHN_XINDEX = 0, 0xFF00, 0xFFFF
_STT_FUNC, _STT_GNU_IFUNC = 2, 10
_IS_FUNCTION = bytes(info & 15 in (_STT_FUNC, _STT_GNU_IFUNC) for info in range(256))
_STB_LOCAL = 0
_STB_WEAK = 2
# The mark of a symbol version that is not the default one: VERSYM_HIDDEN. It fits above st_info's eight bits.
_OLD_VERSION = 0x8000
# All names together may be this many times as large as symbol and string table, and an allowance more.
_NAMES_GROWTH, _NAMES_ALLOWANCE = 8, 1 << 20


def read_functions(file: ElfFile, completing: Iterable[ElfFile] = ()) -> FunctionTable:
    """Return the functions of `file`, with those that the files `completing` it (debug files) add.

    A symbol counts when it is STT_FUNC or STT_GNU_IFUNC, defined, named, and inside an executable section of
    `file` (an executable segment where the file has no section headers). Size 0, as assemblers give, means up
    to the next function. Aliases are one Function, named by `preference`. Raises MalformedElf for tables that
    lie outside their file.
    """
    text = _text_ranges(file)
    rows = _Rows(text)
    for symbols in (file, *completing):
        for table, strings, versions in _symbol_tables(symbols):
            rows.unpack(table, strings, versions)
    return rows.joined()


Name = tuple[bytes, int]
"""A name, and binding and type of its symbol as in st_info, with _OLD_VERSION or-ed to them."""


def preference(name: Name) -> tuple[bool, bool, bool, int, bool, int, bytes]:
    """Order the names of one address; the least is the canonical one: what a user would say.

    Not local; no `$` or `.` in it (`f.cold`); not of an old symbol version (`free` before `cfree`); fewest
    leading underscores (`write` before `__write`, which is bound stronger); global before weak (`strchr`
    before `index`); shortest; alphabetical.
    """
    text, info = name
    underscores = len(text) - len(text.lstrip(b"_"))
    binding = info >> 4 & 15
    return (
        binding == _STB_LOCAL,
        b"$" in text or b"." in text,
        info & _OLD_VERSION != 0,
        underscores,
        binding == _STB_WEAK,
        len(text),
        text,
    )


class _Rows:
    """The symbols of functions in `text` in the order of their tables, as columns. `_name_places` are where their names
    begin in all string tables put together.
    """

    def __init__(self, text: tuple[tuple[int, int], ...]) -> None:
        self._text = text
        self._addresses = array("Q")
        self._sizes = array("Q")
        self._infos = array("H")
        self._name_places = array("Q")
        self._strings = b""
        self._budget = _NAMES_ALLOWANCE

    def unpack(self, table: bytes, strings: bytes, versions: bytes) -> None:
        """Append the functions of a symbol table."""
        table = table[: len(table) // _SYMBOL_BYTES * _SYMBOL_BYTES]
        # What no NUL ends is no name.
        strings = strings[: strings.rfind(b"\0") + 1]
        words, infos = array("Q", table), table[_INFO_PLACE::_SYMBOL_BYTES]
        # The version index of each symbol, whose top bit says that the version is not the default one.
        version_of = array("H", versions[: len(versions) // 2 * 2])
        wanted = infos.translate(_IS_FUNCTION)
        columns = words[0::3], words[1::3], words[2::3], infos, chain(version_of, repeat(0, len(words)))
        text, before = self._text, len(self._strings)
        start = end = 0
        for head, address, size, info, version in zip(
            *(compress(column, wanted) for column in columns), strict=True
        ):
            name_at, section = head & 0xFFFFFFFF, head >> 48
            if section == _SHN_UNDEF or (section >= _SHN_LORESERVE and section != _SHN_XINDEX):
                continue
            if not start <= address < end:
                place = bisect_right(text, (address, _NO_ADDRESS)) - 1
                if place < 0 or address >= text[place][1]:
                    continue
                start, end = text[place]
            if name_at < len(strings) and strings[name_at] not in _NAMELESS:
                self._addresses.append(address)
                self._sizes.append(size)
                self._infos.append(info | version & _OLD_VERSION)
                self._name_places.append(before + name_at)
        self._strings += strings
        self._budget += _NAMES_GROWTH * (len(strings) + len(table))

    def joined(self) -> FunctionTable:
        """Return the functions, those of one address as one. Raises MalformedElf."""
        made = TableMaker(self._text)
        addresses, infos, sizes = self._addresses, self._infos, self._sizes
        order = array("I", sorted(range(len(addresses)), key=addresses.__getitem__))
        sections = iter(self._text)
        end = first = 0
        while first < len(order):
            row = order[first]
            address, size = addresses[row], sizes[row]
            after = first + 1
            while after < len(order) and addresses[order[after]] == address:
                after += 1
            if after == first + 1:
                names = [self._name(row)[0]]
                ifunc = infos[row] & 15 == _STT_GNU_IFUNC
            else:
                rows = order[first:after]
                names = _joined_names([self._name(row) for row in rows])
                # The smallest size given: whoever overwrites instructions relies on the function not being shorter.
                size = min((sizes[row] for row in rows if sizes[row]), default=0)
                ifunc = any(infos[row] & 15 == _STT_GNU_IFUNC for row in rows)
            while address >= end:
                _, end = next(sections)
            sized = size > 0
            if size == 0 or size > end - address:
                # A size that leaves the section is nonsense; one of 0 is an assembler's.
                following = addresses[order[after]] if size == 0 and after < len(order) else end
                size = min(following, end) - address
            made.add(address, size, names, ifunc=ifunc, sized=sized)
            first = after
        return made.table()

    def _name(self, row: int) -> Name:
        start = self._name_places[row]
        name = self._strings[start : self._strings.find(b"\0", start)]
        self._budget -= len(name)
        if self._budget < 0:
            raise MalformedElf("the names of its symbols overlap without end")
        return (name, self._infos[row]) if b"@" not in name else _without_version(name, self._infos[row])


def _joined_names(names: list[Name]) -> list[bytes]:
    """Return the names of one address, each once, the canonical one first."""
    canonical = min(names, key=preference)[0]
    return [canonical, *sorted({name for name, _ in names} - {canonical})]


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


def _symbol_tables(file: ElfFile) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Yield the symbol tables of a file, with their strings and the versions of their symbols."""
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
        yield (
            file.section_bytes(section),
            file.section_bytes(file.sections[section.link]),
            file.section_bytes(versions) if versions else b"",
        )


def _without_version(name: bytes, info: int) -> Name:
    """Cut `f@@V` (the default version) and `f@V` (an old one) to `f`."""
    base, _, version = name.partition(b"@")
    return base, info if version.startswith(b"@") else info | _OLD_VERSION
