"""A process that has just been seized and is held, put in order after a tracer which was killed, and nobody else has
done that since: the first thing that the next tracer does, be it dtrap as the guardian or another one on another day.

`safety` says what there is. Scratch memory stays mapped, since threads may be in it, but is made harmless.
"""

import contextlib
import time
from bisect import bisect_right
from collections.abc import Sequence

from backend.errors import CannotInject, TraceeEnded
from backend.fasttrap import disposition, inject, safety, signals
from backend.fasttrap.holding import hold
from backend.fasttrap.process import Process
from backend.fasttrap.safety import Leftover
from backend.fasttrap.tracee import ALL_BLOCKED, OPTIONS, PLAIN_STOP
from backend.linux import ptrace, threads

_LOOK_S = 0.001
_PATIENCE_S = 10.0
ALL_BUT_FAULTS = ALL_BLOCKED & ~sum(1 << number - 1 for number in signals.FAULTS)
"""A signal mask: what a fault or an int3 raises is never blocked, or the program dies of it."""


def recall(process: Process, found: Sequence[Leftover]) -> None:
    """Take threads home that are on their way to a call, or back from it, which a dead tracer makes in their name."""
    memory = process.tracepoints.memory
    lost = inject.lost_rooms(process.pid, memory, [leftover.gate for leftover in found])
    for tid in process.threads.held if lost else ():
        with contextlib.suppress(ProcessLookupError):
            inject.recall(tid, lost, memory)


def put_right(process: Process, found: Sequence[Leftover]) -> None:
    """Take int3s of earlier tracers away, and learn what the program has set for SIGTRAP. Raises ProcessGone."""
    points = process.tracepoints
    if not found:
        return
    _wait_for_handlers(process, found)
    for leftover in found:
        # Whoever has put the text back, the tracer itself or the safety handler, left the copies as they were.
        points.defuse(leftover.start)
    _send_waiting(process, found)
    armed = [leftover for leftover in found if leftover.is_armed]
    displaced = {site: byte for each in armed for site, byte in each.displaced(points.memory).items()}
    ranked = {site: rank for each in armed for site, rank in each.ranked.items()}
    points.take_over([each.start for each in armed], displaced, sorted(ranked, key=ranked.__getitem__))
    tid = process.spare_thread()
    if tid is not None:
        with (
            contextlib.suppress(TraceeEnded, ProcessLookupError, CannotInject),
            inject.seccomp_suspended(tid, OPTIONS),
        ):
            current = disposition.read_action(tid, process.gate, points.memory)
            process.sigtrap.take_over(current, found)


def _send_waiting(process: Process, found: Sequence[Leftover]) -> None:
    """Send the signals that a dead tracer has kept back from threads, unless those have sent them to themselves: who is
    not on the way to the end of a copy that stops has met it.
    """
    for leftover in found:
        for waiting in leftover.waiting:
            thread = process.threads.known.get(waiting.tid)
            pc = _pc(waiting.tid)
            on_its_way = any(each.has_stop(pc) for each in found)
            if thread is not None and (on_its_way or not waiting.at_stop):
                threads.send_signal(signals.process_of(thread, process.pid), thread.tid, waiting.signal)
        if leftover.waiting:
            safety.note_waiting(process.tracepoints.memory, leftover.start, ())


def _wait_for_handlers(process: Process, found: Sequence[Leftover]) -> None:
    """Let threads that are in a safety handler come out of it: they write to the text. What they go on to may make
    threads and children.

    It takes as long as the handler needs for all sites; after that time somebody else keeps them there. Signals wait
    until then: one that is kept back would be there again before the thread has executed a single instruction.
    """
    homes = [leftover for leftover in found if leftover.handler is not None]
    masks: dict[int, int] = {}
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        inside = [tid for tid, status in process.threads.held.items() if status == PLAIN_STOP]
        inside = [tid for tid in inside if _is_in_handler(_pc(tid), homes)]
        if not inside:
            break
        for tid in inside:
            del process.threads.held[tid]
            with contextlib.suppress(ProcessLookupError):
                if tid not in masks:
                    masks[tid] = ptrace.signal_mask(tid)
                    ptrace.set_signal_mask(tid, ALL_BUT_FAULTS)
                ptrace.cont(tid)
        time.sleep(_LOOK_S)
        hold(process)
    for tid in masks.keys() & process.threads.held.keys():
        with contextlib.suppress(ProcessLookupError):
            if ptrace.signal_mask(tid) == ALL_BUT_FAULTS:  # else the handler has returned to another
                ptrace.set_signal_mask(tid, masks[tid])


def _is_in_handler(pc: int, homes: Sequence[Leftover]) -> bool:
    """Tell whether this is in one of the handlers of these regions, ascending: a process may have met many tracers."""
    place = bisect_right(homes, pc, key=lambda home: home.start) - 1
    return place >= 0 and homes[place].is_in_handler(pc)


def _pc(tid: int) -> int:
    try:
        return ptrace.instruction_pointer(tid)
    except ProcessLookupError:
        return 0
