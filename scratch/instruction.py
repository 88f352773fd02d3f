"""What one x86-64 instruction is: its kind, its fields, and where it branches to.

`decode` asks two decoders, capstone and our own `encoding.py`, and answers only what both say: a disagreement
about length, about the memory operand or about a branch target is an `Undecodable`, and so is what capstone
does not know. The only importer of capstone. What to do with an instruction of each kind is decided in
`displaced.py`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Final

import capstone

from scratch.encoding import Encoding, Scheme, Undecodable, parse

__all__ = ["Instruction", "Kind", "Undecodable", "decode", "sweep"]


class Kind(Enum):
    """What matters about an instruction when it is executed elsewhere."""

    COMMON = "position independent"
    RIP_RELATIVE = "has an operand relative to rip"
    JCC = "conditional jump"
    JMP = "jump"
    LOOP = "loop, loope or loopne"
    JRCXZ = "jrcxz or jecxz"
    CALL = "call"
    INDIRECT_CALL = "indirect call"
    INDIRECT_JMP = "indirect jump"
    RET = "return"
    SYSCALL = "syscall"
    PUSHF = "pushes the flags"
    POPF = "pops the flags"
    XBEGIN = "begins a transaction"
    TRANSACTION = "ends, aborts or suspends a transaction"
    INT3 = "int3"
    INTERRUPT = "software interrupt"
    FAR = "far transfer of control"
    SYSENTER = "sysenter or sysexit"
    PRIVILEGED = "privileged"
    STACK_SEGMENT = "loads ss"


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction at `address`; `code` is exactly its bytes.

    `target` is the absolute address that a direct branch leads to (modulo 2**64), or None. For RIP_RELATIVE
    and for an indirect branch through memory relative to rip, `operand` is that memory's absolute address,
    else None.
    """

    address: int
    code: bytes
    kind: Kind
    encoding: Encoding
    target: int | None
    operand: int | None

    @property
    def size(self) -> int:
        """Length in bytes, 1 to 15."""
        return len(self.code)

    @property
    def next(self) -> int:
        """The address of the instruction after this one."""
        return (self.address + len(self.code)) & _MASK


_MASK: Final = (1 << 64) - 1
_NUMBER: Final = re.compile(r"0x[0-9a-f]+|[0-9]+")
_RIP_OPERAND: Final = re.compile(r"\[([re])ip(?: ([+-]) (0x[0-9a-f]+|\d+))?\]")
_DATA: Final = frozenset((Kind.COMMON, Kind.RIP_RELATIVE, Kind.PRIVILEGED))
_DIRECT: Final = frozenset((Kind.JCC, Kind.JMP, Kind.LOOP, Kind.JRCXZ, Kind.CALL, Kind.XBEGIN))


def decode(code: bytes, address: int) -> Instruction | Undecodable:
    """Return the instruction at the start of `code`, which lies at `address`.

    `code` may be longer than the instruction; 15 bytes always suffice. Never raises, whatever the bytes.
    """
    for _, size, mnemonic, operands in _capstone().disasm_lite(code[:15], address, 1):
        return _agreed(code, address, size, mnemonic, operands)
    return Undecodable("capstone does not know it")


def sweep(code: bytes, address: int) -> Iterator[tuple[int, Instruction | Undecodable]]:
    """Yield every instruction of `code` from its beginning to its end, with its offset; go on a byte after an
    undecodable one.
    """
    at = 0
    while at < len(code):
        for found, size, mnemonic, operands in _capstone().disasm_lite(code[at:], address + at):
            at = found - address
            yield at, _agreed(code[at : at + size], found, size, mnemonic, operands)
            at += size
        if at < len(code):
            yield at, Undecodable("capstone does not know it")
            at += 1


@cache
def _capstone() -> capstone.Cs:
    return capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)


def registers_written(code: bytes) -> frozenset[int]:
    """Return the general registers (x86 numbers) that an instruction changes, whole or in part; what capstone
    doesn't know changes all. Of a call only what itself changes.
    """
    for found in _detailed_capstone().disasm(code[:15], 0, 1):
        _, written = found.regs_access()
        return frozenset(_numbers()[register] for register in written if register in _numbers())
    return frozenset(range(16))


@cache
def _detailed_capstone() -> capstone.Cs:
    decoder = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    decoder.detail = True
    return decoder


@cache
def _numbers() -> dict[int, int]:
    """Return x86's number of each of capstone's general registers, of every width."""
    letters = ("a", "c", "d", "b")
    numbers: dict[str, int] = {}
    for number, letter in enumerate(letters):
        widths = (f"r{letter}x", f"e{letter}x", f"{letter}x", f"{letter}l", f"{letter}h")
        numbers |= dict.fromkeys(widths, number)
    for number, name in enumerate(("sp", "bp", "si", "di"), 4):
        numbers |= dict.fromkeys((f"r{name}", f"e{name}", name, f"{name}l"), number)
    for number in range(8, 16):
        numbers |= dict.fromkeys((f"r{number}", f"r{number}d", f"r{number}w", f"r{number}b"), number)
    decoder = _capstone()
    return {
        register: numbers[name]
        for register in range(1, capstone.x86.X86_REG_ENDING)
        if (name := decoder.reg_name(register)) in numbers
    }


