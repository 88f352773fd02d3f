"""SIGTRAP in the traced process: what the program believes of it, and what the kernel is told meanwhile.

An int3 raises SIGTRAP by force: where the thread has it blocked, or the process ignores it, the kernel
unblocks it and resets the disposition to the default. So we keep book of what the program has set, and put
it right after each trap that the kernel spoilt. The book is kept where the program writes it: an int3 on
each `syscall` instruction that is known to be rt_sigaction or rt_sigprocmask (*watched* sites, found by the
constant loaded into eax before) brings those calls to us.

While the program has the default disposition or ignores SIGTRAP, the kernel is given a handler of ours, in
scratch memory: the *safety handler*. It never runs as long as there is a tracer. If the tracer is killed
while threads are stopped at int3s, they would die of the signals that they are in the middle of; so they
run the handler instead, which steps back to the int3, sleeps a millisecond, and so on until the guardian
has put the text in order. A thread that had already been sent to its copy, or back to the site, goes on
there. Nothing of this is needed by the text of a program with a SIGTRAP handler of its own, which keeps it;
but it runs with SIGTRAP unblocked, so that int3s in it, and in the return from it, spoil nothing.
"""

import errno
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from signal import SIGTRAP

from backend.errors import CannotInject
from backend.fasttrap import inject
from backend.fasttrap.inject import SYSCALL_INSTRUCTION, Gate, Syscall
from backend.fasttrap.scratch_space import SPARE_OFFSET, Region
from backend.fasttrap.tracee import Memory
from backend.linux import procfs, ptrace
from backend.linux.ptrace import Registers
from scratch.encoding import Undecodable, parse

TRAP_BIT = 1 << SIGTRAP - 1
DEFAULT, IGNORE = 0, 1
RT_SIGPROCMASK, RT_SIGRETURN = 14, 15
SIGSET_SIZE = 8
SIG_BLOCK, SIG_UNBLOCK, SIG_SETMASK = 0, 1, 2

_BELOW_STACK = 1024
"""Where below rsp a struct is lent to the kernel: past the red zone, in memory that nothing may rely on."""


@dataclass(frozen=True, slots=True)
class Action:
    """The kernel's `struct sigaction` on x86-64: four words. `handler` may be DEFAULT or IGNORE."""

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
        return self.flags & _SA_RESETHAND != 0

    def unblocked(self) -> "Action":
        """The same with SIGTRAP not blocked while a handler runs."""
        if not self.is_handler:
            return self
        return replace(self, flags=self.flags | _SA_NODEFER, mask=self.mask & ~TRAP_BIT)


_ACTION = struct.Struct("4Q")
_SA_SIGINFO, _SA_RESTORER, _SA_ONSTACK, _SA_NODEFER = 0x4, 0x0400_0000, 0x0800_0000, 0x4000_0000
_SA_RESETHAND = 0x8000_0000

_SAFETY_HANDLER = bytes.fromhex(
    "817e0880000000"  # cmpl  $0x80,8(%rsi)      si_code: raised by an int3?
    "7556"  #           jne   out
    "4c8b8aa8000000"  # mov   0xa8(%rdx),%r9     uc_mcontext.gregs[REG_RIP]
    "4c8d1559000000"  # lea   regions(%rip),%r10
    "4d8b02"  #   next: mov   (%r10),%r8
    "4d85c0"  #         test  %r8,%r8
    "7440"  #           je    out                nothing of ours, or not any more
    "4d39c1"  #         cmp   %r8,%r9
    "7206"  #           jb    elsewhere
    "4d3b4a08"  #       cmp   8(%r10),%r9
    "7235"  #           jb    out                it has been sent to its copy
    "498b7a10"  # else: mov   16(%r10),%rdi      the region's sites,
    "498b4a18"  #       mov   24(%r10),%rcx      so many
    "498d41ff"  #       lea   -1(%r9),%rax
    "4983c220"  #       add   $32,%r10
    "e3db"  #           jrcxz next
    "f248af"  #         repne scasq
    "75d6"  #           jne   next
    "48ff8aa8000000"  # decq  0xa8(%rdx)         it is behind the int3 of a site: back
    "6840420f00"  #     push  $1000000           nanosleep({0 s, 1000000 ns}, NULL)
    "6a00"  #           push  $0
    "4889e7"  #         mov   %rsp,%rdi
    "31f6"  #           xor   %esi,%esi
    "b823000000"  #     mov   $35,%eax
    "0f05"  #           syscall
    "4883c410"  #       add   $16,%rsp
    "c3"  #        out: ret
    "b80f000000"  # restorer: mov $15,%eax       rt_sigreturn
    "0f05"  #           syscall
)
_RESTORER_OFFSET = 0x60
_REGIONS_OFFSET = 0x70
_MOST_REGIONS = (SPARE_OFFSET - _REGIONS_OFFSET) // 32 - 1


def safety_handler(at: int, regions: Sequence[Region]) -> tuple[bytes, Action]:
    """Return the handler's code for address `at`, followed by the scratch regions (start, end, where its table
    of sites is, how many they are; 64-bit words), and its disposition.

    A thread that stands at a site has been put back there already, by a tracer that was killed before it could
    take the signal away.
    """
    code = _SAFETY_HANDLER.ljust(_REGIONS_OFFSET, b"\x90")
    for region in regions[:_MOST_REGIONS]:
        code += struct.pack("4Q", region.start, region.start + region.size, region.table, len(region.sites))
    flags = _SA_SIGINFO | _SA_RESTORER | _SA_ONSTACK | _SA_NODEFER
    return code + bytes(32), Action(at, flags, at + _RESTORER_OFFSET)


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


class Sigtrap:
    """The book: what the program has set (`program`), and whether the kernel has the safety handler instead."""

    def __init__(self) -> None:
        self.program = Action(DEFAULT)
        self.safe = False
        self.safety: Action | None = None

    def install(self, tid: int, gate: Gate, memory: Memory, regions: Sequence[Region]) -> None:
        """Put the safety handler into the first region's header, and in force unless the program has its own,
        which from now on runs with SIGTRAP unblocked.
        """
        code, safety = safety_handler(regions[0].start, regions)
        for region in regions:
            if region.sites:
                memory.write(region.table, region.table_content())
        memory.write(safety.handler, code)
        if self.safety is None:
            self.safety = safety
            self.program = read_action(tid, gate, memory)
            self.safe = not self.program.is_handler
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
            new = Action.from_bytes(memory.read(registers.rsi, _ACTION.size)) if registers.rsi else None
            if registers.rdx:
                memory.write(registers.rdx, self.program.to_bytes())
        except (OSError, struct.error):
            raise OSError(errno.EFAULT, "sigaction") from None
        if new is None:
            return None
        self.program = new
        self.safe = not new.is_handler and self.safety is not None
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
