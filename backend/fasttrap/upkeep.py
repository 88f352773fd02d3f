"""Keeping the traced process as it would be without us, while it runs: signals, SIGTRAP's disposition and
mask, children.

`sigtrap` says what there is to keep and how it is read and written; here is when. Called by `engine` with one
thread stopped.
"""

import contextlib
import errno
from dataclasses import replace
from signal import SIGTRAP

from backend.errors import CannotInject, TraceeEnded
from backend.fasttrap import disposition, dumpable, inject, safety, signals, sigtrap, trap_mask
from backend.fasttrap.disposition import Action
from backend.fasttrap.process import Process
from backend.fasttrap.tracee import OPTIONS, Memory, Thread, has_handler
from backend.linux import ptrace
from backend.linux.ptrace import Registers
from backend.linux.wait_status import Event, EventStop, decode


def deliver(process: Process, thread: Thread, number: int) -> None:
    """Pass a signal on to the thread that it has stopped, in a place where the program can have it."""
    if not process.sigtrap.always_default:  # else nothing but int3s of ours leads to the safety handler
        _note_interruption(process, thread)
    used = {slot for each in process.threads.known.values() if (slot := each.finishing) is not None}

    def return_is_seen() -> bool:
        return bool(process.watched.returns) and has_handler(thread.tid, number)

    wait = trap_mask.unblock_in_wait(process, thread, number)
    if wait is not None:
        # It stops again at the handler's first instruction.
        ptrace.interrupt(thread.tid)
    is_delivered = signals.deliver(thread, number, process.tracepoints, process.pid, used, return_is_seen)
    if is_delivered and number == SIGTRAP:
        _note_call(process, thread)
    process.tracepoints.note_waiting(thread)
    if wait is not None:
        process.threads.held[thread.tid] = inject.await_stop(thread.tid)
        trap_mask.return_to_mask(process, thread.tid, wait)


def _note_interruption(process: Process, thread: Thread) -> None:
    space = process.tracepoints.space
    if space.regions and safety.is_in_handler(space.home, ptrace.instruction_pointer(thread.tid)):
        process.sigtrap.was_interrupted = True


def _note_call(process: Process, thread: Thread) -> None:
    """The program's handler for SIGTRAP is called: where that is to be once the kernel forgets it."""
    action = _own_action(process, thread)
    if not action.is_for_once:
        return
    if thread.guest:
        process.own_actions[thread.tid] = replace(action, handler=disposition.DEFAULT)
    else:
        process.own_handler_is_spent()


def foreign_trap(process: Process, thread: Thread) -> None:
    """A SIGTRAP that is not our doing: the program's own int3, or sent to it. It has the disposition that the book
    says; in the kernel ours is in force, which calls a handler of the program's by itself, or none where that has been
    lost.
    """
    action = _own_action(process, thread)
    if process.sigtrap.safe and action.handler == disposition.IGNORE:
        ptrace.cont(thread.tid)
    elif process.sigtrap.safe and not action.is_handler:
        process.keep_signal(thread.tid, SIGTRAP)
        process.sigtrap.safe = thread.guest
        _write_action(process, thread, action)
        ptrace.cont(thread.tid)
    elif _is_spoilt(process, thread):
        process.keep_signal(thread.tid, SIGTRAP)
        _write_action(process, thread, process.sigtrap.told)
        ptrace.cont(thread.tid)
    else:
        deliver(process, thread, SIGTRAP)


def others_may_spoil(process: Process, thread: Thread) -> bool:
    """Tell whether another thread may have the kernel forget the handler that this one's SIGTRAP is to call."""
    others = (other for other in process.threads.known.values() if other is not thread)
    return process.sigtrap.program.is_handler and any(not other.guest for other in others)


def put_right(process: Process, thread: Thread) -> None:
    """Give the kernel the handler that calls the program's own again if it has been reset, in the name of a held thread
    other than `thread`, whose stop for a signal must remain. Without such a one `foreign_trap` does it.
    """
    if _is_spoilt(process, thread) and (spare := process.spare_thread()) is not None:
        _write_action(process, process.threads.known[spare], process.sigtrap.told)


def put_handler_back(process: Process, thread: Thread) -> None:
    """Give the kernel the safety handler again, which it forgets where SIGTRAP is blocked, in the name of a thread that
    has been stopped by one of our int3s: if we were killed, the process would die at its next one.
    """
    if process.sigtrap.safe:
        _write_action(process, thread, process.sigtrap.told)
    process.handler_is_back()


def keep_handler(process: Process, tid: int) -> None:
    """Before threads are let go: see to it that the kernel has the handler that it ought to have, in the name of the
    held thread `tid`.
    """
    with contextlib.suppress(TraceeEnded, ProcessLookupError, CannotInject):
        process.look_at_handler()
        if process.handler_lost:
            put_handler_back(process, process.threads.known[tid])


def _is_spoilt(process: Process, thread: Thread) -> bool:
    return _own_action(process, thread).is_handler and not has_handler(thread.tid, SIGTRAP)


