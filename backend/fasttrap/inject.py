"""A system call made by a stopped tracee in our name: for memory (mmap) and for SIGTRAP's disposition
(rt_sigaction).

The call is made at a *gate*: a `syscall` instruction of our own, in scratch memory or, as long as there is
none, in the padding of the vdso; no text is written. Behind it lies the thread's way back (`way_back`):
should the tracer be killed in the middle of the call, the thread goes home by itself. (Where there is no vdso,
a `syscall` is borrowed from the program, and there is no such way.)

The tracee runs from there under PTRACE_SYSCALL with every signal blocked, and is stopped twice, before and
after the call. Unlike a single step these stops force no SIGTRAP, which would reset an ignored or blocked
one. Afterwards registers and mask are put back, and the tracee is led to an ordinary PTRACE_EVENT_STOP: an
interrupted system call of its own restarts only from there, since the kernel looks for restarts where it
looks for signals, which the way out of a system call passes only on demand.
"""

import contextlib
import os
import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Flag, IntEnum, auto

from backend.errors import CannotInject, TraceeEnded
from backend.fasttrap import way_back
from backend.fasttrap.tracee import Memory, await_report, take_report
from backend.linux import procfs, ptrace
from backend.linux.procfs import MappedRange, RemoteAddr
from backend.linux.ptrace import Option
from backend.linux.wait_status import (
    Exited,
    GroupStop,
    Interrupted,
    Killed,
    SignalStop,
    SyscallStop,
    decode,
)

SYSCALL_INSTRUCTION = b"\x0f\x05"
_WORD = 1 << 64
_NO_SYSCALL = _WORD - 1
_LARGEST_ERRNO = 4095
_EVERY_SIGNAL = _WORD - 1
_SEARCH_LIMIT = 1 << 24


class Syscall(IntEnum):
    """Numbers of the system calls that are injected, or watched. Source: arch/x86/entry/syscalls/syscall_64.tbl."""

    CLOSE = 3
    MMAP = 9
    MUNMAP = 11
    RT_SIGACTION = 13
    PTRACE = 101
    RT_SIGQUEUEINFO = 129
    RT_SIGSUSPEND = 130
    PRCTL = 157
    RT_TGSIGQUEUEINFO = 297
    MEMFD_CREATE = 319


@dataclass(frozen=True, slots=True)
class Gate:
    """Where a `syscall` instruction is. With `scratch`, the memory of its process, it is room of our own for a
    way back, which every call writes there and takes away again; without, it is borrowed.
    """

    address: RemoteAddr
    scratch: Memory | None = None


def find_gate(pid: int, memory: Memory, rooms: Iterable[int] = ()) -> Gate:
    """Return a gate in process `pid`: one of the rooms that tracers before us made for theirs, or in the padding
    behind the vdso's code; if nothing of that can be had, a borrowed `syscall` instruction.

    Raises CannotInject if there is none. Ask before any int3 is written: it may lie over such an instruction.
    """
    executable = [mapping for mapping in procfs.mappings(pid) if mapping.executable and mapping.readable]
    for room in (*rooms, *_rooms_of_vdso(executable, memory)):
        if _is_free(room, memory):
            return Gate(RemoteAddr(room), memory)
    for mapping in executable:
        if mapping.path != "[vsyscall]":
            code = procfs.read_memory(pid, mapping.start, min(mapping.size_bytes, _SEARCH_LIMIT))
            offset = code.find(SYSCALL_INSTRUCTION)
            if offset >= 0:
                return Gate(RemoteAddr(mapping.start + offset))
    raise CannotInject(pid, "no `syscall` instruction is mapped")


def lost_rooms(pid: int, memory: Memory, rooms: Iterable[int] = ()) -> list[int]:
    """Return where tracers before us, which have died in the middle of a call, have left a way back: in one of their
    rooms or in the vdso's padding.
    """
    all_rooms = (*rooms, *_rooms_of_vdso(procfs.mappings(pid), memory))
    return [room for room in all_rooms if way_back.is_way_back(memory.read(room, way_back.SIZE))]


def recall(tid: int, rooms: Iterable[int], memory: Memory) -> None:
    """Take a held thread home from a call for a tracer that is dead, if it is in one of these rooms. It might make the
    call at any later time, when we have found things out, or changed them.
    """
    registers = ptrace.registers(tid)
    for room in rooms:
        if room <= registers.rip < room + way_back.SIZE:
            home, mask = way_back.home_from(memory.read(room, way_back.SIZE), registers)
            ptrace.set_registers(tid, home)
            ptrace.set_signal_mask(tid, mask)


_EMPTY = bytes(way_back.SIZE)


def _rooms_of_vdso(mappings: Iterable[MappedRange], memory: Memory) -> list[int]:
    return [
        room for mapping in mappings if mapping.path == "[vdso]" for room in _rooms_behind(mapping, memory)
    ]


