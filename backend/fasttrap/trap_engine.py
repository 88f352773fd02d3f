"""The fasttrap engine as the session knows engines: compiled clauses (program.py) called by the tracer (tracer.py).

The tracer's process is forked first, so that it shares what the clauses write; the traced process is seized, its
sites armed, and let go again, all in `attach`. A plan without sites needs no tracer.
"""

from __future__ import annotations

import os
import select
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Final, assert_never

from backend.engine import Answer, Plan, Refusal, SiteCoverage, Trapped, Unserved, Way, covered, refusals
from backend.errors import CannotInject, ProcessGone, ProcessNotPermitted, TracerDied
from backend.fasttrap.engine import Executed, Loaded
from backend.fasttrap.program import Clauses, Descriptors, NativeOptions, NativeProgram
from backend.fasttrap.tracepoints import Jumped, NotJumped, Outcome, judge
from backend.fasttrap.tracepoints import Site as Tracepoint
from backend.fasttrap.tracer import Tracer
from backend.link_map import loader_state
from backend.linux import procfs
from backend.objects import LoadedObject, loaded_objects
from backend.probes import Probe, Profile
from backend.site_table import Site, SiteKind, Sites
from dlang.aggregation_store import EngineRequest
from dlang.aggregations import Aggregation, Cell, Key
from dlang.notices import Drop
from scratch import displaced, windows
from scratch.displaced import OutOfLine, Refuse
from scratch.windows import NoWindow, Window

if TYPE_CHECKING:
    from backend.process_symbols import Symbols
    from backend.stack_tables import ProcessRows

_NO_URETPROBE: Final = Unserved("a uretprobe, which only the kernel has: not with returns=uretprobe")
_WAYS: Final = {
    displaced.Way.UNCHANGED: Way.OUT_OF_LINE,
    displaced.Way.REWRITTEN: Way.REWRITTEN,
}
_JUMPS: Final = {
    windows.Way.NEAR: Way.JUMP,
    windows.Way.SHORT: Way.SHORT_JUMP,
    windows.Way.PUNNED: Way.PUNNED_JUMP,
}


@dataclass(frozen=True, slots=True)
class Jumping:
    """Sites may be served by jumps: in the objects of `symbols`, but nowhere over addresses that are `avoided`. Those
    that can't be are served by traps, if they are to be served at all (`or_trap`).
    """

    symbols: Symbols
    avoided: Sequence[int]
    or_trap: bool


