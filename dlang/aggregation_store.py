"""What the consumer knows of each aggregation, and what clear(), trunc(), normalize() and printa() did to it.

An engine's cells only grow. So that no hit is lost between reading a cell and zeroing it, clear() zeroes
nothing: the store remembers the cells as they were and subtracts them from then on. Two things cannot be done
here alone and are returned as requests, which the engine carries out before it reads its next snapshot:

    ResetCells    clear() of min or max, since an extreme cannot be subtracted: all cells back to the identity
                  (whether their keys stay is the engine's choice).
    DeleteKeys    trunc(): forget these keys. A cell with a fixed place, of a constant key, goes back to the
                  identity, its `present` word (for count, avg and stddev: the number) to 0.

A hit that an engine counts between a snapshot and carrying out a request on it is lost, which is what clear
and trunc mean. So take a snapshot just before consuming a row that touches aggregations
(`Row.touches_aggregations`). Order and selection of entries live here too; their text is `output.py`'s.
Source: d-language.md §9.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from dlang.aggregations import (
    EXTREMES,
    WORD_MASK,
    Aggregation,
    Cell,
    Key,
    cell_words,
    identity,
    is_present,
    sort_value,
    subtract,
)
from dlang.bars import PLAIN, Bars
from dlang.types import IntegerType, PointerType, StackType, is_text


@dataclass(frozen=True, slots=True)
class ResetCells:
    """Set all cells of this aggregation, on all processors, to the identity."""

    aggregation: Aggregation


@dataclass(frozen=True, slots=True)
class DeleteKeys:
    """Forget these keys of this aggregation, those of them that the engine still has."""

    aggregation: Aggregation
    keys: tuple[Key, ...]


EngineRequest = ResetCells | DeleteKeys


@dataclass(frozen=True, slots=True)
class SortOptions:
    """Options aggsortkey, aggsortrev, aggsortkeypos and aggsortpos (d-language.md §9, "Options"); and `bars`, which
    goes with the values to whoever prints them."""

    by_key: bool = False
    reverse: bool = False
    key_position: int = 0
    aggregation_position: int = 0
    bars: Bars = PLAIN


@dataclass(frozen=True, slots=True)
class Value:
    """One cell with what is needed to print it. `normal` is a nonzero 64-bit word."""

    aggregation: Aggregation
    cell: Cell
    normal: int
    bars: Bars = PLAIN


@dataclass(frozen=True, slots=True)
class Entry:
    """A key and its values: one, or one for each aggregation of a joined printa()."""

    key: Key
    values: tuple[Value, ...]


@dataclass(slots=True)
class _State:
    aggregation: Aggregation
    cells: Mapping[Key, Cell] = field(default_factory=dict)
    base: dict[Key, Cell] = field(default_factory=dict)
    normal: int = 1
    printed: bool = False


class AggregationStore:
    """The aggregations of a program, in the order of their creation."""

    def __init__(self, aggregations: Sequence[Aggregation]) -> None:
        self._states: Final = {aggregation.name: _State(aggregation) for aggregation in aggregations}

    @property
    def aggregations(self) -> tuple[Aggregation, ...]:
        return tuple(state.aggregation for state in self._states.values())

    def update(self, aggregation: Aggregation, snapshot: Mapping[Key, Cell]) -> None:
        """Take the whole current state of an aggregation, merged over processors. The mapping is kept."""
        self._states[aggregation.name].cells = snapshot

    def clear(self, aggregation: Aggregation) -> tuple[EngineRequest, ...]:
        """Set all values to zero (min and max to their identity); the keys stay and are printed."""
        state = self._states[aggregation.name]
        if aggregation.function not in EXTREMES:
            state.base = _present(state.cells)
            return ()
        state.base = dict.fromkeys([*state.base, *_present(state.cells)], identity(aggregation))
        state.cells = {}
        return (ResetCells(aggregation),)

    def truncate(self, aggregation: Aggregation, keep: int) -> tuple[EngineRequest, ...]:
        """Remove all but the `keep` entries of the largest values; of the smallest where `keep` is negative.

        trunc(@) is keep = 0. Among equal values the larger keys are kept first (the smaller ones for negative
        `keep`), whatever the sort options say.
        """
        state = self._states[aggregation.name]
        cells = _visible(state)
        kept = set(_ordered(aggregation, cells, SortOptions(reverse=keep >= 0))[: abs(keep)])
        removed = tuple(key for key in cells if key not in kept)
        state.cells = {key: cell for key, cell in state.cells.items() if key in kept}
        state.base = {key: cell for key, cell in state.base.items() if key in kept}
        return (DeleteKeys(aggregation, removed),) if removed else ()

    def normalize(self, aggregation: Aggregation, normal: int) -> None:
        """Divide what is printed of this aggregation by `normal` from now on; by 1 where it is 0."""
        self._states[aggregation.name].normal = normal & WORD_MASK or 1

    def denormalize(self, aggregation: Aggregation) -> None:
        """Undo normalize()."""
        self._states[aggregation.name].normal = 1

    def take_printed(self, aggregations: Sequence[Aggregation], options: SortOptions) -> list[Entry]:
        """Return the entries that printa() of these prints; the end of the run will leave them out.

        Several aggregations are joined on equal keys; where one lacks a key, it is an empty cell of zeros.
        The sort starts with the aggregation at aggsortpos and goes round, then compares keys.
        """
        states = [self._states[aggregation.name] for aggregation in aggregations]
        tables = [_visible(state) for state in states]
        empty = [(0,) * cell_words(aggregation) for aggregation in aggregations]
        rows = {
            key: tuple(table.get(key, zeros) for table, zeros in zip(tables, empty, strict=True))
            for key in {key for table in tables for key in table}
        }
        for state in states:
            state.printed |= bool(rows)
        first = options.aggregation_position if options.aggregation_position < len(aggregations) else 0
        turned = [(position + first) % len(aggregations) for position in range(len(aggregations))]

        def rank(key: Key) -> tuple[object, ...]:
            by_value = tuple(sort_value(aggregations[position], rows[key][position]) for position in turned)
            by_key = key_rank(aggregations[0], key, options)
            return (by_key, by_value) if options.by_key else (by_value, by_key)

        return [
            Entry(
                key,
                tuple(
                    Value(state.aggregation, cell, state.normal, options.bars)
                    for state, cell in zip(states, rows[key], strict=True)
                ),
            )
            for key in sorted(rows, key=rank, reverse=options.reverse)
        ]

    def take_unprinted(self, options: SortOptions) -> list[Entry]:
        """Return the entries of all aggregations that no printa() printed, for the end of the run.

        In order of creation; aggsortrev turns that round as well, as it does in DTrace.
        """
        unprinted = [state.aggregation for state in self._states.values() if not state.printed]
        order: Iterable[Aggregation] = reversed(unprinted) if options.reverse else unprinted
        return [entry for aggregation in order for entry in self.take_printed([aggregation], options)]


def key_rank(aggregation: Aggregation, key: Key, options: SortOptions) -> tuple[object, ...]:
    """Return what keys of one aggregation are ordered by: integers by their bits unsigned, strings by bytes,
    stacks by their frames.

    The key at aggsortkeypos comes first, the others follow it in turn; a position out of range is 0.
    """
    parts: list[object] = []
    for part, type_ in zip(key, aggregation.key_types, strict=True):
        if isinstance(part, int):
            size = type_.size if isinstance(type_, IntegerType | PointerType) else 8
            parts.append(part & (1 << 8 * size) - 1)
        elif isinstance(type_, StackType):
            parts.append(struct.unpack(f"<{len(part) // 8}Q", part))
        elif not is_text(type_) and len(part) in (1, 2, 4, 8):
            parts.append(int.from_bytes(part, "little"))
        else:
            parts.append(part)
    start = options.key_position if options.key_position < len(parts) else 0
    return (*parts[start:], *parts[:start])


def _present(cells: Mapping[Key, Cell]) -> dict[Key, Cell]:
    return {key: cell for key, cell in cells.items() if is_present(cell)}


def _visible(state: _State) -> dict[Key, Cell]:
    """Return the cells as a user sees them: those applied to, less what clear() took away."""
    base, aggregation = state.base, state.aggregation
    present = _present(state.cells)
    if not base:
        return present
    if aggregation.function in EXTREMES:
        return {**base, **present}
    return {
        key: subtract(aggregation, cell, base[key]) if key in base else cell for key, cell in present.items()
    }


def _ordered(aggregation: Aggregation, cells: Mapping[Key, Cell], options: SortOptions) -> list[Key]:
    """Return the keys by value, then by key."""
    return sorted(
        cells,
        key=lambda key: (sort_value(aggregation, cells[key]), key_rank(aggregation, key, options)),
        reverse=options.reverse,
    )
