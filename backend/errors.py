"""Exceptions of `backend`: flat, with fields.

An exception means that we cannot go on; only `dlang/cli.py` turns one into text and exit status.
"""

from __future__ import annotations


class VerifierRejected(Exception):
    """The kernel refused a program. `log` is the verifier's explanation, `errno` what bpf(2) returned."""

    def __init__(self, name: str, log: str, errno: int) -> None:
        super().__init__(f"the kernel's verifier rejected program {name!r}:\n{log}")
        self.name = name
        self.log = log
        self.errno = errno


class ProgramTooLarge(Exception):
    """A program needs more of something than the kernel gives to one; `reason` says of what."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class MissingPackage(Exception):
    """A system package is not installed. `command` installs it."""

    def __init__(self, package: str, command: str, reason: str) -> None:
        super().__init__(f"{package}: {reason}; install it with `{command}`")
        self.package = package
        self.command = command
        self.reason = reason


class BadObject(Exception):
    """Code that was to be loaded into the kernel is malformed: a compiler bug, or a stray file."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"malformed BPF object: {reason}")
        self.reason = reason


class CommandNotStarted(Exception):
    """The program of -c could not be brought to its entry point. `command` is its first word, `reason` the
    system's words."""

    def __init__(self, command: str, reason: str) -> None:
        super().__init__(f"failed to execute {command}: {reason}")
        self.command = command
        self.reason = reason


class CannotGrab(Exception):
    """A running process can't be traced; the subclasses say why. `pid` as the user gave it."""

    def __init__(self, pid: int, reason: str) -> None:
        super().__init__(f"failed to grab process {pid}: {reason}")
        self.pid = pid
        self.reason = reason


class NoSuchProcess(CannotGrab):
    """There is no process of this number, or it has ended (a zombie counts as ended)."""

    def __init__(self, pid: int) -> None:
        super().__init__(pid, "No such process")


class NotPermitted(CannotGrab):
    """The system forbids it. `whose` names the process's owner, `why` the rule, `fix` what the user can do about it."""

    def __init__(self, pid: int, whose: str, why: str, fix: str) -> None:
        super().__init__(pid, f"{why} (process of {whose}); {fix}")
        self.whose = whose
        self.why = why
        self.fix = fix


class NotTraceable(CannotGrab):
    """A process of a kind that dtrap doesn't trace: a kernel thread, a 32-bit process, dtrap itself."""


class SeveralProcesses(Exception):
    """What a run asks for is not to be had with several processes; `reason` says what it has to do without."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"with several processes in one run {reason}; start one dtrap for each")
        self.reason = reason


class ProcessGone(Exception):
    """There is no process of this id (any more), or only a zombie is left of it."""

    def __init__(self, pid: int) -> None:
        super().__init__(f"process {pid} does not exist (any more)")
        self.pid = pid


class ProcessNotPermitted(Exception):
    """The kernel forbids looking at this process. `path` is the file of /proc that could not be read."""

    def __init__(self, pid: int, path: str) -> None:
        super().__init__(f"not permitted to look at process {pid}: {path} cannot be read")
        self.pid = pid
        self.path = path


class MappedFileUnavailable(Exception):
    """A file that a process has mapped cannot be opened, or another one has taken its place."""

    def __init__(self, pid: int, path: str, reason: str) -> None:
        super().__init__(f"process {pid} has mapped {path}, which cannot be opened: {reason}")
        self.pid = pid
        self.path = path
        self.reason = reason


class MalformedElf(Exception):
    """A file is no ELF file for x86-64, or contradicts itself. It is the target's: don't trust it."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"not a well-formed ELF file for x86-64: {reason}")
        self.reason = reason


class CannotInject(Exception):
    """A system call can't be made in the name of a tracee. `tid` names it, `reason` says what stands in the way."""

    def __init__(self, tid: int, reason: str) -> None:
        super().__init__(f"can't make a system call in thread {tid}: {reason}")
        self.tid = tid
        self.reason = reason


class TraceeEnded(Exception):
    """A traced thread ended while something was being done to it; `status` is what waitpid() said, already consumed."""

    def __init__(self, tid: int, status: int) -> None:
        super().__init__(f"thread {tid} has ended")
        self.tid = tid
        self.status = status


class TracerDied(Exception):
    """The process that traces `pid` for us has been killed; the int3s that it wrote may still be in place."""

    def __init__(self, pid: int) -> None:
        super().__init__(f"the tracer of process {pid} has died")
        self.pid = pid
