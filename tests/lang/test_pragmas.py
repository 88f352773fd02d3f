"""Control lines: the options that `#pragma D option` sets, and the errors of all that starts with `#`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlang.diagnostics import CompileError, Diagnostic, render
from dlang.options import Options
from dlang.pragmas import apply_control_lines, line_marks, pragma_options
from dlang.source import Source, Span

CLAUSE = "BEGIN { exit(0); }\n"
FAILED = "failed to compile script x.d: [D_PRAGMA_OPTSET]"


def options_of(text: str) -> Options:
    return apply_control_lines(Options(), Source(text, "x.d"))


def error_of(text: str) -> Diagnostic:
    with pytest.raises(CompileError) as caught:
        options_of(text)
    return caught.value.diagnostic


def rendered(text: str) -> list[str]:
    source = Source(text, "x.d")
    return render(error_of(text), source, with_tag=True).splitlines()


def test_a_pragma_sets_an_option_wherever_it_stands() -> None:
    text = f"#!/usr/bin/dtrap -s\n#pragma D option quiet\n{CLAUSE}  # pragma\tD option  strsize=8 \r\n"
    assert options_of(text) == Options(quiet=True, strsize=8)


def test_pragmas_apply_in_order_and_over_what_was_set_before() -> None:
    text = "#pragma D option strsize=8\n#pragma D option strsize=16\n#pragma D option quiet=no\n"
    before = Options(quiet=True, zdefs=True)
    assert apply_control_lines(before, Source(text)) == Options(strsize=16, zdefs=True)


def test_a_pragma_inside_a_comment_or_a_string_is_none() -> None:
    assert options_of('/*\n#pragma D option quiet\n*/ BEGIN { trace("\\\n#x"); }') == Options()


def test_the_value_is_what_stands_behind_the_first_equals_sign() -> None:
    [option] = pragma_options(Source("#pragma D option amin=a=b\n"))
    assert (option.name, option.value) == ("amin", "a=b")
    [option] = pragma_options(Source("#pragma D option quiet\n"))
    assert (option.name, option.value) == ("quiet", None)


def test_error_unknown_option_points_at_its_name() -> None:
    assert rendered(f"{CLAUSE}#pragma D option quite\n") == [
        f"{FAILED} line 2: failed to set option 'quite': Invalid option name",
        "    #pragma D option quite",
        "                     ^~~~~",
        "    hint: did you mean quiet?",
    ]


def test_error_wrong_value_is_named_with_its_option() -> None:
    assert rendered("#pragma D option strsize=1\n") == [
        f"{FAILED} line 1: failed to set option 'strsize' to '1': Invalid value for specified option",
        "    #pragma D option strsize=1",
        "                     ^~~~~~~~~",
        "    hint: strsize takes a number of bytes from 2 to 4294967295",
    ]


@pytest.mark.parametrize(
    "option", ["stdc=a", "ldpath=/bin/ld", "cpppath=/bin/cpp", "define=X", "incdir=/", "cpphdrs"]
)
def test_error_option_that_comes_too_late(option: str) -> None:
    message = error_of(f"#pragma D option {option}").message
    assert message.endswith(": Option cannot be used from within a D program")


def test_lines_are_those_that_line_controls_name() -> None:
    text = 'BEGIN\n{\n# 1 "other.h" 1\nx;\n# 4 "/dev/stdin" 2\n y;\n#line 9\n z; }\n#line x\n'
    source = Source(text, "script.d", line_marks(text))
    places = {word: Span(text.index(word), text.index(word) + 1) for word in "BxyZz" if word in text}
    found = {word: (source.file(span), source.line(span)) for word, span in places.items()}
    assert found == {"B": (None, 1), "x": ("other.h", 1), "y": (None, 4), "z": (None, 10)}


def test_error_option_that_is_not_built_is_refused() -> None:
    assert error_of("#pragma D option cpu=1").message == (
        "failed to set option 'cpu' to '1': not supported by this version of dtrap: tracing on one processor"
    )


@pytest.mark.parametrize(
    ("line", "tag", "message"),
    [
        ("#pragma D option", "D_PRAGMA_MALFORM", "malformed #pragma option <option>=<val>"),
        ('#pragma D option "quiet"', "D_PRAGMA_MALFORM", "malformed #pragma option <option>=<val>"),
        ("#pragma D option 12", "D_PRAGMA_MALFORM", "malformed #pragma option <option>=<val>"),
        (
            "#pragma D option strsize = 8",
            "D_PRAGMA_MALFORM",
            "superfluous arguments specified for #pragma option",
        ),
        ("#pragma D nosuch x", "D_PRAGMA_INVAL", "invalid D pragma: nosuch"),
        ("#nosuch", "D_PRAGCTL_INVAL", "invalid control directive: #nosuch"),
        ('#"x"', "D_PRAGCTL_INVAL", "invalid control directive"),
        ('#error no 12 "good at" all', "D_PRAGERR", "#error: no good at all "),
        ("#pragma error no", "D_PRAGERR", "#error: no "),
        ("#line", "D_PRAGMA_MALFORM", 'malformed #line <line> [ ["file"] state ]'),
        ("#line x.c", "D_PRAGMA_MALFORM", 'malformed #line <line> [ ["file"] state ]'),
        ('# 12 "x.c" a', "D_PRAGMA_MALFORM", 'malformed #line <line> [ ["file"] state ]'),
        (
            "#pragma D attributes Stable",
            "D_PRAGMA_MALFORM",
            "malformed #pragma attributes <attributes> <ident>",
        ),
        (
            "#pragma D attributes Stable/Nice/Common x",
            "D_PRAGMA_INVAL",
            "invalid attributes specified by #pragma attributes",
        ),
        ("#pragma D binding 1.0 x", "D_PRAGMA_MALFORM", 'malformed #pragma binding "version" <ident>'),
        (
            '#pragma D binding "one" x',
            "D_PRAGMA_INVAL",
            "invalid version string specified by #pragma binding",
        ),
        ("#pragma D depends_on provider", "D_PRAGMA_MALFORM", "malformed #pragma depends_on <class> <name>"),
        (
            "#pragma D depends_on planet x",
            "D_PRAGMA_INVAL",
            "invalid class planet specified by #pragma depends_on",
        ),
        ("#pragma D depends_on provider io", "D_PRAGMA_DEPEND", "program requires provider io"),
        ("#pragma D depends_on module vmlinux", "D_PRAGMA_DEPEND", "program requires module vmlinux"),
        (
            "#pragma D depends_on library x.d",
            "D_PRAGMA_DEPEND",
            "main program may not explicitly depend on a library",
        ),
        ('#error "open', "D_SYNTAX", 'syntax error near """'),
    ],
)
def test_error_in_a_control_line(line: str, tag: str, message: str) -> None:
    diagnostic = error_of(f"{line}\n{CLAUSE}")
    assert (diagnostic.tag, diagnostic.message) == (tag, message)
    assert 0 <= diagnostic.span.start < diagnostic.span.end <= len(line)


