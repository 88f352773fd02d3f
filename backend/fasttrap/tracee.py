"""The threads of one traced process and its memory: seizing, stopping the world, waiting. No sites, no
signals' fate.

A thread is *held* when its stop has been reported and nothing has resumed it: `held` keeps the raw wait
status, which `engine` later deals with as if it had just arrived. Every function here belongs to the one
thread that traces.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from signal import SIGKILL, SIGRTMAX, SIGSTOP, SIGTRAP

from backend.errors import ProcessGone, TraceeEnded
from backend.linux import procfs, ptrace
from backend.linux.ptrace import Option, SignalInfo
from backend.linux.threads import share_memory
from backend.linux.wait_status import WALL, Event, EventStop, Exited, Killed, SignalStop, decode

WALL_OF_THIS_THREAD = WALL | 0x20000000
"""With __WNOTHREAD: all kinds of tracees, but only ours."""

OPTIONS = Option.TRACESYSGOOD | Option.TRACECLONE | Option.TRACEFORK | Option.TRACEVFORK | Option.TRACEEXEC
"""Without EXITKILL: the process must outlive its tracer."""

PLAIN_STOP = Event.STOP << 16 | SIGTRAP << 8 | 0x7F
"""The status of a stop that demands nothing but resumption, as after PTRACE_INTERRUPT."""


ALL_BLOCKED = ~(1 << SIGKILL - 1 | 1 << SIGSTOP - 1) & (1 << 64) - 1

_SEIZING_S = 0.02
"""Longer than it takes to seize all threads, as a rule."""
_LOOK_S = 0.0001
"""Between looks at threads that may be on their way into vfork: nothing tells when one waits for its child there. And
at one that is waited for while another's report waits to be taken by somebody else.
"""


class Memory:
    """The memory of a traced process, for reading and for writing through protections; a context manager's
    content.

    Every access raises ProcessGone when the address space has gone, by exec or exit.
    """

    def __init__(self, tid: int) -> None:
        self._tid = tid
        try:
            self._descriptor = ptrace.open_memory(procfs.with_memory(tid))
        except (FileNotFoundError, ProcessLookupError):
            raise ProcessGone(tid) from None

    def close(self) -> None:
        os.close(self._descriptor)

    def read(self, address: int, size: int) -> bytes:
        """Return `size` bytes, or fewer where an unmapped page follows. Raises OSError(EIO) if the first
        one is.
        """
        data = os.pread(self._descriptor, size, address)
        if not data:
            raise ProcessGone(self._tid)
        return data

    def write(self, address: int, data: bytes) -> None:
        """Write all of `data`, also over code and read-only pages. Raises OSError(EIO) where nothing is
        mapped.
        """
        if os.pwrite(self._descriptor, data, address) != len(data):
            raise ProcessGone(self._tid)


@dataclass(slots=True)
class Thread:
    """What the engine remembers of a thread between two of its stops; nothing, for most."""

    tid: int
    guest: bool = False
    """A process of its own that shares the memory (a vfork child): its hits execute but don't count."""
    repeats: list[tuple[int, int]] = field(default_factory=list)
    """(site, rsp), the innermost last: its displaced instruction has counted but not been executed, or is a system
    call that may be made again, when a handler was called.
    """
    skip: tuple[int, int] | None = None
    """(site, rsp): that handler has returned to the site, or there was none; the hit there that follows is no new one.
    """
    finishing: int | None = None
    """The spare slot in which this thread completes its copy before the signals in `waiting` are delivered.
    """
    waiting: list[SignalInfo] = field(default_factory=list)
    """Signals that were reported and not delivered yet; while not `finishing` they have been sent anew."""

    late: bool = False
    """It runs on in a trampoline or in clauses, the signals in `waiting` not sent anew yet, and will be stopped."""
    run_s: float = 0.0
    """How long it was let run on last, in seconds, from `ran_from`: see way_out."""
    ran_from: int = 0
    mask_known: bool = False
    blocks_trap: bool = False
    """The program has blocked SIGTRAP in it: see trap_mask."""
    was_blocking: bool = False
    """It had SIGTRAP blocked when it was taken over, and may be in a signal handler, whose return changes that."""

    @property
    def returns_matter(self) -> bool:
        """Whether the engine must see its returns from signal handlers."""
        return self.was_blocking or bool(self.repeats)

    @property
    def usual(self) -> bool:
        """Whether its hits may be served by the hot loop, which leaves all that isn't a site's trap to us
        anyway.
        """
        return not (self.guest or self.skip)


def _signal_of(looked: os.waitid_result) -> int | None:
    """Return the signal that has stopped a tracee; None for any other stop."""
    is_signal = looked.si_code == os.CLD_TRAPPED and looked.si_status <= SIGRTMAX
    return looked.si_status if is_signal else None


