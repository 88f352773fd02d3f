"""Rows, aggregations and listings as dtrace(1) prints them.

`Printer` turns what the engines recorded into the text of standard output, in the order of the data stream,
and tells what else a row asks for. It writes nowhere itself: the session does. Messages for standard error
are `notices.py`'s, aggregations `aggregation_text`'s, single conversions `printf_render`'s, names of addresses
`symbol_text`'s. Source: d-language.md §9, §11, §12; tests/reference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final, assert_never

from dlang.aggregation_store import AggregationStore, EngineRequest, SortOptions
from dlang.aggregation_text import entries_text, symbol_text
from dlang.dump import bytes_text, hex_dump, typed_dump
from dlang.escape import padded, printable, printable_name, until_zero
from dlang.items import (
    Clear,
    Commit,
    Denormalize,
    Discard,
    Dump,
    Exit,
    Freopen,
    Normalize,
    Print,
    Printa,
    Printf,
    ProbeName,
    Row,
    SetOption,
    Speculate,
    Stack,
    Symbol,
    System,
    Trace,
    Truncate,
)
from dlang.notices import library_error
from dlang.options import INVALID_NAME, OptionError
from dlang.printf_render import NO_NAMES, TypedValue, render, render_entry
from dlang.speculations import Speculations
from dlang.symbol_text import FRAME_INDENT, AddressNames
from dlang.types import StringType, as_integer, wrap


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """What printing looks at. `testing` is _DTRACE_TESTING in the environment: no CPU and ID columns.

    `string_size` is option strsize, `speculation_size` option specsize, in bytes. `switch_ns` and `aggregation_ns` are
    how often the session takes records and reads aggregations, in nanoseconds; 0 is whenever there are some.
    `stackindent` is how many blanks are before a frame.
    """

    quiet: bool = False
    flowindent: bool = False
    testing: bool = False
    rawbytes: bool = False
    string_size: int = 256
    printsize: int = 1024
    sort: SortOptions = field(default_factory=SortOptions)
    speculation_size: int = 4 << 20
    switch_ns: int = 0
    aggregation_ns: int = 0
    stackindent: int = FRAME_INDENT


@dataclass(frozen=True, slots=True)
class Command:
    """A command of system(), to be run now."""

    text: str


@dataclass(frozen=True, slots=True)
class Redirect:
    """What follows goes to this file; back to the first output where the path is empty. `row` is whose wish it is."""

    path: str
    row: Row


@dataclass(frozen=True, slots=True)
class Complaint:
    """What could not be done for a row, in a line for standard error."""

    text: str


Step = str | Command | Redirect | Complaint


@dataclass(frozen=True, slots=True)
class Consumed:
    """What came of a row, in order: text and what else is to be done.

    Also the status of an exit() in it, what the engine has to do now, and the speculations that are over.
    """

    steps: tuple[Step, ...]
    exit_status: int | None = None
    requests: tuple[EngineRequest, ...] = ()
    freed: tuple[int, ...] = ()

    @property
    def text(self) -> str:
        return "".join(step for step in self.steps if isinstance(step, str))


SetOptions = Callable[[str, "str | None"], OutputOptions]
"""Sets an option of the run and returns what printing looks at then; raises OptionError."""


def no_options(name: str, value: str | None) -> OutputOptions:
    """Refuse every option: for a printer whose options nobody changes."""
    raise OptionError(name, value, INVALID_NAME)


_SET = "1"
"""The value that an option is set to if none is given."""


class Printer:
    """One run's output: whether the heading is out, and how deep each thread is with -F."""

    def __init__(
        self,
        options: OutputOptions,
        store: AggregationStore,
        names: AddressNames = NO_NAMES,
        set_option: SetOptions = no_options,
    ) -> None:
        self._options = options
        self._store = store
        self._names = names
        self._heading_due = True
        self._flow = FlowIndent()
        self._set_option = set_option
        self._speculations = Speculations(options.speculation_size)

    @property
    def options(self) -> OutputOptions:
        """The options as the last setopt() left them."""
        return self._options

    @property
    def speculative_drops(self) -> int:
        """How many rows were too many for their speculations."""
        return self._speculations.dropped

    def consume(self, row: Row) -> Consumed:
        """Return the text of a row, with the heading before the first one, and carry out what it does.

        Rows come in the order in which they are to be printed; see `Row.touches_aggregations` for snapshots.
        """
        match row.items:
            case (Speculate(number=number), *rest):
                if number:
                    self._speculations.hold(number, replace(row, items=tuple(rest)))
                return Consumed(())
        # commit() and discard() alone show no row of their own.
        quiet = self._options.quiet
        shown = not row.items or any(not isinstance(item, Commit | Discard) for item in row.items)
        steps: list[Step] = [self._start(row)] if shown else []
        status: int | None = None
        requests: list[EngineRequest] = []
        freed: list[int] = []
        for item in row.items:
            match item:
                case Exit(status=status):
                    pass
                case Commit(number=number) if number:
                    for held in self._speculations.take(number):
                        consumed = self.consume(held)
                        steps.extend(consumed.steps)
                        requests.extend(consumed.requests)
                    freed.append(number)
                case Discard(number=number) if number:
                    self._speculations.take(number)
                    freed.append(number)
                case Commit() | Discard() | Speculate():
                    pass
                case Freopen(format=format_, values=values):
                    path = "" if format_ is None else render(format_, values, self._names)
                    steps.append(Redirect(path, row))
                case System(format=format_, values=values):
                    steps.append(Command(render(format_, values, self._names)))
                case SetOption():
                    steps.extend(self._option(item, row))
                case _:
                    text, wanted = self._item(item, quiet)
                    steps.append(text)
                    requests.extend(wanted)
        if shown and not self._options.quiet:
            steps.append("\n")
        return Consumed(tuple(steps), status, tuple(requests), tuple(freed))

    def _option(self, item: SetOption, row: Row) -> Iterator[Step]:
        """Set an option from here on."""
        try:
            self._options = self._set_option(item.name, item.value)
            self._names = replace(self._names, indent=self._options.stackindent)
        except OptionError as error:
            value = _SET if item.value is None else item.value
            what = f'couldn\'t set option "{item.name}" to "{value}": {error.message}'
            # DTrace's words end in a newline of their own.
            yield Complaint(f"{library_error(row.clause, row.probe_id, row.probe, what)}\n")

    def interrupted(self) -> str:
        """Return what the first Ctrl-C prints, before END runs: a newline behind the terminal's `^C`."""
        return "" if self._options.testing else "\n"

    def finish(self) -> str:
        """Return what a run ends with: a newline, then the aggregations that no printa() printed."""
        entries = self._store.take_unprinted(self._options.sort)
        return "\n" + entries_text(entries, self._names)

    def finish_at_once(self) -> str:
        """Return what a run ends with at the second Ctrl-C: no aggregations."""
        return "\n"

    def _start(self, row: Row) -> str:
        options = self._options
        heading = self._heading_due
        self._heading_due = False
        if options.flowindent:
            name = self._flow.name(row)
            return (flow_heading(options) if heading else "") + flow_start(options, row.cpu, name)
        if options.quiet:
            return ""
        return (row_heading(options) if heading else "") + row_start(options, row)

    def _item(
        self,
        item: Printf
        | Trace
        | Dump
        | Print
        | Stack
        | Symbol
        | Printa
        | Clear
        | Truncate
        | Normalize
        | Denormalize,
        quiet: bool,
    ) -> tuple[str, tuple[EngineRequest, ...]]:
        match item:
            case Printf(format=format_, values=values):
                return render(format_, values, self._names), ()
            case Trace(value=value):
                options = self._options
                raw, size = options.rawbytes, options.string_size
                return trace_text(value, quiet=quiet, raw=raw, string_size=size), ()
            case Dump(data=data):
                return hex_dump(data), ()
            case Print(address=address, type=type_, data=data):
                return typed_dump(address, type_, data, self._options.printsize), ()
            case Stack(frames=frames):
                return self._names.stack(frames), ()
            case Symbol(address=address, part=part):
                return symbol_text(address, part, self._names), ()
            case Printa():
                return self._printa(item), ()
            case Clear(aggregation=aggregation):
                return "", self._store.clear(aggregation)
            case Truncate(aggregation=aggregation, keep=keep):
                return "", self._store.truncate(aggregation, keep)
            case Normalize(aggregation=aggregation, normal=normal):
                self._store.normalize(aggregation, normal)
            case Denormalize(aggregation=aggregation):
                self._store.denormalize(aggregation)
            case _:
                assert_never(item)
        return "", ()

    def _printa(self, item: Printa) -> str:
        entries = self._store.take_printed(item.aggregations, self._options.sort)
        if item.format is None:
            return "\n" + entries_text(entries, self._names)
        return "".join(render_entry(item.format, entry, self._names) for entry in entries)