class TrapEngine:
    """backend.engine.Engine on ptrace; `pid` is the traced process, None where the plan has no sites. `rows` are what
    its stacks are unwound by, `jumping` says where there may be jumps; None: nowhere.

    Making one compiles the clauses and, for sites, starts the tracer. Raises OSError.
    """

    def __init__(
        self,
        plan: Plan,
        pid: int | None,
        options: NativeOptions,
        rows: ProcessRows | None = None,
        jumping: Jumping | None = None,
    ) -> None:
        self._plan = plan
        self._jumping = jumping
        self._planned: dict[int, Window | NoWindow] = {}
        """By the addresses at which the sites were at first."""
        self._pid = pid
        self._stack = ExitStack()
        self._tracer: Tracer | None = None
        self._attached = False
        self._answers: Sequence[Answer] | None = None
        self._named = len(plan.names)
        self._loading = False
        self._mapped: frozenset[tuple[_File, int]] = frozenset()
        try:
            descriptors = self._stack.enter_context(Descriptors.open())
            if pid is not None:
                self._tracer = self._stack.enter_context(Tracer())
            self._program = self._stack.enter_context(NativeProgram(plan, pid, options, descriptors, rows))
            self._poll = self._stack.enter_context(select.epoll())
            self._poll.register(self._program.fileno(), select.EPOLLIN)
            if self._tracer is not None:
                self._poll.register(self._tracer.fileno(), select.EPOLLIN)
                self._tracer.moved = self._program.move_to
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> TrapEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def samples(self) -> bool:
        return False

    def fire(self, probe: Probe, arguments: Sequence[int] = ()) -> None:
        """Fire a probe here; profile-N on each processor that we may run on, one after the other."""
        if not isinstance(probe.event, Profile):
            self._program.fire(probe, arguments)
            return
        allowed = os.sched_getaffinity(0)
        try:
            for processor in allowed:
                os.sched_setaffinity(0, {processor})
                self._program.fire(probe, arguments)
        finally:
            os.sched_setaffinity(0, allowed)

    def attach(self) -> tuple[Refusal, ...]:
        """Seize the process, arm every site, let it run. Raises CannotGrab, CannotInject, ProcessGone."""
        sites = self._plan.sites
        if self._tracer is None or self._pid is None or not (sites or self._plan.may_grow):
            return ()
        # First what takes time: from `attach` on the process waits.
        self._tracer.load(Clauses, self._program.image)
        points, windowless = self._tracepoints([(site.address, site.object.bias, site) for site in sites])
        self._tracer.attach(self._pid)
        self._attached = True
        self._watch_loads(self._tracer, self._pid)
        outcomes = self._tracer.arm(list(points.values()), traps=self._traps)
        self._tracer.go()
        answers = {
            address: _answer(outcome, windowless.get(address))
            for address, outcome in zip(points, outcomes, strict=True)
        }
        self._answers = [answers.get(site.address, _NO_URETPROBE) for site in sites]
        return refusals(self._plan, self._answers)

    def _watch_loads(self, tracer: Tracer, pid: int) -> None:
        """Have the process held whenever it has loaded libraries, if the plan wants probes there, or stacks through
        them.
        """
        self._mapped = _mapped_files(pid)
        if self._plan.may_grow or self._program.unwinds:
            with suppress(ProcessGone), procfs.Memory(pid) as memory:
                loader = loader_state(pid, memory.read)
                if loader is not None:
                    tracer.watch_loads(loader.breakpoint, loader.state)

    @property
    def loading(self) -> bool:
        return self._loading

    def extend(self, sites: Sites, symbols: Symbols | None) -> tuple[Refusal, ...]:  # noqa: ARG002 - the protocol's
        if self._tracer is None or self._pid is None or not self._attached:
            return ()
        self._program.extend(sites, self._named)
        self._named = len(self._plan.names)
        places = [(site.address, site.object.bias, site) for site in sites]
        points, _ = self._tracepoints([*places, *self._mapped_anew(self._pid)], later=True)
        outcomes: Sequence[Outcome] = ()
        try:
            if points:
                self._tracer.hold()
                outcomes = self._tracer.arm(list(points.values()))
            if points or self._loading:
                self._tracer.go()
        except (TracerDied, ProcessGone):
            self._attached = False
        except CannotInject as error:
            outcomes = [Refuse(str(error)) for _ in points]
            self._tracer.go()
        self._loading = False
        answers = {address: _answer(outcome) for address, outcome in zip(points, outcomes, strict=False)}
        further = [answers.get(site.address, _NO_URETPROBE) for site in sites]
        self._answers = [*(self._answers or ()), *further]
        self._plan.sites.extend(sites)
        return refusals(replace(self._plan, sites=sites), further)

    def _mapped_anew(self, pid: int) -> list[tuple[int, int, Site]]:
        """Return sites known before whose file has been mapped since, at another place or once more: a library that
        was unloaded has come back.
        """
        before, self._mapped = self._mapped, _mapped_files(pid)
        new = {file: bias for file, bias in self._mapped if (file, bias) not in before}
        return [
            (new[file] + site.address - site.object.bias, new[file], site)
            for site in self._plan.sites
            if (file := (site.object.device, site.object.inode)) in new
        ]

    def detach(self) -> None:
        if self._tracer is not None and self._attached:
            self._attached = False
            with suppress(TracerDied):
                self._tracer.detach()
            self._program.abandon_unfinished()

    def fileno(self) -> int:
        return self._poll.fileno()

    @property
    def patience_ns(self) -> int:
        return self._program.patience_ns

    def drain(self, limit: int) -> list[bytes]:
        self._look_at_tracer()
        return self._program.drain(limit)

    def _look_at_tracer(self) -> None:
        """Take what the tracer says has happened: the end of the process, or another program in it."""
        if self._tracer is None or self._pid is None or not self._attached:
            return
        ready = select.poll()
        ready.register(self._tracer.fileno(), select.POLLIN)
        if not ready.poll(0):
            return
        try:
            match self._tracer.happening():
                case Executed():
                    self._program.abandon_unfinished()
                    self._arm_again(self._tracer, self._pid)
                case Loaded():
                    self._loading = True
                case _:
                    self._attached = False
        except TracerDied:
            self._attached = False
        if not self._attached:
            self._program.abandon_unfinished()
            self._poll.unregister(self._tracer.fileno())

    def _arm_again(self, tracer: Tracer, pid: int) -> None:
        """Arm the new program, which is held at its entry point, wherever it maps a file of the old one's sites, as
        uprobes would: they belong to files."""
        with suppress(ProcessGone, ProcessNotPermitted), ExitStack() as files:
            objects = loaded_objects(pid, files)
            mapped = {(loaded.device, loaded.inode): loaded for loaded in objects if loaded.has_file}
            places = []
            for site in self._plan.sites:
                loaded = mapped.get((site.object.device, site.object.inode))
                if loaded is not None:
                    places.append((loaded.bias + site.address - site.object.bias, loaded.bias, site))
            self._watch_loads(tracer, pid)
            tracer.arm(list(self._tracepoints(places)[0].values()), traps=self._traps)
        self._program.refresh()
        tracer.go()

    @property
    def _traps(self) -> bool:
        return self._jumping is None or self._jumping.or_trap

    def _tracepoints(
        self, sites: Sequence[tuple[int, int, Site]], *, later: bool = False
    ) -> tuple[dict[int, Tracepoint], dict[int, str]]:
        """Return what to arm, by address, for sites that are at these addresses now, in objects with these biases; and
        why there can be no jump, by address.

        Of several at one address the first one's number stands for all: the code knows the others.
        """
        windows = {} if later else self._windows(sites)  # the symbols are those of before
        found: dict[int, Tracepoint] = {}
        reasons: dict[int, str] = {}
        for address, _, site in sites:
            if site.kind is SiteKind.URETPROBE:
                continue
            numbers = self._program.shared.get(site.address)
            window = windows.get(address)
            if isinstance(window, NoWindow):
                reasons[address] = window.reason
                window = None
            found[address] = Tracepoint(address, numbers[0] if numbers else site.number, window)
        return found, reasons

    def _windows(self, sites: Sequence[tuple[int, int, Site]]) -> Mapping[int, Window | NoWindow]:
        if self._jumping is None or self._pid is None:
            return {}
        # Imported by the runs that may use it.
        from backend.fasttrap.window_planning import Place, moved, plan_windows

        places: dict[tuple[LoadedObject, int], list[int]] = {}
        for address, bias, site in sites:
            if site.kind is not SiteKind.URETPROBE:
                places.setdefault((site.object, bias), []).append(address)
        found: dict[int, Window | NoWindow] = {}
        for (loaded, bias), own in places.items():
            distance = bias - loaded.bias
            at_home = [address - distance for address in own]
            if not self._planned.keys() >= set(at_home):
                place = Place(loaded, loaded.bias, sorted(set(at_home)))
                self._planned |= plan_windows(
                    self._pid, self._jumping.symbols, (place,), self._jumping.avoided
                )
            known = ((address, self._planned[address - distance]) for address in own)
            found.update(
                (address, moved(window, distance) if distance else window) for address, window in known
            )
        return found

    def snapshot(self, aggregation: Aggregation) -> dict[Key, Cell]:
        return self._program.snapshot(aggregation)

    def carry_out(self, request: EngineRequest) -> None:
        self._program.carry_out(request)

    def free_speculation(self, number: int) -> None:
        self._program.free_speculation(number)

    def dropped(self) -> Mapping[Drop, int]:
        return self._program.dropped()

    def refresh(self) -> None:
        self._program.refresh()

    def coverage(self) -> Iterable[SiteCoverage]:
        if self._answers is None:
            self._answers = foresee(self._plan, self._pid, self._jumping)
        return covered(self._plan, self._answers, self._program.hits())


