"""What waitpid() told about a tracee, decoded once.

`wait_status` is 32 bits: the low 16 are those of every process, and above them a ptrace event number may
stand. The tables of the kernel's ptrace(2) are turned into a union of frozen values here; who matches on
them is the engine. Nothing here calls the kernel.
"""

import os
import signal
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

WALL: Final = 0x40000000
"""__WALL, to be given to waitpid(): wait for threads and processes alike. Source: include/uapi/linux/wait.h."""


class Event(IntEnum):
    """PTRACE_EVENT_*: the numbers above bit 16 of a wait status. Source: include/uapi/linux/ptrace.h."""

    FORK = 1
    VFORK = 2
    CLONE = 3
    EXEC = 4
    VFORK_DONE = 5
    EXIT = 6
    SECCOMP = 7
    STOP = 128


@dataclass(frozen=True, slots=True)
class Exited:
    """It called exit; `code` is 0 to 255. The process (or thread) no longer exists."""

    code: int


@dataclass(frozen=True, slots=True)
class Killed:
    """A signal ended it. The process (or thread) no longer exists."""

    signal: int


@dataclass(frozen=True, slots=True)
class SignalStop:
    """A signal-delivery-stop: `signal` reaches the tracee only if it is passed on when the tracee is
    resumed.
    """

    signal: int


@dataclass(frozen=True, slots=True)
class GroupStop:
    """A stop signal took effect on the whole process: resume with LISTEN, or the stop is lost."""

    signal: int


@dataclass(frozen=True, slots=True)
class Interrupted:
    """A PTRACE_EVENT_STOP that is not a group-stop: after INTERRUPT, in a new thread or child, or after
    SIGCONT.
    """


@dataclass(frozen=True, slots=True)
class EventStop:
    """A stop on the way through fork, vfork, clone, exec or exit. GETEVENTMSG tells more."""

    event: Event


@dataclass(frozen=True, slots=True)
class SyscallStop:
    """At the start or the end of a system call, after a resumption that asked for it (TRACESYSGOOD)."""


WaitStatus = Exited | Killed | SignalStop | GroupStop | Interrupted | EventStop | SyscallStop

STOP_SIGNALS = frozenset({signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU})
_SYSCALL_STOP = signal.SIGTRAP | 0x80


def decode(status: int) -> WaitStatus:
    """Return what a status of waitpid() means for a tracee that was SEIZEd (not ATTACHed).

    "Continued" reports don't occur, since nobody asks for them: a ValueError names the status. Syscall-stops
    are told apart only under the option TRACESYSGOOD. Source: ptrace(2), "Stopped states"; a group-stop under
    SEIZE carries PTRACE_EVENT_STOP and the stop signal.
    """
    if os.WIFEXITED(status):
        return Exited(os.WEXITSTATUS(status))
    if os.WIFSIGNALED(status):
        return Killed(os.WTERMSIG(status))
    if not os.WIFSTOPPED(status & 0xFFFF):
        raise ValueError(f"unexpected wait status {status:#x}")
    number, event = os.WSTOPSIG(status & 0xFFFF), status >> 16
    if event == 0:
        return SyscallStop() if number == _SYSCALL_STOP else SignalStop(number)
    if event == Event.STOP:
        return GroupStop(number) if number in STOP_SIGNALS else Interrupted()
    return EventStop(Event(event))
