"""Loops over the characters of strings, in a form that the kernel's verifier accepts and gets through quickly.

A loop runs over a counter that the verifier knows. What it finds goes through memory (`Cell`): a number that the
verifier knew would make it follow the rest of the program once for every value. The subroutines built from these
are lower_subroutine.py's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import llvmlite.ir as ir

from dlang.emit_ir import I8, I64, at, constant, copy_words, load, opaque, store, zero_words
from dlang.frame import Frame

Predicate = Callable[[ir.Value], ir.Value]
"""Takes a byte as an i64, emits code, returns an i1."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A word of the firing's own memory; what is read from it is unknown to LLVM and to the verifier."""

    frame: Frame
    place: ir.Value

    def get(self) -> ir.Value:
        barrier(self.frame.b)
        return load(self.frame.b, self.place)

    def get_bounded(self, most: int) -> ir.Value:
        """Read a number that is known to be at most `most`."""
        return bounded(self.frame.b, self.get(), most)

    def set(self, value: ir.Value | int) -> None:
        store(self.frame.b, value, self.place)
        barrier(self.frame.b)


def cell(frame: Frame, first: ir.Value | int = 0) -> Cell:
    """Return a word that holds `first`, good to the end of the innermost `temporaries`."""
    made = Cell(frame, frame.temporary(8))
    made.set(first)
    return made


def barrier(b: ir.IRBuilder) -> None:
    """Keep LLVM from knowing at a load what was stored before."""
    b.asm(ir.FunctionType(ir.VoidType(), []), "", "~{memory}", [], side_effect=True)


def bounded(b: ir.IRBuilder, value: ir.Value, most: int) -> ir.Value:
    """Return a number that is at most `most`, so that the verifier sees it; a larger one becomes any that is not.

    A mask is no branch, which the verifier would follow both ways.
    """
    value = opaque(b, value)
    if most & most + 1 == 0:
        return b.and_(value, constant(most))
    return b.select(b.icmp_unsigned("<", value, constant(most)), value, constant(most))


