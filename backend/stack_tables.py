"""The tables that stacks are unwound by, in the memory that clauses read: written, and kept up to date.

Lives here: rows of all objects of a process (`ProcessRows`, shared by the engines of a run) and one memory with them
(`StackTables`). Not here: reading `.eh_frame` (backend/unwind_rows.py), the layout and the code that reads it
(dlang/unwind_format.py, dlang/lower_stack.py).
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from array import array
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import backend.prologues
import backend.unwind_rows
import dlang.unwind_format
from backend.errors import MalformedElf, ProcessGone
from backend.object_cache import kept
from backend.objects import LoadedObject
from backend.process_objects import ProcessObjects
from backend.process_symbols import Symbols
from backend.unwind_rows import Rows, unwind_rows
from dlang.unwind_format import (
    ACTIVE,
    FRAME_POINTER_RULE,
    HEADER_SIZE,
    LARGEST_POOL_BITS,
    MISSED,
    NOWHERE,
    POOL,
    RANGE_COUNT,
    RANGE_SIZE,
    RANGES_SIZE,
    SMALLEST_POOL_BITS,
    Missed,
)

_MAKERS: Final = (backend.unwind_rows, backend.prologues, dlang.unwind_format)
"""The modules that decide what rows are: with a change of one, those kept on disk are of no use."""
_WORTH_KEEPING: Final = 1 << 15
"""Bytes of `.eh_frame` from which its rows are kept on disk: twenty milliseconds of work, in which a program that was
just loaded may be hit."""
_ROOM: Final = 4 << 20
"""Bytes of the pool that are left for libraries that are loaded later."""
_ROWS_OF_A_FILE: Final = 0.14
"""Bytes of rows for each byte of a library's file: what Firefox's libxul has; others have less."""
_LOADING_NS: Final = 2_000_000_000
"""How long after a change of the objects another one is likely."""
_WHILE_LOADING_NS: Final = 10_000_000
_OTHERWISE_NS: Final = 100_000_000
_KEPT_HEAD: Final = struct.Struct("<QQ")
_RANGE: Final = struct.Struct("<4Q")


_File = tuple[tuple[int, int], int]
"""Device and inode."""


def _file(loaded: LoadedObject) -> _File:
    return loaded.device, loaded.inode


class ProcessRows:
    """The rows of a process's objects, each read when first asked for."""

    def __init__(self, objects: ProcessObjects, symbols: Symbols) -> None:
        self.objects = objects
        self._symbols = symbols
        self._rows: dict[_File, Rows | None] = {}

    def of(self, loaded: LoadedObject) -> Rows | None:
        """Return an object's rows; None where it has no table, or one that makes no sense."""
        file = _file(loaded)
        if file not in self._rows:
            self._rows[file] = self._read(loaded)
        return self._rows[file]

    def _read(self, loaded: LoadedObject) -> Rows | None:
        try:
            file = self._symbols.image(loaded)
            if file is None:
                return None

            def read() -> Rows | None:
                return unwind_rows(file, lambda: self._symbols.names(loaded))

            section = file.section(".eh_frame")
            if section is None or section.size_bytes < _WORTH_KEEPING or not file.build_id:
                return read()
            stamp = f"unwind rows\n{file.build_id.hex()}"
            makers = (__file__, *(str(maker.__file__) for maker in _MAKERS))
            return _unpacked(kept(stamp, makers, lambda: _packed(read())))
        except (MalformedElf, ProcessGone):
            return None

    def pool_bits(self) -> int:
        """Return the size that a pool for all objects has, as the power of two."""
        self.objects.look()
        size = _ROOM + sum(_pool_bytes(rows) for loaded in self.objects.now if (rows := self.of(loaded)))
        size += sum(map(_room_beside, self.objects.now))
        return min(max((size - 1).bit_length(), SMALLEST_POOL_BITS), LARGEST_POOL_BITS)


def _room_beside(loaded: LoadedObject) -> int:
    """Return the bytes that libraries beside the program would take: a browser loads its own when it has started."""
    if not loaded.main:
        return 0
    with suppress(OSError), os.scandir(os.path.dirname(loaded.path)) as entries:
        sizes = (entry.stat().st_size for entry in entries if entry.name.endswith(".so"))
        return int(_ROWS_OF_A_FILE * sum(sizes))
    return 0


