"""The process of a run: created for -c (held before its first instruction) or grabbed for -p (never stopped).

Both give a `TargetProcess`: a pid, a descriptor that polls readable when the process has ended, and nothing
about probes; the session hands it to the engines. A created process is held in a ptrace-stop until
`release`, by the thread that created it, and dies with dtrap until then (PTRACE_O_EXITKILL): it has run
nothing of its own yet, and nobody else would ever resume it. After `release` nothing ties it to us.

How a created process comes to be held: the child waits on a pipe until it is seized, then executes the
program; in the stop that exec makes, an int3 is written over the program's entry point (AT_ENTRY); the
dynamic linker maps the libraries and runs their initialisers, jumps to the entry, and the trap stops it
there. The byte and the registers are put back before anyone sees them. A static program starts at its
entry, and takes the same road.
"""

import contextlib
import errno
import os
import pwd
import signal
import struct
from collections.abc import Callable, Set
from dataclasses import dataclass
from typing import NoReturn, Protocol, assert_never

from backend.errors import (
    CannotGrab,
    CommandNotStarted,
    NoSuchProcess,
    NotPermitted,
    NotTraceable,
    ProcessGone,
    ProcessNotPermitted,
)
from backend.linux import pidfd, prctl, procfs, ptrace
from backend.linux.procfs import AuxiliaryKey
from backend.linux.ptrace import Option
from backend.linux.wait_status import (
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

WALL = 0x40000000
"""__WALL: wait for threads and processes alike. Source: include/uapi/linux/wait.h."""

INT3 = b"\xcc"
_ELF_IDENT_CLASS, _ELFCLASS32 = 4, 1
PF_KTHREAD = 0x00200000
"""A kernel thread, in the flags of /proc/PID/stat. Source: include/linux/sched.h."""


class TargetProcess(Protocol):
    """A process that a run traces, until it ends or the run does."""

    @property
    def pid(self) -> int: ...

    def fileno(self) -> int:
        """Return a descriptor that polls readable once the whole process has ended."""

    def alive(self) -> bool:
        """Tell whether any thread of it is left; never waits."""

    def killed_by(self) -> int | None:
        """Return the signal that has ended it; None if none has, or it can't be told."""

    def release(self) -> None:
        """Let a created process run, now that its probes are in place. A grabbed one was never held."""

    def hold_without_tracing(self) -> bool:
        """Hold a created process by a stop signal, so that an engine can become its tracer; False if it was not
        created.
        """

    def finish(self) -> None:
        """End a created process, as dtrace(1) ends what it started, when the run is over."""

    def close(self) -> None:
        """Let go of it. A created process that was not released is killed; every other one goes on."""


class Grabbed:
    """A process that was running before us. It is not stopped, and nothing of it is changed, by being
    grabbed.
    """

    def __init__(self, pid: int, descriptor: int) -> None:
        self.pid = pid
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor

    def alive(self) -> bool:
        return not pidfd.ended(self._descriptor)

    def killed_by(self) -> int | None:
        return pidfd.killed_by(self._descriptor)

    def release(self) -> None:
        """Nothing holds it."""

    def hold_without_tracing(self) -> bool:
        """It runs, whoever traces it."""
        return False

    def finish(self) -> None:
        """It is not ours to end."""

    def close(self) -> None:
        os.close(self._descriptor)

    def __enter__(self) -> "Grabbed":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class Created:
    """Our own child, stopped at its entry point with its libraries mapped, until `release`.

    `release` and `close` must be called by the thread that called `create`: it is the child's tracer.
    """

    def __init__(self, pid: int, descriptor: int) -> None:
        self.pid = pid
        self._descriptor = descriptor
        self._held = True
        self._stopped = False

    def fileno(self) -> int:
        return self._descriptor

    def alive(self) -> bool:
        return not pidfd.ended(self._descriptor)

    def killed_by(self) -> int | None:
        return pidfd.killed_by(self._descriptor)

    def release(self) -> None:
        """Let the program run, untraced. If it was killed while it was held there is nothing to do."""
        held, self._held = self._held, False
        with contextlib.suppress(ProcessLookupError):
            if held:
                ptrace.detach(self.pid)
            elif self._stopped:
                pidfd.send_signal(self._descriptor, signal.SIGCONT)

    def hold_without_tracing(self) -> bool:
        """Stop the child by SIGSTOP instead of ptrace, until `release`: it is free to be traced by an engine."""
        self._held = False
        self._stopped = True
        with contextlib.suppress(ProcessLookupError):
            pidfd.send_signal(self._descriptor, signal.SIGSTOP)
            ptrace.detach(self.pid)
        return True

    def hand_over(self) -> int:
        """Leave the child to an engine in this thread, which resumes it in its own time; return the pid.

        From here on it is the engine that must see to it that the child outlives us: clear EXITKILL before
        it runs.
        """
        self._held = False
        return self.pid

    def finish(self) -> None:
        """End the program, released or not."""
        pidfd.kill(self._descriptor)

    def close(self) -> None:
        if self._held:
            self._held = False
            self.finish()
            pidfd.wait_end(self._descriptor, None)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG | WALL)
        os.close(self._descriptor)

    def __enter__(self) -> "Created":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


