"""Cells: their layout, how they combine, what they are worth.

ASSERTION: applying values on two processors and merging gives what applying all of them to one cell gives.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlang.aggregations import (
    DISTRIBUTIONS,
    EXTREMES,
    INT64_MAX,
    INT64_MIN,
    AggregatingFunction,
    Aggregation,
    Cell,
    cell_words,
    identity,
    is_present,
    merge,
    scale_of,
    signed_result,
    sort_value,
    subtract,
    to_signed,
    truncated_quotient,
    unsigned_result,
)
from dlang.buckets import (
    Llquantize,
    Lquantize,
    Quantize,
    bucket_index,
    bucket_values,
    llquantize_bounds,
)
from tests.output.cells import applied

PARAMETERS = {
    AggregatingFunction.LQUANTIZE: (-50, 51, 25),
    AggregatingFunction.LLQUANTIZE: (10, 0, 2, 20),
}
EVERY = [Aggregation("a", function, PARAMETERS.get(function, ())) for function in AggregatingFunction]
INT64 = st.integers(INT64_MIN, INT64_MAX) | st.integers(-100, 100)
LLQUANTIZES = [
    Llquantize(10, 0, 6, 20),
    Llquantize(10, 0, 2, 10),
    Llquantize(10, 0, 3, 5),
    Llquantize(10, 1, 3, 10),
    Llquantize(10, 1, 2, 100),
    Llquantize(2, 0, 4, 2),
    Llquantize(2, 0, 62, 2),
    Llquantize(16, 0, 3, 256),
    Llquantize(10, 0, 0, 1),
]


def of_values(aggregation: Aggregation, values: Sequence[int]) -> Cell:
    cell = identity(aggregation)
    for value in values:
        cell = applied(aggregation, cell, value)
    return cell


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("count", 1), ("sum", 2), ("avg", 2), ("min", 2), ("max", 2), ("stddev", 4), ("quantize", 128),
        ("lquantize", 1 + 1 + 4 + 1), ("llquantize", 1 + 2 * (1 + 8 + 18 + 18 + 1) + 1),
    ],
)  # fmt: skip
def test_cell_has_the_documented_size(function: str, words: int) -> None:
    aggregation = Aggregation(
        "a", AggregatingFunction(function), PARAMETERS.get(AggregatingFunction(function), ())
    )
    assert cell_words(aggregation) == words
    assert len(identity(aggregation)) == words


@pytest.mark.parametrize("aggregation", EVERY, ids=lambda a: a.function.value)
def test_cell_is_present_once_applied_even_to_zero(aggregation: Aggregation) -> None:
    assert not is_present(identity(aggregation))
    assert is_present(applied(aggregation, identity(aggregation), 0))


@given(st.sampled_from(EVERY), st.lists(INT64, max_size=8), st.lists(INT64, max_size=8))
def test_merge_equals_applying_all_values_to_one_cell(
    aggregation: Aggregation, left: list[int], right: list[int]
) -> None:
    merged = merge(aggregation, of_values(aggregation, left), of_values(aggregation, right))
    assert merged == of_values(aggregation, left + right)
    assert merge(aggregation, of_values(aggregation, right), of_values(aggregation, left)) == merged


@given(
    st.sampled_from([a for a in EVERY if a.function not in EXTREMES]),
    st.lists(INT64, max_size=8),
    st.lists(INT64, min_size=1, max_size=8),
)
def test_subtract_leaves_what_came_later(
    aggregation: Aggregation, before: list[int], after: list[int]
) -> None:
    base = of_values(aggregation, before)
    now = of_values(aggregation, before + after)
    assert subtract(aggregation, now, base) == of_values(aggregation, after)


def test_merge_carries_squares_beyond_64_bits_and_wraps_sums() -> None:
    stddev = Aggregation("a", AggregatingFunction.STDDEV)
    cell = of_values(stddev, [INT64_MIN, INT64_MIN])
    both = merge(stddev, cell, cell)
    assert both == (*(4, 0, 0, 1 << 64)[:3], 4 * (1 << 126) >> 64 & (1 << 64) - 1)
    summed = Aggregation("a", AggregatingFunction.SUM)
    most = of_values(summed, [INT64_MAX])
    assert signed_result(summed, merge(summed, most, of_values(summed, [1])), 1) == INT64_MIN


@given(INT64, INT64.filter(bool))
def test_truncated_quotient_is_c_s(dividend: int, divisor: int) -> None:
    quotient = truncated_quotient(dividend, divisor)
    remainder = dividend - quotient * divisor
    assert abs(remainder) < abs(divisor)
    assert remainder == 0 or (remainder < 0) == (dividend < 0)


def test_average_is_cut_toward_zero_and_zero_when_empty() -> None:
    average = Aggregation("a", AggregatingFunction.AVG)
    assert signed_result(average, of_values(average, [-1, -2]), 1) == -1
    assert signed_result(average, of_values(average, [1, 2]), 1) == 1
    assert signed_result(average, identity(average), 1) == 0
    assert to_signed(unsigned_result(average, of_values(average, [-10, -20]), 5)) == -3


def test_stddev_of_nothing_and_of_extremes() -> None:
    stddev = Aggregation("a", AggregatingFunction.STDDEV)
    assert signed_result(stddev, identity(stddev), 1) == 0
    assert (
        signed_result(stddev, of_values(stddev, [INT64_MIN, INT64_MIN]), 1) == 1 << 63
    )  # the sum wraps to 0
    assert signed_result(stddev, of_values(stddev, [INT64_MAX]), 1) == 0


def test_normalization_divides_signed_for_one_result_and_unsigned_for_the_other() -> None:
    total = Aggregation("a", AggregatingFunction.SUM)
    cell = of_values(total, [-999])
    assert signed_result(total, cell, 1000) == 0
    assert unsigned_result(total, cell, 1000) == 18446744073709550


@given(st.sampled_from([Quantize(), Lquantize(-50, 51, 25), Lquantize(0, 3), *LLQUANTIZES]), INT64, INT64)
def test_bucket_index_is_in_the_table_and_never_falls(
    scale: Quantize | Lquantize | Llquantize, left: int, right: int
) -> None:
    low, high = sorted((left, right))
    assert 0 <= bucket_index(scale, low) <= bucket_index(scale, high) < len(bucket_values(scale))


@given(INT64)
def test_quantize_goes_to_the_greatest_power_of_two_not_above(value: int) -> None:
    shown = bucket_values(Quantize())[bucket_index(Quantize(), value)]
    if value >= 0:
        assert shown <= value < max(2 * shown, 1)
    elif value > -(1 << 63):
        assert 2 * shown < value <= shown
    else:
        assert shown == -(1 << 62)


@given(INT64, st.integers(-1000, 1000), st.integers(1, 500), st.integers(1, 70))
def test_lquantize_takes_from_each_bound_to_the_next(value: int, low: int, width: int, step: int) -> None:
    scale = Lquantize(low, low + width * step + step // 2, step)
    index, values = bucket_index(scale, value), bucket_values(scale)
    assert scale.levels == width
    if value < low:
        assert index == 0
    elif value >= low + width * step:
        assert index == len(values) - 1
    else:
        assert values[index] <= value < values[index] + step


@given(st.sampled_from(LLQUANTIZES), INT64)
def test_llquantize_takes_the_linear_part_of_the_magnitude(scale: Llquantize, value: int) -> None:
    distance, factor = abs(value), scale.factor
    if distance < factor**scale.low:
        expected = 0
    elif distance >= factor ** (scale.high + 1):
        expected = factor ** (scale.high + 1)
    else:
        power = 1
        while power * factor <= distance:
            power *= factor
        width = max(power * factor // scale.steps, 1)
        expected = max(distance // width * width, power)
    shown = bucket_values(scale)[bucket_index(scale, value)]
    assert shown == (expected if value >= 0 else -expected)


@pytest.mark.parametrize("scale", LLQUANTIZES)
def test_each_llquantize_bound_starts_its_own_bucket(scale: Llquantize) -> None:
    bounds = llquantize_bounds(scale)
    middle = len(bounds)
    assert [bucket_index(scale, bound) for bound in bounds if bound <= INT64_MAX] == [
        middle + 1 + k for k, bound in enumerate(bounds) if bound <= INT64_MAX
    ]
    assert bucket_index(scale, bounds[0] - 1) == middle


def test_distributions_sort_by_weight_and_then_by_their_zeros() -> None:
    for aggregation in (a for a in EVERY if a.function in DISTRIBUTIONS):
        assert sort_value(aggregation, identity(aggregation)) == (0, 0)
        scale = scale_of(aggregation)
        one = bucket_values(scale)[bucket_index(scale, 1)]
        cell = of_values(aggregation, [0, 0, 1])
        zeros = 3 if one == 0 else 2
        assert sort_value(aggregation, cell) == (one, zeros)
