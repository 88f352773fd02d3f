"""The engine: from a thread's stop at a site to its resumption. Runs in the one thread that seized the
process.

The life of a hit. A thread executes the int3 that stands over a site, and stops with SIGTRAP. The hot loop
(`loop`) calls the clauses with its registers, sends it to the site's copy in scratch space and resumes it;
the copy executes the displaced instruction and jumps back behind it. The int3 stays where it is, so no
thread slips past. What is not that simple comes here: the first hit of a site, which makes the copy
(`tracepoints`); signals (`signals`), new threads, forked children, exec, the end.

A forked child has the int3s in its copy of the text: they are taken away before it runs, and it goes free.
A vfork child shares the memory and keeps it: it is our *guest*, executing copies without counting, until it
executes a program.
"""

import contextlib
import ctypes
import errno
import os
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from signal import SIGTRAP
from typing import Protocol, assert_never

from backend.errors import CannotInject, CommandNotStarted, ProcessGone, TraceeEnded
from backend.fasttrap import inject, signals, sigtrap, text
from backend.fasttrap.affinity import CpuFollower
from backend.fasttrap.loop import Control, HotLoop, Reason
from backend.fasttrap.sigtrap import Sigtrap
from backend.fasttrap.tracee import OPTIONS, PLAIN_STOP, Memory, Thread, Threads, shares_memory
from backend.fasttrap.tracepoints import UNCOUNTED, Outcome, Site, Tracepoints
from backend.linux import procfs, ptrace
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
from backend.target_process import run_to_entry

SI_KERNEL = 0x80
"""si_code of the SIGTRAP that an int3 raises."""

WINDOW_HITS = 128
"""After so many hits the tracer asks where its tracee runs: often enough to matter, too seldom to cost."""

SLOW_HIT = 16
"""A stop dealt with in Python counts for so many hits in the window."""

CLAUSES = ctypes.CFUNCTYPE(None, ctypes.c_uint64, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint32)
"""`void hit(uint64_t site, struct user_regs_struct *registers, uint32_t pid, uint32_t tid)`; `site`:
Site.identifier.
"""


@dataclass(frozen=True, slots=True)
class Undo:
    """What it takes to leave the process as it was: the displaced bytes by address, what the program has set
    for SIGTRAP, and what we have set instead. `regions` of scratch memory [start, end) are not undone, since
    threads may be in them, but made harmless.
    """

    displaced: dict[int, int]
    regions: list[tuple[int, int]]
    program: sigtrap.Action
    safety: sigtrap.Action | None


class NativeClauses(Protocol):
    """Compiled clauses, alive as long as the object is."""

    @property
    def hit(self) -> int:
        """Address of a function of the type CLAUSES, which every hit calls with rip = the site's address."""

    @property
    def whole_registers(self) -> bool:
        """Whether it reads more of the registers than rip; if not, nothing else is there."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The process has ended; there is nothing left to trace."""


@dataclass(frozen=True, slots=True)
class Executed:
    """The process has executed another program: the probes went with the old one. It is held in the stop of
    exec.
    """


@dataclass(frozen=True, slots=True)
class Called:
    """Something outside (a message, the timer) wants the tracer's attention; the process runs."""


Happening = Ended | Executed | Called


