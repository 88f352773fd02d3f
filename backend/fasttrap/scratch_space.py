"""Executable memory in the traced process for copies of displaced instructions: where it lies, and whose
slot is whose.

Regions are mapped readable and executable, never writable, and are written through the tracer; the kernel
gives them pages only as copies are written. None is unmapped before we leave: a thread may be inside. There are two
kinds. A region for sites lies within reach of a 32-bit displacement of them, if there is room, and has one
slot for each, in the order of the sites, so that looking up either from the other is arithmetic. The slot is
the site's for good: it is written at the site's first hit and then never again, so threads share it without
waiting for each other, a system call may sleep in it, and a forked child finds it in its own memory. A region
for threads lies anywhere and is divided into their chunks (`scratch.slots`), for copies that borrow a
register, and so hold something of one thread.
"""

import errno
import os
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from backend.errors import CannotInject
from backend.fasttrap import inject, way_back
from backend.fasttrap.inject import Gate, Syscall
from backend.fasttrap.text import PAGE_SIZE
from backend.fasttrap.tracee import Memory
from backend.linux import procfs
from backend.linux.procfs import RemoteAddr
from scratch.displaced import SLOT_SIZE
from scratch.placement import REACH, Growth, Mapped, candidates, whole_pages
from scratch.slots import Pool

CLUSTER = 1 << 30
"""Sites farther apart than this are served by regions of their own."""

CHUNKS_SIZE = 1 << 20
"""Size of a region for threads, in bytes: chunks for a thousand of them."""

HEADER_SIZE = PAGE_SIZE
"""The first page of a region is for neither sites nor threads: the safety handler (`safety`) lives there, from
SPARE_OFFSET on there are slots for copies that are needed for a moment, at LENT_OFFSET signal masks (`trap_mask`), and
from GATE_OFFSET on a gate (`inject`)."""

TABLE_ENTRY_SIZE = 8 + 1 + 1 + 16
"""Address, displaced byte, and where the program may change the site its witness."""

SPARE_OFFSET = 1024
GATE_OFFSET = HEADER_SIZE - way_back.SIZE
LENT_SIZE = SLOT_SIZE
LENT_OFFSET = GATE_OFFSET - LENT_SIZE

_PROT_READ_EXEC = 1 | 4
_MAP_PRIVATE, _MAP_ANONYMOUS, _MAP_FIXED_NOREPLACE = 0x2, 0x20, 0x100000


@dataclass(frozen=True, slots=True)
class Region:
    """A mapping of `size` bytes at `start`: a header page, then the slot of `sites[n]` at `start +
    HEADER_SIZE + n * SLOT_SIZE`, and what `safety` writes of the sites; without sites, chunks of threads.
    """

    start: int
    size: int
    sites: Sequence[int]

    def slot(self, site: int) -> int:
        """Return the slot's address of a site of this region."""
        return self.start + HEADER_SIZE + bisect_left(self.sites, site) * SLOT_SIZE

    @property
    def end(self) -> int:
        """The first address behind it."""
        return self.start + self.size

    @property
    def table(self) -> int:
        """Where `safety` notes the sites, TABLE_ENTRY_SIZE bytes for each: behind their slots."""
        return self.start + HEADER_SIZE + len(self.sites) * SLOT_SIZE

    def spare_slots(self) -> range:
        """Return the addresses of the slots that belong to no site."""
        return range(self.start + SPARE_OFFSET, self.start + LENT_OFFSET, SLOT_SIZE)

    def owner(self, pc: int) -> int | None:
        """Return the site whose slot this address lies in."""
        number = (pc - self.start - HEADER_SIZE) // SLOT_SIZE
        return self.sites[number] if 0 <= number < len(self.sites) else None


