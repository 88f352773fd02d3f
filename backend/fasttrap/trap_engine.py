"""The fasttrap engine as the session knows engines: compiled clauses (program.py) called by the tracer (tracer.py).

The tracer's process is forked first, so that it shares what the clauses write; the traced process is seized, its
sites armed, and let go again, all in `attach`. A plan without sites needs no tracer.
"""

from __future__ import annotations

import os
import select
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from itertools import chain, groupby
from types import TracebackType
from typing import TYPE_CHECKING, Final, assert_never

from backend.columns import Coded, ascending
from backend.engine import Answer, Plan, Refusal, SiteCoverage, Trapped, Unserved, Way, covered, refusals
from backend.errors import CannotInject, ProcessGone, ProcessNotPermitted, TracerDied
from backend.fasttrap.engine import Executed, Loaded
from backend.fasttrap.program import Clauses, Descriptors, NativeOptions, NativeProgram
from backend.fasttrap.site_batch import MadeText, SiteBatch
from backend.fasttrap.tracepoints import Jumped, NotJumped, Outcome, judge
from backend.fasttrap.tracer import Tracer
from backend.link_map import loader_state
from backend.linux import heap, procfs
from backend.objects import LoadedObject, loaded_objects
from backend.probes import Probe, Profile
from backend.site_table import Site, SiteKind, Sites
from backend.target_process import TargetProcess
from dlang.aggregation_store import EngineRequest
from dlang.aggregations import Aggregation, Cell, Key
from dlang.notices import Loss
from scratch import displaced, windows
from scratch.displaced import OutOfLine, Refuse
from scratch.window_table import WindowTable
from scratch.windows import Window

if TYPE_CHECKING:
    from backend.process_symbols import Symbols
    from backend.stack_tables import ProcessRows

