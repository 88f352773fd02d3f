"""Signals that find a thread in a trampoline or in clauses: they reach the program as if it had never left its text.

The rule is that of `signals`: a signal is delivered where the displaced instructions have either not begun or
completed. The thread is there, or can be put there, at most of a trampoline's boundaries. From the others it runs on
without the signal, and is stopped a moment later, as often as it takes: such a signal was sent from outside, and may
come a moment later as well. It is never stepped: a step ends in a SIGTRAP, of which the program would die if the
tracer were killed then.

A fault of a displaced instruction is the program's, and reaches its handler at the instruction's own place. If that
is in the middle of the window, it is no place to return to as long as the jump is there: `engine` makes a trap of
the jump before.
"""

import contextlib
import os
import time
from dataclasses import dataclass
from signal import SIGKILL, SIGTRAP

from backend.errors import TraceeEnded
from backend.fasttrap.inject import await_stop
from backend.fasttrap.process import Process
from backend.fasttrap.signals import FAULTS, NAMES_THE_INSTRUCTION, resumed, send_waiting
from backend.fasttrap.tracee import PLAIN_STOP, Thread
from backend.linux import procfs, ptrace
from backend.linux.wait_status import WALL, Interrupted, SignalStop, WaitStatus, decode
from scratch.displaced import Resume
from scratch.trampoline import Phase, Place

RUN_S = 50e-6
"""How long a thread runs on before it is stopped again; twice as long if it has not got anywhere, since others have the
processors, and so on up to LONGEST_RUN_S."""
LONGEST_RUN_S = 5e-3
_IN_THE_MIDDLE = (Phase.LEADING, Phase.DISPLACED)
"""Those of a thread that would be in the middle of the jump at home."""
_STOPPED = os.WEXITED | os.WSTOPPED | os.WNOHANG | os.WNOWAIT | WALL


@dataclass(frozen=True, slots=True)
class Fault:
    """The thread stands at a displaced instruction of the window at `site`, in its own text, which has raised
    `signal`.
    """

    site: int
    signal: int


@dataclass(frozen=True, slots=True)
class DealtWith:
    """The thread has been resumed, and will stop again for what it was stopped for."""


def bring_out(process: Process, thread: Thread, meaning: WaitStatus) -> Fault | DealtWith | None:
    """Deal with a thread that is stopped with a signal in a trampoline or in clauses, and with one that was left
    there to run on; return None for every other stop, which is to be dealt with as ever.
    """
    tid = thread.tid
    if not (thread.late or isinstance(meaning, SignalStop)):
        return None
    pc = ptrace.instruction_pointer(tid)
    if not is_inside(process, tid, pc):
        if thread.late:
            thread.late = False
            send_waiting(thread, process.pid)
            process.tracepoints.note_waiting(thread)
        return None
    if isinstance(meaning, SignalStop):
        info = ptrace.signal_info(tid)
        if meaning.signal in FAULTS and info.code > 0 and (fault := _fault(process, thread, meaning.signal)):
            return fault
        if _move_home(process, tid, pc):
            return None
        thread.waiting.append(info)
        thread.late = True
        process.tracepoints.note_waiting(thread)
    elif not isinstance(meaning, Interrupted):
        return None
    _run_on(thread, pc)
    return DealtWith()


def _run_on(thread: Thread, pc: int) -> None:
    """Let a thread run on, and have it stopped again.

    One that stops by itself, for another signal, isn't asked to: it would stop once more before it gets anywhere. And
    it is resumed at once, or the next signal of a timer would be there before it gets anywhere.
    """
    still = pc == thread.ran_from
    thread.run_s = min(2 * thread.run_s, LONGEST_RUN_S) if still else RUN_S
    thread.ran_from = pc
    until = time.monotonic() + thread.run_s
    ptrace.cont(thread.tid)
    while time.monotonic() < until:
        time.sleep(RUN_S)
        if _reports(thread.tid):
            return
    ptrace.interrupt(thread.tid)


def _reports(tid: int) -> bool:
    """Tell whether a thread has stopped or ended; also where its end has been another's, who has its number now."""
    try:
        return os.waitid(os.P_PID, tid, _STOPPED) is not None
    except ChildProcessError:
        return True


