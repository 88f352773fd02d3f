"""Leaving a held process: the int3s taken away, and every thread where it would be had it never met one."""

import contextlib
import os
from dataclasses import replace
from signal import SIGTRAP

from backend.errors import ProcessGone
from backend.fasttrap import disposition, safety, signals, trap_mask, upkeep, way_out
from backend.fasttrap.process import Process
from backend.fasttrap.tracee import Thread, signal_set
from backend.linux import ptrace
from backend.linux.wait_status import SignalStop, decode
from scratch.trampoline import GATE_SHUT


def leave(process: Process) -> None:
    """Detach from all held threads, after taking every int3 away and putting SIGTRAP's disposition back.

    The safety handler goes last, when no thread but one is held any more: should the tracer be killed before,
    threads stopped at int3s need it. Where the kernel has forgotten it, or a handler of the program's own, that comes
    back first: threads may be let go with a SIGTRAP for it. A thread that can't be stopped (it waits for its
    vfork child) is let go by the end of the tracer; where all of them do, SIGTRAP's disposition stays as it is.
    """
    last = None
    with contextlib.suppress(ProcessGone):
        for tid in list(process.threads.held):
            _settle(process, tid)
        process.restore_text(process.tracepoints.memory)
        safety.disarmed(process.tracepoints.memory, process.tracepoints.space.regions)
        process.jumps.restore()
        if process.installed is not None:
            process.installed.set_gate(GATE_SHUT)
        upkeep.restore_guests(process)
        last = process.spare_thread()
        if last is not None:
            upkeep.keep_handler(process, last)
    for tid in list(process.threads.held):
        if tid != last:
            _forget(process, tid)
    if last is not None:
        with contextlib.suppress(ProcessGone):
            _move_home(process, last)
            upkeep.restore(process, last)
        _forget(process, last)
    process.tracepoints.memory.close()


def _move_home(process: Process, tid: int) -> None:
    """Bring the thread in whose name the safety handler goes out of its copy, which may end in an int3."""
    with contextlib.suppress(ProcessLookupError):
        registers = ptrace.registers(tid)
        route = process.tracepoints.route_at(registers.rip)
        resume = route and process.tracepoints.translate(route, registers.rip)
        if resume:
            ptrace.set_registers(tid, signals.resumed(registers, resume))


def _forget(process: Process, tid: int) -> None:
    with contextlib.suppress(ProcessLookupError, ProcessGone):
        _let_go(process, process.threads.known[tid], process.threads.held[tid])
    process.threads.forget(tid)


def _settle(process: Process, tid: int) -> None:
    """Bring a thread that has executed an int3, but isn't told yet, to the SIGTRAP that is pending for
    it.
    """
    if isinstance(decode(process.threads.held[tid]), SignalStop):
        return
    with contextlib.suppress(ProcessLookupError, ProcessGone):
        behind, points = ptrace.registers(tid).rip - 1, process.tracepoints
        ours = process.was_int3(behind) or points.ends_copy(behind)
        if ours and signal_set(tid, "SigPnd:") & disposition.TRAP_BIT:
            ptrace.cont(tid)
            process.threads.held[tid] = process.threads.take(os.P_PID, tid)[1]
            _settle(process, tid)


def _let_go(process: Process, thread: Thread, status: int) -> None:
    """Detach from a held thread, its registers as they would be without us."""
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
    ptrace.detach(thread.tid, number or signals.recall_waiting(thread))
