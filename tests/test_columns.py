"""Columns: places in order, values few of which differ."""

import pickle
import random

from backend.columns import Coded, ascending


def test_what_ascends_is_left_as_it_is() -> None:
    for values in ([], [7], [1, 2, 2, 9]):
        assert ascending(values) == range(len(values))


def test_runs_are_merged_and_equals_keep_their_order() -> None:
    assert list(ascending([5, 6, 9, 1, 5, 7, 0])) == [6, 3, 0, 4, 1, 5, 2]
    source = random.Random(1)
    for count in (*range(50), 500):
        values = [source.randrange(20) for _ in range(count)]
        assert list(ascending(values)) == sorted(range(count), key=values.__getitem__)


def test_coded_values_are_those_that_went_in() -> None:
    values = ["a", "b", "a", None, ("a", 1), "b"]
    coded = Coded(values)
    assert list(coded) == values
    assert coded[1:4] == values[1:4]
    assert (coded[-1], len(coded)) == ("b", 6)
    coded[0] = "new"
    coded.append("b")
    assert list(coded) == ["new", *values[1:], "b"]
    assert list(pickle.loads(pickle.dumps(coded))) == list(coded)


def test_each_value_is_kept_once() -> None:
    large = "x" * 1000
    assert len(pickle.dumps(Coded(large + str(place % 2) for place in range(1000)))) < 8000
