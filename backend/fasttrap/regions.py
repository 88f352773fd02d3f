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
HEADER_SIZE: Final = 192

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

STATE, CONSTANTS, NAMES, UNITS, HITS, NEXT, PLACES, THREADS, UNWIND, RECORDS = (
    "state",
    "constants",
    "names",
    "units",
    "hits",
    "next",
    "places",
    "threads",
    "unwind",
    "records",
)
"""The regions by name; an aggregation's has `@` before its own name. By the number of a site UNITS
holds 4 bytes: the number of the unit it fires; NEXT 4: the number of another site at the same address, whose unit
comes next, 0 behind the last; HITS 8: how often it was hit; PLACES 8, where it is a return: the ID of its probe, and
its offset in the function. UNWIND: dlang/unwind_format.py."""


@dataclass(frozen=True, slots=True)
class Regions:
    """Offset and size in bytes of each region, and of the memory: whole pages, the ring at its end."""

    places: Mapping[str, tuple[int, int]]
    size: int

    def offset(self, name: str) -> int:
        return self.places[name][0]


def lay_out(sizes: Mapping[str, int], ring_size: int) -> Regions:
    """Return the places of regions of these sizes, cache lines apart, and of the ring behind them."""
    places: dict[str, tuple[int, int]] = {}
    end = HEADER_SIZE
    for name, size in sizes.items():
        places[name] = end, size
        end += -(-size // 64) * 64
    end = -(-end // mmap.PAGESIZE) * mmap.PAGESIZE
    places[RECORDS] = end, ring_size
    return Regions(places, end + ring_size)