def note_return(process: Process, thread: Thread, registers: Registers) -> None:
    """At rt_sigreturn: tell whether a handler returns to the site whose displaced instruction it
    interrupted. What was interrupted deeper in the stack than it returns to is over. The mask that it returns to is
    noted as well.
    """
    if registers.rax != sigtrap.RT_SIGRETURN:
        return
    if thread.was_blocking:
        trap_mask.note_return(process, thread, registers)
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
    if registers.rax == sigtrap.RT_SIGPROCMASK:
        was_blocked = thread.tid in process.blocked
        answered = trap_mask.exchange(process, thread, registers)
        if was_blocked and thread.tid not in process.blocked and not thread.guest:
            process.handler_lost = process.sigtrap.safe  # by this very trap
        return answered
    if registers.rax != inject.Syscall.RT_SIGACTION:
        return None
    if registers.rdi & 0xFFFFFFFF != SIGTRAP:
        return None if thread.guest else trap_mask.exchange_action(process, thread, registers)
    if thread.guest and not process.sigtrap.safe:
        return None
    memory = process.tracepoints.memory
    try:
        if thread.guest:
            new = _note_own_action(process, thread, registers)
        else:
            new = process.sigtrap.exchange(registers, memory)
    except OSError as error:
        return sigtrap.returned(registers, -(error.errno or errno.EFAULT))
    if new is not None:
        _write_action(process, thread, new)
    return sigtrap.returned(registers, 0)


def _note_own_action(process: Process, guest: Thread, registers: Registers) -> Action | None:
    """Answer a guest's rt_sigaction for SIGTRAP; return what the kernel is to be given. It keeps the safety handler,
    also where posix_spawn takes all handlers away: the guest is among our int3s until it executes a program.
    """
    current = _own_action(process, guest)
    new = sigtrap.exchange_action(registers, process.tracepoints.memory, current)
    if new is None:
        return None
    process.own_actions[guest.tid] = new
    return new.unblocked() if new.is_handler else None


def _own_action(process: Process, thread: Thread) -> Action:
    """Return what the program has set for SIGTRAP where a thread is concerned."""
    return process.own_actions.get(thread.tid, process.sigtrap.program)


def _write_action(process: Process, thread: Thread, action: disposition.Action) -> None:
    """Give the kernel a disposition for SIGTRAP in the name of a stopped thread, unless a sandbox keeps us from it."""
    with contextlib.suppress(CannotInject), inject.seccomp_suspended(thread.tid, OPTIONS):
        disposition.write_action(thread.tid, process.gate, process.tracepoints.memory, action)


def free_child(process: Process, child: int) -> None:
    """Take from a forked child, at its first stop, what it has inherited of us, and let it go. Where its memory can't
    be had the safety handler, which it has inherited as well, takes the int3s away at the first.
    """
    try:
        memory = dumpable.memory_of_child(process, child)
    except TraceeEnded:
        return
    except CannotInject:
        ptrace.detach(child)
        return
    try:
        process.restore_text(memory)
        safety.disarmed(memory, process.tracepoints.space.regions)
        process.jumps.restore_copy(memory)
        if process.sigtrap.safe or process.sigtrap.program.is_handler or process.sigtrap.masking:
            with contextlib.suppress(CannotInject), inject.seccomp_suspended(child, OPTIONS):
                gate = process.tracepoints.space.gate(memory, process.borrowed)
                disposition.write_action(child, gate, memory, process.sigtrap.program)
                trap_mask.block_in_handlers(child, gate, memory, process.sigtrap.masking)
    except TraceeEnded:
        return
    finally:
        memory.close()
    if process.threads.is_born_blocking(child):
        trap_mask.block(child)
    ptrace.detach(child)


def secure_guests(process: Process) -> None:
    """Give the safety handler to guests that were made before it was there: they have a table of their own."""
    if not process.sigtrap.safe:
        return
    for guest in [thread for thread in process.threads.known.values() if thread.guest]:
        if _can_be_called(process, guest):
            with contextlib.suppress(TraceeEnded, ProcessLookupError, CannotInject):
                _write_action(process, guest, process.sigtrap.told)


def _can_be_called(process: Process, guest: Thread) -> bool:
    """Tell whether calls can be made in a guest's name: it is held, in our memory still, and not inside a call."""
    status = process.threads.held.get(guest.tid)
    if status is None or guest.tid in process.threads.inside_call | process.threads.before_vfork:
        return False
    return decode(status) != EventStop(Event.EXEC)


def free_guest(process: Process, guest: Thread) -> None:
    """Let a guest go, which has just executed a program."""
    if process.sigtrap.safe and _own_action(process, guest).handler == disposition.IGNORE:
        inject.finish_call(guest.tid)
        ignore_again(guest.tid)
    trap_mask.give_back(guest)
    ptrace.detach(guest.tid)


def ignore_again(tid: int) -> None:
    """Exec keeps an ignored signal ignored but resets a handler, which ours was: set what the program
    had set. Not in a program that its user may execute but not read.
    """
    try:
        memory = Memory(tid)
    except PermissionError:
        return
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
            if _can_be_called(process, guest) and process.sigtrap.safe:
                memory, action = process.tracepoints.memory, _own_action(process, guest)
                disposition.write_action(guest.tid, process.gate, memory, action)


def leave_to_guest(process: Process, guest: Thread) -> None:
    """Let the kernel have what the program set for SIGTRAP in a held guest that is about to be let go."""
    if process.sigtrap.safe:
        _write_action(process, guest, _own_action(process, guest))
    trap_mask.give_back(guest)


def restore(process: Process, tid: int) -> None:
    """Let the kernel have what the program set of SIGTRAP, in the name of the held thread `tid`."""
    with (
        contextlib.suppress(TraceeEnded, ProcessLookupError, CannotInject),
        inject.seccomp_suspended(tid, OPTIONS),
    ):
        trap_mask.give_back_handlers(process, tid)
        process.sigtrap.remove(tid, process.gate, process.tracepoints.memory)