_CHANGED: Final = "the program, or another tool's uprobe, has changed the code there"
_NO_URETPROBE: Final = Unserved("a uretprobe, which only the kernel has: not with returns=uretprobe")
_ENDED: Final = Unserved("the process had ended")
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
    that can't be are served by traps, if they are to be served at all (`or_trap`). `alone`: nobody else has sites in
    what is loaded later, so that there may be jumps as well. `tell` is told what takes long.
    """

    symbols: Symbols
    avoided: Sequence[int]
    or_trap: bool
    alone: bool
    tell: Callable[[str], object]


class TrapEngine:
    """backend.engine.Engine on ptrace; `pid` is the traced process, None where the plan has no sites. `rows` are what
    its stacks are unwound by, `jumping` says where there may be jumps; None: nowhere. `created`: the process, if it
    is one that we have started; it is held by a stop signal until it is attached.

    Making one compiles the clauses and, for sites, starts the tracer. Raises OSError.
    """

    def __init__(
        self,
        plan: Plan,
        pid: int | None,
        options: NativeOptions,
        rows: ProcessRows | None = None,
        jumping: Jumping | None = None,
        *,
        created: TargetProcess | None = None,
    ) -> None:
        self._plan = plan
        self._jumping = jumping
        self._planned: dict[LoadedObject, WindowTable] = {}
        """The windows of each object's sites, ascending, where the object was at first."""
        self._prepared: SiteBatch | None = None
        self._pid = pid
        self._stack = ExitStack()
        self._tracer: Tracer | None = None
        self._attached = False
        self._lost = False
        self._answers: Coded[Answer] | None = None
        self._unarmed: list[Refusal] = []
        """Probes that a program which the process has executed could not have."""
        self._named = len(plan.names)
        self._loading = False
        self._mapped: frozenset[tuple[_File, int]] = frozenset()
        try:
            descriptors = self._stack.enter_context(Descriptors.open())
            if pid is not None:
                self._tracer = self._stack.enter_context(Tracer())
                if created is not None:
                    self._tracer.look_after(pid)
                    created.hold_without_tracing()
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
        self.prepare()
        batch, self._prepared = self._prepared, None
        assert batch is not None
        self._tracer.attach(self._pid)
        self._attached = True
        self._watch_loads(self._tracer, self._pid)
        try:
            outcomes = self._tracer.arm(batch, traps=_may_trap(self._jumping))
        except ProcessGone:  # it has ended, or executes another program: that is told when it goes on
            self._tracer.go()
            raise
        self._tracer.go()
        self._answers = _answers(sites, batch, outcomes)
        del batch, outcomes
        heap.give_back_freed()
        return refusals(self._plan, self._answers)

    def prepare(self) -> None:
        """Do of `attach` what takes time and needs no process that waits."""
        if self._tracer is not None and self._prepared is None:
            self._tracer.load(Clauses, self._program.image)
            self._prepared = self._batch(_at_home(self._plan.sites), self._jumping)

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
    def lost(self) -> bool:
        return self._lost

    @property
    def loading(self) -> bool:
        return self._loading

    def extend(self, sites: Sites, symbols: Symbols | None) -> tuple[Refusal, ...]:
        if self._tracer is None or self._pid is None or not self._attached:
            return ()
        self._program.extend(sites, self._named)
        self._named = len(self._plan.names)
        jumping = self._jumping
        if jumping is not None:  # the kernel's sites in what has been loaded are not known here
            jumping = replace(jumping, symbols=symbols or jumping.symbols) if jumping.alone else None
        batch = self._batch(chain(_at_home(sites), self._mapped_anew(self._pid)), jumping)
        try:
            outcomes = self._armed(batch, jumping)
        except TracerDied:
            self._attached, self._lost = False, True
            return ()
        except ProcessGone:  # what it has done is told by the tracer
            return ()
        finally:
            self._loading = False
        further = _answers(sites, batch, outcomes)
        self._answers = Coded(chain(self._answers or (), further))
        self._plan.sites.extend(sites)
        return refusals(replace(self._plan, sites=sites), further)

    def _armed(self, batch: SiteBatch, jumping: Jumping | None) -> Sequence[Outcome]:
        """Arm what has been loaded, in the process that is held for it, or runs; let it go on. Raises TracerDied,
        ProcessGone.
        """
        assert self._tracer is not None
        assert self._pid is not None
        outcomes: Sequence[Outcome] = ()
        if batch:
            self._tracer.hold()
        if self._tracer.has_gone:
            raise ProcessGone(self._pid)
        try:
            if batch:
                outcomes = self._tracer.arm(batch, traps=_may_trap(jumping))
        except CannotInject as error:
            outcomes = [Refuse(str(error))] * len(batch)
        finally:
            if batch or self._loading:
                self._tracer.go()
        return outcomes

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

    def withdrawn(self) -> tuple[Refusal, ...]:
        if self._tracer is None:
            return ()
        numbers, self._tracer.changed = set(self._tracer.changed), []
        unarmed, self._unarmed = self._unarmed, []
        if not numbers:
            return tuple(unarmed)
        probes = dict.fromkeys(site.probe for site in self._plan.sites if site.number in numbers)
        return (*unarmed, *(Refusal(self._plan.names[probe], _CHANGED) for probe in probes))

    def take_disarmed(self) -> bool:
        if self._tracer is None or not self._tracer.disarmed:
            return False
        self._tracer.disarmed = False
        return True

    def detach(self) -> None:
        if self._tracer is not None and self._attached:
            self._attached = False
            try:
                self._tracer.detach()
                self._tracer.close()  # with it the kernel lets go of threads that could not be stopped
            except TracerDied:
                self._lost = True
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
            match self._tracer.look():
                case None:
                    pass
                case Executed():
                    self._program.abandon_unfinished()
                    self._arm_again(self._tracer, self._pid)
                case Loaded():
                    self._loading = True
                case _:
                    self._attached = False
        except TracerDied:
            self._attached, self._lost = False, True
        if not self._attached:
            self._program.abandon_unfinished()
            self._poll.unregister(self._tracer.fileno())

    def _arm_again(self, tracer: Tracer, pid: int) -> None:
        """Arm the new program, which is held at its entry point, wherever it maps a file of the old one's sites, as
        uprobes would: they belong to files."""
        places: list[tuple[int, int, Site]] = []
        with suppress(ProcessGone, ProcessNotPermitted), ExitStack() as files:
            objects = loaded_objects(pid, files)
            mapped = {(loaded.device, loaded.inode): loaded for loaded in objects if loaded.has_file}
            for site in self._plan.sites:
                loaded = mapped.get((site.object.device, site.object.inode))
                if loaded is not None:
                    places.append((loaded.bias + site.address - site.object.bias, loaded.bias, site))
            self._watch_loads(tracer, pid)
            try:
                tracer.arm(self._batch(places, self._jumping), traps=_may_trap(self._jumping))
            except CannotInject as error:
                self._unarmed = [Refusal(self._plan.names[site.probe], str(error)) for *_, site in places]
        self._program.refresh()
        tracer.go()

    def _batch(self, sites: Iterable[tuple[int, int, Site]], jumping: Jumping | None) -> SiteBatch:
        """Return what to arm for sites that are at these addresses now, in objects with these biases.

        Of several at one address the first one's number stands for all: the code knows the others.
        """
        of_objects: dict[tuple[LoadedObject, int], tuple[array[int], array[int]]] = {}
        made: dict[int, bytes] = {}
        shared = self._program.shared
        last: tuple[LoadedObject, int] | None = None
        for address, bias, site in sites:
            if site.object.is_made:
                made[site.function.address] = site.function.code(0, site.function.size)
            if site.kind is SiteKind.URETPROBE:
                continue
            if last is None or last[0] is not site.object or last[1] != bias:
                last = site.object, bias
                addresses, numbers = of_objects.setdefault(last, (array("Q"), array("Q")))
            addresses.append(address)
            numbers.append(shared[site.address][0] if shared and site.address in shared else site.number)
        batch = SiteBatch()
        batch.made = [MadeText(start, made[start]) for start in sorted(made)]
        for (loaded, bias), (addresses, numbers) in of_objects.items():
            distance = bias - loaded.bias
            order = array("I", (next(own) for _, own in groupby(ascending(addresses), addresses.__getitem__)))
            at_home = array("Q", (addresses[place] - distance for place in order))
            windows = self._windows(loaded, at_home, jumping) if jumping is not None else None
            for row, place in enumerate(order):
                window = None if windows is None else windows.moved(row, distance)
                batch.add(addresses[place], numbers[place], window)
        return batch

    def _windows(self, loaded: LoadedObject, sites: array[int], jumping: Jumping) -> WindowTable:
        """Return the windows of an object's sites, ascending, where it was at first."""
        known = self._planned.get(loaded)
        if known is None or known.sites != sites:
            assert self._pid is not None, loaded
            # Imported by the runs that may use it.
            from backend.fasttrap.window_planning import Place, plan_windows

            place = Place(loaded, loaded.bias, sites)
            known = plan_windows(self._pid, jumping.symbols, place, jumping.avoided, jumping.tell)
            self._planned[loaded] = known
        return known

    def snapshot(self, aggregation: Aggregation) -> dict[Key, Cell]:
        return self._program.snapshot(aggregation)

    def carry_out(self, request: EngineRequest) -> None:
        self._program.carry_out(request)

    def free_speculation(self, number: int) -> None:
        self._program.free_speculation(number)

    def dropped(self) -> Mapping[Loss, int]:
        return self._program.dropped()

    def refresh(self) -> None:
        self._program.refresh()

    def coverage(self) -> Iterable[SiteCoverage]:
        if self._answers is None:
            self._answers = foresee(self._plan, self._pid, self._jumping)
        return covered(self._plan, self._answers, self._program.hits())


