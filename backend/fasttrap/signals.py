"""Signals that find a thread out of line: they reach the program as if it had never left its own text.

The rule: a signal is delivered when the displaced instruction has either not begun or completed, with the
original pc.

- The thread is behind the displaced instruction, on its jump back: pc := where the jump leads. - The
instruction itself faulted: pc := site, and si_addr with it where it names the instruction. The program's
handler sees what it would have seen, and when it returns, the instruction is executed again. That
repetition is no new hit. - Any other signal before the instruction: the signal waits, an int3 is put where
the copy completes, and the thread runs on to it; then the signal is delivered there. Nothing is counted
twice, whatever the handler does. - Copies that don't come back (returns, indirect branches) and system
calls, which may block for ever: pc := site, and the next hit there with the same stack pointer is the
repetition. - A system call that was interrupted and may be restarted stays in its copy, which is its own
and immutable: the kernel steps back by 2 bytes into it.
"""

from collections.abc import Set
from dataclasses import replace
from signal import SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGTRAP

from backend.fasttrap.tracee import Thread
from backend.fasttrap.tracepoints import Route, Tracepoints
from backend.linux import ptrace, threads
from backend.linux.ptrace import Registers
from scratch.displaced import Resume, State

FAULTS = frozenset({SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP})
NAMES_THE_INSTRUCTION = frozenset({SIGILL, SIGFPE, SIGTRAP})
"""Signals whose si_addr is the address of the instruction; for SIGSEGV and SIGBUS it is the memory's."""

_SI_TKILL = -6
_RESTARTS = frozenset((1 << 64) - code for code in (512, 513, 514, 516))
"""Results of a system call that the kernel may restart: ERESTARTSYS, ..NOINTR, ..NOHAND, _RESTARTBLOCK."""

_BY_NUMBER = {1: "rcx", 4: "rsp"}
"""Names in `Registers` of the x86 register numbers that copies set."""


def deliver(thread: Thread, number: int, tracepoints: Tracepoints, pid: int, used: Set[int]) -> None:
    """Deal with the signal-delivery-stop of a thread, and resume it, with the signal or to a place fit for
    it.

    Raises ProcessLookupError or ProcessGone if the thread is killed meanwhile.
    """
    if thread.waiting and thread.finishing is None:
        _put_first_info_back(thread, number)
    pc = ptrace.instruction_pointer(thread.tid)
    route = tracepoints.route_at(pc)
    if route is None:
        ptrace.cont(thread.tid, number)
        return
    info = ptrace.signal_info(thread.tid)
    resume = route.copy.translate(pc)
    assert resume is not None, (hex(pc), route)
    if resume.state is State.COMPLETED:
        if not (route.may_sleep and may_restart(route, ptrace.registers(thread.tid))):
            _move(thread.tid, resume)
        if thread.finishing is not None:
            thread.finishing = None
            send_waiting(thread, pid)
        ptrace.cont(thread.tid, number)
    elif number in FAULTS and info.code > 0:
        _repeat_after_handler(thread, route, resume)
        if number in NAMES_THE_INSTRUCTION:
            ptrace.set_signal_info(thread.tid, info.with_address(route.site))
        ptrace.cont(thread.tid, number)
    elif (stopping := tracepoints.stopping(route, used)) is not None:
        thread.waiting.append(info)
        thread.finishing = stopping.copy.slot
        place = next(offset for offset, known in stopping.copy.boundaries if known == resume)
        if route is not stopping:
            ptrace.set_instruction_pointer(thread.tid, stopping.copy.slot + place)
        ptrace.cont(thread.tid)
    else:
        _repeat_after_handler(thread, route, resume)
        ptrace.cont(thread.tid, number)


def _move(tid: int, resume: Resume) -> None:
    """Put a thread where a copy's boundary stands for."""
    if resume.add_to_rsp or resume.set_registers:
        ptrace.set_registers(tid, resumed(ptrace.registers(tid), resume))
    else:
        ptrace.set_instruction_pointer(tid, resume.address)


def _repeat_after_handler(thread: Thread, route: Route, resume: Resume) -> None:
    home = resumed(ptrace.registers(thread.tid), resume)
    thread.repeat = (route.site, home.rsp)
    ptrace.set_registers(thread.tid, home)


def completed(thread: Thread, registers: Registers, tracepoints: Tracepoints, pid: int) -> bool:
    """At a SIGTRAP: if it is the int3 at which a copy has completed, move on from there and deliver what
    waits.

    False if it is something else.
    """
    address = registers.rip - 1
    route = tracepoints.route_at(address)
    if route is None or not tracepoints.ends_copy(address):
        return False
    resume = route.copy.translate(address)
    assert resume is not None
    _move(thread.tid, resume)
    thread.finishing = None
    if not thread.waiting:
        ptrace.cont(thread.tid)
        return True
    first = thread.waiting.pop(0)
    send_waiting(thread, pid)
    ptrace.set_signal_info(thread.tid, first)
    ptrace.cont(thread.tid, first.signal)
    return True


def send_waiting(thread: Thread, pid: int) -> None:
    """Send the signals that wait for the thread anew: each stops it again, and is then given its first
    siginfo.
    """
    for info in thread.waiting:
        threads.send_signal(pid, thread.tid, info.signal)


def resumed(registers: Registers, resume: Resume) -> Registers:
    """Return the registers as the program would have them at the place that a copy's boundary stands for."""
    changes = {_BY_NUMBER[number]: value for number, value in resume.set_registers}
    return replace(registers, rip=resume.address, **{"rsp": registers.rsp + resume.add_to_rsp, **changes})


def may_restart(route: Route, registers: Registers) -> bool:
    """Tell whether a thread behind the `syscall` of a copy is in a call that the kernel may step back to."""
    return route.may_sleep and registers.orig_rax < 1 << 63 and registers.rax in _RESTARTS


def _put_first_info_back(thread: Thread, number: int) -> None:
    """If the signal that stopped the thread is one that we sent anew, let it carry the siginfo that it came
    with first.
    """
    if ptrace.signal_info(thread.tid).code == _SI_TKILL:
        for waiting in thread.waiting:
            if waiting.signal == number:
                thread.waiting.remove(waiting)
                ptrace.set_signal_info(thread.tid, waiting)
                return