def _leave(_: int, __: int) -> bool:
    """Leave a thread as it is: we know nothing of its process yet."""
    return False


class Threads:
    """The seized threads of a process, and which of them are held.

    A thread that is being made is reported twice, in either order: by its maker's event and by its own
    first stop. `expected` are those whose event came first, `early` those whose stop did.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.known: dict[int, Thread] = {}
        self.held: dict[int, int] = {}
        self.keep_signal: Callable[[int, int], bool] = _leave
        """Given a thread and the signal that has stopped it, sees to it that the signal comes again if the thread is
        resumed without it, and tells whether that could be done.
        """
        self.inside_call: set[int] = set()
        """Held threads that are in the middle of a system call (fork and the like), which must end first."""
        self.before_vfork: set[int] = set()
        """Held threads that will wait for their child of vfork: their system call ends when that lets them go."""
        self._expected: set[int] = set()
        self._early: set[int] = set()
        self._born_blocking: set[int] = set()

    def seize_all(self) -> None:
        """Seize every thread of the process that isn't ours yet, until no new one appears, and hold them all.

        Threads that never leave the kernel are let be: none of them meets a site, and no call can be made in its name.
        Raises ProcessGone, or PermissionError: another tracer's, or not ours to trace.
        """
        while True:
            new = [
                tid
                for tid in procfs.threads(self.pid)
                if tid not in self.known and not procfs.has_exited(tid) and not _never_leaves_kernel(tid)
            ]
            with self._ends_taken_meanwhile():
                for tid in new:
                    with contextlib.suppress(ProcessLookupError):
                        # If it is held, a thread of ours has just made it, and it is ours already.
                        if tid not in self.held:
                            _seize(tid)
                        self.known[tid] = Thread(tid)
            self.hold_all()
            if not new:
                break
        if not self.known:
            raise ProcessGone(self.pid)

    @contextlib.contextmanager
    def _ends_taken_meanwhile(self) -> Iterator[None]:
        """Within, what takes long is helped on: a thread that executes a program waits until the ends of all others
        have been taken, of ours by us, and who would seize it waits for that (cred_guard_mutex, kernel/ptrace.c).
        """
        is_over = threading.Event()
        ended: list[int] = []

        def take_ends() -> None:
            while not is_over.wait(_SEIZING_S):
                for tid in self.known.keys() - set(ended):
                    with contextlib.suppress(ChildProcessError):
                        if os.waitid(os.P_PID, tid, os.WEXITED | os.WNOHANG | WALL) is not None:
                            ended.append(tid)

        helper = threading.Thread(target=take_ends, daemon=True)
        helper.start()
        try:
            yield
        finally:
            is_over.set()
            helper.join()
            for tid in ended:
                self.forget(tid)

    def seize_guests(self) -> None:
        """Seize and hold the children of vfork that run in the memory of the process, which is held."""
        while True:
            waiting = [tid for tid in self.known if tid not in self.held]
            made = {child for tid in waiting for child in procfs.children(self.pid, tid)}
            new = [child for child in made - self.known.keys() if self.shares_memory(child)]
            for child in new:
                with contextlib.suppress(ProcessLookupError):
                    _seize(child)
                    self.known[child] = Thread(child, guest=True)
            if not new:
                return
            self.hold_all()
            for child in new:
                self._let_be_if_gone(child)

    def _let_be_if_gone(self, child: int) -> None:
        """Let a child go that has executed a program of its own before it could be seized, and is no guest."""
        status = self.held.get(child)
        meaning = None if status is None else decode(status)
        if meaning in (None, EventStop(Event.EXEC)):
            return  # it has ended, or is met as one that executes a program
        if not self.shares_memory(child, if_unknown=True):
            self.forget(child)
            with contextlib.suppress(ProcessLookupError):
                ptrace.detach(child, meaning.signal if isinstance(meaning, SignalStop) else 0)

    def shares_memory(self, child: int, *, if_unknown: bool = False) -> bool:
        """Tell whether a child has the memory of the process, `if_unknown` where the kernel doesn't tell us."""
        try:
            return share_memory(procfs.with_memory(self.pid), child)
        except (ProcessLookupError, ProcessGone):
            return False
        except OSError:
            return if_unknown

    def hold_all(self) -> None:
        """Stop every thread that runs; one that ends meanwhile is forgotten, one that appears is held as
        well.

        A thread blocked by vfork can't be stopped before its child lets it go, and isn't waited for. One that is on its
        way there is looked at again. Nor does the first thread, if it has ended, say so as long as others live.
        """
        for tid in self.known:
            if tid not in self.held:
                with contextlib.suppress(ProcessLookupError):
                    ptrace.interrupt(tid)
        while self._expected or any(self._will_be_held(tid) for tid in self.known):
            try:
                taken = self._take(os.P_ALL, 0, os.WNOHANG)
            except ChildProcessError:
                self.known.clear()
                self._expected.clear()
                return
            if taken is None:
                time.sleep(_LOOK_S)
            else:
                self._hold(*taken)

    def _will_be_held(self, tid: int) -> bool:
        if tid in self.held or self._is_in_vfork(tid):
            return False
        if tid == self.pid and len(self.known) > 1:
            return not procfs.has_exited(tid)
        return procfs.exists(tid)  # else its end has been taken by somebody who waited for something else

    def are_all_held(self) -> bool:
        """Tell whether everything that executes in the memory of the process is held, also threads that were made so
        that nobody is told (CLONE_UNTRACED), and other processes that share it. Raises ProcessGone.
        """
        all_threads = {
            tid
            for tid in (*self.known, *procfs.threads(self.pid))
            if not procfs.has_exited(tid) and not _never_leaves_kernel(tid)
        }
        size = procfs.size_pages(procfs.with_memory(self.pid))
        alike = (pid for pid in procfs.processes() if pid != self.pid and procfs.size_pages(pid) == size)
        others = (pid for pid in alike if pid not in self.known and self.shares_memory(pid, if_unknown=True))
        return all_threads <= self.held.keys() and next(others, None) is None

    def _is_in_vfork(self, tid: int) -> bool:
        """Tell whether the thread waits in the kernel for its vfork child: it doesn't stop before that is over."""
        place = _waits_at(tid)
        if place != _UNTOLD:
            return place in _VFORK
        # Or it isn't told, since nobody may look into the process.
        return procfs.waits_deeply(tid) and any(
            child in self.known or child in self.held for child in procfs.children(tid, tid)
        )

    def take(self, kind: int, tid: int) -> tuple[int, int]:
        """Wait for the next stop or end, of any tracee (os.P_ALL) or of one (os.P_PID, its tid); return whose
        it is, and its status.

        The signal that stopped a tracee is gone as soon as its status is taken, and would be lost if we were killed
        then: `keep_signal` is called before. Raises ChildProcessError if there is none.
        """
        taken = self._take(kind, tid, 0)
        assert taken is not None, "waits"
        return taken

    def keep(self, tid: int, number: int) -> bool:
        """Hold a thread that a signal has stopped, whether that stop has been taken or not; tell whether the signal
        comes again when the thread is resumed.
        """
        is_kept = self.keep_signal(tid, number)
        os.waitpid(tid, os.WNOHANG | WALL_OF_THIS_THREAD)
        self.held[tid] = PLAIN_STOP if is_kept else number << 8 | 0x7F
        return is_kept

    def look(self, tid: int) -> int | None:
        """Wait for the next stop of a thread, or its end, without taking it; return the signal that it is, if any."""
        return _signal_of(await_report(tid))

    def _take(self, kind: int, tid: int, options: int) -> tuple[int, int] | None:
        while (looked := await_report(tid) if kind == os.P_PID else _look(kind, tid, options)) is not None:
            number = _signal_of(looked)
            is_kept = number is not None and self.keep_signal(looked.si_pid, number)
            found, status = take_report(looked.si_pid)
            if found:
                return found, PLAIN_STOP if is_kept and status == looked.si_status << 8 | 0x7F else status
        return None

    def _hold(self, tid: int, status: int) -> None:
        match decode(status):
            case Exited() | Killed():
                self.forget(tid)
                return
            case EventStop(Event.FORK | Event.VFORK | Event.CLONE as event):
                with contextlib.suppress(ProcessLookupError):
                    self.expect(ptrace.event_message(tid), tid)
                (self.before_vfork if event is Event.VFORK else self.inside_call).add(tid)
                status = PLAIN_STOP
            case EventStop(Event.EXEC):
                self.rename(tid)
        if tid not in self.known and tid not in self.held:
            self.has_come(tid)
        self.held[tid] = status

    def rename(self, tid: int) -> None:
        """Of a thread in the stop of exec: it has the number of its process from now on, be it another than the first,
        of which nothing will be heard any more.
        """
        with contextlib.suppress(ProcessLookupError):
            former = ptrace.event_message(tid)
            if former != tid and former in self.known:
                thread = self.known[former]
                self.forget(former)
                self.known[tid] = replace(thread, tid=tid)

    def has_come(self, tid: int) -> None:
        """Note the first stop of a thread or process that didn't exist before."""
        if tid in self._expected:
            self._expected.remove(tid)
        else:
            self._early.add(tid)

    def expect(self, tid: int, maker: int) -> None:
        """Note that the kernel announced `tid`, whose first stop has come or will, and who has made it."""
        if maker in self.known and self.known[maker].blocks_trap:
            self._born_blocking.add(tid)
        if tid in self._early:
            self._early.remove(tid)
        elif tid not in self.known:
            self._expected.add(tid)

    def await_maker(self, tid: int) -> None:
        """Of a thread whose first stop has come: wait until it has been announced, if it hasn't. What else stops
        meanwhile is held.
        """
        if tid not in self._early:
            return
        # Its stop, if the loop has left it there to be taken by resuming it.
        os.waitpid(tid, os.WNOHANG | WALL_OF_THIS_THREAD)
        while tid in self._early and self.known.keys() - self.held.keys():
            found, status = self.take(os.P_ALL, 0)
            self._hold(found, status)
            if found == tid:  # it has been killed
                return

    def is_born_blocking(self, tid: int) -> bool:
        """Tell, once, whether a thread or child was made by one that had SIGTRAP blocked."""
        blocks = tid in self._born_blocking
        self._born_blocking.discard(tid)
        return blocks

    def forget(self, tid: int) -> None:
        """Drop a thread that has ended or is no longer ours.

        One that came early stays noted: it may live for so short a time that its maker's event is still to come.
        """
        self.known.pop(tid, None)
        self.held.pop(tid, None)
        self.inside_call.discard(tid)
        self.before_vfork.discard(tid)
        self._expected.discard(tid)
        self._born_blocking.discard(tid)