class Engine:
    """One process under trace: held from `attach` or `adopt` to `go`, and from `hold` to `go`; else
    running.
    """

    def __init__(self, loop: HotLoop) -> None:
        self._loop = loop
        self._clauses: NativeClauses | None = None
        self._hit = CLAUSES()
        self.control = Control(window=WINDOW_HITS)
        self._cpu = CpuFollower()
        self._pid = 0
        self._threads = Threads(0)
        self._tracepoints: Tracepoints | None = None
        self._unusual: set[int] = set()
        self._repeating: set[int] = set()
        self._released = True

    def use(self, clauses: NativeClauses) -> None:
        """From now on every hit calls these clauses. Due before `arm`."""
        self._clauses = clauses
        self._hit = CLAUSES(clauses.hit)
        self.control.clauses, self.control.whole_registers = clauses.hit, clauses.whole_registers

    @property
    def released(self) -> bool:
        """Whether the process has run under us, or was running before us: then it must not end with us."""
        return self._released

    # --- taking a process and letting it go -------------------------------------------------------------

    def attach(self, pid: int) -> None:
        """Seize all threads of a running process and hold them. Raises ProcessGone, PermissionError."""
        self._released = True
        self._threads = Threads(pid)
        self._threads.seize_all()
        self._begin(pid)

    def adopt(self, pid: int) -> None:
        """Take over our own child, which this thread has created and holds: from `go` on it outlives us."""
        self._released = False
        self._take_over(pid, OPTIONS | Option.EXITKILL)

    def _take_over(self, pid: int, options: Option) -> None:
        ptrace.set_options(pid, options)
        self._threads = Threads(pid)
        self._threads.known[pid] = Thread(pid)
        self._threads.held[pid] = PLAIN_STOP
        self._threads.seize_all()
        self._begin(pid)

    def _begin(self, pid: int) -> None:
        self._pid = self.control.pid = pid
        self._gate = inject.find_gate(pid)
        self._tracepoints = Tracepoints(Memory(pid), self.control)
        self._sigtrap = Sigtrap()
        self._watched = sigtrap.Watched()
        self._unusual.clear()
        self._repeating.clear()
        self._blocked = array("I")
        self.hold()
        for thread in self._threads.known.values():
            self._note_mask(thread)

    @property
    def tracepoints(self) -> Tracepoints:
        assert self._tracepoints is not None, "no process is held"
        return self._tracepoints

    def arm(self, sites: Sequence[Site], announce: Callable[[Undo], None]) -> list[Outcome]:
        """Write an int3 at each site that can be served; return how each is, in the order given. The process
        is held.

        `announce` is told how to undo it all just before anything is written over the text. Raises
        ProcessGone, and CannotInject if there can be no scratch space, in which case the text has not been
        changed.
        """
        assert self._clauses is not None, "no clauses to call"
        tid = self._spare_thread()
        if tid is None:
            raise ProcessGone(self._pid)
        points = self.tracepoints
        with inject.seccomp_suspended(tid, OPTIONS):
            asked = {site.address for site in sites}
            if not points.table:
                self._watched = sigtrap.watched_sites(self._pid)
            extra = [
                Site(address, UNCOUNTED)
                for address in self._watched.settings | self._watched.returns
                if address not in asked and points.table.index(address) is None
            ]
            shadow_stack = "shstk" in procfs.status(self._pid).thread_features
            outcomes = points.prepare([*sites, *extra], tid, self._gate, shadow_stack=shadow_stack)
            points.bring_all(self._watched.settings)
            regions = [(region.start, region.start + region.size) for region in points.space.regions]
            if regions:
                self._sigtrap.install(tid, self._gate, points.memory, regions)
            announce(Undo(dict(points.displaced), regions, self._sigtrap.program, self._sigtrap.safety))
            points.insert()
        return outcomes[: len(sites)]

    def take_back(self, undo: Undo) -> None:
        """After `attach`: know what another tracer, which has died, did to the process, so that `detach`
        undoes it.
        """
        self.tracepoints.displaced |= undo.displaced
        for start, _ in undo.regions:
            self.tracepoints.defuse(start)
        tid = self._spare_thread()
        if tid is not None:
            with contextlib.suppress(TraceeEnded, ProcessLookupError, CannotInject):
                current = sigtrap.read_action(tid, self._gate, self.tracepoints.memory)
                self._sigtrap.program = undo.program if current == undo.safety else current
                self._sigtrap.safe = current == undo.safety

    def _spare_thread(self) -> int | None:
        """Return a held thread of the process in whose name calls can be injected: its stop loses nothing
        by that.
        """
        held = [tid for tid in self._threads.held if not self._threads.known[tid].guest]
        for tid in held:
            meaning = decode(self._threads.held[tid])
            if not isinstance(meaning, SignalStop | EventStop) and tid not in self._threads.inside_call:
                return tid
        for tid in held:
            thread = self._threads.known[tid]
            with contextlib.suppress(ProcessLookupError, TraceeEnded):
                if tid in self._threads.inside_call:
                    inject.finish_call(tid)
                    self._threads.inside_call.remove(tid)
                    return tid
                registers = ptrace.registers(tid)
                if self._is_trap(tid, registers):
                    ptrace.set_registers(tid, replace(registers, rip=registers.rip - 1))
                elif isinstance(decode(self._threads.held[tid]), SignalStop):
                    thread.waiting.append(ptrace.signal_info(tid))
                    signals.send_waiting(thread, self._pid)
                self._threads.held[tid] = PLAIN_STOP
                return tid
        return None

    def go(self) -> Happening | None:
        """Resume every held thread, as the stop that it is held in demands."""
        if not self._released:
            self._released = True
            with contextlib.suppress(ProcessLookupError):
                ptrace.set_options(self._pid, OPTIONS)
        held, self._threads.held = self._threads.held, {}
        self._threads.inside_call.clear()
        happening: Happening | None = None
        for tid, status in held.items():
            happening = self._dispatch(tid, status) or happening
        return happening

    def hold(self) -> None:
        """Stop every thread where it is."""
        self._threads.hold_all()
        for tid in [tid for tid in self._threads.held if tid not in self._threads.known]:
            with contextlib.suppress(ProcessLookupError, ProcessGone):
                if not self._meet(tid):
                    self._threads.held.pop(tid)

    def detach(self) -> None:
        """Take every int3 away and let the process go, its threads as if they had never met one.

        A thread that can't be stopped (it waits for its vfork child) is let go by the end of the tracer.
        """
        self.hold()
        with contextlib.suppress(ProcessGone):
            for tid in list(self._threads.held):
                self._settle(tid)
            text.restore(self.tracepoints.memory, self.tracepoints.displaced)
            self._restore_sigtrap()
        for tid, status in list(self._threads.held.items()):
            with contextlib.suppress(ProcessLookupError, ProcessGone):
                self._let_go(self._threads.known[tid], status)
            self._threads.forget(tid)
        self.tracepoints.memory.close()
        self._tracepoints = None

    def _restore_sigtrap(self) -> None:
        """Let the kernel have what the program set for SIGTRAP: in the process, and in guests, which have
        their own table.
        """
        memory = self.tracepoints.memory
        tid = self._spare_thread()
        with contextlib.suppress(TraceeEnded, ProcessLookupError, CannotInject):
            for guest in [thread for thread in self._threads.known.values() if thread.guest]:
                if guest.tid in self._threads.held and not guest.has_own_action and self._sigtrap.safe:
                    sigtrap.write_action(guest.tid, self._gate, memory, self._sigtrap.program)
            if tid is not None:
                with inject.seccomp_suspended(tid, OPTIONS):
                    self._sigtrap.remove(tid, self._gate, memory)

    def _settle(self, tid: int) -> None:
        """Bring a thread that has executed an int3, but isn't told yet, to the SIGTRAP that is pending for
        it.
        """
        if isinstance(decode(self._threads.held[tid]), SignalStop):
            return
        with contextlib.suppress(ProcessLookupError, ProcessGone):
            behind = ptrace.registers(tid).rip - 1
            if behind in self.tracepoints.displaced and _pending(tid) & 1 << SIGTRAP - 1:
                ptrace.cont(tid)
                self._threads.held[tid] = os.waitpid(tid, inject.WALL)[1]
                self._settle(tid)

    def _let_go(self, thread: Thread, status: int) -> None:
        """Detach from a held thread, its registers as they would be without us."""
        registers = ptrace.registers(thread.tid)
        number, pc = 0, registers.rip
        match decode(status):
            case SignalStop(signal) if signal != SIGTRAP:
                number = signal
            case SignalStop() if self._is_trap(thread.tid, registers):
                registers = replace(registers, rip=registers.rip - 1)
            case SignalStop() if self.tracepoints.ends_copy(registers.rip - 1):
                pc -= 1
            case SignalStop():
                number = SIGTRAP
        route = self.tracepoints.route_at(pc)
        resume = route and route.copy.translate(pc)
        if route and resume and not signals.may_restart(route, registers):
            registers = signals.resumed(registers, resume)
        ptrace.set_registers(thread.tid, registers)
        if thread.blocks_trap:
            ptrace.set_signal_mask(thread.tid, ptrace.signal_mask(thread.tid) | sigtrap.TRAP_BIT)
        signals.send_waiting(thread, self._pid)
        ptrace.detach(thread.tid, number)

    # --- running ----------------------------------------------------------------------------------------

    def serve(self) -> Happening:
        """Serve hits and everything else that stops a thread, until something has happened that others must
        know.
        """
        while True:
            match self._loop.run(self.control):
                case Reason.STATUS:
                    self.control.window -= min(SLOW_HIT, self.control.window - 1)
                    tid, status = self.control.tid, self.control.status
                    if status == 0 or isinstance(decode(status), GroupStop):
                        # The others are taken by being resumed.
                        status = os.waitpid(tid, inject.WALL)[1]
                    happening = self._dispatch(tid, status)
                    if happening is not None:
                        return happening
                case Reason.WINDOW:
                    self.control.window = WINDOW_HITS
                    self._cpu.follow(self.control.tid)
                case Reason.ATTENTION:
                    self.control.attention = 0
                    return Called()
                case Reason.INTERRUPTED:
                    return Called()
                case Reason.NO_TRACEES:
                    return Ended()

    def _dispatch(self, tid: int, status: int) -> Happening | None:
        """Deal with one stop and resume the thread. A thread that is killed meanwhile will report its end."""
        meaning = decode(status)
        if isinstance(meaning, Exited | Killed):
            return self._forget(tid)
        with contextlib.suppress(ProcessLookupError, ProcessGone):
            if tid not in self._threads.known:
                self._threads.has_come(tid)
                if not self._meet(tid):
                    return None
            thread = self._threads.known[tid]
            match meaning:
                case SignalStop(number) if number == SIGTRAP:
                    self._trapped(thread)
                case SignalStop(number):
                    self._deliver(thread, number)
                case GroupStop():
                    ptrace.listen(tid)
                case EventStop(Event.FORK | Event.VFORK | Event.CLONE):
                    self._threads.expect(ptrace.event_message(tid))
                    ptrace.cont(tid)
                case EventStop(Event.EXEC):
                    return self._executed(thread)
                case Interrupted() | EventStop() | SyscallStop():
                    ptrace.cont(tid)
                case _:
                    assert_never(meaning)
            self._note(thread)
        return None

    def _deliver(self, thread: Thread, number: int) -> None:
        used = {slot for each in self._threads.known.values() if (slot := each.finishing) is not None}
        signals.deliver(thread, number, self.tracepoints, self._pid, used)
        if thread.repeat is not None and not (self._watched.returns and _has_handler(thread.tid, number)):
            # No handler that could go elsewhere, or none whose return we would see: the site comes next.
            thread.skip, thread.repeat = thread.repeat, None

    def _forget(self, tid: int) -> Happening | None:
        self._threads.forget(tid)
        self._unusual.discard(tid)
        self._repeating.discard(tid)
        self.control.every_hit = len(self._unusual)
        self._block(tid, blocked=False)
        return None if any(not thread.guest for thread in self._threads.known.values()) else Ended()

    def _note(self, thread: Thread) -> None:
        """Keep the hot loop away from hits as long as some thread is unusual, from sigreturn while it is to
        be watched.
        """
        if (thread.repeat is not None) != (thread.tid in self._repeating):
            self._repeating ^= {thread.tid}
            slow = self._watched.settings
            self.tracepoints.bring_all(slow | self._watched.returns if self._repeating else slow)
        if thread.usual:
            self._unusual.discard(thread.tid)
        else:
            self._unusual.add(thread.tid)
        self.control.every_hit = len(self._unusual)

    def _meet(self, tid: int) -> bool:
        """At the first stop of a thread or child: take it in, or set it free and return False."""
        if procfs.status(tid).tgid == self._pid:
            self._threads.known[tid] = Thread(tid)
        elif shares_memory(self._pid, tid):
            self._threads.known[tid] = Thread(tid, guest=True)
        else:
            self._free(tid)
            return False
        self._note_mask(self._threads.known[tid])
        return True

    def _free(self, child: int) -> None:
        """Take from a forked child, at its first stop, what it has inherited of us, and let it go."""
        memory = Memory(child)
        try:
            text.restore(memory, self.tracepoints.displaced)
            if self._sigtrap.safe:
                with contextlib.suppress(CannotInject), inject.seccomp_suspended(child, OPTIONS):
                    sigtrap.write_action(child, self._gate, memory, self._sigtrap.program)
        except TraceeEnded:
            return
        finally:
            memory.close()
        ptrace.detach(child)

    def _note_mask(self, thread: Thread) -> None:
        """Take over from the kernel whether a thread has SIGTRAP blocked: at its first stop, before any
        trap of ours.
        """
        with contextlib.suppress(ProcessLookupError):
            mask = ptrace.signal_mask(thread.tid)
            self._block(thread.tid, blocked=mask & sigtrap.TRAP_BIT != 0)

    def _block(self, tid: int, *, blocked: bool) -> None:
        """Note whether a thread has SIGTRAP blocked, for the loop too."""
        thread = self._threads.known.get(tid)
        if thread is not None:
            thread.blocks_trap = blocked
        if blocked != (tid in self._blocked):
            self._blocked = array(
                "I", [*self._blocked, tid] if blocked else (n for n in self._blocked if n != tid)
            )
            self.control.blocked, self.control.blocked_count = self._blocked.buffer_info()

    def _executed(self, thread: Thread) -> Happening | None:
        """A guest that executes a program goes free; if it is the process itself, all that we knew of it is
        gone.
        """
        ignored = self._sigtrap.safe and self._sigtrap.program.handler == sigtrap.IGNORE
        if thread.guest:
            if ignored and not thread.has_own_action:
                inject.finish_call(thread.tid)
                self._ignore_again(thread.tid)
            ptrace.detach(thread.tid)
            return self._forget(thread.tid)
        self.tracepoints.memory.close()
        ptrace.set_options(self._pid, OPTIONS & ~Option.TRACECLONE)
        try:
            run_to_entry(self._pid)
        except CommandNotStarted:
            return Ended()
        self._take_over(self._pid, OPTIONS)
        if ignored:
            self._ignore_again(self._pid)
        return Executed()

    def _ignore_again(self, tid: int) -> None:
        """Exec keeps an ignored signal ignored but resets a handler, which ours was: set what the program
        had set.
        """
        memory = Memory(tid)
        try:
            sigtrap.write_action(tid, inject.find_gate(tid), memory, sigtrap.Action(sigtrap.IGNORE))
        finally:
            memory.close()

    # --- hits that the loop leaves to us ----------------------------------------------------------------

    def _is_trap(self, tid: int, registers: Registers) -> bool:
        """Tell whether a thread stopped with SIGTRAP has executed one of our int3s."""
        return registers.rip - 1 in self.tracepoints.displaced and ptrace.signal_info(tid).code == SI_KERNEL

    def _trapped(self, thread: Thread) -> None:
        """A SIGTRAP: a hit of ours, the end of a copy that was being finished, or the program's own."""
        tid = thread.tid
        registers = ptrace.registers(tid)
        if not self._is_trap(tid, registers):
            if not signals.completed(thread, registers, self.tracepoints, self._pid):
                self._foreign_trap(thread)
            return
        points = self.tracepoints
        site = registers.rip - 1
        place = points.table.index(site)
        assert place is not None, hex(site)
        route = points.route(place)
        at_site = replace(registers, rip=site)
        if self._counts(thread, at_site) and points.table.identifiers[place] != UNCOUNTED:
            points.table.hits[place] += 1
            ctypes.memmove(self.control.registers, at_site.to_bytes(), ptrace.USER_REGS_SIZE)
            address = ctypes.addressof(self.control) + Control.registers.offset
            self._hit(points.table.identifiers[place], address, self._pid, tid)
        if thread.blocks_trap:
            ptrace.set_signal_mask(tid, ptrace.signal_mask(tid) | sigtrap.TRAP_BIT)
        answered = None
        if site in self._watched.settings:
            answered = self._note_setting(thread, at_site)
        elif site in self._watched.returns and thread.repeat is not None:
            self._note_return(thread, at_site)
        if answered is not None:
            ptrace.set_registers(tid, answered)
        else:
            ptrace.set_instruction_pointer(tid, route.copy.slot)
        ptrace.cont(tid)

    def _note_return(self, thread: Thread, registers: Registers) -> None:
        """At rt_sigreturn: tell whether a handler returns to the site whose displaced instruction it
        interrupted.
        """
        if registers.rax != sigtrap.RT_SIGRETURN:
            return
        with contextlib.suppress(OSError):
            goes_to = sigtrap.returns_to(registers, self.tracepoints.memory)
            if goes_to == thread.repeat:
                thread.skip = goes_to
        if thread.skip or registers.rsp > (thread.repeat or (0, 0))[1]:
            thread.repeat = None

    def _note_setting(self, thread: Thread, registers: Registers) -> Registers | None:
        """At rt_sigaction or rt_sigprocmask: keep the book on SIGTRAP. Return registers if the call has been
        answered from it.
        """
        memory = self.tracepoints.memory
        if registers.rax == sigtrap.RT_SIGPROCMASK:
            blocked = sigtrap.mask_after(registers, memory, blocked=thread.blocks_trap)
            self._block(thread.tid, blocked=blocked)
        if registers.rax != inject.Syscall.RT_SIGACTION or registers.rdi & 0xFFFFFFFF != SIGTRAP:
            return None
        if thread.guest:
            if self._sigtrap.safe and not thread.has_own_action:
                self._write_action(thread, self._sigtrap.program)
                thread.has_own_action = True
            return None
        try:
            new = self._sigtrap.exchange(registers, memory)
        except OSError as error:
            return sigtrap.returned(registers, -(error.errno or errno.EFAULT))
        if new is not None:
            self._write_action(thread, new)
        return sigtrap.returned(registers, 0)

    def _write_action(self, thread: Thread, action: sigtrap.Action) -> None:
        with inject.seccomp_suspended(thread.tid, OPTIONS):
            sigtrap.write_action(thread.tid, self._gate, self.tracepoints.memory, action)

    def _foreign_trap(self, thread: Thread) -> None:
        """A SIGTRAP that is not our doing: the program's own int3, or sent to it. Its disposition is what
        the book says.
        """
        if self._sigtrap.safe and self._sigtrap.program.handler == sigtrap.IGNORE:
            ptrace.cont(thread.tid)
        elif self._sigtrap.safe:
            thread.waiting.append(ptrace.signal_info(thread.tid))
            self._sigtrap.safe = False
            self._write_action(thread, self._sigtrap.program)
            signals.send_waiting(thread, self._pid)
            ptrace.cont(thread.tid)
        else:
            self._deliver(thread, SIGTRAP)

    def _counts(self, thread: Thread, registers: Registers) -> bool:
        """Tell whether this hit is one: not a guest's, and not the repetition after a signal."""
        if thread.skip is not None:
            site, rsp = thread.skip
            if registers.rsp >= rsp:
                thread.skip = None
            if (site, rsp) == (registers.rip, registers.rsp):
                return False
        return not thread.guest


def _pending(tid: int) -> int:
    """Return the signals pending for one thread, bit n-1 for signal n."""
    return _signal_set(tid, "SigPnd:")


def _has_handler(tid: int, number: int) -> bool:
    return bool(_signal_set(tid, "SigCgt:") >> number - 1 & 1)


def _signal_set(tid: int, name: str) -> int:
    """Return one of the signal sets of /proc/TID/status; empty if the thread has ended."""
    try:
        with open(f"/proc/{tid}/status", encoding="utf-8", errors="replace") as file:
            return next(int(line.split()[1], 16) for line in file if line.startswith(name))
    except (FileNotFoundError, ProcessLookupError):
        return 0
