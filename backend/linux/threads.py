"""Threads of other processes: signals to one of them, and whether two have one memory."""

import ctypes

from backend.linux.libc import last_error, libc

_RT_SIGQUEUEINFO, _TGKILL, _RT_TGSIGQUEUEINFO, _KCMP = 129, 234, 297, 312
_KCMP_VM = 1


def send_signal(pid: int, tid: int, number: int) -> None:
    """Send a signal to the thread `tid` of process `pid`; one that has ended needs none. Source: tgkill(2)."""
    libc().syscall(_TGKILL, ctypes.c_int(pid), ctypes.c_int(tid), ctypes.c_int(number))


def queue_signal(pid: int, tid: int, number: int, info: bytes) -> bool:
    """Send a signal to the thread `tid` of process `pid` with this `siginfo_t`; tell whether that may be: what the
    kernel or kill(2) has sent can't be sent by others. Source: rt_tgsigqueueinfo(2).
    """
    result = libc().syscall(
        _RT_TGSIGQUEUEINFO, ctypes.c_int(pid), ctypes.c_int(tid), ctypes.c_int(number), info
    )
    return int(result) == 0


def queue_signal_to_process(pid: int, number: int, info: bytes) -> bool:
    """Send a signal to a process with this `siginfo_t`; tell whether that may be, as `queue_signal` does. Source:
    rt_sigqueueinfo(2).
    """
    return int(libc().syscall(_RT_SIGQUEUEINFO, ctypes.c_int(pid), ctypes.c_int(number), info)) == 0


def share_memory(one: int, other: int) -> bool:
    """Tell whether two threads, of one process or of two, have one address space.

    Raises ProcessLookupError when one has ended, OSError where the kernel can't tell. Source: kcmp(2),
    KCMP_VM.
    """
    result = int(libc().syscall(_KCMP, ctypes.c_int(one), ctypes.c_int(other), _KCMP_VM, 0, 0))
    if result < 0:
        raise last_error(f"kcmp of {one} and {other}")
    return result == 0
