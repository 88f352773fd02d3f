"""The bookkeeping of scratch slots: threads and their chunks, sites and theirs, and who owns an address."""

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
    assert slots.chunks_in_use() == 1


def test_exit_of_a_thread_without_chunk_is_no_mistake() -> None:
    slots = pool(1)
    slots.release(Tid(9))
    assert slots.chunks_in_use() == 0


def test_full_pool_says_so_and_goes_on_after_another_page() -> None:
    slots = pool(1)
    slots.slot_for(Tid(1), SITES[0])
    with pytest.raises(NoFreeSpace):
        slots.slot_for(Tid(2), SITES[0])
    assert slots.chunks_in_use() == 1
    slots.add(PAGE + 0x10000, CHUNK_SIZE)
    assert slots.slot_for(Tid(2), SITES[0]) == Slot(PAGE + 0x10000, fresh=True)


def test_permanent_copy_is_written_once_and_never_moves() -> None:
    slots = pool(4)
    first = slots.permanent(SITES[0])
    for site in SITES[1:20]:
        slots.permanent(site)
        slots.slot_for(Tid(1), site)
    assert first.fresh
    assert slots.permanent(SITES[0]) == Slot(first.address, fresh=False)


def test_owner_of_any_byte_of_a_slot() -> None:
    slots = pool(2)
    own = slots.slot_for(Tid(1), SITES[3]).address
    shared = slots.permanent(SITES[4]).address
    assert slots.owner(own) == slots.owner(own + SLOT_SIZE - 1) == (SITES[3], own)
    assert slots.owner(shared + 7) == (SITES[4], shared)
    assert slots.owner(own + SLOT_SIZE) is None
    assert slots.owner(PAGE - 1) is None


def test_slot_that_was_taken_over_belongs_to_its_new_site() -> None:
    slots = pool(1)
    address = slots.slot_for(Tid(1), SITES[0]).address
    for site in SITES[1 : SLOTS_IN_CHUNK + 1]:
        slots.slot_for(Tid(1), site)
    assert slots.owner(address) == (SITES[SLOTS_IN_CHUNK], address)


@given(st.lists(st.tuples(st.sampled_from("hpr"), st.integers(1, 6), st.integers(0, 40)), max_size=200))
def test_no_two_owners_share_bytes(steps: list[tuple[str, int, int]]) -> None:
    slots = pool(16)
    contents: dict[int, int] = {}
    permanent: dict[int, int] = {}
    chunk_of: dict[int, int] = {}
    for step, tid, number in steps:
        site = SITES[number]
        if step == "r":
            slots.release(Tid(tid))
            chunk_of.pop(tid, None)
            continue
        slot = slots.permanent(site) if step == "p" else slots.slot_for(Tid(tid), site)
        assert slot.address % SLOT_SIZE == 0
        assert PAGE <= slot.address < PAGE + 16 * CHUNK_SIZE
        if slot.fresh:
            assert slot.address not in permanent
            contents[slot.address] = site
        assert contents[slot.address] == site
        assert slots.owner(slot.address) == (site, slot.address)
        if step == "p":
            assert permanent.setdefault(slot.address, site) == site
            continue
        chunk = slot.address // CHUNK_SIZE
        assert chunk_of.setdefault(tid, chunk) == chunk
        assert sum(1 for other in chunk_of.values() if other == chunk) == 1