def _rooms_behind(mapping: MappedRange, memory: Memory) -> Iterator[int]:
    """Return the rooms at the end of a mapping, up to the last one that holds something else than a way back."""
    for room in range(mapping.end - way_back.SIZE, mapping.start, -way_back.SIZE):
        content = memory.read(room, way_back.SIZE)
        if content != _EMPTY and not way_back.is_way_back(content):
            return
        yield room


def _is_free(room: int, memory: Memory) -> bool:
    """Tell whether there is nothing in a room, and it can be written to. A way back that a tracer left there when it
    was killed stays for ever: its thread may be in a signal handler that will return to it.
    """
    try:
        if memory.read(room, way_back.SIZE) != _EMPTY:
            return False
        memory.write(room, _EMPTY)
    except OSError:
        return False
    return True


def call(tid: int, gate: Gate, number: Syscall, *arguments: int) -> int:
    """Make the stopped tracee execute system call `number` at `gate`; return its result (negative: -errno).

    Required: `tid` is in any ptrace-stop, its options include TRACESYSGOOD. A signal of a
    signal-delivery-stop is not delivered. Afterwards the tracee is in a PTRACE_EVENT_STOP; if its process
    was stopped by a signal meanwhile, that group-stop is reported anew by the next wait after it is
    resumed. Raises TraceeEnded, or the OSError of a request.
    """
    assert len(arguments) <= 6, arguments
    saved, mask = ptrace.registers(tid), ptrace.signal_mask(tid)
    words = dict(
        zip(("rdi", "rsi", "rdx", "r10", "r8", "r9"), (word % _WORD for word in arguments), strict=False)
    )
    if gate.scratch is not None:
        gate.scratch.write(gate.address, way_back.way_back(saved, mask))
    # From here on the thread would go the way back, which also puts the mask back; so the mask is set after.
    ptrace.set_registers(tid, replace(saved, rip=gate.address, rax=number, orig_rax=_NO_SYSCALL, **words))
    ptrace.set_signal_mask(tid, _EVERY_SIGNAL)
    met = _run_to_syscall_stop(tid) | _run_to_syscall_stop(tid)
    result = ptrace.registers(tid).rax
    ptrace.set_signal_mask(tid, mask)
    ptrace.set_registers(tid, saved)
    if gate.scratch is not None:
        gate.scratch.write(gate.address, _EMPTY)
    ptrace.interrupt(tid)  # comes before any signal
    ptrace.cont(tid)
    status = await_stop(tid)
    _send_again(tid, met)
    if met or isinstance(decode(status), GroupStop):
        ptrace.interrupt(tid)
    return result - _WORD if result >= _WORD - _LARGEST_ERRNO else result


def finish_call(tid: int) -> None:
    """Lead a tracee from an event inside a system call (fork, exec) to the end of it, so that others can be
    injected.

    In any other stop this would let it run. Raises TraceeEnded.
    """
    _send_again(tid, _run_to_syscall_stop(tid))


def await_stop(tid: int) -> int:
    """Return the status of a tracee's next stop. Raises TraceeEnded."""
    found = status = 0
    while not found:
        await_report(tid)
        found, status = take_report(tid)
    if isinstance(decode(status), Exited | Killed):
        raise TraceeEnded(tid, status)
    return status


class _Met(Flag):
    """What an injected call met on its way: nothing can block a stop signal."""

    NOTHING = 0
    STOP_SIGNAL = auto()
    STOP = auto()


def _send_again(tid: int, met: _Met) -> None:
    """Send a stop signal that was swallowed on the way. Not before the call is over: it would be taken before the
    first instruction each time, and the call would never be made.
    """
    if _Met.STOP_SIGNAL in met:
        os.kill(tid, signal.SIGSTOP)


def _run_to_syscall_stop(tid: int) -> _Met:
    """Resume until a system call starts or ends; tell what was met."""
    met = _Met.NOTHING
    while True:
        ptrace.syscall(tid)
        match decode(await_stop(tid)):
            case SyscallStop():
                return met
            case SignalStop(signal.SIGSTOP):
                met |= _Met.STOP_SIGNAL
            case GroupStop() | Interrupted():
                met |= _Met.STOP
            case other:
                raise AssertionError(f"thread {tid} stopped for {other} during an injected call")


@contextlib.contextmanager
def seccomp_suspended(tid: int, options: Option) -> Iterator[None]:
    """Within, the stopped tracee's system calls pass no seccomp filter; `options` are those it has and gets
    back.

    A filter answers a call that it doesn't know with an error or with SIGKILL, so without the right to
    suspend it (CAP_SYS_ADMIN) nothing may be injected: CannotInject. Without any filter there is nothing to
    do.
    """
    if procfs.status(tid).seccomp == 0:
        yield
        return
    try:
        ptrace.set_options(tid, options | Option.SUSPEND_SECCOMP)
    except ProcessLookupError:
        raise
    except OSError:
        reason = "it runs under seccomp, and suspending that needs CAP_SYS_ADMIN"
        raise CannotInject(tid, reason) from None
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            ptrace.set_options(tid, options)
