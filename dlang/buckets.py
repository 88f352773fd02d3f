"""Which values a bucket of quantize(), lquantize() and llquantize() takes, and what its row is labelled.

Bucket numbers start at 0 with the smallest values and are those of the cell (`aggregations.FIRST_BUCKET` on).
The code generator emits the same arithmetic as `bucket_index`, and is tested against it; `distribution.py`
prints the labels. Source: d-language.md §9, and tests/reference `agg-*quantize*`.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import cache
from typing import Final

QUANTIZE_ZERO_BUCKET: Final = 63
QUANTIZE_BUCKETS: Final = 127


@dataclass(frozen=True, slots=True)
class Quantize:
    """Powers of two: bucket 63 is 0; 64 + k takes 2^k to 2^(k+1)-1, for k up to 62; 62 - k mirrors it.

    Bucket 0 takes all from -2^62 down, so that the smallest int64 has a place.
    """


@dataclass(frozen=True, slots=True)
class Lquantize:
    """Steps of equal size: bucket 0 is below `low`, 1 + k starts at low + k*step, the last is at or above.

    (high - low) / step levels, rounded down; the bound of the last bucket is low + levels*step, not `high`.
    """

    low: int
    high: int
    step: int = 1

    @property
    def levels(self) -> int:
        return (self.high - self.low) // self.step


@dataclass(frozen=True, slots=True)
class Llquantize:
    """Powers of `factor` from `low` to `high`, each in `steps` linear parts; negative values mirror them.

    With `bounds = llquantize_bounds(...)` of length n the middle bucket, n, takes all values closer to zero
    than bounds[0]; n + 1 + k those from bounds[k] up; n - 1 - k those from -bounds[k] down. Buckets 0 and 2n
    overflow.
    """

    factor: int
    low: int
    high: int
    steps: int


Scale = Quantize | Lquantize | Llquantize


@cache
def llquantize_bounds(scale: Llquantize) -> tuple[int, ...]:
    """Return the positive lower bounds, ascending, from factor^low to factor^(high+1), where overflow starts.

    Each power is a bound, and what lies between m and m+1 is cut in parts of factor^(m+1)/steps; where
    `steps` are more than there are integers (below `factor`, when low is 0 and steps > factor) each integer
    is a bound. Bounds are below 2^64.
    """
    factor, steps = scale.factor, scale.steps
    bounds = {factor**magnitude for magnitude in range(scale.low, scale.high + 2)}
    for magnitude in range(scale.low, scale.high + 1):
        start, end = factor**magnitude, factor ** (magnitude + 1)
        width = max(end // steps, 1)
        bounds.update(bound for bound in range(width, end, width) if bound >= start)
    return tuple(sorted(bounds))


@cache
def bucket_values(scale: Scale) -> tuple[int, ...]:
    """Return the value that stands for each bucket, ascending; its length is the number of buckets.

    It is what the row is labelled with, and what sorting weighs counts with: for lquantize low - 1 for the
    bucket below and the bound plus 1 for the one above (DTrace's order).
    """
    match scale:
        case Quantize():
            powers = [1 << k for k in range(QUANTIZE_ZERO_BUCKET)]
            return (*(-power for power in reversed(powers)), 0, *powers)
        case Lquantize(low=low, step=step, levels=levels):
            last = low + levels * step
            return (low - 1, *range(low, last, step), last + 1)
        case Llquantize():
            bounds = llquantize_bounds(scale)
            return (*(-bound for bound in reversed(bounds)), 0, *bounds)


def bucket_index(scale: Scale, value: int) -> int:
    """Return the bucket that takes `value`, an int64."""
    match scale:
        case Quantize():
            if value >= 0:
                return QUANTIZE_ZERO_BUCKET + value.bit_length()
            return max(QUANTIZE_ZERO_BUCKET - (-value).bit_length(), 0)
        case Lquantize(low=low, step=step, levels=levels):
            return 0 if value < low else min((value - low) // step, levels) + 1
        case Llquantize():
            bounds = llquantize_bounds(scale)
            distance = bisect_right(bounds, abs(value))
            return len(bounds) + (distance if value >= 0 else -distance)


def rows_when_empty(scale: Scale) -> tuple[int, int]:
    """Return the first and last bucket to show where all counts are 0, before they are widened by one row.

    quantize and llquantize show the neighbourhood of zero, lquantize its first three buckets.
    """
    match scale:
        case Quantize():
            return (QUANTIZE_ZERO_BUCKET, QUANTIZE_ZERO_BUCKET)
        case Lquantize():
            return (1, 1)
        case Llquantize():
            middle = len(llquantize_bounds(scale))
            return (middle + 1, middle + 1)


def label(scale: Scale, bucket: int, first_shown: int) -> str:
    """Return the text left of a bucket's bar. `first_shown` is the first bucket printed.

    The middle bucket of llquantize is `abs() < N` where rows of negative values are shown too, else `< N`;
    where only 0 falls into it, `0`.
    """
    values = bucket_values(scale)
    match scale:
        case Quantize():
            return str(values[bucket])
        case Lquantize():
            if bucket == 0:
                return f"< {scale.low}"
            return f">= {values[-1] - 1}" if bucket == len(values) - 1 else str(values[bucket])
        case Llquantize():
            smallest, middle = llquantize_bounds(scale)[0], len(values) // 2
            if bucket == middle and smallest > 1:
                return f"< {smallest}" if first_shown >= middle else f"abs() < {smallest}"
            mark = {0: "<= ", len(values) - 1: ">= "}.get(bucket, "")
            return f"{mark}{values[bucket]}"
