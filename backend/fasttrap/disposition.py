"""A signal's disposition in the traced process, as the kernel has it: read and written by calls made in the name of
a held thread (`inject`). What it ought to be says `sigtrap`.
"""

import struct
from dataclasses import dataclass, replace
from signal import SIGTRAP
from typing import ClassVar

from backend.errors import CannotInject
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
        return self.flags & SA_RESETHAND != 0

    def unblocked(self) -> "Action":
        """The same with SIGTRAP not blocked while a handler runs."""
        if not self.is_handler:
            return self
        return replace(self, flags=self.flags | SA_NODEFER, mask=self.mask & ~TRAP_BIT)


def read_action(tid: int, gate: Gate, memory: Memory) -> Action:
    """Return SIGTRAP's disposition as the kernel has it, by a call injected into the held thread `tid`."""
    return _exchange(tid, gate, memory, None)


def write_action(tid: int, gate: Gate, memory: Memory, action: Action) -> Action:
    """Set SIGTRAP's disposition, by a call injected into the held thread `tid`; return what it was."""
    return _exchange(tid, gate, memory, action)


def _exchange(tid: int, gate: Gate, memory: Memory, new: Action | None) -> Action:
    buffer = (ptrace.registers(tid).rsp - _BELOW_STACK) & ~0xF
    old = buffer + _ACTION.size
    before = memory.read(buffer, 2 * _ACTION.size)
    if new is not None:
        memory.write(buffer, new.to_bytes())
    result = inject.call(
        tid, gate, Syscall.RT_SIGACTION, SIGTRAP, 0 if new is None else buffer, old, SIGSET_SIZE
    )
    action = Action.from_bytes(memory.read(old, _ACTION.size))
    memory.write(buffer, before)
    if result != 0:
        raise CannotInject(tid, f"rt_sigaction is refused (error {-result})")
    return action