def is_zero_bit(b: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """Return 1 where a word is zero, else 0, without a comparison, which would be a branch to the kernel's verifier."""
    return b.xor(b.lshr(opaque(b, b.or_(value, b.sub(constant(0), value))), constant(63)), constant(1))


def mask_of(b: ir.IRBuilder, bit: ir.Value) -> ir.Value:
    """Return all ones for 1, zero for 0."""
    return opaque(b, b.sub(constant(0), bit))


def byte_at(b: ir.IRBuilder, text: ir.Value, offset: ir.Value) -> ir.Value:
    return b.zext(b.load(at(b, text, offset), typ=I8), I64)


def store_byte(b: ir.IRBuilder, value: ir.Value, text: ir.Value, offset: ir.Value) -> None:
    b.store(b.trunc(value, I8), at(b, text, offset))


def end_within_limit(text: ir.Value, frame: Frame) -> None:
    """Cut a text that may be longer than strsize allows."""
    b = frame.b
    for offset in range(frame.program.string_limit - 1, frame.program.string_size):
        store_byte(b, constant(0), text, constant(offset))


def padded(source: ir.Value, frame: Frame) -> ir.Value:
    """Return a copy of a string with as many zeros behind it, so that any part of it can be read as a string."""
    size = frame.program.string_size
    place = frame.temporary(2 * size)
    copy_words(frame.b, place, source, size)
    zero_words(frame.b, at(frame.b, place, size), size)
    return place


@contextmanager
def counted_loop(frame: Frame, count: int) -> Iterator[tuple[ir.Value, ir.Block]]:
    """Emit a loop over 0 to `count - 1`: yields the counter and the block to leave by."""
    b = frame.b
    before = b.block
    head, body, done = (b.append_basic_block(name) for name in ("loop", "loop_body", "loop_done"))
    b.branch(head)
    b.position_at_end(head)
    counter = b.phi(I64)
    counter.add_incoming(constant(0), before)
    b.cbranch(b.icmp_unsigned("==", counter, constant(count)), done, body)
    b.position_at_end(body)
    yield counter, done
    # Opaque, or LLVM counts by a pointer, whose end the verifier can't see.
    counter.add_incoming(opaque(b, b.add(counter, constant(1))), b.block)
    b.branch(head)
    b.position_at_end(done)


def find(text: ir.Value, predicate: Predicate, frame: Frame) -> ir.Value:
    """Return the offset of the first byte for which the predicate holds; `string_size` where there is none."""
    b, size = frame.b, frame.program.string_size
    with frame.temporaries():
        found = cell(frame, size)
        with counted_loop(frame, size) as (offset, done), b.if_then(predicate(byte_at(b, text, offset))):
            found.set(offset)
            b.branch(done)
        return found.get_bounded(size)


def find_last(text: ir.Value, end: ir.Value, predicate: Predicate, frame: Frame) -> ir.Value:
    """Return the offset behind the last byte before `end` for which the predicate holds; 0 where there is none."""
    b, size = frame.b, frame.program.string_size
    with frame.temporaries():
        # In a cell, or the verifier learns more about it with every comparison, and follows what comes after for each.
        limit, found = cell(frame, end), cell(frame)
        with counted_loop(frame, size) as (counter, done):
            offset = b.sub(constant(size - 1), counter)
            in_front = b.icmp_unsigned("<", offset, limit.get())
            with b.if_then(in_front), b.if_then(predicate(byte_at(b, text, offset))):
                found.set(b.add(offset, constant(1)))
                b.branch(done)
        return found.get_bounded(size)


@dataclass(frozen=True, slots=True)
class Part:
    """A string that is looked for in another, not empty: its characters, how many they are, and where in it a
    comparison that failed goes on (Knuth, Morris and Pratt: a loop in a loop would wear out the verifier)."""

    text: ir.Value
    length: ir.Value
    fallback: ir.Value


def part_to_find(text: ir.Value, length: ir.Value, frame: Frame) -> Part:
    """Return a string as `find_text` wants it; `length` is bounded. Takes temporaries."""
    b, size = frame.b, frame.program.string_size
    fallback = frame.temporary(8 * size)
    store(b, 0, fallback)
    with frame.temporaries():
        place, matched = cell(frame, 1), cell(frame)
        with counted_loop(frame, 2 * size) as (_, done):
            here, count = place.get_bounded(size - 1), matched.get_bounded(size - 1)
            with b.if_then(b.icmp_unsigned(">=", here, length)):
                b.branch(done)
            longer = b.add(count, constant(1))
            same = b.icmp_unsigned("==", byte_at(b, text, here), byte_at(b, text, count))
            with b.if_else(same) as (yes, no):
                with yes:
                    _set_entry(b, fallback, here, longer)
                    matched.set(longer)
                    place.set(b.add(here, constant(1)))
                with no, b.if_else(b.icmp_unsigned("==", count, constant(0))) as (at_start, inside):
                    with at_start:
                        _set_entry(b, fallback, here, constant(0))
                        place.set(b.add(here, constant(1)))
                    with inside:
                        matched.set(_entry_before(b, fallback, count))
    return Part(text, length, fallback)


def find_text(
    text: ir.Value, length: ir.Value, part: Part, start: ir.Value, last: ir.Value | None, frame: Frame
) -> ir.Value:
    """Return the offset of a part in a text from `start` on: of the first occurrence, or of the last one that is not
    behind `last`; -1 where there is none. Offsets and `length` are bounded."""
    b, size = frame.b, frame.program.string_size
    with frame.temporaries():
        place, matched, found = cell(frame, start), cell(frame), cell(frame, -1)
        with counted_loop(frame, 2 * size) as (_, done):
            here, count = place.get_bounded(size - 1), matched.get_bounded(size - 1)
            with b.if_then(b.icmp_unsigned(">=", here, length)):
                b.branch(done)
            following, longer = b.add(here, constant(1)), b.add(count, constant(1))
            same = b.icmp_unsigned("==", byte_at(b, text, here), byte_at(b, part.text, count))
            with b.if_else(same) as (yes, no):
                with yes:
                    place.set(following)
                    matched.set(longer)
                    with b.if_then(b.icmp_unsigned("==", longer, part.length)):
                        offset = b.sub(following, longer)
                        if last is None:
                            found.set(offset)
                            b.branch(done)
                        else:
                            with b.if_then(b.icmp_unsigned(">", offset, last)):
                                b.branch(done)
                            found.set(offset)
                            matched.set(_entry_before(b, part.fallback, longer))
                with no, b.if_else(b.icmp_unsigned("==", count, constant(0))) as (at_start, inside):
                    with at_start:
                        place.set(following)
                    with inside:
                        matched.set(_entry_before(b, part.fallback, count))
        return found.get()


def _set_entry(b: ir.IRBuilder, table: ir.Value, index: ir.Value, value: ir.Value) -> None:
    store(b, value, at(b, table, b.shl(index, constant(3))))


def _entry_before(b: ir.IRBuilder, table: ir.Value, index: ir.Value) -> ir.Value:
    """Return the entry before one that is not the first."""
    return load(b, at(b, table, b.sub(b.shl(index, constant(3)), constant(8))))
