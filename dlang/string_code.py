"""Code over strings in memory. Every string is `size` bytes, a multiple of 8, with zeros from its end on, so that
equality and keys work by words, and loops need no exits (the kernel's verifier follows every branch).
"""

from __future__ import annotations

from typing import Final

import llvmlite.ir as ir

from dlang.emit_ir import I8, I64, at, constant, load, opaque
from dlang.frame import merge_words

NULL_MARK: Final = 1 << 56
"""The last word of a string that is NULL: no string reaches its last byte, which is the terminator's."""
_COMPARED_AT_ONCE: Final = 64
"""Bytes that are compared between two branches."""


def length(b: ir.IRBuilder, text: ir.Value, size: int) -> ir.Value:
    """Return the characters before the first zero, by bisection without branches."""
    position: ir.Value = constant(0)
    step = 1 << (size - 1).bit_length() - 1
    while step:
        index = b.add(position, constant(step - 1))
        if size & (size - 1):
            # Past the end there are zeros only; the last byte is one of them.
            index, last = opaque(b, index), constant(size - 1)
            index = b.select(b.icmp_unsigned("<", index, last), index, last)
        byte = b.zext(b.load(at(b, text, index), typ=I8), I64)
        present = b.lshr(b.add(byte, constant(0xFF)), constant(8))
        position = b.add(position, b.shl(present, constant(step.bit_length() - 1)))
        step >>= 1
    return position


def are_equal(b: ir.IRBuilder, left: ir.Value, right: ir.Value, size: int) -> ir.Value:
    """Return 1 where both strings are the same, else 0. A few words at a time: LLVM loads all of a block's at once."""
    compared = b.append_basic_block("strings_compared")
    sources = []
    for start in range(0, size, _COMPARED_AT_ONCE):
        difference: ir.Value = constant(0)
        for offset in range(start, min(start + _COMPARED_AT_ONCE, size), 8):
            difference = b.or_(difference, b.xor(load(b, left, offset), load(b, right, offset)))
        following = b.append_basic_block("next_words")
        sources.append((b.block, constant(0)))
        b.cbranch(b.icmp_unsigned("!=", difference, constant(0)), compared, following)
        b.position_at_end(following)
    sources.append((b.block, constant(1)))
    b.branch(compared)
    b.position_at_end(compared)
    return merge_words(b, sources)


def order(b: ir.IRBuilder, left: ir.Value, right: ir.Value, size: int) -> tuple[ir.Value, ir.Value]:
    """Return the two words, as big-endian numbers, in which the strings first differ (the last ones if never).

    Comparing them as unsigned numbers is what strcmp() does with unsigned bytes.
    """
    found = b.append_basic_block("strings_differ")
    lefts, rights = [], []
    for offset in range(0, size, 8):
        words = load(b, left, offset), load(b, right, offset)
        if offset + 8 == size:
            # So that NULL is below every other.
            words = b.xor(words[0], constant(NULL_MARK)), b.xor(words[1], constant(NULL_MARK))
        lefts.append((b.block, words[0]))
        rights.append((b.block, words[1]))
        if offset + 8 == size:
            b.branch(found)
            break
        following = b.append_basic_block("next_word")
        b.cbranch(b.icmp_unsigned("!=", *words), found, following)
        b.position_at_end(following)
    b.position_at_end(found)
    first, second = merge_words(b, lefts), merge_words(b, rights)
    return b.bswap(first), b.bswap(second)
