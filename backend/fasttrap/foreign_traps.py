"""SIGTRAPs that are the program's own: raised by an int3 of its, or sent to it."""

from signal import SIGTRAP

from backend.errors import ProcessGone
from backend.fasttrap import inject, trap_mask, upkeep
from backend.fasttrap.holding import hold, hold_others
from backend.fasttrap.process import Process
from backend.fasttrap.tracee import PLAIN_STOP, Thread
from backend.linux import ptrace


def meet(process: Process, thread: Thread) -> None:
    """One has stopped a thread, which enters the program's handler with every other thread held.

    Otherwise one of them could meet an int3 of ours with SIGTRAP blocked, and the kernel forget the handler, just
    before it looks for it: the process would die. The threads stay held, in turn for `Engine.serve` to resume.
    """
    if trap_mask.must_stay_pending(process, thread):
        _keep_pending(process, thread)
        return
    if not upkeep.others_may_spoil(process, thread):
        upkeep.foreign_trap(process, thread)
        return
    threads = process.threads
    is_kept = threads.keep(thread.tid, SIGTRAP)
    hold(process)
    if threads.held.pop(thread.tid, None) is None:
        raise ProcessGone(thread.tid)
    upkeep.put_right(process, thread)
    if is_kept:
        ptrace.cont(thread.tid)
    # That stop is not taken: the signal would be lost if we were killed.
    if not is_kept or threads.look(thread.tid) == SIGTRAP:
        # It stops again at the handler's first instruction.
        ptrace.interrupt(thread.tid)
        upkeep.foreign_trap(process, thread)
    threads.held[thread.tid] = inject.await_stop(thread.tid)


def _keep_pending(process: Process, thread: Thread) -> None:
    """One that was sent has stopped a thread for which the program has blocked it."""
    threads = process.threads
    threads.held[thread.tid] = PLAIN_STOP
    hold_others(process, thread)
    threads.held[thread.tid] = PLAIN_STOP  # and not the signal's stop, which the loop had left there
    trap_mask.keep_pending(process, thread)
