"""The functions of a process's objects as it has them: symbols, debug files and IFUNCs put together.

Lives here: the cache of symbols, one entry for each object. Not here: reading symbol tables
(backend/symbols.py), finding implementations (backend/ifunc.py). Hands its result to backend/sites.py, which
matches descriptions with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from heapq import merge
from typing import TYPE_CHECKING

from backend.debug_files import completing_files
from backend.errors import MalformedElf, ProcessGone
from backend.frame_extents import frame_extents
from backend.function_table import Function, FunctionTable, table_of
from backend.ifunc import LoadedElf, ReadMemory, implementations
from backend.objects import LoadedObject
from backend.symbols import read_functions
from backend.symbols_elf import ElfFile, bytes_image, file_image, read_elf

if TYPE_CHECKING:
    from backend.made_code import Made
    from backend.object_code import ObjectCode


@dataclass(frozen=True, slots=True)
class ObjectFunctions:
    """The functions of one object, each IFUNC that is bound at its implementation.

    `unbound` are the IFUNCs that are not, at their resolvers.
    """

    table: FunctionTable
    unbound: FunctionTable


_NO_FUNCTIONS = ObjectFunctions(table_of((), ()), table_of((), ()))


class Symbols:
    """The symbols of a process's objects, each read when first asked for and then kept.

    A context manager: it opens debug files. `read_memory` reads the process, for IFUNCs; `roots` are where
    debug files are looked for: see backend/debug_files.py. `made` is what the process has made at run time, one
    more of the objects. `malformed` says of each object whose file could not be read why.
    """

    def __init__(
        self,
        objects: Iterable[LoadedObject],
        read_memory: ReadMemory,
        roots: tuple[str, ...] = ("",),
        made: Made | None = None,
    ) -> None:
        self.objects = (*objects, *((made.object,) if made is not None else ()))
        self.malformed: dict[str, str] = {}
        self._read_memory = read_memory
        self._roots = roots
        self._files = ExitStack()
        self._elves: dict[LoadedObject, LoadedElf | None] = {}
        self._functions: dict[LoadedObject, ObjectFunctions] = {}
        if made is not None:
            self._functions[made.object] = ObjectFunctions(made.table, table_of((), ()))
        self._made_code: dict[tuple[int, int], bytes] = {}
        self._in_memory: dict[LoadedObject, ElfFile | None] = {}
        self._names: dict[LoadedObject, FunctionTable] = {}
        self._code: dict[LoadedObject, ObjectCode | None] = {}

    def __enter__(self) -> Symbols:
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    def functions(self, loaded: LoadedObject) -> ObjectFunctions:
        """Return the functions of one of the objects; none of one without a file, or with a malformed one."""
        known = self._functions.get(loaded)
        if known is None:
            elf = self._elf(loaded)
            known = self._functions[loaded] = _NO_FUNCTIONS if elf is None else self._read(elf)
        return known

    def read_memory(self, address: int, size: int) -> bytes:
        """Return what the process has in memory, fewer bytes where that ends."""
        return self._read_memory(address, size)

    def made_code(self, address: int, size: int) -> bytes:
        """Return code that the process has made, as it was when it was first asked for."""
        asked = address, size
        if asked not in self._made_code:
            self._made_code[asked] = self._read_memory(*asked)
        return self._made_code[asked]

    def image(self, loaded: LoadedObject) -> ElfFile | None:
        """Return the ELF file of an object; the vdso's is in the process's memory. None where it is malformed.

        Raises ProcessGone for the vdso of a process that has ended.
        """
        elf = self._elf(loaded)
        if elf is not None or loaded.has_file:
            return elf.file if elf is not None else None
        if loaded not in self._in_memory:
            part = loaded.text[0]
            try:
                found = read_elf(bytes_image(self._read_memory(part.start, part.end - part.start)))
            except MalformedElf:
                found = None
            self._in_memory[loaded] = found
        return self._in_memory[loaded]

    def names(self, loaded: LoadedObject) -> FunctionTable:
        """Return the functions of any object for naming addresses: also of one without a file, or loaded later, and
        when the process has ended, without its IFUNCs then."""
        if loaded in self._functions:
            return self._functions[loaded].table
        if loaded not in self._names:
            try:
                self._names[loaded] = self._read_names(loaded)
            except (MalformedElf, ProcessGone):
                self._names[loaded] = _NO_FUNCTIONS.table
        return self._names[loaded]

    def _read_names(self, loaded: LoadedObject) -> FunctionTable:
        if loaded in self.objects and loaded.has_file:
            with suppress(ProcessGone):
                return self.functions(loaded).table
        file = self.image(loaded)
        if file is None:
            return _NO_FUNCTIONS.table
        debug = completing_files(file, loaded.path, self._files, self._roots) if loaded.has_file else ()
        return read_functions(file, debug)

    def code(self, loaded: LoadedObject) -> ObjectCode | None:
        """Return the code of one of the objects; None of one without a file, or with a malformed one."""
        # What decodes is large, and most runs need it of no object.
        from backend.object_code import ObjectCode

        if loaded not in self._code:
            elf = self._elf(loaded)
            self._code[loaded] = None if elf is None else ObjectCode(elf.file, self.functions(loaded).table)
        return self._code[loaded]

    def _elf(self, loaded: LoadedObject) -> LoadedElf | None:
        if not loaded.has_file:
            return None
        if loaded not in self._elves:
            try:
                self._elves[loaded] = LoadedElf(loaded, read_elf(file_image(loaded.fd)))
            except MalformedElf as error:
                self.malformed[loaded.path] = error.reason
                self._elves[loaded] = None
        return self._elves[loaded]

    def _read(self, elf: LoadedElf) -> ObjectFunctions:
        try:
            debug = completing_files(elf.file, elf.loaded.path, self._files, self._roots)
            table = read_functions(elf.file, debug)
            others = (
                other for loaded in self.objects if loaded is not elf.loaded and (other := self._elf(loaded))
            )
            bound = implementations(table.ifuncs(), elf, others, self._read_memory)
        except MalformedElf as error:
            self.malformed[elf.loaded.path] = error.reason
            return _NO_FUNCTIONS
        addresses = {resolver: address - elf.loaded.bias for resolver, address in bound.items()}
        return _in_process(table, addresses, elf.file)


def _in_process(table: FunctionTable, bound: Mapping[int, int], file: ElfFile) -> ObjectFunctions:
    """Move each IFUNC to its implementation; `bound` leads from the virtual address of its resolver there."""
    ifuncs = table.ifuncs()
    unbound = table_of((function for function in ifuncs if function.address not in bound), table.text)
    chosen: dict[int, list[Function]] = {}
    for function in ifuncs:
        if function.address in bound:
            chosen.setdefault(bound[function.address], []).append(function)
    if ifuncs:
        table = _moved(table, chosen, file)
    return ObjectFunctions(table, unbound)


def _moved(table: FunctionTable, chosen: Mapping[int, list[Function]], file: ElfFile) -> FunctionTable:
    """Return `table` with functions named by IFUNCs at the implementations `chosen`, and without the IFUNCs.

    Several IFUNCs that share one (memcpy and memmove do) are one function: fewest leading underscores,
    shortest, alphabetical.
    """
    named = {
        address: _named_by(ifuncs, None if (own := table.at(address)) is None or own.ifunc else own, address)
        for address, ifuncs in chosen.items()
    }
    ordered = table_of(_with(named, table), table.text)
    # Without a symbol of its own an implementation reaches to the next function that is known, and no further
    # than the unwind table says.
    unnamed = {address for address, function in named.items() if not function.size}
    frames = frame_extents(file, unnamed)
    for address in unnamed:
        size = ordered.extent(address)
        named[address] = named[address]._replace(size=min(size, frames.get(address, size)))
    return table_of(_with(named, table), table.text)


def _named_by(ifuncs: list[Function], own: Function | None, address: int) -> Function:
    """Return the implementation at an address that IFUNCs chose; of size 0 where it has no symbol of its `own`."""
    name = min((ifunc.name for ifunc in ifuncs), key=_plainness)
    names = {name for ifunc in ifuncs for name in ifunc.names} | (set(own.names) if own else set())
    return Function(address, own.size if own else 0, name, tuple(sorted(names - {name})))


def _with(named: Mapping[int, Function], table: FunctionTable) -> Iterator[Function]:
    """Yield the functions of a table with others among them, or in place of them, and without IFUNCs; they ascend."""
    rest = (function for function in table if not function.ifunc and function.address not in named)
    return merge(rest, (named[address] for address in sorted(named)))


def _plainness(name: str) -> tuple[int, int, str]:
    return len(name) - len(name.lstrip("_")), len(name), name
