"""Code over strings in memory. Every string is `size` bytes, a multiple of 8, with zeros from its end on, so that
equality and keys work by words, and loops need no exits (the kernel's verifier follows every branch).
"""

from __future__ import annotations

import llvmlite.ir as ir

from dlang.emit_ir import I8, I64, as_word, at, constant, load, opaque
from dlang.frame import merge_words


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
    """Return 1 where both strings are the same, else 0."""
    difference: ir.Value = constant(0)
    for offset in range(0, size, 8):
        difference = b.or_(difference, b.xor(load(b, left, offset), load(b, right, offset)))
    return as_word(b, b.icmp_unsigned("==", difference, constant(0)))


def order(b: ir.IRBuilder, left: ir.Value, right: ir.Value, size: int) -> tuple[ir.Value, ir.Value]:
    """Return the two words, as big-endian numbers, in which the strings first differ (the last ones if never).

    Comparing them as unsigned numbers is what strcmp() does with unsigned bytes.
    """
    found = b.append_basic_block("strings_differ")
    lefts, rights = [], []
    for offset in range(0, size, 8):
        words = load(b, left, offset), load(b, right, offset)
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
