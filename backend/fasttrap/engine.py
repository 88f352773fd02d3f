"""The engine: from a thread's stop at a site to its resumption. Runs in the one thread that seized the
process.

The life of a hit. A thread executes the int3 that stands over a site, and stops with SIGTRAP. The hot loop
(`loop`) calls the clauses with its registers, sends it to the site's copy in scratch space and resumes it;
the copy executes the displaced instruction and jumps back behind it. The int3 stays where it is, so no
thread slips past. What is not that simple comes here: the first hit of a site, which makes the copy
(`tracepoints`); hits that need a copy of the thread's own; signals (`signals`), new threads, forked
children, exec, the end.

A forked child has the int3s in its copy of the text: they are taken away before it runs, and it goes free.
A vfork child shares the memory and keeps it: it is our *guest*, executing copies without counting, until it
executes a program, or asks to be traced by another (`free_guests`).
"""

import contextlib
import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from signal import SIGTRAP
from typing import Final, Protocol, assert_never

from backend.columns import Coded
from backend.command_start import run_to_entry
from backend.errors import CannotInject, CommandNotStarted, ProcessGone, TraceeEnded
from backend.fasttrap import (
    disposition,
    dumpable,
    foreign_traps,
    free_guests,
    giving_way,
    inject,
    leftovers,
    safety,
    signals,
    trap_mask,
    upkeep,
    way_out,
)
from backend.fasttrap.affinity import CpuFollower
from backend.fasttrap.departure import leave
from backend.fasttrap.holding import come, hold, hold_others, taking_in
from backend.fasttrap.jump_arming import prepare_jumps
from backend.fasttrap.jump_record import recorded
from backend.fasttrap.jumps import Jumps, undo_others
from backend.fasttrap.loop import Control, HotLoop, Reason
from backend.fasttrap.made_sites import Verdict
from backend.fasttrap.process import Installed, Process
from backend.fasttrap.site_batch import UNCOUNTED, Site, SiteBatch
from backend.fasttrap.tracee import OPTIONS, PLAIN_STOP, Memory, Thread, Threads, take_report
from backend.fasttrap.tracepoints import Jumped, NotJumped, Outcome, Route, Tracepoints
from backend.fasttrap.trap_arming import prepare_traps
from backend.linux import ptrace
from backend.linux.native_call import native_function
from backend.linux.ptrace import Option, Registers
from backend.linux.wait_status import (
    Event,
    EventStop,
    Exited,
    GroupStop,
    Interrupted,
    Killed,
    SignalStop,
    SyscallStop,
    decode,
)
from scratch import windows
from scratch.displaced import Refuse, Way
from scratch.slots import NoFreeSpace

_LOOK_S: Final = 0.002
"""How long threads run that are waited for, between two looks at them."""
_OUT_S: Final = 0.05
"""How long threads may take to come out of clauses when the process is left."""

WINDOW_HITS = 128
"""After so many hits the tracer asks where its tracee runs: often enough to matter, too seldom to cost."""

SLOW_HIT = 16
"""A stop dealt with in Python counts for so many hits in the window."""


class NativeClauses(Protocol):
    """Compiled clauses, alive as long as the object is."""

    @property
    def hit(self) -> int:
        """Address of `void hit(uint64_t site, struct user_regs_struct *, uint32_t pid, uint32_t tid)`, called
        at every hit.

        `site` is Site.identifier; in the registers rip is the site's address.
        """

    @property
    def whole_registers(self) -> bool:
        """Whether it reads more of the registers than rip; if not, nothing else is there."""

    def install(self, tid: int, gate: inject.Gate, memory: Memory, /) -> Installed:
        """See jump_arming.ClausesForTarget."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The process has ended; there is nothing left to trace. `signal` is the one that it died of, where that is
    known.
    """

    signal: int | None = None


@dataclass(frozen=True, slots=True)
class Executed:
    """The process has executed another program: the probes went with the old one. It is held in the stop of
    exec.
    """


@dataclass(frozen=True, slots=True)
class Called:
    """Something outside (a message, the timer) wants the tracer's attention; the process runs."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The process has loaded libraries, or unloaded some, and the thread that did is held."""


Happening = Ended | Executed | Called | Loaded


