"""How a displaced instruction is executed somewhere else, with the effect that it would have had at home.

`plan` judges an instruction once for each site: it can be executed out of line, or it is refused with a
reason. `OutOfLine.at` makes the bytes for one slot, a `Copy`. The tracer, at the trap, sets rip to the slot
and nothing else; the copy ends in a jump back. It is never single-stepped, so no flag, no `rep` and no system
call sees anything of it.

Displacement, by kind of instruction:

  position independent   its own bytes, unchanged, and a jump to the next instruction.
  relative to rip        the 4 displacement bytes rewritten: same length, registers and flags. Where the
                         operand is farther than 2 GiB from the slot, a register takes rip's place, which the
                         tracer loads before and the copy puts back after.
  jcc, loop, jrcxz       the same condition, by 8 bits, over a jump to the next instruction onto one
                         to the target.
  jmp, xbegin            a jump to the target (a transaction aborts at once, which it must be ready for).
  call                   the original return address stored below the stack, the stack pointer lowered in one
                         instruction, and a jump.
  call through memory    the operand pushed, twice, by its own addressing; the return address takes the place
                         of the first, and `ret` takes the second.
  ret, indirect jump     its own bytes: they are position independent and do not come back.
  syscall                its own bytes, then rcx := next as the processor leaves it, and a jump. Such a copy
                         is never rewritten: the call may block, be restarted 2 bytes back, or return twice.

A thread may be found anywhere in a copy, by a signal or a fault. Every boundary between a copy's instructions
says where the thread is as seen from the program: the displaced instruction has not begun, or has completed,
and what of the registers to put right (`Copy.translate`). Nothing is half done that these repairs do not
undo.

What a program can still see, if it looks for it: an x87 instruction records the copy's address for `fnstenv`
and `xsave`; a call through memory leaves its target in the 8 bytes below the stack that it makes, and if that
target is no address at all, the 16 bytes below the stack have changed when the fault is delivered; a `popf`
that sets the trap flag traps one instruction early.
"""

from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, assert_never

from scratch.encoding import Scheme
from scratch.instruction import Instruction, Kind
from scratch.templates import (
    ABORT_TRANSACTION,
    JUMP_FAR,
    JUMP_IF,
    JUMP_NEAR,
    LEAVE_RED_ZONE,
    LOWER_STACK,
    PUSH_TOP,
    REPLACE_RETURN_HIGH,
    REPLACE_RETURN_LOW,
    RETURN,
    RETURN_INTO_RED_ZONE,
    SET_RCX,
    STORE_RETURN_HIGH,
    STORE_RETURN_LOW,
    Template,
    reaches,
    signed,
)

SLOT_SIZE: Final = 64
"""Bytes of scratch that any copy fits in; slots are aligned to it."""


class Lifetime(Enum):
    """How long a copy's bytes must stay as they are."""

    STEP = "until the thread that was sent there has left it"
    SITE = "for as long as the process lives"


class Way(Enum):
    """What a copy is made of; the rows of the coverage table."""

    UNCHANGED = "out-of-line copy"
    REWRITTEN = "rewritten copy"


class State(Enum):
    """What the program would say of its displaced instruction."""

    NOT_BEGUN = "not begun"
    COMPLETED = "completed"


@dataclass(frozen=True, slots=True)
class Refuse:
    """This instruction is not displaced, and why; the text is for the coverage table."""

    reason: str


@dataclass(frozen=True, slots=True)
class Resume:
    """Where a thread found in a copy is as seen from the program, and what makes its registers agree.

    `address` is the instruction it would execute next at home. `add_to_rsp` bytes are added to rsp;
    `set_registers` are pairs of a register's x86 number and its value; with `restore_borrowed` the borrowed
    register gets back what it held at the trap.
    """

    address: int
    state: State
    add_to_rsp: int = 0
    set_registers: tuple[tuple[int, int], ...] = ()
    restore_borrowed: bool = False


@dataclass(frozen=True, slots=True)
class Borrowed:
    """A register that stands for rip in one copy.

    Before the thread is sent to the copy, general register `register` (x86 number) gets `value`, and the 8
    bytes at `restore_offset` of the copy what it held. So such a copy serves one thread, and is written at
    each hit.
    """

    register: int
    value: int
    restore_offset: int