def await_report(tid: int) -> os.waitid_result:
    """Wait until a tracee of this thread's has stopped or ended, and leave that to be taken (`take_report`).

    Raises TraceeEnded where its end is not reported: that of a first thread isn't before those of all others have been
    taken, nor is that of a thread whose process goes on as the program that another one has executed. The stop of that
    is for those who look for what comes next.
    """
    try:
        while (looked := _look(os.P_PID, tid, os.WNOHANG)) is None:
            first = _look(os.P_ALL, 0, 0)
            if first is not None and first.si_pid != tid:
                if procfs.has_exited(tid):
                    raise TraceeEnded(tid, SIGKILL)
                time.sleep(_LOOK_S)
        if looked.si_status == Event.EXEC << 8 | SIGTRAP and ptrace.event_message(tid) != tid:
            raise TraceeEnded(tid, SIGKILL)
    except (ChildProcessError, ProcessLookupError):
        raise TraceeEnded(tid, SIGKILL) from None
    return looked


def take_report(tid: int) -> tuple[int, int]:
    """Take what a tracee of this thread's has reported; (0, 0) if it has been killed since: then its stop is gone, and
    its end may not be reported for long.
    """
    try:
        return os.waitpid(tid, os.WNOHANG | WALL_OF_THIS_THREAD)
    except ChildProcessError:
        return 0, 0