def _pool_bytes(rows: Rows) -> int:
    return 8 * len(rows.rows) + 4 * len(rows.blocks) + 8


def _packed(rows: Rows | None) -> bytes:
    if rows is None:
        return b""
    return _KEPT_HEAD.pack(rows.base, len(rows.rows)) + rows.rows.tobytes() + rows.blocks.tobytes()


def _unpacked(content: bytes) -> Rows | None:
    if not content:
        return None
    base, count = _KEPT_HEAD.unpack_from(content)
    middle = _KEPT_HEAD.size + 8 * count
    return Rows(base, array("Q", content[_KEPT_HEAD.size : middle]), array("I", content[middle:]))


class StackTables:
    """One memory with the tables of a process; `memory` is unwind_format.memory_size(pool_bits) zeros."""

    def __init__(self, rows: ProcessRows, memory: mmap.mmap | memoryview, pool_bits: int) -> None:
        self._rows = rows
        self._memory = memoryview(memory).cast("B")
        self._pool_size = 1 << pool_bits
        self._places: dict[_File, int] = {}
        self._end = 8
        self._listed: Sequence[LoadedObject] = ()
        self._loading_until_ns = self._patient_until_ns = 0
        self._write(POOL, FRAME_POINTER_RULE.to_bytes(8, "little"))
        self._list_ranges()

    @property
    def patience_ns(self) -> int:
        """How soon to ask again whether a stack has missed an object, in nanoseconds: more often while some come."""
        return _WHILE_LOADING_NS if time.monotonic_ns() < self._loading_until_ns else _OTHERWISE_NS

    def close(self) -> None:
        """Let go of the memory."""
        self._memory.release()

    def refresh(self) -> None:
        """Bring the tables up to date with what the process has mapped."""
        self._write(MISSED, bytes(8))
        self._rows.objects.look()
        if self._listed is not self._rows.objects.now:
            self._list_ranges()
        else:
            self._patient_until_ns = time.monotonic_ns() + self.patience_ns

    def refresh_if_missed(self) -> None:
        """Do so if a stack has led to an address that is in none of the objects known, or the program is another one.

        Some addresses are in none whenever one looks; that is tried every now and then only.
        """
        missed = self._memory[MISSED]
        if missed == Missed.ALL or (missed and time.monotonic_ns() >= self._patient_until_ns):
            self.refresh()

    def _list_ranges(self) -> None:
        """Write the list of ranges that is not in force, and put it in force."""
        self._listed = self._rows.objects.now
        self._loading_until_ns = time.monotonic_ns() + _LOADING_NS
        found = [(0, 0, 0, 0)]
        for loaded in self._listed:
            rows = self._rows.of(loaded)
            place = 0 if rows is None else self._place(loaded, rows)
            base = loaded.bias + (rows.base if rows is not None else 0)
            found += [(part.start, part.end, base, place) for part in loaded.text]
        found += [(start, end, 0, 0) for start, end in self._rows.objects.made]
        # Where there are more than fit, the last ones are unknown code.
        found = sorted(found[:RANGE_COUNT])
        found += [(NOWHERE, NOWHERE, 0, 0)] * (RANGE_COUNT - len(found))
        other = 1 - self._memory[ACTIVE]
        self._write(HEADER_SIZE + other * RANGES_SIZE, b"".join(_RANGE.pack(*row) for row in found))
        self._write(ACTIVE, other.to_bytes(8, "little"))

    def _place(self, loaded: LoadedObject, rows: Rows) -> int:
        """Return the place in the pool (in words) of an object's blocks, which are put there; 0 where it is full."""
        file = _file(loaded)
        if file not in self._places:
            if self._end + _pool_bytes(rows) > self._pool_size:
                return 0
            first = self._end // 8
            blocks = self._end + 8 * len(rows.rows)
            self._write(POOL + self._end, rows.rows.tobytes())
            self._write(POOL + blocks, array("I", (first + row for row in rows.blocks)).tobytes())
            self._end = -(-(blocks + 4 * len(rows.blocks)) // 8) * 8
            self._places[file] = blocks // 8
        return self._places[file]

    def _write(self, offset: int, content: bytes) -> None:
        self._memory[offset : offset + len(content)] = content


assert _RANGE.size == RANGE_SIZE
