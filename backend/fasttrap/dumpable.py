"""A process that has forbidden others of its user to look into it while it is traced (prctl(2), PR_SET_DUMPABLE).

Its files of /proc are root's from then on, and an ordinary user's kcmp(2) and process_vm_readv(2) are refused. Its
tracer keeps what it had: stops and registers of the threads, calls made in their names, and the memory that it has
opened. What else is to be opened the process allows for a moment, by such a call. The same goes for its children, whose
memory has still to be opened. Source: ptrace(2), "Ptrace access mode checking"; kernel/ptrace.c, fs/proc/base.c.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from backend.errors import CannotInject, ProcessGone, TraceeEnded
from backend.fasttrap import inject
from backend.fasttrap.inject import Gate, Syscall
from backend.fasttrap.process import Process
from backend.fasttrap.tracee import OPTIONS, Memory
from backend.linux import procfs, ptrace
from backend.linux.procfs import RemoteAddr
from backend.linux.threads import share_memory

_PR_GET_DUMPABLE: Final = 3
_PR_SET_DUMPABLE: Final = 4
_BY_ROOT: Final = 2
"""What can't be set again (prctl(2)); of an ordinary user it forbids the same as 0, which is set in its place."""

_CLONE_VM: Final = 0x100


@contextmanager
def looked_into(tid: int, gate: Gate) -> Iterator[None]:
    """Within, what /proc has of the held tracee `tid` can be opened. Raises CannotInject, TraceeEnded."""
    if _can_be_opened(tid):
        yield
        return
    if inject.call(tid, gate, Syscall.PRCTL, _PR_GET_DUMPABLE) not in (0, _BY_ROOT):
        raise CannotInject(tid, "its memory can't be opened")
    if inject.call(tid, gate, Syscall.PRCTL, _PR_SET_DUMPABLE, 1) != 0:
        raise CannotInject(tid, "it forbids others to look into it")
    try:
        yield
    finally:
        with suppress(TraceeEnded, ProcessLookupError):
            inject.call(tid, gate, Syscall.PRCTL, _PR_SET_DUMPABLE, 0)


def _can_be_opened(tid: int) -> bool:
    try:
        os.close(ptrace.open_memory(tid))
    except PermissionError:
        return False
    except OSError:
        pass  # it has ended, as whoever opens more will be told
    return True


def shares_memory(process: Process, child: int) -> bool:
    """Tell whether a child at its first stop runs in the memory of the process, as one of vfork does."""
    try:
        return share_memory(procfs.with_memory(process.pid), child)
    except PermissionError:
        registers = ptrace.registers(child)
    match registers.orig_rax:  # the call that it comes from, as its maker made it
        case 58:  # vfork
            return True
        case 56:  # clone
            return registers.rdi & _CLONE_VM != 0
        case 435:  # clone3
            with suppress(OSError, ProcessGone):
                flags = process.tracepoints.memory.read(registers.rdi, 8)
                return int.from_bytes(flags, "little") & _CLONE_VM != 0
    return False


def memory_of_child(process: Process, child: int) -> Memory:
    """Open the memory of a forked child at its first stop. Raises ProcessGone, CannotInject, TraceeEnded."""
    try:
        return Memory(child)
    except PermissionError:
        with inject.seccomp_suspended(child, OPTIONS), looked_into(child, _gate_behind(process, child)):
            return Memory(child)


def _gate_behind(process: Process, child: int) -> Gate:
    """Return the `syscall` instruction that a child at its first stop comes out of: as long as its memory can't be
    written to there is no other. The process has the same there.
    """
    address = ptrace.registers(child).rip - len(inject.SYSCALL_INSTRUCTION)
    with suppress(OSError, ProcessGone):
        if process.tracepoints.memory.read(address, 2) == inject.SYSCALL_INSTRUCTION:
            return Gate(RemoteAddr(address))
    raise CannotInject(child, "it was not made by a `syscall` instruction")
