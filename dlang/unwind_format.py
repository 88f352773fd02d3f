"""How the memory is laid out from which clauses learn the way from one frame of a stack to its caller. Pure numbers.

backend/stack_tables.py writes it, lower_stack.py emits the code that reads it, in the kernel or in the tracer. It is

    a header        ACTIVE, MISSED
    two lists       of RANGE_COUNT ranges of addresses each, ascending; the one that ACTIVE names is in force, so
                    that the other can be rewritten while stacks are recorded
    a pool          of words: rows and blocks of each object

An object's rows are sorted by the offset from its `base` from which they hold; a row is `offset << 32 | rule`. Its
blocks lead to them: for each BLOCK_BYTES of text, and for the end, 4 bytes, the place in the pool (in words) of the row
that holds where the block begins. The pool's first word is a row by itself: the rule of what has no rows.

A *rule* is 32 bits: how the canonical frame address (CFA) of the caller is found, the value of rsp before its call
pushed the return address, and where the caller's rbp was saved. DWARF 5, 6.4; System V ABI, AMD64 supplement, 3.7.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

# --- rules --------------------------------------------------------------------------------------------------


class Way(IntEnum):
    """The low three bits of a rule."""

    END = 0
    """Nothing is known, or there is no caller: the stack ends."""
    OFFSET = 1
    """CFA = register + offset."""
    INDIRECT = 2
    """CFA = the word at register + offset, + more."""
    PLT = 3
    """CFA = rsp + 8, or + 16 from the eleventh byte of an entry of the procedure linkage table on."""
    SIGNAL = 4
    """The thread's registers before a signal are at rsp, in the kernel's struct ucontext."""


RULE_REGISTER_SHIFT: Final = 3
RULE_SAVED_SHIFT: Final = 7
RULE_OFFSET_SHIFT: Final = 12
RSP: Final = 7
RBP: Final = 6
"""Registers in a rule are numbered as DWARF does."""
DWARF_REGISTERS: Final = (
    "RAX", "RDX", "RCX", "RBX", "RSI", "RDI", "RBP", "RSP", "R8", "R9", "R10", "R11", "R12", "R13", "R14", "R15",
)  # fmt: skip
SAVED_AT_RBP: Final = 31
"""In place of the distance to the CFA: the caller's rbp is where rbp points to."""
_OFFSETS: Final = 1 << 19
_INDIRECT_MORE: Final = 16


def rule(way: Way, register: int = 0, offset: int = 0, saved: int = 0, more: int = 0) -> int | None:
    """Return a rule, or None where it can't be said in 32 bits.

    `offset` and `more` are in bytes; `saved` is how many words below the CFA the caller's rbp is, 0 where rbp has not
    changed, or SAVED_AT_RBP.
    """
    words, remainder = divmod(offset, 8)
    if remainder or more % 8 or not 0 <= more // 8 < _INDIRECT_MORE or not 0 <= saved <= SAVED_AT_RBP:
        return None
    number = words * _INDIRECT_MORE + more // 8 if way is Way.INDIRECT else words
    if not -_OFFSETS <= number < _OFFSETS:
        return None
    fields = register << RULE_REGISTER_SHIFT | saved << RULE_SAVED_SHIFT | number << RULE_OFFSET_SHIFT
    return (way | fields) & 0xFFFFFFFF


END_RULE: Final = int(Way.END)
FRAME_POINTER_RULE: Final = (
    Way.OFFSET | RBP << RULE_REGISTER_SHIFT | 2 << RULE_SAVED_SHIFT | 2 << RULE_OFFSET_SHIFT
)
"""For code without a table: rbp is taken for a frame pointer, below which nothing else was pushed."""

# --- the kernel's frame of a signal: struct ucontext and sigcontext, arch/x86/include/uapi/asm ---------------

UCONTEXT_RBP: Final = 120
UCONTEXT_RSP: Final = 160
UCONTEXT_RIP: Final = 168

INTERRUPTED: Final = 1 << 63
"""Set in a recorded frame that a signal interrupted: it is where it was, not where a call returns to."""

# --- the memory ---------------------------------------------------------------------------------------------

ACTIVE: Final = 0
"""0 or 1: the list of ranges in force."""
MISSED: Final = 8
"""A Missed: whether a stack led to an address that lies in no range."""


class Missed(IntEnum):
    """The word at MISSED."""

    NO = 0
    YES = 1
    TOLD = 2
    """The consumer, which writes the tables, has been woken for it."""
    ALL = 3
    """It has been woken since the process runs another program."""


HEADER_SIZE: Final = 64

RANGE_BITS: Final = 10
RANGE_COUNT: Final = 1 << RANGE_BITS
RANGE_START, RANGE_END, RANGE_BASE, RANGE_BLOCKS = 0, 8, 16, 24
"""A range: the addresses `[start, end)` of the process, what its rows are relative to, and the place in the pool (in
words) of its blocks; 0 there: it has none. The first range of a list is empty and at 0, unused ones are at NOWHERE."""
RANGE_SIZE: Final = 32
RANGES_SIZE: Final = RANGE_SIZE << RANGE_BITS
NOWHERE: Final = 1 << 47
"""No address of a process is this high."""
LOWEST: Final = 1 << 16
"""No code is below: vm.mmap_min_addr."""

POOL: Final = HEADER_SIZE + 2 * RANGES_SIZE
BLOCK_BITS: Final = 8
BLOCK_BYTES: Final = 1 << BLOCK_BITS
"""A row a byte at most: BLOCK_BITS steps of bisection find one in a block."""
SMALLEST_POOL_BITS: Final = 16
LARGEST_POOL_BITS: Final = 28


def memory_size(pool_bits: int) -> int:
    """Return the size in bytes with a pool of 1 << pool_bits; blocks are read in pairs, hence the word behind it."""
    return POOL + (1 << pool_bits) + 8
