"""Rows, headings, keys, flow indentation, and text that comes from the target.

ASSERTION: every column is DTrace's, and nothing that a traced process wrote can drive the terminal.
SECTION: d-language.md §9 and §12.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlang.aggregation_store import AggregationStore, DeleteKeys, Entry, ResetCells, SortOptions, Value
from dlang.aggregation_text import entry_text, key_text
from dlang.aggregations import INT64_MIN, WORD, AggregatingFunction, Aggregation, Cell, identity
from dlang.buckets import QUANTIZE_BUCKETS
from dlang.distribution import distribution_text
from dlang.escape import c_escaped, padded, printable, until_zero
from dlang.items import Clear, Exit, Item, Printa, Printf, ProbeName, Row, Trace, Truncate
from dlang.output import OutputOptions, Printer, listing, trace_text
from dlang.printf_format import Format, parse_format
from dlang.printf_render import TypedValue
from dlang.types import (
    BOOL,
    CHAR,
    INT,
    LONG,
    SHORT,
    STRING,
    UNSIGNED_CHAR,
    UNSIGNED_INT,
    UNSIGNED_LONG,
    UNSIGNED_SHORT,
    VOID_POINTER,
    Type,
)
from tests.output.cells import applied

QUANTIZE = Aggregation("q", AggregatingFunction.QUANTIZE)
MAIN = ProbeName("pid1", "a.out", "main", "entry")


def printer(options: OutputOptions, *aggregations: Aggregation) -> tuple[Printer, AggregationStore]:
    store = AggregationStore(aggregations)
    return Printer(options, store), store


def row(probe: ProbeName, *items: Item, clause: int = 0, tid: int = 1, probe_id: int = 7) -> Row:
    return Row(1, probe_id, probe, clause, tid, items)


def text(words: str) -> Printf:
    parsed = parse_format(words)
    assert isinstance(parsed, Format)
    return Printf(parsed, ())


@pytest.mark.parametrize(
    ("type_", "value", "column", "bare"),
    [
        (LONG, -1, f" {-1:19d}", "-1"),
        (INT, -1, f" {-1:10d}", "-1"),
        (SHORT, -1, f" {-1:5d}", "-1"),
        (CHAR, -1, f" {-1:3d}", "-1"),
        (UNSIGNED_LONG, WORD - 1, f" {WORD - 1:20d}", str(WORD - 1)),
        (UNSIGNED_INT, -1, f" {(1 << 32) - 1:10d}", str((1 << 32) - 1)),
        (UNSIGNED_SHORT, 65535, " 65535", "65535"),
        (BOOL, 1, "   1", "1"),
        (VOID_POINTER, 4096, f" {4096:20d}", "4096"),
        (STRING, b"two", f"  {'two':33}", "two"),
    ],
)
def test_trace_uses_a_column_as_wide_as_the_type(
    type_: Type, value: int | bytes, column: str, bare: str
) -> None:
    assert trace_text(TypedValue(type_, value), quiet=False) == column
    assert trace_text(TypedValue(type_, value), quiet=True) == bare


@pytest.mark.parametrize(
    ("type_", "key", "expected"),
    [
        (LONG, -1, f" {-1:16d}"),
        (UNSIGNED_LONG, WORD - 1, f" {-1:16d}"),
        (VOID_POINTER, 255, f" {255:16d}"),
        (INT, -4, f" {-4:8d}"),
        (SHORT, -1, " 65535"),
        (UNSIGNED_CHAR, 255, " 255"),
        (CHAR, -1, " 255"),
        (STRING, b"k\0rest", f"  {'k':50}"),
    ],
)
def test_keys_use_a_column_as_wide_as_their_size(type_: Type, key: int | bytes, expected: str) -> None:
    assert key_text(type_, key) == expected


def test_the_heading_comes_once_and_test_mode_leaves_columns_out() -> None:
    loud, _ = printer(OutputOptions())
    assert loud.consume(row(MAIN)).text == (
        "CPU     ID                    FUNCTION:NAME\n  1      7                       main:entry \n"
    )
    assert "FUNCTION" not in loud.consume(row(MAIN)).text
    testing, _ = printer(OutputOptions(testing=True))
    assert testing.consume(row(MAIN, text("x\n"))).text == (
        "                   FUNCTION:NAME\n                      main:entry x\n\n"
    )
    assert (loud.interrupted(), testing.interrupted()) == ("\n", "")
    assert loud.finish() == loud.finish_at_once() == "\n"


def test_a_row_hands_on_the_status_and_what_the_engine_has_to_do() -> None:
    least = Aggregation("m", AggregatingFunction.MIN)
    total = Aggregation("s", AggregatingFunction.SUM)
    quiet, store = printer(OutputOptions(quiet=True), least, total)
    store.update(total, {(): (1, 5)})
    stop = row(MAIN, Exit(4), text("still\n"), Clear(least), Truncate(total, 0))
    assert stop.touches_aggregations
    assert not row(MAIN, Exit(4), Trace(TypedValue(INT, 1))).touches_aggregations
    consumed = quiet.consume(stop)
    assert consumed.text == "still\n"
    assert consumed.exit_status == 4
    assert consumed.requests == (ResetCells(least), DeleteKeys(total, ((),)))


def flow_names(printer_: Printer, *rows: Row) -> list[str]:
    lines = "".join(printer_.consume(each).text for each in rows).splitlines()
    assert lines[0] == "CPU FUNCTION" + " " * 33
    assert all(line.startswith("  1 ") for line in lines[1:])
    return [line[4:].rstrip() for line in lines[1:]]


def probe(function: str, name: str) -> tuple[ProbeName, int]:
    return ProbeName("pid1", "a", function, name), int.from_bytes(f"{function}:{name}".encode())


def test_flow_indents_calls_of_each_thread_by_themselves() -> None:
    flow, _ = printer(OutputOptions(flowindent=True))
    story = [
        (1, "main", "entry", " -> main"),
        (1, "add", "entry", "   -> add"),
        (2, "main", "entry", " -> main"),
        (1, "add", "4", "    | add:4"),
        (1, "add", "return", "   <- add"),
        (2, "main", "return", " <- main"),
        (1, "main", "return", " <- main"),
        (1, "start", "return", " <- start"),
        (1, "", "tick-1s", "| :tick-1s"),
        (1, "main", "entry", " -> main"),
        (1, "add", "entry", "   -> add"),
    ]
    rows = []
    for tid, function, name, _shown in story:
        description, probe_id = probe(function, name)
        rows.append(row(description, tid=tid, probe_id=probe_id))
    assert flow_names(flow, *rows) == [shown for *_, shown in story]


def test_flow_shows_a_second_clause_of_one_firing_without_indenting_again() -> None:
    flow, _ = printer(OutputOptions(flowindent=True))
    entry, entry_id = probe("f", "function-entry")
    leave, leave_id = probe("f", "return")
    rows = [row(entry, clause=clause, probe_id=entry_id) for clause in (0, 1, 0, 1)]
    rows += [row(leave, clause=clause, probe_id=leave_id) for clause in (2, 3, 2)]
    assert flow_names(flow, *rows) == [
        " -> f", "  | f:function-entry", "   -> f", "    | f:function-entry",
        "   <- f", "  | f:return", " <- f",
    ]  # fmt: skip


def test_flow_rows_appear_even_when_quiet() -> None:
    flow, _ = printer(OutputOptions(flowindent=True, quiet=True))
    name = f"{' -> main':<41} "
    assert flow.consume(row(MAIN, text("x\n"))).text == f"CPU {'FUNCTION':<41}\n  1 {name}x\n"
    testing, _ = printer(OutputOptions(flowindent=True, testing=True))
    assert testing.consume(row(MAIN)).text == f"{'FUNCTION':<41}\n{name}\n"


def test_printa_of_a_joined_distribution_that_lacks_a_key_shows_three_rows_of_zero() -> None:
    counted = Aggregation("c", AggregatingFunction.COUNT)
    quiet, store = printer(OutputOptions(quiet=True, sort=SortOptions()), counted, QUANTIZE)
    store.update(counted, {(): (3,)})
    shown = quiet.consume(row(MAIN, Printa(None, (counted, QUANTIZE)))).text
    assert shown.startswith(f"\n {3:16d}\n           value  ")
    assert [line.split()[0] for line in shown.splitlines()[3:6]] == ["-1", "0", "1"]
    assert quiet.finish() == "\n"


def quantized(**counts: int) -> Cell:
    cell = [1] + [0] * QUANTIZE_BUCKETS
    for bucket, count in counts.items():
        cell[1 + int(bucket[1:])] = count % WORD
    return tuple(cell)


@pytest.mark.parametrize(("bucket", "shown"), [(0, 2), (126, 2), (63, 3)])
def test_rows_stop_at_the_ends_of_the_scale(bucket: int, shown: int) -> None:
    lines = distribution_text(QUANTIZE, quantized(**{f"b{bucket}": 1}), 1).splitlines()
    assert len(lines) == 2 + shown
    assert sum("@" * 40 in line for line in lines) == 1


@given(st.dictionaries(st.integers(0, 126), st.integers(INT64_MIN, -INT64_MIN - 1), max_size=6))
def test_every_row_of_a_distribution_has_one_bar_of_41_columns(counts: dict[int, int]) -> None:
    cell = quantized(**{f"b{bucket}": count for bucket, count in counts.items()})
    rows = distribution_text(QUANTIZE, cell, 1).splitlines()[2:]
    for line in rows:
        label, number = line.split()[0], line.split()[-1]
        bar = line.removesuffix(line[line.rindex(number) :])[max(16, len(label)) :]
        assert len(bar) == len(" ") + 41 + len(" ")
        assert bar.count("|") == 1
        assert bar.count("@") <= 40
    assert [int(line.split()[-1]) for line in rows if line.split()[-1] != "0"] == [
        count for _, count in sorted(counts.items()) if count
    ]


def labels(aggregation: Aggregation, *values: int) -> list[str]:
    cell = identity(aggregation)
    for value in values:
        cell = applied(aggregation, cell, value)
    rows = distribution_text(aggregation, cell, 1).splitlines()[2:]
    return [line[:16].strip() for line in rows]


def test_empty_distributions_show_three_rows() -> None:
    assert labels(QUANTIZE) == ["-1", "0", "1"]
    assert labels(Aggregation("l", AggregatingFunction.LQUANTIZE, (0, 50, 10))) == ["< 0", "0", "10"]
    assert labels(Aggregation("l", AggregatingFunction.LLQUANTIZE, (10, 1, 2, 10))) == ["< 10", "10", "20"]
    assert labels(Aggregation("l", AggregatingFunction.LLQUANTIZE, (10, 0, 2, 10))) == ["0", "1", "2"]


def test_the_middle_bucket_of_llquantize_is_named_after_what_is_shown() -> None:
    wide = Aggregation("l", AggregatingFunction.LLQUANTIZE, (10, 1, 2, 10))
    assert labels(wide, 10) == ["< 10", "10", "20"]
    assert labels(wide, 9) == ["-10", "abs() < 10", "10"]
    assert labels(wide, -10) == ["-20", "-10", "abs() < 10"]
    assert labels(wide, 1000, -1000)[:: len(labels(wide, 1000, -1000)) - 1] == ["<= -1000", ">= 1000"]


def test_bars_round_half_up_and_come_from_counts_before_normalization() -> None:
    cell = quantized(b64=1, b65=79)
    lines = distribution_text(QUANTIZE, cell, 10).splitlines()
    assert lines[3].endswith("|@" + " " * 39 + " 0        ")
    assert lines[4].endswith("|" + "@" * 40 + " 7        ")


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"plain", "plain"),
        (b"tab\tnew\nline", "tab\tnew\nline"),
        (b"\x1b]0;title\x07", "\\x1b]0;title\\a"),
        (b"\r\x08\x7f", "\\r\\b\\x7f"),
        ("naïve ☃".encode(), "naïve ☃"),
        (b"\xff\xc3(", "\\xff\\xc3("),
        ("\x9b31m".encode(), "\\u009b31m"),
    ],
)
def test_text_of_the_target_is_escaped(data: bytes, shown: str) -> None:
    assert printable(data) == shown


@given(st.binary(max_size=40))
def test_no_text_of_the_target_can_drive_a_terminal(data: bytes) -> None:
    for shown in (printable(data), printable(c_escaped(data).encode())):
        assert not any((ord(c) < 32 and c not in "\n\t") or 0x7F <= ord(c) < 0xA0 for c in shown)
    assert c_escaped(data).isascii()


def test_names_of_functions_are_escaped_too() -> None:
    evil = ProbeName("pid1", "lib\x1b[2J", "f\x1b[31m", "entry")
    loud, _ = printer(OutputOptions())
    flow, _ = printer(OutputOptions(flowindent=True))
    shown = [loud.consume(row(evil)).text, flow.consume(row(evil)).text, listing([(1, evil)])]
    shown.append(entry_text(Entry((b"\x1bc",), (Value(COUNT_BY_NAME, (1,), 1),))))
    assert not any("\x1b" in each for each in shown)


COUNT_BY_NAME = Aggregation("c", AggregatingFunction.COUNT, (), (STRING,))


def test_columns_count_bytes_and_strings_end_at_zero() -> None:
    assert padded("é", 4) == "é  "
    assert padded("long", 2) == "long"
    assert until_zero(b"a\0b") == b"a"


def test_an_extreme_cleared_prints_its_limit_in_the_default_form() -> None:
    least = Aggregation("m", AggregatingFunction.MIN)
    most = Aggregation("x", AggregatingFunction.MAX)
    assert entry_text(Entry((), (Value(least, identity(least), 1),))) == " 9223372036854775807\n"
    assert entry_text(Entry((), (Value(most, identity(most), 1),))) == " -9223372036854775808\n"
