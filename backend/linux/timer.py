"""A file that becomes readable again and again, in step with the clock. Source: timerfd_create(2)."""

import ctypes
import os
from contextlib import suppress

from backend.linux.libc import last_error, libc

_MONOTONIC = 1
_CLOEXEC_NONBLOCK = 0o2000000 | 0o4000


class Timer:
    """Readable every `period_ns` from now on, until `close`. Raises OSError."""

    def __init__(self, period_ns: int) -> None:
        self._fd: int = libc().timerfd_create(_MONOTONIC, _CLOEXEC_NONBLOCK)
        if self._fd < 0:
            raise last_error("timerfd_create")
        seconds, rest = divmod(period_ns, 1_000_000_000)
        times = (ctypes.c_long * 4)(seconds, rest, seconds, rest)
        if libc().timerfd_settime(self._fd, 0, times, None):
            error = last_error("timerfd_settime")
            os.close(self._fd)
            raise error

    def fileno(self) -> int:
        return self._fd

    def take(self) -> None:
        """Make it unreadable until the next period ends."""
        with suppress(BlockingIOError):
            os.read(self._fd, 8)

    def close(self) -> None:
        os.close(self._fd)
