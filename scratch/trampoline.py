"""The code that a site's jump leads to: counts or calls the site's clauses, executes the displaced instructions, goes
home.

A trampoline serves every thread at once, changes nothing that it does not put back, and has these phases:

  LEADING    the instructions that lay under the jump in front of the site, if there are any, and what is BEFORE
             without them: the thread could as well go on at home, but that is in the middle of the jump.
  BEFORE     the first instructions, which only take stack: the thread could as well begin anew at the site.
  INSIDE     from where a register has changed to where all are back. Everything is kept on the stack, 128 bytes
             further down than the program's, which may use so many below its stack pointer. The flags are in rax:
             `lahf` has all but the overflow flag, `seto` that; they come back by an addition that overflows if it
             was set, and `sahf`. (`pushf` and `popf` take many times as long.) Vector and x87 registers are not
             touched.
  DISPLACED  the instructions that lay under the jump, each as displaced.py has it executed elsewhere.
  COMPLETED  the jump home.

The clauses run only if the *gate* says so, a word in the memory that the process shares with its tracer: 1 lets every
thread pass, 0 none, 2 only those of the process itself. For a child of vfork executes this very code in this
very memory; that it is somebody else only its process ID tells.

A unit of clauses is native code with LLVM's calling convention `preserve_mostcc`: it preserves every general register
but r11. It finds arg0 to arg5 in the registers in which they came, and above its return address what UNIT_SITE and its
neighbours say. It finds the direction flag as the program left it. What is smaller than a unit, adding one to a
counter, stands in the trampoline itself: an addition under a lock prefix, which is most of what it takes. In a process
of one thread another prefix may stand there in its place (UNLOCKED); `locks` says where.

Pure: who maps the memory, writes the code and finds threads in it is backend/fasttrap's business.
"""

from bisect import bisect_right
from dataclasses import dataclass
from enum import Enum
from typing import Final, assert_never

from scratch.displaced import OutOfLine, Resume, State, jump, leads_on, plan
from scratch.instruction import Instruction

# --- what a trampoline does before the displaced instructions -----------------------------------------------------

GATE_SHUT, GATE_OPEN, GATE_GUARDED = 0, 1, 2
"""Values of the gate: nobody, everybody, only threads whose process ID is the one behind the gate."""

SHARDS_BITS: Final = 3
"""Counters come in up to 8 copies, chosen by where a thread's stack is, so that threads seldom share a cache line.
An addition is atomic all the same: which threads share one is chance, and the sum of the copies is exact."""

SHARD_STACK_SHIFT: Final = 20
SHARD_STACK_FOLD: Final = 3
"""The copy's number is the low SHARDS_BITS bits of (rsp ^ rsp >> FOLD) >> SHIFT. Stacks lie 8 MiB apart, or 1 MiB, as
programs set them; within one, this seldom changes."""


@dataclass(frozen=True, slots=True)
class Shards:
    """1 << `bits` copies of all counters, 1 << `stride_bits` bytes apart."""

    bits: int
    stride_bits: int


@dataclass(frozen=True, slots=True)
class InlineCount:
    """Add one to each 64-bit counter. `gate` and `cells` are addresses in the traced process, less than 2 GiB apart;
    a cell's is that of its first copy. At `gate` are two 32-bit words: the gate, and the process's ID as its own
    namespace has it.
    """

    gate: int
    cells: tuple[int, ...]
    shards: Shards


@dataclass(frozen=True, slots=True)
class UnitCall:
    """Call units of clauses, one after the other: for each the address of its function, and the number of the site
    (below 2**31) that it fires for, since several may have one address. `gate`: see InlineCount.

    `whole_registers`: one of them looks for the thread's registers at UNIT_REGISTERS.
    """

    gate: int
    units: tuple[tuple[int, int], ...]
    whole_registers: bool


ClauseCall = InlineCount | UnitCall

UNIT_SITE: Final = 8
"""Offset from the address of a unit's return address to the 8 bytes that hold its site's number."""
UNIT_REGISTERS: Final = 16
"""Offset likewise to the registers at the site: the first 21 words of struct user_regs_struct, with rip at the site."""
_REGISTERS_SIZE: Final = 21 * 8

RED_ZONE: Final = 128


# --- the code -----------------------------------------------------------------------------------------------------

