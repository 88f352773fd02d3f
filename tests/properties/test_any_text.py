"""Any text as a program is a diagnostic, or it compiles: never another exception, never a crash of the process.

What compiles goes through to BPF code. A diagnostic is rendered, and must be fit to be printed: its place is in the
text, and no control character of the text reaches the terminal.
"""

import re
from itertools import chain
from pathlib import Path
from typing import Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backend.engine import Plan
from dlang.diagnostics import render
from dlang.source import Source
from tests.properties.pipeline import compiled, generated

TESTS: Final = Path(__file__).parents[1]
PROGRAMS: Final = [
    path.read_text(encoding="utf-8")
    for path in sorted(chain(TESTS.glob("reference/*.d"), TESTS.glob("lang/*/*.d")))
]
_WORDS: Final = """
    BEGIN END tick-1s pid$target:::entry self-> this-> self this int string struct typedef inline if else for xlate
    sizeof stringof @a x arg0 probefunc execname printf printa trace exit count( sum( quantize( lquantize( copyin(
    copyinstr( strlen( uregs[ 0 1 0x 09 0xffffffffffffffff 99999999999999999999 1.5 "%d_%s" "%@u" '' 'a' && || ^^ <<
    >>= ++ -> /* */ // $1 $$1 $nosuch $9 NULL (int) #pragma D option quiet #!x void * /1/ { trace(1); } @=count();
"""
TOKENS: Final = (*"{}()[];,?:/@.$\"'\\#=<>+-*%&|^!~\n\t \0\x1b", *_WORDS.split())

texts = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.binary().map(lambda raw: raw.decode("utf-8", "surrogateescape")),
    st.lists(st.sampled_from(TOKENS), max_size=40).map(" ".join),
    st.lists(st.sampled_from(TOKENS), max_size=30).map(lambda body: f"BEGIN {{ {' '.join(body)} }}"),
)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """One of the programs of our tests with up to four of its pieces left out, doubled, swapped or replaced."""
    program = draw(st.sampled_from(PROGRAMS))
    pieces = re.findall(r"\w+|\s+|.", program) if draw(st.booleans()) else list(program)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(len(pieces) - 1, 0)))
        match draw(st.integers(0, 4)):
            case 0:
                del pieces[place : place + draw(st.integers(1, 5))]
            case 1:
                pieces[place:place] = pieces[place : place + draw(st.integers(1, 5))]
            case 2:
                other = draw(st.integers(0, max(len(pieces) - 1, 0)))
                if pieces:
                    pieces[place], pieces[other] = pieces[other], pieces[place]
            case 3:
                pieces.insert(place, draw(st.sampled_from(TOKENS)))
            case _:
                del pieces[place:]
    return "".join(pieces)


def check(text: str, name: str | None) -> None:
    source = Source(text, name)
    result = compiled(source)
    if isinstance(result, Plan):
        generated(result)
        return
    assert 0 <= result.span.start <= result.span.end <= len(text)
    assert result.message
    shown = render(result, source, with_tag=True)
    assert re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", shown) is None


@pytest.mark.timeout(90)
@settings(max_examples=400)
@given(texts, st.sampled_from([None, "x.d"]))
@example("", None)
@example("BEGIN { trace(self$$1); }", None)
@example("BEGIN { x = \udcff; }", None)
@example("BE\x1b]0;GIN { x = y; }", None)
def test_any_text_is_a_diagnostic_or_compiles(text: str, name: str | None) -> None:
    check(text, name)


@pytest.mark.timeout(90)
@settings(max_examples=200)
@given(mutated(), st.sampled_from([None, "x.d"]))
def test_a_mutated_program_is_a_diagnostic_or_compiles(text: str, name: str | None) -> None:
    check(text, name)


MANY: Final = 10_000
DEEP: Final = {
    "parentheses": f"BEGIN {{ x = {'(' * MANY}1{')' * MANY}; }}",
    "open parentheses": f"BEGIN {{ x = {'(' * MANY}",
    "unary minuses": f"BEGIN {{ x = {'- ' * MANY}arg0; }}",
    "negations": f"BEGIN {{ x = {'!' * MANY}arg0; }}",
    "choices in choices": f"BEGIN {{ x = {'arg0 ? ' * MANY}1{' : 1' * MANY}; }}",
    "choices after choices": f"BEGIN {{ x = {'arg0 ? 1 : ' * MANY}1; }}",
    "branches": f"BEGIN {{ {'if (arg0) ' * MANY}x = 1; }}",
    "alternatives": f"BEGIN {{ {'if (arg0) x = 1; else ' * MANY}x = 1; }}",
    "blocks": f"BEGIN {{ {'{' * MANY}x = 1;{'}' * MANY} }}",
    "a sum": f"BEGIN {{ x = {'arg0 + ' * MANY}1; }}",
    "assignments": f"BEGIN {{ x = {'y = ' * MANY}1; }}",
    "indices": f"BEGIN {{ x = {'y[' * MANY}0{']' * MANY}; }}",
    "casts": f"BEGIN {{ x = {'(int)' * MANY}arg0; }}",
    "pointers": f"int {'*' * MANY}p; BEGIN {{ trace(p + p); }}",
    "pointers by typedefs": "".join(
        f"typedef {'int' if i == 0 else f't{i - 1}'} {'*' * 60}t{i};" for i in range(99)
    ),
}  # fmt: skip
LARGE: Final = {
    "a decimal": f"BEGIN {{ x = {'9' * 50_000}; }}",
    "a hexadecimal": f"BEGIN {{ x = 0x{'f' * 50_000}; }}",
    "a number of zeros": f"BEGIN {{ x = {'0' * 50_000}; }}",
    "an operand's number": f"BEGIN {{ x = ${'9' * 5_000}; }}",
    "a process number": f"pid{'9' * 5_000}:::entry {{ }}",
    "a rate": f"tick-{'9' * 5_000}s {{ }}",
    "a probe number": f"{'9' * 5_000} {{ }}",
    "a width": f'BEGIN {{ printf("%{"9" * 5_000}d", 1); }}',
    "a string": f'BEGIN {{ trace("{"9" * 500_000}"); }}',
    "a line": f"BEGIN {{ x = 1; {' ' * 1_000_000}y = z; }}",
    "an open comment": "BEGIN { /* " * 50_000,
    "quotes": '\\"' * 100_000,
    "slashes": "BEGIN /" + "/ " * 50_000,
    "control lines": "#pragma D option quiet\n" * 5_000,
    "descriptions": f"{'BEGIN,' * 500}BEGIN {{ x = 1; }}",
    "a glob": f"BEGIN, {'*' * 500}Z {{ }}",
    "a pattern": f":::{'*a' * 200}Z {{ }}",
}  # fmt: skip


@pytest.mark.parametrize("text", DEEP.values(), ids=DEEP)
def test_deep_nesting_is_a_diagnostic_or_compiles(text: str) -> None:
    check(text, None)


@pytest.mark.parametrize("text", LARGE.values(), ids=LARGE)
def test_large_pieces_are_diagnostics_or_compile(text: str) -> None:
    check(text, None)
