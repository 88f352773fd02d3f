"""The C library, opened once. Every wrapper of a system call in this folder goes through it; nothing else
lives here.

ctypes keeps a copy of errno for each thread (`use_errno`), so that no interpreter activity between the call
and the question can change it: clear it with `ctypes.set_errno(0)` before a call whose -1 may be a result.
"""

import ctypes
import functools
import os


@functools.cache
def libc() -> ctypes.CDLL:
    """Return the C library that this interpreter itself runs on, with errno kept per thread."""
    return ctypes.CDLL(None, use_errno=True)


def last_error(what: str) -> OSError:
    """Return (not raise) the OSError of the call that has just failed; `what` names the request and its
    target.
    """
    number = ctypes.get_errno()
    return OSError(number, f"{what}: {os.strerror(number)}")
