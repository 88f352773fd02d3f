"""Attaches a loaded program to many places of one file, for one process, and detaches it.

Two ways. `attach_together` makes one uprobe_multi link (Linux 6.6); it is all or nothing in the kernel, so a
refused place is searched for and the rest attached. `attach_singly` is for older kernels: a perf event for
each place, made by libbcc. Perf events of libbcc carry no cookie, so each place gets an instance of the
program with its cookie as a constant (`loader.with_fixed_cookie`). Both ways work from the first kernel that
has ring buffers (5.8); which one to take, `linux.bpf_features.uprobe_multi_support` says.

Measured here (6.18, 2 CPUs, all 2,200 functions of libc): together 27 ms to attach and 75 ms to detach, in
one link; 16 links cost 740 ms to detach one after the other and 150 ms in threads, since each close waits for
RCU grace periods that waiting threads share. Singly: 0.3 ms to attach and 107 ms to detach each, in threads
as well, since the kernel does that under one mutex. A killed holder is detached when it has been reaped (45
ms).

Whose hits are counted: in the kernel a `pid` is all threads of a process, except with
UprobeMulti.THREAD_FILTER, where the program must compare the process id itself and `pid` be None.
`attach_singly` also counts a vfork child while it borrows the address space, so there the program must
compare too. No probe is armed through `pid` once the main thread of the process has exited: the kernel finds
the address space through it. `uprobes.process_filter.narrow` says what to do in each case.

Not here: whether the kernel executes the probed instruction rightly (`uprobes.kernel_rules`, asked before). A
place in a file that no process maps is never refused, only never hit. Offsets are FILE offsets.
"""

from __future__ import annotations

import errno
import os
import resource
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

from backend.errors import ProcessGone
from backend.linux import bpf
from backend.uprobes.loader import with_fixed_cookie

# What the kernel says about one place, as opposed to the whole request: not probeable, not decodable, outside
# the file, ...
PLACE_REFUSED = frozenset(
    (bpf.ENOTSUPP, errno.EOPNOTSUPP, errno.ENOEXEC, errno.EINVAL, errno.EIO, errno.EBUSY)
)
SEARCH_WAYS = 16  # parts of a refused request that are tried at the same time
MAX_ATTEMPTS = 4096  # after so many links the places left are given up as refused
MAX_POINTS_PER_LINK = 1 << 20  # MAX_UPROBE_MULTI_CNT
SPARE_FDS = 64  # left to the rest of the program when each place needs an fd


@dataclass(frozen=True, slots=True)
class Point:
    """A place in a file, and the number that the program gets to see there."""

    offset: int
    cookie: int


@dataclass(frozen=True, slots=True)
class RefusedPoint:
    """A place that the kernel refused, and its errno, which may be ENOTSUPP (524)."""

    point: Point
    errno: int


@dataclass(frozen=True, slots=True)
class Attached:
    """Links that keep a program attached until exit of the context; `refused` are the places it is not
    attached to.
    """

    links: tuple[int, ...]
    refused: tuple[RefusedPoint, ...]

    def __enter__(self) -> Attached:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        detach(self.links)


def detach(links: Sequence[int]) -> None:
    """Close links; no program runs at their places when it returns. Several are closed in threads, to wait
    together.
    """
    lanes = [links[lane::SEARCH_WAYS] for lane in range(min(len(links), SEARCH_WAYS))]
    threads = [threading.Thread(target=_close_all, args=(lane,)) for lane in lanes[1:]]
    for thread in threads:
        thread.start()
    if lanes:
        _close_all(lanes[0])
    for thread in threads:
        thread.join()


def _close_all(links: Sequence[int]) -> None:
    for link in links:
        os.close(link)


