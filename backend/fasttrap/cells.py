"""Aggregations' cells in shared memory: read, reset and deleted while clauses change them.

Which cell a key has is layout.py's business, what a cell means aggregations.py's, where tables and hashes are
regions.py's. A word is read and written whole; the words of one cell may be those of two moments.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from backend.engine import Plan
from backend.fasttrap.regions import HASH_ENTRIES, HASH_USED, HEADER_FIRINGS, EntryState, HashShape
from backend.linux.shared_memory import SharedMemory
from dlang.aggregation_store import DeleteKeys, EngineRequest, ResetCells
from dlang.aggregations import (
    WORD_MASK,
    AggregatingFunction,
    Aggregation,
    Cell,
    Key,
    cell_words,
    identity,
    merge,
)
from dlang.layout import HashStore, Store, TableStore, decode_key

_HASH_KEY_HEAD: Final = struct.Struct("<QQ")


@dataclass(frozen=True, slots=True)
class Atomic:
    """Operations on a word, by its address, that clauses change as well; each returns what was there."""

    exchange: Callable[[int, int], int]
    add: Callable[[int, int], int]


@dataclass(frozen=True, slots=True)
class CellStore:
    """One aggregation's cells: at these offsets of the memory; of a table there may be several copies, whose cells add
    up. `shape` is None for a table.
    """

    store: Store
    offsets: range
    shape: HashShape | None


@dataclass(frozen=True, slots=True)
class _Retired:
    """An entry that was deleted while hit number `firing` was under way."""

    firing: int
    table: int
    offset: int


class NativeCells:
    """The cells of one program. `stores` has the aggregations that some clause uses."""

    def __init__(
        self, plan: Plan, stores: Mapping[str, CellStore], memory: SharedMemory, atomic: Atomic
    ) -> None:
        self._plan = plan
        self._stores = stores
        self._memory = memory
        self._atomic = atomic
        self._retired: list[_Retired] = []
        self._forgotten: dict[int, int] = {}
        """What a count was when its key was deleted, by the cell's offset. It is not set back to 0: a process of one
        thread adds without a lock, and its processor may know nothing of what we write for as long as it likes.
        """
        self.keeps_entries = False
        """Clauses run in the traced process too, where nobody can tell when a deleted entry is in use no more: it
        stays, without a value.
        """
        self._sites = 0
        """How many have cells."""
        self.make_room()

    def make_room(self) -> None:
        """Give cells to all sites that the plan has by now."""
        before, self._sites = self._sites, len(self._plan.names)
        for own in self._stores.values():
            if isinstance(own.store, TableStore):
                first = own.store.slots_for(before) if before else 0
                for offset in own.offsets:
                    self._fill(own.store, offset, first)

    def _fill(self, table: TableStore, offset: int, first: int) -> None:
        """Write the identity into the cells of a table from a slot on; the memory is all zeros."""
        words = identity(table.aggregation)
        if any(words):
            cells = struct.pack(f"<{len(words)}Q", *words) * (table.slots_for(self._sites) - first)
            start = offset + first * 8 * len(words)
            self._memory.bytes[start : start + len(cells)] = cells

    def snapshot(self, aggregation: Aggregation) -> dict[Key, Cell]:
        """Return the cell of every key that the aggregation was applied to."""
        self._release()
        found: dict[Key, Cell] = {}
        for _, key, cell in self._entries(aggregation):
            found[key] = merge(aggregation, found[key], cell) if key in found else cell
        return found

    def carry_out(self, request: EngineRequest) -> None:
        """Do what clear() and trunc() ask for. A hit at the same moment counts as one before."""
        self._release()
        aggregation = request.aggregation
        for cell_at, key, _ in list(self._entries(aggregation)):
            match request:
                case ResetCells():
                    self._write(cell_at, (1, *identity(aggregation)[1:]))
                case DeleteKeys(keys=keys) if key in keys:
                    self._delete(self._stores[aggregation.name], cell_at)

    def _write(self, cell_at: int, words: Cell) -> None:
        for number, word in enumerate(words):
            self._memory.words[(cell_at >> 3) + number] = word

    def _delete(self, own: CellStore, cell_at: int) -> None:
        if own.shape is None and own.store.aggregation.function is AggregatingFunction.COUNT:
            self._forgotten[cell_at] = self._memory.words[cell_at >> 3]
            return
        if own.shape is None or self.keeps_entries:
            self._write(cell_at, identity(own.store.aggregation))
            return
        entry = cell_at - own.shape.key_size - 8
        # The exchange is in order with the reading after it: a hit that begins later finds the entry deleted.
        self._atomic.exchange(self._memory.address + entry, EntryState.RETIRED)
        self._retired.append(_Retired(self._firing(), own.offsets[0], entry))
        self._release()

    def _firing(self) -> int:
        return self._memory.words[HEADER_FIRINGS >> 3]

    def _release(self) -> None:
        """Let entries be used again that no hit can be at any more."""
        now = self._firing()
        waiting = []
        for entry in self._retired:
            if entry.firing % 2 and entry.firing == now:
                waiting.append(entry)
                continue
            self._memory.words[entry.offset >> 3] = EntryState.FREE
            self._atomic.add(self._memory.address + entry.table + HASH_USED, -1 & WORD_MASK)
        self._retired = waiting

    def _entries(self, aggregation: Aggregation) -> Iterator[tuple[int, Key, Cell]]:
        """Yield the offset of each cell in use, its key and its words."""
        own = self._stores.get(aggregation.name)
        if own is None:
            return
        size = 8 * cell_words(aggregation)
        match own.store:
            case TableStore() as table:
                for offset in own.offsets:
                    for slot in self._used_slots(offset, size, table.slots_for(self._sites)):
                        statement, site = table.slot_owner(slot)
                        cell_at = offset + slot * size
                        cell = self._cell(cell_at, size)
                        if forgotten := self._forgotten.get(cell_at):
                            cell = (cell[0] - forgotten & WORD_MASK,)
                        if cell[0]:
                            yield cell_at, self._key(statement, site, b""), cell
            case HashStore():
                assert own.shape is not None
                for entry in self._used_entries(own.offsets[0], own.shape):
                    cell_at = entry + 8 + own.shape.key_size
                    raw = bytes(self._memory.bytes[entry + 8 : cell_at])
                    cell = self._cell(cell_at, size)
                    if cell[0]:
                        statement, site = _HASH_KEY_HEAD.unpack_from(raw)
                        yield cell_at, self._key(statement, site, raw[_HASH_KEY_HEAD.size :]), cell

    def _used_slots(self, offset: int, size: int, slots: int) -> list[int]:
        present = self._memory.words[offset >> 3 : offset + slots * size >> 3 : size >> 3].tolist()
        return [slot for slot, word in enumerate(present) if word]

    def _used_entries(self, offset: int, shape: HashShape) -> list[int]:
        if not self._memory.words[offset + HASH_USED >> 3]:
            return []
        size = shape.entry_size
        first, end = offset + HASH_ENTRIES, offset + shape.size
        states = self._memory.words[first >> 3 : end >> 3 : size >> 3].tolist()
        return [
            first + number * size
            for number, word in enumerate(states)
            if EntryState.of(word) is EntryState.LIVE
        ]

    def _cell(self, cell_at: int, size: int) -> Cell:
        return tuple(self._memory.words[cell_at >> 3 : cell_at + size >> 3])

    def _key(self, statement: int, site: int | None, raw: bytes) -> Key:
        program = self._plan.program
        return decode_key(program.aggregates[statement], site, raw, self._plan.names, program.string_size)