def _may_trap(jumping: Jumping | None) -> bool:
    """Whether a site that has no jump is served by a trap."""
    return jumping is None or jumping.or_trap


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


def foresee(plan: Plan, pid: int | None, jumping: Jumping | None) -> Coded[Answer]:
    """Return what arming the plan's sites in a process would answer to each, without stopping it.

    Judged by the code in its files. Only arming can tell whether there is room near it for scratch memory and
    trampolines, and what threads and clauses have against a jump.
    """
    shadow_stack = False
    if pid is not None:
        with suppress(ProcessGone):
            shadow_stack = "shstk" in procfs.status(pid).thread_features
    planned = _foreseen_windows(plan, pid, jumping)
    answers: Coded[Answer] = Coded()
    for site in plan.sites:
        if site.kind is SiteKind.URETPROBE:
            answers.append(_NO_URETPROBE)
            continue
        table = planned.get(site.object)
        window = table.find(site.address) if table is not None else None
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
) -> Mapping[LoadedObject, WindowTable]:
    if jumping is None or pid is None:
        return {}
    from backend.fasttrap.window_planning import Place, plan_windows

    places: dict[LoadedObject, set[int]] = {}
    for site in plan.sites:
        if site.kind is not SiteKind.URETPROBE:
            places.setdefault(site.object, set()).add(site.address)
    with suppress(ProcessGone):
        return {
            loaded: plan_windows(
                pid, jumping.symbols, Place(loaded, loaded.bias, sorted(own)), jumping.avoided, jumping.tell
            )
            for loaded, own in places.items()
        }
    return {}


def _at_home(sites: Sites) -> Iterator[tuple[int, int, Site]]:
    """Yield sites where they were found: their addresses, and their objects' biases."""
    return ((site.address, site.object.bias, site) for site in sites)


def _answers(sites: Sites, batch: SiteBatch, outcomes: Sequence[Outcome]) -> Coded[Answer]:
    """Return how each of the sites is served, if these are the outcomes of a batch, or of its beginning."""
    answers: Coded[Answer] = Coded()
    order = ascending(batch.addresses)
    known = array("Q", map(batch.addresses.__getitem__, order))
    of_outcomes: dict[tuple[Outcome, str | None], Answer] = {}
    for place in range(len(sites)):
        address = sites.address(place)
        found = bisect_left(known, address)
        if found == len(known) or known[found] != address or order[found] >= len(outcomes):
            answers.append(_NO_URETPROBE)
            continue
        asked = outcomes[order[found]], batch.windowless(order[found])
        if asked not in of_outcomes:
            of_outcomes[asked] = _answer(*asked)
        answers.append(of_outcomes[asked])
    return answers


def _answer(outcome: Outcome, windowless: str | None = None) -> Answer:
    """Return how a site is served; `windowless` says why no jump was asked for, where one was wanted."""
    match outcome:
        case Refuse(reason):
            return Unserved(reason or windowless or "")
        case Jumped(way):
            return _JUMPS[way]
        case NotJumped(way, reason):
            return Trapped(_WAYS[way], reason)
        case displaced.Way() as way:
            return Trapped(_WAYS[way], windowless) if windowless else _WAYS[way]
        case never:
            assert_never(never)