# --- create ----------------------------------------------------------------------------------------


def create(
    command: str, ignored_signals: Set[int] = frozenset(), process_group: int | None = None
) -> Created:
    """Start `command` as our child and return it, held at its entry point.

    The command is split at blanks, without quoting, and its first word looked up on PATH, as dtrace -c
    does. The child inherits the standard streams, the environment, the terminal and the process group.
    `ignored_signals` are those that we found ignored at our own start and have put handlers on since: the
    child ignores them again. What Python itself ignores (SIGPIPE, SIGXFSZ) has its default action back.
    `process_group`: another group of our session for the child.

    Raises CommandNotStarted: nothing to execute, no permission, not a 64-bit program, or ended before its
    entry point (a missing library; the linker has then told the user so). A setuid program gets its rights
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
            ptrace.seize(pid, _OPTIONS)
            go_end.write(b"!")
            _wait_for_entry(words[0], pid, error_end.read, None)
        except BaseException:
            created.close()
            raise
    return created


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


@dataclass(frozen=True, slots=True)
class _EntryTrap:
    """The int3 at the entry point: where it is, what was there, and the memory descriptor to put it back
    with.
    """

    entry: int
    displaced: bytes
    memory: int
    mask: int
    ignored: bool
    """The signal mask, and whether SIGTRAP was ignored, before the trap, which spoils both where SIGTRAP is
    named.
    """

    def put_signal_back(self, pid: int) -> None:
        """After the trap: have SIGTRAP blocked or ignored again, as a parent may have left it."""
        ptrace.set_signal_mask(pid, self.mask)
        if self.ignored:
            from backend.fasttrap import disposition, inject, tracee

            memory = tracee.Memory(pid)
            try:
                gate = inject.find_gate(pid, memory)
                disposition.write_action(pid, gate, memory, disposition.Action(disposition.IGNORE))
            finally:
                memory.close()

    def remove(self) -> None:
        _write(self.memory, self.entry, self.displaced)


def run_to_entry(pid: int) -> None:
    """From the stop of exec, let the program that our tracee executes go on until it is held at its entry
    point.

    The tracee's options must not include TRACECLONE: nobody here resumes new threads. Raises
    CommandNotStarted if it ends before.
    """
    name = procfs.comm(pid)
    with contextlib.suppress(ProcessLookupError):
        trap = _set_entry_trap(name, pid)
        ptrace.cont(pid)
        _wait_for_entry(name, pid, bytes, trap)


def _wait_for_entry(name: str, pid: int, exec_error: Callable[[], bytes], trap: _EntryTrap | None) -> None:
    """Wait until the child is at its program's entry point, its text and registers as the program expects.

    The child may be killed in any of the stops: requests then fail with ESRCH, and its end is the next
    status.
    """
    try:
        while True:
            status = decode(os.waitpid(pid, WALL)[1])
            with contextlib.suppress(ProcessLookupError):
                match status:
                    case Exited(code):
                        raise CommandNotStarted(name, _exec_failure(exec_error(), code))
                    case Killed(number):
                        raise CommandNotStarted(name, f"killed by {signal.Signals(number).name}")
                    case EventStop(Event.EXEC):
                        if trap:
                            os.close(trap.memory)
                        trap = _set_entry_trap(name, pid)
                        ptrace.cont(pid)
                    case EventStop(Event.FORK | Event.VFORK as event):
                        _free_child(ptrace.event_message(pid), trap if event is Event.FORK else None)
                        ptrace.cont(pid)
                    case SignalStop(signal.SIGTRAP) if trap and _is_at(pid, trap.entry + len(INT3)):
                        trap.remove()
                        ptrace.set_instruction_pointer(pid, trap.entry)
                        trap.put_signal_back(pid)
                        return
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


def _exec_failure(error: bytes, code: int) -> str:
    """Return the reason why there is no program: the errno that the child sent, or how it ended without
    one.
    """
    if error:
        return os.strerror(struct.unpack("i", error)[0])
    return f"exited with status {code} before its first instruction"


def _set_entry_trap(name: str, pid: int) -> _EntryTrap:
    """Write an int3 over the entry point of the program just executed. Raises CommandNotStarted if it can't
    be traced.
    """
    if ptrace.registers(pid).cs != ptrace.CODE_SELECTOR_64:
        raise CommandNotStarted(name, "32-bit programs are not supported")
    try:
        entry = _entry_point(pid)
        memory = ptrace.open_memory(pid)
    except (ProcessGone, FileNotFoundError):
        raise ProcessLookupError(pid) from None
    except (ProcessNotPermitted, PermissionError):
        raise CommandNotStarted(
            name, "its file may be executed but not read, so it can't be traced"
        ) from None
    try:
        displaced = os.pread(memory, len(INT3), entry)
        _write(memory, entry, INT3)
    except OSError:
        os.close(memory)
        raise
    return _EntryTrap(entry, displaced, memory, ptrace.signal_mask(pid), _ignores_sigtrap(pid))


def _ignores_sigtrap(pid: int) -> bool:
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        ignored = next((int(line.split()[1], 16) for line in file if line.startswith("SigIgn:")), 0)
    return bool(ignored >> signal.SIGTRAP - 1 & 1)


def _entry_point(pid: int) -> int:
    """Return AT_ENTRY, the run-time address of the program's first instruction (not the dynamic linker's)."""
    vector = procfs.auxiliary_vector(pid)
    if AuxiliaryKey.ENTRY not in vector:
        raise ProcessLookupError(pid)
    return vector[AuxiliaryKey.ENTRY]


def _write(memory: int, address: int, code: bytes) -> None:
    """Write to a stopped tracee. Raises ProcessLookupError when its address space is gone: such a write
    takes 0 bytes.
    """
    if os.pwrite(memory, code, address) != len(code):
        raise ProcessLookupError(address)


def _is_at(pid: int, rip: int) -> bool:
    return ptrace.instruction_pointer(pid) == rip


def _free_child(child: int, trap: _EntryTrap | None) -> None:
    """Let a child that an initialiser forked go untraced; `trap` is in its copy of the text, unless it
    shares ours.
    """
    os.waitpid(child, WALL)
    with contextlib.suppress(ProcessLookupError, FileNotFoundError):
        if trap:
            memory = ptrace.open_memory(child)
            try:
                _write(memory, trap.entry, trap.displaced)
            finally:
                os.close(memory)
        ptrace.detach(child)


# --- grab ------------------------------------------------------------------------------------------


def grab(pid: int) -> Grabbed:
    """Return the running process `pid`, unharmed: neither stopped nor seized.

    Raises NoSuchProcess (a zombie has ended, too), NotPermitted, or NotTraceable: a kernel thread, a 32-bit
    process, a thread that is not a process, dtrap itself. What can be asked of the process is decided as
    for reading its memory maps; an engine that needs more (ptrace) asks for itself.
    """
    if pid == os.getpid():
        raise NotTraceable(pid, "dtrap can't trace itself")
    try:
        descriptor = pidfd.open_process(pid)
    except OverflowError:
        raise NoSuchProcess(pid) from None
    except OSError as error:
        # A thread that leads no process: EINVAL up to Linux 6.14, ENOENT since.
        if error.errno != errno.ESRCH and os.path.exists(f"/proc/{pid}"):
            raise NotTraceable(pid, "it is a thread, not a process") from None
        raise NoSuchProcess(pid) from None
    try:
        _refuse_untraceable(pid)
        if pidfd.ended(descriptor):
            raise NoSuchProcess(pid)
    except (FileNotFoundError, ProcessLookupError):
        os.close(descriptor)
        raise NoSuchProcess(pid) from None
    except CannotGrab:
        os.close(descriptor)
        raise
    return Grabbed(pid, descriptor)


def why_not_traceable(pid: int) -> str | None:
    """Return why ptrace can't take a process that we have created or grabbed, or None where it can."""
    tracer = procfs.status(pid).tracer_pid
    if tracer not in (0, os.getpid()):
        return f"process {tracer} ({procfs.comm(tracer)}) traces it already"
    return None


