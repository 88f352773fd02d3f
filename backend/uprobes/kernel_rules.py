"""How the Linux kernel treats a uprobe on one instruction: refuses it, executes it rightly, or executes it
wrongly.

Decided by decoding only, with nothing but the instruction's bytes. Asking the kernel would not do: a refusal
is silent while no process maps the file, and wrong execution always is. The answer goes to whatever chooses
the engine of a site: the kernel engine takes a site whose answer is `Accepted`, fasttrap takes the others and
the reasons are shown.

The rules are those of `uprobe_init_insn`, `branch_setup_xol_ops`, `push_setup_xol_ops` and
`arch_uprobe_analyze_insn` in the kernel's arch/x86/kernel/uprobes.c as of 6.18, seen from outside by
tests/uprobes/test_kernel_rules.py. Two facts explain most of them. The kernel looks the opcode byte of a VEX
or EVEX instruction up in its table of *one-byte* opcodes, and then treats it as the one-byte instruction of
that number: VEX 77 (`vzeroupper`) becomes `ja`. And it executes what it does not emulate under the trap flag,
from a copy elsewhere, which some instructions can see.
"""

from dataclasses import dataclass
from typing import Final

from scratch.encoding import Encoding, Scheme, Undecodable, parse


@dataclass(frozen=True, slots=True)
class Accepted:
    """The kernel takes the site and the program cannot tell.

    `emulated`: the kernel produces the instruction's effect itself, which costs about a fifteenth of
    executing a copy under the trap flag.
    """

    emulated: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """The kernel refuses the site: error 524 (ENOTSUPP) or 8 (ENOEXEC), or silence while no process maps the
    file.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class Corrupts:
    """The kernel takes the site and then miscounts, or changes what the program computes."""

    reason: str


KernelRule = Accepted | Refused | Corrupts

_STEPPED: Final = Accepted(emulated=False)
_EMULATED: Final = Accepted(emulated=True)

# One-byte opcodes that the kernel's table for 64-bit programs leaves out; a VEX or EVEX opcode byte is looked
# up here as well.
_UNSUPPORTED: Final = frozenset(
    b"\x06\x07\x0e\x16\x17\x1e\x1f\x27\x2f\x37\x3f\x60\x61\x62\x6c\x6d\x6e\x6f\x82\x9a"
    b"\xcc\xcd\xce\xcf\xd4\xd5\xd6\xe4\xe5\xe6\xe7\xea\xec\xed\xee\xef\xf1\xf4\xfa\xfb"
)
_REFUSED_PREFIXES: Final = {
    0xF0: "lock prefix",
    0x26: "es prefix",
    0x2E: "cs prefix",
    0x36: "ss prefix",
    0x3E: "ds prefix",
}
_EMULATED_NOPS: Final = frozenset(
    bytes.fromhex(nop)
    for nop in ("0f1f00", "0f1f4000", "0f1f440000", "660f1f440000", "0f1f8000000000", "0f1f840000000000")
)
_SHORT_JUMPS: Final = frozenset(range(0x70, 0x80))
_NEAR_JUMPS: Final = frozenset(range(0x80, 0x90))
_STRING: Final = frozenset(b"\x6c\x6d\x6e\x6f\xa4\xa5\xa6\xa7\xaa\xab\xac\xad\xae\xaf")
_MOV_TO_SEGMENT: Final = 0x8E
_SS: Final = 2

# What the kernel does to a VEX or EVEX instruction with this opcode byte, none of which suits one.
_TAKEN_FOR: Final[dict[int, str]] = {
    **dict.fromkeys(_SHORT_JUMPS, "a conditional jump: it is skipped"),
    0x89: "a move: it may be skipped",
    0x8D: "an address computation: it may be skipped",
    0x90: "a nop: it may be skipped",
    0x9D: "popf: the trap flag stays set",
    0xC2: "ret: execution goes on in the copy",
    0xC3: "ret: execution goes on in the copy",
    0xCA: "ret: execution goes on in the copy",
    0xCB: "ret: execution goes on in the copy",
    0xE8: "call: it is skipped and a return address is pushed",
    0xE9: "jmp: it is skipped",
    0xEB: "jmp: it is skipped",
    0xFF: "an indirect branch: execution goes on in the copy",
}


def rule_at_entry(code: bytes) -> KernelRule:
    """Return the rule for a site at a function's entry, or after nothing but instructions that store nothing.

    `code` is the instruction and whatever follows it: 16 bytes, or fewer where the section ends.
    """
    return rule_of(parse(code), code)


def rule_inside(code: bytes) -> KernelRule:
    """Return the rule for a site anywhere in a function; `code` as in `rule_at_entry`.

    A 5-byte nop is the difference: from its second hit on it is a call, which overwrites 8 bytes below the
    stack pointer, where a leaf function may keep variables (the red zone).
    """
    encoding = parse(code)
    if isinstance(encoding, Encoding) and _may_become_a_call(encoding, code):
        return Corrupts("a 5-byte nop becomes a call, which overwrites the red zone")
    return rule_of(encoding, code)


def rule_of(encoding: Encoding | Undecodable, code: bytes) -> KernelRule:
    """Return what `rule_at_entry` does for code that has been parsed already."""
    if isinstance(encoding, Undecodable):
        return Refused(f"undecodable: {encoding.reason}")
    if encoding.scheme_offset > 1 and any(b & 0xF0 == 0x40 for b in code[: encoding.scheme_offset - 1]):
        return Corrupts("a REX prefix before another prefix, which the kernel takes for the opcode")
    for prefix in encoding.prefixes:
        if prefix in _REFUSED_PREFIXES:
            return Refused(_REFUSED_PREFIXES[prefix])
    if encoding.scheme is not Scheme.LEGACY:
        return _vector_rule(encoding)
    if encoding.opcode_map == 0:
        return _one_byte_rule(encoding)
    return _two_byte_rule(encoding, code)


def _vector_rule(encoding: Encoding) -> KernelRule:
    """Return the rule for a VEX, EVEX or XOP instruction: that of the one-byte opcode of the same number."""
    opcode = encoding.opcode
    if encoding.scheme is Scheme.XOP:
        return Corrupts("XOP is taken for pop")
    if opcode in _UNSUPPORTED:
        return Refused(
            f"{encoding.scheme.value} opcode {opcode:02x} is taken for an unsupported one-byte opcode"
        )
    if opcode == _MOV_TO_SEGMENT and encoding.reg == _SS:
        return Refused(f"{encoding.scheme.value} opcode 8e is taken for mov to ss")
    if opcode in _TAKEN_FOR:
        return Corrupts(f"{encoding.scheme.value} opcode {opcode:02x} is taken for {_TAKEN_FOR[opcode]}")
    return _address_rule(encoding)


def _one_byte_rule(encoding: Encoding) -> KernelRule:
    opcode = encoding.opcode
    if opcode in _UNSUPPORTED:
        return Refused(_unsupported_name(opcode))
    if opcode == _MOV_TO_SEGMENT and encoding.reg == _SS:
        return Refused("mov to ss holds traps back")
    if opcode == 0x90:
        if encoding.rex & 1:
            return Corrupts("xchg with r8 is taken for nop")
        return _STEPPED if 0xF3 in encoding.prefixes else _EMULATED
    if opcode in _SHORT_JUMPS or opcode in b"\xe8\xe9\xeb":
        return Refused("a branch with a 66 prefix") if 0x66 in encoding.prefixes else _EMULATED
    if 0x50 <= opcode <= 0x57:
        # Only `50+r` and `41 50+r` are emulated; any other prefix means a copy, which is right as well.
        return _EMULATED if encoding.size == 1 or (encoding.size == 2 and encoding.rex == 0x41) else _STEPPED
    if opcode == 0x9C:
        return Corrupts("pushf would push the trap flag")
    if opcode in _STRING and (0xF3 in encoding.prefixes or 0xF2 in encoding.prefixes):
        return Corrupts("a repeated string instruction is hit once for each iteration")
    if opcode == 0xC7 and encoding.modrm == 0xF8:
        return Corrupts("a transaction is always aborted")
    if opcode == 0xFF and encoding.reg == 3:
        return Corrupts("a far call gets a near return address")
    return _address_rule(encoding)


def _two_byte_rule(encoding: Encoding, code: bytes) -> KernelRule:
    if encoding.opcode_map == 1:
        opcode = encoding.opcode
        if opcode == 0x1F and code[: encoding.size] in _EMULATED_NOPS:
            return _EMULATED
        if opcode in _NEAR_JUMPS:
            return Refused("a branch with a 66 prefix") if 0x66 in encoding.prefixes else _EMULATED
        if opcode == 0x05:
            return Corrupts("syscall returns the copy's address in rcx and the trap flag in r11")
        if opcode in b"\x07\x34\x35":
            return Corrupts("a system call instruction that returns elsewhere")
    return _address_rule(encoding)


def _address_rule(encoding: Encoding) -> KernelRule:
    """Return the rule for an instruction that is executed from a copy, given its memory operand.

    The kernel replaces rip by rsi, rdi or rbx in the copy, rightly but for 32-bit addresses: the register is
    cut to its lower half, and so was eip, but a program loaded above 4 GiB gets another address than it would
    have got with a wrapped sum.
    """
    if encoding.rip_relative and 0x67 in encoding.prefixes:
        return Corrupts("an eip-relative operand")
    return _STEPPED


def _unsupported_name(opcode: int) -> str:
    names = {0xCC: "int3", 0xCD: "int", 0xF1: "int1", 0xF4: "hlt", 0xCF: "iret"}
    return names.get(opcode, f"opcode {opcode:02x} is not supported")


def _may_become_a_call(encoding: Encoding, code: bytes) -> bool:
    """Whether some kernel takes these 5 bytes for a nop that it may overwrite (6.18: one form; later: every
    form).
    """
    if encoding.size != 5 or encoding.scheme is not Scheme.LEGACY:
        return False
    last = code[4]
    match encoding.opcode_map, encoding.opcode:
        case (1, 0x1F) | (0, 0x90):
            return True
        case (0, 0xE9):
            return not any(code[1:5])
        case (0, 0x8D):
            return last == 0
    return False
