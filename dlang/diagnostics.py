"""What the compiler says of a faulty program: DTrace's tag and words, the place, and a hint.

The first error ends a compilation, as in dtrace(1). `cli.py` prints it; everything else passes it on.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NoReturn

from dlang.escape import printable_name
from dlang.source import Source, Span


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One error. `tag` is DTrace's (`D_SYNTAX`); `message` its words, possibly several lines.

    `place` is where in a command-line program it is: "in predicate", "in action list", empty where DTrace names none,
    or None as long as nobody has said. `lines_on` is how
    many lines behind the span DTrace's parser has come when it notices: so many are added to the line's number.
    """

    tag: str
    span: Span
    message: str
    hint: str = ""
    place: str | None = None
    lines_on: int = 0


class CompileError(Exception):
    """A program that is not D, or that this version does not compile."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(f"{diagnostic.tag}: {diagnostic.message}")
        self.diagnostic = diagnostic


def fail(tag: str, span: Span, message: str, hint: str = "") -> NoReturn:
    """Raise the CompileError of this diagnostic."""
    raise CompileError(Diagnostic(tag, span, message, hint))


def unsupported(span: Span, what: str) -> NoReturn:
    """Raise the error for a construct that is D but that this version does not compile.

    DTrace has no words for it; its tag for what fits nowhere else is D_UNKNOWN.
    """
    fail("D_UNKNOWN", span, f"not supported by this version of dtrap: {what}")


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return a hint with the nearest of `names`, or an empty text."""
    near = difflib.get_close_matches(name, list(names), n=1, cutoff=0.7)
    return f"did you mean {near[0]}?" if near else ""


def render(diagnostic: Diagnostic, source: Source, *, with_tag: bool) -> str:
    """Return the message as dtrace(1) prints it behind its name, then the source line, a caret and the hint.

    What the program's text holds of control characters is shown escaped.
    """
    tag = f"[{diagnostic.tag}] " if with_tag else ""
    message = diagnostic.message
    if source.name is None:
        place = f"{diagnostic.place}: " if diagnostic.place else ""
        first = f"invalid probe specifier {source.text}: {tag}{place}{message}"
    else:
        file, line = source.file(diagnostic.span), source.line(diagnostic.span) + diagnostic.lines_on
        included = "" if file is None else f'"{file}", '
        first = f"failed to compile script {source.name}: {tag}{included}line {line}: {message}"
    hints = [f"    hint: {diagnostic.hint}"] if diagnostic.hint else []
    return "\n".join([printable_name(first), *source.excerpt(diagnostic.span), *map(printable_name, hints)])
