"""Consumer of a BPF_MAP_TYPE_RINGBUF map: takes records, as bytes, in the order in which programs reserved
them.

The kernel maps a ring as one consumer page (ours to write), one producer page and the data twice in a row, so
that a record that runs over the end is still contiguous. Both positions are bytes counted from the beginning
of time, never wrapped. A record is an 8-byte header (u32 length with two flag bits, u32 page offset) and its
bytes, rounded up to 8. Source: kernel/bpf/ringbuf.c.

Not here: what the bytes mean, and how many records were dropped (programs count their own failed
reservations).
"""

from __future__ import annotations

import mmap
from types import TracebackType

HEADER_BYTES = 8
BUSY = 1 << 31  # reserved, not yet submitted: nothing behind it may be read either
DISCARD = 1 << 30  # submitted as nothing
LENGTH_MASK = DISCARD - 1


class RingBuffer:
    """A ring of `size` bytes (the map's max_entries: a power of two, whole pages), mapped until exit of the
    context.

    One consumer at a time. Ordering: a producer stores a record's bytes, then clears BUSY with an atomic
    exchange, and the producer position only says how far headers are valid. x86 makes loads in program order
    and stores visible in order, and each of our loads is a separate 4- or 8-byte access of the interpreter,
    so a header seen without BUSY comes with its bytes; likewise our store of the consumer position comes
    after the copies before it.
    """

    def __init__(self, fd: int, size: int) -> None:
        """Map the ring; raises OSError. The caller keeps owning `fd`."""
        page = mmap.PAGESIZE
        if size < page or size & (size - 1):
            raise ValueError(f"ring buffer of {size} bytes: not a power of two of at least a page")
        self._fd = fd
        self._mask = size - 1
        self._consumer_map = mmap.mmap(fd, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        self._producer_map = mmap.mmap(fd, page + 2 * size, mmap.MAP_SHARED, mmap.PROT_READ, offset=page)
        self._consumer = memoryview(self._consumer_map).cast("Q")
        self._producer = memoryview(self._producer_map)[:8].cast("Q")
        self._data = memoryview(self._producer_map)[page:]
        self._headers = self._data.cast("Q")

    def __enter__(self) -> RingBuffer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Unmap the ring. What drain() returned stays valid: it is copied."""
        for view in (self._headers, self._data, self._producer, self._consumer):
            view.release()
        self._producer_map.close()
        self._consumer_map.close()

    def fileno(self) -> int:
        """Return the map's fd, for poll and level-triggered epoll: readable while anything is between the two
        positions.

        That includes a record still being written, for which drain() then returns nothing: a few hundred
        nanoseconds, or as long as the kernel keeps its program from running. Edge-triggered polling loses
        wake-ups: programs only send one when the consumer has caught up, and drain() moves the consumer
        position once at its end.
        """
        return self._fd

    def pending_bytes(self) -> int:
        """Return how many bytes lie between the consumer and the producer, headers and unfinished records
        included.
        """
        return self._producer[0] - self._consumer[0]

    def drain(self, limit: int) -> list[bytes]:
        """Take at most `limit` records that are complete and give their room back to the producers.

        Stops at the first record that is still being written. The room is given back once, at the end:
        copying first and publishing the position afterwards is what keeps producers from overwriting what we
        read.
        """
        records: list[bytes] = []
        append = records.append
        headers, data, mask = self._headers, self._data, self._mask
        position = self._consumer[0]
        producer = self._producer[0]
        while position < producer and limit > 0:
            offset = position & mask
            header = headers[offset >> 3] & 0xFFFF_FFFF
            if header & BUSY:
                break
            length = header & LENGTH_MASK
            if not header & DISCARD:
                start = offset + HEADER_BYTES
                append(bytes(data[start : start + length]))
                limit -= 1
            position += length + 15 & ~7  # header and padding
        self._consumer[0] = position
        return records
