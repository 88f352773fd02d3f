"""One run: BEGIN, the probes in place, the process let go, records consumed as they come, END.

What ends a run: exit(), the end of the traced process, or a signal. Between the engine and this module go bytes
and cells; between this module and its caller, text.
"""

from __future__ import annotations

import heapq
import os
import select
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Final, Protocol

from backend.engine import Engine, Plan, Refusal
from backend.errors import ProcessGone
from backend.keys_by_name import KeysByName
from backend.probes import BEGIN_ID, END_ID, ERROR_ID, Probe, Profile, Tick
from backend.site_table import Sites
from dlang.aggregation_store import AggregationStore
from dlang.items import Row
from dlang.notices import (
    Drop,
    Loss,
    disarmed,
    drop_notice,
    library_error,
    runtime_error,
    tagged_drop_notice,
    terminated,
    tracer_lost,
    withdrawn,
)
from dlang.output import (
    Command,
    Complaint,
    OutputOptions,
    Printer,
    Redirect,
    SetOptions,
    Step,
    no_options,
)
from dlang.printf_render import NO_NAMES
from dlang.records import FaultReport, decode, probe_of
from dlang.symbol_text import AddressNames

if TYPE_CHECKING:
    from backend.growth import Grown, Growth
    from backend.target_process import TargetProcess

_BATCH: Final = 4096
"""Records taken at a time."""
_REFRESH_NS: Final = 1_000_000_000
_LOOK_NS: Final = 20_000_000
"""How often it is looked whether the process has loaded libraries, by reading a word or a few of it."""
_NEVER_NS: Final = 1 << 62


class Terminal(Protocol):
    """Where a run's text goes."""

    def data(self, text: str) -> None:
        """Write what the program prints."""

    def notice(self, text: str) -> None:
        """Write a line about the run itself: errors and losses."""

    def flush(self) -> None:
        """Pass on what was written."""

    def run(self, command: str) -> None:
        """Run a command of the shell, with its output among ours, and wait for its end."""

    def redirect(self, path: str) -> None:
        """Write data to the end of a file from now on; as at first where the path is empty. Raises OSError."""


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """`status_ns` is how often losses are reported, in nanoseconds; `drop_tags` puts their tags before them.
    `set_option` is for setopt()."""

    output: OutputOptions
    status_ns: int = 1_000_000_000
    drop_tags: bool = False
    set_option: SetOptions = no_options