_LEAVE_RED_ZONE: Final = b"\x48\x8d\x64\x24\x80"  # lea -128(%rsp),%rsp
_ENTER_RED_ZONE: Final = b"\x48\x8d\xa4\x24\x80\x00\x00\x00"  # lea 128(%rsp),%rsp
_PUSHF: Final = b"\x9c"
_PUSH_RAX, _PUSH_RCX, _PUSH_RDX, _PUSH_R11 = b"\x50", b"\x51", b"\x52", b"\x41\x53"
_POP_RAX, _POP_RCX, _POP_RDX, _POP_R11 = b"\x58", b"\x59", b"\x5a", b"\x41\x5b"
_KEEP_FLAGS: Final = b"\x9f\x0f\x90\xc0"  # lahf; seto %al
_RESTORE_FLAGS: Final = b"\x04\x7f\x9e"  # add $127,%al; sahf
_SET_RDX, _SET_R11 = b"\x48\xba", b"\x49\xbb"  # movabs $…
_SHARD_TO_RCX: Final = b"".join(
    (
        b"\x48\x89\xe1",  # mov %rsp,%rcx
        b"\x48\xc1\xe9" + bytes((SHARD_STACK_FOLD,)),  # shr $FOLD,%rcx
        b"\x48\x31\xe1",  # xor %rsp,%rcx
    )
)
_SHIFT_RCX_RIGHT, _SHIFT_RCX_LEFT = b"\x48\xc1\xe9", b"\x48\xc1\xe1"  # shr $…,%rcx; shl $…,%rcx
_AND_ECX: Final = b"\x81\xe1"  # and $…,%ecx
LOCK, UNLOCKED = b"\xf0", b"\x3e"
"""The prefix of an addition, and one that means nothing there: that of ds, as the kernel does it for one processor."""
_INC: Final = b"\x48\xff\x82"  # incq …(%rdx)
_INC_OF_SHARD: Final = b"\x48\xff\x84\x0a"  # incq …(%rdx,%rcx)
_PUSH_NUMBER: Final = b"\x68"  # push $…
_CALL_R11: Final = b"\x41\xff\xd3"  # call *%r11
_RAISE_STACK: Final = b"\x48\x8d\xa4\x24"  # lea …(%rsp),%rsp
_DROP_WORD: Final = b"\x48\x8d\x64\x24\x08"  # lea 8(%rsp),%rsp
_JUMP_IF_NOT_EQUAL, _JUMP_IF_EQUAL, _JUMP_IF_BELOW, _JUMP = b"\x0f\x85", b"\x0f\x84", b"\x0f\x82", b"\xe9"
_GETPID: Final = (
    b"\x50"  # push %rax: the flags
    b"\x51"  # push %rcx, which the kernel takes,
    b"\x41\x53"  # push %r11, likewise
    b"\xb8\x27\x00\x00\x00"  # mov $39,%eax
    b"\x0f\x05"  # syscall
    b"\x41\x5b"  # pop %r11
    b"\x59"  # pop %rcx
)


@dataclass(frozen=True, slots=True)
class _GateRegister:
    """The code that concerns the register with the gate's address."""

    compare: bytes
    """cmpl $1,(…)"""
    compare_process: bytes
    """cmp 4(…),%eax"""


_GATE_IN_RDX: Final = _GateRegister(b"\x83\x3a\x01", b"\x3b\x42\x04")
_GATE_IN_R11: Final = _GateRegister(b"\x41\x83\x3b\x01", b"\x41\x3b\x43\x04")
_KEPT_FOR_UNIT: Final = 4
"""Words on the stack below RED_ZONE, before the registers: the flags, rax, r11, and the flags that come back."""


def _push_registers(site: int) -> bytes:
    """Return what pushes the whole registers, from ss down to r15: the offsets grow by what has been pushed."""
    return b"".join(
        (
            _PUSH_BEFORE_SITE,
            site.to_bytes(8, "little"),
            b"\x41\x53",  # push %r11: rip
            b"\x6a\xff",  # push $-1: orig_rax, no system call
            b"\x57\x56\x52\x51",  # push %rdi; push %rsi; push %rdx; push %rcx
            b"\xff\x74\x24\x60",  # pushq 96(%rsp): rax
            b"\x41\x50\x41\x51\x41\x52",  # push %r8; push %r9; push %r10
            b"\xff\x74\x24\x78",  # pushq 120(%rsp): r11
            b"\x53\x55",  # push %rbx; push %rbp
            b"\x41\x54\x41\x55\x41\x56\x41\x57",  # push %r12; push %r13; push %r14; push %r15
        )
    )


