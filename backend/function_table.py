"""The functions of an object in columns: their addresses, sizes and names, made objects when asked for.

A browser's library has half a million, and most are never asked for. Hands functions to whoever matches descriptions
(backend/sites.py), decodes code or names addresses; backend/symbols.py makes the table of symbols.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple, overload

from backend.errors import MalformedElf

_AT_ONCE: Final = 4096
"""Functions whose names are taken apart at a time."""
_MOST_NAME_BYTES: Final = (1 << 32) - 1


class Function(NamedTuple):
    """One function of a file: an address, and all the names it has.

    `address` is virtual, as the file gives it; for an IFUNC it is the resolver's, which no probe must be placed at.
    `size` is in bytes, at least 1, and ends within the section; `sized` says whether a symbol has it. `aliases` are the
    names other than the canonical `name`, sorted, without symbol versions.
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


class FunctionTable(Sequence[Function]):
    """The functions of one file, ascending by address, no two at the same, and its executable sections: twenty bytes
    each, and its names.

    `text` are `[start, end)` of virtual addresses, ascending and disjoint. Made by a TableMaker.
    """

    __slots__ = ("_ends", "_ifuncs", "_names", "_unsized", "addresses", "sizes", "text")

    def __init__(
        self,
        addresses: array[int],
        sizes: array[int],
        names: bytes,
        ends: array[int],
        ifuncs: array[int],
        unsized: array[int],
        text: tuple[tuple[int, int], ...],
    ) -> None:
        self.addresses = addresses
        self.sizes = sizes
        self._names = names
        """Of each function its names in UTF-8, canonical first, each between two NULs: `\\0name\\0alias\\0`."""
        self._ends = ends
        """Where the names of each function end."""
        self._ifuncs = ifuncs
        """The places of IFUNCs."""
        self._unsized = unsized
        """The places of functions of which no symbol has the size."""
        self.text = text

    def __len__(self) -> int:
        return len(self.addresses)

    @overload
    def __getitem__(self, place: int) -> Function: ...
    @overload
    def __getitem__(self, place: slice) -> list[Function]: ...
    def __getitem__(self, place: int | slice) -> Function | list[Function]:
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(len(self)))]
        place = range(len(self))[place]
        address, size = self.addresses[place], self.sizes[place]
        name, *aliases = self._names_at(place)
        return Function(
            address, size, name, tuple(aliases), self.is_ifunc(place), not _holds(self._unsized, place)
        )

    def __iter__(self) -> Iterator[Function]:
        return map(self.__getitem__, range(len(self)))

    def name(self, place: int) -> str:
        """Return a function's canonical name."""
        return self._names_at(place)[0]

    def aliases(self, place: int) -> tuple[str, ...]:
        """Return a function's other names."""
        return tuple(self._names_at(place)[1:])

    def _names_at(self, place: int) -> list[str]:
        start = self._ends[place - 1] if place else 0
        return self._names[start + 1 : self._ends[place] - 1].decode().split("\0")

    def is_ifunc(self, place: int) -> bool:
        """Say whether a function is an IFUNC."""
        return _holds(self._ifuncs, place)

    def ifuncs(self) -> list[Function]:
        """Return the IFUNCs."""
        return [self[place] for place in self._ifuncs]

    def place(self, address: int) -> int | None:
        """Return the place of the function that starts at `address`."""
        place = bisect_left(self.addresses, address)
        return place if place < len(self) and self.addresses[place] == address else None

    def at(self, address: int) -> Function | None:
        """Return the function that starts at `address`."""
        place = self.place(address)
        return None if place is None else self[place]

    def place_around(self, address: int) -> int | None:
        """Return the place of the function that `address` is in."""
        place = bisect_right(self.addresses, address) - 1
        return place if place >= 0 and address - self.addresses[place] < self.sizes[place] else None

    def extent(self, address: int) -> int:
        """Return how far it is in bytes from `address` to the next function or the end of its section.

        0 outside the sections.
        """
        end = next((end for start, end in self.text if start <= address < end), address)
        following = bisect_right(self.addresses, address)
        if following < len(self):
            end = min(end, self.addresses[following])
        return end - address

    def named(self, name: str) -> list[int]:
        """Return the places of the functions that have this very name, canonical or alias."""
        wanted = f"\0{name}\0".encode("utf-8", "surrogatepass")
        places = []
        found = self._names.find(wanted) if name and "\0" not in name else -1
        while found >= 0:
            places.append(bisect_right(self._ends, found))
            found = self._names.find(wanted, found + 1)
        return places

    def matching(self, accepts: Callable[[str], bool]) -> array[int]:
        """Return the places of the functions one of whose names is accepted, but for those without a size."""
        unsized = frozenset(self._unsized)
        return array(
            "I",
            (
                place
                for place, names in enumerate(self._all_names())
                if _any(accepts, names) and place not in unsized
            ),
        )

    def all_names(self) -> Iterator[str]:
        """Yield all names of all functions."""
        for names in self._all_names():
            yield from names.split("\0")

    def _all_names(self) -> Iterator[str]:
        """Yield the names of each function, with NULs between them."""
        start = 0
        for last in range(_AT_ONCE - 1, len(self) + _AT_ONCE - 1, _AT_ONCE):
            end = self._ends[min(last, len(self) - 1)]
            yield from self._names[start + 1 : end - 1].decode().split("\0\0")
            start = end


def _holds(places: array[int], place: int) -> bool:
    """Say whether a place is among ascending ones."""
    index = bisect_left(places, place)
    return index < len(places) and places[index] == place


def _any(accepts: Callable[[str], bool], names: str) -> bool:
    return any(map(accepts, names.split("\0"))) if "\0" in names else accepts(names)


class TableMaker:
    """A table in the making, to which functions are added in the order of their addresses."""

    def __init__(self, text: tuple[tuple[int, int], ...]) -> None:
        self._text = text
        self._addresses = array("Q")
        self._sizes = array("Q")
        self._names = bytearray()
        self._ends = array("I")
        self._ifuncs = array("I")
        self._unsized = array("I")

    def add(
        self, address: int, size: int, names: Iterable[bytes], *, ifunc: bool = False, sized: bool = True
    ) -> None:
        """Append a function with these names, canonical first. Bytes of a name that are no UTF-8 appear as `\\xNN`.

        Raises MalformedElf for more names than any file has.
        """
        if ifunc:
            self._ifuncs.append(len(self._addresses))
        if not sized:
            self._unsized.append(len(self._addresses))
        self._addresses.append(address)
        self._sizes.append(size)
        self._names.append(0)
        for name in names:
            self._names += name if name.isascii() else name.decode("utf-8", "backslashreplace").encode()
            self._names.append(0)
        if len(self._names) > _MOST_NAME_BYTES:
            raise MalformedElf("its symbols have too many names")
        self._ends.append(len(self._names))

    def table(self) -> FunctionTable:
        """Return the table."""
        return FunctionTable(
            self._addresses,
            self._sizes,
            bytes(self._names),
            self._ends,
            self._ifuncs,
            self._unsized,
            self._text,
        )


def table_of(functions: Iterable[Function], text: tuple[tuple[int, int], ...]) -> FunctionTable:
    """Return the table of functions, which ascend by address."""
    made = TableMaker(text)
    for function in functions:
        names = [name.encode() for name in function.names]
        made.add(function.address, function.size, names, ifunc=function.ifunc, sized=function.sized)
    return made.table()
