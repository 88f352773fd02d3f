"""Memory in the traced process for trampolines: where each lies.

Regions are mapped readable and executable, never writable, within reach of the jumps that lead there. None is
unmapped before we leave: a thread may be inside. A region begins with its record (`jump_record`). Not here: what a
trampoline is (`scratch.trampoline`), and the writing of the text (`jumps`).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final

from backend.fasttrap.inject import Gate
from backend.fasttrap.jump_record import Region, size_of
from backend.fasttrap.scratch_space import map_at, taken
from backend.fasttrap.text import PAGE_SIZE
from scratch.overlaid import Pins
from scratch.packing import ALIGNMENT, Item, Spot, length_for, pack, parted, phase_for
from scratch.placement import LOWEST, Mapped, candidates_within, whole_pages

MOST_REGIONS: Final = 1024
"""Each costs the process a mapping, of which the kernel allows 65,530."""

_TRIES = 8
_HIGHEST_PINNED = (0xCC << 24) - (1 << 32)
"""The least distance whose highest byte is an int3."""
_WINDOWS_APART = 1 << 24
_PREFERRED = 64
"""Addresses that are considered before any will do."""
_WIDE = 1 << 30
"""Trampolines whose jumps reach farther than that share a region if such a stretch suits all of them."""
_NARROW = PAGE_SIZE
"""Those whose jumps reach fewer places get their places first, wherever in a page these are."""
_GAP = 1 << 16
"""Bytes without a trampoline between two of those that may be mapped with them; they take no memory."""


@dataclass(frozen=True, slots=True)
class Need:
    """A trampoline of at most `size` bytes, anywhere in [low, high) of `within`, which displaces `patches` stretches
    of text. The distance to it from `end`, where its jump ends, should have `pins`.
    """

    within: tuple[int, int]
    size: int
    patches: int
    end: int = 0
    pins: Pins | None = None


@dataclass(frozen=True, slots=True)
class Room:
    """Where a trampoline is to be written, `at`, and the region that is in. Its jump leads to `landing`: there, or to
    where a stone is to be (`scratch.packing`).
    """

    region: Region
    at: int
    landing: int


def map_regions(needs: Sequence[Need], tid: int, gate: Gate) -> list[Room | None]:
    """Map room for trampolines, by calls injected into the held thread `tid`; return where each is to be, None where no
    room is left.

    Raises CannotInject when the kernel refuses executable memory.
    """
    found: list[Room | None] = [None] * len(needs)
    occupied = taken(tid)
    for group in _most_useful([*_narrow_groups(needs), *_parted(_groups(needs), needs)]):
        members = [needs[place] for place, _ in group]
        fixed = [at for _, at in group]
        made = (
            _map_fixed(members, fixed, occupied, tid, gate)
            if fixed[0]
            else _map(members, occupied, tid, gate)
        )
        if made is None:
            continue
        region, spots = made
        occupied.append(Mapped(region.start, region.start + region.size))
        for (place, _), spot in zip(group, spots, strict=True):
            found[place] = Room(region, spot.at, spot.landing)
    return found


_Group = list[tuple[int, int]]
"""Places in the list of needs of those that a region can serve together, each with the address that it must have there,
ascending, or 0: one behind the other."""


def _most_useful(groups: list[_Group]) -> Iterator[_Group]:
    """Yield as many groups as may have a region, those that serve most, in the order given: the pickiest first."""
    by_use = sorted(range(len(groups)), key=lambda place: -len(groups[place]))
    yield from (groups[place] for place in sorted(by_use[:MOST_REGIONS]))


def _map_fixed(
    members: Sequence[Need], fixed: Sequence[int], occupied: Sequence[Mapped], tid: int, gate: Gate
) -> tuple[Region, list[Spot]] | None:
    """Map a region for trampolines that have these addresses, ascending."""
    record, capacity = _record_of(members)
    low = fixed[0] // PAGE_SIZE * PAGE_SIZE
    size = record + whole_pages(fixed[-1] + members[-1].size - low)
    start = low - record
    if start not in candidates_within(occupied, (start, start + size), size) or not map_at(
        tid, gate, start, size
    ):
        return None
    return Region(start, size, capacity, low), [Spot(at, at) for at in fixed]


def _map(
    members: Sequence[Need], occupied: Sequence[Mapped], tid: int, gate: Gate
) -> tuple[Region, list[Spot]] | None:
    """Map a region for trampolines that may be anywhere in it."""
    record, capacity = _record_of(members)
    items = [_item(need) for need in members]
    length = length_for(items)
    size = record + length
    low, high = max(need.within[0] for need in members), min(need.within[1] for need in members)
    preferred = (
        start
        for within in _preferred(items, length, low, high)
        for start in candidates_within(occupied, (within[0] - record, within[1]), size)
    )
    for start in islice(chain(preferred, candidates_within(occupied, (low - record, high), size)), _TRIES):
        if map_at(tid, gate, start, size):
            return Region(start, size, capacity, start + record), pack(items, start + record, length)
    return None


def _record_of(members: Sequence[Need]) -> tuple[int, int]:
    """Return how many bytes the record of a region for these takes, and how many patches it may have."""
    capacity = sum(need.patches for need in members)
    return whole_pages(size_of(capacity)), capacity


def _preferred(items: Sequence[Item], length: int, low: int, high: int) -> Iterator[tuple[int, int]]:
    """Yield ranges in [low, high) in which `length` bytes should be for the pins of all items; those first where they
    have what the highest byte is pinned to.
    """
    if all(item.pins is None for item in items):
        return
    ends = [item.end for item in items]
    first, last = max(ends) + _HIGHEST_PINNED, min(ends) + _HIGHEST_PINNED + _WINDOWS_APART
    phase = phase_for(items)
    if phase is None:
        yield max(low, first), min(high, last)
        return
    near = last - length if last - length >= LOWEST else (low + high) // 2
    near -= (near - phase) % _WINDOWS_APART
    for number in range(_PREFERRED):
        start = near + (number + 1) // 2 * (_WINDOWS_APART if number % 2 else -_WINDOWS_APART)
        if low <= start <= high - length:
            yield start, start + length


def _narrow_groups(needs: Sequence[Need]) -> Iterator[_Group]:
    """Yield groups of those that need a place among few, not far from each other."""
    narrow = [place for place, need in enumerate(needs) if _width(need) < _NARROW]
    group: _Group = []
    end = 0
    for place in sorted(narrow, key=lambda place: needs[place].within):
        low, high = needs[place].within
        at = max(low, end)
        if at >= high:
            continue
        if group and at - end > _GAP:
            yield group
            group = []
        group.append((place, at))
        end = at + needs[place].size
    if group:
        yield group


def _groups(needs: Sequence[Need]) -> Iterator[_Group]:
    """Yield groups of the others: half of what suits each suits all."""
    wide = [place for place, need in enumerate(needs) if _width(need) >= _NARROW]
    group: _Group = []
    low, high, room = 0, 0, 0
    for place in sorted(wide, key=lambda place: (_width(needs[place]), needs[place].within)):
        need = needs[place]
        both = max(low, need.within[0]), min(high, need.within[1])
        enough = min(_WIDE, _width(need) // 2)
        if group and both[1] - both[0] < max(enough, room + need.size + ALIGNMENT):
            yield group
            group = []
        if not group:
            both, room = need.within, 0
        group.append((place, 0))
        (low, high), room = both, room + need.size + ALIGNMENT
    if group:
        yield group


def _parted(groups: Iterable[_Group], needs: Sequence[Need]) -> Iterator[_Group]:
    """Yield groups, those parted that go better to two regions."""
    for group in groups:
        for places in parted([_item(needs[place]) for place, _ in group]):
            if places:
                yield [group[place] for place in places]


def _item(need: Need) -> Item:
    return Item(need.size, need.end, need.pins)


def _width(need: Need) -> int:
    return need.within[1] - need.within[0]