class Engine:
    """One process under trace: held from `attach` or `adopt` to `go`, and from `hold` to `go`; else
    running.
    """

    def __init__(self, loop: HotLoop) -> None:
        self._loop = loop
        self._clauses: NativeClauses | None = None
        self.control = Control(window=WINDOW_HITS)
        self._cpu = CpuFollower()
        self._process: Process | None = None
        self._released = True
        self._changed: list[int] = []
        self._is_disarmed = False

    @property
    def process(self) -> Process:
        """The process under trace."""
        assert self._process is not None, "no process is held"
        return self._process

    def use(self, clauses: NativeClauses) -> None:
        """From now on every hit calls these clauses. Due before `arm`."""
        self._clauses = clauses
        self._hit = native_function(clauses.hit, 4)
        self.control.clauses, self.control.whole_registers = clauses.hit, clauses.whole_registers

    @property
    def released(self) -> bool:
        """Whether the process has run under us, or was running before us: then it must not end with us."""
        return self._released

    def take_changed(self) -> list[int]:
        """Return the identifiers of sites that were given up since the last time: the program, or another tool, has
        changed the code.
        """
        changed = self._changed[:]
        self._changed.clear()
        return changed

    def take_disarmed(self) -> bool:
        """Tell, once, whether the process has no int3s of ours any more."""
        is_disarmed, self._is_disarmed = self._is_disarmed, False
        return is_disarmed

    # --- taking a process and letting it go -------------------------------------------------------------

    def attach(self, pid: int) -> None:
        """Seize all threads of a running process and hold them. Raises ProcessGone, PermissionError."""
        self._released = True
        self._begin(Threads(pid))

    def adopt(self, pid: int) -> None:
        """Take over our own child, which this thread has created and holds: from `go` on it outlives us."""
        self._released = False
        self._take_over(pid, OPTIONS | Option.EXITKILL)

    def _take_over(self, pid: int, options: Option) -> None:
        ptrace.set_options(pid, options)
        threads = Threads(pid)
        threads.known[pid] = Thread(pid)
        threads.held[pid] = PLAIN_STOP
        self._begin(threads)

    def _begin(self, threads: Threads) -> None:
        """Seize all threads and hold them. What a tracer before us has left is known before: no thread that has met an
        int3 of its may be taken for one that has not.
        """
        pid = self.control.pid = threads.pid
        memory = Memory(pid)
        try:
            found = safety.find(pid, memory)
            patches = chain.from_iterable(recorded(pid, memory).values())
            gate = inject.find_gate(pid, memory, [leftover.gate for leftover in found])
            points = Tracepoints(
                memory,
                self.control,
                [leftover.sites for leftover in found],
                [leftover.start for leftover in found],
            )
            jumps = Jumps(memory, patches)
            self._process = Process(pid, threads, points, gate, self.control, jumps, self._changed)
            threads.seize_all()
        except BaseException:
            memory.close()
            raise
        self.control.every_hit = self.control.blocked_count = 0
        hold(self.process)
        with taking_in(self.process):
            threads.seize_guests()
        undo_others(pid, memory)
        leftovers.recall(self.process, found)
        leftovers.put_right(self.process, found)

    def arm(self, sites: SiteBatch, *, traps: bool = True) -> Sequence[Outcome]:
        """Write a jump or an int3 at each site that can be served; return how each is, in the order given. The process
        is held. Without `traps` no site gets an int3.

        Raises ProcessGone, and CannotInject if there can be no scratch space, in which case the text has not
        been changed.
        """
        assert self._clauses is not None, "no clauses to call"
        process = self.process
        tid = self._spare_thread()
        with inject.seccomp_suspended(tid, OPTIONS), dumpable.looked_into(tid, process.gate):
            demoted = [
                Site(site, process.jumps.withdraw(site)) for site in process.jumps.sites_over(sites.addresses)
            ]
            unfit = process.unfit(sites)
            reasons = prepare_jumps(process, self._clauses, sites, tid)
            trapped = array(
                "I",
                (place for place, reason in enumerate(reasons) if reason is not None and place not in unfit),
            )
            to_trap = sites.without_windows(trapped if traps else ())
            for site in demoted:
                to_trap.add(site.address, site.identifier)
            ways = iter(prepare_traps(process, to_trap, tid))
            process.tracepoints.insert(process.watched.first)
            process.note_detour(process.jumps.detour)
            process.jumps.insert()
        outcomes: Coded[Outcome] = Coded()
        for place, reason in enumerate(reasons):
            if place in unfit:
                outcomes.append(Refuse(unfit[place]))
            elif reason is None:
                outcomes.append(_JUMPED[sites.way(place)])
            else:
                outcomes.append(_trapped(next(ways), reason) if traps else Refuse(reason))
        return outcomes

    def _spare_thread(self) -> int:
        """Return a held thread in whose name calls can be injected. While all of the process's own wait for children of
        vfork the children go on, for they alone can end that; before the first int3 also while one that has SIGTRAP
        blocked does. Nor is anything written to the text as long as it is executed by children that we don't trace.

        Raises ProcessGone, and CannotInject where they take too long.
        """
        process = self.process
        deadline = time.monotonic() + free_guests.PATIENCE_S
        while True:
            tid = process.spare_thread()
            is_late = time.monotonic() > deadline
            is_free = process.has_free_guests()
            if (
                tid is not None
                and not is_free
                and (process.tracepoints.table or is_late or trap_mask.can_be_told(process))
            ):
                return tid
            if process.has_executed or all(thread.guest for thread in process.threads.known.values()):
                raise ProcessGone(process.pid)
            if is_late:
                reason = "a child that is not traced has its memory"
                raise CannotInject(process.pid, reason if is_free else _ALL_WAIT)
            for held in list(process.threads.held):
                self._resume(process.threads, held)
            time.sleep(_LOOK_S)
            hold(self.process)

    def go(self) -> Happening | None:
        """Resume every held thread, as the stop that it is held in demands."""
        if not self._released:
            self._released = True
            with contextlib.suppress(ProcessLookupError):
                ptrace.set_options(self.process.pid, OPTIONS)
        threads = self.process.threads
        happening: Happening | None = None
        for tid in list(threads.held):
            happening = self._resume(threads, tid) or happening
        return happening

    def _resume(self, threads: Threads, tid: int) -> Happening | None:
        """Resume one held thread, unless it has ended. Those behind it stay held till it is their turn: it may be met
        with something that needs all of them held (`foreign_traps`), and then they all are again.
        """
        status = threads.held.pop(tid, None)
        threads.inside_call.discard(tid)
        threads.before_vfork.discard(tid)
        return None if status is None else self._dispatch(tid, status)

    def hold(self) -> None:
        """Stop every thread where it is."""
        self._cpu.rest()
        hold(self.process)

    def detach(self) -> None:
        """Take every int3 away and let the process go, its threads as if they had never met one."""
        self.hold()
        with contextlib.suppress(ProcessGone):
            self.process.jumps.restore()
        if self._come_out():
            self._look_at_traps()
            if self.process.tracepoints.table:
                with contextlib.suppress(ProcessGone, CannotInject):
                    self._spare_thread()  # in whose name SIGTRAP's disposition is put back
            leave(self.process)
        self._process = None

    def _come_out(self) -> bool:
        """With the jumps gone, let the threads of the held process come out of clauses, as far as they do soon; False
        if the process has ended meanwhile.
        """
        deadline = time.monotonic() + _OUT_S
        while way_out.any_inside(self.process) and time.monotonic() < deadline:
            for tid in list(self.process.threads.held):
                if isinstance(self._resume(self.process.threads, tid), Ended):
                    return False
            time.sleep(_LOOK_S)
            hold(self.process)
        return True

    # --- running ----------------------------------------------------------------------------------------

    def serve(self) -> Happening:
        """Serve hits and everything else that stops a thread, until something has happened that others must
        know.
        """
        while True:
            if not self.control.attention and (held := self.process.threads.held):
                happening = self._resume(self.process.threads, next(iter(held)))
                if happening is not None:
                    return happening
                continue
            match self._loop.run(self.control):
                case Reason.STATUS:
                    self.control.window -= min(SLOW_HIT, self.control.window - 1)
                    tid, status = self.control.tid, self.control.status
                    if status == 0 or _must_be_taken(status):
                        # The others are taken by being resumed.
                        found, status = take_report(tid)
                        if not found:
                            continue
                    happening = self._dispatch(tid, status)
                    if happening is not None:
                        return happening
                case Reason.WINDOW:
                    self.control.window = WINDOW_HITS
                    self._cpu.follow(self.control.tid)
                case Reason.ATTENTION:
                    self.control.attention = 0
                    self._look_at_traps()
                    happening = self._keep_handler()
                    if happening is None and giving_way.look(self.process):
                        happening = self.go()
                    return happening or Called()
                case Reason.INTERRUPTED:
                    return Called()
                case Reason.NO_TRACEES:
                    return Ended()

    def _keep_handler(self) -> Happening | None:
        """Put the safety handler back where it has been lost and no hit has come since the last look."""
        process = self.process
        was_lost = process.handler_lost
        process.look_at_handler()
        if not (was_lost and process.handler_lost):
            return None
        hold(self.process)
        spare = process.spare_thread()
        if spare is not None:
            with contextlib.suppress(TraceeEnded, ProcessLookupError, ProcessGone, CannotInject):
                upkeep.put_handler_back(process, process.threads.known[spare])
        return self.go()

    def _look_at_traps(self) -> None:
        """Look whether a child that shares the memory, and that we don't trace, has ended the service of traps: one
        that was let go, or that was made untraceable (CLONE_UNTRACED) and has met an int3.
        """
        process = self.process
        process.has_free_guests()
        if not process.is_disarmed:
            with contextlib.suppress(OSError, ProcessGone):
                points = process.tracepoints
                process.is_disarmed = not safety.are_armed(points.memory, points.space.regions)
            self._is_disarmed |= process.is_disarmed

    def _dispatch(self, tid: int, status: int) -> Happening | None:
        """Deal with one stop and resume the thread. A thread that is killed meanwhile will report its end."""
        meaning = decode(status)
        try:
            if not isinstance(meaning, Exited | Killed):
                return self._deal_with(tid, meaning)
        except TraceeEnded as ended:
            meaning = decode(ended.status)
        if self.process.forget(tid):
            return None
        return Ended(meaning.signal if isinstance(meaning, Killed) else None)

    def _deal_with(
        self, tid: int, meaning: SignalStop | GroupStop | Interrupted | EventStop | SyscallStop
    ) -> Happening | None:
        with contextlib.suppress(ProcessLookupError, ProcessGone):
            if meaning == EventStop(Event.EXEC):
                self.process.threads.rename(tid)
            if tid not in self.process.threads.known and not come(self.process, tid):
                return None
            thread = self.process.threads.known[tid]
            trap_mask.take_over(self.process, thread)
            if self.process.jumps.regions and (place := way_out.bring_out(self.process, thread, meaning)):
                if isinstance(place, way_out.Fault):
                    giving_way.at_fault(self.process, thread, place)
                return None
            match meaning:
                case SignalStop(number) if number == SIGTRAP:
                    happening = self._trapped(thread)
                    if tid in self.process.threads.known:  # else it has been let go
                        self.process.note(thread)
                    return happening
                case SignalStop(number):
                    upkeep.deliver(self.process, thread, number)
                case GroupStop():
                    ptrace.listen(tid)
                case EventStop(Event.FORK | Event.VFORK | Event.CLONE):
                    born = ptrace.event_message(tid)
                    self.process.threads.expect(born, tid)
                    self.process.note_birth(born)
                    ptrace.cont(tid)
                case EventStop(Event.EXEC):
                    return self._executed(thread)
                case Interrupted() | EventStop() | SyscallStop():
                    ptrace.cont(tid)
                case _:
                    assert_never(meaning)
            self.process.note(thread)
        return None

    def _executed(self, thread: Thread) -> Happening | None:
        """A guest that executes a program goes free; if it is the process itself, all that we knew of it is
        gone.
        """
        ignored = self.process.sigtrap.safe and self.process.sigtrap.program.handler == disposition.IGNORE
        if thread.guest:
            upkeep.free_guest(self.process, thread)
            return None if self.process.forget(thread.tid) else Ended()
        trap_mask.give_back(thread)
        self.process.tracepoints.memory.close()
        ptrace.set_options(self.process.pid, OPTIONS & ~Option.TRACECLONE)
        try:
            run_to_entry(self.process.pid)
        except CommandNotStarted:
            # It has ended, or goes on as a program that can't be traced.
            with contextlib.suppress(ProcessLookupError):
                ptrace.detach(self.process.pid)
            return Ended()
        self._take_over(self.process.pid, OPTIONS)
        if ignored:
            upkeep.ignore_again(self.process.pid)
        return Executed()

    # --- hits that the loop leaves to us ----------------------------------------------------------------

    def _trapped(self, thread: Thread) -> Happening | None:
        """A SIGTRAP: a hit of ours, the end of a copy that was being finished, or the program's own."""
        tid = thread.tid
        registers = ptrace.registers(tid)
        if not self.process.is_trap(tid, registers):
            if signals.completed(thread, registers, self.process.tracepoints, self.process.pid):
                self.process.tracepoints.note_waiting(thread)
                return None
            if self.process.is_spent(tid, registers):
                ptrace.cont(tid)
            elif self.process.heals_copy(tid, registers):
                ptrace.set_instruction_pointer(tid, registers.rip - 1)
                ptrace.cont(tid)
            else:
                foreign_traps.meet(self.process, thread)
            return None
        self.process.keep_sent(tid, may_call=True)
        points = self.process.tracepoints
        site = registers.rip - 1
        place = points.table.index(site)
        if place is None:
            overlaid = self.process.jumps.overlaid(site)
            if overlaid is not None and self.process.jumps.stands_at(overlaid.site):
                giving_way.to_uprobe(self.process, thread, overlaid)
            else:  # an int3 of a tracer before us, or where another thread has come by just now
                self.process.step_back(tid, registers)
                ptrace.cont(tid)
            return None
        if site in self.process.made and not self._is_still_ours(thread, site):
            return None
        route = self._route(tid, place)
        at_site = replace(registers, rip=site)
        if self._counts(thread, at_site) and points.table.identifiers[place] != UNCOUNTED:
            points.table.hits[place] += 1
            address = self.control.show(at_site.to_bytes())
            self._hit(points.table.identifiers[place], address, self.process.pid, tid)
        trap_mask.block_again(self.process, tid)
        if free_guests.is_asking(self.process, thread, at_site):
            self._let_be_traced(thread, at_site)
            return None
        answered = None
        if site in self.process.watched.settings:
            answered = upkeep.note_setting(self.process, thread, at_site)
        elif site in self.process.watched.returns and thread.returns_matter:
            upkeep.note_return(self.process, thread, at_site)
        if self.process.handler_lost and not thread.guest:
            upkeep.put_handler_back(self.process, thread)
        if answered is not None:
            ptrace.set_registers(tid, answered)
        elif route is None:
            points.withdraw(site)
            ptrace.set_instruction_pointer(tid, site)
        else:
            if site in self.process.watched.suspending:
                at_site = trap_mask.lend(self.process, thread, at_site)
            ptrace.set_registers(tid, points.enter(route, at_site))
        if self.process.has_loaded(site):
            self.process.threads.held[tid] = PLAIN_STOP
            return Loaded()
        ptrace.cont(tid)
        return None

    def _is_still_ours(self, thread: Thread, site: int) -> bool:
        """Of a site that the program may change: tell whether the instruction that we have displaced is still there. If
        it isn't the thread goes on with what is, without us.
        """
        process = self.process
        verdict = process.made.verdict(site, process.tracepoints.memory)
        if verdict is Verdict.OURS:
            return True
        if verdict is Verdict.OPERAND_CHANGED:
            process.tracepoints.withdraw(site)
        if site in process.made.standing:
            process.give_up(site)
            place = process.tracepoints.table.index(site)
            assert place is not None, hex(site)
            process.changed.append(process.tracepoints.table.identifiers[place])
        if verdict is Verdict.NOT_OURS:
            foreign_traps.meet(self.process, thread)
            return False
        trap_mask.block_again(process, thread.tid)
        ptrace.set_instruction_pointer(thread.tid, site)
        ptrace.cont(thread.tid)
        return False

    def _let_be_traced(self, guest: Thread, at_call: Registers) -> None:
        """A guest is about to ask to be traced. Raises ProcessGone."""
        threads = self.process.threads
        ptrace.set_registers(guest.tid, at_call)
        threads.held[guest.tid] = PLAIN_STOP
        hold_others(self.process, guest)
        free_guests.let_go(self.process, guest)
        self._look_at_traps()

    def _route(self, tid: int, place: int) -> Route | None:
        """Return the copy for a thread's hit; None if it needs a chunk, and the process can have no more
        memory.
        """
        process = self.process
        points, gate = process.tracepoints, process.gate
        with contextlib.suppress(NoFreeSpace):
            return points.route(place, tid)
        with contextlib.suppress(CannotInject), inject.seccomp_suspended(tid, OPTIONS):
            points.space.map_chunks(tid, gate)
            process.secure(tid)
            return points.route(place, tid)
        return None

    def _counts(self, thread: Thread, registers: Registers) -> bool:
        """Tell whether this hit is one: not a guest's, and not the repetition after a signal."""
        if thread.skip is not None:
            site, rsp = thread.skip
            if registers.rsp >= rsp:
                thread.skip = None
            if (site, rsp) == (registers.rip, registers.rsp):
                return False
        return not thread.guest


_ALL_WAIT: Final = "all its threads wait for children of vfork"


def _must_be_taken(status: int) -> bool:
    """Tell whether the kernel has to be asked for a stop once more, and without WNOWAIT.

    A thread that executes a program in place of the first one answers no request before, so that none reaches it that
    was meant for the thread whose number it has taken (`looks_like_a_spurious_pid` in kernel/ptrace.c).
    """
    meaning = decode(status)
    return isinstance(meaning, GroupStop) or meaning == EventStop(Event.EXEC)


_JUMPED: Final = {way: Jumped(way) for way in windows.Way}


def _trapped(way: Way | Refuse, reason: str) -> Outcome:
    return NotJumped(way, reason) if reason and isinstance(way, Way) else way
