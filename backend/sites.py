"""Functions of a process matched with probe descriptions.

Lives here: ProbeDescription and Symbols -> functions with their places. Not here: the symbols
(backend/process_symbols.py); which instructions a function has (backend/decoding.py); provider and name of a
description, and the probes of a function (backend/function_probes.py).
"""

from __future__ import annotations

import os
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from backend.function_table import Function, FunctionTable, table_of
from backend.linux.procfs import FileOffset, RemoteAddr
from backend.objects import LoadedObject, TextRange, matches_module
from backend.process_symbols import Symbols
from backend.symbols_elf import Segment
from dlang.probe_description import ProbeDescription, is_glob, matcher

_NO_ADDRESS = 1 << 64
_NEAR_LENGTHS = 2
_NEAR_CANDIDATES = 5000

UNBOUND_IFUNC = "IFUNC whose implementation is unknown: nothing in this process is bound to it yet"
WRITABLE_TEXT = "its code is in memory that the process can write"
NO_TEXT = "its code is not mapped executable"
NOT_IN_FILE = "its code is not in the file"
READ_STUB = "a stub of Mono's, which the program reads and would not know"

_STUB_SIZE = 10
_JUMP_THROUGH_MEMORY = b"\xff\x25"


class PlacedFunctions:
    """The functions of one object, where a process has it: those of a table, in its order.

    They are rows until they are asked for: nothing is kept of each. `bound` is unset for IFUNCs that nothing is bound
    to, which are at their resolvers.
    """

    __slots__ = ("_bound", "_mapping", "_section", "_segment", "object", "table")

    def __init__(self, loaded: LoadedObject, table: FunctionTable, *, bound: bool = True) -> None:
        self.object = loaded
        self.table = table
        self._bound = bound
        # Where the last one was that was asked for: they come in ascending order mostly.
        self._section = 0, 0
        self._segment: Segment | None = None
        self._mapping: TextRange | None = None

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, place: int) -> PlacedFunction:
        return PlacedFunction(self, place)

    def file_offset(self, address: int) -> int | None:
        """Return where the file keeps the byte at virtual address `address`; None where it keeps none."""
        segment = self._segment
        if segment is None or address not in segment:
            segment = self._segment = self.object.segment_at(address)
        return None if segment is None else address - segment.address + segment.offset

    def room(self, address: int) -> int:
        """Return how far it is in bytes from an address to the end of its section."""
        start, end = self._section
        if not start <= address < end:
            sections = self.table.text
            index = bisect_right(sections, (address, _NO_ADDRESS)) - 1
            start, end = self._section = sections[index] if index >= 0 else (0, 0)
        return max(end - address, 0)

    def reason(self, place: int) -> str | None:
        """Return why the function at a place can have no probes."""
        if not self._bound:
            return UNBOUND_IFUNC
        address = self.table.addresses[place]
        if self.file_offset(address) is None:
            return NOT_IN_FILE
        here = self.object.runtime_address(address)
        mapping = self._mapping
        if mapping is None or not mapping.start <= here < mapping.end:
            mapping = self._mapping = self.object.text_at(here)
        if mapping is None or mapping.writable:
            return WRITABLE_TEXT if mapping else NO_TEXT
        return READ_STUB if self._is_read_stub(place) else None

    def _is_read_stub(self, place: int) -> bool:
        """Tell whether a function is a jump through memory and a number, which Mono finds by the bytes of that jump
        (arch_emit_plt_entry and mono_aot_get_plt_info_offset of its sources).
        """
        if self.table.sizes[place] != _STUB_SIZE:
            return False
        return self.code(self.table.addresses[place], _STUB_SIZE).startswith(_JUMP_THROUGH_MEMORY)

    def code(self, address: int, size: int) -> bytes:
        """Return at most `size` bytes from an address on, none beyond the section, as the file has them."""
        size = min(size, self.room(address))
        offset = self.file_offset(address) or 0
        return os.pread(self.object.fd, size, offset) if size > 0 else b""

    def only(self, function: Function) -> PlacedFunctions:
        """Return one function that isn't in the table, in the place of all."""
        return PlacedFunctions(self.object, table_of([function], self.table.text))


class MadeFunctions(PlacedFunctions):
    """The functions that a process has made at run time. `read` says what stood in one when it was matched, given its
    address and size.
    """

    __slots__ = ("_read",)

    def __init__(self, loaded: LoadedObject, table: FunctionTable, read: Callable[[int, int], bytes]) -> None:
        super().__init__(loaded, table)
        self._read = read

    def file_offset(self, address: int) -> int | None:  # noqa: ARG002
        return 0

    def room(self, address: int) -> int:
        place = self.table.place_around(address)
        return 0 if place is None else self.table.addresses[place] + self.table.sizes[place] - address

    def reason(self, place: int) -> str | None:
        address = self.table.addresses[place]
        return None if self.code(address, self.room(address)) else NO_TEXT

    def code(self, address: int, size: int) -> bytes:
        place = self.table.place_around(address)
        if place is None:
            return b""
        start, length = self.table.addresses[place], self.table.sizes[place]
        content = self._read(start, length)
        return content[address - start :][:size] if len(content) == length else b""

    def only(self, function: Function) -> PlacedFunctions:
        content = self.code(function.address, function.size)
        return MadeFunctions(
            self.object, table_of([function], self.table.text), lambda _start, _size: content
        )


