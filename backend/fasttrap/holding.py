"""All threads of a process held, and those that have come meanwhile taken in: a thread of its own, a vfork child, which
shares its memory and is our guest, or a forked child, which is set free.
"""

import contextlib
from collections.abc import Iterator

from backend.errors import ProcessGone
from backend.fasttrap import dumpable, free_guests, trap_mask, upkeep
from backend.fasttrap.process import Process
from backend.fasttrap.tracee import Thread
from backend.linux import procfs


def hold(process: Process) -> None:
    """Stop every thread where it is."""
    with taking_in(process):
        process.threads.hold_all()


def hold_others(process: Process, thread: Thread) -> None:
    """Hold all threads but this one, which is held already. Raises ProcessGone if it is killed meanwhile."""
    hold(process)
    if thread.tid not in process.threads.held:
        raise ProcessGone(thread.tid)


@contextlib.contextmanager
def taking_in(process: Process) -> Iterator[None]:
    """Afterwards meet the new ones among the held threads, and drop those known before that have ended."""
    threads = process.threads
    known = set(threads.known)
    yield
    for tid in known - set(threads.known):
        process.forget(tid)
    for tid in [tid for tid in threads.held if tid not in threads.known]:
        is_taken_in = False
        with contextlib.suppress(ProcessLookupError, ProcessGone):  # it has been killed
            is_taken_in = _meet(process, tid)
        if not is_taken_in:
            threads.held.pop(tid)


def come(process: Process, tid: int) -> bool:
    """At the first stop of a thread or child: wait until it is known who has made it, and take it in, or set it free
    and return False. What stops meanwhile is held.
    """
    process.threads.has_come(tid)
    with taking_in(process):
        process.threads.await_maker(tid)
    return _meet(process, tid)


def _meet(process: Process, tid: int) -> bool:
    """Take a thread or child in, or set it free and return False."""
    if procfs.status(tid).tgid == process.pid:
        process.threads.known[tid] = Thread(tid)
        process.note_birth(tid)
        if process.installed is not None:
            process.installed.forget_threads()
    elif dumpable.shares_memory(process, tid):
        if free_guests.let_go_at_birth(process, tid):
            return False
        process.threads.known[tid] = Thread(tid, guest=True)
        process.set_gate()
    else:
        upkeep.free_child(process, tid)
        return False
    trap_mask.inherit(process, process.threads.known[tid])
    return True