def _fault(process: Process, thread: Thread, number: int) -> Fault | None:
    """Put a thread whose displaced instruction has faulted where that is at home; None if it is elsewhere.

    At the site itself it has counted: its repetition is no new hit. Not so if it has come there just now, and its stack
    ends there.
    """
    tid = thread.tid
    registers = ptrace.registers(tid)
    found = process.jumps.place_at(registers.rip)
    if found is None or found[1].phase not in _IN_THE_MIDDLE:
        return None
    home = resumed(registers, _resume(found[1]))
    ptrace.set_registers(tid, home)
    if number in NAMES_THE_INSTRUCTION:
        ptrace.set_signal_info(tid, ptrace.signal_info(tid).with_address(home.rip))
    if home.rip == found[0] and found[1].phase is Phase.DISPLACED:
        thread.repeats.append((found[0], home.rsp))
    return Fault(found[0], number)


def _move_home(process: Process, tid: int, pc: int, *, restored: bool = False) -> bool:
    """Put a thread at home if it is where all of the trampoline has happened or nothing; tell whether it was.

    With the text `restored` the middle of a window is a home as well.
    """
    found = process.jumps.place_at(pc)
    if found is None or found[1].phase is Phase.INSIDE or (found[1].phase in _IN_THE_MIDDLE and not restored):
        return False
    ptrace.set_registers(tid, resumed(ptrace.registers(tid), _resume(found[1])))
    return True


def _resume(place: Place) -> Resume:
    assert place.resume is not None, place
    return place.resume


def bring_home(process: Process, thread: Thread, status: int) -> int:
    """Put a held thread, which is about to be let go, where it would be without us; return the status of the stop that
    it is in then. The text has been restored.

    One in clauses stays there, unless a signal is to be delivered: it finds its way home by itself. Else it runs on
    until it is out, and the signal waits. Raises TraceeEnded.
    """
    if not process.jumps.regions:
        return status
    tid = thread.tid
    if _faults_again(process, thread, status):
        return PLAIN_STOP
    if _is_home(process, tid) or not isinstance(decode(status), SignalStop):
        return status
    thread.waiting.append(ptrace.signal_info(tid))
    thread.late = True
    process.tracepoints.note_waiting(thread)
    while not _is_home(process, tid):
        _run_on(thread, ptrace.instruction_pointer(tid))
        while not _reports(tid):
            if procfs.has_exited(tid):  # as a first thread may while the others, held, will not be heard of
                raise TraceeEnded(tid, SIGKILL)
            time.sleep(RUN_S)
        now = await_stop(tid)
        if isinstance(decode(now), SignalStop) and not _faults_again(process, thread, now):
            thread.waiting.append(ptrace.signal_info(tid))
    return PLAIN_STOP


def _faults_again(process: Process, thread: Thread, status: int) -> bool:
    """If a displaced instruction has faulted, put its thread where that is at home, to fault there by itself: with the
    text restored that is all the signal is needed for.
    """
    meaning = decode(status)
    if not isinstance(meaning, SignalStop) or meaning.signal not in FAULTS - {SIGTRAP}:
        return False
    return ptrace.signal_info(thread.tid).code > 0 and _fault(process, thread, meaning.signal) is not None


def _is_home(process: Process, tid: int) -> bool:
    pc = ptrace.instruction_pointer(tid)
    return not is_inside(process, tid, pc) or _move_home(process, tid, pc, restored=True)


def any_inside(process: Process) -> bool:
    """Tell whether some held thread is there."""
    if not process.jumps.regions:
        return False
    for tid in process.threads.held:
        with contextlib.suppress(ProcessLookupError):
            if is_inside(process, tid, ptrace.instruction_pointer(tid)):
                return True
    return False


def is_inside(process: Process, tid: int, pc: int) -> bool:
    """Tell whether a thread with this pc is in a trampoline, in clauses, or in the vdso on behalf of clauses."""
    if process.jumps.contains(pc):
        return True
    return process.installed is not None and process.installed.contains(tid, pc)
