"""Where things lie in the memory that compiled clauses, the tracer and dtrap share. Pure numbers.

The memory begins with a header; then come regions, one for each thing that clauses turned out to use; the
last is the ring of records, which is mapped twice in a row. What is in a cell, a state block or a record is
dlang.layout's business; here is what surrounds them.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from scratch.trampoline import Shards

# --- the header ---------------------------------------------------------------------------------------------

HEADER_FIRINGS: Final = 0
"""Odd while a thread of the traced process has its clauses run; grows by 2 with each hit."""
HEADER_SEED: Final = 8
"""What hashes of keys start from: keys come from the traced process, which must not know how they spread."""
HEADER_EVENT_FD: Final = 16
"""The eventfd that says that there are records: the same number in every process that runs clauses."""
HEADER_RING_HEAD: Final = 64
"""Bytes of records reserved since the beginning, headers included."""
HEADER_RING_TAIL: Final = 128
"""Bytes of records consumed since the beginning."""
HEADER_POOL: Final = 192
"""A bit for each slot of the pool of a firing's own memory that is taken, where clauses run in the traced process."""
HEADER_GATE: Final = 256
"""Two 32-bit words for the clauses that run in the traced process: scratch.trampoline's gate, and its process ID as
its own namespace has it."""
HEADER_PROCESS: Final = 264
"""Its process ID as we have it."""
HEADER_CLOCK: Final = 272
"""Where it has the vdso's clock_gettime."""
HEADER_FS_BASE: Final = 280
"""Nonzero where its threads may execute `rdfsbase`."""
HEADER_SIZE: Final = 320

POOL_SLOTS: Final = 64
TID_BITS: Final = 22
"""Thread IDs are smaller than 1 << TID_BITS: PID_MAX_LIMIT, include/linux/threads.h."""
TIDS_BITS: Final = 12
"""The table of thread IDs has 1 << TIDS_BITS words: a hash of where a thread runs above, its ID below."""

# --- the ring -----------------------------------------------------------------------------------------------

RECORD_HEADER_SIZE: Final = 8
"""A record is a word (its length and a flag) and its bytes, rounded up to 8. Room that nobody has reserved,
and a record's word until its owner has written it, are zero."""
RECORD_BUSY: Final = 1 << 31
RECORD_DISCARDED: Final = 1 << 30
RECORD_LENGTH: Final = RECORD_DISCARDED - 1

# --- hashes -------------------------------------------------------------------------------------------------

HASH_USED: Final = 0
"""Entries in use, and those that somebody is about to fill."""
HASH_ENTRIES: Final = 64
HASH_PROBES: Final = 256
"""Entries that a key can be in, from the one that its hash names. Half of all entries are never used, so that
only keys chosen with the seed in hand find none free."""


class EntryState(IntEnum):
    """The low three bits of an entry's first word; the others are the hash of its key."""

    EMPTY = 0  # never used: searches end here
    BUSY = 1  # being filled
    LIVE = 2
    RETIRED = 3  # deleted, but a hit that is under way may still be at its cell
    FREE = 4  # deleted

    @staticmethod
    def of(word: int) -> EntryState:
        return EntryState(word & 7)


@dataclass(frozen=True, slots=True)
class HashShape:
    """A hash of at most `limit` entries: HASH_ENTRIES bytes, then `1 << bits` entries, each of a word (its
    state), the key and the value. Sizes are in bytes, multiples of 8."""

    limit: int
    key_size: int
    value_size: int

    @property
    def bits(self) -> int:
        return max((2 * self.limit - 1).bit_length(), 4)

    @property
    def entry_size(self) -> int:
        return 8 + self.key_size + self.value_size

    @property
    def size(self) -> int:
        return HASH_ENTRIES + (self.entry_size << self.bits)


# --- all of it ----------------------------------------------------------------------------------------------

STATE, CONSTANTS, NAMES, UNITS, HITS, NEXT, PLACES, THREADS, UNWIND, POOL, TIDS, RECORDS = (
    "state",
    "constants",
    "names",
    "units",
    "hits",
    "next",
    "places",
    "threads",
    "unwind",
    "pool",
    "tids",
    "records",
)
"""The regions by name; an aggregation's has `@` before its own name. By the number of a site UNITS
holds 4 bytes: the number of the unit it fires; NEXT 4: the number of another site at the same address, whose unit
comes next, 0 behind the last; HITS 8: how often it was hit; PLACES 8, where it is a return: the ID of its probe, and
its offset in the function. UNWIND: dlang/unwind_format.py. POOL is a firing's own memory, TIDS a table of thread IDs,
both for clauses that run in the traced process."""


@dataclass(frozen=True, slots=True)
class Regions:
    """Offset and size in bytes of each region, and of the memory: whole pages, the ring at its end.

    There are copies of the regions named in `sharded`, as `shards` says; the offset is the first one's.
    """

    places: Mapping[str, tuple[int, int]]
    size: int
    sharded: frozenset[str]
    shards: Shards

    def offset(self, name: str) -> int:
        return self.places[name][0]

    def copies(self, name: str) -> range:
        """Return the offsets of all copies of a region."""
        offset = self.offset(name)
        count = 1 << self.shards.bits if name in self.sharded else 1
        return range(offset, offset + (count << self.shards.stride_bits), 1 << self.shards.stride_bits)


_SHARDED_LIMIT: Final = 256 << 20
"""Bytes that all copies of counters may take; where they would take more there are fewer copies."""


def lay_out(
    sizes: Mapping[str, int], ring_size: int, sharded: frozenset[str] = frozenset(), shard_bits: int = 0
) -> Regions:
    """Return the places of regions of these sizes, cache lines apart, and of the ring behind them; of those in
    `sharded` at most 1 << `shard_bits` copies."""
    places: dict[str, tuple[int, int]] = {}
    end = HEADER_SIZE
    for name, size in sizes.items():
        if name not in sharded:
            places[name] = end, size
            end += -(-size // 64) * 64
    first = end = -(-end // mmap.PAGESIZE) * mmap.PAGESIZE
    for name in sizes:
        if name in sharded:
            places[name] = end, sizes[name]
            end += -(-sizes[name] // 64) * 64
    stride_bits = max(end - first - 1, mmap.PAGESIZE - 1).bit_length()
    while shard_bits and 1 << stride_bits + shard_bits > _SHARDED_LIMIT:
        shard_bits -= 1
    end = first + ((1 << stride_bits + shard_bits) if sharded else 0)
    end = -(-end // mmap.PAGESIZE) * mmap.PAGESIZE
    places[RECORDS] = end, ring_size
    return Regions(places, end + ring_size, sharded, Shards(shard_bits, stride_bits))
