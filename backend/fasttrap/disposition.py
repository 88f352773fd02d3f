"""Signals' dispositions in the traced process, as the kernel has them: read and written by calls made in the name of
a held thread (`inject`). What that of SIGTRAP ought to be says `sigtrap`, and which may block it `trap_mask`.
"""

import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from signal import SIGTRAP
from typing import ClassVar

from backend.errors import CannotInject, ProcessGone
from backend.fasttrap import inject
from backend.fasttrap.inject import Gate, Syscall
from backend.fasttrap.tracee import Memory
from backend.linux import ptrace

DEFAULT, IGNORE = 0, 1
SA_SIGINFO, SA_RESTORER, SA_ONSTACK, SA_NODEFER = 0x4, 0x0400_0000, 0x0800_0000, 0x4000_0000
SA_RESETHAND = 0x8000_0000
SIGSET_SIZE = 8
TRAP_BIT = 1 << SIGTRAP - 1

_ACTION = struct.Struct("4Q")
_BELOW_STACK = 1024
"""Where below rsp a struct is lent to the kernel: past the red zone, in memory that nothing may rely on."""


@dataclass(frozen=True, slots=True)
class Action:
    """The kernel's `struct sigaction` on x86-64: four words. `handler` may be DEFAULT or IGNORE."""

    SIZE: ClassVar[int] = _ACTION.size

    handler: int
    flags: int = 0
    restorer: int = 0
    mask: int = 0

    @classmethod
    def from_bytes(cls, raw: bytes) -> "Action":
        return cls(*_ACTION.unpack(raw))

    def to_bytes(self) -> bytes:
        return _ACTION.pack(self.handler, self.flags, self.restorer, self.mask)

    @property
    def is_handler(self) -> bool:
        return self.handler not in (DEFAULT, IGNORE)

    @property
    def is_for_once(self) -> bool:
        return self.is_handler and self.flags & SA_RESETHAND != 0

    @property
    def blocks_trap(self) -> bool:
        """Whether a handler runs with SIGTRAP blocked by its mask."""
        return self.is_handler and self.mask & TRAP_BIT != 0

    def with_trap(self, *, blocked: bool) -> "Action":
        """The same with SIGTRAP in the mask, or not."""
        return replace(self, mask=self.mask | TRAP_BIT if blocked else self.mask & ~TRAP_BIT)

    def unblocked(self) -> "Action":
        """A disposition of SIGTRAP, the same with SIGTRAP not blocked while a handler runs."""
        if not self.is_handler:
            return self
        return replace(self.with_trap(blocked=False), flags=self.flags | SA_NODEFER)

    def before(self, other: "Action") -> "Action":
        """A disposition of SIGTRAP that calls this one's handler, which may call the handler of the other: as that
        would be called, but with SIGTRAP unblocked.
        """
        if not other.is_handler:
            return self
        restorer = other.restorer if other.flags & SA_RESTORER else self.restorer
        flags = other.flags | SA_SIGINFO | SA_RESTORER
        return replace(other, handler=self.handler, flags=flags, restorer=restorer).unblocked()


@contextmanager
def lent(tid: int, memory: Memory, size: int) -> Iterator[int]:
    """Within, `size` bytes at the address yielded may be written to, for a call made in the name of the held thread
    `tid`. Raises CannotInject where there is no stack.
    """
    buffer = (ptrace.registers(tid).rsp - _BELOW_STACK) & ~0xF
    try:
        before = memory.read(buffer, size)
    except OSError:
        before = b""
    if len(before) < size:
        raise CannotInject(tid, "its stack has no room")
    try:
        yield buffer
    finally:
        with suppress(OSError, ProcessGone):
            memory.write(buffer, before)


def read_action(tid: int, gate: Gate, memory: Memory, number: int = SIGTRAP) -> Action:
    """Return a signal's disposition as the kernel has it, by a call injected into the held thread `tid`."""
    return _exchange(tid, gate, memory, number, None)


def write_action(tid: int, gate: Gate, memory: Memory, action: Action, number: int = SIGTRAP) -> Action:
    """Set a signal's disposition, by a call injected into the held thread `tid`; return what it was."""
    return _exchange(tid, gate, memory, number, action)


def _exchange(tid: int, gate: Gate, memory: Memory, number: int, new: Action | None) -> Action:
    with lent(tid, memory, 2 * _ACTION.size) as buffer:
        old = buffer + _ACTION.size
        if new is not None:
            memory.write(buffer, new.to_bytes())
        result = inject.call(
            tid, gate, Syscall.RT_SIGACTION, number, 0 if new is None else buffer, old, SIGSET_SIZE
        )
        action = Action.from_bytes(memory.read(old, _ACTION.size))
    if result != 0:
        raise CannotInject(tid, f"rt_sigaction is refused (error {-result})")
    return action