class Session:
    """The consumer's side of a run."""

    def __init__(
        self,
        plan: Plan,
        engine: Engine,
        options: SessionOptions,
        terminal: Terminal,
        names: AddressNames = NO_NAMES,
        growth: Growth | None = None,
    ) -> None:
        self._plan = plan
        self._engine = engine
        self._growth = growth
        self._keys = KeysByName(engine, names)
        self._options = options
        self._terminal = terminal
        self._store = AggregationStore(plan.program.aggregations)
        self._printer = Printer(options.output, self._store, names, options.set_option)
        self._reported: dict[Loss, int] = {}
        self._exit_status: int | None = None
        self._signals = 0
        self._update_ns = 0

    def run(
        self,
        processes: Sequence[TargetProcess],
        refused: Callable[[Sequence[Refusal]], None],
        grown: Callable[[Grown, Sequence[Refusal]], None],
    ) -> int:
        """Trace until the run ends; returns the exit status. `refused` is told which probes have no place, `grown` what
        libraries loaded later have brought, and which of these probes have none."""
        with self._interruptions() as wakeup:
            self._fire(BEGIN_ID)
            self._consume_begin()
            if self._exit_status is None:
                # A process that ends just now has nothing to be attached to; the loop sees that it has ended.
                with suppress(ProcessGone):
                    refused(self._engine.attach())
                # Whoever waits for BEGIN's output may let the process go: it is shown once probes are in place.
                self._terminal.flush()
                for process in processes:
                    process.release()
                self._loop(processes, wakeup, grown)
            self._engine.detach()
            self._report_end(processes)
            self._consume()
            self._update_ns = 0
            self._fire(END_ID)
            self._consume()
            self._finish()
        if self._exit_status is None:
            return 1 if self._engine.lost else 0
        return self._exit_status

    # --- the loop

    def _loop(
        self,
        processes: Sequence[TargetProcess],
        wakeup: int,
        grown: Callable[[Grown, Sequence[Refusal]], None],
    ) -> None:
        poll = select.poll()
        poll.register(wakeup, select.POLLIN)
        for process in processes:
            poll.register(process.fileno(), select.POLLIN)
        timers = _Timers(self._plan.probes, Tick if self._engine.samples else (Tick, Profile))
        refresh_ns = time.monotonic_ns() + _REFRESH_NS
        report_ns = time.monotonic_ns() + self._options.status_ns
        look_ns = 0 if self._growth is not None else _NEVER_NS
        switch_ns = 0
        while not self._ending(processes):
            now_ns = time.monotonic_ns()
            for probe in timers.due(now_ns):
                self._engine.fire(probe)
            if now_ns >= switch_ns:
                # One batch at a time: a flood of records must not keep ticks and signals waiting.
                if not self._consume_batch() or not self._printer.options.switch_ns:
                    switch_ns = now_ns + self._printer.options.switch_ns
                self._terminal.flush()
            if self._engine.loading or now_ns >= look_ns:
                self._look_for_libraries(grown)
                look_ns = now_ns + _LOOK_NS if self._growth is not None else _NEVER_NS
            if now_ns >= report_ns:
                self._report_drops()
                report_ns = now_ns + self._options.status_ns
            if now_ns >= refresh_ns:
                self._engine.refresh()
                refresh_ns = now_ns + _REFRESH_NS
            if self._ending(processes):
                break
            patience_ns = time.monotonic_ns() + self._engine.patience_ns
            deadline_ns = min(timers.next_ns, report_ns, refresh_ns, look_ns, patience_ns)
            if self._printer.options.switch_ns:
                # Records wait until they are due, and so wake nobody.
                deadline_ns = min(deadline_ns, switch_ns)
                poll.register(self._engine.fileno(), 0)
            else:
                poll.register(self._engine.fileno(), select.POLLIN)
            for descriptor, _ in poll.poll(max(0, (deadline_ns - time.monotonic_ns()) / 1_000_000)):
                # A process that has ended wakes us once: others may go on.
                if any(descriptor == process.fileno() for process in processes):
                    poll.unregister(descriptor)
        if self._signals:
            self._terminal.data(self._printer.interrupted())

    def _look_for_libraries(self, grown: Callable[[Grown, Sequence[Refusal]], None]) -> None:
        found = None if self._growth is None else self._growth.look()
        if found is not None or self._engine.loading:
            self._engine.refresh()
        if found is not None:
            grown(found, self._engine.extend(found.sites, found.symbols))
        elif self._engine.loading:
            self._engine.extend(Sites(), None)

    def _ending(self, processes: Sequence[TargetProcess]) -> bool:
        ended = bool(processes) and not any(process.alive() for process in processes)
        over = self._engine.lost or ended
        return over or self._exit_status is not None or self._signals > 0

    @contextmanager
    def _interruptions(self) -> Iterator[int]:
        """Count SIGINT and SIGTERM, also where they were ignored, and yield a descriptor that they wake.

        The first ends the tracing; a second one ends the program at once, by its default action.
        """
        reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

        def count(number: int, _frame: FrameType | None) -> None:
            self._signals += 1
            signal.signal(number, signal.SIG_DFL)

        wakeup = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        old = {number: signal.signal(number, count) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield reading
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(wakeup)
            os.close(reading)
            os.close(writing)

    def _report_end(self, processes: Sequence[TargetProcess]) -> None:
        """Say that a process has died of a signal, unless Ctrl-C has ended both of us; or its tracer."""
        for process in processes:
            if self._engine.lost:
                self._terminal.notice(tracer_lost(process.pid))
            if self._signals or self._options.output.quiet or process.alive():
                continue
            number = process.killed_by()
            if number is not None:
                self._terminal.notice(terminated(process.pid, number))

    def _fire(self, number: int) -> None:
        for probe in self._plan.probes:
            if probe.id == number:
                self._engine.fire(probe)

    # --- records

    def _consume(self) -> None:
        while self._consume_batch():
            pass
        self._terminal.flush()

    def _consume_begin(self) -> None:
        """Consume what BEGIN recorded before what ERROR did meanwhile, as dtrace(1) does."""
        later = []
        while records := self._engine.drain(_BATCH):
            for record in records:
                if probe_of(record) == ERROR_ID:
                    later.append(record)
                else:
                    self._record(record)
        for record in later:
            self._record(record)

    def _consume_batch(self) -> int:
        records = self._engine.drain(_BATCH)
        for record in records:
            self._record(record)
        return len(records)

    def _record(self, record: bytes) -> None:
        plan = self._plan
        match decode(record, plan.enablings, plan.names, plan.program.string_size):
            case Row() as row:
                self._row(row)
            case FaultReport() as report:
                self._fault(report)

    def _fault(self, report: FaultReport) -> None:
        """Report a fault. ERROR has run; where exit() had, its own record may have been taken back."""
        name = self._plan.names[report.site]
        fault, address, where = report.fault, report.address, report.where
        self._terminal.notice(runtime_error(report.enabling, report.site, name, fault, address, where))
        if report.stopped and self._exit_status is None:
            self._exit_status = 0

    def _row(self, row: Row) -> None:
        if row.touches_aggregations:
            self._update_where_due()
        consumed = self._printer.consume(row)
        for step in consumed.steps:
            self._step(step)
        for request in consumed.requests:
            self._keys.carry_out(request)
        for number in consumed.freed:
            self._engine.free_speculation(number)
        if consumed.exit_status is not None:
            # The last one counts, END's included, as in dtrace(1).
            self._exit_status = consumed.exit_status

    def _step(self, step: Step) -> None:
        match step:
            case str(text):
                self._terminal.data(text)
            case Command(text=command):
                self._terminal.run(command)
            case Redirect(path=path, row=row):
                try:
                    self._terminal.redirect(path)
                except OSError as error:
                    what = f'couldn\'t freopen() "{path}": {error.strerror}'
                    self._terminal.notice(library_error(row.clause, row.probe_id, row.probe, what))
            case Complaint(text=line):
                self._terminal.notice(line)

    def _update_where_due(self) -> None:
        """Read the aggregations, unless that is less than option aggrate ago."""
        now_ns = time.monotonic_ns()
        if now_ns >= self._update_ns:
            self._update()
            self._update_ns = now_ns + self._printer.options.aggregation_ns

    def _update(self) -> None:
        for aggregation in self._plan.program.aggregations:
            self._store.update(aggregation, self._keys.snapshot(aggregation))

    def _finish(self) -> None:
        self._update()
        self._terminal.data(self._printer.finish())
        self._report_drops()
        self._terminal.flush()

    def _report_drops(self) -> None:
        if self._engine.take_disarmed():
            self._terminal.notice(disarmed())
        for refusal in self._engine.withdrawn():
            self._terminal.notice(withdrawn(str(refusal.probe), refusal.reason))
        notice = tagged_drop_notice if self._options.drop_tags else drop_notice
        dropped = {**self._engine.dropped(), Loss(Drop.SPEC): self._printer.speculative_drops}
        for loss, total in dropped.items():
            new = total - self._reported.get(loss, 0)
            if new:
                self._reported[loss] = total
                self._terminal.notice(notice(loss, new))


class _Timers:
    """When each tick probe fires next, in nanoseconds of the monotonic clock.

    A tick that could not be served in time is made up for once, not as often as it was missed.
    """

    def __init__(self, probes: Sequence[Probe], kinds: type[Tick] | tuple[type[Tick], type[Profile]]) -> None:
        now_ns = time.monotonic_ns()
        self._heap = [
            (now_ns + probe.event.period_ns, order, probe, probe.event.period_ns)
            for order, probe in enumerate(probes)
            if isinstance(probe.event, kinds)
        ]
        heapq.heapify(self._heap)

    @property
    def next_ns(self) -> int:
        """When the next tick is due; far away where there is none."""
        return self._heap[0][0] if self._heap else _NEVER_NS

    def due(self, now_ns: int) -> Iterator[Probe]:
        """Yield the probes whose time has come."""
        while self._heap and self._heap[0][0] <= now_ns:
            when, order, probe, period_ns = self._heap[0]
            missed = (now_ns - when) // period_ns
            heapq.heapreplace(self._heap, (when + (missed + 1) * period_ns, order, probe, period_ns))
            yield probe
