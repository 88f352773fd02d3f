"""prctl(2): what a process says of itself."""

import ctypes

from backend.linux.libc import last_error, libc

_SET_DUMPABLE, _SET_NAME = 4, 15
_SET_PTRACER = 0x59616D61


def set_name(name: str) -> None:
    """Set this thread's name, of which 15 bytes are kept: what ps and /proc/PID/comm show."""
    if libc().prctl(_SET_NAME, ctypes.c_char_p(name.encode()), 0, 0, 0) != 0:
        raise last_error("PR_SET_NAME")


def set_dumpable() -> None:
    """Let processes of the same user look into this one again, after it has changed its user."""
    if libc().prctl(_SET_DUMPABLE, 1, 0, 0, 0) != 0:
        raise last_error("PR_SET_DUMPABLE")


def allow_tracing_by(pid: int) -> None:
    """Let a process and its descendants trace this one where Yama lets only ancestors do so (ptrace_scope 1).

    Nothing is to be allowed, and nothing happens, where there is no Yama. Source: Documentation/admin-guide/LSM/Yama.
    """
    libc().prctl(_SET_PTRACER, pid, 0, 0, 0)
