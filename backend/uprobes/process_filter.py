"""A prologue that makes a program run for one process only, where the kernel's own filter can't be relied on.

The kernel's filter is enough with UprobeMulti.PROCESS_FILTER and a living main thread. The prologue is needed
- before that (UprobeMulti.THREAD_FILTER), with no pid given to the link; - when the main thread has exited:
the kernel finds the address space through it, and the link then fires for nobody, without an error. Again no
pid is given to the link; - for probes attached singly, which also fire for a vfork child while it borrows the
address space. Without a pid every process that maps the file traps, and only then is filtered.

It is put in front of compiled instructions, so neither the language nor the code generator knows of it. The
result goes to `backend.uprobes.loader`.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass

from backend.errors import ProcessGone
from backend.linux import procfs
from backend.linux.bpf_features import UprobeMulti

_GET_NS_CURRENT_PID_TGID = 120  # helper, since 5.7
_TGID_AT = -4  # struct bpf_pidns_info {u32 pid, tgid} is kept at fp-8


@dataclass(frozen=True, slots=True)
class ProcessFilter:
    """A process by its number in its own pid namespace, and that namespace as nsfs names it.

    `device` in the kernel's encoding: major << 20 | minor.
    """

    device: int
    inode: int
    process_id: int


@dataclass(frozen=True, slots=True)
class Narrowing:
    """How a run is confined to its process: the pid to attach with (None: all), and the prologue, if one is
    needed.
    """

    attach_pid: int | None
    process: ProcessFilter | None


def narrow(pid: int, support: UprobeMulti) -> Narrowing:
    """Return how to count exactly the threads of process `pid` on a kernel with this support.

    With UprobeMulti.ABSENT, for `attach_singly`. Raises ProcessGone, also for a zombie: what has no thread left must
    not be looked for in every process of the machine.
    """
    try:
        if main_thread_has_exited(pid) and not _has_others(pid):
            raise ProcessGone(pid)
        return _narrow(pid, support)
    except (FileNotFoundError, ProcessLookupError):
        raise ProcessGone(pid) from None


def _narrow(pid: int, support: UprobeMulti) -> Narrowing:
    alive = not main_thread_has_exited(pid)
    match support:
        case UprobeMulti.PROCESS_FILTER if alive:
            return Narrowing(pid, None)
        case UprobeMulti.PROCESS_FILTER | UprobeMulti.THREAD_FILTER:
            return Narrowing(None, filter_for(pid))
        case UprobeMulti.ABSENT:
            # A perf event takes any thread for its whole address space.
            thread = pid if alive else next((tid for tid in procfs.threads(pid) if tid != pid), pid)
            return Narrowing(thread, filter_for(pid))


def main_thread_has_exited(pid: int) -> bool:
    """Whether the first thread is a zombie: others may well live on. Source: proc(5), /proc/PID/stat, field
    3.
    """
    with open(f"/proc/{pid}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].split()[0] in (b"Z", b"X")


def _has_others(pid: int) -> bool:
    """Whether a thread other than the first one lives."""
    return any(not main_thread_has_exited(tid) for tid in procfs.threads(pid) if tid != pid)


def filter_for(pid: int) -> ProcessFilter:
    """Return the filter of a process, `pid` as seen from here. Right for any nesting of containers. Raises
    ProcessGone, OSError.
    """
    try:
        namespace = os.stat(f"/proc/{pid}/ns/pid")
    except (FileNotFoundError, ProcessLookupError):
        raise ProcessGone(pid) from None
    device = os.major(namespace.st_dev) << 20 | os.minor(namespace.st_dev)
    return ProcessFilter(device, namespace.st_ino, procfs.status(pid).namespace_pids[-1])


def with_process_filter(instructions: bytes, process: ProcessFilter) -> bytes:
    """Return the program with a prologue that returns 0 in any other process.

    Jumps of a program are relative, so nothing behind the prologue changes. It uses 8 bytes of stack that the
    program may use again, and hands the context over in r1 as it got it.
    """
    return (
        _op(0xBF, 6, 1)  # r6 = r1: the context, over the call
        + _constant(1, process.device)
        + _constant(2, process.inode)
        + _op(0xBF, 3, 10)
        + _op(0x07, 3, immediate=-8)  # r3 = fp - 8
        + _op(0xB7, 4, immediate=8)  # r4 = size
        + _op(0x85, immediate=_GET_NS_CURRENT_PID_TGID)
        + _op(0x55, 0, offset=3)  # an error: the process is of another namespace; leave
        + _op(0x61, 1, 10, offset=_TGID_AT)
        + _op(0xB7, 2, immediate=process.process_id)
        + _op(0x1D, 1, 2, offset=2)  # ours: skip leaving
        + _op(0xB7, 0)
        + _op(0x95)
        + _op(0xBF, 1, 6)
        + instructions
    )


def _op(code: int, dst: int = 0, src: int = 0, offset: int = 0, immediate: int = 0) -> bytes:
    return struct.pack("<BBhi", code, src << 4 | dst, offset, immediate)


def _constant(register: int, value: int) -> bytes:
    low, high = struct.unpack("<ii", struct.pack("<Q", value))
    return _op(0x18, register, immediate=low) + _op(0, immediate=high)
