"""The ring buffer's consumer against producers in the kernel, and against headers set by hand."""

import mmap
import os
import struct
import threading
from collections.abc import Iterator

import pytest

from backend.linux import bpf
from backend.linux.ring_buffer import BUSY, DISCARD, RingBuffer
from tests.uprobes import bpf_assembler as asm

OUTPUT, RESERVE, SUBMIT, RINGBUF_DISCARD = 130, 131, 132, 133
RECORDS_PER_RUN = 100
SIZE = 1 << 16


@pytest.fixture
def ring_fd() -> Iterator[int]:
    fd = bpf.map_create(bpf.MapKind.RINGBUF, 0, 0, SIZE, name="ring")
    yield fd
    os.close(fd)


def load(code: bytes) -> int:
    return bpf.prog_load(bpf.ProgramKind.RAW_TRACEPOINT, code, "producer")


def sequence_program(ring_fd: int) -> int:
    """Return a program that emits (ctx[0], i), i below RECORDS_PER_RUN, and returns how many were refused."""
    emit = (
        asm.store64(asm.R10, -8, asm.R6)
        + asm.load_map(asm.R1, ring_fd, asm.MAP_FD)
        + asm.move_register(asm.R2, asm.R10)
        + asm.add(asm.R2, -16)
        + asm.move(asm.R3, 16)
        + asm.move(asm.R4, 0)
        + asm.call(OUTPUT)
        + asm.jump_if_equal(asm.R0, 0, 1)
        + asm.add(asm.R7, 1)
        + asm.add(asm.R6, 1)
    )
    return load(
        asm.load64(asm.R3, asm.R1, 0)
        + asm.store64(asm.R10, -16, asm.R3)
        + asm.move(asm.R6, 0)
        + asm.move(asm.R7, 0)
        + emit
        + asm.jump_if_less(asm.R6, RECORDS_PER_RUN, -(len(emit) // 8) - 1)
        + asm.move_register(asm.R0, asm.R7)
        + asm.leave()
    )


def reserving_program(ring_fd: int, size: int, finish: int) -> int:
    """Return a program that reserves `size` bytes, stores ctx[0] in them, and submits or discards them."""
    return load(
        asm.load64(asm.R6, asm.R1, 0)
        + asm.load_map(asm.R1, ring_fd, asm.MAP_FD)
        + asm.move(asm.R2, size)
        + asm.move(asm.R3, 0)
        + asm.call(RESERVE)
        + asm.jump_if_not_equal(asm.R0, 0, 2)
        + asm.move(asm.R0, 1)
        + asm.leave()
        + asm.store64(asm.R0, 0, asm.R6)
        + asm.move_register(asm.R1, asm.R0)
        + asm.move(asm.R2, 0)
        + asm.call(finish)
        + asm.move(asm.R0, 0)
        + asm.leave()
    )


@pytest.mark.requires_uprobes
def test_records_come_in_order_and_with_all_their_bytes(ring_fd: int) -> None:
    program = sequence_program(ring_fd)
    with RingBuffer(ring_fd, SIZE) as ring:
        for run in range(200):  # the ring's positions pass its end several times
            assert bpf.prog_test_run(program, [run]) == 0
            assert ring.drain(1000) == [struct.pack("<QQ", run, i) for i in range(RECORDS_PER_RUN)]
            assert ring.pending_bytes() == 0
    os.close(program)


@pytest.mark.requires_uprobes
def test_drain_takes_no_more_than_its_limit_and_leaves_the_rest(ring_fd: int) -> None:
    program = sequence_program(ring_fd)
    with RingBuffer(ring_fd, SIZE) as ring:
        bpf.prog_test_run(program, [5])
        assert len(ring.drain(30)) == 30
        assert ring.pending_bytes() == 70 * 24
        assert ring.drain(0) == []
        assert ring.drain(100)[0] == struct.pack("<QQ", 5, 30)
    os.close(program)


@pytest.mark.requires_uprobes
def test_record_across_the_end_of_the_ring_is_whole(ring_fd: int) -> None:
    program = reserving_program(ring_fd, 4088, SUBMIT)  # with its header exactly a 16th of the ring …
    small = reserving_program(ring_fd, 8, SUBMIT)  # … and this one puts the others off their places
    with RingBuffer(ring_fd, SIZE) as ring:
        bpf.prog_test_run(small, [1])
        for number in range(40):
            bpf.prog_test_run(program, [number])
            records = ring.drain(10)
            assert [len(record) for record in records][-1] == 4088
            assert struct.unpack_from("<Q", records[-1])[0] == number
    os.close(program)
    os.close(small)


@pytest.mark.requires_uprobes
def test_discarded_record_is_skipped(ring_fd: int) -> None:
    discard = reserving_program(ring_fd, 24, RINGBUF_DISCARD)
    submit = reserving_program(ring_fd, 8, SUBMIT)
    with RingBuffer(ring_fd, SIZE) as ring:
        for program, number in ((submit, 1), (discard, 2), (submit, 3)):
            bpf.prog_test_run(program, [number])
        assert ring.drain(10) == [struct.pack("<Q", 1), struct.pack("<Q", 3)]
        assert ring.pending_bytes() == 0
    os.close(discard)
    os.close(submit)


@pytest.mark.requires_uprobes
def test_full_ring_refuses_new_records_and_keeps_the_old_ones(ring_fd: int) -> None:
    program = sequence_program(ring_fd)
    with RingBuffer(ring_fd, SIZE) as ring:
        refused = sum(bpf.prog_test_run(program, [run]) for run in range(40))
        records = ring.drain(10_000)
        assert len(records) + refused == 40 * RECORDS_PER_RUN
        # The kernel keeps the last byte free: a full ring would look like an empty one.
        assert len(records) == (SIZE - 1) // 24
        assert records[0] == struct.pack("<QQ", 0, 0)
        assert bpf.prog_test_run(program, [99]) == 0
        assert len(ring.drain(10_000)) == RECORDS_PER_RUN
    os.close(program)


@pytest.mark.requires_uprobes
def test_records_of_concurrent_producers_are_all_there_and_in_order_for_each(ring_fd: int) -> None:
    program = sequence_program(ring_fd)
    runs, producers = 150, 4
    refused = [0] * producers

    def produce(number: int) -> None:
        for _ in range(runs):
            refused[number] += bpf.prog_test_run(program, [number])

    taken: list[bytes] = []
    threads = [threading.Thread(target=produce, args=(number,)) for number in range(producers)]
    with RingBuffer(ring_fd, SIZE) as ring:
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            taken += ring.drain(500)
        taken += ring.drain(SIZE)
        assert ring.pending_bytes() == 0
    assert len(taken) + sum(refused) == runs * producers * RECORDS_PER_RUN
    by_producer: dict[int, list[int]] = {number: [] for number in range(producers)}
    for record in taken:
        number, index = struct.unpack("<QQ", record)
        by_producer[number].append(index)
    for number, indices in by_producer.items():
        if not refused[number]:
            assert indices == list(range(RECORDS_PER_RUN)) * runs
    os.close(program)


@pytest.mark.requires_uprobes
def test_error_size_that_is_no_ring(ring_fd: int) -> None:
    for size in (0, 100, SIZE - 1, 3 * 4096):
        with pytest.raises(ValueError, match="not a power of two"):
            RingBuffer(ring_fd, size)


class HandMadeRing:
    """A file laid out like a ring of one page, so that a test can be the kernel in the middle of a record."""

    def __init__(self) -> None:
        self.fd = os.memfd_create("ring")
        os.ftruncate(self.fd, 4 * mmap.PAGESIZE)
        self._map = mmap.mmap(self.fd, 4 * mmap.PAGESIZE)

    def produce(self, position: int) -> None:
        struct.pack_into("<Q", self._map, mmap.PAGESIZE, position)

    def header(self, position: int, value: int, payload: bytes = b"") -> None:
        at = 2 * mmap.PAGESIZE + position
        self._map[at : at + 8 + len(payload)] = struct.pack("<II", value, 3) + payload

    def consumed(self) -> int:
        return int(struct.unpack_from("<Q", self._map)[0])

    def close(self) -> None:
        self._map.close()
        os.close(self.fd)


@pytest.fixture
def hand_made() -> Iterator[HandMadeRing]:
    ring = HandMadeRing()
    yield ring
    ring.close()


def test_drain_stops_at_a_record_that_is_being_written_and_takes_it_later(hand_made: HandMadeRing) -> None:
    hand_made.header(0, 3, b"abc")
    hand_made.header(16, BUSY | 5, b"fifth")
    hand_made.header(32, 2, b"xy")
    hand_made.produce(48)
    with RingBuffer(hand_made.fd, mmap.PAGESIZE) as ring:
        assert ring.drain(10) == [b"abc"]
        assert hand_made.consumed() == 16
        assert ring.drain(10) == []
        hand_made.header(16, 5, b"fifth")
        assert ring.drain(10) == [b"fifth", b"xy"]
        assert hand_made.consumed() == 48


def test_discarded_records_do_not_count_against_the_limit(hand_made: HandMadeRing) -> None:
    hand_made.header(0, DISCARD | 4, b"gone")
    hand_made.header(16, 4, b"kept")
    hand_made.produce(32)
    with RingBuffer(hand_made.fd, mmap.PAGESIZE) as ring:
        assert ring.drain(1) == [b"kept"]


def test_records_stay_valid_after_the_ring_is_closed(hand_made: HandMadeRing) -> None:
    hand_made.header(0, 4, b"kept")
    hand_made.produce(16)
    with RingBuffer(hand_made.fd, mmap.PAGESIZE) as ring:
        records = ring.drain(1)
    hand_made.header(0, 4, b"gone")
    assert records == [b"kept"]
