"""Which thread may use which bytes of scratch space: bookkeeping of chunks and their slots, pure of processes.

For copies that belong to one thread, since they are written with something of its own before each use. A
thread takes a chunk of slots at its first need and keeps it until it exits; in it lie the copies that this
thread used last, so that a repeated hit finds its copy written. The chunk of a thread that has exited serves
the next one that needs one. Copies that all threads share are no business of this module.

The caller maps pages, writes the bytes when told that a slot is fresh, and guarantees that a thread that asks
for a slot is in none of its own. Nothing here is ever given back to the process. A copy depends on its site
and its slot alone, so what a chunk holds stays good for the next thread that gets the chunk.
"""

from dataclasses import dataclass, field
from typing import Final, NewType

from scratch.displaced import SLOT_SIZE

Tid = NewType("Tid", int)
SiteAddress = NewType("SiteAddress", int)
"""The address of a probed instruction in the process."""

SLOTS_IN_CHUNK: Final = 16
CHUNK_SIZE: Final = SLOTS_IN_CHUNK * SLOT_SIZE
"""Bytes of one thread's chunk; pages are multiples of it."""


class NoFreeSpace(Exception):
    """All chunks of the pool are taken: map more, `add` them and ask again."""


@dataclass(frozen=True, slots=True)
class Slot:
    """SLOT_SIZE bytes at `address` for the copy of one site; `fresh` says that they must be written first."""

    address: int
    fresh: bool


@dataclass(slots=True)
class _Chunk:
    """One thread's slots: which site's copy lies where, least recently used first."""

    address: int
    copies: dict[SiteAddress, int] = field(default_factory=dict)

    def slot_for(self, site: SiteAddress) -> Slot:
        address = self.copies.pop(site, None)
        fresh = address is None
        if address is None:
            if len(self.copies) < SLOTS_IN_CHUNK:
                address = self.address + SLOT_SIZE * len(self.copies)
            else:
                address = self.copies.pop(next(iter(self.copies)))
        self.copies[site] = address
        return Slot(address, fresh)


class Pool:
    """The chunks of one address space, and who has which."""

    def __init__(self) -> None:
        self._unused: list[range] = []
        self._free: list[_Chunk] = []
        self._chunks: dict[Tid, _Chunk] = {}

    def add(self, address: int, size: int) -> None:
        """Take `size` bytes of mapped scratch space into use; `address` is aligned to SLOT_SIZE."""
        assert address % SLOT_SIZE == 0, hex(address)
        self._unused.append(range(address, address + size // CHUNK_SIZE * CHUNK_SIZE, CHUNK_SIZE))

    def slot_for(self, tid: Tid, site: SiteAddress) -> Slot:
        """Return the slot in the thread's chunk for the copy of a site, which may displace the copy it used
        longest ago.

        Takes a chunk at the thread's first need. Raises NoFreeSpace, and has changed nothing then.
        """
        chunk = self._chunks.get(tid)
        if chunk is None:
            chunk = self._free.pop() if self._free else _Chunk(self._take_chunk())
            self._chunks[tid] = chunk
        return chunk.slot_for(site)

    def release(self, tid: Tid) -> None:
        """Put the thread's chunk on the free list, when the thread has exited. Threads without one are no
        mistake.
        """
        chunk = self._chunks.pop(tid, None)
        if chunk is not None:
            self._free.append(chunk)

    def _take_chunk(self) -> int:
        while self._unused:
            chunks = self._unused.pop()
            if chunks:
                self._unused.append(chunks[1:])
                return chunks[0]
        raise NoFreeSpace
