"""The bookkeeping of scratch slots: threads, their chunks, and the copies in these."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratch.displaced import SLOT_SIZE
from scratch.slots import CHUNK_SIZE, SLOTS_IN_CHUNK, NoFreeSpace, Pool, SiteAddress, Slot, Tid

PAGE = 0x7000_0000
SITES = [SiteAddress(0x1000 + 16 * n) for n in range(100)]


def pool(chunks: int) -> Pool:
    made = Pool()
    made.add(PAGE, chunks * CHUNK_SIZE)
    return made


def test_repeated_hit_writes_nothing() -> None:
    slots = pool(1)
    first = slots.slot_for(Tid(1), SITES[0])
    assert first == Slot(PAGE, fresh=True)
    assert slots.slot_for(Tid(1), SITES[0]) == Slot(PAGE, fresh=False)


def test_each_thread_has_its_own_copy() -> None:
    slots = pool(2)
    one, other = (slots.slot_for(Tid(tid), SITES[0]) for tid in (1, 2))
    assert abs(one.address - other.address) >= CHUNK_SIZE
    assert one.fresh
    assert other.fresh


def test_least_recently_used_copy_makes_room() -> None:
    slots = pool(1)
    addresses = [slots.slot_for(Tid(1), site).address for site in SITES[:SLOTS_IN_CHUNK]]
    assert len(set(addresses)) == SLOTS_IN_CHUNK
    slots.slot_for(Tid(1), SITES[0])
    assert slots.slot_for(Tid(1), SITES[50]) == Slot(addresses[1], fresh=True)
    assert not slots.slot_for(Tid(1), SITES[0]).fresh
    assert slots.slot_for(Tid(1), SITES[1]).fresh


def test_chunk_of_an_exited_thread_is_taken_with_its_copies() -> None:
    slots = pool(1)
    address = slots.slot_for(Tid(1), SITES[0]).address
    slots.release(Tid(1))
    assert slots.slot_for(Tid(2), SITES[0]) == Slot(address, fresh=False)


def test_exit_of_a_thread_without_chunk_is_no_mistake() -> None:
    slots = pool(1)
    slots.release(Tid(9))
    assert slots.slot_for(Tid(1), SITES[0]) == Slot(PAGE, fresh=True)


def test_full_pool_says_so_and_goes_on_after_another_page() -> None:
    slots = pool(1)
    slots.slot_for(Tid(1), SITES[0])
    with pytest.raises(NoFreeSpace):
        slots.slot_for(Tid(2), SITES[0])
    assert slots.slot_for(Tid(1), SITES[0]) == Slot(PAGE, fresh=False)
    slots.add(PAGE + 0x10000, CHUNK_SIZE)
    assert slots.slot_for(Tid(2), SITES[0]) == Slot(PAGE + 0x10000, fresh=True)


def test_chunks_of_threads_that_come_and_go_are_used_again() -> None:
    slots = pool(3)
    for tid in range(1, 1000):
        slots.slot_for(Tid(tid), SITES[tid % 40])
        slots.release(Tid(tid - 2))


@given(st.lists(st.tuples(st.sampled_from("hr"), st.integers(1, 6), st.integers(0, 40)), max_size=200))
def test_no_two_threads_share_bytes(steps: list[tuple[str, int, int]]) -> None:
    slots = pool(6)
    contents: dict[int, int] = {}
    chunk_of: dict[int, int] = {}
    for step, tid, number in steps:
        site = SITES[number]
        if step == "r":
            slots.release(Tid(tid))
            chunk_of.pop(tid, None)
            continue
        slot = slots.slot_for(Tid(tid), site)
        assert slot.address % SLOT_SIZE == 0
        assert PAGE <= slot.address < PAGE + 6 * CHUNK_SIZE
        if slot.fresh:
            contents[slot.address] = site
        assert contents[slot.address] == site
        chunk = slot.address // CHUNK_SIZE
        assert chunk_of.setdefault(tid, chunk) == chunk
        assert sum(1 for other in chunk_of.values() if other == chunk) == 1