def _word32(number: int) -> bytes:
    return number.to_bytes(4, "little", signed=number < 0)


_PUSH_BEFORE_SITE: Final = b"".join(
    (
        b"\x6a\x2b",  # push $0x2b: ss, the same in every 64-bit process
        b"\x4c\x8d\x9c\x24" + _word32(RED_ZONE + 8 * _KEPT_FOR_UNIT + 8),  # lea …(%rsp),%r11
        b"\x41\x53",  # push %r11: rsp
        b"\xff\x74\x24\x28",  # pushq 40(%rsp): the flags
        b"\x6a\x33",  # push $0x33: cs
        _SET_R11,
    )
)
_SITE_IN_REGISTERS: Final = len(_PUSH_BEFORE_SITE)


class Phase(Enum):
    """How far a thread in a trampoline is; see the module."""

    LEADING = "on its way to the site, executing displaced instructions"
    BEFORE = "before anything has changed"
    INSIDE = "counting, or in its clauses"
    DISPLACED = "counted, executing the displaced instructions"
    COMPLETED = "on its way home"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a thread found in a trampoline is, as seen from the program.

    `resume` moves it home from there, without a loss: from BEFORE to the site, where it will count, and from LEADING to
    where it will come to the site; from DISPLACED and COMPLETED behind what it has executed. None INSIDE: let it run on
    to `Trampoline.displaced`.
    """

    phase: Phase
    resume: Resume | None


_INSIDE: Final = Place(Phase.INSIDE, None)


@dataclass(frozen=True, slots=True)
class Trampoline:
    """The code of one site's trampoline, to be written at `address`.

    `displaced` is the address where everything is as it was at the site and the instructions from the site on
    begin; all from there on is paired in `boundaries` with where a thread is: offsets of instructions, ascending.
    `locks`: offsets of lock prefixes. `behind_first`: the offset where it goes on behind the first of all instructions.
    """

    address: int
    code: bytes
    displaced: int
    boundaries: tuple[tuple[int, Place], ...]
    locks: tuple[int, ...]
    behind_first: int

    def translate(self, pc: int) -> Place | None:
        """Return where a thread with this pc is; None if it is not in this trampoline, or between its instructions."""
        offset = pc - self.address
        if not 0 <= offset < len(self.code):
            return None
        index = bisect_right(self.boundaries, offset, key=lambda boundary: boundary[0]) - 1
        start, place = self.boundaries[index]
        return place if start == offset or place is _INSIDE else None


def reach(instructions: tuple[Instruction, ...]) -> tuple[int, int]:
    """Return the lowest and highest address at which a trampoline can displace the instructions: within 2 GiB of
    the way home, and of what they name relative to rip.
    """
    ends = [instructions[-1].next]
    ends += [instruction.operand for instruction in instructions if instruction.operand is not None]
    return max(0, max(ends) - REACH), min(ends) + REACH


REACH: Final = (1 << 31) - 4096


class _Writer:
    """Puts a trampoline together."""

    def __init__(self, site: int, at: int, before: Phase = Phase.BEFORE) -> None:
        self.at = at
        self.code = bytearray()
        self.boundaries: list[tuple[int, Place]] = []
        self.fields: list[int] = []
        """Offsets of the 4-byte fields that say which site it is, in order."""
        self.locks: list[int] = []
        """Offsets of lock prefixes."""
        self.behind_first = 0
        """The offset behind what executes the instruction that was displaced first."""
        self._site = site
        self._before_phase = before
        self._taken = 0

    def take_stack(self, code: bytes, size: int = 8) -> None:
        """Append an instruction that does nothing but store or take `size` bytes below the stack pointer."""
        self._before()
        self.code += code
        self._taken += size

    def begin(self, code: bytes) -> None:
        """Append the first instruction after which a thread must go on."""
        self._before()
        self.code += code
        self.boundaries.append((len(self.code), _INSIDE))

    def _before(self) -> None:
        resume = Resume(self._site, State.NOT_BEGUN, add_to_rsp=self._taken)
        self.boundaries.append((len(self.code), Place(self._before_phase, resume)))

    def branch(self, opcode: bytes, target: int = 0) -> int:
        """Append a jump to an offset, which may be `land`ed later; return the offset behind it."""
        self.code += opcode + _word32(target - (len(self.code) + len(opcode) + 4))
        return len(self.code)

    def land(self, branch: int) -> None:
        """Let the jump that ends at offset `branch` lead here."""
        self.code[branch - 4 : branch] = _word32(len(self.code) - branch)

    def displace(self, instruction: Instruction, phase: Phase) -> None:
        """Append what executes an instruction and leads on, if it does."""
        planned = plan(instruction)
        assert isinstance(planned, OutOfLine), planned
        start = len(self.code)
        here = self.at + start
        copy = planned.leading_on(here) if leads_on(instruction) else planned.at(here)
        assert copy.borrowed is None, instruction
        self.boundaries += [(start + offset, Place(phase, resume)) for offset, resume in copy.boundaries]
        self.code += copy.code
        self.behind_first = self.behind_first or len(self.code)

    def lead_home(self, home: int) -> None:
        self.boundaries.append((len(self.code), Place(Phase.COMPLETED, Resume(home, State.COMPLETED))))
        self.code += jump(self.at + len(self.code), home)

    def decide(self, gate: _GateRegister, shut: int, done: int) -> None:
        """Append, out of the way, what the jump that ends at offset `shut` does when the gate is not open for all."""
        self.boundaries.append((len(self.code), _INSIDE))
        self.land(shut)
        self.branch(_JUMP_IF_BELOW, done)
        self.code += _GETPID + gate.compare_process + _POP_RAX
        self.branch(_JUMP_IF_EQUAL, shut)
        self.branch(_JUMP, done)


def build(
    instructions: tuple[Instruction, ...], at: int, call: ClauseCall, leading: tuple[Instruction, ...] = ()
) -> Trampoline:
    """Return the trampoline for the site at which these instructions lie, in order, displaced all together, and with
    them those that lie before it, `leading` there.

    Each must be `displaced.plan`ned OutOfLine, and all but the last lead on to the next; `at` is within `reach`. The
    code's size does not depend on `at`.
    """
    every = leading + instructions
    assert all(leads_on(instruction) for instruction in every[:-1]), every
    low, high = reach(every)
    assert low <= at <= high, (hex(at), hex(low), hex(high))
    site = instructions[0].address
    writer = _Writer(site, at, Phase.LEADING if leading else Phase.BEFORE)
    for instruction in leading:
        writer.displace(instruction, Phase.LEADING)
    gate, shut, done = _write_clauses(writer, call, site)
    displaced = at + len(writer.code)
    for instruction in instructions:
        writer.displace(instruction, Phase.DISPLACED)
    if leads_on(instructions[-1]):
        writer.lead_home(instructions[-1].next)
    writer.decide(gate, shut, done)
    boundaries, locks = tuple(writer.boundaries), tuple(writer.locks)
    return Trampoline(at, bytes(writer.code), displaced, boundaries, locks, writer.behind_first)


def _write_clauses(writer: _Writer, call: ClauseCall, site: int) -> tuple[_GateRegister, int, int]:
    """Append all that comes before the displaced instructions; return how it asks the gate, the offset behind that,
    and where the clauses are over.
    """
    match call:
        case InlineCount():
            gate = _GATE_IN_RDX
            shut, done = _write_count(writer, call)
        case UnitCall():
            gate = _GATE_IN_R11
            shut, done = _write_call(writer, call, site)
        case never:
            assert_never(never)
    writer.code += _ENTER_RED_ZONE
    return gate, shut, done


@dataclass(frozen=True, slots=True)
class Outline:
    """What the trampolines have in common that do the same for their sites and have as many bytes between the offset
    `displaced` and the decision at the gate: the displaced instructions and the jump home, which are zero here, as is
    what says which site it is: words of 4 bytes at the offsets `fields`, in the order of `site_words`. `locks`: offsets
    of lock prefixes.
    """

    code: bytes
    fields: tuple[int, ...]
    displaced: int
    locks: tuple[int, ...]


def outline(call: ClauseCall, between: int) -> Outline:
    """Return the outline of `build`'s code for this call, with so many bytes between."""
    writer = _Writer(0, 0)
    gate, shut, done = _write_clauses(writer, call, 0)
    displaced = len(writer.code)
    writer.code += bytes(between)
    writer.decide(gate, shut, done)
    for field in writer.fields:
        writer.code[field : field + 4] = bytes(4)
    return Outline(bytes(writer.code), tuple(writer.fields), displaced, tuple(writer.locks))


