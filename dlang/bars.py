"""Bars of a number among others: what distributions, and with options agghist and aggpack whole aggregations, are drawn
with.

Numbers in, text without a newline out; who asks knows which numbers belong together. Sources: d-language.md §9; the
options are illumos' (libdtrace, dt_consume.c and dt_aggregate.c).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

COLUMNS: Final = 40
_FULL: Final = "█"
_EIGHTHS: Final = " ▏▎▍▌▋▊▉"
"""Parts of a column, by their number of eighths."""
_HEIGHTS: Final = "▁▂▃▄▅▆▇█"
_HEIGHTS_ASCII: Final = "__xxxxXX"
_DEPTHS: Final = "vvvvVV"
_ZOOM: Final = Fraction(1 / 0.95)
"""illumos' own constant, with what a double makes of it: it decides where a number is cut."""


@dataclass(frozen=True, slots=True)
class Bars:
    """How bars are drawn: options aggzoom, agghist, aggpack and encoding.

    `zoomed` has the longest take 95 of a hundred parts of its columns. `beside` draws one beside each entry of a count
    or sum, `packed` a distribution in one line. `blocks` makes bars of block characters, `packed_blocks` packed ones.
    """

    zoomed: bool = False
    beside: bool = False
    packed: bool = False
    blocks: bool = False
    packed_blocks: bool = True


PLAIN: Final = Bars()


@dataclass(frozen=True, slots=True)
class Proportion:
    """What bars are in proportion to: `total` takes all columns; which signs occur says where they begin."""

    total: Fraction
    positives: bool
    negatives: bool
    blocks: bool = False

    def bar(self, count: int) -> str:
        """Return a bar and the line that it begins at: rightward, leftward, or from the middle where both occur."""
        if not self.negatives:
            drawn = self._blocks(count) if self.blocks else self._ats(count, COLUMNS)
            return "|" + drawn.ljust(COLUMNS)
        if not self.positives:
            return self._ats(count, COLUMNS).rjust(COLUMNS) + "|"
        half = COLUMNS // 2
        left, right = ("", self._ats(count, half)) if count > 0 else (self._ats(count, half), "")
        return f"{left:>{half}}|{right:<{half}}"

    def _ats(self, count: int, columns: int) -> str:
        return "@" * _rounded(count, columns, self.total)

    def _blocks(self, count: int) -> str:
        if not self.total:
            return ""
        eighths = int(abs(count) * COLUMNS * 8 / self.total)
        return _FULL * (eighths // 8) + _EIGHTHS[eighths % 8].strip()

    def height(self, count: int) -> str:
        """Return one character for a count: the packed form of a bar."""
        if count == 0:
            return " "
        if count < 0:
            return _DEPTHS[_rounded(count, len(_DEPTHS) - 1, self.total)]
        heights = _HEIGHTS if self.blocks else _HEIGHTS_ASCII
        return heights[_rounded(count, len(heights) - 1, self.total)]


def proportion(counts: Iterable[int], zoomed: bool, blocks: bool) -> Proportion:
    """Return what bars of these numbers are in proportion to: their sum, or zoomed the longest."""
    counts = list(counts)
    total = max(map(abs, counts)) * _ZOOM if zoomed else Fraction(sum(map(abs, counts)))
    return Proportion(total, any(count > 0 for count in counts), any(count < 0 for count in counts), blocks)


def _rounded(count: int, most: int, total: Fraction) -> int:
    """Return floor(|count| * most / total + 1/2)."""
    return int((2 * most * abs(count) + total) / (2 * total)) if total else 0
