"""Where regions for trampolines go, asked of a process that always has room."""

from itertools import pairwise

import pytest

from backend.fasttrap import jump_space
from backend.fasttrap.inject import Gate
from backend.fasttrap.jump_space import MOST_REGIONS, Need, map_regions
from backend.fasttrap.text import PAGE_SIZE
from backend.linux.procfs import RemoteAddr
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

    monkeypatch.setattr(jump_space, "taken", lambda _tid: [Mapped(START, START + PAGE_SIZE)])
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
