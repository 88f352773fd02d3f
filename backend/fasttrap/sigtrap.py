"""SIGTRAP in the traced process: what the program believes of it, and what the kernel is told meanwhile.

An int3 raises SIGTRAP by force: where the thread has it blocked, or the process ignores it, the kernel
unblocks it and resets the disposition to the default. So we keep book of what the program has set, and put
it right after each trap that the kernel spoilt. The book is kept where the program writes it: an int3 on
each `syscall` instruction that is known to be rt_sigaction or rt_sigprocmask (*watched* sites, found by the
constant loaded into eax before) brings those calls to us.

Instead of what the program has set, the kernel is given the safety handler (`safety`), for the time when there is
no tracer any more: if it is killed while threads are stopped at int3s, they would die of the signals that they are
in the middle of. That calls the program's own handler, if there is one, for what is not ours. One that is to be
called once only (SA_RESETHAND), which the kernel then forgets, it is given itself, and after the call the safety
handler. Either runs with SIGTRAP unblocked, so that int3s in it, and in the return from it, spoil nothing.
"""

import errno
import struct
from collections.abc import Sequence
from dataclasses import replace
from signal import SIGKILL, SIGSTOP

from backend.fasttrap.disposition import DEFAULT, SIGSET_SIZE, Action, read_action, write_action
from backend.fasttrap.inject import SYSCALL_INSTRUCTION, Gate
from backend.fasttrap.safety import Leftover, note_program
from backend.fasttrap.tracee import Memory
from backend.linux.ptrace import Registers

RT_SIGPROCMASK, RT_SIGRETURN = 14, 15
_NEVER_BLOCKED = 1 << SIGKILL - 1 | 1 << SIGSTOP - 1


class Sigtrap:
    """The book: what the program has set (`program`), and whether the kernel has the safety handler instead; and for
    which other signals' handlers the program has set that SIGTRAP is blocked, `masking` (bit n-1 for signal n): the
    kernel is told otherwise (`trap_mask`).
    """

    def __init__(self) -> None:
        self.program = Action(DEFAULT)
        self.safe = False
        self.safety: Action | None = None
        self.masking = 0
        self.always_default = True
        """The program has set nothing for SIGTRAP, as far as is known."""
        self.was_interrupted = False
        """Another signal has found a thread in the safety handler, and been delivered there."""
        self._is_known = False

    @property
    def told(self) -> Action:
        """What the kernel is to have."""
        if self.safety is None or not self.safe:
            return self.program.unblocked()
        return self.safety.before(self.program)

    def _learn(self, program: Action) -> None:
        self.program = program
        self.always_default &= program.handler == DEFAULT

    def take_over(self, current: Action, leftovers: Sequence[Leftover]) -> None:
        """Take over from the tracer before us, which has left without putting it back: what the program has set if
        the kernel has something of that tracer's, `current`.
        """
        for leftover in leftovers:
            if leftover.handler is not None and current.handler == leftover.handler.handler:
                self._learn(leftover.program)
                self.safety, self.safe = leftover.handler, True
                self._is_known = True
            elif leftover.is_armed and current == leftover.program.unblocked():
                self._learn(leftover.program)
                self._is_known = True
            self.masking |= leftover.masking

    def install(self, tid: int, gate: Gate, memory: Memory, safety: Action) -> None:
        """Put the safety handler in force. What the program has set is noted where those who come after us look."""
        if self.safety == safety:
            return
        if not self._is_known:
            self._learn(read_action(tid, gate, memory))
            self._is_known = True
        self.safety, self.safe = safety, not self.program.is_for_once
        self.note(memory)
        write_action(tid, gate, memory, self.told)

    def note(self, memory: Memory) -> None:
        """Write down in the process what the program has set."""
        if self.safety is not None:
            note_program(memory, self.safety.handler, self.program, self.masking)

    def remove(self, tid: int, gate: Gate, memory: Memory) -> None:
        """Give the kernel what the program has set, if it has something else: our handler, or a forced reset.

        The program's other threads may run by now, its text its own: what they have set meanwhile stays.
        """
        if self.safe or self.program.handler != DEFAULT:
            found = write_action(tid, gate, memory, self.program)
            ours = {DEFAULT, self.program.handler, self.safety.handler if self.safety else DEFAULT}
            if found.handler not in ours:
                write_action(tid, gate, memory, found)
            self.safe = False

    def spend(self, memory: Memory) -> None:
        """Of a handler of the program's that is to be called once: it has been, and the kernel has the default."""
        self.program = replace(self.program, handler=DEFAULT)
        self.safe = self.safety is not None
        self.note(memory)

    def exchange(self, registers: Registers, memory: Memory) -> Action | None:
        """Answer a program's rt_sigaction for SIGTRAP from the book; return what the kernel is to be given,
        if anything.

        See exchange_action.
        """
        new = exchange_action(registers, memory, self.program)
        if new is None:
            return None
        self._learn(new)
        self.safe = self.safety is not None and not new.is_for_once
        self.note(memory)
        return self.told