def _agreed(code: bytes, address: int, size: int, mnemonic: str, operands: str) -> Instruction | Undecodable:
    """Return the instruction if our decoder says what capstone said: `size`, `mnemonic` and `operands` (Intel
    syntax).
    """
    encoding = parse(code)
    if isinstance(encoding, Undecodable):
        return encoding
    if encoding.size != size:
        return Undecodable(f"two decoders disagree: {encoding.size} bytes, or {size} ({mnemonic})")
    kind = _kind(encoding)
    after = address + size
    target = operand = None
    if 0xF0 in encoding.prefixes and kind not in _DATA:
        return Undecodable("a lock prefix that is not allowed here")
    if kind in _DIRECT:
        target = (after + _signed(code, encoding.immediate_offset, encoding.immediate_size)) & _MASK
        if 0x66 in encoding.prefixes and not encoding.rex & 8:
            return Undecodable("a branch with a 66 prefix, which processors disagree on")
        shown = _NUMBER.search(operands)
        if shown is None or int(shown[0], 0) != target:
            return Undecodable(f"two decoders disagree about the target: {target:#x}, or {operands}")
    shown_operand = _RIP_OPERAND.search(operands)
    if encoding.rip_relative:
        displacement = _signed(code, encoding.displacement_offset, 4)
        if shown_operand is None or _shown_displacement(shown_operand) != displacement:
            return Undecodable(
                f"two decoders disagree about the operand: rip{displacement:+#x}, or {operands}"
            )
        if shown_operand[1] == "e" or 0x67 in encoding.prefixes:
            return Undecodable("an operand relative to eip")
        operand = (after + displacement) & _MASK
    elif shown_operand is not None:
        return Undecodable(f"two decoders disagree about the operand: no rip, or {operands}")
    return Instruction(address, code[:size], kind, encoding, target, operand)


def _shown_displacement(shown: re.Match[str]) -> int:
    if shown[3] is None:
        return 0
    value = int(shown[3], 0)
    return -value if shown[2] == "-" else value


def _signed(code: bytes, offset: int, size: int) -> int:
    return int.from_bytes(code[offset : offset + size], "little", signed=True)


_ONE_BYTE_KINDS: Final[dict[int, Kind]] = {
    **dict.fromkeys(range(0x70, 0x80), Kind.JCC),
    0xE0: Kind.LOOP,
    0xE1: Kind.LOOP,
    0xE2: Kind.LOOP,
    0xE3: Kind.JRCXZ,
    0xE8: Kind.CALL,
    0xE9: Kind.JMP,
    0xEB: Kind.JMP,
    0xC2: Kind.RET,
    0xC3: Kind.RET,
    0x9C: Kind.PUSHF,
    0x9D: Kind.POPF,
    0xCC: Kind.INT3,
    0xF1: Kind.INT3,
    0xCD: Kind.INTERRUPT,
    0xCA: Kind.FAR,
    0xCB: Kind.FAR,
    0xCF: Kind.FAR,
    **dict.fromkeys(b"\x6c\x6d\x6e\x6f\xe4\xe5\xe6\xe7\xec\xed\xee\xef\xf4\xfa\xfb", Kind.PRIVILEGED),
}
_TWO_BYTE_KINDS: Final[dict[int, Kind]] = {
    **dict.fromkeys(range(0x80, 0x90), Kind.JCC),
    0x05: Kind.SYSCALL,
    0x34: Kind.SYSENTER,
    0x35: Kind.SYSENTER,
    0x07: Kind.SYSENTER,
    0xB2: Kind.STACK_SEGMENT,
    **dict.fromkeys(b"\x06\x08\x09\x20\x21\x22\x23\x30\x32\x33\x37", Kind.PRIVILEGED),
}
_GROUP_5_KINDS: Final = {2: Kind.INDIRECT_CALL, 3: Kind.FAR, 4: Kind.INDIRECT_JMP, 5: Kind.FAR}
_XEND: Final = 0xD5


def _kind(encoding: Encoding) -> Kind:
    if encoding.scheme is Scheme.LEGACY:
        kind = None
        if encoding.opcode_map == 0:
            kind = _one_byte_kind(encoding)
        elif encoding.opcode_map == 1:
            kind = _TWO_BYTE_KINDS.get(encoding.opcode)
            if encoding.opcode == 0x01 and encoding.modrm == _XEND:
                kind = Kind.TRANSACTION
        if kind is not None:
            return kind
    return Kind.RIP_RELATIVE if encoding.rip_relative else Kind.COMMON


def _one_byte_kind(encoding: Encoding) -> Kind | None:
    match encoding.opcode:
        case 0xFF:
            return _GROUP_5_KINDS.get(encoding.reg)
        case 0xC7 if encoding.modrm == 0xF8:
            return Kind.XBEGIN
        case 0xC6 if encoding.modrm == 0xF8:
            return Kind.TRANSACTION
        case 0x8E if encoding.reg == 2:
            return Kind.STACK_SEGMENT
        case opcode:
            return _ONE_BYTE_KINDS.get(opcode)
