"""clear(), trunc(), normalize() and printa() on the consumer's side.

ASSERTION: no hit is lost or shown twice by clear(), and entries come in DTrace's order. SECTION: §9.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dlang.aggregation_store import AggregationStore, DeleteKeys, Entry, ResetCells, SortOptions
from dlang.aggregations import (
    INT64_MAX,
    INT64_MIN,
    WORD,
    AggregatingFunction,
    Aggregation,
    Cell,
    Key,
    identity,
    merge,
)
from dlang.types import CHAR, INT, STRING, UNSIGNED_LONG
from tests.output.cells import applied

PLAIN = SortOptions()
COUNT = Aggregation("c", AggregatingFunction.COUNT, (), (STRING,))
SUM = Aggregation("s", AggregatingFunction.SUM, (), (STRING,))
MIN = Aggregation("m", AggregatingFunction.MIN, (), (STRING,))
MAX = Aggregation("x", AggregatingFunction.MAX, (), (STRING,))


def values(entries: list[Entry]) -> dict[Key, int]:
    return {entry.key: entry.values[0].cell[-1] for entry in entries}


def sums(**numbers: int) -> dict[Key, Cell]:
    return {(name.encode(),): (1, number % WORD) for name, number in numbers.items()}


def test_cleared_keys_are_shown_as_zero_and_count_on() -> None:
    store = AggregationStore([COUNT])
    store.update(COUNT, {(b"a",): (5,), (b"b",): (2,)})
    assert store.clear(COUNT) == ()
    assert values(store.take_printed([COUNT], PLAIN)) == {(b"a",): 0, (b"b",): 0}
    store.update(COUNT, {(b"a",): (6,), (b"b",): (2,), (b"new",): (4,)})
    assert values(store.take_printed([COUNT], PLAIN)) == {(b"a",): 1, (b"b",): 0, (b"new",): 4}
    store.clear(COUNT)
    store.update(COUNT, {(b"a",): (16,), (b"b",): (2,), (b"new",): (4,)})
    assert values(store.take_printed([COUNT], PLAIN)) == {(b"a",): 10, (b"b",): 0, (b"new",): 0}


def test_clear_of_an_extreme_asks_the_engine_and_shows_its_limit() -> None:
    store = AggregationStore([MIN, MAX])
    store.update(MIN, {(b"a",): (1, 3)})
    store.update(MAX, {(b"a",): (1, 9)})
    assert store.clear(MIN) == (ResetCells(MIN),)
    assert store.clear(MAX) == (ResetCells(MAX),)
    assert values(store.take_printed([MIN], PLAIN)) == {(b"a",): INT64_MAX}
    assert values(store.take_printed([MAX], PLAIN)) == {(b"a",): INT64_MIN % WORD}
    store.update(MIN, {(b"a",): identity(MIN)})
    store.update(MAX, {(b"a",): (1, 2)})
    assert values(store.take_printed([MIN], PLAIN)) == {(b"a",): INT64_MAX}
    assert values(store.take_printed([MAX], PLAIN)) == {(b"a",): 2}


def test_truncation_names_the_keys_to_delete_and_they_may_come_back() -> None:
    store = AggregationStore([SUM])
    store.update(SUM, sums(a=1, b=2, c=3))
    assert store.truncate(SUM, 1) == (DeleteKeys(SUM, ((b"a",), (b"b",))),)
    assert values(store.take_printed([SUM], PLAIN)) == {(b"c",): 3}
    store.update(SUM, sums(c=3, a=7))
    assert values(store.take_printed([SUM], PLAIN)) == {(b"c",): 3, (b"a",): 7}


def test_truncation_after_clear_starts_keys_anew() -> None:
    store = AggregationStore([COUNT])
    store.update(COUNT, {(b"a",): (5,)})
    store.clear(COUNT)
    assert store.truncate(COUNT, 0) == (DeleteKeys(COUNT, ((b"a",),)),)
    assert store.take_printed([COUNT], PLAIN) == []
    store.update(COUNT, {(b"a",): (2,)})
    assert values(store.take_printed([COUNT], PLAIN)) == {(b"a",): 2}


def test_truncation_of_ties_keeps_larger_keys_of_the_largest_and_smaller_of_the_smallest() -> None:
    for keep, kept in ((2, {(b"b",), (b"c",)}), (-2, {(b"a",), (b"b",)})):
        store = AggregationStore([SUM])
        store.update(SUM, sums(a=1, b=1, c=1))
        store.truncate(SUM, keep)
        assert values(store.take_printed([SUM], SortOptions(reverse=True))).keys() == kept


def test_a_key_that_was_never_applied_is_not_shown() -> None:
    store = AggregationStore([SUM])
    store.update(SUM, {(b"a",): (0, 0), (b"b",): (1, 0)})
    assert values(store.take_printed([SUM], PLAIN)) == {(b"b",): 0}


def test_an_aggregation_printed_while_empty_is_still_printed_at_the_end() -> None:
    store = AggregationStore([COUNT, SUM])
    assert store.take_printed([COUNT], PLAIN) == []
    store.update(COUNT, {(b"a",): (1,)})
    store.update(SUM, sums(z=1))
    store.take_printed([SUM], PLAIN)
    assert [entry.key for entry in store.take_unprinted(PLAIN)] == [(b"a",)]


def test_the_end_prints_in_order_of_creation_and_aggsortrev_turns_it() -> None:
    store = AggregationStore([SUM, COUNT])
    store.update(COUNT, {(b"c",): (1,)})
    store.update(SUM, sums(s=9, t=1))
    assert [entry.key for entry in store.take_unprinted(PLAIN)] == [(b"t",), (b"s",), (b"c",)]
    store = AggregationStore([SUM, COUNT])
    store.update(COUNT, {(b"c",): (1,)})
    store.update(SUM, sums(s=9, t=1))
    assert [entry.key for entry in store.take_unprinted(SortOptions(reverse=True))] == [
        (b"c",),
        (b"s",),
        (b"t",),
    ]


def test_normalizing_by_zero_divides_by_one() -> None:
    store = AggregationStore([SUM])
    store.update(SUM, sums(a=7))
    store.normalize(SUM, 0)
    assert store.take_printed([SUM], PLAIN)[0].values[0].normal == 1
    store.normalize(SUM, -1)
    assert store.take_printed([SUM], PLAIN)[0].values[0].normal == WORD - 1


def test_integer_keys_sort_by_their_bits_at_their_size() -> None:
    aggregation = Aggregation("k", AggregatingFunction.COUNT, (), (CHAR, UNSIGNED_LONG))
    store = AggregationStore([aggregation])
    keys = [(-1, 0), (1, WORD - 1), (1, 2), (127, 0)]
    store.update(aggregation, dict.fromkeys(keys, (1,)))
    ordered = [entry.key for entry in store.take_printed([aggregation], PLAIN)]
    assert ordered == [(1, 2), (1, WORD - 1), (127, 0), (-1, 0)]
    by_second = store.take_printed([aggregation], SortOptions(by_key=True, key_position=1))
    assert [entry.key for entry in by_second] == [(127, 0), (-1, 0), (1, 2), (1, WORD - 1)]
    out_of_range = store.take_printed([aggregation], SortOptions(by_key=True, key_position=2))
    assert [entry.key for entry in out_of_range] == ordered


def test_joined_aggregations_sort_by_the_chosen_one() -> None:
    store = AggregationStore([COUNT, SUM])
    store.update(COUNT, {(b"a",): (1,), (b"b",): (2,)})
    store.update(SUM, sums(a=9, b=3, c=5))
    by_first = store.take_printed([COUNT, SUM], PLAIN)
    assert [entry.key for entry in by_first] == [(b"c",), (b"a",), (b"b",)]
    assert [value.cell for value in by_first[0].values] == [(0,), (1, 5)]
    by_second = store.take_printed([COUNT, SUM], SortOptions(aggregation_position=1))
    assert [entry.key for entry in by_second] == [(b"b",), (b"c",), (b"a",)]
    twice = store.take_printed([SUM, SUM], SortOptions(aggregation_position=7, reverse=True))
    assert [entry.key for entry in twice] == [(b"a",), (b"c",), (b"b",)]


def test_a_missing_extreme_counts_as_zero_in_a_join() -> None:
    store = AggregationStore([COUNT, MIN])
    store.update(COUNT, {(b"a",): (1,)})
    entry = store.take_printed([COUNT, MIN], PLAIN)[0]
    assert entry.values[1].cell == (0, 0)


STEPS = st.lists(st.tuples(st.sampled_from(["apply", "apply", "clear"]), st.integers(-100, 100)), max_size=20)


@given(
    st.sampled_from(
        [f for f in AggregatingFunction if f not in (AggregatingFunction.MIN, AggregatingFunction.MAX)]
    ),
    STEPS,
)
def test_what_is_shown_is_what_was_applied_since_the_last_clear(
    function: AggregatingFunction, steps: list[tuple[str, int]]
) -> None:
    parameters = {"lquantize": (-10, 10, 3), "llquantize": (10, 0, 1, 10)}.get(function.value, ())
    aggregation = Aggregation("a", function, parameters, (INT,))
    store = AggregationStore([aggregation])
    cell = since = identity(aggregation)
    for step, value in steps:
        if step == "apply":
            cell, since = applied(aggregation, cell, value), applied(aggregation, since, value)
        else:
            store.update(aggregation, {(1,): cell})
            store.clear(aggregation)
            since = identity(aggregation)
    store.update(aggregation, {(1,): cell})
    shown = store.take_printed([aggregation], PLAIN)
    assert bool(shown) == any(step == "apply" for step, _ in steps)
    for entry in shown:
        kept = entry.values[0].cell
        marks = (
            (kept[0], *since[1:])
            if function.value in ("sum", "quantize", "lquantize", "llquantize")
            else since
        )
        assert kept == marks
        assert merge(aggregation, kept, identity(aggregation)) == kept
