"""Who may use which bytes of scratch space: bookkeeping of slots, pure of processes.

A `Pool` stands for the scratch pages near some code. It hands out slots of SLOT_SIZE bytes in two ways. A
thread takes a chunk of slots at its first need and keeps it until it exits; in it lie the copies that this
thread used last, so a repeated hit writes nothing. And a site whose copy must stay as it is
(`Lifetime.SITE`), or that is to be shared by all threads, has one slot for good.

The caller maps pages, writes the bytes when told that a slot is fresh, and guarantees that a thread that asks
for a slot is in none of its own. Nothing here is ever given back to the process: a thread may be in any slot,
or return to it, long after its site is gone. A copy depends on its site and its slot alone, so what a chunk
holds stays good for the next thread that gets the chunk.
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
    """All pages of the pool are in use: map one more, `add` it and ask again."""


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

    def slot_for(self, site: SiteAddress, sites: dict[int, SiteAddress]) -> Slot:
        address = self.copies.pop(site, None)
        fresh = address is None
        if address is None:
            if len(self.copies) < SLOTS_IN_CHUNK:
                address = self.address + SLOT_SIZE * len(self.copies)
            else:
                address = self.copies.pop(next(iter(self.copies)))
            sites[address] = site
        self.copies[site] = address
        return Slot(address, fresh)


class Pool:
    """The scratch space near some code: chunks for threads, slots for sites, and what lies where."""

    def __init__(self) -> None:
        self._unused: list[tuple[int, int]] = []
        self._free_chunks: list[_Chunk] = []
        self._chunks: dict[Tid, _Chunk] = {}
        self._permanent: dict[SiteAddress, int] = {}
        self._permanent_rest: tuple[int, int] = (0, 0)
        self._sites: dict[int, SiteAddress] = {}

    def add(self, address: int, size: int) -> None:
        """Take `size` bytes of mapped scratch space into use; `address` is aligned to SLOT_SIZE."""
        assert address % SLOT_SIZE == 0, hex(address)
        self._unused.append((address, address + size // CHUNK_SIZE * CHUNK_SIZE))

    def slot_for(self, tid: Tid, site: SiteAddress) -> Slot:
        """Return the slot in the thread's chunk for the copy of a site, which may displace the copy it used
        longest ago.

        Takes a chunk at the thread's first need. Raises NoFreeSpace, and has changed nothing then.
        """
        chunk = self._chunks.get(tid)
        if chunk is None:
            chunk = self._free_chunks.pop() if self._free_chunks else _Chunk(self._take_chunk())
            self._chunks[tid] = chunk
        return chunk.slot_for(site, self._sites)

    def release(self, tid: Tid) -> None:
        """Put the thread's chunk on the free list, when the thread has exited. Threads without one are no
        mistake.
        """
        chunk = self._chunks.pop(tid, None)
        if chunk is not None:
            self._free_chunks.append(chunk)

    def permanent(self, site: SiteAddress) -> Slot:
        """Return the slot that belongs to the site for good, fresh the first time. Raises NoFreeSpace."""
        address = self._permanent.get(site)
        if address is not None:
            return Slot(address, fresh=False)
        address, end = self._permanent_rest
        if address == end:
            address = self._take_chunk()
            end = address + CHUNK_SIZE
        self._permanent_rest = (address + SLOT_SIZE, end)
        self._permanent[site] = address
        self._sites[address] = site
        return Slot(address, fresh=True)

    def owner(self, pc: int) -> tuple[SiteAddress, int] | None:
        """Return the site whose copy lies at `pc`, and that copy's slot; None if no slot in use is there."""
        address = pc - pc % SLOT_SIZE
        site = self._sites.get(address)
        return None if site is None else (site, address)

    def chunks_in_use(self) -> int:
        """How many threads hold a chunk."""
        return len(self._chunks)

    def _take_chunk(self) -> int:
        while self._unused:
            start, end = self._unused[-1]
            if start < end:
                self._unused[-1] = (start + CHUNK_SIZE, end)
                return start
            self._unused.pop()
        raise NoFreeSpace
