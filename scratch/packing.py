"""Places for trampolines in a stretch of memory of which few pages are to be touched.

The distance of a jump to its trampoline may have bits that are fixed (`overlaid`). If only its lowest byte is, or its
highest, the trampoline itself lies where that leads. Else a *stone* does, five bytes that jump on to the trampoline:
the stones of many jumps find room between each other where trampolines would not.

Pure: numbers in, numbers out.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final

from scratch.overlaid import Pins
from scratch.placement import PAGE, whole_pages

STONE_SIZE: Final = 5
ALIGNMENT: Final = 16
"""Of a trampoline that may be anywhere: what processors fetch at once."""
_SPARE_PAGES: Final = 16
"""Pages that stones may touch beyond those that are needed anyhow."""
_LOW, _SECOND, _THIRD = 0xFF, 0xFF00, 0xFF0000
_STEP: Final = 1 << 8
"""Distance between places for what has its lowest byte fixed."""
_WINDOW: Final = 1 << 16
_FILLED: Final = 0.8
"""How much of a page is filled, usually."""
_MOST_TRIED: Final = 32
_FINE: Final = 8
"""Distance between places that are tried for a stone that may be anywhere in a window of 64 KiB."""


@dataclass(frozen=True, slots=True)
class Item:
    """A trampoline of at most `size` bytes. The jump to it ends at `end`, and its distance should have these pins."""

    size: int
    end: int
    pins: Pins | None

    @property
    def is_picky(self) -> bool:
        """Whether little but a stone is sure to find room."""
        return self.pins is not None and self.pins.mask & (_SECOND | _THIRD) != 0

    @property
    def has_window(self) -> bool:
        """Whether it has to be in 64 KiB of each 16 MiB."""
        return self.pins is not None and self.pins.mask & _THIRD != 0


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a trampoline is to be, and where its jump leads: there, or to a stone."""

    at: int
    landing: int


def length_for(items: Sequence[Item]) -> int:
    """Return how many bytes a stretch has to have for these items; most of its pages stay as they are."""
    content = _content(items)
    if all(item.pins is None for item in items):
        return content
    ends = [item.end for item in items if item.has_window]
    span = min(max(ends) - min(ends), _THIRD) + _WINDOW if ends else 0
    return whole_pages(span + _WINDOW) + 2 * content


def phase_for(items: Sequence[Item]) -> int | None:
    """Return what the start of a stretch should be, modulo 1 << 24, to have all windows; None if there is none."""
    ends = [item.end for item in items if item.has_window]
    return (min(ends) + 0xCC0000) % (1 << 24) // PAGE * PAGE if ends else None


def parted(items: Sequence[Item]) -> tuple[list[int], list[int]]:
    """Part items, by their places, between a stretch for those that have windows, which several such stretches can't
    have near each other, and one for the others. Where the windows leave room in their pages, others fill it.
    """
    with_windows = [place for place, item in enumerate(items) if item.has_window]
    room = int(_FILLED * PAGE * _windows(items)) - sum(items[place].size for place in with_windows)
    first, others = set(with_windows), []
    for place, item in enumerate(items):
        if place in first:
            continue
        if room >= item.size and (item.pins is None or item.pins.mask == _LOW):
            first.add(place)
            room -= item.size
        else:
            others.append(place)
    return sorted(first), others


def pack(items: Sequence[Item], start: int, length: int) -> list[Spot]:
    """Return a spot in [start, start + length) for each item; `length` is at least `length_for` them.

    Pins that can't be had there are left out.
    """
    stretch = _Stretch(start, length, _content(items), _windows(items))
    picky = [(place, item) for place, item in enumerate(items) if item.is_picky]
    landings: dict[int, int] = {}
    for place, item in sorted(picky, key=lambda one: one[1].has_window):
        landing = stretch.stone(item.size, item.end, _pins(item))
        if landing is not None:
            landings[place] = landing
    spots = {
        place: Spot(landing, landing)
        for place, landing in landings.items()
        if stretch.instead_of_stone(landing, items[place].size)
    }
    stretch.close()
    steps = [
        (place, item.size, (item.end + item.pins.value) % _STEP)
        for place, item in enumerate(items)
        if item.pins is not None and not item.is_picky and item.pins.mask & _LOW
    ]
    spots |= {place: Spot(at, at) for place, at in stretch.steps(steps)}
    for place, item in enumerate(items):
        if place not in spots:
            at = stretch.anywhere(item.size)
            spots[place] = Spot(at, landings.get(place, at))
    return [spots[place] for place in range(len(items))]


def _pins(item: Item) -> Pins:
    assert item.pins is not None, item
    return item.pins


def _content(items: Sequence[Item]) -> int:
    """Return how many bytes, in whole pages, are enough for these trampolines anywhere."""
    return whole_pages(sum(item.size + ALIGNMENT for item in items))