@dataclass(frozen=True, slots=True)
class Copy:
    """The bytes that execute one displaced instruction from `slot`.

    `boundaries` pairs the offset of each of the copy's instructions with where a thread is that would execute
    it next.
    """

    slot: int
    code: bytes
    boundaries: tuple[tuple[int, Resume], ...]
    borrowed: Borrowed | None

    def translate(self, pc: int) -> Resume | None:
        """Return where a thread with this pc is; None if it is not at a boundary of this copy.

        A fault leaves pc at the instruction that faulted, which is why its state is always NOT_BEGUN.
        """
        offset = pc - self.slot
        for boundary, resume in self.boundaries:
            if boundary == offset:
                return resume
        return None


@dataclass(frozen=True, slots=True)
class OutOfLine:
    """An instruction that is executed from scratch space.

    `calls`: it pushes a return address by storing it, so it must not serve threads whose shadow stack is on.
    """

    instruction: Instruction
    way: Way
    lifetime: Lifetime
    calls: bool

    def at(self, slot: int) -> Copy:
        """Return the copy for the slot at this address, at most SLOT_SIZE bytes."""
        return self._written(slot, _After.HOME)

    def leading_on(self, address: int) -> Copy:
        """Return the copy whose thread goes on behind it, where the next instruction's copy lies, instead of at home.

        Only for what `leads_on`.
        """
        assert leads_on(self.instruction), self.instruction
        return self._written(address, _After.BEHIND)

    def _written(self, address: int, after: "_After") -> Copy:
        writer = _Writer(self.instruction, address, after)
        _write(writer, self.instruction)
        copy = writer.finish()
        assert len(copy.code) <= SLOT_SIZE, (self.instruction, copy)
        return copy


Plan = OutOfLine | Refuse

_RCX: Final = 1
_REFUSED: Final = {
    Kind.FAR: "far transfer of control",
    Kind.INT3: "already a breakpoint",
    Kind.SYSENTER: "returns to an address that the kernel chooses",
    Kind.STACK_SEGMENT: "loads ss",
    Kind.TRANSACTION: "inside a transaction, which a trap aborts for ever",
}
_REWRITTEN: Final = frozenset(
    (
        Kind.RIP_RELATIVE,
        Kind.JCC,
        Kind.JMP,
        Kind.LOOP,
        Kind.JRCXZ,
        Kind.CALL,
        Kind.INDIRECT_CALL,
        Kind.XBEGIN,
        Kind.SYSCALL,
    )
)


def plan(instruction: Instruction) -> Plan:
    """Return how this instruction is executed somewhere else, or why it is not."""
    kind = instruction.kind
    encoding = instruction.encoding
    if kind in _REFUSED:
        return Refuse(_REFUSED[kind])
    if kind is Kind.INDIRECT_CALL and encoding.modrm & 0xC7 == 0xC4 and not encoding.rex & 1:
        return Refuse("calls the stack")
    if kind in (Kind.LOOP, Kind.JRCXZ) and (0xF2 in encoding.prefixes or 0xF3 in encoding.prefixes):
        # Seen on AMD: f2 turns loope into loopne.
        return Refuse("a loop with a repeat prefix, which processors disagree on")
    if (
        kind in (Kind.INDIRECT_CALL, Kind.INDIRECT_JMP, Kind.RET)
        and 0x66 in encoding.prefixes
        and not encoding.rex & 8
    ):
        return Refuse("a branch with a 66 prefix, which processors disagree on")
    rewritten = kind in _REWRITTEN or encoding.rip_relative
    return OutOfLine(
        instruction,
        Way.REWRITTEN if rewritten else Way.UNCHANGED,
        Lifetime.SITE if kind in (Kind.SYSCALL, Kind.INTERRUPT) else Lifetime.STEP,
        calls=kind in (Kind.CALL, Kind.INDIRECT_CALL),
    )


_LEAVES: Final = frozenset(
    (Kind.JMP, Kind.INDIRECT_JMP, Kind.RET, Kind.CALL, Kind.INDIRECT_CALL, Kind.XBEGIN)
)