def _look(kind: int, tid: int, options: int) -> os.waitid_result | None:
    return os.waitid(kind, tid, os.WSTOPPED | os.WEXITED | os.WNOWAIT | WALL_OF_THIS_THREAD | options)


def _seize(tid: int) -> None:
    """Seize a thread, unless it is ours already: one of ours may be just making it. Raises ProcessLookupError where it
    has ended, which the kernel calls not permitted for a moment, and PermissionError.
    """
    for is_last in (False, True):
        try:
            ptrace.seize(tid, OPTIONS)
        except PermissionError:
            try:
                tracer = procfs.status(tid).tracer_pid
            except ProcessGone:
                raise ProcessLookupError(tid) from None
            if procfs.has_exited(tid):
                raise ProcessLookupError(tid) from None
            if tracer == os.getpid():
                return
            # None: another's that has just ended.
            if tracer or is_last:
                raise
        else:
            return


def _never_leaves_kernel(tid: int) -> bool:
    """Tell whether a thread is one of the kernel's own, in which that has blocked all signals that can be blocked."""
    return procfs.is_marked_as_worker(tid) and signal_set(tid, "SigBlk:") == ALL_BLOCKED


_VFORK = ("kernel_clone", "_do_fork", "wait_for_vfork_done")
_UNTOLD = "0"


def _waits_at(tid: int) -> str:
    """Return the function of the kernel in which a thread waits, as far as that is told."""
    try:
        with open(f"/proc/{tid}/wchan", encoding="ascii") as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def signal_set(tid: int, name: str) -> int:
    """Return one of the signal sets of /proc/TID/status, bit n-1 for signal n; empty if the thread has ended."""
    try:
        with open(f"/proc/{tid}/status", encoding="utf-8", errors="replace") as file:
            return next(int(line.split()[1], 16) for line in file if line.startswith(name))
    except (FileNotFoundError, ProcessLookupError):
        return 0


def has_handler(tid: int, number: int) -> bool:
    """Tell whether the kernel has a handler for a signal in a thread's process."""
    return bool(signal_set(tid, "SigCgt:") >> number - 1 & 1)
