"""Places for trampolines: nothing overlaps, and pins are had wherever they can be, in few pages."""

import random
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from scratch.overlaid import Pins
from scratch.packing import STONE_SIZE, Item, Spot, length_for, pack, phase_for
from scratch.placement import PAGE

TEXT = 0x7F00_0000_0000
ANY = 0xCC
PINS = (
    None,
    Pins(0xFF, ANY),
    Pins(0xFFFF, ANY << 8 | 0x54),
    Pins(0xFF00FF, ANY << 16 | ANY),
    Pins(0xFF0000FF, ANY << 24 | ANY),
    Pins(0xFF0000, ANY << 16),
    Pins(0xFF000000, ANY << 24),
)


def start_for(items: list[Item], length: int) -> int:
    """Where all pins can be had: 832 MiB below the text, as the highest byte demands."""
    best = min(item.end for item in items) + (0xCD << 24) - (1 << 32) - length
    return best - (best - (phase_for(items) or 0)) % (1 << 24)


def distance(item: Item, spot: Spot) -> int:
    return (spot.landing - item.end) % (1 << 32)


def has_pins(item: Item, spot: Spot) -> bool:
    return item.pins is None or not (distance(item, spot) ^ item.pins.value) & item.pins.mask


def pieces(items: list[Item], spots: list[Spot]) -> list[tuple[int, int]]:
    """The ranges that trampolines and stones take, ascending."""
    found = [(spot.at, spot.at + item.size) for item, spot in zip(items, spots, strict=True)]
    found += [(spot.landing, spot.landing + STONE_SIZE) for spot in spots if spot.landing != spot.at]
    return sorted(found)


@given(
    st.lists(
        st.tuples(st.integers(1, 700), st.integers(1, 3 << 20), st.sampled_from(PINS)),
        min_size=1,
        max_size=300,
    ),
    st.integers(-(1 << 23), 1 << 23),
)
def test_nothing_overlaps_wherever_the_stretch_is(
    sites: list[tuple[int, int, Pins | None]], off: int
) -> None:
    items = [Item(size, TEXT + at, pinned) for size, at, pinned in sites]
    length = length_for(items)
    start = start_for(items, length) + off // PAGE * PAGE
    spots = pack(items, start, length)
    taken = pieces(items, spots)
    assert start <= taken[0][0] and taken[-1][1] <= start + length
    assert all(before[1] <= after[0] for before, after in pairwise(taken))


def test_all_pins_are_had_in_few_pages() -> None:
    chance = random.Random(1)
    items = [
        Item(130, TEXT + 16 * number + 5, chance.choice(PINS))
        for number in sorted(chance.sample(range(1 << 15), 1000))
    ]
    length = length_for(items)
    spots = pack(items, start_for(items, length), length)
    assert all(map(has_pins, items, spots))
    pages = {
        page for start, end in pieces(items, spots) for page in range(start // PAGE, (end - 1) // PAGE + 1)
    }
    assert len(pages) * PAGE < 1.4 * sum(item.size for item in items)


def test_stones_of_few_sites_take_few_pages() -> None:
    chance = random.Random(2)
    items = [Item(130, TEXT + chance.randrange(3 << 20), PINS[2 + number % 2]) for number in range(200)]
    length = length_for(items)
    spots = pack(items, start_for(items, length), length)
    pages = {start // PAGE for start, _ in pieces(items, spots)}
    assert len(pages) <= 2 * 200 * 150 // PAGE + 18
    assert sum(map(has_pins, items, spots)) > 50


def test_without_pins_there_is_nothing_but_what_is_needed() -> None:
    items = [Item(100, TEXT + 64 * number, None) for number in range(100)]
    length = length_for(items)
    assert length <= 100 * 116 + PAGE
    assert all(spot.at == spot.landing for spot in pack(items, TEXT, length))
