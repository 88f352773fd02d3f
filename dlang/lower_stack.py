"""Code for stacks: from a thread's registers to the addresses that its functions return to, frame by frame.

One unwinder for all machines: it reads the tables that unwind_format.py lays out and the thread's stack, both through
Target. It is a loop that the kernel's verifier follows to its end, frame by frame; therefore the tables are bisected
without branches, and what is known of a frame is in memory, of which the verifier knows nothing: states that differ in
nothing else are one to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import llvmlite.ir as ir

from dlang.builtins import REGISTER_NUMBER
from dlang.emit_ir import I32, I64, as_word, at, constant, load, opaque, store, zero_words
from dlang.frame import Frame, merge_words
from dlang.unwind_format import (
    ACTIVE,
    BLOCK_BITS,
    DWARF_REGISTERS,
    HEADER_SIZE,
    INTERRUPTED,
    LOWEST,
    MISSED,
    NOWHERE,
    POOL,
    RANGE_BASE,
    RANGE_BITS,
    RANGE_BLOCKS,
    RANGE_END,
    RANGE_SIZE,
    RANGES_SIZE,
    RBP,
    RSP,
    RULE_OFFSET_SHIFT,
    RULE_REGISTER_SHIFT,
    RULE_SAVED_SHIFT,
    SAVED_AT_RBP,
    UCONTEXT_RBP,
    UCONTEXT_RIP,
    UCONTEXT_RSP,
    Missed,
    Way,
)

MOST_FRAMES: Final = 256
"""Frames that a stack can have: what a verifier follows in the time that it has."""

_REGISTERS: Final = 8 * len(DWARF_REGISTERS)
_LOOKED_UP, _READ, _DEPTH, _ROW = range(_REGISTERS, _REGISTERS + 32, 8)
_WORK_SIZE: Final = _REGISTERS + 32
"""The unwinder's own memory: registers of the frame, the address that its row is looked up by, a word that was read off
the stack, how many frames there are, and the place of the row: 0 where there was none, and the caller is guessed."""
_NO_GUESS: Final = 1


def stack_into(frames: int, place: ir.Value, frame: Frame) -> None:
    """Emit a stack of at most `frames` addresses into that many words, zeros behind the last."""
    zero_words(frame.b, place, 8 * frames)
    with frame.temporaries():
        _unwind(frames, place, frame)


def caller(frame: Frame) -> ir.Value:
    """Return the address that the thread's function returns to, or 0."""
    with frame.temporaries():
        place = frame.temporary(16)
        stack_into(2, place, frame)
        return load(frame.b, place, 8)


def depth(frame: Frame) -> ir.Value:
    """Return how many frames the stack has, at most MOST_FRAMES."""
    with frame.temporaries():
        place = frame.temporary(8 * MOST_FRAMES)
        return _unwind(MOST_FRAMES, place, frame)


@dataclass(slots=True)
class _Walk:
    """What the parts of the loop share: the builder, the tables, the memory of the walk, the block behind the loop."""

    frame: Frame
    b: ir.IRBuilder
    tables: ir.Value
    pool_mask: int
    ranges: ir.Value
    work: ir.Value
    done: ir.Block

    def register(self, number: int) -> ir.Value:
        return load(self.b, self.work, 8 * number)

    def word_of_stack(self, address: ir.Value) -> ir.Value:
        """Return a word of the thread's stack; the walk ends where there is none."""
        b = self.b
        place = at(b, self.work, _READ)
        failed = b.icmp_signed("<", self.frame.target.read_stack(b, place, address), constant(0))
        self.end_when(failed)
        return load(b, place)

    def end_when(self, condition: ir.Value) -> None:
        go_on = self.b.append_basic_block("frame_goes_on")
        self.b.cbranch(condition, self.done, go_on)
        self.b.position_at_end(go_on)

    def end_unless_address(self, value: ir.Value) -> None:
        """End the walk where a value is no address of a process."""
        least = self.b.sub(value, constant(LOWEST))
        self.end_when(self.b.icmp_unsigned(">=", least, constant(NOWHERE - LOWEST)))

    def of_pool(self, words: ir.Value) -> ir.Value:
        """Return a word of the pool by its place, which is cut to the pool."""
        b = self.b
        offset = b.and_(b.shl(words, constant(3)), constant(self.pool_mask & ~7))
        return load(b, at(b, at(b, self.tables, POOL), offset))


