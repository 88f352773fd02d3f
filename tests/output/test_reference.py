"""What the real dtrace printed for a program, from data as the engines would deliver it, byte for byte.

ASSERTION: each program of tests/reference that is about results prints the same here. SECTION: §9 to §12.
The data is written out by hand, so that nothing but the printing is under test.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from dlang.aggregation_store import AggregationStore, DeleteKeys, EngineRequest, ResetCells, SortOptions
from dlang.aggregations import identity
from dlang.items import (
    Clear,
    Denormalize,
    Exit,
    Item,
    Normalize,
    Printa,
    Printf,
    ProbeName,
    Row,
    Trace,
    Truncate,
)
from dlang.output import OutputOptions, Printer, listing
from dlang.printf_format import Format, check_arguments, parse_format
from dlang.printf_render import TypedValue
from dlang.types import INT, LONG, STRING, TYPEDEFS, VOID_POINTER, Type
from tests.output.cells import Applications

REFERENCE = Path(__file__).parents[1] / "reference"
BEGIN = ProbeName("dtrace", "", "", "BEGIN")
END = ProbeName("dtrace", "", "", "END")
QUIET = OutputOptions(quiet=True)


def format_of(text: str) -> Format:
    parsed = parse_format(text)
    assert isinstance(parsed, Format), parsed
    return parsed


def typed(value: int | str, type_: Type | None = None) -> TypedValue:
    if isinstance(value, str):
        return TypedValue(STRING, value.encode())
    return TypedValue(type_ or (INT if -(1 << 31) <= value < 1 << 31 else LONG), value)


def printf(text: str, *values: int | str | TypedValue) -> Printf:
    given = tuple(value if isinstance(value, TypedValue) else typed(value) for value in values)
    parsed = format_of(text)
    assert check_arguments(parsed, "printf", [value.type for value in given]) is None
    return Printf(parsed, given)


class Run:
    """One run: rows in order, aggregations read afresh before each row, requests carried out at once."""

    def __init__(self, options: OutputOptions = QUIET) -> None:
        self.engine = Applications()
        self.options = options
        self.text: list[str] = []
        self._printer: Printer | None = None
        self._store: AggregationStore | None = None
        self._clause = 0

    def printa(self, text: str | None, *names: str) -> Printa:
        aggregations = tuple(self.engine.aggregations[name] for name in names)
        if text is None:
            return Printa(None, aggregations)
        parsed = format_of(text)
        assert check_arguments(parsed, "printa", aggregations[0].key_types, aggregations) is None
        return Printa(parsed, aggregations)

    def row(self, *items: Item, probe: ProbeName = BEGIN, probe_id: int = 1) -> None:
        store, printer = self._started()
        for name, cells in self.engine.cells.items():
            store.update(self.engine.aggregations[name], dict(cells))
        self._clause += 1
        consumed = printer.consume(Row(0, probe_id, probe, self._clause, 1, items))
        self.text.append(consumed.text)
        for request in consumed.requests:
            self.carry_out(request)

    def carry_out(self, request: EngineRequest) -> None:
        cells = self.engine.cells[request.aggregation.name]
        match request:
            case ResetCells(aggregation=aggregation):
                cells.update(dict.fromkeys(cells, identity(aggregation)))
            case DeleteKeys(keys=keys):
                for key in keys:
                    del cells[key]

    def finish(self) -> str:
        store, printer = self._started()
        for name, cells in self.engine.cells.items():
            store.update(self.engine.aggregations[name], dict(cells))
        self.text.append(printer.finish())
        return "".join(self.text)

    def _started(self) -> tuple[AggregationStore, Printer]:
        if self._store is None or self._printer is None:
            self._store = AggregationStore(tuple(self.engine.aggregations.values()))
            self._printer = Printer(self.options, self._store)
        return self._store, self._printer


def agg_count(run: Run) -> None:
    apply = run.engine.apply
    for name, key in (("_", ()), ("_", ()), ("named", ()), ("byint", (1,)), ("byint", (2,)), ("byint", (2,))):
        apply(name, "count", key=key)


def agg_count_noquiet(run: Run) -> None:
    apply = run.engine.apply
    apply("_", "count")
    for key in (7, 9, 9):
        apply("named", "count", key=(key,))
    run.row(Exit(0))


def agg_end_clause(run: Run) -> None:
    run.engine.apply("_", "count", key=("k",))
    run.row(Exit(0))
    run.row(printf("end\n"), run.printa("in end %s %@d\n", "_"), probe=END, probe_id=2)


def agg_keys_long_strings(run: Run) -> None:
    for key in (
        "short",
        "a key of just about fifty characters, to be exact!!",
        "a key that is a good deal longer than the fifty columns that a key is given",
        "",
    ):
        run.engine.apply("_", "count", key=(key,))


def distribution(function: str, values: Sequence[int], *parameters: int) -> Callable[[Run], None]:
    def build(run: Run) -> None:
        for value in values:
            run.engine.apply("_", function, value, parameters=parameters)

    return build


def agg_lquantize_under_only(run: Run) -> None:
    run.engine.apply("u", "lquantize", -1, parameters=(0, 10, 2))
    run.engine.apply("o", "lquantize", 11, parameters=(0, 10, 2))


def agg_min_max(run: Run) -> None:
    table = {
        "mixed": (5, -3, 8),
        "negative only": (-5, -50),
        "zero": (0,),
        "max": ((1 << 63) - 1,),
        "min": (-(1 << 63),),
    }
    for key, values in table.items():
        for value in values:
            run.engine.apply("lo", "min", value, key=(key,))
            run.engine.apply("hi", "max", value, key=(key,))
    run.row(run.printa("min %-15s %@d\n", "lo"), run.printa("max %-15s %@d\n", "hi"), Exit(0))


def agg_min_max_default(run: Run) -> None:
    for name, function in (("lo", "min"), ("hi", "max")):
        for key, value in (("a", 5), ("b", -3), ("c", 0)):
            run.engine.apply(name, function, value, key=(key,))


def agg_no_data(run: Run) -> None:
    run.engine.declare("_", "count")
    run.engine.declare("q", "quantize")
    run.engine.declare("k", "sum", (b"x",))
    run.row(Exit(0))


def agg_no_data_printa(run: Run) -> None:
    run.engine.declare("_", "count")
    run.engine.declare("k", "sum", (b"x",))
    run.row(run.printa(None, "_"), run.printa("value %@d\n", "k"), printf("after\n"), Exit(0))


def agg_printing_order(run: Run) -> None:
    apply = run.engine.apply
    apply("zeta", "count")
    apply("alpha", "count", key=(1,))
    apply("mid", "sum", 3, key=("k",))
    never = apply("never", "count", key=(1,))
    gone = apply("gone", "count", key=(1,))
    run.row(Clear(never), Truncate(gone, 0), Exit(0))


def weighted(*triples: tuple[str, int, int]) -> Callable[[Run], None]:
    def build(run: Run) -> None:
        for name, value, increment in triples:
            run.engine.apply(name, "quantize", value, increment=increment)

    return build


def agg_quantize_one(run: Run) -> None:
    for key, value in (("only zero", 0), ("only one", 1), ("only minus one", -1), ("only 1024", 1024)):
        run.engine.apply("_", "quantize", value, key=(key,))


def sums(*pairs: tuple[str, int]) -> Callable[[Run], None]:
    def build(run: Run) -> None:
        for key, value in pairs:
            run.engine.apply("_", "sum", value, key=(key,))

    return build


def two_keys(run: Run) -> None:
    for key, value in {
        ("ten", 5): 10,
        ("ant", 9): -1,
        ("bee", 7): 2,
        ("bee", 2): 200,
        ("Zoo", 1): 1,
    }.items():
        run.engine.apply("_", "sum", value, key=key)


def agg_sort_int_ties(run: Run) -> None:
    for key in (30, -4, 7, 0, 200):
        run.engine.apply("_", "count", key=(key,))


def agg_stddev(run: Run) -> None:
    table = {
        "2 4 4 4 5 5 7 9": (2, 4, 4, 4, 5, 5, 7, 9),
        "one value": (1000,),
        "-10 10": (-10, 10),
        "1 2": (1, 2),
        "zeros": (0, 0),
        "large": (3000000000, 5000000000, 10000000000),
        "1 1000000 3": (1, 1000000, 3),
    }
    for key, values in table.items():
        for value in values:
            run.engine.apply("s", "stddev", value, key=(key,))


def clear_then_count(run: Run) -> None:
    apply = run.engine.apply
    for key in ("a", "b"):
        counted = apply("c", "count", key=(key,))
    run.row(run.printa("first %s %@d\n", "c"), Clear(counted))
    apply("c", "count", key=("b",))
    apply("c", "count", key=("new",))
    run.row(run.printa("second %s %@d\n", "c"), Exit(0))


def normalize(run: Run) -> None:
    for key, value in (("a", 1000), ("b", 2500), ("c", -999)):
        summed = run.engine.apply("c", "sum", value, key=(key,))
    run.row(Normalize(summed, 1000), run.printa(None, "c"))
    run.row(Denormalize(summed), run.printa(None, "c"), Normalize(summed, 3), Exit(0))


def normalize_others(run: Run) -> None:
    table: dict[str, tuple[str, tuple[int, ...], int]] = {
        "a": ("avg", (1000, 2000), 10),
        "s": ("stddev", (1000, 3000), 10),
        "n": ("min", (700,), 10),
        "x": ("max", (7700,), 10),
        "t": ("count", (0, 0, 0), 2),
    }
    for name, (function, values, _) in table.items():
        for value in values:
            run.engine.apply(name, function, value)
    aggregations = run.engine.aggregations
    run.row(*(Normalize(aggregations[name], normal) for name, (_, _, normal) in table.items()), Exit(0))


def printa_default(run: Run) -> None:
    for key in ("x", "y"):
        run.engine.apply("a", "count", key=(key,))
    run.row(run.printa(None, "a"), printf("--\n"), run.printa(None, "a"), Exit(0))


def printa_lquantize(run: Run) -> None:
    for value in (5, 9):
        run.engine.apply("q", "lquantize", value, key=("x",), parameters=(0, 10, 5))
    run.row(run.printa("key %s\n%@d\n", "q"), Exit(0))


def printa_multiple(run: Run) -> None:
    apply = run.engine.apply
    for key in ("a", "b", "b"):
        apply("n", "count", key=(key,))
    for key, value in (("a", 40), ("b", 3)):
        apply("s", "sum", value, key=(key,))
    for key, value in (("a", 9), ("c", 1)):
        apply("m", "max", value, key=(key,))
    run.row(
        run.printa(None, "n", "s"),
        run.printa("%s %@d %@d %@d\n", "n", "s", "m"),
        run.printa("%-5s|%@5d|%@-5d|\n", "n", "s"),
        Exit(0),
    )


def printa_noquiet(run: Run) -> None:
    run.engine.apply("a", "count", key=("x", 3))
    run.engine.apply("a", "count", key=("yyy", 10))
    run.row(run.printa(None, "a"), run.printa("%s=%@d\n", "a"), Exit(0))


def printa_twice_value(run: Run) -> None:
    run.engine.apply("a", "sum", 255, key=("one",))
    run.engine.apply("a", "sum", 16, key=("two",))
    run.row(run.printa("%s %@d 0x%@x 0%@o\n", "a"), Exit(0))


def printa_unnamed_keyless(run: Run) -> None:
    run.engine.apply("_", "count")
    run.engine.apply("_", "count")
    run.row(run.printa("total %@d\n", "_"), run.printa(None, "_"), Exit(0))


def printa_value_first(run: Run) -> None:
    run.engine.apply("a", "sum", 255, key=("one", 1))
    run.engine.apply("a", "sum", 7, key=("two", 22))
    run.row(run.printa("%@6d  %-8s %3d\n", "a"), Exit(0))


def trunc(run: Run) -> None:
    items = []
    for name, count, keep in (("t", 5, 2), ("u", 4, -2), ("v", 1, 0), ("w", 2, 10), ("z", 2, 0)):
        for value in range(1, count + 1):
            summed = run.engine.apply(name, "sum", value, key=("_abcde"[value],))
        items.append(Truncate(summed, keep))
    run.row(*items, Exit(0))


def trunc_quantize(run: Run) -> None:
    for key, value in (("small", 1), ("big", 1000), ("big", 1), ("mid", 50)):
        quantized = run.engine.apply("q", "quantize", value, key=(key,))
    run.row(Truncate(quantized, 1), Exit(0))


def pid_depth(run: Run) -> None:
    for depth, calls, most in ((1, 1, 5), (5, 2, 1), (2, 2, 4), (3, 4, 3), (4, 6, 2)):
        for _ in range(calls):
            run.engine.apply("calls", "count", key=(depth,))
        run.engine.apply("arg", "max", most, key=(depth,))
    run.row(run.printa("depth %d calls %@d max arg %@d\n", "calls", "arg"), probe=END, probe_id=2)


def pid_quantize(run: Run) -> None:
    for value in (5, 15, 0):
        run.engine.apply("len", "quantize", value)
        run.engine.apply("lin", "lquantize", value, parameters=(0, 20, 5))
        run.engine.apply("a", "avg", value)
        run.engine.apply("m", "max", value)


def printf_flags(run: Run) -> None:
    five = "[%5d][%-5d][%05d][%+d][% d]\n"
    run.row(
        printf(five, *[42] * 5),
        printf(five, *[-42] * 5),
        printf("[%#x][%#X][%#o][%#x]\n", 255, 255, 8, 0),
        printf("[%8.3d][%-8.3d][%.0d]\n", 7, 7, 0),
        printf("[%2d][%2d]\n", 12345, -12345),
        printf("[%'d][%'d][%'u]\n", 1234567, -1234, 1000000),
        printf("[%08x][%8x][%-8x]\n", 0xBEEF, 0xBEEF, 0xBEEF),
        Exit(0),
    )


def printf_star(run: Run) -> None:
    run.row(printf("[%*d][%-*d][%.*s]\n", 6, 42, 6, 42, 2, "abcdef"), Exit(0))


def printf_escape(run: Run) -> None:
    run.row(
        printf('a\tb\\c"d\n'),
        printf("AB\n"),
        printf("bell[\a] nul-less\n"),
        printf("plain string\n"),
        printf("%s", "no newline"),
        printf("\n"),
        Exit(0),
    )


def printf_pointer(run: Run) -> None:
    pointer = [TypedValue(VOID_POINTER, address) for address in (0, 4096, 0x7FFDEADBEEF0)]
    run.row(
        printf("%p %p\n", *pointer[:2]),
        printf("%p\n", pointer[2]),
        printf("%x\n", TypedValue(TYPEDEFS["uintptr_t"], 0xFFFF800000000000)),
        Exit(0),
    )


def printf_noquiet(run: Run) -> None:
    run.row(printf("with newline\n"))
    run.row(printf("without"))
    run.row(printf("two "), printf("calls"))
    run.row(Trace(typed(1)))
    run.row()
    run.row(Exit(0))


def trace_quiet(run: Run) -> None:
    values: tuple[int | str, ...] = (1, "two", -3)
    run.row(
        *(Trace(typed(value)) for value in values),
        printf("\n"),
        Trace(typed("x")),
        Trace(typed(123456789012)),
        printf("|\n"),
        Exit(0),
    )


def trace_probe_names(run: Run) -> None:
    run.row(*(Trace(typed(name)) for name in ("dtrace", "", "", "BEGIN")))
    run.row(printf("%s:%s:%s:%s", "dtrace", "", "", "BEGIN"), Exit(0))
    run.row(Trace(typed("END")), probe=END, probe_id=2)


def one_line(text: str) -> Callable[[Run], None]:
    return lambda run: run.row(printf(text), Exit(0))


def pid_copyinstr(run: Run) -> None:
    probe = ProbeName("pid1", "target", "slen", "entry")
    for text, cut in (("hello", "he"), ("a longer string", "a "), ("", "")):
        run.row(Trace(typed(text)), probe=probe, probe_id=5583)
        run.row(printf("[%s] [%s]", text, cut), probe=probe, probe_id=5583)


LLQUANTIZE_VALUES = (0, 1, 5, 10, 55, 99, 100, 1234)
CASES: dict[str, Callable[[Run], None]] = {
    "agg-count": agg_count,
    "agg-count-noquiet": agg_count_noquiet,
    "agg-end-clause": agg_end_clause,
    "agg-keys-long-strings": agg_keys_long_strings,
    "agg-llquantize": distribution("llquantize", LLQUANTIZE_VALUES, 10, 0, 6, 20),
    "agg-llquantize-base2": distribution("llquantize", (1, 3, 9, 16, 31, 32), 2, 0, 4, 2),
    "agg-llquantize-negative": distribution("llquantize", (-5, -50, -5000, 70), 10, 0, 2, 10),
    "agg-llquantize-out": distribution("llquantize", (5, 50, 9999, 10000, 12345678), 10, 1, 3, 10),
    "agg-lquantize-inside": distribution("lquantize", (30, 31, 52), 0, 100, 10),
    "agg-lquantize-negative": distribution("lquantize", (-100, -50, -1, 0, 49, 50), -50, 50, 25),
    "agg-lquantize-under-only": agg_lquantize_under_only,
    "agg-min-max": agg_min_max,
    "agg-min-max-default": agg_min_max_default,
    "agg-no-data": agg_no_data,
    "agg-no-data-printa": agg_no_data_printa,
    "agg-printing-order": agg_printing_order,
    "agg-quantize": distribution("quantize", (0, 1, 2, 3, 4, 7, 8, 9, 100, 127, 128)),
    "agg-quantize-large-counts": weighted(("_", 1, 12345678901), ("_", 2, 3), ("_", 4, 999999999999999)),
    "agg-quantize-negative-weight": weighted(
        ("mixed", 1, 10), ("mixed", 4, -20), ("mixed", 16, 5), ("neg", 3, -7), ("neg", 9, -1)
    ),
    "agg-quantize-one": agg_quantize_one,
    "agg-quantize-zero-weight": weighted(("_", 4, 0), ("two", 4, 3), ("two", 4, -3)),
    "agg-sort-int-ties": agg_sort_int_ties,
    "agg-sort-key": two_keys,
    "agg-sort-keypos": two_keys,
    "agg-sort-rev": sums(("ten", 10), ("minus one", -1), ("b two", 2), ("a two", 2)),
    "agg-sort-value": sums(
        ("ten", 10), ("minus one", -1), ("zero", 0), ("b two", 2), ("a two", 2), ("hundred", 100)
    ),
    "agg-stddev": agg_stddev,
    "clear-then-count": clear_then_count,
    "header-switchless": one_line("x\n"),
    "normalize": normalize,
    "normalize-others": normalize_others,
    "pid-copyinstr": pid_copyinstr,
    "pid-depth": pid_depth,
    "pid-quantize": pid_quantize,
    "pragma-quiet": one_line("quiet by pragma\n"),
    "printa-default": printa_default,
    "printa-lquantize": printa_lquantize,
    "printa-multiple": printa_multiple,
    "printa-noquiet": printa_noquiet,
    "printa-twice-value": printa_twice_value,
    "printa-unnamed-keyless": printa_unnamed_keyless,
    "printa-value-first": printa_value_first,
    "printf-escape": printf_escape,
    "printf-flags": printf_flags,
    "printf-noquiet": printf_noquiet,
    "printf-pointer": printf_pointer,
    "printf-star": printf_star,
    "trace-probe-names": trace_probe_names,
    "trace-quiet": trace_quiet,
    "trunc": trunc,
    "trunc-quantize": trunc_quantize,
}
NOT_QUIET = {
    "agg-count-noquiet", "pid-copyinstr", "printa-noquiet", "printf-noquiet", "trace-probe-names",
}  # fmt: skip
SORTED = {
    "agg-sort-key": SortOptions(by_key=True),
    "agg-sort-keypos": SortOptions(by_key=True, key_position=1),
    "agg-sort-rev": SortOptions(reverse=True),
}


@pytest.mark.parametrize("name", CASES)
def test_prints_what_the_reference_printed(name: str) -> None:
    run = Run(OutputOptions(quiet=name not in NOT_QUIET, sort=SORTED.get(name, SortOptions())))
    CASES[name](run)
    assert run.finish() == (REFERENCE / f"{name}.out").read_text()


def test_every_reference_about_results_is_among_the_cases() -> None:
    topics = ("agg", "clear", "header", "normalize", "pragma", "printa", "printf", "trace", "trunc")
    named = {path.stem for path in REFERENCE.glob("*.out") if path.stem.partition("-")[0] in topics}
    assert named
    assert named - CASES.keys() == set()


def test_listing_is_what_the_reference_printed() -> None:
    names = [
        (number, ProbeName("dtrace", "", "", name))
        for number, name in enumerate(("BEGIN", "END", "ERROR"), 1)
    ]
    assert listing(names) == (REFERENCE / "list-begin.out").read_text()
    expected = (REFERENCE / "pid-list.out").read_text()
    probes = [
        (5584, ProbeName("pid11188", "target", "add", "entry")),
        (5586, ProbeName("pid11188", "target", "add", "return")),
    ]
    assert listing(probes) == expected