def test_error_hints_at_the_preprocessor() -> None:
    assert error_of("#include <sys/types.h>").hint == "-C runs the C preprocessor first"
    assert error_of("#pragma D option strsize = 8").hint == "write name=value without blanks"


@pytest.mark.parametrize(
    "line",
    [
        "#",
        "#!/usr/bin/dtrap -qs",
        '  #! anything " at all',
        '#ident "@(#)x.d 1.1"',
        "#pragma ident x",
        "#pragma once",
        "#pragma option quiet",
        "#pragma D",
        "#line 12",
        '# 12 "x.c"',
        '#line 12 "x.c" 1 3',
        "#pragma D attributes Evolving/Private/ISA f",
        '#pragma D binding "1.6.3" f',
        "#pragma D depends_on provider pid",
    ],
)
def test_passed_over(line: str) -> None:
    assert options_of(f"{line}\n{CLAUSE}") == Options()


WORDS = [
    "#",
    "#!",
    "pragma",
    "D",
    "option",
    "quiet",
    "strsize=",
    "=8",
    '"',
    "line",
    "error",
    "12",
    "\\",
    "/*",
    "\n",
]


@given(st.lists(st.sampled_from([*WORDS, " ", "\t"]) | st.text(max_size=3), max_size=20).map("".join))
def test_any_text_gives_options_or_a_diagnostic_inside_it(text: str) -> None:
    span = Span(0, 1)
    try:
        options_of(text)
    except CompileError as error:
        span = error.diagnostic.span
    assert 0 <= span.start < span.end <= max(1, len(text))
