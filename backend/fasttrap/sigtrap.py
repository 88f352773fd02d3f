"""SIGTRAP in the traced process: what the program believes of it, and what the kernel is told meanwhile.

An int3 raises SIGTRAP by force: where the thread has it blocked, or the process ignores it, the kernel
unblocks it and resets the disposition to the default. So we keep book of what the program has set, and put
it right after each trap that the kernel spoilt. The book is kept where the program writes it: an int3 on
each `syscall` instruction that is known to be rt_sigaction or rt_sigprocmask (*watched* sites, found by the
constant loaded into eax before) brings those calls to us.

While the program has the default disposition or ignores SIGTRAP, the kernel is given the safety handler
(`safety`), for the time when there is no tracer any more: if it is killed while threads are stopped at int3s, they
would die of the signals that they are in the middle of. A program with a SIGTRAP handler of its own keeps it;
but it runs with SIGTRAP unblocked, so that int3s in it, and in the return from it, spoil nothing.
"""

import errno
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace

from backend.fasttrap.disposition import DEFAULT, SIGSET_SIZE, TRAP_BIT, Action, read_action, write_action
from backend.fasttrap.inject import SYSCALL_INSTRUCTION, Gate
from backend.fasttrap.safety import Leftover, note_program
from backend.fasttrap.tracee import Memory
from backend.linux import procfs
from backend.linux.ptrace import Registers
from scratch.encoding import Undecodable, parse

RT_SIGPROCMASK, RT_SIGRETURN = 14, 15
SIG_BLOCK, SIG_UNBLOCK, SIG_SETMASK = 0, 1, 2


class Sigtrap:
    """The book: what the program has set (`program`), and whether the kernel has the safety handler instead."""

    def __init__(self) -> None:
        self.program = Action(DEFAULT)
        self.safe = False
        self.safety: Action | None = None
        self._is_known = False

    def take_over(self, current: Action, leftovers: Sequence[Leftover]) -> None:
        """Take over from the tracer before us, which has left without putting it back: what the program has set if
        the kernel has something of that tracer's, `current`.
        """
        for leftover in leftovers:
            if current == leftover.handler:
                self.program, self.safety, self.safe = leftover.program, current, True
                self._is_known = True
            elif leftover.is_armed and current == leftover.program.unblocked():
                self.program = leftover.program
                self._is_known = True

    def install(self, tid: int, gate: Gate, memory: Memory, safety: Action) -> None:
        """Put the safety handler in force unless the program has a handler of its own, which from now on runs with
        SIGTRAP unblocked. What the program has set is noted where those who come after us look.
        """
        if self.safety == safety:
            return
        if not self._is_known:
            self.program = read_action(tid, gate, memory)
            self._is_known = True
        note_program(memory, safety.handler, self.program)
        self.safety, self.safe = safety, not self.program.is_handler
        write_action(tid, gate, memory, safety if self.safe else self.program.unblocked())

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

    def exchange(self, registers: Registers, memory: Memory) -> Action | None:
        """Answer a program's rt_sigaction for SIGTRAP from the book; return what the kernel is to be given,
        if anything.

        `registers` as at the `syscall` instruction. Raises OSError(EFAULT) or OSError(EINVAL) as the call
        would.
        """
        if registers.r10 != SIGSET_SIZE:
            raise OSError(errno.EINVAL, "sigsetsize")
        try:
            new = Action.from_bytes(memory.read(registers.rsi, Action.SIZE)) if registers.rsi else None
            if registers.rdx:
                memory.write(registers.rdx, self.program.to_bytes())
        except (OSError, struct.error):
            raise OSError(errno.EFAULT, "sigaction") from None
        if new is None:
            return None
        self.program = new
        self.safe = not new.is_handler and self.safety is not None
        if self.safety is not None:
            note_program(memory, self.safety.handler, new)
        return self.safety if self.safe else new.unblocked()


def mask_after(registers: Registers, memory: Memory, *, blocked: bool) -> bool:
    """Tell whether SIGTRAP is blocked after the rt_sigprocmask that the registers describe, if it was
    `blocked` before.
    """
    if not registers.rsi or registers.r10 != SIGSET_SIZE:
        return blocked
    try:
        named = int.from_bytes(memory.read(registers.rsi, SIGSET_SIZE), "little") & TRAP_BIT != 0
    except OSError:
        return blocked
    match registers.rdi & 0xFFFF_FFFF:
        case 0:  # SIG_BLOCK
            return blocked or named
        case 1:  # SIG_UNBLOCK
            return blocked and not named
        case 2:  # SIG_SETMASK
            return named
        case _:
            return blocked


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


_CANDIDATE = re.compile(rb"\xb8[\x0d\x0e]\x00\x00\x00(?=.{0,24}?\x0f\x05)", re.DOTALL)
# The literal comes first: that is what makes the search fast, and libraries have 100 MB of text.
_SIGRETURN = re.compile(
    rb"\x0f\x05(?:(?<=\xb8\x0f\x00\x00\x00\x0f\x05)|(?<=\x48\xc7\xc0\x0f\x00\x00\x00\x0f\x05))"
)
_LARGEST_TEXT = 1 << 27


@dataclass(frozen=True, slots=True)
class Watched:
    """Addresses of `syscall` instructions whose execution the engine must see: see `sites`."""

    settings: frozenset[int] = frozenset()
    """Those of rt_sigaction and rt_sigprocmask."""
    returns: frozenset[int] = frozenset()
    """Those of rt_sigreturn, with which every signal handler returns."""


def watched_sites(pid: int) -> Watched:
    """Find the `syscall` instructions to be watched in the executable files that the process has mapped.

    They are known by `mov $13,%eax`, `mov $14,%eax` or `mov $15,%rax` with nothing but a few whole
    instructions, and for the last nothing at all, between it and the `syscall`.
    """
    settings, returns = set(), set()
    for mapping in procfs.mappings(pid):
        if mapping.executable and mapping.readable and mapping.inode and mapping.size_bytes <= _LARGEST_TEXT:
            code = procfs.read_memory(pid, mapping.start, mapping.size_bytes)
            returns |= {mapping.start + match.start() for match in _SIGRETURN.finditer(code)}
            for match in _CANDIDATE.finditer(code):
                offset = _next_syscall(code, match.start())
                if offset is not None:
                    settings.add(mapping.start + offset)
    return Watched(frozenset(settings), frozenset(returns))


_RIP_IN_FRAME, _RSP_IN_FRAME = 0xA8, 0xA0
"""Of the ucontext that rsp points to at rt_sigreturn: gregs[REG_RIP] and gregs[REG_RSP]."""


def returns_to(registers: Registers, memory: Memory) -> tuple[int, int]:
    """Return the (rip, rsp) that the rt_sigreturn about to be made will restore. Raises OSError if there is
    no frame.
    """
    rsp, rip = struct.unpack("2Q", memory.read(registers.rsp + _RSP_IN_FRAME, 16))
    return rip, rsp


_FEW = 6


def _next_syscall(code: bytes, offset: int) -> int | None:
    for _ in range(_FEW):
        if code.startswith(SYSCALL_INSTRUCTION, offset):
            return offset
        encoding = parse(code[offset : offset + 15])
        if isinstance(encoding, Undecodable):
            return None
        offset += encoding.size
    return None
