"""Aggregations whose keys are symbols: addresses of one function, or of one object, are one key.

Only the consumer knows names: engines count by address. What is put together here is taken apart again where an engine
is asked to delete keys.
"""

from __future__ import annotations

from backend.engine import Engine
from dlang.aggregation_store import DeleteKeys, EngineRequest
from dlang.aggregations import Aggregation, Cell, Key, merge
from dlang.symbol_text import AddressNames
from dlang.types import SymbolType


class KeysByName:
    """An engine's aggregations with their keys put together by `names`."""

    def __init__(self, engine: Engine, names: AddressNames) -> None:
        self._engine = engine
        self._names = names

    def snapshot(self, aggregation: Aggregation) -> dict[Key, Cell]:
        """Return all cells as they are now."""
        cells = self._engine.snapshot(aggregation)
        if not any(isinstance(type_, SymbolType) for type_ in aggregation.key_types):
            return cells
        merged: dict[Key, Cell] = {}
        for key, cell in cells.items():
            own = self._named(aggregation, key)
            merged[own] = merge(aggregation, merged[own], cell) if own in merged else cell
        return merged

    def carry_out(self, request: EngineRequest) -> None:
        """Pass a request on, with all the keys that an engine has for the ones in it."""
        symbols = any(isinstance(type_, SymbolType) for type_ in request.aggregation.key_types)
        if isinstance(request, DeleteKeys) and symbols:
            wanted = set(request.keys)
            known = self._engine.snapshot(request.aggregation)
            meant = (key for key in known if self._named(request.aggregation, key) in wanted)
            request = DeleteKeys(request.aggregation, tuple(meant))
        self._engine.carry_out(request)

    def _named(self, aggregation: Aggregation, key: Key) -> Key:
        return tuple(
            self._names.representative(part, type_.part)
            if isinstance(type_, SymbolType) and isinstance(part, int)
            else part
            for part, type_ in zip(key, aggregation.key_types, strict=True)
        )