@dataclass(frozen=True, slots=True)
class PlacedFunction:
    """One function of one object, where a process has it: the one at a `place` of `among`."""

    among: PlacedFunctions
    place: int

    @property
    def object(self) -> LoadedObject:
        return self.among.object

    @property
    def name(self) -> str:
        """The canonical name: probefunc."""
        return self.among.table.name(self.place)

    @property
    def aliases(self) -> tuple[str, ...]:
        """The other names of the same code."""
        return self.among.table.aliases(self.place)

    @property
    def address(self) -> RemoteAddr:
        """Where it begins. For an IFUNC that is its implementation; one that is not bound is at its resolver."""
        return RemoteAddr(self.own_address + self.among.object.bias)

    @property
    def file_offset(self) -> FileOffset:
        return FileOffset(self.among.file_offset(self.own_address) or 0)

    @property
    def size(self) -> int:
        """Its size in bytes."""
        return self.among.table.sizes[self.place]

    @property
    def reason(self) -> str | None:
        """Why no probe can be placed here."""
        return self.among.reason(self.place)

    @property
    def own_address(self) -> int:
        """Where it begins, as its object's file has it."""
        return self.among.table.addresses[self.place]

    def code(self, offset: int, size: int) -> bytes:
        """Return at most `size` bytes from an offset on, none beyond the section, as the file has them."""
        return self.among.code(self.own_address + offset, size)


@dataclass(frozen=True, slots=True)
class MatchedFunctions:
    """The functions that a description matched: by object, their places among the object's, ascending.

    `refused` are those that can take no probes, each for its `reason`.
    """

    objects: tuple[tuple[PlacedFunctions, Sequence[int]], ...]
    refused: tuple[PlacedFunction, ...]

    @property
    def functions(self) -> tuple[PlacedFunction, ...]:
        """Those that can take probes."""
        return tuple(functions[place] for functions, places in self.objects for place in places)

    @property
    def why_none(self) -> str | None:
        """Why none of those that were matched can take probes, said of the first."""
        if self.objects or not self.refused:
            return None
        return f"{self.refused[0].name}: {self.refused[0].reason}"


def match_functions(description: ProbeDescription, symbols: Symbols) -> MatchedFunctions:
    """Return the functions that module and function of `description` match.

    Provider and name are the caller's business. A plain function name matches a function of that name, canonical
    or alias. A glob matches a function any of whose names it matches, once; but a name with a dot (`f.cold`,
    which compilers make) only if the glob has one too, or the process has made the function, and a function without a
    size, as the start-up code of programs has them, not at all (dt_pid.c). By object, then by address.
    """
    objects: list[tuple[PlacedFunctions, Sequence[int]]] = []
    refused: list[PlacedFunction] = []
    for loaded in symbols.objects:
        if matches_module(description.module, loaded):
            known = symbols.functions(loaded)
            functions = _placed(loaded, known.table, symbols)
            able = array("I")
            for place in _matching(description.function, known.table, with_dots=loaded.is_made):
                if functions.reason(place) is None:
                    able.append(place)
                else:
                    refused.append(functions[place])
            if able:
                objects.append((functions, able))
            unbound = PlacedFunctions(loaded, known.unbound, bound=False)
            refused.extend(
                unbound[place] for place in _matching(description.function, known.unbound, with_dots=False)
            )
    return MatchedFunctions(tuple(objects), tuple(refused))


def function_at(loaded: LoadedObject, address: int, symbols: Symbols) -> PlacedFunction | None:
    """Return the function of an object around an address of the process; None where there is none."""
    table = symbols.functions(loaded).table
    place = table.place_around(address - loaded.bias)
    return None if place is None else _placed(loaded, table, symbols)[place]


def _placed(loaded: LoadedObject, table: FunctionTable, symbols: Symbols) -> PlacedFunctions:
    return (
        MadeFunctions(loaded, table, symbols.made_code) if loaded.is_made else PlacedFunctions(loaded, table)
    )


def _matching(pattern: str, table: FunctionTable, *, with_dots: bool) -> Sequence[int]:
    if not is_glob(pattern):
        return table.named(pattern)
    accepts = matcher(pattern)
    if with_dots or "." in pattern:
        return table.matching(accepts)
    return table.matching(lambda name: "." not in name and accepts(name))


def near_names(name: str, names: Iterable[str]) -> list[str]:
    """Return up to three of `names` that a user who wrote `name` may have meant, the nearest first: "did you
    mean malloc?".
    """
    # Only mistaken descriptions need it.
    from difflib import get_close_matches

    bare = name.lower().strip("_")
    candidates = {
        other
        for other in names
        if abs(len(other.strip("_")) - len(bare)) <= _NEAR_LENGTHS
        and other.lower().strip("_")[:1] == bare[:1]
    }
    return get_close_matches(name, islice(sorted(candidates), _NEAR_CANDIDATES), n=3, cutoff=0.7)
