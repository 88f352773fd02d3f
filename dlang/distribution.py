"""The text of a distribution: its heading, and a row with a bar for each bucket.

Pure layout; the buckets are `buckets.py`'s, the counts an aggregation's cell. `output.py` and
`printf_render.py` put the result among the rest. Source: d-language.md §9 ("Distribution") and
tests/reference `agg-*quantize*`.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Final

from dlang.aggregations import FIRST_BUCKET, WORD, Aggregation, Cell, scale_of, to_signed
from dlang.buckets import Scale, label, rows_when_empty

_BAR_COLUMNS: Final = 40
_HEADING: Final = f"{'value':>16} {'------------- Distribution -------------':>41} {'count':<9}"


def distribution_text(aggregation: Aggregation, cell: Cell, normal: int, *, zoomed: bool = False) -> str:
    """Return a newline, the heading and a line for each bucket shown, each ended by a newline.

    Bars are drawn from the counts before normalization, the numbers after it (as the reference does); a count
    is divided as an unsigned word.
    """
    scale = scale_of(aggregation)
    counts = [to_signed(word) for word in cell[FIRST_BUCKET:]]
    first, last = _shown(scale, counts)
    shown = counts[first : last + 1]
    # Zoomed, the longest bar takes 95 of a hundred parts of its columns.
    total = Fraction(max(map(abs, shown)) * 100, 95) if zoomed else Fraction(sum(map(abs, shown)))
    bar = _Bar(total, any(count > 0 for count in shown), any(count < 0 for count in shown))
    lines = [
        f"{label(scale, first + row, first):>16} {bar.draw(count)} {to_signed(count % WORD // normal):<9}"
        for row, count in enumerate(shown)
    ]
    return "\n" + "\n".join([_HEADING, *lines]) + "\n"


def _shown(scale: Scale, counts: Sequence[int]) -> tuple[int, int]:
    """Return the first and last bucket to print: one to each side of those that hold something."""
    used = [index for index, count in enumerate(counts) if count]
    first, last = (used[0], used[-1]) if used else rows_when_empty(scale)
    return max(first - 1, 0), min(last + 1, len(counts) - 1)


class _Bar:
    """Bars in proportion to the counts shown: rightward, leftward, or from the middle where both occur."""

    __slots__ = ("_negatives", "_positives", "_total")

    def __init__(self, total: Fraction, positives: bool, negatives: bool) -> None:
        self._total = total
        self._positives = positives
        self._negatives = negatives

    def draw(self, count: int) -> str:
        if not self._negatives:
            return "|" + self._ats(count, _BAR_COLUMNS).ljust(_BAR_COLUMNS)
        if not self._positives:
            return self._ats(count, _BAR_COLUMNS).rjust(_BAR_COLUMNS) + "|"
        half = _BAR_COLUMNS // 2
        left, right = ("", self._ats(count, half)) if count > 0 else (self._ats(count, half), "")
        return f"{left:>{half}}|{right:<{half}}"

    def _ats(self, count: int, columns: int) -> str:
        """Return floor(|count| * columns / total + 1/2) marks."""
        return "@" * int((2 * columns * abs(count) + self._total) / (2 * self._total)) if self._total else ""
