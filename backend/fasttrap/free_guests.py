"""Guests that we let go before they execute a program, so that who has made them can trace them: gdb starts its
programs with a child of vfork that calls ptrace(PTRACE_TRACEME), and a process has one tracer only.

Where there are no int3s they go free at their first stop. Elsewhere before that call: after it an int3 would stop the
guest for its new tracer, which waits for it in vfork, and neither would ever go on. As the guest has the memory of the
process, the int3s are away until it has executed its program. Nothing is missed by that, since all threads are held and
guests don't count. A guest that takes too long, as one that waits for a held thread, ends the service of traps.
"""

import time
from typing import Final

from backend.fasttrap import safety, upkeep
from backend.fasttrap.inject import Syscall
from backend.fasttrap.process import Process
from backend.fasttrap.tracee import Thread
from backend.linux import procfs, ptrace
from backend.linux.ptrace import Registers

PATIENCE_S: Final = 2.0
"""How long a process is waited for whose children run in its memory."""
_LOOK_S: Final = 0.001
_TRACEME: Final = 0


def let_go_at_birth(process: Process, tid: int) -> bool:
    """Of a guest at its first stop: let it go if it could meet jumps, but no int3, and tell whether that was done.

    Before anything is armed it stays: int3s may come. Under seccomp as well: nothing counts as long as there are
    guests, and nothing tells when a free one is gone.
    """
    may_meet_int3s = not process.is_disarmed and (process.tracepoints.table or process.installed is None)
    if may_meet_int3s or procfs.status(process.pid).seccomp:
        return False
    process.free_guests.add(tid)
    process.set_gate()
    ptrace.detach(tid)
    return True


def is_asking(process: Process, guest: Thread, registers: Registers) -> bool:
    """Tell whether a guest, about to execute the instruction at rip, asks to be traced."""
    is_call = registers.rip in process.watched.tracing and registers.rax == Syscall.PTRACE
    return guest.guest and is_call and registers.rdi == _TRACEME


def let_go(process: Process, guest: Thread) -> None:
    """Let go a guest that is about to ask, and is held as all threads are. The int3s are back afterwards, or the
    process is disarmed.
    """
    points = process.tracepoints
    upkeep.leave_to_guest(process, guest)
    displaced = process.restore_text(points.memory)
    process.free_guests.add(guest.tid)
    process.forget(guest.tid)
    ptrace.detach(guest.tid)
    if are_gone(process):
        points.put_back(displaced)
        points.insert(process.watched.first)
    else:
        safety.disarmed(points.memory, points.space.regions)


def are_gone(process: Process) -> bool:
    """Wait for free guests to leave the memory of the process, which is held; tell whether all have."""
    deadline = time.monotonic() + PATIENCE_S
    while process.has_free_guests() and time.monotonic() < deadline:
        time.sleep(_LOOK_S)
    return not process.free_guests
