"""Places for trampolines in a stretch of memory of which few pages are to be touched.

The distance of a jump to its trampoline may have bits that are fixed (`overlaid`). If only its lowest byte is, or its
highest, the trampoline itself lies where that leads. Else a *stone* does, five bytes that jump on to the trampoline:
the stones of many jumps find room between each other where trampolines would not.

Pure: numbers in, numbers out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final

from scratch.overlaid import Pins
from scratch.placement import PAGE

STONE_SIZE: Final = 5
ALIGNMENT: Final = 16
"""Of a trampoline that may be anywhere: what processors fetch at once."""
_SPARE_PAGES: Final = 16
"""Pages that stones may touch beyond those that are needed anyhow."""
_LOW, _SECOND, _THIRD = 0xFF, 0xFF00, 0xFF0000
_FINE: Final = 8
"""Distance between places that are tried for a stone that may be anywhere in a window of 64 KiB."""


@dataclass(frozen=True, slots=True)
class Item:
    """A trampoline of at most `size` bytes. The jump to it ends at `end`, and its distance should have these pins."""

    size: int
    end: int
    pins: Pins | None

    @property
    def needs_stone(self) -> bool:
        return self.pins is not None and self.pins.mask & (_SECOND | _THIRD) != 0


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
    ends = [item.end for item in items]
    return _whole_pages(min(max(ends) - min(ends), _THIRD) + (1 << 17)) + 2 * content


def phase_for(items: Sequence[Item]) -> int:
    """Return what the start of a stretch should be, modulo 1 << 24, to have room for all stones."""
    return (min(item.end for item in items) + 0xCC0000) % (1 << 24) // PAGE * PAGE


def pack(items: Sequence[Item], start: int, length: int) -> list[Spot]:
    """Return a spot in [start, start + length) for each item; `length` is at least `length_for` them.

    Pins that can't be had there are left out.
    """
    stretch = _Stretch(start, length, _content(items))
    landings: dict[int, int] = {}
    stones = [(place, item) for place, item in enumerate(items) if item.needs_stone]
    for place, item in sorted(stones, key=lambda one: _pins(one[1]).mask & _SECOND == 0):
        landing = stretch.stone(item.end, _pins(item))
        if landing is not None:
            landings[place] = landing
    stretch.close()
    spots: dict[int, Spot] = {}
    for place, item in enumerate(items):
        if item.pins is not None and not item.needs_stone and item.pins.mask & _LOW:
            at = stretch.step(item.size, item.end + item.pins.value)
            if at is not None:
                spots[place] = Spot(at, at)
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
    return _whole_pages(sum(item.size + ALIGNMENT for item in items))


def _whole_pages(size: int) -> int:
    return -(-size // PAGE) * PAGE


class _Stretch:
    """Memory from `start` on, and what of it is taken. The last `content` bytes, enough for all trampolines, are for
    those that find no other place.
    """

    def __init__(self, start: int, length: int, content: int) -> None:
        self._start = start
        self._taken = bytearray(length)
        self._last = length - content
        self._pages: set[int] = set()
        """Numbers of those that have a stone, later of all that may be used."""
        self._needed = content // PAGE
        self._most_pages = self._needed + _SPARE_PAGES
        self._steps: dict[int, int] = {}
        """Where to look next for places whose lowest byte is this."""
        self._opened = self._last
        """The beginning of the pages that have been added for these."""
        self._next = 0

    def stone(self, end: int, pins: Pins) -> int | None:
        """Take a place for a stone at a distance with these pins from `end`, in a page that has one already if that can
        be; None where there is none.
        """
        chosen = None
        for at in self._landings(end - self._start, pins):
            if self._taken.find(1, at, at + STONE_SIZE) >= 0:
                continue
            if self._pages.issuperset(_pages_of(at)):
                chosen = at
                break
            if chosen is None and len(self._pages) < self._most_pages:
                chosen = at
        if chosen is None:
            return None
        self._pages.update(_pages_of(chosen))
        self._take(chosen, STONE_SIZE)
        return self._start + chosen

    def _landings(self, end: int, pins: Pins) -> Iterator[int]:
        """Yield places for a stone, those first that are likely to be near others'."""
        if pins.mask & _SECOND:
            assert pins.mask == _LOW | _SECOND, pins
            yield from range((end + pins.value) % (1 << 16), self._last, 1 << 16)
            return
        step = 1 << 8 if pins.mask & _LOW else _FINE
        low = (end + (pins.value & _THIRD)) % (1 << 24)
        for window in (low - (1 << 24), low):
            common = -(-window // (1 << 16)) * (1 << 16) + PAGE // 2
            common = common if common < window + (1 << 16) else common - (1 << 16)
            first = window + (pins.value & _LOW)
            up = range(first + -(-(common - first) // step) * step, window + (1 << 16), step)
            down = range(up.start - step, first - 1, -step)
            yield from (at for at in chain(up, down) if 0 <= at < self._last)

    def close(self) -> None:
        """Have no more stones, and trampolines in as few pages as possible."""
        free = (page for page in range(self._last // PAGE) if page not in self._pages)
        self._pages.update(islice(free, max(self._needed - len(self._pages), 0)))
        for page in range(self._last // PAGE):
            if page not in self._pages:
                self._taken[page * PAGE : (page + 1) * PAGE] = b"\1" * PAGE

    def step(self, size: int, end: int) -> int | None:
        """Take a place whose lowest byte is that of `end`; None where there is none."""
        lowest = (end - self._start) % (1 << 8)
        at = self._free(self._steps.get(lowest, lowest), size, 1 << 8, self._last)
        while at is None and self._open():
            at = self._free(self._opened + lowest, size, 1 << 8, self._last)
        if at is None:
            return None
        self._steps[lowest] = at + (1 << 8)
        self._take(at, size)
        return self._start + at

    def _open(self) -> bool:
        """Add a page; False if there are as many as there may be."""
        page = next((page for page in range(self._last // PAGE) if page not in self._pages), None)
        if page is None or len(self._pages) >= self._most_pages:
            return False
        self._pages.add(page)
        self._taken[page * PAGE : (page + 1) * PAGE] = bytes(PAGE)
        self._opened = min(self._opened, page * PAGE)
        return True

    def anywhere(self, size: int) -> int:
        """Take the next place that there is."""
        at = self._free(self._next, size, ALIGNMENT, len(self._taken))
        assert at is not None, "no room for a trampoline"
        self._next = -(-(at + size) // ALIGNMENT) * ALIGNMENT
        self._take(at, size)
        return self._start + at

    def _free(self, at: int, size: int, step: int, end: int) -> int | None:
        """Return the first free place before `end` at a multiple of `step` from `at` on."""
        while at + size <= end:
            taken = self._taken.find(1, at, at + size)
            if taken < 0:
                return at
            behind = self._taken.find(0, taken, end)
            if behind < 0:
                return None
            at += -(-(behind - at) // step) * step
        return None

    def _take(self, at: int, size: int) -> None:
        self._taken[at : at + size] = b"\1" * size


def _pages_of(at: int) -> tuple[int, int]:
    """Return the numbers of the pages that a stone is in."""
    return at // PAGE, (at + STONE_SIZE - 1) // PAGE
