"""Where a scratch page may be mapped: free addresses from which every byte of some code is within reach of 32
bits.

Works on a list of what is mapped; maps nothing. The caller asks the process for the address with
MAP_FIXED_NOREPLACE, and tries the next candidate if something has appeared there meanwhile.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

PAGE: Final = 0x1000
REACH: Final = (1 << 31) - (1 << 16)
"""Distance that a 32-bit displacement spans, less 64 KiB for the lengths of code and slots on either side."""

LOWEST: Final = 0x10000
"""Below this nothing is mapped: vm.mmap_min_addr as distributions set it, and where null pointers should
fault.
"""

HIGHEST: Final = 0x7FFF_FFFF_F000
"""End of the user half of the address space with four-level page tables."""

MARGIN: Final = 1 << 20
"""Bytes left free beside a mapping that grows."""

STACK_MARGIN: Final = 128 << 20
"""Bytes left free below one that grows down: the least that the kernel itself leaves below the stack."""


class Growth(Enum):
    """Which way a mapping may grow by itself."""

    NONE = "none"
    UP = "up, like the heap"
    DOWN = "down, like the stack"


@dataclass(frozen=True, slots=True)
class Mapped:
    """Addresses [start, end) that are taken."""

    start: int
    end: int
    growth: Growth = Growth.NONE


def candidates(mapped: Iterable[Mapped], code: tuple[int, int], size: int) -> Iterator[int]:
    """Yield page-aligned addresses where `size` bytes fit, nearest to the code first.

    `code` is [low, high) of what must be reachable. Every byte of the `size` bytes is within REACH of every
    byte of the code. Each gap between mappings gives one address at each of its ends; none where the code
    itself spans more than REACH.
    """
    low, high = code
    yield from candidates_within(mapped, (high - REACH, low + REACH), size, low)


def candidates_within(
    mapped: Iterable[Mapped], within: tuple[int, int], size: int, near: int | None = None
) -> Iterator[int]:
    """Yield page-aligned addresses where `size` bytes fit into [low, high) of `within`, nearest to `near` first
    (None: the middle of it).
    """
    near = sum(within) // 2 if near is None else near
    size = -(-size // PAGE) * PAGE
    earliest = max(LOWEST, within[0])
    latest = min(HIGHEST, within[1]) - size
    found: set[int] = set()
    for start, end in _gaps(mapped):
        first = -(-max(start, earliest) // PAGE) * PAGE
        last = min(end - size, latest) // PAGE * PAGE
        if first <= last:
            found |= {first, last}
            # Nearest from inside this gap.
            found.add(min(max((near - size) // PAGE * PAGE, first), last))
    yield from sorted(found, key=lambda address: (abs(address - near), address))


def find_gap(mapped: Iterable[Mapped], code: tuple[int, int], size: int) -> int | None:
    """Return the candidate nearest to the code, or None where there is no room."""
    return next(candidates(mapped, code, size), None)


def _gaps(mapped: Iterable[Mapped]) -> Iterator[tuple[int, int]]:
    """Yield the free ranges between mappings, each without the margins of those that grow into it."""
    free = 0
    for mapping in sorted(mapped, key=lambda one: one.start):
        yield free, mapping.start - (STACK_MARGIN if mapping.growth is Growth.DOWN else 0)
        free = max(free, mapping.end + (MARGIN if mapping.growth is Growth.UP else 0))
    yield free, HIGHEST


def whole_pages(size: int) -> int:
    """Round a number of bytes up to whole pages."""
    return -(-size // PAGE) * PAGE