def site_words(call: ClauseCall, site: int) -> tuple[int, ...]:
    """Return the words, modulo 2**32, for `Outline.fields` in the trampoline of a site."""
    match call:
        case InlineCount(gate, cells, _):
            return tuple((cell - gate) & _WORD for cell in cells)
        case UnitCall(_, units, whole):
            numbers = tuple(number for _, number in units)
            return (site & _WORD, site >> 32, *numbers) if whole else numbers
        case never:
            assert_never(never)


_WORD: Final = (1 << 32) - 1


def _write_count(writer: _Writer, call: InlineCount) -> tuple[int, int]:
    """Append an inline count; return the offsets behind the test of the gate, and where it is over."""
    writer.take_stack(_LEAVE_RED_ZONE, RED_ZONE)
    for push in (_PUSH_RAX, _PUSH_RCX, _PUSH_RDX):
        writer.take_stack(push)
    writer.begin(_KEEP_FLAGS[:1])
    writer.code += _KEEP_FLAGS[1:] + _SET_RDX + call.gate.to_bytes(8, "little") + _GATE_IN_RDX.compare
    shut = writer.branch(_JUMP_IF_NOT_EQUAL)
    shards = call.shards
    if shards.bits:
        writer.code += _SHARD_TO_RCX
        shift = SHARD_STACK_SHIFT - shards.stride_bits
        if shift:
            writer.code += (_SHIFT_RCX_RIGHT if shift > 0 else _SHIFT_RCX_LEFT) + bytes((abs(shift),))
        writer.code += _AND_ECX + _word32((1 << shards.bits) - 1 << shards.stride_bits)
    for cell in call.cells:
        writer.locks.append(len(writer.code))
        writer.code += LOCK + (_INC_OF_SHARD if shards.bits else _INC)
        writer.fields.append(len(writer.code))
        writer.code += _word32(cell - call.gate)
    done = len(writer.code)
    writer.code += _RESTORE_FLAGS + _POP_RDX + _POP_RCX + _POP_RAX
    return shut, done


