"""The nine aggregating functions: what a cell holds, how cells are combined, and what they are worth.

A **cell** is the state of one aggregation for one key: a tuple of unsigned 64-bit words, as both engines keep
it in memory, one row per function here. This layout is the contract between the code generator, the two
engines and the printing:

    count       n
    sum         present, sum
    min, max    present, extreme
    avg         n, sum
    stddev      n, sum, low and high half of the 128-bit sum of squares
    quantize    present, 127 buckets
    lquantize   present, the bucket below, one per level, the bucket at or above
    llquantize  present, the buckets in the order of their values

`present` is nonzero once the function was applied to the key (sum(0) has to be printed); for count, avg and
stddev the number of applications says so. Sums, extremes and bucket counts are two's complement. Which values
a bucket takes is in `buckets.py`, what clear() and friends do in `aggregation_store.py`, text in `output.py`.
Source of the arithmetic: d-language.md §9 and the outputs in tests/reference (`normalize*`, `agg-stddev`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from math import isqrt
from typing import Final

from dlang.buckets import Llquantize, Lquantize, Quantize, bucket_values
from dlang.types import Type

WORD: Final = 1 << 64
WORD_MASK: Final = WORD - 1
INT64_MAX: Final = (1 << 63) - 1
INT64_MIN: Final = -(1 << 63)
FIRST_BUCKET: Final = 1
"""The word of a distribution's cell that holds bucket 0."""

Cell = tuple[int, ...]
KeyValue = int | bytes
"""An integer key, of its type's size and sign; a string's bytes without the terminator; or a stack's frames, 8 bytes
each."""
Key = tuple[KeyValue, ...]


class AggregatingFunction(Enum):
    """The functions by their names in D."""

    COUNT = "count"
    SUM = "sum"
    AVG = "avg"
    MIN = "min"
    MAX = "max"
    STDDEV = "stddev"
    QUANTIZE = "quantize"
    LQUANTIZE = "lquantize"
    LLQUANTIZE = "llquantize"


_F = AggregatingFunction
DISTRIBUTIONS: Final = frozenset({_F.QUANTIZE, _F.LQUANTIZE, _F.LLQUANTIZE})
EXTREMES: Final = frozenset({_F.MIN, _F.MAX})
_COUNTED: Final = frozenset({_F.COUNT, _F.AVG, _F.STDDEV})
_PLAIN_WORDS: Final = {_F.COUNT: 1, _F.SUM: 2, _F.AVG: 2, _F.MIN: 2, _F.MAX: 2, _F.STDDEV: 4}


@dataclass(frozen=True, slots=True)
class Aggregation:
    """One aggregation of a program. `name` is `_` for `@`; it is unique in a program.

    `parameters` are the constants of lquantize (low, high, step) and llquantize (factor, low magnitude, high
    magnitude, steps), checked by then; empty for the others.
    """

    name: str
    function: AggregatingFunction
    parameters: tuple[int, ...] = ()
    key_types: tuple[Type, ...] = ()


def scale_of(aggregation: Aggregation) -> Quantize | Lquantize | Llquantize:
    """Return the buckets of a distribution. Only for functions in DISTRIBUTIONS."""
    match aggregation.function:
        case AggregatingFunction.QUANTIZE:
            return Quantize()
        case AggregatingFunction.LQUANTIZE:
            return Lquantize(*aggregation.parameters)
        case AggregatingFunction.LLQUANTIZE:
            return Llquantize(*aggregation.parameters)
        case _:
            raise AssertionError(f"{aggregation.function} has no buckets")


def cell_words(aggregation: Aggregation) -> int:
    """Return the size of a cell in 64-bit words."""
    plain = _PLAIN_WORDS.get(aggregation.function)
    return FIRST_BUCKET + len(bucket_values(scale_of(aggregation))) if plain is None else plain


def identity(aggregation: Aggregation) -> Cell:
    """Return the cell before any application: what an engine writes into a new one. `present` is 0."""
    match aggregation.function:
        case AggregatingFunction.MIN:
            return (0, INT64_MAX)
        case AggregatingFunction.MAX:
            return (0, INT64_MIN % WORD)
        case _:
            return (0,) * cell_words(aggregation)


def is_present(cell: Cell) -> bool:
    """Say whether the function was ever applied to this cell."""
    return cell[0] != 0