def _refuse_untraceable(pid: int) -> None:
    if _kernel_flags(pid) & PF_KTHREAD:
        raise NotTraceable(pid, "it is a kernel thread")
    program = f"/proc/{procfs.with_memory(pid)}/exe"
    try:
        with open(program, "rb") as file:
            ident = file.read(_ELF_IDENT_CLASS + 1)
    except PermissionError:
        try:
            os.readlink(program)
        except OSError:
            raise not_permitted(pid) from None
        raise NotTraceable(pid, "its file may be executed but not read, so it can't be traced") from None
    if ident[_ELF_IDENT_CLASS:] == bytes([_ELFCLASS32]):
        raise NotTraceable(pid, "it is a 32-bit process, and only 64-bit ones are supported")


def _kernel_flags(pid: int) -> int:
    """Return the PF_* flags of a process: field 9 of /proc/PID/stat, counted after the name, which may hold
    anything.
    """
    with open(f"/proc/{pid}/stat", "rb") as file:
        return int(file.read().rpartition(b")")[2].split()[6])


def not_permitted(pid: int) -> NotPermitted:
    """Return (not raise) the error for a process that the kernel won't let us look into, with the cause and
    a cure.

    Asked after an EACCES or EPERM, for /proc or for ptrace. Source: ptrace(2), "Ptrace access mode checking".
    """
    # The directory itself shows the process's user whatever it is.
    owner_uid = os.stat(f"/proc/{procfs.with_memory(pid)}/maps").st_uid
    status = procfs.status(pid)
    real_uid, tracer = status.real_uid, status.tracer_pid
    whose = _user_name(real_uid)
    if real_uid not in (os.getuid(), os.geteuid()):
        fix = "run dtrap as root" if real_uid == 0 else f"run dtrap as root or as {whose}"
        return NotPermitted(pid, whose, "it belongs to another user", fix)
    root = "run dtrap as root"
    if tracer:
        return NotPermitted(pid, whose, f"process {tracer} traces it already", "end that tracer first")
    if owner_uid != real_uid:
        return NotPermitted(pid, whose, "it has changed its privileges, or forbids it (not dumpable)", root)
    if _capabilities(pid, "CapPrm") & ~_capabilities(os.getpid(), "CapEff"):
        return NotPermitted(
            pid, whose, "it has capabilities that dtrap lacks", "run dtrap with CAP_SYS_PTRACE"
        )
    scope = _yama_scope()
    if scope == _YAMA_NOBODY:
        return NotPermitted(
            pid, whose, "kernel.yama.ptrace_scope is 3", "it can't be lowered before a reboot"
        )
    if scope:
        fix = f"{root}, start the program with -c, or `sudo sysctl kernel.yama.ptrace_scope=0`"
        return NotPermitted(pid, whose, f"kernel.yama.ptrace_scope is {scope}", fix)
    return NotPermitted(pid, whose, "the kernel refuses to have it traced (a security module?)", root)


_YAMA_NOBODY = 3


def _capabilities(pid: int, kind: str) -> int:
    """Return one set of capabilities, a bit for each, from /proc/PID/status. `kind` is the line's name
    there.
    """
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        return next(int(line.split()[1], 16) for line in file if line.startswith(f"{kind}:"))


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _yama_scope() -> int:
    """Return kernel.yama.ptrace_scope: 0 where Yama is absent or lets every process of one user trace the
    others.
    """
    try:
        with open("/proc/sys/kernel/yama/ptrace_scope", encoding="ascii") as file:
            return int(file.read())
    except FileNotFoundError:
        return 0
