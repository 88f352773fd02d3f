"""What a control transfer does, computed from registers: the tracer's way where no scratch space can be had.

Covers the branches, calls and returns, whose effect is a few registers and at most 8 bytes of the stack.
Where a copy can run, it is preferred (`displaced.py`): it faults as the instruction would, and needs no
access to the program's memory. Returns new registers for the tracer to set; memory is read and written
through the two functions that the caller gives.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from scratch.encoding import Encoding
from scratch.instruction import Instruction, Kind
from scratch.templates import MASK

CF: Final = 1 << 0
PF: Final = 1 << 2
ZF: Final = 1 << 6
SF: Final = 1 << 7
OF: Final = 1 << 11

_RAX: Final = 0
_RCX: Final = 1
_RSP: Final = 4

JUMPS: Final = frozenset((Kind.JMP, Kind.JCC, Kind.LOOP, Kind.JRCXZ, Kind.INDIRECT_JMP, Kind.RET))
"""What is emulated by changing registers alone."""

ReadWord = Callable[[int], int | None]
"""Return the 8 bytes at an address as a number, or None if they can't be read."""

WriteWord = Callable[[int, int], bool]
"""Store a number in the 8 bytes at an address; False if they can't be written."""


@dataclass(frozen=True, slots=True)
class Registers:
    """A thread's registers as far as control transfers use them, each 64 bits, unsigned.

    `general` has the 16 general registers by x86 number: rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8 to r15.
    """

    general: tuple[int, ...]
    rip: int
    flags: int
    fs_base: int
    gs_base: int

    def with_general(self, number: int, value: int) -> "Registers":
        """Return these with one general register replaced."""
        general = (*self.general[:number], value & MASK, *self.general[number + 1 :])
        return replace(self, general=general)


@dataclass(frozen=True, slots=True)
class Fault:
    """The memory at `address` could not be read or written, or `address` is where to go and none at all;
    nothing has changed.
    """

    address: int


def emulate(
    instruction: Instruction, registers: Registers, read_word: ReadWord, write_word: WriteWord
) -> Registers | Fault | None:
    """Return the registers after the instruction; None if it is of a kind that is not emulated.

    A call writes its return address before anything else changes.
    """
    match instruction.kind:
        case Kind.JMP:
            return replace(registers, rip=_target(instruction))
        case Kind.JCC:
            return _branch(
                instruction, registers, taken=condition(instruction.encoding.opcode & 0x0F, registers.flags)
            )
        case Kind.LOOP | Kind.JRCXZ:
            return _counted(instruction, registers)
        case Kind.XBEGIN:
            return replace(registers.with_general(_RAX, 0), rip=_target(instruction))
        case Kind.CALL:
            return _call(instruction, registers, _target(instruction), write_word)
        case Kind.INDIRECT_CALL | Kind.INDIRECT_JMP:
            target = _indirect_target(instruction, registers, read_word)
            if isinstance(target, Fault):
                return target
            if instruction.kind is Kind.INDIRECT_JMP:
                return replace(registers, rip=target) if canonical(target) else Fault(target)
            return _call(instruction, registers, target, write_word)
        case Kind.RET:
            return _return(instruction, registers, read_word)
        case _:
            return None


def condition(number: int, flags: int) -> bool:
    """Whether condition 0 to 15 (the low half of a jcc opcode) holds."""
    match number >> 1:
        case 0:
            holds = bool(flags & OF)
        case 1:
            holds = bool(flags & CF)
        case 2:
            holds = bool(flags & ZF)
        case 3:
            holds = bool(flags & (CF | ZF))
        case 4:
            holds = bool(flags & SF)
        case 5:
            holds = bool(flags & PF)
        case 6:
            holds = bool(flags & SF) != bool(flags & OF)
        case _:
            holds = bool(flags & ZF) or bool(flags & SF) != bool(flags & OF)
    return holds != bool(number & 1)


def canonical(address: int) -> bool:
    """Whether an address is one, with four-level page tables: bits 47 to 63 are equal."""
    return address >> 47 in (0, 0x1FFFF)


def _target(instruction: Instruction) -> int:
    assert instruction.target is not None, instruction
    return instruction.target


def _branch(instruction: Instruction, registers: Registers, *, taken: bool) -> Registers:
    return replace(registers, rip=_target(instruction) if taken else instruction.next)


def _counted(instruction: Instruction, registers: Registers) -> Registers:
    """loop: count down, then test. A 67 prefix counts in ecx, and like every 32-bit write clears rcx's upper
    half.
    """
    narrow = 0x67 in instruction.encoding.prefixes
    width = 0xFFFFFFFF if narrow else MASK
    count = registers.general[_RCX] & width
    if instruction.kind is Kind.JRCXZ:
        return _branch(instruction, registers, taken=count == 0)
    count = (count - 1) & width
    zero = bool(registers.flags & ZF)
    wanted = {0xE0: not zero, 0xE1: zero, 0xE2: True}[instruction.encoding.opcode]
    return _branch(instruction, registers.with_general(_RCX, count), taken=count != 0 and wanted)


def _call(
    instruction: Instruction, registers: Registers, target: int, write_word: WriteWord
) -> Registers | Fault:
    if not canonical(target):
        return Fault(target)
    top = (registers.general[_RSP] - 8) & MASK
    if not write_word(top, instruction.next):
        return Fault(top)
    return replace(registers.with_general(_RSP, top), rip=target)


def _return(instruction: Instruction, registers: Registers, read_word: ReadWord) -> Registers | Fault:
    top = registers.general[_RSP]
    target = read_word(top)
    if target is None:
        return Fault(top)
    if not canonical(target):
        return Fault(target)
    encoding = instruction.encoding
    at = encoding.immediate_offset
    dropped = int.from_bytes(instruction.code[at : at + encoding.immediate_size], "little")
    return replace(registers.with_general(_RSP, top + 8 + dropped), rip=target)


def _indirect_target(instruction: Instruction, registers: Registers, read_word: ReadWord) -> int | Fault:
    encoding = instruction.encoding
    if encoding.modrm >= 0xC0:
        return registers.general[encoding.modrm & 7 | (encoding.rex & 1) << 3]
    address = effective_address(instruction, registers)
    target = read_word(address)
    return Fault(address) if target is None else target


def effective_address(instruction: Instruction, registers: Registers) -> int:
    """Return the linear address of ModRM's memory operand (general registers only, no vector index)."""
    encoding = instruction.encoding
    address = (
        instruction.operand
        if instruction.operand is not None
        else _sum_of_parts(instruction, encoding, registers)
    )
    if 0x67 in encoding.prefixes:
        address &= 0xFFFFFFFF
    if 0x64 in encoding.prefixes or 0x65 in encoding.prefixes:
        last = next(prefix for prefix in reversed(encoding.prefixes) if prefix in (0x64, 0x65))
        address += registers.fs_base if last == 0x64 else registers.gs_base
    return address & MASK


def _sum_of_parts(instruction: Instruction, encoding: Encoding, registers: Registers) -> int:
    at = encoding.displacement_offset
    size = encoding.displacement_size
    address = int.from_bytes(instruction.code[at : at + size], "little", signed=True)
    extension = (encoding.rex & 1) << 3
    if encoding.modrm & 7 != 4:
        return address + registers.general[encoding.modrm & 7 | extension]
    index = (encoding.sib >> 3) & 7 | (encoding.rex & 2) << 2
    if index != _RSP:
        address += registers.general[index] << (encoding.sib >> 6)
    if encoding.sib & 7 != 5 or encoding.modrm >= 0x40:
        address += registers.general[encoding.sib & 7 | extension]
    return address
