"""Aggregations applied by hand: what an engine would hold in memory, by the layouts `aggregations` documents.

For tests only; written from the layout's description and not from the code under test.
"""

from __future__ import annotations

from dlang.aggregations import (
    FIRST_BUCKET,
    WORD_MASK,
    AggregatingFunction,
    Aggregation,
    Cell,
    Key,
    KeyValue,
    identity,
    scale_of,
    to_signed,
)
from dlang.buckets import bucket_index
from dlang.types import INT, STRING, Type


def key_type(value: KeyValue) -> Type:
    return INT if isinstance(value, int) else STRING


def applied(aggregation: Aggregation, cell: Cell, value: int = 0, increment: int = 1) -> Cell:
    """Return the cell after one application of the function to `value`."""
    words = list(cell)
    match aggregation.function:
        case AggregatingFunction.COUNT:
            words[0] += 1
        case AggregatingFunction.SUM:
            words = [1, words[1] + value]
        case AggregatingFunction.MIN:
            words = [1, min(to_signed(words[1]), value)]
        case AggregatingFunction.MAX:
            words = [1, max(to_signed(words[1]), value)]
        case AggregatingFunction.AVG:
            words = [words[0] + 1, words[1] + value]
        case AggregatingFunction.STDDEV:
            squares = (words[2] | words[3] << 64) + value * value
            words = [words[0] + 1, words[1] + value, squares, squares >> 64]
        case _:
            words[0] = 1
            words[FIRST_BUCKET + bucket_index(scale_of(aggregation), value)] += increment
    return tuple(word & WORD_MASK for word in words)


class Applications:
    """An engine in miniature: aggregations by D name, and their cells."""

    def __init__(self) -> None:
        self.aggregations: dict[str, Aggregation] = {}
        self.cells: dict[str, dict[Key, Cell]] = {}

    def declare(
        self, name: str, function: str, key: Key = (), parameters: tuple[int, ...] = ()
    ) -> Aggregation:
        if name not in self.aggregations:
            types = tuple(key_type(part) for part in key)
            self.aggregations[name] = Aggregation(name, AggregatingFunction(function), parameters, types)
            self.cells[name] = {}
        return self.aggregations[name]

    def apply(
        self,
        name: str,
        function: str,
        value: int = 0,
        *,
        key: tuple[int | str, ...] = (),
        parameters: tuple[int, ...] = (),
        increment: int = 1,
    ) -> Aggregation:
        raw: Key = tuple(part if isinstance(part, int) else part.encode() for part in key)
        aggregation = self.declare(name, function, raw, parameters)
        cell = self.cells[name].get(raw, identity(aggregation))
        self.cells[name][raw] = applied(aggregation, cell, value, increment)
        return aggregation
