"""Code for aggregations: where a key's cell is, and how each aggregating function changes it.

A cell is changed by atomic operations only: several processors, and on one processor a thread that preempted
another, may be in it at once. The layout of cells is aggregations.py's, of stores layout.py's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import llvmlite.ir as ir

from dlang.aggregations import FIRST_BUCKET, AggregatingFunction, Aggregation, scale_of
from dlang.buckets import QUANTIZE_ZERO_BUCKET, Llquantize, Lquantize, Quantize, llquantize_bounds
from dlang.emit_ir import add_atomically, as_word, at, constant, fetch_and_add, is_null, load, opaque, store
from dlang.frame import Frame, drop, merge_words
from dlang.layout import HashStore, Store, TableStore, key_bytes, needs_site, runtime_keys
from dlang.lower_value import divide, recorded_into, word
from dlang.notices import Drop
from dlang.program import Aggregate

_KEY_ON_STACK: Final = 64
"""Bytes of key that go on the stack (BPF's holds 512); longer keys are made in scratch."""
_EXCHANGE_TRIES: Final = 8


def key_needs_scratch(aggregate: Aggregate, stores: Mapping[str, Store]) -> bool:
    """Say whether the statement's key is made in scratch."""
    store_ = stores[aggregate.aggregation.name]
    return isinstance(store_, HashStore) and store_.key_size > _KEY_ON_STACK


def lower_aggregate(aggregate: Aggregate, stores: Mapping[str, Store], frame: Frame) -> None:
    """Emit `@name[keys] = function(value, weight)`. The value is evaluated before the cell is looked for."""
    b = frame.b
    value = word(aggregate.value, frame) if aggregate.value is not None else None
    weight = word(aggregate.weight, frame) if aggregate.weight is not None else constant(1)
    store_ = stores[aggregate.aggregation.name]
    match store_:
        case TableStore():
            slot = _slot(aggregate, store_, frame)
            cell = frame.target.table_cell(b, aggregate.aggregation.name, slot)
        case HashStore():
            cell = frame.target.hash_cell(b, aggregate.aggregation.name, _key(aggregate, store_, frame))
    with b.if_else(is_null(b, cell), likely=False) as (missing, there):
        with missing:
            drop(frame, Drop.AGGREGATION)
        with there:
            _update(aggregate.aggregation, cell, value, weight, frame)


def _slot(aggregate: Aggregate, table: TableStore, frame: Frame) -> ir.Value:
    if aggregate.number in table.fixed:
        return constant(table.fixed[aggregate.number])
    site = frame.site()
    scaled = frame.b.mul(site, constant(table.stride)) if table.stride > 1 else site
    return frame.b.add(scaled, constant(table.sites[aggregate.number]))


def _key(aggregate: Aggregate, table: HashStore, frame: Frame) -> ir.Value:
    b = frame.b
    place = frame.temporary if table.key_size > _KEY_ON_STACK else frame.key_on_stack
    key = place(table.key_size)
    store(b, aggregate.number, key)
    store(b, frame.site() if needs_site(aggregate) else 0, key, 8)
    position = 16
    for value in runtime_keys(aggregate):
        recorded_into(value, at(b, key, position), frame)
        position += key_bytes(value, frame.program.string_size)
    for offset in range(position, table.key_size, 8):
        store(b, 0, key, offset)
    return key


# --- the aggregating functions ------------------------------------------------------------------------------


def _update(
    aggregation: Aggregation, cell: ir.Value, value: ir.Value | None, weight: ir.Value, frame: Frame
) -> None:
    b = frame.b
    if aggregation.function is AggregatingFunction.COUNT:
        add_atomically(b, cell, constant(1))
        return
    assert value is not None
    match aggregation.function:
        case AggregatingFunction.SUM:
            store(b, 1, cell)
            add_atomically(b, cell, value, 8)
        case AggregatingFunction.AVG:
            add_atomically(b, cell, constant(1))
            add_atomically(b, cell, value, 8)
        case AggregatingFunction.STDDEV:
            add_atomically(b, cell, constant(1))
            add_atomically(b, cell, value, 8)
            _add_square(b, cell, value)
        case AggregatingFunction.MIN:
            _extreme(cell, value, "<", frame)
        case AggregatingFunction.MAX:
            _extreme(cell, value, ">", frame)
        case _:
            store(b, 1, cell)
            place = b.shl(_bucket_word(aggregation, value, frame), constant(3))
            add_atomically(b, at(b, cell, place), weight)


def _add_square(b: ir.IRBuilder, cell: ir.Value, value: ir.Value) -> None:
    """Add value² to the cell's 128-bit sum; the carry is what the low half's own addition lost."""
    sign = b.ashr(value, constant(63))
    magnitude = b.sub(b.xor(value, sign), sign)
    low_half, high_half = b.and_(magnitude, constant(0xFFFFFFFF)), b.lshr(magnitude, constant(32))
    cross = b.mul(low_half, high_half)
    low = b.mul(low_half, low_half)
    doubled = b.shl(cross, constant(33))
    sum_low = b.add(low, doubled)
    carry = as_word(b, b.icmp_unsigned("<", sum_low, low))
    high = b.add(b.mul(high_half, high_half), b.add(b.lshr(cross, constant(31)), carry))
    before = fetch_and_add(b, cell, sum_low, 16)
    lost = as_word(b, b.icmp_unsigned("<", b.add(before, sum_low), sum_low))
    add_atomically(b, cell, b.add(high, lost), 24)


def _extreme(cell: ir.Value, value: ir.Value, better: str, frame: Frame) -> None:
    """Put the value into the cell where it is better than what is there.

    Another thread may put one there in between: then look again. Who loses several times in a row is counted
    as a drop, since a loop without end is nothing that a kernel takes.
    """
    b = frame.b
    store(b, 1, cell)
    done = b.append_basic_block("extreme_done")
    place = at(b, cell, 8)
    for _ in range(_EXCHANGE_TRIES):
        old = load(b, place)
        exchange = b.append_basic_block("exchange")
        again = b.append_basic_block("again")
        b.cbranch(b.icmp_signed(better, value, old), exchange, done)
        b.position_at_end(exchange)
        swapped = b.extract_value(b.cmpxchg(place, old, value, "monotonic", "monotonic"), 0)
        b.cbranch(b.icmp_unsigned("==", swapped, old), done, again)
        b.position_at_end(again)
    drop(frame, Drop.AGGREGATION)
    b.branch(done)
    b.position_at_end(done)


def _bucket_word(aggregation: Aggregation, value: ir.Value, frame: Frame) -> ir.Value:
    """Return the word of the cell that counts the value, in a range that the kernel's verifier can see."""
    first = constant(FIRST_BUCKET)
    match scale_of(aggregation):
        case Quantize():
            # 127 buckets behind the first word: no word is beyond what 7 bits number.
            return frame.b.and_(frame.b.add(_power_bucket(frame.b, value), first), constant(127))
        case Lquantize() as scale:
            return frame.b.add(_linear_bucket(frame.b, value, scale), first)
        case Llquantize() as scale:
            return frame.b.add(_log_linear_bucket(value, scale, frame), first)


def _magnitude(b: ir.IRBuilder, value: ir.Value) -> tuple[ir.Value, ir.Value]:
    """Return the value's sign (0 or -1) and its magnitude as an unsigned number."""
    sign = b.ashr(value, constant(63))
    return sign, b.sub(b.xor(value, sign), sign)


def _power_bucket(b: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """The middle bucket plus or minus the number of bits of the magnitude; -2^63 shares the bucket of -2^62."""
    sign, magnitude = _magnitude(b, value)
    zeros = b.ctlz(magnitude, ir.Constant(ir.IntType(1), 0))
    bits = b.sub(constant(64), zeros)
    too_many = b.lshr(bits, constant(6))
    distance = b.sub(bits, too_many)
    return b.add(constant(QUANTIZE_ZERO_BUCKET), b.sub(b.xor(distance, sign), sign))


def _linear_bucket(b: ir.IRBuilder, value: ir.Value, scale: Lquantize) -> ir.Value:
    low = constant(scale.low)
    below = b.block
    with b.if_then(b.icmp_signed(">=", value, low)):
        # The difference of two int64 is a uint64: no overflow.
        level = opaque(b, divide(b, "/", b.sub(value, low), constant(scale.step), signed=False))
        above = b.icmp_unsigned(">=", level, constant(scale.levels))
        inside = b.select(above, constant(scale.levels), level)
        found = b.add(inside, constant(1))
        end = b.block
    return merge_words(b, [(below, constant(0)), (end, found)])


def _log_linear_bucket(value: ir.Value, scale: Llquantize, frame: Frame) -> ir.Value:
    """Bisect the table of bounds without branches, which the verifier would follow one by one."""
    b = frame.b
    bounds = llquantize_bounds(scale)
    width = len(bounds).bit_length()
    padded = [*bounds, *([(1 << 64) - 1] * ((1 << width) - 1 - len(bounds)))]
    table = frame.constant_at(b"".join(bound.to_bytes(8, "little") for bound in padded))
    sign, magnitude = _magnitude(b, value)
    distance: ir.Value = constant(0)
    for bit in reversed(range(width)):
        index = b.add(distance, constant((1 << bit) - 1))
        bound = load(b, at(b, table, b.shl(index, constant(3))))
        distance = b.add(distance, b.shl(_at_least(b, magnitude, bound), constant(bit)))
    middle = constant(len(bounds))
    index = opaque(b, b.add(middle, b.sub(b.xor(distance, sign), sign)))
    last = constant(2 * len(bounds))
    return b.select(b.icmp_unsigned("<", index, last), index, last)


def _at_least(b: ir.IRBuilder, left: ir.Value, right: ir.Value) -> ir.Value:
    """Return 1 where left >= right as unsigned numbers, else 0: the borrow of the subtraction, computed from bits."""
    difference = b.sub(left, right)
    borrow = b.or_(b.and_(b.not_(left), right), b.and_(b.or_(b.not_(left), right), difference))
    return b.xor(b.lshr(borrow, constant(63)), constant(1))
