"""The process of a run: created for -c (held before its first instruction) or grabbed for -p (never stopped).

Both give a `TargetProcess`: a pid, a descriptor that polls readable when the process has ended, and nothing
about probes; the session hands it to the engines. A created process is held in a ptrace-stop until
`release`, by the thread that created it, and dies with dtrap until then (PTRACE_O_EXITKILL): it has run
nothing of its own yet, and nobody else would ever resume it. After `release` nothing ties it to us. How it
comes to be held is command_start.py's.
"""

import contextlib
import errno
import os
import pwd
import signal
from typing import ClassVar, Protocol

from backend.errors import (
    CannotGrab,
    NoSuchProcess,
    NotPermitted,
    NotTraceable,
)
from backend.linux import pidfd, procfs, ptrace
from backend.linux.wait_status import WALL

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

    @property
    def created(self) -> bool:
        """Whether it was created for the run."""

    def hold_without_tracing(self) -> None:
        """Hold a created process by a stop signal, so that an engine can become its tracer. It doesn't end with us any
        more.
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

    created: ClassVar = False

    def hold_without_tracing(self) -> None:
        """It runs, whoever traces it."""

    def finish(self) -> None:
        """It is not ours to end."""

    def close(self) -> None:
        os.close(self._descriptor)

    def __enter__(self) -> "Grabbed":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class Created:
    """Our own child, stopped where option evaltime says, until `release`.

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

    created: ClassVar = True

    def hold_without_tracing(self) -> None:
        """Stop the child by SIGSTOP instead of ptrace, until `release`: it is free to be traced by an engine."""
        self._held = False
        self._stopped = True
        with contextlib.suppress(ProcessLookupError):
            pidfd.send_signal(self._descriptor, signal.SIGSTOP)
            ptrace.detach(self.pid)

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
    if procfs.kernel_flags(pid) & PF_KTHREAD:
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
        ways = [root, "start the program with -c"] if scope == _YAMA_ANCESTORS else [root]
        fix = f"{', '.join(ways)}, or `sudo sysctl kernel.yama.ptrace_scope=0`"
        return NotPermitted(pid, whose, f"kernel.yama.ptrace_scope is {scope}", fix)
    return NotPermitted(pid, whose, "the kernel refuses to have it traced (a security module?)", root)


_YAMA_ANCESTORS, _YAMA_NOBODY = 1, 3


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
