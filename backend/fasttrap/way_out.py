"""Signals that find a thread in a trampoline or in clauses: they reach the program as if it had never left its text.

The rule is that of `signals`: a signal is delivered where the displaced instructions have either not begun or
completed. The thread is there, or can be put there, at most of a trampoline's boundaries; from the others it goes
on until it is out.

- First by single steps, a few: the rest of a trampoline is a dozen instructions. A step forces a SIGTRAP, as an
  int3 does, so that where the thread has that blocked it is unblocked meanwhile.
- Clauses may be long. Then the thread runs on without the signal, and is stopped a moment later, as often as it
  takes; such a signal was sent from outside, and may come a moment later as well.

A fault of a displaced instruction is the program's, and reaches its handler at the instruction's own place. If that
is in the middle of the window, it is no place to return to as long as the jump is there: `engine` makes a trap of
the jump before.
"""

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from signal import SIGTRAP

from backend.errors import TraceeEnded
from backend.fasttrap import upkeep
from backend.fasttrap.disposition import TRAP_BIT
from backend.fasttrap.inject import WALL
from backend.fasttrap.process import Process
from backend.fasttrap.signals import FAULTS, NAMES_THE_INSTRUCTION, resumed
from backend.fasttrap.tracee import Thread, signal_set
from backend.linux import ptrace, threads
from backend.linux.ptrace import SignalInfo
from backend.linux.wait_status import (
    Exited,
    GroupStop,
    Interrupted,
    Killed,
    SignalStop,
    WaitStatus,
    decode,
)
from scratch.displaced import Resume
from scratch.trampoline import Phase, Place

FEW_STEPS = 64
"""More than any trampoline has instructions around its clauses."""
RUN_S = 50e-6
"""How long a thread runs on before it is stopped again."""

ALL_STEPS = 1 << 20
"""For a thread that can't be left to run on."""

_TRAP_TRACE = 2
_STEPS = frozenset((1, _TRAP_TRACE))
"""si_code of a step's SIGTRAP: TRAP_BRKPT at the end of a system call, else TRAP_TRACE."""


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
            _send(process, thread, thread.waiting)
        return None
    if isinstance(meaning, SignalStop):
        info = ptrace.signal_info(tid)
        if meaning.signal in FAULTS and info.code > 0 and (fault := _fault(process, thread, meaning.signal)):
            return fault
        if _move_home(process, tid, pc):
            return None
        thread.waiting.append(info)
    elif not isinstance(meaning, Interrupted):
        return None
    return _go_on(process, thread)


def _go_on(process: Process, thread: Thread) -> Fault | DealtWith:
    """Have a thread whose signals wait go on for some steps, and take it from there."""
    tid = thread.tid
    ignored = bool(signal_set(tid, "SigIgn:") & TRAP_BIT)
    steps = step_out(tid, lambda pc: is_inside(process, tid, pc), FEW_STEPS)
    if ignored:
        upkeep.ignore_traps(process, thread)
    fault = _fault(process, thread, steps.met.pop().signal) if steps.fault else None
    thread.waiting += steps.met
    thread.late = not (steps.out or fault)
    if not thread.late:
        _send(process, thread, thread.waiting)
    if fault is not None:
        return fault
    ptrace.cont(tid)
    if thread.late:
        time.sleep(RUN_S)
    if thread.late or steps.interrupted:
        ptrace.interrupt(tid)
    return DealtWith()


def _send(process: Process, thread: Thread, infos: Iterable[SignalInfo]) -> None:
    for info in infos:
        threads.send_signal(process.pid, thread.tid, info.signal)


def _fault(process: Process, thread: Thread, number: int) -> Fault | None:
    """Put a thread whose displaced instruction has faulted where that is at home; None if it is elsewhere.

    At the site itself it has counted: its repetition is no new hit.
    """
    tid = thread.tid
    registers = ptrace.registers(tid)
    found = process.jumps.place_at(registers.rip)
    if found is None or found[1].phase is not Phase.DISPLACED:
        return None
    home = resumed(registers, _resume(found[1]))
    ptrace.set_registers(tid, home)
    if number in NAMES_THE_INSTRUCTION:
        ptrace.set_signal_info(tid, ptrace.signal_info(tid).with_address(home.rip))
    if home.rip == found[0]:
        thread.repeat = (found[0], home.rsp)
    return Fault(found[0], number)