_File = tuple[tuple[int, int], int]
"""Device and inode."""


def _mapped_files(pid: int) -> frozenset[tuple[_File, int]]:
    """Return the files of the process's objects, with what is added to their addresses."""
    with suppress(ProcessGone, ProcessNotPermitted), ExitStack() as files:
        objects = loaded_objects(pid, files)
        return frozenset(
            ((loaded.device, loaded.inode), loaded.bias) for loaded in objects if loaded.has_file
        )
    return frozenset()


def foresee(plan: Plan, pid: int | None, jumping: Jumping | None) -> list[Answer]:
    """Return what arming the plan's sites in a process would answer to each, without stopping it.

    Judged by the code in its files. Only arming can tell whether there is room near it for scratch memory and
    trampolines, and what threads and clauses have against a jump.
    """
    shadow_stack = False
    if pid is not None:
        with suppress(ProcessGone):
            shadow_stack = "shstk" in procfs.status(pid).thread_features
    planned = _foreseen_windows(plan, pid, jumping)
    answers: list[Answer] = []
    for site in plan.sites:
        if site.kind is SiteKind.URETPROBE:
            answers.append(_NO_URETPROBE)
            continue
        window = planned.get(site.address)
        if isinstance(window, Window):
            answers.append(_JUMPS[window.way])
        elif window is not None and jumping is not None and not jumping.or_trap:
            answers.append(Unserved(window.reason))
        else:
            judged = judge(site.code, site.address, shadow_stack=shadow_stack)
            outcome = judged.way if isinstance(judged, OutOfLine) else judged
            answers.append(_answer(outcome, window.reason if window is not None else None))
    return answers


def _foreseen_windows(
    plan: Plan, pid: int | None, jumping: Jumping | None
) -> Mapping[int, Window | NoWindow]:
    if jumping is None or pid is None:
        return {}
    from backend.fasttrap.window_planning import Place, plan_windows

    places: dict[LoadedObject, set[int]] = {}
    for site in plan.sites:
        if site.kind is not SiteKind.URETPROBE:
            places.setdefault(site.object, set()).add(site.address)
    wanted = [Place(loaded, loaded.bias, sorted(own)) for loaded, own in places.items()]
    with suppress(ProcessGone):
        return plan_windows(pid, jumping.symbols, wanted, jumping.avoided)
    return {}


def _answer(outcome: Outcome, windowless: str | None = None) -> Answer:
    """Return how a site is served; `windowless` says why no jump was asked for, where one was wanted."""
    match outcome:
        case Refuse(reason):
            return Unserved(windowless or reason)
        case Jumped(way):
            return _JUMPS[way]
        case NotJumped(way, reason):
            return Trapped(_WAYS[way], reason)
        case displaced.Way() as way:
            return Trapped(_WAYS[way], windowless) if windowless else _WAYS[way]
        case never:
            assert_never(never)