class ScratchSpace:
    """All regions of one address space."""

    def __init__(self) -> None:
        self.regions: list[Region] = []
        self.chunks = Pool()

    @property
    def home(self) -> int:
        """The address of the first region; there is one as soon as there are traps."""
        return self.regions[0].start

    def gate(self, memory: Memory, borrowed: Gate) -> Gate:
        """Return the gate for injected calls: our own as soon as there is room for it."""
        if not self.regions:
            return borrowed
        return Gate(RemoteAddr(self.home + GATE_OFFSET), memory)

    def owner(self, pc: int) -> int | None:
        """Return the site in whose own slot a thread with this pc is; None if it is in no site's."""
        for region in self.regions:
            if region.start <= pc < region.start + region.size:
                return region.owner(pc)
        return None

    def slot(self, site: int) -> int:
        """Return the address of the slot of a site that `map_for` was asked to serve."""
        return self.region_of(site).slot(site)

    def in_reach(self, site: int, address: int) -> bool:
        """Tell whether a 32-bit displacement surely spans the way from the site's slot to an address."""
        return abs(address - self.slot(site)) < REACH

    def region_of(self, site: int) -> Region:
        """Return the region that serves a site."""
        for region in self.regions:
            place = bisect_left(region.sites, site)
            if place < len(region.sites) and region.sites[place] == site:
                return region
        raise KeyError(site)

    def map_for(self, sites: Sequence[int], tid: int, gate: Gate) -> None:
        """Map regions for the sites, which are sorted and have none yet, by calls injected into the held
        thread `tid`.

        Raises CannotInject when the kernel refuses executable memory. Where no room is left within reach,
        the region lies wherever the kernel likes, and copies are as good as they can be there.
        """
        start = 0
        while start < len(sites):
            end = bisect_right(sites, sites[start] + CLUSTER)
            cluster = array("Q", sites[start:end])
            size = whole_pages(HEADER_SIZE + len(cluster) * (SLOT_SIZE + TABLE_ENTRY_SIZE))
            address = _map_near(tid, gate, size, (cluster[0], cluster[-1] + 1))
            if address is None:
                address = _map_anywhere(tid, gate, size)
            self.regions.append(Region(address, size, cluster))
            start = end

    def map_chunks(self, tid: int, gate: Gate) -> None:
        """Map room for the chunks of some more threads, by a call injected into the stopped thread `tid`.

        Raises CannotInject when the kernel refuses executable memory.
        """
        address = _map_anywhere(tid, gate, CHUNKS_SIZE)
        self.regions.append(Region(address, CHUNKS_SIZE, ()))
        self.chunks.add(address + HEADER_SIZE, CHUNKS_SIZE - HEADER_SIZE)


def _map_near(tid: int, gate: Gate, size: int, code: tuple[int, int]) -> int | None:
    """Map `size` bytes within reach of all of the code; return the address, None if there is no room."""
    for address in islice(candidates(taken(tid), code, size), _TRIES):
        if map_at(tid, gate, address, size):
            return address
    return None


def taken(tid: int) -> list[Mapped]:
    """Return what the process has mapped, and which way it may grow."""
    return [
        Mapped(mapping.start, mapping.end, _GROWTH.get(mapping.path, Growth.NONE))
        for mapping in procfs.mappings(tid)
    ]


def map_at(tid: int, gate: Gate, address: int, size: int) -> bool:
    """Map executable memory at this address, by a call injected into the stopped thread `tid`; False if something
    is there.

    Raises CannotInject when the kernel refuses executable memory.
    """
    result = _map(tid, gate, address, size, _MAP_FIXED_NOREPLACE)
    if result not in (address, -errno.EEXIST):
        raise _refused(tid, result)
    return result == address


def _map_anywhere(tid: int, gate: Gate, size: int) -> int:
    result = _map(tid, gate, 0, size, 0)
    if result < 0:
        raise _refused(tid, result)
    return result


def _map(tid: int, gate: Gate, address: int, size: int, flags: int) -> int:
    flags |= _MAP_PRIVATE | _MAP_ANONYMOUS
    return inject.call(tid, gate, Syscall.MMAP, address, size, _PROT_READ_EXEC, flags, -1, 0)


def _refused(tid: int, result: int) -> CannotInject:
    return CannotInject(tid, f"executable memory is refused ({os.strerror(-result)})")


_GROWTH = {"[heap]": Growth.UP, "[stack]": Growth.DOWN}
_TRIES = 8