def leads_on(instruction: Instruction) -> bool:
    """Whether the next instruction is executed after this one, at least if a condition is false: not where control
    leaves for good, nor for a call, whose return address is that at home.
    """
    return instruction.kind not in _LEAVES


class _After(Enum):
    """Where a thread goes on when its displaced instruction has been executed and did not branch."""

    HOME = "at the next instruction at home"
    BEHIND = "at the code behind the copy"


class _Writer:
    """Puts a copy together: bytes, and at each instruction where a thread is that would execute it next."""

    def __init__(self, instruction: Instruction, slot: int, after: _After) -> None:
        self.instruction = instruction
        self.after = after
        self._slot = slot
        self._code = bytearray()
        self._boundaries: list[tuple[int, Resume]] = []
        self._borrowed: Borrowed | None = None

    @property
    def here(self) -> int:
        """The address of the next byte."""
        return self._slot + len(self._code)

    def add(self, code: bytes, resume: Resume) -> None:
        """Append one instruction."""
        self._boundaries.append((len(self._code), resume))
        self._code += code

    def fill(self, template: Template, resume: Resume, **values: int) -> None:
        """Append one instruction made from a template."""
        self.add(template.fill(self.here, **values), resume)

    def jump(self, target: int, resume: Resume) -> None:
        """Append a jump, near if it reaches."""
        self.add(jump(self.here, target), resume)

    def go_on(self, resume: Resume) -> None:
        """Append what leads from the end of the instruction to the next one."""
        if self.after is _After.HOME:
            self.jump(self.instruction.next, resume)

    def borrow(self, register: int) -> None:
        """Note that from here back `register` stands for rip; the next 10 bytes appended put it back."""
        self._borrowed = Borrowed(register, self.instruction.next, len(self._code) + 2)

    def finish(self) -> Copy:
        return Copy(self._slot, bytes(self._code), tuple(self._boundaries), self._borrowed)


def jump(address: int, target: int) -> bytes:
    """Return a jump from `address` to `target`: 5 bytes if that reaches, else up to 21, and never through a
    register.
    """
    if reaches(address + JUMP_NEAR.size, target):
        return JUMP_NEAR.fill(address, target=target)
    return JUMP_FAR[-(address + 6) % 8].fill(address, target=target)


def _write(writer: _Writer, instruction: Instruction) -> None:
    home = Resume(instruction.address, State.NOT_BEGUN)
    done = Resume(instruction.next, State.COMPLETED)
    match instruction.kind:
        case Kind.JCC | Kind.LOOP | Kind.JRCXZ:
            _write_conditional(writer, instruction, home, done)
        case Kind.JMP:
            writer.jump(_target(instruction), home)
        case Kind.XBEGIN:
            writer.fill(ABORT_TRANSACTION, home)
            writer.jump(_target(instruction), Resume(_target(instruction), State.COMPLETED))
        case Kind.CALL:
            _write_return_address(writer, instruction, home)
            writer.jump(_target(instruction), Resume(_target(instruction), State.COMPLETED))
        case Kind.INDIRECT_CALL:
            if instruction.encoding.modrm >= 0xC0:
                _write_return_address(writer, instruction, home)
                writer.add(
                    _as_group_5(instruction, _JMP), Resume(instruction.address, State.NOT_BEGUN, add_to_rsp=8)
                )
            else:
                _write_call_through_memory(writer, instruction, home)
        case Kind.INDIRECT_JMP:
            _write_indirect_jump(writer, instruction, home)
        case Kind.RET:
            writer.add(instruction.code, home)
        case Kind.SYSCALL:
            writer.add(instruction.code, home)
            completed = Resume(instruction.next, State.COMPLETED, set_registers=((_RCX, instruction.next),))
            writer.fill(SET_RCX, completed, value=instruction.next)
            writer.go_on(done)
        case Kind.COMMON | Kind.RIP_RELATIVE | Kind.PUSHF | Kind.POPF | Kind.INTERRUPT | Kind.PRIVILEGED:
            if instruction.operand is None:
                writer.add(instruction.code, home)
            else:
                _write_with_operand(writer, instruction, instruction.code, home)
            writer.go_on(done)
        case Kind.FAR | Kind.INT3 | Kind.SYSENTER | Kind.STACK_SEGMENT | Kind.TRANSACTION:
            raise AssertionError(instruction)
        case never:
            assert_never(never)


