"""What we have mapped in the traced process, taken out of it again when we leave.

A thread that finds its memory gone dies, so this is done only where no thread can be in it or come back to it: all of
them are held and go on in the program's own text, which is in order again, and neither a signal handler nor a system
call that is made again refers to ours. Signals' frames don't, as `signals` and `way_out` see to. Else all of it stays,
as does what a tracer has left behind that was killed.
"""

import contextlib
from collections.abc import Sequence

from backend.errors import CannotInject, ProcessGone, TraceeEnded
from backend.fasttrap import inject, way_out
from backend.fasttrap.inject import Syscall
from backend.fasttrap.process import Process
from backend.fasttrap.tracee import OPTIONS
from backend.linux import ptrace


def removable(process: Process) -> Sequence[tuple[int, int]]:
    """Return start and end of all that can be taken out of a process about to be left, ascending; nothing if any thread
    may be somewhere in there when it has been let go. The process is held, its text restored.

    - A thread that has not been stopped may be in a copy; so may one that we don't know of, and a guest, which has a
      table of handlers of its own.
    - A signal's frame says that a thread returns to the safety handler if that was interrupted by another.
    - The unmapping itself needs a gate elsewhere, with a way back from there.

    Scratch space alone is kept where the safety handler may be called until we have put the program's own in its place,
    since SIGTRAP may be sent to a program that survives it; and where a call that was made with a mask that was lent
    (`trap_mask`) may be made again with it.
    """
    threads, sigtrap = process.threads, process.sigtrap
    if (
        process.borrowed.scratch is None
        or process.is_disarmed
        or process.free_guests
        or any(thread.guest for thread in threads.known.values())
        or sigtrap.was_interrupted
        or not threads.are_all_held()
    ):
        return ()
    is_kept = process.lent or not sigtrap.always_default
    return _merged(process.jump_memory if is_kept else process.own_memory)


def _merged(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the ranges, ascending, neighbours made one."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if merged and merged[-1][1] == start:
            merged[-1] = merged[-1][0], end
        else:
            merged.append((start, end))
    return merged


def is_outside(process: Process, tid: int) -> bool:
    """Tell whether a held thread is neither in our memory nor in a function of the vdso that was called from there."""
    pc = ptrace.instruction_pointer(tid)
    scratch = process.tracepoints.space.regions
    return not way_out.is_inside(process, tid, pc) and not any(
        each.start <= pc < each.end for each in scratch
    )


def unmap(process: Process, tid: int, ranges: Sequence[tuple[int, int]]) -> None:
    """Take these out of the process, in the name of its thread `tid`, the only one that is held still. Nothing is done
    if the safety handler could not be taken away.
    """
    if process.sigtrap.safe:
        return
    with (
        contextlib.suppress(TraceeEnded, OSError, ProcessGone, CannotInject),
        inject.seccomp_suspended(tid, OPTIONS),
    ):
        for start, end in ranges:
            process.tracepoints.memory.read(start, 1)  # raises if the thread has executed another program
            inject.call(tid, process.borrowed, Syscall.MUNMAP, start, end - start)