def row_heading(options: OutputOptions) -> str:
    """Return the line above the first row."""
    columns = "" if options.testing else f"{'CPU':>3} {'ID':>6} "
    return f"{columns}{'FUNCTION:NAME':>32}\n"


def row_start(options: OutputOptions, row: Row) -> str:
    """Return CPU, probe ID and `function:name`, and the blank behind them."""
    columns = "" if options.testing else f"{row.cpu:3d} {row.probe_id:6d} "
    name = printable_name(f"{row.probe.function}:{row.probe.name}")
    return f"{columns}{' ' * (32 - len(name.encode()))}{name} "


def flow_heading(options: OutputOptions) -> str:
    """Return the line above the first row with -F."""
    return f"{'' if options.testing else 'CPU '}{'FUNCTION':<41}\n"


def flow_start(options: OutputOptions, cpu: int, name: str) -> str:
    """Return CPU and indented name with -F, and the blank behind them."""
    return f"{'' if options.testing else f'{cpu:3d} '}{padded(name, 41)} "


class FlowIndent:
    """How deep each thread is in the functions whose entry and return were printed.

    DTrace keeps one depth for all, per buffer read, so that its indentation varies from run to run; here it
    is a thread's own. Names that are or end in `-entry` and `-return` open and close. Of several clauses on
    one firing the first shows the arrow and moves the indentation, the others are `|` rows; a clause that
    does not come after the last one in the program starts a new firing (a recursion).
    """

    __slots__ = ("_depth", "_last")

    def __init__(self) -> None:
        self._depth: dict[int, int] = {}
        self._last: dict[int, tuple[int, int]] = {}

    def name(self, row: Row) -> str:
        """Return the row's name with its arrow and indentation, and move the thread's depth."""
        probe_id, clause = self._last.get(row.tid, (-1, -1))
        same_firing = probe_id == row.probe_id and clause < row.clause
        self._last[row.tid] = (row.probe_id, row.clause)
        depth = self._depth.get(row.tid, 0)
        function, name = printable_name(row.probe.function), printable_name(row.probe.name)
        kind = "" if same_firing else name.rpartition("-")[2]
        if kind == "entry":
            self._depth[row.tid] = depth + 1
            return f"{'  ' * depth} -> {function}"
        if kind == "return":
            self._depth[row.tid] = depth = max(depth - 1, 0)
            return f"{'  ' * depth} <- {function}"
        return f"{'  ' * depth}| {function}:{name}"


