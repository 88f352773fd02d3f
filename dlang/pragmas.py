"""Control lines, those of a program that start with `#`: the options they set, the lines they name, and what is
wrong in them.

parse.py finds the lines and lexes around them; here they are read and hand options to options.py. They mean
little else: `#!`, `#ident` and pragmas of others are passed over, and what is the preprocessor's (backend's) is
an error when it comes here. Source:
d-language.md §1 and §14; the DTrace guide, "Pragmas"; K&R, A12.8 (unknown pragmas) and A12.9 (a lone `#`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from dlang import ast
from dlang.actions import ACTIONS, SUBROUTINES
from dlang.builtins import CONSTANTS, NOT_COMPILED, VARIABLES
from dlang.diagnostics import fail
from dlang.options import OptionError, Options, refuse_in_program, set_option
from dlang.parse import control_lines
from dlang.source import LineMark, Source, Span

PREPROCESSOR_INPUT: Final = "/dev/stdin"
"""What the preprocessor calls its standard input."""

_WORD: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[^\s"]+|"')
_INTEGER: Final = re.compile(r"(?:[0-9]+|0[xX][0-9a-fA-F]+)[uU]?[lL]{0,2}")
_LINE_MARK: Final = re.compile(
    r"#[ \t]*(?P<written>(?:pragma[ \t]+)?line[ \t]+)?(?P<line>[0-9]{1,9})"
    r'(?:[ \t]+"(?P<file>(?:[^"\\]|\\.)*)"[ \t0-9]*)?[ \t]*',
    re.ASCII,
)
_VERSION: Final = re.compile(r'"[0-9]+\.[0-9]+(?:\.[0-9]+)?"')
_STABILITIES: Final = frozenset(
    ["Internal", "Private", "Obsolete", "External", "Unstable", "Evolving", "Stable", "Standard"]
)
_CLASSES: Final = frozenset(["Unknown", "CPU", "Platform", "Group", "ISA", "Common"])
_PROVIDERS: Final = frozenset(["dtrace", "pid", "profile"])
_PREPROCESSOR_WORDS: Final = frozenset(
    ["define", "elif", "else", "endif", "if", "ifdef", "ifndef", "include", "undef"]
)


@dataclass(frozen=True, slots=True)
class PragmaOption:
    """One `#pragma D option NAME[=VALUE]`; `value` is None for a name alone. The span is that of both."""

    span: Span
    name: str
    value: str | None


@dataclass(frozen=True, slots=True)
class _Word:
    """A word of a control line: an integer, a text in quotes, or a run of anything else."""

    span: Span
    text: str

    @property
    def is_integer(self) -> bool:
        return _INTEGER.fullmatch(self.text) is not None

    @property
    def is_string(self) -> bool:
        return self.text.startswith('"')

    @property
    def is_name(self) -> bool:
        return not (self.is_integer or self.is_string)


def apply_control_lines(options: Options, source: Source) -> Options:
    """Return `options` as the control lines of a program change them, in their order.

    Raises CompileError: D_PRAGMA_OPTSET for an option that can't be set, and what `pragma_options` raises.
    """
    for option in pragma_options(source):
        try:
            refuse_in_program(option.name, option.value)
            options = set_option(options, option.name, option.value)
        except OptionError as error:
            value = "" if option.value is None else f" to '{option.value}'"
            message = f"failed to set option '{option.name}'{value}: {error.message}"
            fail("D_PRAGMA_OPTSET", option.span, message, error.hint)
    return options


def line_marks(text: str) -> tuple[LineMark, ...]:
    """Return what the `#line` lines of a program say, and the preprocessor's, which read the script from its
    standard input. Lines of a wrong form say nothing here.
    """
    marks = []
    file = None
    for span, line in control_lines(text):
        match = _LINE_MARK.fullmatch(line)
        if match is not None:
            if match["file"] is not None:
                file = None if match["file"] == PREPROCESSOR_INPUT else match["file"]
            # DTrace counts the end of a `#line` itself, but not that of what the preprocessor writes.
            line_number = int(match["line"]) + (match["written"] is not None)
            marks.append(LineMark(span.end + 1, line_number, file))
    return tuple(marks)


def pragma_options(source: Source) -> list[PragmaOption]:
    """Return the options that the control lines of a program set.

    Raises CompileError for a line that is no control line (D_PRAGCTL_INVAL, D_SYNTAX), a pragma of a wrong
    form (D_PRAGMA_MALFORM) or with wrong words (D_PRAGMA_INVAL), one that asks for what is not there
    (D_PRAGMA_DEPEND), and `#error` (D_PRAGERR).
    """
    found = []
    for span, _ in control_lines(source.text):
        option = _control_line(source.text, span)
        if option is not None:
            found.append(option)
    return found


def _control_line(text: str, span: Span) -> PragmaOption | None:
    start = text.index("#", span.start) + 1
    if text.startswith("!", start):
        return None
    words = [
        _Word(Span(match.start(), match.end()), match[0]) for match in _WORD.finditer(text, start, span.end)
    ]
    line = Span(start - 1, words[-1].span.end if words else span.end)
    for word in words:
        if word.text == '"':
            fail("D_SYNTAX", word.span, 'syntax error near """', "the quotation mark is not closed")
    match words:
        case [_Word(text="pragma"), _Word(text="D"), directive, *rest]:
            return _d_pragma(line, directive, rest)
        case [_Word(text="pragma"), directive, *rest]:
            _directive(line, directive, rest)
        case [_Word(text="pragma")] | []:
            pass
        case [directive, *rest]:
            if not _directive(line, directive, rest):
                hint = "-C runs the C preprocessor first"
                fail(
                    "D_PRAGCTL_INVAL",
                    directive.span,
                    f"invalid control directive: #{directive.text}",
                    hint if directive.text in _PREPROCESSOR_WORDS else "",
                )
    return None


