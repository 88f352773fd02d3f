"""The sites of a run: the places in processes where its probes go, in a compact table.

Lives here: what is known of a site, and the table. Not here: which functions there are (sites.py), which sites
their probes have (function_probes.py); what serves a site is the engine's.
"""

from __future__ import annotations

import enum
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast, overload

if TYPE_CHECKING:
    from backend.linux.procfs import FileOffset, RemoteAddr
    from backend.objects import LoadedObject
    from backend.sites import PlacedFunction, PlacedFunctions

CODE_BYTES: Final = 32


class SiteKind(enum.IntEnum):
    """What a probe at a site means, in the order in which those of one address fire."""

    ENTRY = 0
    OFFSET = 1
    RETURN = 2
    BRANCH = 3
    """A conditional jump out of the function: a return if it is taken."""
    URETPROBE = 4
    """The kernel's way to a return: placed at the entry, fires when the function has returned."""


@dataclass(frozen=True, slots=True)
class Site:
    """One place of one probe: the instruction `offset` bytes from the start of its function.

    `probe` is the probe's ID, `number` what engines and their code know the site by: the same for a probe's
    first site; a function's further returns have numbers of their own.
    """

    function: PlacedFunction
    kind: SiteKind
    offset: int
    probe: int
    number: int

    @property
    def object(self) -> LoadedObject:
        return self.function.object

    @property
    def address(self) -> RemoteAddr:
        # Which numbers are addresses only the type checker wants to know; the module that says so is large.
        return cast("RemoteAddr", self.function.address + self.offset)

    @property
    def file_offset(self) -> FileOffset:
        return cast("FileOffset", self.function.file_offset + self.offset)

    @property
    def code(self) -> bytes:
        """The bytes from the site on, CODE_BYTES or fewer, never beyond the section."""
        return self.function.code(self.offset, CODE_BYTES)


_PREFIXES: Final = bytes(
    (0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x66, 0x67, 0xF0, 0xF2, 0xF3, *range(0x40, 0x50))
)


def branch_condition(code: bytes) -> int | None:
    """Return the condition code of the jcc that `code` begins with, perhaps behind prefixes; None where it is another
    instruction, such as jrcxz.
    """
    opcode = code.lstrip(_PREFIXES)
    if opcode[0] == 0x0F and opcode[1] & 0xF0 == 0x80:
        return opcode[1] & 15
    return opcode[0] & 15 if opcode[0] & 0xF0 == 0x70 else None


_KINDS: Final = tuple(SiteKind)


class Sites(Sequence[Site]):
    """The sites of a plan, by the probe's ID and then by address: 21 bytes each, made objects when asked for.

    A library has a hundred instructions for each function.
    """

    __slots__ = (
        "_dissected",
        "_kinds",
        "_numbers",
        "_object_numbers",
        "_objects",
        "_offsets",
        "_owners",
        "_places",
        "_probes",
    )

    def __init__(self) -> None:
        self._objects: list[PlacedFunctions] = []
        self._object_numbers: dict[PlacedFunctions, int] = {}
        """Where each is in `_objects`."""
        self._dissected: set[PlacedFunction] = set()
        self._owners = array("I")
        """The number of the object, and the place of the function in it."""
        self._places = array("I")
        self._offsets = array("i")
        self._probes = array("I")
        self._numbers = array("I")
        self._kinds = bytearray()

    def add(self, function: PlacedFunction, kind: SiteKind, offset: int, probe: int, number: int) -> None:
        """Append a site."""
        owner = self._object_numbers.setdefault(function.among, len(self._objects))
        if owner == len(self._objects):
            self._objects.append(function.among)
        self._owners.append(owner)
        self._places.append(function.place)
        self._offsets.append(offset)
        self._probes.append(probe)
        self._numbers.append(number)
        self._kinds.append(kind)
        if kind is SiteKind.OFFSET:
            self._dissected.add(function)

    def extend(self, others: Iterable[Site]) -> None:
        """Append sites."""
        for site in others:
            self.add(site.function, site.kind, site.offset, site.probe, site.number)

    def __len__(self) -> int:
        return len(self._offsets)

    @overload
    def __getitem__(self, index: int) -> Site: ...
    @overload
    def __getitem__(self, index: slice) -> Sites: ...
    def __getitem__(self, index: int | slice) -> Site | Sites:
        if isinstance(index, slice):
            return self.at(range(*index.indices(len(self))))
        return Site(
            self._objects[self._owners[index]][self._places[index]],
            _KINDS[self._kinds[index]],
            self._offsets[index],
            self._probes[index],
            self._numbers[index],
        )

    def __iter__(self) -> Iterator[Site]:
        return map(self.__getitem__, range(len(self)))

    def at(self, indices: Iterable[int]) -> Sites:
        """Return the sites at these places of the table."""
        chosen = Sites()
        chosen._objects, chosen._object_numbers = self._objects, self._object_numbers
        chosen._dissected = self._dissected
        for index in indices:
            chosen._owners.append(self._owners[index])
            chosen._places.append(self._places[index])
            chosen._offsets.append(self._offsets[index])
            chosen._probes.append(self._probes[index])
            chosen._numbers.append(self._numbers[index])
            chosen._kinds.append(self._kinds[index])
        return chosen

    def touch(self, module: str) -> bool:
        """Say whether an object of this name has sites, in this table or those that it was taken from."""
        return any(functions.object.name == module for functions in self._objects)

    def kinds(self) -> frozenset[SiteKind]:
        """Return which kinds there are."""
        return frozenset(map(_KINDS.__getitem__, set(self._kinds)))

    def sharing(self) -> dict[int, list[int]]:
        """Return the numbers of the sites at each address that has several, in the order in which they fire."""
        if len(self.kinds()) < 2:
            return {}
        places: dict[int, list[int]] = {}
        for place in range(len(self)):
            places.setdefault(self.address(place), []).append(place)
        return {
            address: [self._numbers[place] for place in sorted(own, key=self._kinds.__getitem__)]
            for address, own in places.items()
            if len(own) > 1
        }

    def address(self, place: int) -> int:
        """Return the address of a site, given its place in the table."""
        functions = self._objects[self._owners[place]]
        own = functions.table.addresses[self._places[place]]
        return own + functions.object.bias + self._offsets[place]

    def counts(self) -> dict[tuple[tuple[int, int], int], int]:
        """Return how many sites there are in each file, by its device and inode."""
        found: Counter[tuple[tuple[int, int], int]] = Counter()
        for owner, count in Counter(self._owners).items():
            loaded = self._objects[owner].object
            found[loaded.device, loaded.inode] += count
        return found

    def dissected(self, function: PlacedFunction) -> bool:
        """Say whether the plan has sites at single instructions of a function, whichever engine serves them."""
        return function in self._dissected