def exchange_action(registers: Registers, memory: Memory, current: Action) -> Action | None:
    """Do for a program what its rt_sigaction would do in its memory, and return what it sets, if anything.

    `registers` as at the `syscall` instruction. Raises OSError(EFAULT) or OSError(EINVAL) as the call would.
    """
    if registers.r10 != SIGSET_SIZE:
        raise OSError(errno.EINVAL, "sigsetsize")
    try:
        new = Action.from_bytes(memory.read(registers.rsi, Action.SIZE)) if registers.rsi else None
        if registers.rdx:
            memory.write(registers.rdx, current.to_bytes())
    except (OSError, struct.error):
        raise OSError(errno.EFAULT, "sigaction") from None
    return new


def sets_masking(registers: Registers, memory: Memory) -> bool:
    """Tell whether the rt_sigaction that the registers describe sets a handler that blocks SIGTRAP."""
    if not registers.rsi:
        return False
    try:
        return Action.from_bytes(memory.read(registers.rsi, Action.SIZE)).blocks_trap
    except (OSError, struct.error):
        return False


def mask_after(registers: Registers, memory: Memory, mask: int) -> int | None:
    """Return the signal mask after the rt_sigprocmask that the registers describe, if it was `mask` before; None if the
    kernel will refuse the call.
    """
    if registers.r10 != SIGSET_SIZE:
        return None
    if not registers.rsi:
        return mask
    try:
        raw = memory.read(registers.rsi, SIGSET_SIZE)
    except OSError:
        return None
    if len(raw) < SIGSET_SIZE:
        return None
    named = int.from_bytes(raw, "little") & ~_NEVER_BLOCKED
    match registers.rdi & 0xFFFF_FFFF:
        case 0:  # SIG_BLOCK
            return mask | named
        case 1:  # SIG_UNBLOCK
            return mask & ~named
        case 2:  # SIG_SETMASK
            return named
        case _:
            return None


def returned(registers: Registers, result: int) -> Registers:
    """Return the registers after the `syscall` at rip, as if the kernel had answered `result`."""
    behind = registers.rip + len(SYSCALL_INSTRUCTION)
    return replace(
        registers,
        rax=result % (1 << 64),
        rcx=behind,
        r11=registers.eflags,
        rip=behind,
        orig_rax=(1 << 64) - 1,
    )


_RIP_IN_FRAME, _RSP_IN_FRAME, MASK_IN_FRAME = 0xA8, 0xA0, 0x128
"""Of the ucontext that rsp points to at rt_sigreturn: gregs[REG_RIP], gregs[REG_RSP], uc_sigmask."""
RETURN_ADDRESS_SIZE = 8
"""What is below it when the handler begins."""


def returns_to(registers: Registers, memory: Memory) -> tuple[int, int]:
    """Return the (rip, rsp) that the rt_sigreturn about to be made will restore. Raises OSError if there is
    no frame.
    """
    rsp, rip = struct.unpack("2Q", memory.read(registers.rsp + _RSP_IN_FRAME, 16))
    return rip, rsp
