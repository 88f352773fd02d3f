"""Aggregations' cells in BPF maps: read whole, merged over processors, reset and deleted.

Which cell a key has is layout.py's business; what a cell means aggregations.py's.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

from backend.engine import Plan
from backend.linux import bpf
from backend.uprobes.target import BpfMachine
from dlang.aggregation_store import DeleteKeys, EngineRequest, ResetCells
from dlang.aggregations import Aggregation, Cell, Key, cell_words, identity, merge
from dlang.layout import HashStore, Store, TableStore, decode_key

_HASH_KEY_HEAD: Final = struct.Struct("<QQ")


class Cells:
    """The cell stores of one loaded program."""

    def __init__(
        self, plan: Plan, stores: Mapping[str, Store], machine: BpfMachine, maps: Sequence[int]
    ) -> None:
        self._plan = plan
        self._stores = stores
        self._maps: dict[str, int] = {}
        self._specs = machine.maps()
        self._places: dict[str, int] = {}
        for name in stores:
            place = machine.map_index(f"@{name}")
            if place is not None:
                self._places[name] = place
                self._maps[name] = maps[place]
        self._sites = 0
        """How many have cells."""
        self.make_room()

    def make_room(self) -> None:
        """Give cells to all sites that the plan has by now."""
        before, self._sites = self._sites, len(self._plan.names)
        for store in self._stores.values():
            if isinstance(store, TableStore) and store.aggregation.name in self._maps:
                self._fill(store, store.slots_for(before) if before else 0)

    def snapshot(self, aggregation: Aggregation) -> dict[Key, Cell]:
        """Return the merged cell of every key that the aggregation was applied to."""
        found: dict[Key, Cell] = {}
        for _, key, cell in self._entries(aggregation):
            found[key] = merge(aggregation, found[key], cell) if key in found else cell
        return found

    def carry_out(self, request: EngineRequest) -> None:
        """Do what clear() and trunc() ask for. A hit at the same moment counts as one before."""
        aggregation = request.aggregation
        if aggregation.name not in self._maps:
            return
        new = self._new_value(aggregation)
        fd = self._maps[aggregation.name]
        for raw, key, _ in list(self._entries(aggregation)):
            match request:
                case ResetCells():
                    bpf.map_update(fd, raw, self._cleared(aggregation))
                case DeleteKeys(keys=keys) if key in keys:
                    if isinstance(self._stores[aggregation.name], TableStore):
                        bpf.map_update(fd, raw, new)
                    else:
                        bpf.map_delete(fd, raw)

    def _cleared(self, aggregation: Aggregation) -> bytes:
        """Return a cell whose key stays: at its identity, but present."""
        words = (1, *identity(aggregation)[1:])
        return self._packed(aggregation, words)

    def _new_value(self, aggregation: Aggregation) -> bytes:
        return self._packed(aggregation, identity(aggregation))

    def _packed(self, aggregation: Aggregation, words: Cell) -> bytes:
        cell = struct.pack(f"<{len(words)}Q", *words)
        spec = self._specs[self._places[aggregation.name]]
        return cell * (spec.user_value_size // len(cell))

    def _fill(self, store: TableStore, first: int) -> None:
        """Write the identity into the cells of a table from a slot on; the kernel made them all zero."""
        if not any(identity(store.aggregation)):
            return
        new = self._new_value(store.aggregation)
        for slot in range(first, store.slots_for(self._sites)):
            bpf.map_update(self._maps[store.aggregation.name], struct.pack("<I", slot), new)

    def _entries(self, aggregation: Aggregation) -> Iterator[tuple[bytes, Key, Cell]]:
        """Yield the map's key, the tuple of D's keys and the merged cell of each cell in use."""
        if aggregation.name not in self._maps:
            return
        spec = self._specs[self._places[aggregation.name]]
        size = 8 * cell_words(aggregation)
        unused = bytes(8)
        fd = self._maps[aggregation.name]
        items = bpf.map_items(fd, spec.key_size, spec.user_value_size, spec.max_entries)
        store = self._stores[aggregation.name]
        if isinstance(store, TableStore):
            items = islice(items, store.slots_for(self._sites))
        for raw, value in items:
            cells = [
                struct.unpack_from(f"<{size // 8}Q", value, start)
                for start in range(0, len(value), size)
                if value[start : start + 8] != unused
            ]
            if not cells:
                continue
            merged = cells[0]
            for cell in cells[1:]:
                merged = merge(aggregation, merged, cell)
            yield raw, self._key(aggregation, raw), merged

    def _key(self, aggregation: Aggregation, raw: bytes) -> Key:
        program = self._plan.program
        rest = b""
        site: int | None
        match self._stores[aggregation.name]:
            case TableStore() as table:
                statement, site = table.slot_owner(struct.unpack("<I", raw)[0])
            case HashStore():
                statement, site = _HASH_KEY_HEAD.unpack_from(raw)
                rest = raw[_HASH_KEY_HEAD.size :]
        aggregate = program.aggregates[statement]
        return decode_key(aggregate, site, rest, self._plan.names, program.string_size)
