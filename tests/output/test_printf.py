"""printf's formats: what is refused and with which words, and what is printed.

ASSERTION: D_PRINTF_* and format errors use DTrace's words; integers and strings print as the C library's
printf prints them. SECTION: d-language.md §10.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dlang.aggregation_store import Entry, Value
from dlang.aggregations import AggregatingFunction, Aggregation, identity
from dlang.printf_format import Format, Problem, check_arguments, check_joined, parse_format
from dlang.printf_render import TypedValue, render, render_entry
from dlang.symbol_text import AddressNames, Location
from dlang.types import CHAR, INT, LONG, SHORT, STRING, TYPEDEFS, UNSIGNED_INT, VOID_POINTER, Type

REFERENCE = Path(__file__).parents[1] / "reference"
COUNT = Aggregation("c", AggregatingFunction.COUNT)
SUM = Aggregation("s", AggregatingFunction.SUM)
UINT64, INT64 = TYPEDEFS["uint64_t"], TYPEDEFS["int64_t"]


def parsed(text: str) -> Format:
    result = parse_format(text)
    assert isinstance(result, Format), result
    return result


def problem(
    text: str, types: Sequence[Type] = (), function: str = "printf", aggregations: Sequence[Aggregation] = ()
) -> Problem | None:
    result = parse_format(text, function)
    return result if isinstance(result, Problem) else check_arguments(result, function, types, aggregations)


def printed(text: str, *values: tuple[Type, int | bytes]) -> str:
    assert problem(text, [type_ for type_, _ in values]) is None
    return render(parsed(text), [TypedValue(type_, value) for type_, value in values])


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("%q", "format conversion #1 is undefined: %q"),
        ("%hhd", "format conversion #1 is undefined: %hhd"),
        ("%%%5y", "format conversion #2 is undefined: %y"),
        ("%1$d", "format conversion #1 uses unsupported positional format (%n$)"),
        ("%d %", "format conversion #2 name expected before end of format string"),
        ("%5.2", "format conversion #1 name expected before end of format string"),
        ("%..2d", "format conversion #1 has more than one '.' specified"),
        ("%**d", "format conversion #1 has more than one '*' specified for the output width"),
        ("%.**d", "format conversion #1 has more than one '*' specified for the output precision"),
        ("%-%", "format conversion #1 cannot be combined with other format flags: %%"),
        ("%hhhhhhhhd", "format conversion #1 is undefined: %hhhhhhd"),
        ("%\0", "format conversion #1 is undefined: %\0"),
    ],
)
def test_error_malformed_format(text: str, message: str) -> None:
    assert problem(text, [INT]) == Problem("D_SYNTAX", message)


def test_error_empty_format() -> None:
    assert parse_format("", "printa") == Problem("D_PRINTF_FMT_EMPTY", "printa( ) format string is empty")


@pytest.mark.parametrize(
    ("text", "types", "tag", "message", "argument"),
    [
        ("%d %d\n", [INT], "D_PRINTF_ARG_PROTO",
         "printf( ) prototype mismatch: conversion #2 (%d) is missing a corresponding value argument", None),
        ("%%", [INT], "D_PRINTF_ARG_EXTRA",
         "printf( ) prototype mismatch: only 0 arguments required by this format string", 0),
        ("%d", [INT, INT, INT], "D_PRINTF_ARG_EXTRA",
         "printf( ) prototype mismatch: only 1 arguments required by this format string", 1),
        ("%*d", [], "D_PRINTF_DYN_PROTO",
         'printf( ) prototype mismatch: conversion #1 (%d) is missing a corresponding "*" argument', None),
        ("%*.*d", [INT], "D_PRINTF_DYN_PROTO",
         'printf( ) prototype mismatch: conversion #1 (%d) is missing a corresponding ".*" argument', None),
        ("%.*s", [STRING, STRING], "D_PRINTF_DYN_TYPE",
         ("printf( ) argument #2 is incompatible with conversion #1 prototype:\n\tconversion: % .* s\n"
         "\t prototype: int\n\t  argument: string"), 0),
        ("%@d", [INT], "D_PRINTF_AGG_CONV",
         "%@ conversion requires an aggregation and is not for use with printf( )", None),
        ("%s %d", [STRING, STRING], "D_PRINTF_ARG_TYPE",
         ("printf( ) argument #3 is incompatible with conversion #2 prototype:\n\tconversion: %d\n"
         "\t prototype: char, short, int, long, or long long\n\t  argument: string"), 1),
        ("%s", [INT], "D_PRINTF_ARG_TYPE",
         ("printf( ) argument #2 is incompatible with conversion #1 prototype:\n\tconversion: %s\n"
         "\t prototype: char [] or string (or use stringof)\n\t  argument: int"), 0),
        ("%Y", [INT], "D_PRINTF_ARG_TYPE",
         ("printf( ) argument #2 is incompatible with conversion #1 prototype:\n\tconversion: %Y\n"
         "\t prototype: int64_t\n\t  argument: int"), 0),
        ("%f", [LONG], "D_PRINTF_ARG_TYPE",
         ("printf( ) argument #2 is incompatible with conversion #1 prototype:\n\tconversion: %f\n"
         "\t prototype: float, double, or long double\n\t  argument: long"), 0),
    ],
)  # fmt: skip
def test_error_arguments(text: str, types: list[Type], tag: str, message: str, argument: int | None) -> None:
    assert problem(text, types) == Problem(tag, message, argument)


@pytest.mark.parametrize("name", ["bad-printf-args", "bad-printf-conv", "bad-printf-size-hh"])
def test_error_is_the_one_the_reference_printed(name: str) -> None:
    text, types = {
        "bad-printf-args": ("%d %d\n", [INT]),
        "bad-printf-conv": ("%q\n", [INT]),
        "bad-printf-size-hh": ("%hhd\n", [CHAR]),
    }[name]
    found = problem(text, types)
    assert found is not None
    expected = (REFERENCE / f"{name}.err").read_text()
    assert expected == f"dtrace: failed to compile script {name}.d: line 1: {found.message}\n"


def test_error_aggregation_conversions() -> None:
    found = problem("%s %@s", [STRING], "printa", [SUM])
    assert found == Problem(
        "D_PRINTF_ARG_TYPE",
        "printa( ) aggregating action is incompatible with conversion #2 prototype:\n\tconversion: %s\n"
        "\t prototype: char [] or string (or use stringof)\n\t  argument: int64_t",
    )
    count = problem("%@c", [], "printa", [COUNT])
    assert count is not None
    assert count.message.endswith("argument: uint64_t")
    missing = problem("%s", [], "printa", [COUNT])
    assert missing is not None
    assert missing.tag == "D_PRINTF_ARG_PROTO"
    assert problem("total", [STRING, INT], "printa", [COUNT]) is None


def test_error_joined_aggregations_with_different_keys() -> None:
    one = Aggregation("a", AggregatingFunction.COUNT, (), (STRING,))
    two = Aggregation("b", AggregatingFunction.COUNT, (), (STRING, INT))
    other = Aggregation("o", AggregatingFunction.COUNT, (), (LONG,))
    assert check_joined([one, two]) == Problem(
        "D_PRINTA_AGGKEY",
        "printa( ): @a and @b do not have matching key signatures: @a has 1 key, @b has 2 keys",
    )
    assert check_joined([one, other]) == Problem(
        "D_PRINTA_AGGPROTO",
        "printa( ): @o[ ] key #1 is incompatible with @a:\n        a key #1: string\n        o key #1: long",
    )
    assert check_joined([one, one]) is None


def test_sizes_are_checked_with_their_signs() -> None:
    assert problem("%hd %ld %lld %lx", [SHORT, LONG, INT64, UINT64]) is None
    for text, type_, prototype in (
        ("%hd", INT, "short"),
        ("%ld", INT, "long"),
        ("%lld", UINT64, "long long"),
        ("%lu", LONG, "unsigned long"),
        ("%hx", INT, "short"),
    ):
        found = problem(text, [type_])
        assert found is not None
        assert f"\t prototype: {prototype}\n" in found.message


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("%d", (UNSIGNED_INT, 0xFFFFFFFF), "4294967295"),
        ("%d", (UINT64, (1 << 64) - 1), "18446744073709551615"),
        ("%x", (INT, -1), "ffffffff"),
        ("%x", (CHAR, -1), "ff"),
        ("%u", (SHORT, -1), "65535"),
        ("%o", (LONG, -(1 << 63)), "1000000000000000000000"),
        ("%d", (LONG, -(1 << 63)), "-9223372036854775808"),
        ("%c", (CHAR, ord("A")), "A"),
        ("%c", (INT, 0x1B), "\\x1b"),
        ("%C", (CHAR, ord("\n")), "\\n"),
        ("%S", (STRING, b'a"b\\\t\x01 \xff'), 'a\\"b\\\\\\t\\001 \\377\\0'),
        ("%?x|", (INT, 255), "              ff|"),
        ("%p", (VOID_POINTER, 0x7F00), "7f00"),
        ("%a", (LONG, 0x7F00), "0x7f00"),
        ("%.0s", (STRING, b"all"), "all"),
        ("%s", (STRING, b"up to\0zero"), "up to"),
        ("%-0+5d|", (INT, 4), "+0004|"),
        ("%0-5d|", (INT, 4), "4    |"),
        ("%-05s|", (STRING, b"ab"), "   ab|"),
        ("%0-5s|", (STRING, b"ab"), "ab   |"),
        ("%5%d", (INT, 4), None),
        ("100%% %d", (INT, 4), "100% 4"),
        ("%ld", (LONG, 3), "3"),
        ("%l5d", (LONG, 3), "    3"),
    ],
)
def test_prints(text: str, value: tuple[Type, int | bytes], expected: str | None) -> None:
    if expected is None:
        assert problem(text, [value[0]]) is not None
    else:
        assert printed(text, value) == expected


def test_user_addresses_print_as_the_resolver_knows_them() -> None:
    class Resolver:
        def __init__(self, function: str) -> None:
            self.function = function

        def locate(self, address: int, *, returned: bool = False) -> Location | None:
            return None if returned else Location("a.out", address, self.function, address, 0)

    values = [TypedValue(LONG, 0x1234)]
    assert render(parsed("[%-12A]"), values, AddressNames(Resolver("f"))) == "[a.out`f+0x1234]"
    assert render(parsed("%.9A"), values, AddressNames(Resolver("\udcff\x1b"))) == "a.out`\\xf"
    assert render(parsed("%A"), values) == "0x1234"


@pytest.mark.usefixtures("utc")
def test_times_are_local() -> None:
    moment = (INT64, 123787200_000000000 + 999999999)
    assert printed("%Y", moment) == "1973 Dec  3 17:20:00"
    assert printed("%T", moment) == "Mon, 03 Dec 1973 17:20:00 UTC"
    assert printed("[%-22Y]", (INT64, 0)) == "[1970 Jan  1 00:00:00  ]"
    for extreme in ((1 << 63) - 1, -(1 << 63)):
        assert printed("%Y", (INT64, extreme))[:4] in ("2262", "1677")


def test_star_fields_may_be_negative_and_are_bounded() -> None:
    assert printed("[%*d]", (INT, -4), (INT, 7)) == "[7   ]"
    assert printed("[%.*s]", (INT, -1), (STRING, b"whole")) == "[whole]"
    assert len(printed("%*d", (INT, 2_000_000_000), (INT, 1))) == 1 << 20
    assert len(printed("%99999999999999d", (INT, 1))) == 1 << 20


def snprintf(text: bytes, value: object) -> str:
    buffer = ctypes.create_string_buffer(4096)
    ctypes.CDLL(None).snprintf(buffer, 4096, text, value)
    return buffer.value.decode()


FLAGS = st.sets(st.sampled_from("-0+ #'")).filter(lambda flags: not flags >= {"-", "0"}).map("".join)
FIELD = st.integers(1, 60).map(str) | st.just("")


@given(
    FLAGS,
    FIELD,
    FIELD.map(lambda digits: digits and "." + digits),
    st.sampled_from("diouxX"),
    st.sampled_from([INT, LONG]),
    st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(-10, 10),
)
@example("#", "", ".5", "o", INT, 8)
@example("0 ", "8", "", "d", INT, 7)
@example("0", "8", ".3", "d", INT, 7)
def test_integers_print_as_the_c_library_prints_them(
    flags: str, width: str, precision: str, letter: str, type_: Type, value: int
) -> None:
    size = "l" if type_ is LONG else ""
    number = ctypes.c_long(value) if type_ is LONG else ctypes.c_int(value & 0xFFFFFFFF)
    expected = snprintf(f"%{flags}{width}{precision}{size}{letter}".encode(), number)
    assert printed(f"%{flags}{width}{precision}{letter}", (type_, value)) == expected


@given(FLAGS, FIELD, FIELD.map(lambda digits: digits and "." + digits), st.text("abc é", max_size=30))
def test_strings_print_in_columns_of_bytes_as_in_c(flags: str, width: str, precision: str, text: str) -> None:
    ascii_text = text.replace("é", "e") if precision else text
    conversion = f"%{flags.replace('0', '')}{width}{precision}s"
    assert printed(conversion, (STRING, ascii_text.encode())) == snprintf(
        conversion.encode(), ascii_text.encode()
    )


@given(
    st.text(max_size=20) | st.text("%d*.-0lh@s5$ ", max_size=12),
    st.lists(st.sampled_from([INT, LONG, STRING])),
)
def test_any_text_is_a_problem_or_prints(text: str, types: list[Type]) -> None:
    result = parse_format(text)
    if isinstance(result, Format) and check_arguments(result, "printf", types) is None:
        values = [TypedValue(type_, b"x" if type_ is STRING else 7) for type_ in types]
        assert isinstance(render(result, values), str)


def test_values_of_printa_repeat_the_last_aggregation() -> None:
    values = tuple(Value(Aggregation("a", AggregatingFunction.SUM), (1, n), 1) for n in (5, 6))
    assert render_entry(parsed("%@d %@d %@d"), Entry((), values)) == "5 6 6"


def test_normalized_values_divide_by_the_sign_of_the_conversion() -> None:
    value = Value(SUM, (1, -999 % (1 << 64)), 1000)
    assert render_entry(parsed("%@d %@u"), Entry((), (value,))) == "0 18446744073709550"
    average = Value(Aggregation("a", AggregatingFunction.AVG), (2, -10 % (1 << 64)), 1)
    assert render_entry(parsed("%@d|%@4x"), Entry((), (average,))) == "-5|fffffffffffffffb"
    most = Value(COUNT, ((1 << 64) - 1,), 1)
    assert render_entry(parsed("%@d"), Entry((), (most,))) == "18446744073709551615"


def test_extremes_that_were_never_applied_print_their_limits() -> None:
    least = Aggregation("a", AggregatingFunction.MIN)
    assert (
        render_entry(parsed("%@d"), Entry((), (Value(least, identity(least), 1),))) == "9223372036854775807"
    )