def _target(instruction: Instruction) -> int:
    assert instruction.target is not None, instruction
    return instruction.target


def _write_conditional(writer: _Writer, instruction: Instruction, home: Resume, done: Resume) -> None:
    """Append the branch by 8 bits over the jump to the next instruction; both jumps follow."""
    encoding = instruction.encoding
    target = _target(instruction)
    taken = Resume(target, State.COMPLETED)
    opcode = 0x70 | encoding.opcode & 0x0F if instruction.kind is Kind.JCC else encoding.opcode
    narrow_count = b"\x67" if instruction.kind is not Kind.JCC and 0x67 in encoding.prefixes else b""
    start = writer.here + len(narrow_count) + 2
    match writer.after:
        case _After.HOME:
            writer.add(narrow_count + bytes((opcode, len(jump(start, instruction.next)))), home)
            writer.jump(instruction.next, done)
            writer.jump(target, taken)
        case _After.BEHIND if instruction.kind is Kind.JCC and reaches(writer.here + 6, target):
            writer.fill(JUMP_IF[encoding.opcode & 0x0F], home, target=target)
        case _After.BEHIND:
            writer.add(narrow_count + bytes((opcode, 2)), home)
            away = jump(start + 2, target)
            writer.add(bytes((_JUMP_SHORT, len(away))), done)
            writer.add(away, taken)


def _write_return_address(writer: _Writer, instruction: Instruction, home: Resume) -> None:
    """Append what pushes the original return address; it has not happened until the last of it has."""
    writer.fill(STORE_RETURN_LOW, home, return_address=instruction.next)
    writer.fill(STORE_RETURN_HIGH, home, return_address=instruction.next)
    writer.fill(LOWER_STACK, home)


_JMP: Final = 4
_PUSH: Final = 6
_JUMP_SHORT: Final = 0xEB
_DROPPED_BEFORE_BRANCH: Final = frozenset(b"\x3e\x66\xf2\xf3")


def _as_group_5(instruction: Instruction, operation: int) -> bytes:
    """Return the indirect call or jump with another operation on the same operand: ModRM.reg changed, hints
    left out.
    """
    encoding = instruction.encoding
    prefixes = bytes(p for p in encoding.prefixes if p not in _DROPPED_BEFORE_BRANCH)
    rex = bytes((encoding.rex,)) if encoding.rex else b""
    modrm = bytes((encoding.modrm & 0xC7 | operation << 3,))
    return prefixes + rex + b"\xff" + modrm + instruction.code[encoding.modrm_offset + 1 :]


def _write_call_through_memory(writer: _Writer, instruction: Instruction, home: Resume) -> None:
    """Append: push the operand, push it again, put the return address in the first one's place, pop the
    second into rip.

    So the operand is read before anything is stored, from where it is while rsp is as it was, and a stack
    that is not there faults at the address that the call would have stored to.
    """
    push = _as_group_5(instruction, _PUSH)
    borrowed: int | None = None
    if instruction.operand is None:
        writer.add(push, home)
    else:
        borrowed = _write_operand(writer, instruction, push, home)
    pushed = Resume(instruction.address, State.NOT_BEGUN, add_to_rsp=8, restore_borrowed=borrowed is not None)
    writer.fill(PUSH_TOP, pushed)
    twice = replace(pushed, add_to_rsp=16)
    writer.fill(REPLACE_RETURN_LOW, twice, return_address=instruction.next)
    writer.fill(REPLACE_RETURN_HIGH, twice, return_address=instruction.next)
    if borrowed is not None:
        _write_restore(writer, borrowed, twice)
    writer.fill(RETURN, twice)


