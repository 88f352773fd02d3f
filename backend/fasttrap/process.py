"""What the engine knows of the process that it traces: its threads, what is armed in it, what it has set for
SIGTRAP.

The one place of mutable state beside the tables that it holds; `engine`, `upkeep` and `departure` work on it.
"""

import contextlib
from array import array
from dataclasses import dataclass, field, replace
from signal import SIGCONT, SIGSTOP, SIGTRAP, SIGTSTP, SIGTTIN, SIGTTOU
from typing import Protocol

from backend.errors import ProcessGone, TraceeEnded
from backend.fasttrap import inject, requeue, safety, signals, text
from backend.fasttrap.disposition import TRAP_BIT, Action
from backend.fasttrap.inject import Gate
from backend.fasttrap.jumps import Jumps
from backend.fasttrap.loop import Control
from backend.fasttrap.made_sites import MadeSites, Verdict
from backend.fasttrap.sigtrap import Sigtrap
from backend.fasttrap.site_batch import SiteBatch
from backend.fasttrap.tracee import PLAIN_STOP, Memory, Thread, Threads, has_handler
from backend.fasttrap.tracepoints import Tracepoints
from backend.fasttrap.watched import Watched
from backend.linux import procfs, ptrace
from backend.linux.ptrace import Registers, SignalInfo
from backend.linux.wait_status import Event, EventStop, SignalStop, decode
from scratch.slots import Tid
from scratch.trampoline import GATE_GUARDED, GATE_OPEN, GATE_SHUT, ClauseCall

_JOB_CONTROL = frozenset((SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU))
"""Signals that can't be sent once more without undoing what was sent after them."""

_INT3S = (b"\xcc", b"\xcd\x03")


class Installed(Protocol):
    """The clauses in the traced process itself, where trampolines call them."""

    def unit_call(self, number: int) -> ClauseCall | str:
        """Return what a trampoline does for the site of this number, or why its clauses can't run there."""

    def contains(self, tid: int, pc: int) -> bool:
        """Tell whether a stopped thread with this pc executes clauses, or other code on their behalf."""

    @property
    def memory_fd(self) -> int:
        """The file that the clauses' memory is in from now on, open in this process."""

    @property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """Start and end of what the traced process has of it."""

    def forget_threads(self) -> None:
        """Forget who has which stack: a thread has been born, and has not run yet."""

    def close(self) -> None:
        """Close `memory_fd`."""

    def set_gate(self, gate: int) -> None:
        """Say whose hits count: GATE_SHUT, GATE_OPEN or GATE_GUARDED of scratch.trampoline."""


def _is_shared(info: SignalInfo) -> bool:
    """Of a SIGTRAP that has stopped a thread right behind one of our int3s: tell whether it was sent to that thread as
    well.

    A signal that is pending for a thread is not queued again, and so carries the news of both. What is sent to the
    process (SI_USER) is pending elsewhere.
    """
    return info.code < signals.SI_USER


@dataclass(frozen=True, slots=True)
class Loads:
    """Where the dynamic linker comes by when it has loaded libraries (backend.link_map): the address of the
    instruction, and of the word that is zero then.
    """

    breakpoint: int
    state: int


