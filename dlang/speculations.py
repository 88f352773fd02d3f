"""Rows held back under the numbers of speculations until commit() or discard(). The consumer's side: which numbers are
free is decided where clauses run (lower_speculation.py). Hands rows to output.py, in the order in which they came.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dlang.items import Row


@dataclass(slots=True)
class Speculations:
    """`size` is option specsize, in bytes of records for each number; `dropped` counts the rows beyond it."""

    size: int
    dropped: int = 0
    _held: dict[int, list[Row]] = field(default_factory=dict)
    _sizes: dict[int, int] = field(default_factory=dict)

    def hold(self, number: int, row: Row) -> None:
        """Keep a row, or count it as dropped where there is no room for it."""
        size = self._sizes.get(number, 0) + row.size
        if size > self.size:
            self.dropped += 1
            return
        self._sizes[number] = size
        self._held.setdefault(number, []).append(row)

    def take(self, number: int) -> list[Row]:
        """Return the rows held back under a number, which holds none any more."""
        self._sizes.pop(number, None)
        return self._held.pop(number, [])
