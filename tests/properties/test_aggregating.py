"""What compiled aggregating functions do to a cell, run by the kernel, is what aggregations.py and buckets.py say."""

from collections import Counter
from typing import Final

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dlang.aggregations import FIRST_BUCKET, WORD, Aggregation, Cell, identity, scale_of
from dlang.buckets import bucket_index
from tests.properties.evaluation import as_word, values
from tests.properties.firing import Firing, firing

pytestmark = [pytest.mark.requires_uprobes, pytest.mark.timeout(120)]

some_values = st.lists(st.one_of(values, st.integers(-300, 300)), min_size=1, max_size=40)


def fired(run: Firing, name: str, inputs: list[int]) -> Cell:
    for value in inputs:
        run.fire([value])
    (cell,) = run.aggregation(name).values()
    return cell


def counted(aggregation: Aggregation, inputs: list[int]) -> Cell:
    """A distribution's cell after these inputs, each of weight 1."""
    words = list(identity(aggregation))
    words[0] = 1
    for value in inputs:
        words[FIRST_BUCKET + bucket_index(scale_of(aggregation), value)] += 1
    return tuple(words)


def check_distribution(call: str, inputs: list[int]) -> None:
    with firing(f"BEGIN {{ @ = {call}; }}") as run:
        cell = fired(run, "_", inputs)
        expected = counted(run.names.aggregations["_"], inputs)
        assert cell == expected


@settings(max_examples=25)
@given(some_values)
def test_sums_extremes_and_averages(inputs: list[int]) -> None:
    functions = ("count()", *(f"{name}(arg0)" for name in ("sum", "avg", "min", "max", "stddev")))
    text = " ".join(f"@f{number} = {call};" for number, call in enumerate(functions))
    total = sum(inputs) % WORD
    squares = sum(value * value for value in inputs)
    with firing(f"BEGIN {{ {text} }}") as run:
        for value in inputs:
            run.fire([value])
        cells = [next(iter(run.aggregation(f"f{number}").values())) for number in range(len(functions))]
    count = len(inputs)
    assert cells == [
        (count,),
        (1, total),
        (count, total),
        (1, min(inputs) % WORD),
        (1, max(inputs) % WORD),
        (count, total, squares % WORD, squares >> 64 & WORD - 1),
    ]


@settings(max_examples=15)
@given(some_values)
def test_quantize(inputs: list[int]) -> None:
    check_distribution("quantize(arg0)", inputs)


@settings(max_examples=20)
@given(some_values, st.integers(-(1 << 31), (1 << 31) - 2), st.integers(1, 400), st.integers(1, 0xFFFF))
def test_lquantize(inputs: list[int], low: int, levels: int, step: int) -> None:
    high = min(low + levels * step, (1 << 31) - 1)
    assume((high - low) // step >= 1)
    bounds = [low - 1, low, low + step - 1, low + step, high - 1, high]
    check_distribution(f"lquantize(arg0, {low}, {high}, {step})", inputs + bounds)


SCALES: Final = (
    (10, 0, 6, 20), (10, 0, 3, 10), (2, 0, 62, 2), (16, 1, 3, 16), (10, 3, 5, 5), (10, 0, 18, 10), (2, 4, 6, 32),
    (3, 0, 5, 9), (100, 0, 2, 10), (4096, 0, 4, 4096),
)  # fmt: skip


@settings(max_examples=20)
@given(some_values, st.sampled_from(SCALES))
def test_llquantize(inputs: list[int], scale: tuple[int, int, int, int]) -> None:
    powers = [scale[0] ** power for power in range(7)]
    edges = [as_word(sign * (power + off)) for power in powers for off in (-1, 0, 1) for sign in (1, -1)]
    check_distribution(f"llquantize(arg0, {', '.join(map(str, scale))})", inputs + edges)


def test_weights_are_added_and_may_be_negative() -> None:
    weights = (5, -2, 1 << 62)
    with firing("BEGIN { @q = quantize(3, arg0); @l = lquantize(3, 0, 10, 1, arg0); }") as run:
        for weight in weights:
            run.fire([weight])
        for name in "ql":
            (cell,) = run.aggregation(name).values()
            assert [word for word in cell[FIRST_BUCKET:] if word] == [sum(weights)]


@settings(max_examples=15)
@given(st.lists(st.tuples(st.integers(-5, 5), st.sampled_from(["x", "y", ""])), min_size=1, max_size=30))
def test_keys_known_at_run_time_and_constant_ones_count_apart(pairs: list[tuple[int, str]]) -> None:
    text = """
    BEGIN /arg1 == 0/ { @[arg0, ""] = count(); }
    BEGIN /arg1 == 1/ { s = "x"; @[arg0, s] = count(); }
    BEGIN /arg1 == 2/ { @[arg0, "y"] = count(); }
    BEGIN { @[1, "x"] = count(); }"""
    with firing(text) as run:
        for number, word in pairs:
            run.fire([number, {"": 0, "x": 1, "y": 2}[word]])
        found = {key: cell[0] for key, cell in run.aggregation("_").items()}
    expected = Counter((number, word.encode()) for number, word in pairs)
    expected[1, b"x"] += len(pairs)
    assert found == expected