@dataclass(slots=True)
class Process:
    """A process whose threads are seized. `control` is the loop's, and kept in step."""

    pid: int
    threads: Threads
    tracepoints: Tracepoints
    borrowed: Gate
    """Where calls are injected as long as there is no gate of our own."""
    control: Control
    jumps: Jumps
    changed: list[int]
    """The identifiers of sites that were given up: the program, or another tool, has changed the code."""
    made: MadeSites = field(default_factory=MadeSites)
    installed: Installed | None = None
    """The clauses in the process itself, as soon as a jump has needed them."""
    loads: "Loads | None" = None
    sigtrap: Sigtrap = field(default_factory=Sigtrap)
    watched: Watched = field(default_factory=Watched)
    handler_lost: bool = False
    """The kernel has forgotten the safety handler: a hit found SIGTRAP blocked. The next hit puts it back."""
    unusual: set[int] = field(default_factory=set)
    """Threads whose hits the loop can't serve."""
    returning: set[int] = field(default_factory=set)
    """Threads whose returns from signal handlers the engine must see."""
    blocked: "array[int]" = field(default_factory=lambda: array("I"))
    """Threads for which the kernel has SIGTRAP blocked: see trap_mask."""
    lent: list[int] = field(default_factory=list)
    """The signal masks that stand in our memory for rt_sigsuspend, in their order: see trap_mask."""
    own_actions: dict[int, Action] = field(default_factory=dict)
    """What guests have set for SIGTRAP since they were made, each for itself; what the kernel has is the process's."""

    free_guests: set[int] = field(default_factory=set)
    """Guests that we don't trace any more: see free_guests."""

    is_disarmed: bool = False
    """The int3s are gone: see free_guests, and safety."""

    def __post_init__(self) -> None:
        self.threads.keep_signal = self.keep_signal

    def keep_signal(self, tid: int, number: int) -> bool:
        """Have the signal that has stopped a thread come again, if it is resumed without: see Threads.keep_signal."""
        try:
            registers = ptrace.registers(tid)
            if number == SIGTRAP and self.is_trap(tid, registers):
                self.step_back(tid, registers)
                return True
            thread = self.threads.known.get(tid)
            if thread is None or tid in self.threads.held or number in _JOB_CONTROL:
                return False
            if number == SIGTRAP and self.tracepoints.ends_copy(registers.rip - 1):
                return False
            info = ptrace.signal_info(tid)
            if number == SIGTRAP and info.code == signals.SI_KERNEL:
                size = self._size_of_int3_before(registers.rip)
                ptrace.set_registers(tid, replace(registers, rip=registers.rip - size))
            elif number in signals.FAULTS and info.code > 0:
                return False  # what has faulted does so again
            else:
                signals.put_off(thread, self.tracepoints, self.pid)
        except (OSError, ProcessGone):
            return False
        return True

    def _size_of_int3_before(self, address: int) -> int:
        """Return the size of the int3 that ends at an address, 0 if none does. Raises OSError if nothing is mapped."""
        memory = self.tracepoints.memory
        try:
            before = memory.read(address - 2, 2)
        except OSError:
            before = memory.read(address - 1, 1)
        return next((len(int3) for int3 in _INT3S if before.endswith(int3)), 0)

    @property
    def gate(self) -> Gate:
        """Where calls are injected."""
        return self.tracepoints.space.gate(self.tracepoints.memory, self.borrowed)

    @property
    def brought(self) -> frozenset[int]:
        """The sites whose every hit comes to the engine."""
        loads = {self.loads.breakpoint} if self.loads else frozenset()
        return frozenset((*self.watched.brought, *loads, *self.made.brought))

    def bring_all(self) -> None:
        """Have all those come to the engine from now on."""
        slow = self.brought
        self.tracepoints.bring_all(slow | self.watched.returns if self.returning else slow)

    def has_loaded(self, site: int) -> bool:
        """Tell whether a hit of this site means that libraries have been loaded."""
        if self.loads is None or site != self.loads.breakpoint:
            return False
        try:
            return self.tracepoints.memory.read(self.loads.state, 4) == bytes(4)
        except OSError:
            return False

    def is_trap(self, tid: int, registers: Registers) -> bool:
        """Tell whether a thread stopped with SIGTRAP has executed one of our int3s."""
        site, points = registers.rip - 1, self.tracepoints
        if not self.was_int3(site):
            return False
        info = ptrace.signal_info(tid)
        if info.code != signals.SI_KERNEL and not _is_shared(info):
            return False
        # Where we have given up, an int3 that stands is the program's.
        return site not in self.made.gone or self.made.verdict(site, points.memory) is not Verdict.NOT_OURS

    def step_back(self, tid: int, registers: Registers) -> None:
        """Put a thread that has executed one of our int3s back before it, as if it had not."""
        ptrace.set_registers(tid, replace(registers, rip=self.before_trap(registers)))
        self.keep_sent(tid)
        if tid in self.blocked:
            ptrace.set_signal_mask(tid, ptrace.signal_mask(tid) | TRAP_BIT)

    def keep_sent(self, tid: int, *, may_call: bool = False) -> None:
        """Of a thread that has executed one of our int3s: let a SIGTRAP that was sent to it, and that the kernel has
        taken for the one that the int3 raises, be pending again. Where it may wait for sigwaitinfo the thread sends it,
        so that it keeps its sender; that needs a stop that has been taken, or that will not be.
        """
        thread = self.threads.known.get(tid)
        if thread is None:
            return
        info, memory = ptrace.signal_info(tid), self.tracepoints.memory
        if not _is_shared(info):
            return
        may_wait = may_call and tid in self.blocked
        if not (may_wait and requeue.requeue(tid, self.gate, memory, info, to_thread=True)):
            signals.put_off(thread, self.tracepoints, self.pid)

    def was_int3(self, address: int) -> bool:
        """Tell whether an int3 of ours, or of a tracer before us, is at this address or was, be it in the middle of a
        jump.
        """
        return self.tracepoints.was_int3(address) or self.jumps.overlaid(address) is not None

    def before_trap(self, registers: Registers) -> int:
        """Return where a thread that has executed an int3 of ours goes on when that is gone."""
        overlaid = self.jumps.overlaid(registers.rip - 1)
        return registers.rip - 1 if overlaid is None else overlaid.home

    def is_spent(self, tid: int, registers: Registers) -> bool:
        """Tell whether a thread stopped with SIGTRAP is back at its site already, put there by a tracer that was killed
        before it could take the signal away: there is no int3 before it that the program would have executed.
        """
        if ptrace.signal_info(tid).code != signals.SI_KERNEL:
            return False
        try:
            return self._size_of_int3_before(registers.rip) == 0
        except OSError:
            return False

    def heals_copy(self, tid: int, registers: Registers) -> bool:
        """Of a thread stopped with SIGTRAP: tell whether it has met an int3 of ours that the program has copied with
        its code, and take that away.
        """
        address, memory = registers.rip - 1, self.tracepoints.memory
        if not self.made.standing or ptrace.signal_info(tid).code != signals.SI_KERNEL:
            return False
        byte = self.made.copied(address, memory)
        if byte is not None:
            text.restore(memory, {address: byte})
        return byte is not None

    def secure(self, tid: int) -> None:
        """Before sites are armed: provide for our death, in the name of the held thread `tid`."""
        points = self.tracepoints
        if not points.space.regions:
            return
        may_open = all(not procfs.status(each).seccomp for each in self.threads.known)
        handler = safety.write(
            points.memory, points.space.regions, points.displaced, self.made, self.watched, may_open=may_open
        )
        self.note_detour(self.jumps.detour)
        self.is_disarmed = False
        self.sigtrap.install(tid, self.gate, points.memory, handler)

    def note_detour(self, detour: int) -> None:
        """Before jumps are inserted, or (0) unmapped: tell the safety handler about them, if there is one."""
        if self.tracepoints.space.regions:
            safety.note_detour(self.tracepoints.memory, self.tracepoints.space.home, detour)

    def unfit(self, sites: SiteBatch) -> dict[int, str]:
        """Return the places of sites that can't be armed since the program's code isn't what it was when they were
        found, and why; the process is held.
        """
        if not sites.made:
            return {}
        mappings, memory = procfs.mappings(self.pid), self.tracepoints.memory
        reasons = self.made.unfit(sites.made, mappings, self.own_memory, memory)
        found: dict[int, str] = {}
        for place, address in enumerate(sites.addresses):
            made = sites.made_of(address)
            if made is not None:
                reason = reasons.get(made.start) or self.made.unfit_site(made, address)
                if reason is not None:
                    found[place] = reason
        return found

    @property
    def own_memory(self) -> list[tuple[int, int]]:
        """Start and end of all that we have mapped in the process."""
        return [*((region.start, region.end) for region in self.tracepoints.space.regions), *self.jump_memory]

    @property
    def jump_memory(self) -> list[tuple[int, int]]:
        """Those of trampolines, and of the clauses that they call."""
        trampolines = ((region.start, region.start + region.size) for region in self.jumps.regions)
        return [*trampolines, *(self.installed.spans if self.installed is not None else ())]

    def occupied(self) -> frozenset[int]:
        """Return where the held threads are."""
        return frozenset(map(ptrace.instruction_pointer, self.threads.held))

    def restore_text(self, memory: Memory) -> "array[int]":
        """Take our int3s away in the process's memory, or in a copy of it; all threads that use it are stopped. Return
        where some stood.
        """
        displaced, strangers = self.tracepoints.displaced, self.made.strangers(memory)
        ours = displaced.without(strangers) if strangers else displaced
        return text.restore(memory, ours, self.watched.last)

    def give_up(self, site: int) -> None:
        """Leave a site to the program, which has put other code there."""
        self.made.give_up(site)
        self.bring_all()
        safety.strike(self.tracepoints.memory, self.tracepoints.space.region_of(site), site)

    def spare_thread(self) -> int | None:
        """Return a held thread of the process in whose name calls can be injected: its stop loses nothing
        by that.
        """
        threads = self.threads
        if self.has_executed:
            return None
        held = [
            tid for tid in threads.held if not threads.known[tid].guest and tid not in threads.before_vfork
        ]
        for tid in held:
            meaning = decode(self.threads.held[tid])
            if not isinstance(meaning, SignalStop | EventStop) and tid not in self.threads.inside_call:
                return tid
        for tid in held:
            thread = self.threads.known[tid]
            with contextlib.suppress(ProcessLookupError, TraceeEnded):
                if tid in self.threads.inside_call:
                    inject.finish_call(tid)
                    self.threads.inside_call.remove(tid)
                    return tid
                registers = ptrace.registers(tid)
                if self.is_trap(tid, registers):
                    self.step_back(tid, registers)
                elif self.tracepoints.ends_copy(registers.rip - 1):
                    ptrace.set_registers(tid, replace(registers, rip=self.before_trap(registers)))
                elif self._waits_for_trap(tid) and self.is_spent(tid, registers):
                    pass
                elif isinstance(decode(self.threads.held[tid]), SignalStop):
                    signals.put_off(thread, self.tracepoints, self.pid)
                self.threads.held[tid] = PLAIN_STOP
                return tid
        return None

    @property
    def has_executed(self) -> bool:
        """Whether the process, held, is in the stop of exec: nothing of what is known of it is there any more."""
        status = self.threads.held.get(self.pid)
        return status is not None and decode(status) == EventStop(Event.EXEC)

    def _waits_for_trap(self, tid: int) -> bool:
        meaning = decode(self.threads.held[tid])
        return isinstance(meaning, SignalStop) and meaning.signal == SIGTRAP

    def block_in_kernel(self, tid: int, *, blocked: bool) -> None:
        """Note whether the kernel has SIGTRAP blocked in a thread, for the loop too."""
        if blocked != (tid in self.blocked):
            self.blocked = array(
                "I", [*self.blocked, tid] if blocked else (n for n in self.blocked if n != tid)
            )
            self.control.blocked, self.control.blocked_count = self.blocked.buffer_info()

    def note(self, thread: Thread) -> None:
        """Keep the hot loop away from hits as long as some thread is unusual, from sigreturn while it is to
        be watched.
        """
        if thread.returns_matter != (thread.tid in self.returning):
            self.returning ^= {thread.tid}
            self.bring_all()
        if thread.usual:
            self.unusual.discard(thread.tid)
        else:
            self.unusual.add(thread.tid)
        self._tell_loop()

    def _tell_loop(self) -> None:
        self.control.every_hit = len(self.unusual) + self.handler_lost

    def look_at_handler(self) -> None:
        """See whether the kernel still has the safety handler, where it should."""
        own = next((tid for tid, thread in self.threads.known.items() if not thread.guest), None)
        if self.sigtrap.safe and own is not None:
            self.handler_lost = not has_handler(own, SIGTRAP)
            self._tell_loop()

    def own_handler_is_spent(self) -> None:
        """Note that the kernel has called the handler that the program has set for SIGTRAP to be called once: the next
        hit puts the safety handler in its place.
        """
        self.sigtrap.spend(self.tracepoints.memory)
        self.handler_lost = self.sigtrap.safe
        self._tell_loop()

    def handler_is_back(self) -> None:
        """Note that the kernel has it again."""
        self.handler_lost = False
        self._tell_loop()

    @property
    def own_threads(self) -> int:
        """How many threads are the process's own."""
        return sum(not thread.guest for thread in self.threads.known.values())

    def note_birth(self, tid: int) -> None:
        """Of a thread or child that has been born, and has not run: let trampolines lock if it is a second thread.

        The only one so far that executes them is in the kernel, or held: due when the first of the two stops is seen.
        """
        if self.jumps.alone:
            with contextlib.suppress(ProcessGone):
                if procfs.status(tid).tgid == self.pid:
                    self.jumps.lock()

    def set_gate(self) -> None:
        """Have clauses in the process look who runs them as long as there are guests, which don't count.

        They ask the kernel; under seccomp, which may forbid that, nobody counts meanwhile.
        """
        if self.installed is None:
            return
        if not (self.free_guests or any(thread.guest for thread in self.threads.known.values())):
            self.installed.set_gate(GATE_OPEN)
        else:
            with contextlib.suppress(ProcessGone):
                filtered = procfs.status(self.pid).seccomp
                self.installed.set_gate(GATE_SHUT if filtered else GATE_GUARDED)

    def has_free_guests(self) -> bool:
        """Forget the free guests that don't share the memory any more; tell whether any are left."""
        gone = {tid for tid in self.free_guests if not self.threads.shares_memory(tid, if_unknown=True)}
        if gone:
            self.free_guests -= gone
            self.set_gate()
        return bool(self.free_guests)

    def forget(self, tid: int) -> bool:
        """Drop a thread that has ended or gone free; tell whether any of the process's own is left."""
        thread = self.threads.known.get(tid, Thread(tid))
        thread.finishing, thread.late = None, False
        with contextlib.suppress(OSError, ProcessGone):
            self.tracepoints.note_waiting(thread)
        self.threads.forget(tid)
        self.set_gate()
        self.tracepoints.space.chunks.release(Tid(tid))
        self.unusual.discard(tid)
        self.returning.discard(tid)
        self._tell_loop()
        self.block_in_kernel(tid, blocked=False)
        self.own_actions.pop(tid, None)
        return any(not thread.guest for thread in self.threads.known.values())
