"""Process file descriptors: they name one process, never a later one with the same number, and poll
readable at its end.

Opening is all that the standard library leaves to be wrapped; the wait loop of a run polls the descriptor.
"""

import os
import select
import signal
from contextlib import suppress


def open_process(pid: int) -> int:
    """Return a close-on-exec pidfd of the process `pid` (a thread-group leader).

    Raises ProcessLookupError if there is none, OSError(EINVAL) if `pid` is a thread that leads no group,
    OSError(ENOSYS) before Linux 5.3. Source: pidfd_open(2).
    """
    return os.pidfd_open(pid)


def ended(pidfd: int) -> bool:
    """Tell whether every thread of the process has ended, reaped or not; doesn't wait."""
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    return bool(poller.poll(0))


def wait_end(pidfd: int, timeout_s: float | None) -> bool:
    """Wait until the process has ended, at most `timeout_s` (for ever if None); tell whether it has."""
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    return bool(poller.poll(None if timeout_s is None else timeout_s * 1000))


def kill(pidfd: int) -> None:
    """Send SIGKILL; a process that has already ended is no error."""
    with suppress(ProcessLookupError):
        send_signal(pidfd, signal.SIGKILL)


def send_signal(pidfd: int, number: int) -> None:
    """Send a signal to the whole process. Raises ProcessLookupError where it has ended."""
    signal.pidfd_send_signal(pidfd, number)
