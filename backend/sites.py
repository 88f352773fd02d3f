"""Functions of a process matched with probe descriptions.

Lives here: ProbeDescription and Symbols -> functions with their places. Not here: the symbols
(backend/process_symbols.py); which instructions a function has (backend/decoding.py); provider and name of a
description, and the probes of a function (backend/function_probes.py).
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from backend.linux.procfs import FileOffset, RemoteAddr
from backend.objects import LoadedObject, TextRange, matches_module
from backend.process_symbols import Symbols
from backend.symbols import Function
from backend.symbols_elf import Segment
from dlang.probe_description import ProbeDescription, is_glob, matcher

_NO_ADDRESS = 1 << 64
_NEAR_LENGTHS = 2
_NEAR_CANDIDATES = 5000

UNBOUND_IFUNC = "IFUNC whose implementation is unknown: nothing in this process is bound to it yet"
WRITABLE_TEXT = "its code is in memory that the process can write"
NO_TEXT = "its code is not mapped executable"
NOT_IN_FILE = "its code is not in the file"


@dataclass(frozen=True, slots=True, eq=False)
class PlacedFunction:
    """One function of one object, where a process has it. Equal to itself only: a run has one for each.

    `name` is the canonical one (probefunc), `aliases` the other names of the same code; for an IFUNC the place
    is its implementation's. `size` is in bytes; `room` is how far it is to the end of its section. `reason` says
    why no probe can be placed here; the address of an IFUNC that is not bound is its resolver's.
    """

    object: LoadedObject
    name: str
    aliases: tuple[str, ...]
    address: RemoteAddr
    file_offset: FileOffset
    size: int
    room: int
    reason: str | None = None

    def code(self, offset: int, size: int) -> bytes:
        """Return at most `size` bytes from an offset on, none beyond the section, as the file has them."""
        size = min(size, self.room - offset)
        return os.pread(self.object.fd, size, self.file_offset + offset) if size > 0 else b""

    def has_replaced(self, other: PlacedFunction) -> bool:  # noqa: ARG002
        """Tell whether this is no longer the function that was found at its address before."""
        return False

    def beginning_at(self, offset: int) -> PlacedFunction:
        """Return the rest of it from an offset on."""
        return replace(
            self,
            address=RemoteAddr(self.address + offset),
            file_offset=FileOffset(self.file_offset + offset),
            size=self.size - offset,
            room=self.room - offset,
        )


@dataclass(frozen=True, slots=True, eq=False)
class MadeFunction(PlacedFunction):
    """A function that the process has made at run time: `content` is what stood there when it was matched."""

    content: bytes = b""

    def code(self, offset: int, size: int) -> bytes:
        return self.content[offset : offset + size]

    def beginning_at(self, offset: int) -> MadeFunction:
        rest = super(MadeFunction, self).beginning_at(offset)
        assert isinstance(rest, MadeFunction)
        return replace(rest, content=self.content[offset:])

    def has_replaced(self, other: PlacedFunction) -> bool:
        return not isinstance(other, MadeFunction) or (self.name, self.content) != (other.name, other.content)


@dataclass(frozen=True, slots=True)
class MatchedFunctions:
    """The functions that a description matched, by object and then by address.

    `functions` can take probes; `refused` cannot, each for its `reason`.
    """

    functions: tuple[PlacedFunction, ...]
    refused: tuple[PlacedFunction, ...]


def match_functions(description: ProbeDescription, symbols: Symbols) -> MatchedFunctions:
    """Return the functions that module and function of `description` match.

    Provider and name are the caller's business. A plain function name matches a function of that name, canonical
    or alias. A glob matches a function any of whose names it matches, once; but a name with a dot (`f.cold`,
    which compilers make) only if the glob has one too, or the process has made the function, and a function without a
    size, as the start-up code of programs has them, not at all (dt_pid.c). By object, then by address.
    """
    functions: list[PlacedFunction] = []
    refused: list[PlacedFunction] = []
    for loaded in symbols.objects:
        if matches_module(description.module, loaded):
            _match_object(description.function, loaded, symbols, functions, refused)
    return MatchedFunctions(tuple(functions), tuple(refused))


def function_at(loaded: LoadedObject, address: int, symbols: Symbols) -> PlacedFunction | None:
    """Return the function of an object around an address of the process; None where there is none."""
    table = symbols.functions(loaded).table
    here = address - loaded.bias
    place = bisect_right(table.functions, (here, _NO_ADDRESS)) - 1
    if place < 0 or here >= table.functions[place].address + table.functions[place].size:
        return None
    function = table.functions[place]
    return (
        place_made(loaded, function, symbols)
        if loaded.is_made
        else _Places(loaded, table.text).place(function)
    )


def place_made(loaded: LoadedObject, function: Function, symbols: Symbols) -> MadeFunction:
    """Return a function that the process has made, as it is now. Raises ProcessGone."""
    address, size = RemoteAddr(function.address), function.size
    content = symbols.read_memory(address, size)
    reason = None if len(content) == size else NO_TEXT
    return MadeFunction(loaded, function.name, (), address, FileOffset(0), size, size, reason, content)


def _match_object(
    pattern: str,
    loaded: LoadedObject,
    symbols: Symbols,
    found: list[PlacedFunction],
    refused: list[PlacedFunction],
) -> None:
    functions = symbols.functions(loaded)
    if is_glob(pattern):
        with_dots = "." in pattern or loaded.is_made
        matched = _glob(pattern, functions.table.functions, with_dots=with_dots)
        unbound = _glob(pattern, functions.unbound, with_dots=with_dots)
    else:
        named = symbols.named(loaded, pattern)
        matched = [function for function in named if not function.ifunc]
        unbound = [function for function in named if function.ifunc]
    if loaded.is_made:
        for function in matched:
            made = place_made(loaded, function, symbols)
            (refused if made.reason else found).append(made)
        return
    places = _Places(loaded, functions.table.text)
    for function in matched:
        placed = places.place(function)
        (refused if placed.reason else found).append(placed)
    refused.extend(replace(places.place(function), reason=UNBOUND_IFUNC) for function in unbound)


def _glob(pattern: str, functions: Sequence[Function], *, with_dots: bool) -> list[Function]:
    accepts = matcher(pattern)
    if with_dots:
        return [
            function
            for function in functions
            if function.sized
            and (accepts(function.name) or (function.aliases and any(map(accepts, function.aliases))))
        ]
    return [
        function
        for function in functions
        if function.sized
        and (
            (accepts(function.name) and "." not in function.name)
            or (function.aliases and any("." not in name and accepts(name) for name in function.aliases))
        )
    ]


class _Places:
    """Places the functions of one object.

    It remembers where the last function was: they come in ascending order mostly.
    """

    __slots__ = ("_loaded", "_mapping", "_section_end", "_section_start", "_sections", "_segment")

    def __init__(self, loaded: LoadedObject, sections: tuple[tuple[int, int], ...]) -> None:
        self._loaded = loaded
        self._sections = sections
        self._section_start = self._section_end = 0
        self._segment: Segment | None = None
        self._mapping: TextRange | None = None

    def place(self, function: Function) -> PlacedFunction:
        loaded = self._loaded
        address = function.address
        runtime_address = loaded.runtime_address(address)
        if not self._section_start <= address < self._section_end:
            index = bisect_right(self._sections, (address, _NO_ADDRESS)) - 1
            self._section_start, self._section_end = self._sections[index] if index >= 0 else (0, 0)
        if self._segment is None or address not in self._segment:
            self._segment = loaded.segment_at(address)
        if self._mapping is None or not self._mapping.start <= runtime_address < self._mapping.end:
            self._mapping = loaded.text_at(runtime_address)
        offset = room = 0
        if self._segment is None:
            reason: str | None = NOT_IN_FILE
        else:
            offset = address - self._segment.address + self._segment.offset
            room = max(self._section_end - address, 0)
            reason = NO_TEXT if self._mapping is None else WRITABLE_TEXT if self._mapping.writable else None
        return PlacedFunction(
            loaded,
            function.name,
            function.aliases,
            runtime_address,
            FileOffset(offset),
            function.size,
            room,
            reason,
        )


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
