"""Functions of a process matched with probe descriptions: the sites where `entry` probes go.

Lives here: ProbeDescription and Symbols -> Sites. Not here: the symbols (backend/process_symbols.py); what
serves a site (engine and tier), and the provider part of a description, which the caller has understood
already.
"""

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

ENTRY = "entry"
CODE_BYTES = 32
_BLOCK_BYTES = 1 << 16
_NO_ADDRESS = 1 << 64
_NEAR_LENGTHS = 2
_NEAR_CANDIDATES = 5000

UNBOUND_IFUNC = "IFUNC whose implementation is unknown: nothing in this process is bound to it yet"
WRITABLE_TEXT = "its code is in memory that the process can write"
NO_TEXT = "its code is not mapped executable"
NOT_IN_FILE = "its code is not in the file"


@dataclass(frozen=True, slots=True)
class Site:
    """One place for an entry probe: the first instruction of one function of one object.

    `function` is the canonical name (probefunc), `aliases` the other names of the same code; for an IFUNC the
    place is its implementation's. `size` is the function's in bytes, `code` its first bytes, at most
    CODE_BYTES and never beyond its section, as the file has them. `reason` says why no probe can be placed
    here; the address of an IFUNC that is not bound is its resolver's.
    """

    object: LoadedObject
    function: str
    aliases: tuple[str, ...]
    name: str
    address: RemoteAddr
    file_offset: FileOffset
    size: int
    code: bytes
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class MatchedSites:
    """The sites that a description matched, by object and then by address.

    `sites` can take a probe; `refused` cannot, each for its `reason`.
    """

    sites: tuple[Site, ...]
    refused: tuple[Site, ...]


def match_sites(description: ProbeDescription, symbols: Symbols) -> MatchedSites:
    """Return the entry sites that module, function and name of `description` match.

    The provider is the caller's business. A plain function name matches a function of that name, canonical or
    alias. A glob matches a function any of whose names it matches, once; but a name with a dot (`f.cold`,
    which compilers make) only if the glob has one too. By object, then by address.
    """
    sites: list[Site] = []
    refused: list[Site] = []
    if matcher(description.name)(ENTRY):
        for loaded in symbols.objects:
            if matches_module(description.module, loaded):
                _match_object(description.function, loaded, symbols, sites, refused)
    return MatchedSites(tuple(sites), tuple(refused))


def _match_object(
    pattern: str, loaded: LoadedObject, symbols: Symbols, sites: list[Site], refused: list[Site]
) -> None:
    functions = symbols.functions(loaded)
    if is_glob(pattern):
        matched = _glob(pattern, functions.table.functions)
        unbound = _glob(pattern, functions.unbound)
    else:
        named = symbols.named(loaded, pattern)
        matched = [function for function in named if not function.ifunc]
        unbound = [function for function in named if function.ifunc]
    places = _Places(loaded, functions.table.text)
    for function in matched:
        site = places.site(function)
        (refused if site.reason else sites).append(site)
    refused.extend(replace(places.site(function), reason=UNBOUND_IFUNC) for function in unbound)


def _glob(pattern: str, functions: Sequence[Function]) -> list[Function]:
    accepts = matcher(pattern)
    if "." in pattern:
        return [
            function
            for function in functions
            if accepts(function.name) or (function.aliases and any(map(accepts, function.aliases)))
        ]
    return [
        function
        for function in functions
        if (accepts(function.name) and "." not in function.name)
        or (function.aliases and any("." not in name and accepts(name) for name in function.aliases))
    ]


class _Places:
    """Makes the sites of one object.

    It remembers where the last function was: they come in ascending order mostly.
    """

    __slots__ = (
        "_block",
        "_block_offset",
        "_loaded",
        "_mapping",
        "_section_end",
        "_section_start",
        "_sections",
        "_segment",
    )

    def __init__(self, loaded: LoadedObject, sections: tuple[tuple[int, int], ...]) -> None:
        self._loaded = loaded
        self._sections = sections
        self._section_start = self._section_end = 0
        self._segment: Segment | None = None
        self._mapping: TextRange | None = None
        self._block = b""
        self._block_offset = 0

    def site(self, function: Function) -> Site:
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
        offset, code = 0, b""
        if self._segment is None:
            reason: str | None = NOT_IN_FILE
        else:
            offset = address - self._segment.address + self._segment.offset
            code = self._code(offset)[: self._section_end - address]
            reason = NO_TEXT if self._mapping is None else WRITABLE_TEXT if self._mapping.writable else None
        return Site(
            loaded,
            function.name,
            function.aliases,
            ENTRY,
            runtime_address,
            FileOffset(offset),
            function.size,
            code,
            reason,
        )

    def _code(self, offset: int) -> bytes:
        at = offset - self._block_offset
        if not 0 <= at <= len(self._block) - CODE_BYTES:
            self._block = os.pread(self._loaded.fd, _BLOCK_BYTES, offset)
            self._block_offset, at = offset, 0
        return self._block[at : at + CODE_BYTES]


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
