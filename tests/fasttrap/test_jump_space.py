"""Where regions for trampolines go, asked of a process that always has room."""

import random
from itertools import pairwise

import pytest

from backend.fasttrap import jump_space
from backend.fasttrap.inject import Gate
from backend.fasttrap.jump_space import MOST_REGIONS, Need, Room, map_regions
from backend.fasttrap.text import PAGE_SIZE
from backend.linux.procfs import RemoteAddr
from scratch.overlaid import Pins
from scratch.placement import Mapped

START = 1 << 32
GATE = Gate(RemoteAddr(0))


@pytest.fixture
def mapped(monkeypatch: pytest.MonkeyPatch) -> dict[int, int]:
    """What has been mapped, address and size, in a process that has nothing but a page at START."""
    found: dict[int, int] = {}

    def map_at(_tid: int, _gate: Gate, address: int, size: int) -> bool:
        found[address] = size
        return True

    def taken(_tid: int) -> list[Mapped]:
        return [Mapped(START, START + PAGE_SIZE), *(Mapped(at, at + size) for at, size in found.items())]

    monkeypatch.setattr(jump_space, "taken", taken)
    monkeypatch.setattr(jump_space, "map_at", map_at)
    return found


def test_those_that_share_a_region_are_served_before_those_that_need_one_each(mapped: dict[int, int]) -> None:
    picky = [
        Need((at, at + (1 << 16)), 100, 1) for at in range(START, START + (MOST_REGIONS + 9 << 17), 1 << 17)
    ]
    easy = [Need((START - (1 << 31), START + (1 << 31)), 100, 1)] * 5
    found = map_regions([*picky, *easy], 1, GATE)
    assert len(mapped) == MOST_REGIONS
    assert all(room is not None for room in found[len(picky) :])
    assert sum(room is not None for room in found) == MOST_REGIONS - 1 + len(easy)


def test_those_with_few_places_lie_there_and_others_around_them(mapped: dict[int, int]) -> None:
    exact = START + 0x12345
    needs = [
        Need((START - (1 << 31), START + (1 << 31)), 100, 1),
        Need((exact, exact + 1), 100, 1),
        Need((exact + 50, exact + 51), 100, 1),  # in the middle of the one before
        Need((exact + 50, exact + 50 + 256), 100, 1),
        Need((exact + 0x4000, exact + 0x4001), 100, 2),
        Need((exact + 0x40_0000, exact + 0x40_0001), 100, 1),  # too far to share a region
        Need((START + 10, START + 11), 100, 1),  # something else is there
    ]
    found = map_regions(needs, 1, GATE)
    assert [room is not None for room in found] == [True, True, False, True, True, True, False]
    assert len(mapped) == 3
    taken = sorted((room.at, room.at + need.size) for need, room in zip(needs, found, strict=True) if room)
    assert all(before[1] <= after[0] for before, after in pairwise(taken))
    for need, room in zip(needs, found, strict=True):
        if room is not None:
            assert need.within[0] <= room.at < need.within[1]
            region = room.region
            assert mapped[region.start] == region.size
            assert region.code <= room.at and room.at + need.size <= region.start + region.size
    assert found[4] is not None and found[1] is not None
    assert found[1].region == found[4].region
    assert found[1].region.capacity == 4


def test_pins_are_had_by_neighbours_whose_regions_lie_in_each_others_way(mapped: dict[int, int]) -> None:
    text = 0x7F00_0000_0000
    reach = (text - (1 << 31) + (1 << 24), text + (1 << 31))
    kinds = (Pins(0xFF, 0xCC), Pins(0xFFFF, 0xCC54), Pins(0xFF00FF, 0xCC00CC), Pins(0xFF0000FF, 0xCC0000CC))
    chance = random.Random(1)
    for start in range(text, text + (4 << 19), 1 << 19):
        places = sorted(chance.sample(range(start, start + (1 << 19), 16), 1000))
        needs = [Need(reach, 130, 1, at + 5, chance.choice(kinds)) for at in places]
        rooms = zip(needs, map_regions(needs, 1, GATE), strict=True)
        missed = [need.pins for need, room in rooms if room is None or not has_pins(need, room)]
        assert set(missed) <= {kinds[1]} and len(missed) < 10  # two stones may want one place
    starts = sorted(mapped.items())
    assert all(at + size <= after for (at, size), (after, _) in pairwise(starts))


def has_pins(need: Need, room: Room) -> bool:
    return need.pins is None or not (room.landing - need.end ^ need.pins.value) & need.pins.mask
