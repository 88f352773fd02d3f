"""prctl(2): what a process says of itself."""

import ctypes

from backend.linux.libc import last_error, libc

_SET_DUMPABLE, _SET_NAME = 4, 15


def set_name(name: str) -> None:
    """Set this thread's name, of which 15 bytes are kept: what ps and /proc/PID/comm show."""
    if libc().prctl(_SET_NAME, ctypes.c_char_p(name.encode()), 0, 0, 0) != 0:
        raise last_error("PR_SET_NAME")


def set_dumpable() -> None:
    """Let processes of the same user look into this one again, after it has changed its user."""
    if libc().prctl(_SET_DUMPABLE, 1, 0, 0, 0) != 0:
        raise last_error("PR_SET_DUMPABLE")