def _windows(items: Sequence[Item]) -> int:
    """Return how many windows there are, more or less."""
    return len({item.end // _WINDOW for item in items if item.has_window})


class _Stretch:
    """Memory from `start` on, and what of it is taken. The last `content` bytes, enough for all trampolines, are for
    those that find no other place.
    """

    def __init__(self, start: int, length: int, content: int, windows: int) -> None:
        self._start = start
        self._taken = bytearray(length)
        self._last = length - content
        self._needed = content // PAGE
        self._most_pages = self._needed + _SPARE_PAGES
        self._pages = set(range(min(max(self._needed - windows, 0), self._last // PAGE)))
        """Numbers of those that are used, or will be."""
        self._next = 0

    def stone(self, size: int, end: int, pins: Pins) -> int | None:
        """Take a place for a stone at a distance with these pins from `end`, rather in a page that is used anyhow, and
        where a trampoline of `size` bytes would have room; None where there is none.
        """
        best: tuple[bool, bool, int] | None = None
        for at in islice(self._landings(end - self._start, pins), _MOST_TRIED):
            taken = self._taken.find(1, at, at + size)
            if 0 <= taken < at + STONE_SIZE:
                continue
            opens = not self._pages.issuperset(_pages_of(at, STONE_SIZE))
            if opens and len(self._pages) >= self._most_pages:
                continue
            if best is None or (opens, taken >= 0) < best[:2]:
                best = opens, taken >= 0, at
            if best[:2] == (False, False):
                break
        if best is None:
            return None
        self._pages.update(_pages_of(best[2], STONE_SIZE))
        self._take(best[2], STONE_SIZE)
        return self._start + best[2]

    def instead_of_stone(self, landing: int, size: int) -> bool:
        """Take the place for a trampoline that a stone was to have, if there is room."""
        at = landing - self._start
        if self._taken.find(1, at + STONE_SIZE, at + size) >= 0:
            return False
        self._take(at, size)
        return True

    def _landings(self, end: int, pins: Pins) -> Iterator[int]:
        """Yield places for a stone, those first that are likely to be near others'."""
        if pins.mask & _SECOND:
            assert pins.mask == _LOW | _SECOND, pins
            yield from range((end + pins.value) % (1 << 16), self._last - STONE_SIZE, 1 << 16)
            return
        step = 1 << 8 if pins.mask & _LOW else _FINE
        low = (end + (pins.value & _THIRD)) % (1 << 24)
        for window in (low - (1 << 24), low):
            if not -(1 << 16) < window < self._last:
                continue
            common = -(-window // (1 << 16)) * (1 << 16) + PAGE // 2
            common = common if common < window + (1 << 16) else common - (1 << 16)
            first = window + (pins.value & _LOW)
            up = range(first + -(-(common - first) // step) * step, window + (1 << 16), step)
            down = range(up.start - step, first - 1, -step)
            yield from (at for at in chain(up, down) if 0 <= at <= self._last - STONE_SIZE)

    def close(self) -> None:
        """Have no more stones, and trampolines in as few pages as possible."""
        free = (page for page in range(self._last // PAGE) if page not in self._pages)
        self._pages.update(islice(free, max(self._needed - len(self._pages), 0)))
        for page in range(self._last // PAGE):
            if page not in self._pages:
                self._taken[page * PAGE : (page + 1) * PAGE] = b"\1" * PAGE

    def steps(self, wanted: Iterable[tuple[int, int, int]]) -> Iterator[tuple[int, int]]:
        """Take places for trampolines, as long as there are any: of each its number, its size, and the lowest byte of
        its address. At each place comes the one for which the least has to be left free.
        """
        waiting: dict[int, list[tuple[int, int]]] = {}
        for number, size, byte in wanted:
            waiting.setdefault((byte - self._start) % _STEP, []).append((number, size))
        lowest, at = sorted(waiting), 0
        while lowest:
            free = self._taken.find(0, at, self._last)
            if free < 0:
                page = self._open()
                if page is None:
                    return
                at = page * PAGE
                continue
            next_ = bisect_left(lowest, free % _STEP) % len(lowest)
            byte = lowest[next_]
            number, size = waiting[byte][-1]
            at = free + (byte - free) % _STEP
            taken = self._taken.find(1, free, min(at + size, self._last))
            if taken >= 0 or at + size > self._last:
                at = taken if taken >= 0 else self._last
                continue
            self._take(at, size)
            yield number, self._start + at
            at += size
            waiting[byte].pop()
            if not waiting[byte]:
                del lowest[next_]

    def _open(self) -> int | None:
        """Add a page and return its number; None if there are as many as there may be."""
        page = next((page for page in range(self._last // PAGE) if page not in self._pages), None)
        if page is None or len(self._pages) >= self._most_pages:
            return None
        self._pages.add(page)
        self._taken[page * PAGE : (page + 1) * PAGE] = bytes(PAGE)
        return page

    def anywhere(self, size: int) -> int:
        """Take the next place that there is."""
        at = self._next
        while (taken := self._taken.find(1, at, at + size)) >= 0:
            free = self._taken.find(0, taken)
            assert free >= 0, "no room for a trampoline"
            at = -(-free // ALIGNMENT) * ALIGNMENT
        assert at + size <= len(self._taken), "no room for a trampoline"
        self._next = -(-(at + size) // ALIGNMENT) * ALIGNMENT
        self._take(at, size)
        return self._start + at

    def _take(self, at: int, size: int) -> None:
        self._taken[at : at + size] = b"\1" * size


def _pages_of(at: int, size: int) -> tuple[int, int]:
    """Return the numbers of the first and the last page that so many bytes are in: no more than a page."""
    return at // PAGE, (at + size - 1) // PAGE
