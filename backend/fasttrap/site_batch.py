"""The sites that are to be armed, in columns: on their way to the tracer's process, there may be a hundred thousand.

What is done with them is `engine`'s; what an armed site is, `tracepoints` knows.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, overload

from scratch.window_table import WindowTable
from scratch.windows import NoWindow, Way, Window


@dataclass(frozen=True, slots=True)
class Site:
    """An address to be armed, and the number by which the clauses know it; UNCOUNTED if none does. With a window it
    is served by a jump, if that can be.
    """

    address: int
    identifier: int
    window: Window | None = None


@dataclass(frozen=True, slots=True)
class MadeText:
    """A function that the program has made, and may change: what stood at `start` when its sites were found."""

    start: int
    content: bytes

    @property
    def end(self) -> int:
        return self.start + len(self.content)


UNCOUNTED: Final = (1 << 64) - 1
"""The identifier of a site that is ours alone: the engine watches it, no clause is called."""

_UNASKED: Final = NoWindow("")


class SiteBatch(Sequence[Site]):
    """Sites, made objects when asked for. `made` are the functions, of those that have sites, that the program may
    change.
    """

    __slots__ = ("_windows", "addresses", "identifiers", "made")

    def __init__(self, sites: Iterable[Site] = ()) -> None:
        self.addresses = array("Q")
        self.identifiers = array("Q")
        self.made: list[MadeText] = []
        self._windows: WindowTable | None = None
        for site in sites:
            self.add(site.address, site.identifier, site.window)

    def add(self, address: int, identifier: int, window: Window | NoWindow | None = None) -> None:
        """Append a site, which may have been asked for a window, and have none."""
        if window is not None and self._windows is None:
            self._windows = WindowTable()
            for known in self.addresses:
                self._windows.add(known, _UNASKED)
        self.addresses.append(address)
        self.identifiers.append(identifier)
        if self._windows is not None:
            self._windows.add(address, window or _UNASKED)

    def __len__(self) -> int:
        return len(self.addresses)

    @overload
    def __getitem__(self, index: int) -> Site: ...
    @overload
    def __getitem__(self, index: slice) -> SiteBatch: ...
    def __getitem__(self, index: int | slice) -> Site | SiteBatch:
        if isinstance(index, slice):
            return SiteBatch(map(self.__getitem__, range(*index.indices(len(self)))))
        return Site(self.addresses[index], self.identifiers[index], self.window(index))

    def __iter__(self) -> Iterator[Site]:
        return map(self.__getitem__, range(len(self)))

    def window(self, index: int) -> Window | None:
        """Return a site's window."""
        window = self._windows[index] if self._windows is not None else None
        return window if isinstance(window, Window) else None

    def way(self, index: int) -> Way:
        """Return the way of a window that a site has."""
        assert self._windows is not None, index
        return self._windows.way(index)

    def made_of(self, address: int) -> MadeText | None:
        """Return the function that the program may change which an address is in. Those that have one start ascend."""
        place = bisect_right(self.made, address, key=lambda made: made.start) - 1
        return self.made[place] if place >= 0 and address < self.made[place].end else None

    def windowless(self, index: int) -> str | None:
        """Return why a site that was asked for a window has none."""
        window = self._windows[index] if self._windows is not None else None
        return window.reason or None if isinstance(window, NoWindow) else None

    def with_windows(self) -> Sequence[int]:
        """Return the places of the sites that have windows."""
        return self._windows.places() if self._windows is not None else ()

    def without_windows(self, places: Iterable[int]) -> SiteBatch:
        """Return the sites at some places, which are to have traps."""
        chosen = SiteBatch()
        chosen.made = self.made
        for place in places:
            chosen.add(self.addresses[place], self.identifiers[place])
        return chosen
