"""Keeping the traced process as it would be without us, while it runs: signals, SIGTRAP's disposition and
mask, children.

`sigtrap` says what there is to keep and how it is read and written; here is when. Called by `engine` with one
thread stopped.
"""

import contextlib
import errno
from signal import SIGTRAP

from backend.errors import CannotInject, TraceeEnded
from backend.fasttrap import disposition, inject, safety, signals, sigtrap
from backend.fasttrap.process import Process
from backend.fasttrap.tracee import OPTIONS, Memory, Thread, signal_set
from backend.linux import ptrace
from backend.linux.ptrace import Registers


def deliver(process: Process, thread: Thread, number: int) -> None:
    """Pass a signal on to the thread that it has stopped, in a place where the program can have it."""
    used = {slot for each in process.threads.known.values() if (slot := each.finishing) is not None}

    def return_is_seen() -> bool:
        return bool(process.watched.returns) and _has_handler(thread.tid, number)

    signals.deliver(thread, number, process.tracepoints, process.pid, used, return_is_seen)


def foreign_trap(process: Process, thread: Thread) -> None:
    """A SIGTRAP that is not our doing: the program's own int3, or sent to it. Its disposition is what
    the book says; the kernel's is another where ours is in force, and after a hit in a handler of another
    signal that has SIGTRAP blocked.
    """
    if process.sigtrap.safe and process.sigtrap.program.handler == disposition.IGNORE:
        ptrace.cont(thread.tid)
    elif process.sigtrap.safe or _is_spoilt(process, thread):
        signals.put_off(thread, process.tracepoints, process.pid)
        process.sigtrap.safe = False
        _write_action(process, thread, process.sigtrap.program.unblocked())
        ptrace.cont(thread.tid)
    else:
        deliver(process, thread, SIGTRAP)


def others_may_spoil(process: Process, thread: Thread) -> bool:
    """Tell whether another thread may have the kernel forget the handler that this one's SIGTRAP is to call."""
    others = (other for other in process.threads.known.values() if other is not thread)
    return process.sigtrap.program.is_handler and any(not other.guest for other in others)


def put_right(process: Process, thread: Thread) -> None:
    """Give the kernel the program's SIGTRAP handler again if it has been reset, in the name of a held thread other
    than `thread`, whose stop for a signal must remain. Without such a one `foreign_trap` does it.
    """
    if _is_spoilt(process, thread) and (spare := process.spare_thread()) is not None:
        _write_action(process, process.threads.known[spare], process.sigtrap.program.unblocked())


def put_handler_back(process: Process, thread: Thread) -> None:
    """Give the kernel the safety handler again, which it forgets where SIGTRAP is blocked, in the name of a thread that
    has been stopped by one of our int3s: if we were killed, the process would die at its next one.
    """
    if process.sigtrap.safe and process.sigtrap.safety is not None:
        _write_action(process, thread, process.sigtrap.safety)
    process.handler_is_back()


def _is_spoilt(process: Process, thread: Thread) -> bool:
    program = process.sigtrap.program
    return program.is_handler and not program.is_for_once and not _has_handler(thread.tid, SIGTRAP)


def note_return(process: Process, thread: Thread, registers: Registers) -> None:
    """At rt_sigreturn: tell whether a handler returns to the site whose displaced instruction it
    interrupted. What was interrupted deeper in the stack than it returns to is over.
    """
    if registers.rax != sigtrap.RT_SIGRETURN:
        return
    with contextlib.suppress(OSError):
        goes_to = sigtrap.returns_to(registers, process.tracepoints.memory)
        if goes_to in thread.repeats:
            thread.skip = goes_to
        while thread.repeats and thread.repeats[-1][1] <= goes_to[1]:
            thread.repeats.pop()


def note_setting(process: Process, thread: Thread, registers: Registers) -> Registers | None:
    """At rt_sigaction or rt_sigprocmask: keep the book on SIGTRAP. Return registers if the call has been
    answered from it.
    """
    memory = process.tracepoints.memory
    if registers.rax == sigtrap.RT_SIGPROCMASK:
        blocked = sigtrap.mask_after(registers, memory, blocked=thread.blocks_trap)
        if thread.blocks_trap and not blocked and not thread.guest:
            process.handler_lost = process.sigtrap.safe  # by this very trap
        process.block(thread.tid, blocked=blocked)
    if registers.rax != inject.Syscall.RT_SIGACTION or registers.rdi & 0xFFFFFFFF != SIGTRAP:
        return None
    if thread.guest:
        if process.sigtrap.safe and not thread.has_own_action:
            _write_action(process, thread, process.sigtrap.program)
            thread.has_own_action = True
        return None
    try:
        new = process.sigtrap.exchange(registers, memory)
    except OSError as error:
        return sigtrap.returned(registers, -(error.errno or errno.EFAULT))
    if new is not None:
        _write_action(process, thread, new)
    return sigtrap.returned(registers, 0)


def _write_action(process: Process, thread: Thread, action: disposition.Action) -> None:
    with inject.seccomp_suspended(thread.tid, OPTIONS):
        disposition.write_action(thread.tid, process.gate, process.tracepoints.memory, action)


def free_child(process: Process, child: int) -> None:
    """Take from a forked child, at its first stop, what it has inherited of us, and let it go."""
    memory = Memory(child)
    try:
        process.restore_text(memory)
        safety.disarmed(memory, process.tracepoints.space.regions)
        process.jumps.restore_copy(memory)
        if process.sigtrap.safe or process.sigtrap.program.is_handler:
            with contextlib.suppress(CannotInject), inject.seccomp_suspended(child, OPTIONS):
                gate = process.tracepoints.space.gate(memory, process.borrowed)
                disposition.write_action(child, gate, memory, process.sigtrap.program)
    except TraceeEnded:
        return
    finally:
        memory.close()
    ptrace.detach(child)


def ignore_again(tid: int) -> None:
    """Exec keeps an ignored signal ignored but resets a handler, which ours was: set what the program
    had set.
    """
    memory = Memory(tid)
    try:
        disposition.write_action(
            tid, inject.find_gate(tid, memory), memory, disposition.Action(disposition.IGNORE)
        )
    finally:
        memory.close()


def restore_guests(process: Process) -> None:
    """Let the kernel have what the program set for SIGTRAP in guests, which have their own table."""
    with contextlib.suppress(TraceeEnded, ProcessLookupError, CannotInject):
        for guest in [thread for thread in process.threads.known.values() if thread.guest]:
            if guest.tid in process.threads.held and not guest.has_own_action and process.sigtrap.safe:
                memory = process.tracepoints.memory
                disposition.write_action(guest.tid, process.gate, memory, process.sigtrap.program)


def restore(process: Process, tid: int) -> None:
    """Let the kernel have what the program set for SIGTRAP, in the name of the held thread `tid`."""
    with (
        contextlib.suppress(TraceeEnded, ProcessLookupError, CannotInject),
        inject.seccomp_suspended(tid, OPTIONS),
    ):
        process.sigtrap.remove(tid, process.gate, process.tracepoints.memory)


def _has_handler(tid: int, number: int) -> bool:
    return bool(signal_set(tid, "SigCgt:") >> number - 1 & 1)
