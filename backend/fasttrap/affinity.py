"""Where the tracer runs: on its tracee's CPU. Handing a stop to another CPU costs several times the stop
itself.

Moving the tracer there is half of it. The kernel wakes the tracee, which the tracer resumes, on an idle CPU
if there is one, since the tracer still runs on this one: so both would wander for ever. A tracer with the
policy SCHED_IDLE doesn't count as running for that decision, and the tracee stays. But such a tracer gets
hardly any time beside a busy competitor, so it is chosen only while the machine has idle CPUs (when it has
none the tracee stays anyway), and given up for a while whenever the tracer had to wait. It takes the right
to leave SCHED_IDLE again (CAP_SYS_NICE or RLIMIT_NICE).

Only the tracer is touched; where the traced threads run is the kernel's and the program's affair. With
several of them at work there is no one CPU to follow, and the tracer runs as any process.
"""

import contextlib
import os
import resource
import time
from typing import Final

LOOK_AT_LOAD_S: Final = 0.1
IDLE_CPUS: Final = 0.6
"""So much of one CPU must be idle for the tracer to give way to everybody: the one that its pair doesn't use.
"""

LONGEST_WAIT_S: Final = 0.003
LONGEST_MEAN_WAIT_S: Final = 30e-6
"""Waiting longer than this for a CPU, between two looks at the load and at each turn, means that the machine
is busy after all. At each turn the tracer waits until its tracee, which has just woken it, is off the CPU:
5 us here.
"""

FIRST_PENALTY_S: Final = 5.0


class CpuFollower:
    """Follows the thread that hit a site most recently; told about it every now and then."""

    def __init__(self) -> None:
        self._allowed = os.sched_getaffinity(0)
        self._current = self._allowed
        self._last_tid = 0
        self._may_yield = _may_leave_idle_policy()
        self._yields = False
        self._has_idle_cpus = False
        self._looked_at = time.monotonic()
        self._idle_s = _idle_s()
        self._waited_s, self._turns = _waits()
        self._not_before = 0.0
        self._penalty_s = FIRST_PENALTY_S

    def follow(self, tid: int) -> None:
        """Move the tracer to where thread `tid` runs, if that is all that hits sites and the machine has time
        to spare.
        """
        alone, self._last_tid = tid == self._last_tid, tid
        if not self._may_yield:
            return
        self._look_at_load()
        cpu = _cpu_of(tid) if alone and self._has_idle_cpus else None
        follows = cpu is not None and cpu in self._allowed
        self._yield(follows)
        self._run_on({cpu} if cpu is not None and follows else self._allowed)

    def rest(self) -> None:
        """Run as any process, before what others wait for: threads that are let go one by one would have us wait."""
        self._yield(False)
        self._run_on(self._allowed)

    def _run_on(self, cpus: set[int]) -> None:
        if cpus != self._current:
            os.sched_setaffinity(0, cpus)
            self._current = cpus

    def _look_at_load(self) -> None:
        now = time.monotonic()
        if now - self._looked_at < LOOK_AT_LOAD_S:
            return
        idle_s, (waited_s, turns) = _idle_s(), _waits()
        enough = idle_s - self._idle_s >= IDLE_CPUS * (now - self._looked_at)
        longest_s = max(LONGEST_WAIT_S, LONGEST_MEAN_WAIT_S * (turns - self._turns))
        had_to_wait = waited_s - self._waited_s > longest_s
        self._looked_at, self._idle_s = now, idle_s
        self._waited_s, self._turns = waited_s, turns
        if self._yields and had_to_wait:
            self._not_before = now + self._penalty_s
            self._penalty_s *= 2
        self._has_idle_cpus = enough and now >= self._not_before

    def _yield(self, wanted: bool) -> None:
        if wanted != self._yields:
            os.sched_setscheduler(0, os.SCHED_IDLE if wanted else os.SCHED_OTHER, os.sched_param(0))
            self._yields = wanted


_CAP_SYS_NICE: Final = 23
_LOWEST_PRIORITY_LIMIT: Final = 20
"""RLIMIT_NICE of 20 allows nice 0. Source: getrlimit(2), sched(7)."""


def _may_leave_idle_policy() -> bool:
    if resource.getrlimit(resource.RLIMIT_NICE)[0] >= _LOWEST_PRIORITY_LIMIT:
        return True
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        capabilities = next((int(line.split()[1], 16) for line in file if line.startswith("CapEff:")), 0)
    return bool(capabilities & 1 << _CAP_SYS_NICE)


def _cpu_of(tid: int) -> int | None:
    """Return the CPU that the thread runs on or ran on last: field 39 of /proc/TID/stat, counted after the
    name.
    """
    with contextlib.suppress(FileNotFoundError, ProcessLookupError), open(f"/proc/{tid}/stat", "rb") as file:
        return int(file.read().rpartition(b")")[2].split()[36])
    return None


def _idle_s() -> float:
    """Return how long the machine's CPUs have been idle since it started, all of them added up."""
    with open("/proc/uptime", encoding="ascii") as file:
        return float(file.read().split()[1])


def _waits() -> tuple[float, int]:
    """Return how long this thread has waited, ready to run, for a CPU in seconds, and how often it got one:
    the second number of schedstat, in ns, and the third.
    """
    with (
        contextlib.suppress(FileNotFoundError),
        open("/proc/thread-self/schedstat", encoding="ascii") as file,
    ):
        _ran_ns, waited_ns, turns = map(int, file.read().split())
        return waited_ns / 1e9, turns
    return 0.0, 0
