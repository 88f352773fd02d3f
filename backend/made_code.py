"""Functions of code that a process has made at run time: module `jit`.

Lives here: rows of the runtime's map (backend/perf_map.py) and the process's mappings -> an object and its functions,
as backend/process_symbols.py takes them. A row is believed as far as all of it lies in executable memory that no file
is behind; whether it says where functions are is the runtime's word. What stands there is read when it is matched
(backend/sites.py), and looked at again when it is armed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from backend.function_table import Function, FunctionTable, table_of
from backend.linux.procfs import mappings
from backend.objects import LoadedObject, TextRange, made_object
from backend.perf_map import PerfMap, Row, supersede

_MOST_WAITING: Final = 1 << 10


@dataclass(frozen=True, slots=True)
class Made:
    """What a process has made: the object and its functions."""

    object: LoadedObject
    table: FunctionTable


class MadeCode:
    """What process `pid` has made, as far as it has been read. Raises ProcessGone, ProcessNotPermitted."""

    def __init__(self, pid: int, names: PerfMap) -> None:
        self._pid = pid
        self._names = names
        self._fresh: list[Row] = []
        self._waiting: list[Row] = []

    def all(self) -> Made:
        """Read what there is."""
        while self._names.grow():
            pass
        return self._placed(self._names.rows)

    def grown(self) -> Made | None:
        """Return the functions that were made before the last look; None if there are none.

        Those of a moment ago may have been listed before they were written.
        """
        settled, self._fresh = self._fresh, self._names.grow()
        if not settled:
            return None
        latest: list[Row] = []
        supersede(latest, [*self._waiting, *settled, *self._fresh])
        ready = set(settled).union(self._waiting)
        made = self._placed([row for row in latest if row in ready])
        return made if made.table else None

    def _placed(self, rows: Sequence[Row]) -> Made:
        """Return the functions that ascending rows describe. Memory that is being written to may be executable later:
        rows that lie elsewhere wait, as long as they are not too many.
        """
        loaded = made_object(mappings(self._pid), self._names.name)
        functions: list[Function] = []
        waiting: list[Row] = []
        for row in rows:
            if _is_within(loaded.text, row):
                functions.append(Function(*row))
            else:
                waiting.append(row)
        self._waiting = waiting[-_MOST_WAITING:]
        text = tuple((part.start, part.end) for part in loaded.text)
        return Made(loaded, table_of(functions, text))


def _is_within(text: Sequence[TextRange], row: Row) -> bool:
    """Tell whether all of a row lies in one of these ranges."""
    place = bisect_right(text, row[0], key=lambda part: part.start) - 1
    return place >= 0 and row[0] + row[1] <= text[place].end