def merge(aggregation: Aggregation, left: Cell, right: Cell) -> Cell:
    """Return the cell of both inputs: cells of two processors, or of two engines, for one key."""
    function = aggregation.function
    if function in EXTREMES:
        choose = min if function is AggregatingFunction.MIN else max
        return (left[0] | right[0], choose(to_signed(left[1]), to_signed(right[1])) % WORD)
    if function is AggregatingFunction.STDDEV:
        return _with_squares(left, right, _squares(left) + _squares(right), 1)
    words = tuple((a + b) & WORD_MASK for a, b in zip(left, right, strict=True))
    return words if function in _COUNTED else (left[0] | right[0], *words[1:])


def subtract(aggregation: Aggregation, now: Cell, base: Cell) -> Cell:
    """Return what was applied since the cell was `base`: the inverse of merge, for functions that have one.

    Not for min and max. `present` stays as it is in `now`, since a cleared key is still printed.
    """
    assert aggregation.function not in EXTREMES, aggregation
    if aggregation.function is AggregatingFunction.STDDEV:
        return _with_squares(now, base, _squares(now) - _squares(base), -1)
    words = tuple((a - b) & WORD_MASK for a, b in zip(now, base, strict=True))
    return words if aggregation.function in _COUNTED else (now[0], *words[1:])


def _squares(cell: Cell) -> int:
    return cell[2] | cell[3] << 64


def _with_squares(left: Cell, right: Cell, squares: int, sign: int) -> Cell:
    n, total = ((a + sign * b) & WORD_MASK for a, b in zip(left[:2], right[:2], strict=True))
    return (n, total, squares & WORD_MASK, squares >> 64 & WORD_MASK)


def to_signed(word: int) -> int:
    """Return a 64-bit word as the int64 it stands for."""
    return word - WORD if word >> 63 else word


def truncated_quotient(dividend: int, divisor: int) -> int:
    """Return C's quotient of two integers, which is cut toward zero where Python's rounds down."""
    quotient = abs(dividend) // abs(divisor)
    return quotient if (dividend < 0) == (divisor < 0) else -quotient


def unsigned_result(aggregation: Aggregation, cell: Cell, normal: int) -> int:
    """Return the normalized result as 64 bits, divided unsigned: the default text and `%@u`, `%@x`.

    That a normalized negative sum becomes a huge number is DTrace's (reference `normalize`). `normal` is a
    nonzero 64-bit word. avg and stddev are divided as signed and as 128-bit values first.
    """
    match aggregation.function:
        case AggregatingFunction.AVG | AggregatingFunction.STDDEV:
            return signed_result(aggregation, cell, normal) & WORD_MASK
        case _:
            return cell[-1] // normal


def signed_result(aggregation: Aggregation, cell: Cell, normal: int) -> int:
    """Return the normalized result as a signed number, divided as C divides int64: `%@d` of all but count.

    avg is sum/normal/n, cut toward zero both times; stddev the integer square root of mean(x²) - mean(x)²,
    where DTrace divides the squares by `normal` once, not twice (reference `normalize-others`); both 0 when
    empty.
    """
    divisor = to_signed(normal)
    match aggregation.function:
        case AggregatingFunction.AVG:
            return _mean(cell, divisor)
        case AggregatingFunction.STDDEV:
            if cell[0] == 0:
                return 0
            difference = _squares(cell) // normal // cell[0] - _mean(cell, divisor) ** 2
            return isqrt(difference % (1 << 128))
        case _:
            return truncated_quotient(to_signed(cell[-1]), divisor)


def _mean(cell: Cell, divisor: int) -> int:
    count = to_signed(cell[0])
    return truncated_quotient(truncated_quotient(to_signed(cell[1]), divisor), count) if count else 0


def sort_value(aggregation: Aggregation, cell: Cell) -> tuple[int, int]:
    """Return what two cells of one aggregation are ordered by: the result, or for distributions a weight.

    Never normalized. A distribution weighs the sum of bucket value times count, then the count of its zero
    bucket.
    """
    if aggregation.function not in DISTRIBUTIONS:
        return (signed_result(aggregation, cell, 1), 0)
    counts = [to_signed(word) for word in cell[FIRST_BUCKET:]]
    values = bucket_values(scale_of(aggregation))
    weight = sum(value * count for value, count in zip(values, counts, strict=True) if count)
    at_zero = next((count for value, count in zip(values, counts, strict=True) if value == 0), 0)
    return (weight, at_zero)