def _unwind(limit: int, place: ir.Value, frame: Frame) -> ir.Value:
    """Emit the walk; returns the number of frames. Where the probe has no registers, there is none."""
    b, target = frame.b, frame.target
    work = frame.temporary(_WORK_SIZE)
    for number, name in enumerate(DWARF_REGISTERS):
        store(b, target.register(b, REGISTER_NUMBER[name]), work, 8 * number)
    start = target.register(b, REGISTER_NUMBER["RIP"])
    store(b, start, place)
    store(b, start, work, _LOOKED_UP)
    store(b, as_word(b, b.icmp_unsigned("!=", start, constant(0))), work, _DEPTH)
    store(b, _NO_GUESS, work, _ROW)
    tables, pool_bits = target.unwind_tables(b)
    active = b.and_(load(b, tables, ACTIVE), constant(1))
    ranges = b.add(b.mul(active, constant(RANGES_SIZE)), constant(HEADER_SIZE))
    header, body, done = (b.append_basic_block(name) for name in ("frames", "frame", "frames_done"))
    before = b.block
    b.branch(header)
    b.position_at_end(header)
    number = b.phi(I64)
    number.add_incoming(constant(1), before)
    b.cbranch(b.icmp_unsigned("<", number, constant(limit)), body, done)
    b.position_at_end(body)
    walk = _Walk(frame, b, tables, (1 << pool_bits) - 1, ranges, work, done)
    returns_to = _step(number, place, walk)
    store(b, returns_to, at(b, place, b.shl(number, constant(3))))
    following = b.add(number, constant(1))
    store(b, following, work, _DEPTH)
    number.add_incoming(following, b.block)
    b.branch(header)
    b.position_at_end(done)
    with b.if_then(b.icmp_unsigned("==", load(b, tables, MISSED), constant(Missed.YES)), likely=False):
        store(b, Missed.TOLD, tables, MISSED)
        target.wake_consumer(b)
    return load(b, work, _DEPTH)


def _step(number: ir.Value, place: ir.Value, walk: _Walk) -> ir.Value:
    """Emit the way from one frame to its caller; returns the address that it returns to, which one can be."""
    b, work = walk.b, walk.work
    rule = _rule(number, place, walk)
    way = b.and_(rule, constant(7))
    register = b.and_(b.lshr(rule, constant(RULE_REGISTER_SHIFT)), constant(15))
    offset = b.ashr(b.shl(rule, constant(32)), constant(32 + RULE_OFFSET_SHIFT))
    first = b.icmp_unsigned("==", number, constant(1))
    base = load(b, at(b, work, b.shl(register, constant(3))))
    ordinary, signal, indirect, plt, found, moved = (
        b.append_basic_block(name) for name in ("ordinary", "signal", "indirect", "plt", "cfa", "moved")
    )
    choice = b.switch(way, walk.done)
    for case, block in (
        (Way.OFFSET, ordinary),
        (Way.INDIRECT, indirect),
        (Way.PLT, plt),
        (Way.SIGNAL, signal),
    ):
        choice.add_case(constant(case), block)

    b.position_at_end(ordinary)
    # Of a caller only rsp and rbp are known.
    known = b.icmp_unsigned("==", b.lshr(register, constant(1)), constant(RBP >> 1))
    walk.end_when(b.not_(b.or_(first, known)))
    sources = [(b.block, b.add(base, b.shl(offset, constant(3))))]
    b.branch(found)

    b.position_at_end(indirect)
    pointer = b.add(base, b.shl(b.ashr(offset, constant(4)), constant(3)))
    more = b.shl(b.and_(offset, constant(15)), constant(3))
    pointed = walk.word_of_stack(pointer)
    sources.append((b.block, b.add(pointed, more)))
    b.branch(found)

    b.position_at_end(plt)
    entry_offset = b.and_(load(b, work, _LOOKED_UP), constant(15))
    # 8 more from the eleventh byte on: the entry has pushed a number by then.
    pushed = b.and_(b.lshr(b.add(entry_offset, constant(5)), constant(1)), constant(8))
    sources.append((b.block, b.add(b.add(walk.register(RSP), constant(8)), pushed)))
    b.branch(found)

    b.position_at_end(found)
    cfa = merge_words(b, sources)
    # Frames lie one above the other; anything else would lead round in a circle.
    walk.end_when(b.icmp_unsigned("<=", cfa, walk.register(RSP)))
    called_from = walk.word_of_stack(b.sub(cfa, constant(8)))
    walk.end_unless_address(called_from)
    _restore_rbp(rule, cfa, walk)
    store(b, cfa, work, 8 * RSP)
    # The return address may be that of the next function, where the call was the last thing in its own.
    store(b, b.sub(called_from, constant(1)), work, _LOOKED_UP)
    merged = [(b.block, called_from)]
    b.branch(moved)

    b.position_at_end(signal)
    context = walk.register(RSP)
    interrupted = walk.word_of_stack(b.add(context, constant(UCONTEXT_RIP)))
    rbp = walk.word_of_stack(b.add(context, constant(UCONTEXT_RBP)))
    rsp = walk.word_of_stack(b.add(context, constant(UCONTEXT_RSP)))
    store(b, rbp, work, 8 * RBP)
    store(b, rsp, work, 8 * RSP)
    store(b, interrupted, work, _LOOKED_UP)
    walk.end_unless_address(interrupted)
    merged.append((b.block, b.or_(interrupted, constant(INTERRUPTED))))
    b.branch(moved)

    b.position_at_end(moved)
    return merge_words(b, merged)


