"""The tracer's CPU follows its tracee's: handing a stop to another CPU costs ten times the stop itself.

Only the tracer is moved; where the traced threads run is the kernel's and the program's affair. With
several threads at work there is no one CPU to follow, and the tracer may run on all that it was allowed to.
"""

import os


class CpuFollower:
    """Follows the thread that hit a site most recently, asked about now and then."""

    def __init__(self) -> None:
        self._allowed = os.sched_getaffinity(0)
        self._current = self._allowed
        self._last_tid = 0

    def follow(self, tid: int) -> None:
        """Move the tracer to where thread `tid` runs, if it was also `tid` last time; else set it free."""
        alone, self._last_tid = tid == self._last_tid, tid
        cpu = _cpu_of(tid) if alone else None
        wanted = self._allowed if cpu is None or cpu not in self._allowed else {cpu}
        if wanted != self._current:
            os.sched_setaffinity(0, wanted)
            self._current = wanted


def _cpu_of(tid: int) -> int | None:
    """Return the CPU that the thread runs on or ran on last: field 39 of /proc/TID/stat, counted after the
    name.
    """
    try:
        with open(f"/proc/{tid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[36])
    except (FileNotFoundError, ProcessLookupError):
        return None
