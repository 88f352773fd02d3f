"""Signal handlers in native code, for a thread that may be in native code when the signal comes.

Python runs its own handlers only between two steps of the interpreter; a loop compiled by LLVM would never
notice.
"""

import ctypes
import fcntl
import os

from backend.linux.libc import last_error, libc


def interrupt_calls(number: int, handler: int) -> None:
    """Make signal `number` run the native `void (*)(int)` at address `handler`, and end blocking calls with
    EINTR.

    Unlike signal.signal this can't be undone by Python, which doesn't know of it; exec resets it. Source:
    siginterrupt(3).
    """
    function = libc().signal
    function.argtypes = (ctypes.c_int, ctypes.c_void_p)
    function.restype = ctypes.c_void_p
    if libc().siginterrupt(number, 1) != 0 or function(number, handler) == ctypes.c_void_p(-1).value:
        raise last_error(f"handler for signal {number}")


def signal_when_readable(descriptor: int) -> None:
    """Have SIGIO sent to this process when `descriptor` becomes readable, or its other end closes."""
    fcntl.fcntl(descriptor, fcntl.F_SETOWN, os.getpid())
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | os.O_ASYNC)
