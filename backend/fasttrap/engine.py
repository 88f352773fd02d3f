"""The engine: from a thread's stop at a site to its resumption. Runs in the one thread that seized the process.

The life of a hit. A thread executes the int3 that stands over a site, and stops with SIGTRAP. The hot loop (`loop`) calls
the clauses with its registers, sends it to the site's copy in scratch space (`scratch_space`) and resumes it; the copy
executes the displaced instruction and jumps back behind it. The int3 stays where it is, so no thread slips past. What is
not that simple comes here: the first hit of a site, which makes the copy; signals (`signals`), new threads, forked
children, exec, the end.

A forked child has the int3s in its copy of the text: they are taken away before it runs, and it goes free. A vfork child
shares the memory and keeps it: it is our *guest*, executing copies without counting, until it executes a program.
"""

import contextlib
import ctypes
import os
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from backend.errors import CannotInject, ProcessGone
from backend.fasttrap import inject, text
from backend.fasttrap.affinity import CpuFollower
from backend.fasttrap.loop import Control, HotLoop, Reason, SiteTable
from backend.fasttrap.scratch_space import REACH, ScratchSpace
from backend.fasttrap.signals import Signals
from backend.fasttrap.tracee import OPTIONS, Memory, Thread, Threads, shares_memory
from backend.linux import procfs, ptrace
from backend.linux.ptrace import Option
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
from scratch.displaced import Copy, OutOfLine, Refuse, Way, plan
from scratch.instruction import Undecodable, decode as decode_instruction

SIGTRAP = 5
SI_KERNEL = 0x80
WINDOW_HITS = 128
"""After so many hits the tracer asks where its tracee runs: often enough to matter, too seldom to cost."""

Outcome = Way | Refuse
"""How a site is served, or why it isn't."""

CLAUSES = ctypes.CFUNCTYPE(None, ctypes.c_uint64, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint32)
"""`void hit(uint64_t site, struct user_regs_struct *registers, uint32_t pid, uint32_t tid)`: `site` is the identifier."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The process has ended; there is nothing left to trace."""


@dataclass(frozen=True, slots=True)
class Executed:
    """The process has executed another program: its probes are gone with the old one. It is held in the stop of exec."""


@dataclass(frozen=True, slots=True)
class Called:
    """Something outside (a message, the timer) wants the tracer's attention; the process runs."""


Happening = Ended | Executed | Called


