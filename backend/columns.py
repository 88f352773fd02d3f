"""What there is one of for each of a hundred thousand sites, in little memory."""

from __future__ import annotations

from array import array
from collections.abc import Hashable, Iterable, Iterator, Sequence
from heapq import merge
from itertools import pairwise, starmap
from typing import Final, TypeVar, overload

_FEW: Final = 64

T = TypeVar("T", bound=Hashable)


def ascending(values: Sequence[int]) -> Sequence[int]:
    """Return the places of the values, in the order of these. Values that ascend mostly are merged, since sorting makes
    an object of each.
    """
    begins = [place for place in range(1, len(values)) if values[place] < values[place - 1]]
    if not begins:
        return range(len(values))
    if len(begins) > _FEW:
        return array("I", sorted(range(len(values)), key=values.__getitem__))
    runs = starmap(range, pairwise([0, *begins, len(values)]))
    return array("I", merge(*runs, key=values.__getitem__))


class Coded(Sequence[T]):
    """Values few of which differ: four bytes for each, and each value once. Can be pickled if the values can."""

    __slots__ = ("_codes", "_numbers", "_values")

    def __init__(self, values: Iterable[T] = ()) -> None:
        self._codes = array("I")
        self._values: list[T] = []
        self._numbers: dict[T, int] = {}
        """Where each value is in `_values`."""
        self.extend(values)

    def append(self, value: T) -> None:
        """Add a value."""
        number = self._numbers.setdefault(value, len(self._values))
        if number == len(self._values):
            self._values.append(value)
        self._codes.append(number)

    def extend(self, values: Iterable[T]) -> None:
        """Add values."""
        for value in values:
            self.append(value)

    def __setitem__(self, place: int, value: T) -> None:
        self.append(value)
        self._codes[place] = self._codes.pop()

    def __len__(self) -> int:
        return len(self._codes)

    @overload
    def __getitem__(self, place: int) -> T: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[T]: ...
    def __getitem__(self, place: int | slice) -> T | Sequence[T]:
        if isinstance(place, slice):
            return [self._values[code] for code in self._codes[place]]
        return self._values[self._codes[place]]

    def __iter__(self) -> Iterator[T]:
        return map(self._values.__getitem__, self._codes)
