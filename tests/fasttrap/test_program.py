"""One plan, both machines: what clauses did natively is what they did in the kernel.

ASSERTION: the native machine gives the BPF machine's records, cells and losses. Who fires is BEGIN, END and
ticks, which both can fire at will; what a stopped thread's clauses see is test_target.py's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.engine import Engine, Plan
from backend.fasttrap.program import Descriptors, NativeOptions, NativeProgram
from backend.probes import Probe
from backend.uprobes.engine import KernelEngine, KernelOptions
from dlang.aggregation_store import DeleteKeys, ResetCells
from dlang.aggregations import EXTREMES, Cell, Key
from dlang.items import Row
from dlang.notices import Drop
from dlang.records import FaultReport
from tests.fasttrap.plans import consumer_plan, decoded, traced

REFERENCE = Path(__file__).parents[1] / "reference"

LEFT_OUT = ("bad-", "pid-", "usdt-")
"""Reference programs about errors and about processes; the others may still use what dtrap does not know."""
UNKNOWN_TO_DTRAP = (
    "err-unset-string",
    "lang-net",
    "lang-print",
    "lang-speculate",
    "lang-speculate-n",
    "lang-string-truncation",
    "lang-strings",
)

OWN_PROGRAMS = {
    "execname": "BEGIN { trace(execname); @[execname, pid, tid, uid, gid, ppid] = count(); }",
    "register": "BEGIN { trace(uregs[R_RAX]); trace(arg0); trace(arg9); }",
    "names": "BEGIN { s = probename; trace(s); @[probeprov, probemod, probefunc] = count(); }",
    "unreadable memory": "BEGIN { p = copyin(8, 8); }",
    "unreadable string": "BEGIN { s = copyinstr(16); trace(s); }",
    "string over a fault": """
        string s; BEGIN { s = "before"; } BEGIN { s = copyinstr(16); } BEGIN { trace(s); }""",
    "thread variables": """
        BEGIN { self->a = 7; self->s = execname; } BEGIN { trace(self->a); trace(self->s); }""",
    "thread variable freed": "BEGIN { self->a = 7; self->a = 0; self->a++; } BEGIN { trace(self->a); }",
    "clause variables": """
        BEGIN { this->x = 5; this->s = probename; } BEGIN { trace(this->x); trace(this->s); }""",
    "division by zero": """
        BEGIN { x = 0; } BEGIN { @ = sum(1 / x); printf("no"); } BEGIN { trace("after"); }""",
    "string order": """
        BEGIN { s = execname; trace(s < "zzz"); trace(s == "abc"); trace(s > ""); trace(strlen(s)); }""",
    "exit": "BEGIN { exit(3); } BEGIN { trace(1); }",
    "extremes": "BEGIN { @a = min(-5); @a = min(7); @b = max(-5); @b = max(-9); @c[pid] = max(-3); }",
    "late keys": "BEGIN { x = 3; @a[x, execname] = stddev(x); @a[x * 2, probename] = stddev(1 << 40); }",
    "buckets": "BEGIN { x = 1 << 40; @q[pid] = quantize(x); @l[pid] = lquantize(x, 0, 100, 5); }",
}


def reference_programs() -> list[str]:
    return [
        path.stem
        for path in sorted(REFERENCE.glob("*.d"))
        if not path.stem.startswith(LEFT_OUT) and path.stem not in UNKNOWN_TO_DTRAP
    ]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run of a plan left behind, without what differs from run to run."""

    rows: list[Row | FaultReport]
    cells: Mapping[str, Mapping[Key, Cell]]
    lost: Counter[Drop]


def outcome(plan: Plan, engine: Engine) -> Outcome:
    rows = []
    for row in decoded(plan, engine.drain(1 << 20)):
        assert row.cpu in (0, 1)
        rows.append(without_cpu(row))
    cells = {aggregation.name: engine.snapshot(aggregation) for aggregation in plan.program.aggregations}
    lost: Counter[Drop] = Counter()
    for loss, count in engine.dropped().items():
        lost[loss.drop] += count
    return Outcome(rows, cells, lost)


