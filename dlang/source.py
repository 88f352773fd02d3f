"""Program texts and places in them: offsets, lines, columns, and the line with a caret below a message."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """Characters `start` up to, not including, `end` of a source text."""

    start: int
    end: int

    def to(self, other: Span) -> Span:
        return Span(self.start, other.end)


@dataclass(frozen=True, slots=True)
class LineMark:
    """What `#line` says, or the preprocessor: the text from `offset` on is line `line` of `file`.

    `file` is None for the script itself.
    """

    offset: int
    line: int
    file: str | None


@dataclass(frozen=True, slots=True)
class Source:
    """One program text. `name` is the script's file name, or None for a program from the command line.

    `marks`, in the order of their offsets, say which lines come from elsewhere.
    """

    text: str
    name: str | None = None
    marks: tuple[LineMark, ...] = ()

    def line(self, span: Span) -> int:
        """Return the line, from 1, that the span starts in."""
        mark = self._mark(span)
        return self.text.count("\n", mark.offset, span.start) + mark.line

    def file(self, span: Span) -> str | None:
        """Return the file that the span's line comes from if that is not the script itself."""
        return self._mark(span).file

    def _mark(self, span: Span) -> LineMark:
        before = (mark for mark in reversed(self.marks) if mark.offset <= span.start)
        return next(before, LineMark(0, 1, None))

    def excerpt(self, span: Span) -> list[str]:
        """Return the line that the span starts in and, below it, a caret and tildes under the span.

        Both lines are indented by four blanks; a tab stays a tab in both, so that they stay aligned. Control
        characters are shown as `?`, and a long line is cut around the span. Nothing for an empty span at the start,
        which stands for the whole text.
        """
        if span == Span(0, 0):
            return []
        start = self.text.rfind("\n", 0, span.start) + 1
        end = self.text.find("\n", span.start)
        line = self.text[start : end if end >= 0 else len(self.text)]
        column = span.start - start
        first = max(0, column - _EXCERPT_WIDTH // 2)
        shown = line[first : first + _EXCERPT_WIDTH]
        if not shown.strip():
            return []
        width = max(1, min(span.end - span.start, len(shown) - (column - first)))
        shown = "".join(c if c.isprintable() or c == "\t" else "?" for c in shown)
        margin = "".join("\t" if c == "\t" else " " for c in shown[: column - first])
        return [f"    {shown}", f"    {margin}^{'~' * (width - 1)}"]


_EXCERPT_WIDTH = 160