def attach_together(
    prog_fd: int, path: str | bytes, points: Sequence[Point], pid: int | None, *, returns: bool = False
) -> Attached:
    """Attach a KPROBE program (loaded with TRACE_UPROBE_MULTI) to all `points` that the kernel accepts, in as
    few links as it takes.

    One link, as a rule. With `returns` it runs where the functions that begin there return.

    Raises ProcessGone, or OSError where it is not a place that is at fault: file gone, no
    permission, no memory.
    """
    search = _Search(prog_fd, path, pid, returns=returns)
    try:
        for first in range(0, len(points), MAX_POINTS_PER_LINK):
            search.attach(points[first : first + MAX_POINTS_PER_LINK])
    except BaseException:
        detach(search.links)
        raise
    search.refused.sort(key=lambda refused: refused.point.offset)
    return Attached(tuple(search.links), tuple(search.refused))


class _Search:
    """The links made and the places refused so far. A refused request is cut into SEARCH_WAYS parts, tried in
    threads.

    In threads, because undoing a half-made link waits for an RCU grace period (50 ms here), which threads
    share.
    """

    def __init__(self, prog_fd: int, path: str | bytes, pid: int | None, *, returns: bool) -> None:
        self.links: list[int] = []
        self.refused: list[RefusedPoint] = []
        self._attempts = 0
        self._prog_fd = prog_fd
        self._path = path
        self._pid = pid
        self._returns = returns

    def attach(self, points: Sequence[Point]) -> None:
        """Attach what can be attached of `points`, level by level of ever smaller parts."""
        level = [points]
        while level:
            failures: list[tuple[Sequence[Point], OSError]] = []
            for first in range(0, len(level), SEARCH_WAYS):
                failures += self._try(level[first : first + SEARCH_WAYS])
            level = []
            for part, error in failures:
                number = error.errno or 0
                if number == errno.ESRCH and self._pid is not None:
                    raise ProcessGone(self._pid) from None
                if number not in PLACE_REFUSED:
                    raise error
                if len(part) == 1 or self._attempts >= MAX_ATTEMPTS:
                    self.refused += [RefusedPoint(point, number) for point in part]
                else:
                    size = -(-len(part) // SEARCH_WAYS)
                    level += [part[first : first + size] for first in range(0, len(part), size)]

    def _try(self, parts: Sequence[Sequence[Point]]) -> list[tuple[Sequence[Point], OSError]]:
        failures: list[tuple[Sequence[Point], OSError]] = []

        def link(part: Sequence[Point]) -> None:
            try:
                offsets = [point.offset for point in part]
                cookies = [point.cookie for point in part]
                link = bpf.uprobe_multi_link(
                    self._prog_fd, self._path, offsets, cookies, self._pid, returns=self._returns
                )
                self.links.append(link)
            except OSError as error:
                failures.append((part, error))

        self._attempts += len(parts)
        threads = [threading.Thread(target=link, args=(part,)) for part in parts[1:]]
        for thread in threads:
            thread.start()
        if parts and parts[0]:
            link(parts[0])
        for thread in threads:
            thread.join()
        return failures


def attach_singly(
    instructions: bytes,
    name: str,
    path: str | bytes,
    points: Sequence[Point],
    pid: int | None,
    *,
    returns: bool = False,
) -> Attached:
    """Attach `instructions` (relocated, KPROBE, any calls of bpf_get_attach_cookie) to each of `points` by a
    perf event of its own.

    With `returns` it runs where the functions that begin there return.

    Needs an fd for each place, so the soft limit is raised as far as the hard one. Cookies must be below 2³¹.
    Raises MissingPackage, VerifierRejected, OSError where not a single place is at fault.
    """
    from backend.linux import libbcc  # here, because only kernels without uprobe_multi need it

    _allow_fds(len(points))
    links: list[int] = []
    refused: list[RefusedPoint] = []
    try:
        for point in points:
            program = bpf.prog_load(
                bpf.ProgramKind.KPROBE, with_fixed_cookie(instructions, point.cookie), name
            )
            try:
                links.append(libbcc.attach_uprobe(program, path, point.offset, pid, returns=returns))
            except OSError as error:
                refused.append(RefusedPoint(point, error.errno or 0))
            finally:
                os.close(program)  # the perf event keeps it
    except BaseException:
        detach(links)
        raise
    return Attached(tuple(links), tuple(refused))


def _allow_fds(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + SPARE_FDS
    if soft != resource.RLIM_INFINITY and soft < needed:
        ceiling = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, ceiling), hard))
