"""Addresses for scratch pages: free, aligned, within reach of all of the code, clear of what grows."""

from hypothesis import given
from hypothesis import strategies as st

from scratch.placement import (
    HIGHEST,
    LOWEST,
    MARGIN,
    PAGE,
    REACH,
    STACK_MARGIN,
    Growth,
    Mapped,
    candidates,
    find_gap,
)

PROGRAM = (0x5555_5555_4000, 0x5555_5560_0000)
LIBRARY = (0x7FFF_F7C0_0000, 0x7FFF_F7E0_0000)


def layout() -> list[Mapped]:
    """A position-independent program with heap, libraries and stack, as Linux maps them."""
    return [
        Mapped(*PROGRAM),
        Mapped(PROGRAM[1], PROGRAM[1] + 0x21000, Growth.UP),
        Mapped(LIBRARY[0] - 0x5000, LIBRARY[0]),
        Mapped(*LIBRARY),
        Mapped(LIBRARY[1], 0x7FFF_F7FF_F000),
        Mapped(0x7FFF_FFFD_E000, 0x7FFF_FFFF_F000, Growth.DOWN),
    ]


def test_nearest_gap_below_a_library() -> None:
    assert find_gap(layout(), LIBRARY, PAGE) == LIBRARY[0] - 0x5000 - PAGE


def test_nearest_gap_of_a_program_is_below_it() -> None:
    assert find_gap(layout(), PROGRAM, 3 * PAGE) == PROGRAM[0] - 3 * PAGE


def test_no_candidate_in_the_way_of_the_heap_or_the_stack() -> None:
    heap_end = PROGRAM[1] + 0x21000
    stack = 0x7FFF_FFFD_E000
    for code in (PROGRAM, LIBRARY):
        for address in candidates(layout(), code, PAGE):
            assert not heap_end <= address < heap_end + MARGIN
            assert not stack - STACK_MARGIN < address + PAGE <= stack


def test_size_is_rounded_to_pages() -> None:
    assert find_gap([Mapped(*LIBRARY)], LIBRARY, 1) == LIBRARY[0] - PAGE


def test_room_that_is_too_far_is_no_room() -> None:
    reserved = Mapped(LOWEST, LIBRARY[0])
    above = Mapped(LIBRARY[1], HIGHEST)
    assert find_gap([reserved, Mapped(*LIBRARY), above], LIBRARY, PAGE) is None
    leaves_some = Mapped(LIBRARY[0] - REACH - (64 << 20), LIBRARY[0])
    assert find_gap([leaves_some, Mapped(*LIBRARY), above], LIBRARY, PAGE) is None


def test_position_dependent_program_gets_a_page_below_itself_but_not_at_null() -> None:
    code = (0x40_0000, 0x50_0000)
    taken = [Mapped(*code), Mapped(code[1], code[1] + REACH)]
    found = list(candidates(taken, code, PAGE))
    assert found
    assert min(found) >= LOWEST


def test_code_larger_than_the_reach_has_no_place() -> None:
    code = (0x7000_0000_0000, 0x7000_0000_0000 + 2 * REACH)
    assert list(candidates([Mapped(*code)], code, PAGE)) == []


ranges = st.tuples(st.integers(16, 1 << 20), st.integers(1, 1 << 12)).map(
    lambda r: (r[0] * PAGE, (r[0] + r[1]) * PAGE)
)


@given(st.lists(st.tuples(ranges, st.sampled_from(Growth)), max_size=20), ranges, st.integers(1, 1 << 22))
def test_every_candidate_is_free_aligned_and_in_reach(
    others: list[tuple[tuple[int, int], Growth]], code: tuple[int, int], size: int
) -> None:
    mapped = [Mapped(*code), *(Mapped(*r, g) for r, g in others)]
    rounded = -(-size // PAGE) * PAGE
    found = list(candidates(mapped, code, size))
    assert len(found) == len(set(found))
    for address in found:
        assert address % PAGE == 0
        assert all(address + rounded <= m.start or m.end <= address for m in mapped)
        assert address >= LOWEST
        assert address + rounded <= HIGHEST
        assert max(abs(address - code[1]), abs(address + rounded - code[0])) <= REACH