def without_cpu(row: Row | FaultReport) -> Row | FaultReport:
    if isinstance(row, Row):
        return Row(0, row.probe_id, row.probe, row.clause, row.tid, row.items)
    return FaultReport(row.enabling, row.site, 0, row.fault, row.address, row.where, row.stopped)


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes in bytes that both engines understand."""

    buffer: int = 1 << 20
    aggregations: int = 1 << 20
    dynamic: int = 1 << 20


DEFAULT_SIZES = Sizes()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def engines(plan: Plan, stack: ExitStack, sizes: Sizes = DEFAULT_SIZES) -> list[Engine]:
    """The kernel's engine and the native one."""
    kernel = KernelEngine(plan, (), KernelOptions(sizes.buffer, sizes.aggregations, sizes.dynamic))
    descriptors = stack.enter_context(Descriptors.open())
    options = NativeOptions(sizes.buffer, sizes.aggregations, sizes.dynamic)
    native = stack.enter_context(NativeProgram(plan, None, options, descriptors))
    return [stack.enter_context(kernel), native]  # type: ignore[list-item]


def fire(plan: Plan, engine: Engine, times: int = 1, probes: Sequence[Probe] = ()) -> None:
    for _ in range(times):
        for probe in probes or plan.probes:
            engine.fire(probe)


def both(plan: Plan, stack: ExitStack, times: int = 1, sizes: Sizes = DEFAULT_SIZES) -> list[Outcome]:
    outcomes = []
    for engine in engines(plan, stack, sizes):
        fire(plan, engine, times)
        outcomes.append(outcome(plan, engine))
    return outcomes


# --- programs -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", reference_programs())
def test_reference_program_does_the_same(name: str, stack: ExitStack) -> None:
    plan = consumer_plan((REFERENCE / f"{name}.d").read_text())
    kernel, native = both(plan, stack, times=2)
    assert native == kernel
    assert native.rows or any(native.cells.values()) or name in ("agg-no-data",)


@pytest.mark.parametrize("name", OWN_PROGRAMS)
def test_program_does_the_same(name: str, stack: ExitStack) -> None:
    plan = consumer_plan(OWN_PROGRAMS[name])
    kernel, native = both(plan, stack, times=3)
    assert native == kernel
    assert native.rows or any(native.cells.values())


def test_error_is_told_what_failed(stack: ExitStack) -> None:
    plan = consumer_plan(
        "BEGIN { trace(*(int *)24); } ERROR { trace(arg0); trace(arg4); trace(arg5); trace(arg9); }"
    )
    seen = []
    for engine in engines(plan, stack):
        engine.fire(plan.probes[0])
        _, row = decoded(plan, engine.drain(9))
        seen.append(traced(row))
    assert seen == [[0, 1, 24, 0]] * 2


def test_short_strings_are_cut_alike(stack: ExitStack) -> None:
    plan = consumer_plan("BEGIN { s = execname; trace(s); trace(probename); @[s, execname] = count(); }", 5)
    kernel, native = both(plan, stack)
    assert native == kernel
    assert native.rows


def test_clocks_run_alike(stack: ExitStack) -> None:
    plan = consumer_plan("BEGIN { trace(timestamp); trace(walltimestamp); trace(vtimestamp); }")
    times = []
    for engine in engines(plan, stack):
        fire(plan, engine, times=2)
        first, second = decoded(plan, engine.drain(2))
        times.append([int(value) for value in (*traced(first), *traced(second))])
    kernel, native = times
    assert kernel[0] < kernel[3] < native[0] < native[3]
    assert kernel[1] < kernel[4] < native[1] < native[4]
    assert native[2] < native[5]
    # Both wall clocks are the monotonic one plus what was added when the engines were made.
    assert abs((native[1] - native[0]) - (kernel[1] - kernel[0])) < 1_000_000_000


# --- requests -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keys", ["", "[1]", "[pid]", "[execname, arg0]"])
@pytest.mark.parametrize("function", ["count()", "min(4)", "max(-4)", "avg(7)", "quantize(3)"])
def test_cells_are_reset_and_deleted_alike(function: str, keys: str, stack: ExitStack) -> None:
    plan = consumer_plan(f"BEGIN {{ @a{keys} = {function}; @b{keys} = {function}; @c{keys} = {function}; }}")
    seen = []
    for engine in engines(plan, stack):
        fire(plan, engine, times=2)
        reset, deleted, _ = plan.program.aggregations
        if reset.function in EXTREMES:  # nobody resets the others
            engine.carry_out(ResetCells(reset))
        engine.carry_out(DeleteKeys(deleted, tuple(engine.snapshot(deleted))))
        after = outcome(plan, engine)
        fire(plan, engine)
        seen.append((after, outcome(plan, engine)))
    kernel, native = seen
    assert native == kernel
    assert native[0].cells["b"] == {}
    assert native[1].cells["b"] != {}


