"""Decoding: kinds, fields and targets, and what is refused because decoders or processors disagree."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratch.encoding import MAX_SIZE, Encoding, Scheme, Undecodable, parse
from scratch.instruction import Instruction, Kind, decode
from tests.scratch.assembly import assemble
from tests.scratch.fuzz import made_up

AT = 0x7F00_1234_5678

KINDS = {
    Kind.COMMON: [
        "nop",
        "mov %rax,%rbx",
        "lock incl (%rdi)",
        "rep movsb",
        "vpxor %ymm0,%ymm1,%ymm2",
        "endbr64",
        "ud2",
    ],
    Kind.RIP_RELATIVE: ["mov 8(%rip),%rax", "vmovups 8(%rip),%zmm3", "pushq 8(%rip)", "lea 8(%rip),%rdi"],
    Kind.JCC: [".byte 0x74,5", ".byte 0x0f,0x8f,1,0,0,0"],
    Kind.JMP: [".byte 0xeb,5", ".byte 0xe9,1,0,0,0"],
    Kind.LOOP: [".byte 0xe2,5", ".byte 0x67,0xe0,5"],
    Kind.JRCXZ: [".byte 0xe3,5", ".byte 0x67,0xe3,5"],
    Kind.CALL: [".byte 0xe8,1,0,0,0", ".byte 0x66,0x66,0x48,0xe8,1,0,0,0"],
    Kind.INDIRECT_CALL: ["call *%rax", "call *8(%rsp)", "call *8(%rip)"],
    Kind.INDIRECT_JMP: ["jmp *%rax", "notrack jmp *%rax", "jmp *8(%rip)"],
    Kind.RET: ["ret", "ret $8", "rep ret"],
    Kind.SYSCALL: ["syscall"],
    Kind.PUSHF: ["pushf"],
    Kind.POPF: ["popf"],
    Kind.XBEGIN: [".byte 0xc7,0xf8,1,0,0,0"],
    Kind.TRANSACTION: ["xend", "xabort $1"],
    Kind.INT3: ["int3", ".byte 0xf1"],
    Kind.INTERRUPT: ["int $0x80"],
    Kind.FAR: ["lret", "lcall *(%rax)", "ljmp *(%rax)", "iretq"],
    Kind.SYSENTER: ["sysenter", "sysexit"],
    Kind.PRIVILEGED: ["hlt", "cli", "in $1,%al", "rdmsr"],
    Kind.STACK_SEGMENT: ["mov %eax,%ss", "lss (%rax),%eax"],
}
CODES = assemble({source: source for sources in KINDS.values() for source in sources})


@pytest.mark.parametrize(
    ("kind", "source"), [(kind, source) for kind, sources in KINDS.items() for source in sources]
)
def test_kind(kind: Kind, source: str) -> None:
    instruction = decode(CODES[source] + bytes(15), AT)
    assert isinstance(instruction, Instruction), instruction
    assert (instruction.kind, instruction.code) == (kind, CODES[source])


@pytest.mark.parametrize(
    ("code", "target"),
    [
        (b"\x74\xfe", AT),
        (b"\xeb\x7f", AT + 0x81),
        (b"\xe8\x00\x00\x00\x80", AT + 5 - (1 << 31)),
        (b"\x0f\x85\xff\xff\xff\xff", AT + 5),
        (b"\xe2\x80", AT - 126),
    ],
)
def test_branch_target(code: bytes, target: int) -> None:
    instruction = decode(code, AT)
    assert isinstance(instruction, Instruction)
    assert instruction.target == target


def test_branch_target_wraps_around() -> None:
    instruction = decode(b"\xeb\x80", 0x10)
    assert isinstance(instruction, Instruction)
    assert instruction.target == 0x10 + 2 - 128 + (1 << 64)


def test_operand_counts_from_the_end_of_the_immediate() -> None:
    instruction = decode(bytes.fromhex("48c705100000000a000000"), AT)
    assert isinstance(instruction, Instruction)
    assert instruction.operand == AT + 11 + 0x10


REFUSED = {
    "jump with a 66 prefix": ("667400", "66 prefix"),
    "call with a 66 prefix": ("66e800000000", "66 prefix"),
    "operand relative to eip": ("678b0510000000", "relative to eip"),
    "lock prefix on a branch": ("f0f2417c74", "lock"),
    "rex2": ("d50890", ""),
    "apx": ("62f47c0801c0", ""),
    "vex after rex": ("48c5f877", ""),
    "vex after 66": ("66c5f877", ""),
    "removed in 64-bit mode": ("06", ""),
    "sixteen bytes": ("66" * 15 + "90", ""),
    "truncated": ("48b80102", ""),
    "nothing": ("", ""),
    "evex map 5": ("62f57c4858c1", ""),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    code, reason = REFUSED[name]
    answer = decode(bytes.fromhex(code), AT)
    assert isinstance(answer, Undecodable), answer
    assert reason in answer.reason


FIELDS = {
    "mov %r9,0x12345678(%r10,%r11,4)": (0, 0x89, 4, 4, 0),
    "vpalignr $7,0x40(%rax),%ymm1,%ymm2": (3, 0x0F, 5, 1, 1),
    "movabs $0x1122334455667788,%r10": (0, 0xBA, 0, 0, 8),
    "movabs 0x1122334455667788,%al": (0, 0xA0, 0, 0, 8),
    "mov $0x1234,%ax": (0, 0xB8, 0, 0, 2),
    "testb $1,(%rax)": (0, 0xF6, 0, 0, 1),
    "notq (%rax)": (0, 0xF7, 0, 0, 0),
    "testq $1,(%rax)": (0, 0xF7, 0, 0, 4),
    "enter $8,$1": (0, 0xC8, 0, 0, 3),
    "vaddps 0x1000(%rax){1to16},%zmm1,%zmm2": (1, 0x58, 6, 4, 0),
    "mov %cr0,%rax": (1, 0x20, 0, 0, 0),
    ".byte 0x0f,0x20,0x05": (1, 0x20, 0, 0, 0),
    "extrq $1,$2,%xmm0": (1, 0x78, 0, 0, 2),
    "mov (,%rax,8),%rax": (0, 0x8B, 4, 4, 0),
}
FIELD_CODES = assemble({source: source for source in FIELDS})


@pytest.mark.parametrize("source", FIELDS)
def test_fields(source: str) -> None:
    encoding = parse(FIELD_CODES[source] + b"\x90" * 8)
    assert isinstance(encoding, Encoding)
    found = (
        encoding.opcode_map,
        encoding.opcode,
        encoding.displacement_offset,
        encoding.displacement_size,
        encoding.immediate_size,
    )
    assert (encoding.size, *found) == (len(FIELD_CODES[source]), *FIELDS[source])


def test_scheme() -> None:
    codes = assemble(
        {
            "VEX2": "vzeroupper",
            "VEX3": "vpermd %ymm0,%ymm1,%ymm2",
            "EVEX": "vmovaps %zmm1,%zmm2",
            "legacy": "nop",
        }
    )
    for name, code in codes.items():
        encoding = parse(code)
        assert isinstance(encoding, Encoding)
        assert encoding.scheme == Scheme(name)


@given(st.binary(max_size=20))
def test_any_bytes_have_an_answer(code: bytes) -> None:
    answer = decode(code, AT)
    assert isinstance(answer, Undecodable) or 1 <= answer.size <= min(len(code), MAX_SIZE)
    fields = parse(code)
    assert isinstance(fields, Undecodable) or fields.size <= len(code)


def test_truncated_instructions_are_never_decoded_as_shorter_ones_by_our_decoder() -> None:
    chance = random.Random(3)
    for _ in range(20000):
        code = made_up(chance)
        whole = parse(code)
        if isinstance(whole, Encoding):
            assert isinstance(parse(code[: whole.size - 1]), Undecodable)
