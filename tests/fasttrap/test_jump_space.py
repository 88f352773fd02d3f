"""Where regions for trampolines go, asked of a process that always has room."""

import pytest

from backend.fasttrap import jump_space
from backend.fasttrap.inject import Gate
from backend.fasttrap.jump_space import MOST_REGIONS, Need, map_regions
from backend.linux.procfs import RemoteAddr

START = 1 << 32


def test_those_that_share_a_region_are_served_before_those_that_need_one_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mapped: list[int] = []

    def map_at(_tid: int, _gate: Gate, address: int, _size: int) -> bool:
        mapped.append(address)
        return True

    monkeypatch.setattr(jump_space, "taken", lambda _tid: [])
    monkeypatch.setattr(jump_space, "map_at", map_at)
    picky = [
        Need((at, at + (1 << 16)), 100, 1) for at in range(START, START + (MOST_REGIONS + 9 << 17), 1 << 17)
    ]
    easy = [Need((START - (1 << 31), START + (1 << 31)), 100, 1)] * 5
    found = map_regions([*picky, *easy], 1, Gate(RemoteAddr(0)))
    assert len(mapped) == MOST_REGIONS
    assert all(region is not None for region in found[len(picky) :])
    assert sum(region is not None for region in found) == MOST_REGIONS - 1 + len(easy)