# --- losses -------------------------------------------------------------------------------------------------


def test_aggregation_without_room_drops_as_many(stack: ExitStack) -> None:
    plan = consumer_plan("int n; BEGIN { @[n % 50] = count(); n++; }")
    kernel, native = both(plan, stack, times=100, sizes=Sizes(aggregations=1024))
    assert native == kernel
    # A key is the statement, the site and n: 24 bytes; a cell 8. Keys that are there count on.
    assert native.cells["_"] == {(n,): (2,) for n in range(1024 // (24 + 8))}
    assert native.lost[Drop.AGGREGATION] == 100 - 2 * 32


def test_full_buffer_drops_as_many(stack: ExitStack) -> None:
    plan = consumer_plan("int n; BEGIN { trace(n++); } BEGIN { trace(execname); }")
    kernel, native = both(plan, stack, times=200, sizes=Sizes(buffer=4096))
    assert native == kernel
    assert native.lost[Drop.PRINCIPAL] > 0
    assert len(native.rows) > 10


def test_buffer_takes_records_again_once_it_is_drained(stack: ExitStack) -> None:
    plan = consumer_plan("int n; BEGIN { trace(n++); } BEGIN { trace(execname); }")
    seen: list[list[Outcome]] = []
    for engine in engines(plan, stack, Sizes(buffer=4096)):
        seen.append([])
        for times in (7, 30, 1, 200, 11):
            fire(plan, engine, times)
            seen[-1].append(outcome(plan, engine))
    kernel, native = seen
    assert native == kernel


def test_batches_are_as_large_as_asked_for(stack: ExitStack) -> None:
    plan = consumer_plan("int n; BEGIN { trace(n++); }")
    kernel, native = engines(plan, stack)
    for engine in (kernel, native):
        fire(plan, engine, times=10)
    batches = [[decoded(plan, engine.drain(4)) for _ in range(4)] for engine in (kernel, native)]
    assert [len(batch) for batch in batches[1]] == [4, 4, 2, 0]
    assert [without_cpu(row) for batch in batches[1] for row in batch] == [
        without_cpu(row) for batch in batches[0] for row in batch
    ]


# --- expressions --------------------------------------------------------------------------------------------

_LIMITS = st.sampled_from(
    [0, 1, 2, 63, 64, 255, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, (1 << 63) - 1]
)
_NUMBERS = _LIMITS | st.integers(0, (1 << 63) - 1)
_VARIABLES = st.sampled_from(
    ["a", "b", "c", "(int)a", "(char)b", "(unsigned short)c", "(uint64_t)a", "(int8_t)c"]
)
_BINARY = st.sampled_from("+ - * & | ^ << >> < <= == != > >= && || ^^".split())  # noqa: SIM905 - legible


def _wider(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, _BINARY, inner).map(lambda parts: f"({' '.join(parts)})"),
        # A divisor that is never a constant zero, which would be an error of compilation.
        st.tuples(inner, st.sampled_from("/%"), _VARIABLES).map(lambda parts: f"({' '.join(parts)})"),
        st.tuples(st.sampled_from("-~!+"), inner).map(lambda parts: f"({parts[0]} {parts[1]})"),
        st.tuples(inner, inner, inner).map(lambda parts: "({} ? {} : {})".format(*parts)),
    )


_EXPRESSIONS = st.recursive(_VARIABLES | _NUMBERS.map(str), _wider, max_leaves=8)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    expressions=st.lists(_EXPRESSIONS, min_size=1, max_size=6),
    values=st.tuples(_NUMBERS, _NUMBERS, _NUMBERS),
    negative=st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
def test_expressions_have_the_same_values(
    expressions: list[str], values: tuple[int, int, int], negative: tuple[bool, bool, bool]
) -> None:
    texts = [f"int64_t {name};" for name in "abc"]
    for name, value, minus in zip("abc", values, negative, strict=True):
        texts.append(f"BEGIN {{ {name} = {'-' * minus}{value}; }}")
    texts += [
        f"BEGIN {{ @[{number}] = sum({each}); trace({each}); }}" for number, each in enumerate(expressions)
    ]
    plan = consumer_plan("\n".join(texts))
    with ExitStack() as stack:
        kernel, native = both(plan, stack)
        assert native == kernel
        assert len(native.rows) == len(expressions)