def _directive(line: Span, directive: _Word, rest: Sequence[_Word]) -> bool:
    """Check a directive that needs no `pragma D` before it; return whether it is one of them."""
    if directive.is_string:
        fail("D_PRAGCTL_INVAL", directive.span, "invalid control directive")
    if directive.is_integer:
        _line_number(line, [directive, *rest])
        return True
    match directive.text:
        case "error":
            words = [word.text[1:-1] if word.is_string else word.text for word in rest if not word.is_integer]
            fail("D_PRAGERR", line, "#error: " + "".join(f"{word} " for word in words))
        case "line":
            _line_number(line, rest)
        case "ident":
            pass
        case _:
            return False
    return True


def _line_number(line: Span, words: Sequence[_Word]) -> None:
    match words:
        case [number] if number.is_integer:
            return
        case [number, file, *states] if number.is_integer and file.is_string:
            if all(state.is_integer for state in states):
                return
    fail("D_PRAGMA_MALFORM", line, 'malformed #line <line> [ ["file"] state ]')


def _d_pragma(line: Span, directive: _Word, rest: Sequence[_Word]) -> PragmaOption | None:
    match directive.text:
        case "option":
            return _option(line, rest)
        case "attributes":
            _attributes(line, rest)
        case "binding":
            _binding(line, rest)
        case "depends_on":
            _depends_on(line, rest)
        case _:
            if not _directive(line, directive, rest):
                fail("D_PRAGMA_INVAL", directive.span, f"invalid D pragma: {directive.text}")
    return None


def _option(line: Span, words: Sequence[_Word]) -> PragmaOption:
    if not words or not words[0].is_name:
        fail("D_PRAGMA_MALFORM", line, "malformed #pragma option <option>=<val>")
    if len(words) > 1:
        span = words[1].span.to(words[-1].span)
        hint = "write name=value without blanks" if words[1].text.startswith("=") else ""
        fail("D_PRAGMA_MALFORM", span, "superfluous arguments specified for #pragma option", hint)
    name, equals, value = words[0].text.partition("=")
    return PragmaOption(words[0].span, name, value if equals else None)


def check_modified(source: Source, program: ast.Program) -> None:
    """Raise D_PRAGMA_UNUSED for attributes and bindings of what neither the program declares nor stands before them."""
    declared = {declarator.name for item in program.items for declarator in _declarators(item)}
    for span, line in control_lines(source.text):
        words = line.removeprefix("#").split()
        if words[:2] == ["pragma", "D"] and words[2:3] in (["attributes"], ["binding"]):
            name = words[5] if words[4] == "provider" and len(words) > 5 else words[4]
            before = re.findall(r"\w+", source.text[: span.start])
            if name not in _PROVIDERS and name not in declared and name not in before:
                fail("D_PRAGMA_UNUSED", span, f"unused #pragma {words[2]}", f"nothing is declared as {name}")


def _declarators(item: ast.Clause | ast.Declaration | ast.Inline) -> Sequence[ast.Declarator]:
    match item:
        case ast.Declaration(declarators=declarators):
            return declarators
        case ast.Inline(declarator=declarator):
            return (declarator,)
    return ()


def _check_scope(line: Span, pragma: str, name: str) -> None:
    """Raise for a pragma that is to change what D itself declares."""
    if any(name in table for table in (VARIABLES, CONSTANTS, NOT_COMPILED, ACTIONS, SUBROUTINES)):
        fail("D_PRAGMA_SCOPE", line, f"#pragma {pragma} cannot modify entity defined outside program scope")


def _attributes(line: Span, words: Sequence[_Word]) -> None:
    """Check the form; stability is neither kept nor reported, so nothing comes of it."""
    if len(words) < 2 or not words[0].is_name or not words[1].is_name:
        fail("D_PRAGMA_MALFORM", line, "malformed #pragma attributes <attributes> <ident>")
    match words[0].text.split("/"):
        case [name, data, class_] if {name, data} <= _STABILITIES and class_ in _CLASSES:
            _check_scope(line, "attributes", words[1].text)
            return
    fail("D_PRAGMA_INVAL", words[0].span, "invalid attributes specified by #pragma attributes")


def _binding(line: Span, words: Sequence[_Word]) -> None:
    """Check the form; there is one version of the language, so nothing comes of it."""
    if len(words) < 2 or not words[0].is_string or not words[1].is_name:
        fail("D_PRAGMA_MALFORM", line, 'malformed #pragma binding "version" <ident>')
    if _VERSION.fullmatch(words[0].text) is None:
        fail("D_PRAGMA_INVAL", words[0].span, "invalid version string specified by #pragma binding")
    _check_scope(line, "binding", words[1].text)


def _depends_on(line: Span, words: Sequence[_Word]) -> None:
    if len(words) < 2 or not words[0].is_name or not words[1].is_name:
        fail("D_PRAGMA_MALFORM", line, "malformed #pragma depends_on <class> <name>")
    class_, name = words[0].text, words[1].text
    match class_:
        case "library":
            fail("D_PRAGMA_DEPEND", line, "main program may not explicitly depend on a library")
        case "provider" if name in _PROVIDERS:
            return
        case "provider" | "module":
            fail("D_PRAGMA_DEPEND", words[1].span, f"program requires {class_} {name}")
        case _:
            message = f"invalid class {class_} specified by #pragma depends_on"
            fail("D_PRAGMA_INVAL", words[0].span, message)