def _write_indirect_jump(writer: _Writer, instruction: Instruction, home: Resume) -> None:
    if instruction.operand is None:
        writer.add(instruction.code, home)
        return
    near = _with_displacement(instruction, instruction.code, writer.here)
    if near is not None:
        writer.add(near, home)
        return
    # The borrowed register must be put back before the jump, so the target waits on the stack, below the red
    # zone.
    writer.fill(LEAVE_RED_ZONE, Resume(instruction.address, State.NOT_BEGUN, restore_borrowed=True))
    below = Resume(instruction.address, State.NOT_BEGUN, add_to_rsp=128, restore_borrowed=True)
    borrowed = _write_operand(writer, instruction, _as_group_5(instruction, _PUSH), below)
    assert borrowed is not None, instruction
    pushed = Resume(instruction.address, State.NOT_BEGUN, add_to_rsp=136, restore_borrowed=True)
    _write_restore(writer, borrowed, pushed)
    writer.fill(RETURN_INTO_RED_ZONE, pushed)


def _write_with_operand(writer: _Writer, instruction: Instruction, code: bytes, home: Resume) -> None:
    """Append an instruction with its rip-relative operand, and what puts a borrowed register back."""
    borrowed = _write_operand(writer, instruction, code, home)
    if borrowed is not None:
        _write_restore(writer, borrowed, Resume(instruction.next, State.COMPLETED, restore_borrowed=True))


def _write_operand(writer: _Writer, instruction: Instruction, code: bytes, before: Resume) -> int | None:
    """Append `code`, which has the instruction's rip-relative operand; return the register that was borrowed
    for it, if one was.
    """
    near = _with_displacement(instruction, code, writer.here)
    if near is not None:
        writer.add(near, before)
        return None
    register = _free_register(instruction)
    writer.add(_with_register(instruction, code, register), replace(before, restore_borrowed=True))
    return register


def _write_restore(writer: _Writer, register: int, before: Resume) -> None:
    writer.borrow(register)
    writer.add(bytes((0x48, 0xB8 | register)) + bytes(8), before)


def _with_displacement(instruction: Instruction, code: bytes, address: int) -> bytes | None:
    """Return `code` with its displacement rewritten for `address`; None if the operand is out of reach."""
    assert instruction.operand is not None, instruction
    end = address + len(code)
    if not reaches(end, instruction.operand):
        return None
    at = len(code) - instruction.size + instruction.encoding.displacement_offset
    distance = signed(instruction.operand - end)
    return code[:at] + distance.to_bytes(4, "little", signed=True) + code[at + 4 :]


def _free_register(instruction: Instruction) -> int:
    """Return the x86 number of a register that the instruction neither reads nor writes: rsi, rdi or rbp.

    No instruction with a memory operand in ModRM uses these three but through ModRM.reg or VEX.vvvv, which
    name two at most (rax, rcx, rdx and rbx are used implicitly by mul, div, shifts, cmpxchg8b and others; rsp
    by push and pop). ModRM.reg counts whatever it names, since for some instructions that is a byte register
    (dh is 6).
    """
    encoding = instruction.encoding
    used = {encoding.reg}
    match encoding.scheme:
        case Scheme.VEX3 | Scheme.XOP | Scheme.EVEX:
            used.add((~instruction.code[encoding.scheme_offset + 2] >> 3) & 7)
        case Scheme.LEGACY | Scheme.VEX2:
            pass  # VEX2 reaches no instruction whose vvvv is a general register
        case never:
            assert_never(never)
    return next(register for register in (6, 7, 5) if register not in used)


def _with_register(instruction: Instruction, code: bytes, register: int) -> bytes:
    """Return `code` with rip replaced by a register below 8, which holds the next instruction's address: same
    displacement.

    The bits that extend a base register mean nothing beside rip but do beside a register: REX.B is cleared,
    its inverted twins in VEX, XOP and EVEX (and EVEX.X) are set. VEX2 has none.
    """
    encoding = instruction.encoding
    moved = len(code) - instruction.size
    changed = bytearray(code)
    modrm_at = moved + encoding.modrm_offset
    changed[modrm_at] = 0x80 | changed[modrm_at] & 0x38 | register
    match encoding.scheme:
        case Scheme.LEGACY:
            if encoding.rex:
                rex_at = moved + encoding.scheme_offset - 1
                changed[rex_at] &= 0xFE
        case Scheme.VEX3 | Scheme.XOP:
            changed[moved + encoding.scheme_offset + 1] |= 0x20
        case Scheme.EVEX:
            changed[moved + encoding.scheme_offset + 1] |= 0x60
        case Scheme.VEX2:
            pass
        case never:
            assert_never(never)
    return bytes(changed)
