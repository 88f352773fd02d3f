"""The text of a distribution: its heading, and a row with a bar for each bucket; or, with option aggpack, one line.

Pure layout; the buckets are `buckets.py`'s, the counts an aggregation's cell, bars `bars.py`'s. `aggregation_text.py`
and `printf_render.py` put the result among the rest. Source: d-language.md §9 ("Distribution"), tests/reference
`agg-*quantize*`; packed, illumos' libdtrace (dt_consume.c).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from dlang.aggregations import FIRST_BUCKET, WORD, Aggregation, Cell, scale_of, to_signed
from dlang.bars import COLUMNS, PLAIN, Bars, proportion
from dlang.buckets import QUANTIZE_ZERO_BUCKET, Llquantize, Lquantize, Quantize, Scale, label, rows_when_empty

_LEAST_LABEL: Final = 4
_LQUANTIZE_LABEL: Final = 8


def heading(column: str = "value", width: int = 16) -> str:
    """Return the line above bars; `column` is what stands before them."""
    return f"{column:>{width}} {'------------- Distribution -------------':>{COLUMNS + 1}} {'count':<9}"


def bar_line(bar: str, count: int, normal: int) -> str:
    """Return a bar with the number that it stands for, divided as an unsigned word."""
    return f"{bar} {to_signed(count % WORD // normal):<9}"


def distribution_text(aggregation: Aggregation, cell: Cell, normal: int, bars: Bars = PLAIN) -> str:
    """Return a newline, the heading and a line for each bucket shown, each ended by a newline.

    Bars are drawn from the counts before normalization, the numbers after it (as the reference does).
    """
    scale = scale_of(aggregation)
    counts = _counts(cell)
    first, last = _shown(scale, counts)
    shown = counts[first : last + 1]
    among = proportion(shown, bars.zoomed, bars.blocks)
    lines = [
        f"{label(scale, first + row, first):>16} {bar_line(among.bar(count), count, normal)}"
        for row, count in enumerate(shown)
    ]
    return "\n" + "\n".join([heading(), *lines]) + "\n"


def _counts(cell: Cell) -> list[int]:
    return [to_signed(word) for word in cell[FIRST_BUCKET:]]


def _shown(scale: Scale, counts: Sequence[int]) -> tuple[int, int]:
    """Return the first and last bucket to print: one to each side of those that hold something."""
    used = [index for index, count in enumerate(counts) if count]
    first, last = (used[0], used[-1]) if used else rows_when_empty(scale)
    return max(first - 1, 0), min(last + 1, len(counts) - 1)


# --- packed -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Packing:
    """Which buckets the packed lines of an aggregation have, and the labels of the first and the last one.

    `least_width` and `most_width` are those of the heading's words.
    """

    first: int
    last: int
    least: str
    most: str
    least_width: int
    most_width: int

    def heading(self, key_columns: int) -> str:
        """Return the line above packed distributions, whose keys take so many columns."""
        key = "key" if key_columns else ""
        dashes = "-" * (self.last - self.first + 1)
        return (
            f"{key:>{key_columns}} {'min':>{self.least_width}} .{dashes}. {'max':<{self.most_width}} | count"
        )

    def line(self, cell: Cell, bars: Bars) -> str:
        """Return one distribution. The number is what all its buckets, not normalized, hold together."""
        counts = _counts(cell)[self.first : self.last + 1]
        among = proportion(counts, bars.zoomed, bars.packed_blocks)
        heights = "".join(map(among.height, counts))
        return f"{self.least} :{heights}: {self.most} | {sum(counts)}"


def packing(aggregation: Aggregation, cells: Sequence[Cell]) -> Packing:
    """Return how distributions of one aggregation, quantize() or lquantize(), are packed so that they compare.

    lquantize() has all its buckets; quantize() those that some cell needs and one on each side, but none below zero
    where nothing is negative.
    """
    match scale_of(aggregation):
        case Lquantize() as scale:
            last = scale.levels + 1
            least, most = (label(scale, bucket, 0) for bucket in (0, last))
            width = _LQUANTIZE_LABEL
            return Packing(0, last, f"{least:>{width}}", f"{most:<{width}}", width - 1, width)
        case Quantize() as scale:
            used = [index for cell in cells for index, count in enumerate(_counts(cell)) if count]
            # A cell without counts stands at zero.
            used += [QUANTIZE_ZERO_BUCKET for cell in cells if not any(cell[FIRST_BUCKET:])]
            first, last = min(used), max(used)
            first -= first not in (0, QUANTIZE_ZERO_BUCKET)
            last += last < len(cells[0]) - FIRST_BUCKET - 1
            least, most = (label(scale, bucket, first) for bucket in (first, last))
            widths = max(len(least), _LEAST_LABEL), max(len(most), _LEAST_LABEL)
            return Packing(first, last, f" {least:>{widths[0]}}", f"{most:<{widths[1]}}", *widths)
        case Llquantize():
            raise AssertionError("llquantize() is never packed")