def _restore_rbp(rule: ir.Value, cfa: ir.Value, walk: _Walk) -> None:
    b = walk.b
    saved = b.and_(b.lshr(rule, constant(RULE_SAVED_SHIFT)), constant(31))
    restored, end = b.append_basic_block("restore_rbp"), b.append_basic_block("rbp_restored")
    b.cbranch(b.icmp_unsigned("==", saved, constant(0)), end, restored)
    b.position_at_end(restored)
    below_cfa = b.sub(cfa, b.shl(saved, constant(3)))
    at_rbp = b.icmp_unsigned("==", saved, constant(SAVED_AT_RBP))
    address = b.select(at_rbp, walk.register(RBP), below_cfa)
    store(b, walk.word_of_stack(address), walk.work, 8 * RBP)
    b.branch(end)
    b.position_at_end(end)


# --- the tables ---------------------------------------------------------------------------------------------


def _rule(number: ir.Value, place: ir.Value, walk: _Walk) -> ir.Value:
    """Emit the search for the row of the address to look up; returns its rule, in the low 32 bits of a word.

    Code that is in no range is taken to keep frame pointers, and so is what has no rows. Where that has led to an
    address that is in no range either, it was wrong: the frame is taken back.
    """
    b = walk.b
    address = load(b, walk.work, _LOOKED_UP)
    walk.end_when(b.icmp_unsigned(">=", address, constant(NOWHERE)))
    range_ = at(b, walk.tables, b.add(walk.ranges, b.mul(_range(address, walk), constant(RANGE_SIZE))))
    inside, missed, without, search = (
        b.append_basic_block(name) for name in ("in_range", "missed", "no_table", "table")
    )
    b.cbranch(b.icmp_unsigned("<", address, load(b, range_, RANGE_END)), inside, missed)
    b.position_at_end(missed)
    with b.if_then(b.icmp_unsigned("==", load(b, walk.tables, MISSED), constant(Missed.NO)), likely=False):
        store(b, Missed.YES, walk.tables, MISSED)
    wrong = b.append_basic_block("wrong_guess")
    b.cbranch(b.icmp_unsigned("==", load(b, walk.work, _ROW), constant(0)), wrong, without)
    b.position_at_end(wrong)
    last = b.sub(number, constant(1))
    store(b, 0, at(b, place, b.shl(last, constant(3))))
    store(b, last, walk.work, _DEPTH)
    b.branch(walk.done)
    b.position_at_end(without)
    store(b, 0, walk.work, _ROW)
    found = b.append_basic_block("row")
    b.branch(found)
    b.position_at_end(inside)
    blocks = load(b, range_, RANGE_BLOCKS)
    b.cbranch(b.icmp_unsigned("==", blocks, constant(0)), without, search)
    b.position_at_end(search)
    store(b, _row(b.sub(address, load(b, range_, RANGE_BASE)), blocks, walk), walk.work, _ROW)
    b.branch(found)
    b.position_at_end(found)
    # By way of memory: a row of which the verifier knows the place would be a state of its own.
    return walk.of_pool(load(b, walk.work, _ROW))


def _range(address: ir.Value, walk: _Walk) -> ir.Value:
    """Bisect the ranges: the number of the last one that begins at or below the address."""
    b = walk.b
    number: ir.Value = constant(0)
    for bit in reversed(range(RANGE_BITS)):
        tried = b.add(number, constant(1 << bit))
        begins = load(b, at(b, walk.tables, b.add(walk.ranges, b.mul(tried, constant(RANGE_SIZE)))))
        number = b.add(number, b.and_(_not_above(b, begins, address), constant(1 << bit)))
    return number


def _row(offset: ir.Value, blocks: ir.Value, walk: _Walk) -> ir.Value:
    """Bisect a block's rows: the place of the last one that holds from the offset or before."""
    b = walk.b
    place = b.add(b.shl(blocks, constant(3)), b.shl(b.lshr(offset, constant(BLOCK_BITS)), constant(2)))
    pair = at(b, at(b, walk.tables, POOL), b.and_(place, constant(walk.pool_mask & ~3)))
    row: ir.Value = b.zext(b.load(pair, typ=I32), I64)
    last = b.zext(b.load(at(b, pair, 4), typ=I32), I64)
    wanted = b.or_(b.shl(offset, constant(32)), constant(0xFFFFFFFF))
    for bit in reversed(range(BLOCK_BITS)):
        tried = b.add(row, constant(1 << bit))
        holds = b.and_(_not_above(b, tried, last), _not_above(b, walk.of_pool(tried), wanted))
        row = b.add(row, b.and_(holds, constant(1 << bit)))
    return row


def _not_above(b: ir.IRBuilder, left: ir.Value, right: ir.Value) -> ir.Value:
    """Return all ones where left <= right, else 0; both are below 2^63."""
    return opaque(b, b.xor(b.ashr(b.sub(right, left), constant(63)), constant(-1)))