_TRACE_COLUMNS = {(8, True): 19, (4, True): 10, (2, True): 5, (1, True): 3} | {
    (8, False): 20,
    (4, False): 10,
    (2, False): 5,
    (1, False): 3,
}


def trace_text(typed: TypedValue, *, quiet: bool, raw: bool = False, string_size: int = 256) -> str:
    """Return what trace() prints: the bare value if quiet, else in a column as wide as its type needs.

    With `raw`, which is option rawbytes, the bytes that it has; `string_size` are those of a string.
    """
    if raw:
        return hex_dump(_raw(typed, string_size))
    if isinstance(typed.value, bytes) and not isinstance(typed.type, StringType):
        return bytes_text(typed.value, 33, quiet=quiet)
    if isinstance(typed.value, bytes):
        text = printable(until_zero(typed.value))
        return text if quiet else f"  {padded(text, 33)}"
    type_ = as_integer(typed.type)
    number = wrap(typed.value, type_)
    return str(number) if quiet else f" {number:{_TRACE_COLUMNS[type_.size, type_.signed]}d}"


def _raw(typed: TypedValue, string_size: int) -> bytes:
    """Return a value as the bytes that it has in memory."""
    if isinstance(typed.value, bytes):
        return typed.value.ljust(string_size, bytes(1)) if isinstance(typed.type, StringType) else typed.value
    size = as_integer(typed.type).size
    return (typed.value & (1 << 8 * size) - 1).to_bytes(size, "little")


_HEADING: Final = f"{'ID':>5} {'PROVIDER':>10} {'MODULE':>17} {'FUNCTION':>33} NAME"


def listing(probes: Iterable[tuple[int, ProbeName]]) -> str:
    """Return what -l prints: a heading and a row for each probe ID and name."""
    lines = [_HEADING, *(_listed(probe_id, probe) for probe_id, probe in probes)]
    return "\n".join(lines) + "\n"


def detailed_listing(probes: Iterable[tuple[int, ProbeName]]) -> str:
    """Return what -l prints with -v: below each row how stable its provider says that the probe is, and its types."""
    lines = [_HEADING]
    for probe_id, probe in probes:
        lines += [_listed(probe_id, probe), ""]
        for what in ("Probe Description", "Argument"):
            lines.append(f"\t{what} Attributes")
            stabilities = zip(_ATTRIBUTES, _stability(probe.provider), strict=True)
            lines += [*(f"\t\t{attribute:<18}{word}" for attribute, word in stabilities), ""]
        lines += ["\tArgument Types", "\t\tNone", ""]
    return "\n".join(lines) + "\n"


_ATTRIBUTES: Final = ("Identifier Names:", "Data Semantics:", "Dependency Class:")


def _stability(provider: str) -> tuple[str, str, str]:
    match provider:
        case "dtrace":
            return "Stable", "Stable", "Common"
        case "profile":
            return "Evolving", "Evolving", "Common"
    return "Private", "Private", "Unknown"


def _listed(probe_id: int, probe: ProbeName) -> str:
    row = f"{probe.provider:>10} {probe.module:>17} {probe.function:>33} {probe.name}"
    return f"{probe_id:5d} {printable_name(row)}"