def _write_call(writer: _Writer, call: UnitCall, site: int) -> tuple[int, int]:
    """Append the calls of units; return the offsets behind the test of the gate, and where it is over."""
    writer.take_stack(_LEAVE_RED_ZONE, RED_ZONE)
    kept = (_PUSHF, _PUSH_RAX, _PUSH_R11) if call.whole_registers else (_PUSH_RAX, _PUSH_R11)
    for push in kept:
        writer.take_stack(push)
    writer.begin(_KEEP_FLAGS[:1])
    writer.code += (
        _KEEP_FLAGS[1:] + _PUSH_RAX + _SET_R11 + call.gate.to_bytes(8, "little") + _GATE_IN_R11.compare
    )
    shut = writer.branch(_JUMP_IF_NOT_EQUAL)
    pushed = 0
    if call.whole_registers:
        writer.fields.append(len(writer.code) + _SITE_IN_REGISTERS)
        writer.fields.append(writer.fields[-1] + 4)
        writer.code += _push_registers(site)
        pushed += _REGISTERS_SIZE
    for place, (function, number) in enumerate(call.units):
        if place:
            writer.code += _DROP_WORD
        writer.code += _PUSH_NUMBER
        writer.fields.append(len(writer.code))
        writer.code += _word32(number) + _SET_R11 + function.to_bytes(8, "little") + _CALL_R11
    writer.code += _RAISE_STACK + _word32(pushed + 8)
    done = len(writer.code)
    writer.code += _POP_RAX + _RESTORE_FLAGS + _POP_R11 + _POP_RAX
    if call.whole_registers:
        writer.code += _DROP_WORD
    return shut, done
