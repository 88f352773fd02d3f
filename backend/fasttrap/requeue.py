"""A signal queued once more for a thread or process, by a call made in the thread's own name: the kernel lets nobody
else say that kill(2) or tgkill(2) has sent it, and who did.
"""

from backend.errors import CannotInject
from backend.fasttrap import inject
from backend.fasttrap.disposition import lent
from backend.fasttrap.inject import Gate, Syscall
from backend.fasttrap.tracee import OPTIONS, Memory
from backend.linux import procfs
from backend.linux.ptrace import SignalInfo


def requeue(tid: int, gate: Gate, memory: Memory, info: SignalInfo, *, to_thread: bool) -> bool:
    """Queue a signal with this siginfo for the held thread `tid`, or its process; tell whether that could be done.
    Afterwards the thread is in a PTRACE_EVENT_STOP, and has not met the signal yet.
    """
    process, own = _own_number(procfs.status(tid).tgid), _own_number(tid)
    try:
        with inject.seccomp_suspended(tid, OPTIONS), lent(tid, memory, SignalInfo.SIZE) as buffer:
            memory.write(buffer, info.raw)
            if to_thread:
                number = Syscall.RT_TGSIGQUEUEINFO
                return inject.call(tid, gate, number, process, own, info.signal, buffer) == 0
            return inject.call(tid, gate, Syscall.RT_SIGQUEUEINFO, process, info.signal, buffer) == 0
    except (OSError, CannotInject):
        return False


def _own_number(tid: int) -> int:
    """Return a thread's number as its own namespace has it."""
    numbers = procfs.status(tid).namespace_pids
    return numbers[-1] if numbers else tid
