"""Leaving a held process: the int3s taken away, every thread where it would be had it never met one, and our memory
unmapped where nobody can need it any more (`own_memory`).
"""

import contextlib
import os
from collections.abc import Sequence
from dataclasses import replace
from signal import SIGTRAP

from backend.errors import ProcessGone, TraceeEnded
from backend.fasttrap import disposition, own_memory, safety, signals, trap_mask, upkeep, way_out
from backend.fasttrap.process import Process
from backend.fasttrap.tracee import Thread, signal_set
from backend.linux import ptrace
from backend.linux.wait_status import SignalStop, decode
from scratch.trampoline import GATE_SHUT


def leave(process: Process) -> None:
    """Detach from all held threads, after taking every int3 away and putting SIGTRAP's disposition back. The jumps have
    been taken away before.

    The safety handler goes last, when no thread but one is held any more: should the tracer be killed before,
    threads stopped at int3s need it. Where the kernel has forgotten it, or a handler of the program's own, that comes
    back first: threads may be let go with a SIGTRAP for it. A thread that can't be stopped (it waits for its
    vfork child) is let go by the end of the tracer; where all of them do, SIGTRAP's disposition stays as it is.
    """
    last = None
    to_unmap: Sequence[tuple[int, int]] = ()
    with contextlib.suppress(ProcessGone):
        for tid in list(process.threads.held):
            _settle(process, tid)
        process.restore_text(process.tracepoints.memory)
        safety.disarmed(process.tracepoints.memory, process.tracepoints.space.regions)
        if process.installed is not None:
            process.installed.set_gate(GATE_SHUT)
        upkeep.restore_guests(process)
        last = process.spare_thread()
        if last is not None:
            upkeep.keep_handler(process, last)
            to_unmap = own_memory.removable(process)
            if to_unmap:
                process.note_detour(0)
    for tid in list(process.threads.held):
        if tid != last and not _forget(process, tid, to_unmap):
            to_unmap = ()
    if last is not None:
        with contextlib.suppress(ProcessGone):
            _move_home(process, last)
            upkeep.restore(process, last)
        _forget(process, last, to_unmap, unmap=True)
    process.tracepoints.memory.close()


def _move_home(process: Process, tid: int) -> None:
    """Bring the thread in whose name the safety handler goes out of its copy, which may end in an int3."""
    with contextlib.suppress(ProcessLookupError):
        registers = ptrace.registers(tid)
        route = process.tracepoints.route_at(registers.rip)
        resume = route and process.tracepoints.translate(route, registers.rip)
        if resume:
            ptrace.set_registers(tid, signals.resumed(registers, resume))


def _forget(process: Process, tid: int, own: Sequence[tuple[int, int]], *, unmap: bool = False) -> bool:
    """Let a held thread go; tell whether it will never come to our memory again. If so `unmap` these ranges before."""
    is_out = True
    with contextlib.suppress(TraceeEnded, ProcessLookupError, ProcessGone):
        thread = process.threads.known[tid]
        number = _send_home(process, thread, process.threads.held[tid])
        if unmap and own and not number and own_memory.is_outside(process, tid):
            own_memory.unmap(process, tid, own)
        number = number or signals.recall_waiting(thread)
        is_out = number != SIGTRAP and (not own or own_memory.is_outside(process, tid))
        ptrace.detach(tid, number)
    process.threads.forget(tid)
    return is_out


def _settle(process: Process, tid: int) -> None:
    """Bring a thread that has executed an int3, but isn't told yet, to the SIGTRAP that is pending for
    it.
    """
    if isinstance(decode(process.threads.held[tid]), SignalStop):
        return
    with contextlib.suppress(TraceeEnded, ProcessLookupError, ProcessGone):
        behind, points = ptrace.registers(tid).rip - 1, process.tracepoints
        ours = process.was_int3(behind) or points.ends_copy(behind)
        pending = signal_set(tid, "SigPnd:") & ~ptrace.signal_mask(tid)
        if ours and pending & disposition.TRAP_BIT:
            ptrace.cont(tid)
            process.threads.held[tid] = process.threads.take(os.P_PID, tid)[1]
            _settle(process, tid)


def _send_home(process: Process, thread: Thread, status: int) -> int:
    """Give a held thread the registers and the mask that it would have without us; return the signal that it is to get
    when it is let go, or 0.
    """
    status = way_out.bring_home(process, thread, status)
    registers = ptrace.registers(thread.tid)
    number, pc = 0, registers.rip
    match decode(status):
        case SignalStop(signal) if signal != SIGTRAP:
            number = signal
        case SignalStop() if process.is_trap(thread.tid, registers):
            process.keep_sent(thread.tid, may_call=True)
            registers = replace(registers, rip=process.before_trap(registers))
        case SignalStop() if process.tracepoints.ends_copy(registers.rip - 1):
            pc -= 1
        case SignalStop() if not process.is_spent(thread.tid, registers):
            number = SIGTRAP
    route = process.tracepoints.route_at(pc)
    resume = route and process.tracepoints.translate(route, pc)
    if number:
        signals.complete_info(thread, process.tracepoints)
    if route and resume:
        registers = signals.resumed(registers, resume)
    ptrace.set_registers(thread.tid, registers)
    trap_mask.give_back(thread)
    if thread.finishing is not None or thread.late:
        signals.send_waiting(thread, process.pid)
        thread.finishing, thread.late = None, False
        process.tracepoints.note_waiting(thread)
    return number