def _move_home(process: Process, tid: int, pc: int, *, restored: bool = False) -> bool:
    """Put a thread at home if it is where all of the trampoline has happened or nothing; tell whether it was.

    With the text `restored` the middle of a window is a home as well.
    """
    found = process.jumps.place_at(pc)
    if (
        found is None
        or found[1].phase is Phase.INSIDE
        or (found[1].phase is Phase.DISPLACED and not restored)
    ):
        return False
    ptrace.set_registers(tid, resumed(ptrace.registers(tid), _resume(found[1])))
    return True


def _resume(place: Place) -> Resume:
    assert place.resume is not None, place
    return place.resume


def bring_home(process: Process, thread: Thread, meaning: WaitStatus) -> None:
    """Put a held thread, which is about to be let go, where it would be without us. The text has been restored.

    One in clauses stays there, unless a signal is to be delivered: it finds its way home by itself.
    """
    if not process.jumps.regions:
        return
    tid = thread.tid
    pc = ptrace.instruction_pointer(tid)
    if not is_inside(process, tid, pc) or _move_home(process, tid, pc, restored=True):
        return
    if not isinstance(meaning, SignalStop):
        return
    info = ptrace.signal_info(tid)
    steps = step_out(tid, lambda pc: is_inside(process, tid, pc), ALL_STEPS)
    thread.waiting += steps.met
    _send(process, thread, steps.met)
    ptrace.set_signal_info(tid, info)


def is_inside(process: Process, tid: int, pc: int) -> bool:
    """Tell whether a thread with this pc is in a trampoline, in clauses, or in the vdso on behalf of clauses."""
    if process.jumps.contains(pc):
        return True
    return process.installed is not None and process.installed.contains(tid, pc)


@dataclass(slots=True)
class Steps:
    """What stepping has come to: `pc`, and whether it is `out`. `met` are signals that came in between and are not
    delivered, `fault` says that the last of them is the thread's own doing; `interrupted` that a stop that somebody
    asked for was used up.
    """

    pc: int
    out: bool = False
    fault: bool = False
    met: list[SignalInfo] = field(default_factory=list)
    interrupted: bool = False


def step_out(tid: int, inside: Callable[[int], bool], limit: int) -> Steps:
    """Step a stopped thread until its pc is not `inside`, or it has made `limit` steps. A signal that it is stopped
    with is not delivered.

    Afterwards it is in a signal-delivery-stop, unless `met` is empty and no step was made. Raises TraceeEnded,
    ProcessLookupError.
    """
    steps = Steps(ptrace.instruction_pointer(tid))
    steps.out = not inside(steps.pc)
    mask = ptrace.signal_mask(tid)
    if mask & TRAP_BIT:
        ptrace.set_signal_mask(tid, mask & ~TRAP_BIT)
    while not steps.out and not steps.fault and limit > 0:
        limit -= _step(tid, steps)
        steps.pc = ptrace.instruction_pointer(tid)
        steps.out = not inside(steps.pc)
    if mask & TRAP_BIT:
        ptrace.set_signal_mask(tid, mask)
    return steps


def _step(tid: int, steps: Steps) -> int:
    """Resume for one step; return how many were made."""
    ptrace.step(tid)
    status = os.waitpid(tid, WALL)[1]
    match decode(status):
        case Exited() | Killed():
            raise TraceeEnded(tid, status)
        case SignalStop(number):
            info = ptrace.signal_info(tid)
            if number == SIGTRAP and info.code in _STEPS:
                return 1
            steps.met.append(info)
            steps.fault = number in FAULTS and info.code > 0
        case Interrupted() | GroupStop():
            steps.interrupted = True
        case other:
            raise AssertionError(f"thread {tid} stopped for {other} in a trampoline")
    return 0
