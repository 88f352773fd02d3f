"""A command of -c started as our child, and held where option evaltime says.

The child waits on a pipe until it is seized, then executes the program; in the stop that exec makes, an int3 is written
over the first place on the way (backend/held_at.py): mostly the program's entry point, where the dynamic linker jumps
to when it has mapped the libraries and run their initialisers. The byte and the registers are put back before anyone
sees them, and the next int3, if there is one, is written. Hands a `Created` over
(backend/target_process.py).
"""

import contextlib
import errno
import os
import signal
import struct
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass
from typing import NoReturn, assert_never

from backend.errors import CommandNotStarted, ProcessGone, ProcessNotPermitted
from backend.held_at import HeldAt, way_to
from backend.linux import pidfd, prctl, procfs, ptrace
from backend.linux.ptrace import Option
from backend.linux.wait_status import (
    WALL,
    Event,
    EventStop,
    Exited,
    GroupStop,
    Interrupted,
    Killed,
    SignalStop,
    SyscallStop,
    decode,
)
from backend.target_process import Created, not_permitted

INT3 = b"\xcc"


def create(
    command: str,
    ignored_signals: Set[int] = frozenset(),
    process_group: int | None = None,
    held_at: HeldAt = HeldAt.POSTINIT,
) -> Created:
    """Start `command` as our child and return it, held where `held_at` says.

    The command is split at blanks, without quoting, and its first word looked up on PATH, as dtrace -c
    does. The child inherits the standard streams, the environment, the terminal and the process group.
    `ignored_signals` are those that we found ignored at our own start and have put handlers on since: the
    child ignores them again. What Python itself ignores (SIGPIPE, SIGXFSZ) has its default action back.
    `process_group`: another group of our session for the child.

    Raises CommandNotStarted: nothing to execute, no permission, not a 64-bit program, not to be traced, or ended before
    it was there (a missing library; the linker has then told the user so). A setuid program gets its rights
    only where the tracer may trace them (CAP_SYS_PTRACE): that is the kernel's rule for every traced
    program.
    """
    words = command.split()
    if not words:
        raise CommandNotStarted("", os.strerror(errno.ENOENT))
    go, error = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        _become(words, go, error, ignored_signals, process_group or os.getpgrp())
    os.close(go[0])
    os.close(error[1])
    with os.fdopen(go[1], "wb", buffering=0) as go_end, os.fdopen(error[0], "rb", buffering=0) as error_end:
        created = Created(pid, pidfd.open_process(pid))
        try:
            _seize(words[0], pid)
            go_end.write(b"!")
            _wait_until_held(words[0], pid, error_end.read, held_at, None)
        except BaseException:
            created.close()
            raise
    return created


def _seize(name: str, pid: int) -> None:
    try:
        ptrace.seize(pid, _OPTIONS)
    except PermissionError:
        refused = not_permitted(pid)
        raise CommandNotStarted(name, f"it can't be traced: {refused.why}; {refused.fix}") from None


_OPTIONS = Option.EXITKILL | Option.TRACEEXEC | Option.TRACEFORK | Option.TRACEVFORK | Option.TRACESYSGOOD


def _become(
    words: list[str], go: tuple[int, int], error: tuple[int, int], ignored: Set[int], group: int
) -> NoReturn:
    """In the child: wait until we are seized (end of file: the parent has gone), then execute the program."""
    try:
        os.close(go[1])
        os.close(error[0])
        if group != os.getpgrp():
            os.setpgid(0, group)
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            if number in ignored:
                signal.signal(number, signal.SIG_IGN)
            elif callable(signal.getsignal(number)) or number in (signal.SIGPIPE, signal.SIGXFSZ):
                signal.signal(number, signal.SIG_DFL)
        # The tracer of the fasttrap engine is a child of dtrap's too: to Yama no ancestor of ours.
        prctl.allow_tracing_by(os.getppid())
        if os.read(go[0], 1):
            os.execvp(words[0], words)
    except OSError as failure:
        os.write(error[1], struct.pack("i", failure.errno or 0))
    finally:
        os._exit(127)


@dataclass(slots=True)
class _Trap:
    """The int3 that is to stop the program next: where it is, what was there, and the memory descriptor to put it back
    with. `way` leads to the places behind it.
    """

    way: Iterator[int]
    address: int
    displaced: bytes
    memory: int
    mask: int
    ignored: bool
    """The signal mask, and whether SIGTRAP was ignored, before the trap, which spoils both where SIGTRAP is
    named.
    """
    passed: bool = False
    """Whether the program has come by a place already."""

    def put_back(self, pid: int) -> None:
        """After the trap: have the program as if it had not been there. A parent may have left SIGTRAP blocked or
        ignored."""
        self._write(self.displaced)
        ptrace.set_instruction_pointer(pid, self.address)
        ptrace.set_signal_mask(pid, self.mask)
        if self.ignored:
            from backend.fasttrap import disposition, inject, tracee

            memory = tracee.Memory(pid)
            try:
                gate = inject.find_gate(pid, memory)
                disposition.write_action(pid, gate, memory, disposition.Action(disposition.IGNORE))
            finally:
                memory.close()

    def goes_on(self, pid: int) -> bool:
        """Set the next trap, if there is one: its signals are as they are by now."""
        following = next(self.way, None)
        if following is None:
            return False
        self.passed = True
        self.mask, self.ignored = ptrace.signal_mask(pid), _ignores_sigtrap(pid)
        self.address, self.displaced = following, os.pread(self.memory, len(INT3), following)
        self._write(INT3)
        return True

    def remove_from(self, memory: int) -> None:
        """Take it out of the copy of the text that a forked child has."""
        _write(memory, self.address, self.displaced)

    def _write(self, code: bytes) -> None:
        _write(self.memory, self.address, code)