class Engine:
    """One process under trace. `held` between `attach` (or `adopt`) and `go`, and after `hold`; else running."""

    def __init__(self, loop: HotLoop, clauses: int, *, whole_registers: bool) -> None:
        """`clauses`: address of the native function that every hit calls; `whole_registers`: it reads more than rip."""
        self._loop = loop
        self._clauses = CLAUSES(clauses)
        self.control = Control(clauses=clauses, whole_registers=whole_registers, window=WINDOW_HITS)
        self._cpu = CpuFollower()
        self._reset(0)

    def _reset(self, pid: int) -> None:
        self._threads = Threads(pid)
        self._space = ScratchSpace()
        self._displaced: dict[int, int] = {}
        self._copies: dict[int, Copy] = {}
        self._gate: procfs.RemoteAddr | None = None
        self._memory: Memory | None = None
        self._use(SiteTable(()))
        self.control.pid = pid

    def _use(self, table: SiteTable) -> None:
        self.table = table
        table.install(self.control)

    # --- taking and leaving a process -----------------------------------------------------------------------------

    def attach(self, pid: int) -> None:
        """Seize all threads of a running process and hold them. Raises ProcessGone, PermissionError."""
        self._reset(pid)
        self._threads.seize_all()
        self._memory = Memory(pid)

    def adopt(self, pid: int) -> None:
        """Take over our own child, which this thread created and which is held; it outlives us from now on."""
        self._reset(pid)
        ptrace.set_options(pid, OPTIONS)
        self._threads.known[pid] = Thread(pid)
        self._threads.held[pid] = _HELD_STATUS
        self._threads.seize_all()
        self._memory = Memory(pid)

    def go(self) -> Happening | None:
        """Resume every held thread, as the stop that it is held in demands."""
        held, self._threads.held = self._threads.held, {}
        happening: Happening | None = None
        for tid, status in held.items():
            happening = self._dispatch(tid, status) or happening
        return happening

    def hold(self) -> None:
        """Stop the world."""
        self._threads.hold_all()
        for tid in [tid for tid in self._threads.held if tid not in self._threads.known]:
            if self._meet(tid) is None:
                del self._threads.held[tid]

    @property
    def memory(self) -> Memory:
        assert self._memory is not None
        return self._memory

    def detach(self) -> None:
        """Take every int3 away and let the process go, its threads as if they had never met one.

        A thread that can't be stopped (it waits for a vfork child) is let go by the tracer's own end.
        """
        self.hold()
        with contextlib.suppress(ProcessGone):
            for tid in list(self._threads.held):
                self._settle(tid)
            text.restore(self.memory, self._displaced)
        for tid, status in list(self._threads.held.items()):
            with contextlib.suppress(ProcessLookupError):
                ptrace.detach(tid, self._last_word(self._threads.known[tid], status))
            self._threads.forget(tid)
        if self._memory is not None:
            self._memory.close()
            self._memory = None

    def _settle(self, tid: int) -> None:
        """Bring a thread that has executed an int3, but isn't told yet, to the SIGTRAP that is pending for it."""
        if isinstance(decode(self._threads.held[tid]), SignalStop):
            return
        with contextlib.suppress(ProcessLookupError, ProcessGone):
            if ptrace.registers(tid).rip - 1 in self._displaced and _pending(tid) & 1 << SIGTRAP - 1:
                ptrace.cont(tid)
                self._threads.held[tid] = os.waitpid(tid, inject.WALL)[1]
                self._settle(tid)

    def _last_word(self, thread: Thread, status: int) -> int:
        """Put a held thread's registers right for a life without us; return the signal to deliver with the detach."""
        signal = 0
        match decode(status):
            case SignalStop(number) if number != SIGTRAP or not self._rewind(thread):
                signal = number
                self._signals.leave_copy(thread)
            case _:
                self._signals.leave_copy(thread)
        return signal or self._signals.last_waiting(thread)

    def _rewind(self, thread: Thread) -> bool:
        """If the thread has just executed one of our int3s, let it execute what was there instead."""
        registers = ptrace.registers(thread.tid)
        if registers.rip - 1 not in self._displaced or ptrace.signal_info(thread.tid).code != SI_KERNEL:
            return False
        ptrace.set_registers(thread.tid, replace(registers, rip=registers.rip - 1))
        return True

    # --- sites ------------------------------------------------------------------------------------------------------

    def arm(self, sites: Sequence[tuple[int, int]]) -> list[Outcome]:
        """Write an int3 at each site that can be served; return how each is, in the order given.

        `sites`: pairs of address and identifier, none armed before. The process is held. Raises ProcessGone, and
        CannotInject if no executable memory can be had, in which case nothing has been changed.
        """
        code = text.Code(self.memory, self._displaced)
        shadow_stack = "shstk" in procfs.status(self._threads.pid).thread_features
        plans = [_judge(code.at(address), address, shadow_stack=shadow_stack) for address, _ in sites]
        served = sorted(address for (address, _), how in zip(sites, plans, strict=True) if isinstance(how, OutOfLine))
        if served:
            self._map_scratch(served)
        outcomes = [self._outcome(how) for how in plans]
        kept = [site for site, outcome in zip(sites, outcomes, strict=True) if isinstance(outcome, Way)]
        self._use(self.table.with_sites(kept, [len(code.at(address)) for address, _ in kept]))
        for place, address in enumerate(self.table.addresses):
            if address in self._copies:
                continue
        self._displaced |= text.insert(self.memory, (address for address, _ in kept))
        return outcomes
