"""Executable memory in the traced process for copies of displaced instructions: where it lies, and whose
slot is whose.

Regions are mapped readable and executable, never writable, within reach of a 32-bit displacement of the
sites that they serve, and are written through the tracer. A region has one slot for each of its sites, in
the order of the sites, so that looking up either from the other is arithmetic; the kernel gives it pages
only as copies are written. A slot is the site's for good: it is written at the site's first hit and then
never again, so threads share it without waiting for each other, a system call may sleep in it, and a forked
child finds it in its own memory. Regions are never unmapped: a thread may be inside.
"""

import errno
import os
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from backend.errors import CannotInject
from backend.fasttrap import inject
from backend.fasttrap.inject import Syscall
from backend.fasttrap.text import PAGE_SIZE
from backend.linux import procfs
from backend.linux.procfs import RemoteAddr
from scratch.displaced import SLOT_SIZE

REACH = (1 << 31) - (1 << 16)
"""How far a site may be from any slot that serves it: 2 GiB, less room for what an instruction adds."""

CLUSTER = 1 << 30
"""Sites farther apart than this are served by regions of their own."""

LOWEST = 1 << 16
HIGHEST = (1 << 47) - PAGE_SIZE
HEADER_SIZE = PAGE_SIZE
"""The first page of a region is not for slots of sites: the safety handler (`sigtrap`) lives there, and from
SPARE_OFFSET on there are slots for copies that are needed for a moment."""

SPARE_OFFSET = 1024

_PROT_READ_EXEC = 1 | 4
_MAP_PRIVATE, _MAP_ANONYMOUS, _MAP_FIXED_NOREPLACE = 0x2, 0x20, 0x100000


@dataclass(frozen=True, slots=True)
class Region:
    """A mapping of `size` bytes at `start`: a header page, then the slot of `sites[n]` at `start +
    HEADER_SIZE + n * SLOT_SIZE`.
    """

    start: int
    size: int
    sites: Sequence[int]

    def slot(self, site: int) -> int:
        """Return the slot's address of a site of this region."""
        return self.start + HEADER_SIZE + bisect_left(self.sites, site) * SLOT_SIZE

    def spare_slots(self) -> range:
        """Return the addresses of the slots that belong to no site."""
        return range(self.start + SPARE_OFFSET, self.start + HEADER_SIZE, SLOT_SIZE)

    def owner(self, pc: int) -> int | None:
        """Return the site whose slot this address lies in."""
        number = (pc - self.start - HEADER_SIZE) // SLOT_SIZE
        return self.sites[number] if 0 <= number < len(self.sites) else None


class ScratchSpace:
    """All regions of one address space."""

    def __init__(self) -> None:
        self.regions: list[Region] = []

    def owner(self, pc: int) -> int | None:
        """Return the site in whose slot a thread with this pc is; None if it is not in scratch."""
        for region in self.regions:
            if region.start <= pc < region.start + region.size:
                return region.owner(pc)
        return None

    def slot(self, site: int) -> int:
        """Return the address of the slot of a site that `map_for` was asked to serve."""
        return self.region_of(site).slot(site)

    def region_of(self, site: int) -> Region:
        """Return the region that serves a site."""
        for region in self.regions:
            place = bisect_left(region.sites, site)
            if place < len(region.sites) and region.sites[place] == site:
                return region
        raise KeyError(site)

    def map_for(self, sites: Sequence[int], tid: int, gate: RemoteAddr) -> None:
        """Map regions for the sites, which are sorted and have none yet, by calls injected into the held
        thread `tid`.

        Raises CannotInject when the kernel refuses executable memory. Where no room is left within reach,
        the region lies wherever the kernel likes, and copies are as good as they can be there.
        """
        start = 0
        while start < len(sites):
            end = bisect_right(sites, sites[start] + CLUSTER)
            cluster = array("Q", sites[start:end])
            size = _whole_pages(HEADER_SIZE + len(cluster) * SLOT_SIZE)
            self.regions.append(Region(_map(tid, gate, size, cluster[0], cluster[-1]), size, cluster))
            start = end


def _map(tid: int, gate: RemoteAddr, size: int, low: int, high: int) -> int:
    """Map `size` bytes within reach of [low, high], or anywhere; return the address."""
    flags = _MAP_PRIVATE | _MAP_ANONYMOUS
    taken = [(mapping.start, mapping.end) for mapping in procfs.mappings(tid)]
    for address in gaps(taken, size, low, high):
        result = inject.call(
            tid, gate, Syscall.MMAP, address, size, _PROT_READ_EXEC, flags | _MAP_FIXED_NOREPLACE, -1, 0
        )
        if result == address:
            return result
        if result != -errno.EEXIST:
            raise CannotInject(tid, f"executable memory is refused ({os.strerror(-result)})")
    result = inject.call(tid, gate, Syscall.MMAP, 0, size, _PROT_READ_EXEC, flags, -1, 0)
    if result < 0:
        raise CannotInject(tid, f"executable memory is refused ({os.strerror(-result)})")
    return result


def gaps(taken: Sequence[tuple[int, int]], size: int, low: int, high: int) -> list[int]:
    """Return page addresses where `size` bytes fit between the ascending mappings `taken`, within reach of
    [low, high].

    One for each gap, nearest first, a guard page away from its neighbours. At most a few: they are tried in
    turn.
    """
    first, last = max(LOWEST, high - REACH), min(HIGHEST, low + REACH) - size
    edges = [0, *(end for _, end in taken)]
    starts = [*(start for start, _ in taken), HIGHEST]
    found = []
    for gap_start, gap_end in zip(edges, starts, strict=True):
        lowest = max(_whole_pages(first), gap_start + PAGE_SIZE)
        highest = min(last, gap_end - PAGE_SIZE - size) // PAGE_SIZE * PAGE_SIZE
        if lowest <= highest:
            found.append(highest if gap_end <= low else lowest)
    return sorted(found, key=lambda address: abs(address - low))[:_TRIES]


_TRIES = 8


def _whole_pages(size: int) -> int:
    return (size + PAGE_SIZE - 1) // PAGE_SIZE * PAGE_SIZE
