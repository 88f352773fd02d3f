"""What this kernel and this user may do with BPF, found by trying; no version is read.

The answers decide the engine and the way to attach, and become the text that tells a user what is missing.
The calls themselves are in `backend.linux.bpf`.
"""

from __future__ import annotations

import errno
import os
import struct
from enum import Enum

from backend.errors import VerifierRejected
from backend.linux import bpf

CAP_SYS_ADMIN, CAP_PERFMON, CAP_BPF = 21, 38, 39


class UprobeMulti(Enum):
    """What the kernel's uprobe_multi link can do."""

    ABSENT = "absent"  # before 6.6
    THREAD_FILTER = (
        "thread filter"  # its pid filter lets through one thread only: before 6.10 and its stable back-ports
    )
    PROCESS_FILTER = "process filter"


# Two instructions: move 0 to r0, and exit.
_RETURN_ZERO = struct.pack("<BBhiBBhi", 0xB7, 0, 0, 0, 0x95, 0, 0, 0)


def uprobe_multi_support() -> UprobeMulti:
    """Return what uprobe_multi can do here, by two calls that must fail.

    "/" is not a regular file, so nothing is ever attached. A kernel that knows the link reads the path and
    answers EBADF, one that does not answers EINVAL. The commit that made the pid filter count processes
    (46ba0e49b642, 6.10) also checks the pid before the path: pid -1 then gives EINVAL, and EBADF before it.
    Raises what `prog_load` raises.
    """
    program = bpf.prog_load(
        bpf.ProgramKind.KPROBE, _RETURN_ZERO, "dtrap_try", bpf.AttachType.TRACE_UPROBE_MULTI
    )
    try:
        if _refusal(program, pid=None) != errno.EBADF:
            return UprobeMulti.ABSENT
        fixed = _refusal(program, pid=0xFFFF_FFFF) == errno.EINVAL
        return UprobeMulti.PROCESS_FILTER if fixed else UprobeMulti.THREAD_FILTER
    finally:
        os.close(program)


def _refusal(program: int, pid: int | None) -> int:
    try:
        link = bpf.uprobe_multi_link(program, "/", (0,), (0,), pid)
    except OSError as error:
        return error.errno or 0
    os.close(link)
    return 0


UPROBE_EVENTS = "/sys/bus/event_source/devices/uprobe"


def missing_privilege() -> str | None:
    """Return what keeps us from loading tracing programs and from attaching them, and what to do about it, or None."""
    try:
        if uprobe_multi_support() is UprobeMulti.ABSENT and not os.path.exists(UPROBE_EVENTS):
            return "this kernel has no uprobes (CONFIG_UPROBES)"
        os.close(bpf.prog_load(bpf.ProgramKind.KPROBE, _RETURN_ZERO, "dtrap_try"))
    except VerifierRejected as rejected:
        return f"the kernel refuses tracing programs: {rejected.log.strip()}"
    except OSError as error:
        return explain_refusal(error.errno or 0, _effective_capabilities(), _lockdown())
    return None


def explain_refusal(number: int, capabilities: int, lockdown: str) -> str:
    """Return the sentence for errno `number` of a refused load, given the effective capability bits and the
    lockdown mode.
    """
    if number == errno.ENOSYS:
        return "this kernel has no bpf(2) (CONFIG_BPF_SYSCALL), or a sandbox hides it"
    if number == errno.EINVAL:
        return "this kernel has no tracing programs (CONFIG_BPF_EVENTS)"
    if number != errno.EPERM:
        return f"the kernel refuses to load programs: {os.strerror(number)}"
    if capabilities >> CAP_SYS_ADMIN & 1 or (capabilities >> CAP_BPF & 1 and capabilities >> CAP_PERFMON & 1):
        if lockdown not in ("", "none"):
            return f"the kernel is locked down ({lockdown}): boot without lockdown={lockdown}"
        return (
            "the capabilities held here do not count for bpf(2): a user namespace or a seccomp filter is"
            " in the way; run dtrap outside the container, or start that with --privileged"
        )
    names = (("CAP_BPF", CAP_BPF), ("CAP_PERFMON", CAP_PERFMON))
    missing = " and ".join(name for name, bit in names if not capabilities >> bit & 1)
    return f"missing {missing}: run it as root (`sudo dtrap …`)"


def _effective_capabilities() -> int:
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith("CapEff:"):
                return int(line.split()[1], 16)
    return 0


def _lockdown() -> str:
    """Return the kernel's lockdown mode ("none", "integrity", "confidentiality"), "" where it has none."""
    try:
        with open("/sys/kernel/security/lockdown", encoding="ascii") as file:
            return file.read().partition("[")[2].partition("]")[0]
    except OSError:
        return ""
