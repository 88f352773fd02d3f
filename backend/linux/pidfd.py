"""Process file descriptors: they name one process, never a later one with the same number, and poll
readable at its end.

Opening is all that the standard library leaves to be wrapped; the wait loop of a run polls the descriptor.
"""

import fcntl
import os
import select
import signal
import struct
from contextlib import suppress
from pathlib import Path
from typing import Final

from backend.linux.wait_status import WALL


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


_GET_INFO: Final = 0xC040FF0B
"""PIDFD_GET_INFO, with a structure of PIDFD_INFO_SIZE_VER0 (64) bytes: first a mask, last, in 4, the exit code."""
_INFO_EXIT: Final = 1 << 3


def killed_by(pidfd: int) -> int | None:
    """Return the signal that has ended the process; None if none has, or it can't be told.

    A child of ours that is still to be waited for tells it, also a zombie that we may trace, and from Linux 6.15 on
    every process that has been waited for. Source: include/uapi/linux/pidfd.h, proc_pid_stat(5) (exit_code).
    """
    with suppress(ChildProcessError):
        found = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT | WALL)
        if found is not None:
            return None if found.si_code == os.CLD_EXITED else found.si_status
    status = _status_of_zombie(pidfd) or _status_of_past(pidfd)
    return status & 0x7F or None


def _status_of_zombie(pidfd: int) -> int:
    """Return the wait status of a process that nobody has waited for yet; 0 if that is not to be had."""
    with suppress(OSError):
        described = Path(f"/proc/self/fdinfo/{pidfd}").read_text(encoding="ascii")
        pid = int(described.partition("Pid:")[2].split()[0])
        if pid > 0:
            fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
            return int(fields[-1]) if fields[0] == b"Z" else 0
    return 0


def _status_of_past(pidfd: int) -> int:
    """Return the wait status of a process that somebody has waited for; 0 where the kernel does not keep it."""
    information = bytearray(struct.pack("<Q56x", _INFO_EXIT))
    with suppress(OSError):
        fcntl.ioctl(pidfd, _GET_INFO, information)
        mask, status = struct.unpack("<Q52xi", information)
        return int(status) if mask & _INFO_EXIT else 0
    return 0