def run_to_entry(pid: int) -> None:
    """From the stop of exec, let the program that our tracee executes go on until it is held at its entry
    point.

    The tracee's options must not include TRACECLONE: nobody here resumes new threads. Raises
    CommandNotStarted if it ends before.
    """
    name = procfs.comm(pid)
    with contextlib.suppress(ProcessLookupError):
        trap = _set_trap(name, pid, HeldAt.ENTRY)
        ptrace.cont(pid)
        _wait_until_held(name, pid, bytes, HeldAt.ENTRY, trap)


def _wait_until_held(
    name: str, pid: int, exec_error: Callable[[], bytes], held_at: HeldAt, trap: _Trap | None
) -> None:
    """Wait until the child is where it is to be held, its text and registers as the program expects.

    The child may be killed in any of the stops: requests then fail with ESRCH, and its end is the next
    status.
    """
    try:
        while True:
            status = decode(os.waitpid(pid, WALL)[1])
            with contextlib.suppress(ProcessLookupError):
                match status:
                    case Exited(code):
                        begun = trap is not None and trap.passed
                        raise CommandNotStarted(name, _exec_failure(exec_error(), code, begun))
                    case Killed(number):
                        raise CommandNotStarted(name, f"killed by {signal.Signals(number).name}")
                    case EventStop(Event.EXEC):
                        if trap:
                            os.close(trap.memory)
                        trap = _set_trap(name, pid, held_at)
                        ptrace.cont(pid)
                    case EventStop(Event.FORK | Event.VFORK as event):
                        _free_child(ptrace.event_message(pid), trap if event is Event.FORK else None)
                        ptrace.cont(pid)
                    case SignalStop(signal.SIGTRAP) if trap and _is_at(pid, trap.address + len(INT3)):
                        trap.put_back(pid)
                        if not trap.goes_on(pid):
                            return
                        ptrace.cont(pid)
                    case SignalStop(number):
                        ptrace.cont(pid, number)
                    case GroupStop():
                        ptrace.listen(pid)
                    case Interrupted() | EventStop() | SyscallStop():
                        ptrace.cont(pid)
                    case _:
                        assert_never(status)
    finally:
        if trap:
            os.close(trap.memory)


def _exec_failure(error: bytes, code: int, begun: bool) -> str:
    """Return the reason why there is no program: the errno that the child sent, or how it ended without one, after it
    had begun or before.
    """
    if error:
        return os.strerror(struct.unpack("i", error)[0])
    if begun:
        return (
            f"exited with status {code} before its main(); -x evaltime=preinit traces what comes before that"
        )
    return f"exited with status {code} before its first instruction"


def _set_trap(name: str, pid: int, held_at: HeldAt) -> _Trap:
    """Write an int3 at the first place on the way to where the program just executed is to be held. Raises
    CommandNotStarted if it can't be traced.
    """
    if ptrace.registers(pid).cs != ptrace.CODE_SELECTOR_64:
        raise CommandNotStarted(name, "32-bit programs are not supported")
    try:
        way = way_to(held_at, pid)
        first = next(way)
        memory = ptrace.open_memory(pid)
    except (ProcessGone, FileNotFoundError):
        raise ProcessLookupError(pid) from None
    except (ProcessNotPermitted, PermissionError):
        raise CommandNotStarted(
            name, "its file may be executed but not read, so it can't be traced"
        ) from None
    try:
        displaced = os.pread(memory, len(INT3), first)
        _write(memory, first, INT3)
    except OSError:
        os.close(memory)
        raise
    return _Trap(way, first, displaced, memory, ptrace.signal_mask(pid), _ignores_sigtrap(pid))


def _ignores_sigtrap(pid: int) -> bool:
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        ignored = next((int(line.split()[1], 16) for line in file if line.startswith("SigIgn:")), 0)
    return bool(ignored >> signal.SIGTRAP - 1 & 1)


def _write(memory: int, address: int, code: bytes) -> None:
    """Write to a stopped tracee. Raises ProcessLookupError when its address space is gone: such a write
    takes 0 bytes.
    """
    if os.pwrite(memory, code, address) != len(code):
        raise ProcessLookupError(address)


def _is_at(pid: int, rip: int) -> bool:
    return ptrace.instruction_pointer(pid) == rip


def _free_child(child: int, trap: _Trap | None) -> None:
    """Let a child that an initialiser forked go untraced; `trap` is in its copy of the text, unless it
    shares ours.
    """
    os.waitpid(child, WALL)
    with contextlib.suppress(ProcessLookupError, FileNotFoundError):
        if trap:
            memory = ptrace.open_memory(child)
            try:
                trap.remove_from(memory)
            finally:
                os.close(memory)
        ptrace.detach(child)
