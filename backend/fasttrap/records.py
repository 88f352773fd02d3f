"""Consumer of the ring of records that compiled clauses write: takes records, as bytes, in the order in which
they were reserved.

Producers are in several processes; `runtime.py` has their side. A position is a number of bytes counted from
the beginning, never wrapped. Not here: what the bytes mean, and how many records there was no room for (clauses
count them).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress

from backend.fasttrap.regions import (
    HEADER_RING_HEAD,
    HEADER_RING_TAIL,
    RECORD_BUSY,
    RECORD_DISCARDED,
    RECORD_HEADER_SIZE,
    RECORD_LENGTH,
)
from backend.linux.shared_memory import SharedMemory


class RecordQueue:
    """A ring of `size` bytes at `offset` of the memory. `exchange` is the atomic operation of that name."""

    def __init__(
        self,
        memory: SharedMemory,
        offset: int,
        size: int,
        event_fd: int,
        exchange: Callable[[int, int], int],
    ) -> None:
        self._memory = memory
        self._offset = offset
        self._mask = size - 1
        self._event_fd = event_fd
        self._exchange = exchange
        self._abandoned = 0

    def fileno(self) -> int:
        """Return an eventfd that is readable while there are records."""
        return self._event_fd

    def abandon_unfinished(self) -> None:
        """Stop waiting for records that are being written by now: the process that was at it is no more."""
        self._abandoned = self._memory.words[HEADER_RING_HEAD >> 3]
        os.eventfd_write(self._event_fd, 1)

    def drain(self, limit: int) -> list[bytes]:
        """Take at most `limit` records and give their room back; stops at the first unfinished one."""
        with suppress(BlockingIOError):
            os.eventfd_read(self._event_fd)
        records: list[bytes] = []
        # A record finished while its turn had not come yet has woken nobody: look again after each step.
        while self._step(records, limit) and len(records) < limit:
            pass
        if len(records) >= limit:
            os.eventfd_write(self._event_fd, 1)
        return records

    def _step(self, records: list[bytes], limit: int) -> bool:
        """Take what is there and publish the new position; returns whether that was anything."""
        words, data, start = self._memory.words, self._memory.bytes, self._offset
        begin = position = words[HEADER_RING_TAIL >> 3]
        head = words[HEADER_RING_HEAD >> 3]
        while position < head and len(records) < limit:
            at = start + (position & self._mask)
            word = words[at >> 3]
            if not word & (RECORD_BUSY | RECORD_LENGTH) or word & RECORD_BUSY:
                if position >= self._abandoned:
                    break
                word |= RECORD_DISCARDED
            length = word & RECORD_LENGTH
            if not word & RECORD_DISCARDED:
                records.append(bytes(data[at + RECORD_HEADER_SIZE : at + RECORD_HEADER_SIZE + length]))
            position += length + RECORD_HEADER_SIZE + 7 & ~7
        if position == begin:
            return False
        # Room is zero when it is reserved. The ring is mapped twice in a row: this can't run over its end.
        at = start + (begin & self._mask)
        data[at : at + position - begin] = bytes(position - begin)
        self._exchange(self._memory.address + HEADER_RING_TAIL, position)
        return True
