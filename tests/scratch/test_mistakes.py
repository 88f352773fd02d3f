"""The mistakes that other engines make when they execute a displaced instruction, each as a case that fails
for it.

Every case is run at home and out of line, near and far (where a register is borrowed), from one state, and
all that is left is compared. `out-of-line.md` of this project's notes names whose mistake each one was.
"""

import random
from collections.abc import Mapping

import pytest

from scratch.displaced import OutOfLine, State, plan
from scratch.instruction import Instruction, Kind, decode
from tests.scratch.assembly import assemble
from tests.scratch.differential import at_home, out_of_line
from tests.scratch.forms import MASK, start_for
from tests.scratch.sacrifice import ARENA, ARENA_SIZE, CODE, FAR, NEAR, Sacrifice, Start, Stop

SITE = CODE + 0x7F3
MIDDLE = ARENA + ARENA_SIZE // 2
AIMED = 2
"""A seed whose rip-relative operands lie in the arena."""

CF, ZF, DF = 0x1, 0x40, 0x400

RIP_RELATIVE = {
    # A borrowed register that the instruction uses without naming it.
    "mul": "mulq 8(%rip)",
    "imul": "imulq 8(%rip)",
    "imul_3": "imulq $-77,8(%rip),%rsi",
    "div": "divq 8(%rip)",
    "idiv_byte": "idivb 8(%rip)",
    "shift_by_cl": "shlq %cl,8(%rip)",
    "rotate_by_cl": "rolb %cl,8(%rip)",
    "shld_by_cl": "shldq %cl,%rsi,8(%rip)",
    "cmpxchg": "cmpxchg %rdi,8(%rip)",
    "lock_cmpxchg": "lock cmpxchg %rsi,8(%rip)",
    "cmpxchg8b": "cmpxchg8b 8(%rip)",
    "cmpxchg16b": "cmpxchg16b 8(%rip)",
    "pcmpestri": "pcmpestri $0x4c,8(%rip),%xmm3",
    "pcmpistri": "pcmpistri $0x0c,8(%rip),%xmm3",
    "xchg_with_rax": "xchg %rax,8(%rip)",
    # A result in the register that is put back.
    "load_rax": "mov 8(%rip),%rax",
    "load_rsi": "mov 8(%rip),%rsi",
    "load_rdi": "mov 8(%rip),%rdi",
    "load_rbp": "mov 8(%rip),%rbp",
    "lea_rsi": "lea 8(%rip),%rsi",
    "lea_32": "lea 8(%rip),%r9d",
    "store_dh": "mov %dh,8(%rip)",
    "store_sil": "mov %sil,8(%rip)",
    # A register in VEX.vvvv, and one there and one in ModRM.reg.
    "andn": "andn 8(%rip),%rcx,%rax",
    "andn_rsi_rdi": "andn 8(%rip),%rsi,%rdi",
    "andn_rdi_rsi": "andn 8(%rip),%rdi,%rsi",
    "bextr": "bextr %rsi,8(%rip),%rdi",
    "shlx": "shlx %rsi,8(%rip),%rax",
    "mulx": "mulx 8(%rip),%rbx,%rcx",
    "pdep": "pdep 8(%rip),%r14,%r15",
    # Bits that mean nothing beside rip and something beside a register.
    "rex_b": ".byte 0x49,0x8b,0x05,8,0,0,0",
    "rex_x": ".byte 0x4a,0x8b,0x05,8,0,0,0",
    "vex3_b": ".byte 0xc4,0xc1,0x78,0x10,0x05,8,0,0,0",
    "vex3_x": ".byte 0xc4,0xa1,0x78,0x10,0x05,8,0,0,0",
    "evex": "vmovups 8(%rip),%zmm17",
    "evex_x": ".byte 0x62,0xb1,0x7c,0x48,0x10,0x05,8,0,0,0",
    "evex_broadcast": "vaddps 8(%rip){1to16},%zmm30,%zmm1",
    "evex_rsi_in_vvvv": "vaddps 8(%rip),%zmm6,%zmm7",
    "xop_like_pop": "popq 8(%rip)",
    # rsp as it was while the instruction runs, and nothing stored around it.
    "store_rsp": "mov %rsp,8(%rip)",
    "add_to_rsp": "add 8(%rip),%rsp",
    "push": "pushq 8(%rip)",
    "pop": "popq 8(%rip)",
    # An immediate after the displacement, and as many bytes as there may be.
    "immediate_8": "cmpb $0x7f,8(%rip)",
    "immediate_32": "movq $-2,8(%rip)",
    "immediate_16": "movw $0x1234,8(%rip)",
    "fourteen_bytes": ".byte 0x66,0x66,0x66,0x48,0xc7,0x05,8,0,0,0,1,2,3,4",
    "fifteen_bytes": ".byte 0x66,0x66,0x66,0x66,0x48,0xc7,0x05,8,0,0,0,1,2,3,4",
    "segment": "mov %fs:8(%rip),%rax",
    "lock": "lock xaddl %ecx,8(%rip)",
    "jump_through": "jmp *8(%rip)",
    "call_through": "call *8(%rip)",
    "x87": "fldl 8(%rip)",
    "prefetch": "prefetcht0 8(%rip)",
}
IN_PLACE = {
    "vzeroupper": "vzeroupper",
    "vmovdqu_store": "vmovdqu %ymm1,(%rdi)",
    "vpshufd": "vpshufd $0x1b,%ymm1,%ymm2",
    "vpcmpeqb": "vpcmpeqb %ymm1,%ymm2,%ymm3",
    "evex_vpcmpeqb": "vpcmpeqb %zmm1,%zmm2,%k3",
    "vpslld": "vpslld $3,%ymm1,%ymm2",
    "vpor": "vpor %ymm1,%ymm2,%ymm3",
    "vpsubsb": "vpsubsb %ymm1,%ymm2,%ymm3",
    "vcmpps": "vcmpps $3,%ymm1,%ymm2,%ymm3",
    "vfnmadd132ss": "vfnmadd132ss %xmm1,%xmm2,%xmm3",
    "xchg_r8_rax": "xchg %r8,%rax",
    "five_byte_nop": ".byte 0x0f,0x1f,0x44,0,0",
    "nop_with_cs": ".byte 0x66,0x2e,0x0f,0x1f,0x84,0,0,0,0,0",
    "endbr64": "endbr64",
    "pushf": "pushf",
    "push_rsp": "push %rsp",
    "pop_rsp": "pop %rsp",
    "pop_into_rsp_relative": "popq 8(%rsp)",
    "lock_dec": "lock decl (%rdi)",
    "ud2": "ud2",
    "int_3_in_two_bytes": ".byte 0xcd,3",
    "int_4": "int $4",
    "hlt": "hlt",
    "cli": "cli",
    "enter": "enter $16,$0",
    "leave": "leave",
    "xlat": "xlat",
    "lahf": "lahf",
    "fs_load": "mov %fs:0,%rax",
    "ret": "ret",
    "ret_n": "ret $24",
    "rep_ret": "rep ret",
    "jump_to_register": "jmp *%r11",
    "jump_to_rsp": "jmp *%rsp",
    "jump_through_rsp": "jmp *8(%rsp)",
    "call_register": "call *%rdx",
    "call_r12": "call *%r12",
    "call_through_rsp": "call *(%rsp)",
    "call_through_rsp_8": "call *8(%rsp)",
    "call_through_below_rsp": "call *-8(%rsp)",
    "call_through_rsp_far": "call *0x7c(%rsp)",
    "call_through_rsp_32": "call *0x1000(%rsp)",
    "call_through_rsp_indexed": "call *8(%rsp,%rax,8)",
    "call_through_r12": "call *8(%r12)",
    "call_through_fs": "call *%fs:8",
    "call": ".byte 0xe8,0x10,0,0,0",
    "call_back": ".byte 0xe8,0xf0,0xff,0xff,0xff",
    "jump": ".byte 0xe9,0x10,0,0,0",
    "jump_with_bnd": ".byte 0xf2,0xeb,0x10",
    "jump_far_away": ".byte 0xe9,0,0,0,0x7f",
    "bnd_call": ".byte 0xf2,0xe8,0x10,0,0,0",
    "syscall": "syscall",
    "int_80": "int $0x80",
}


def start(
    process: Sacrifice, code: bytes, seed: int, registers: Mapping[str, int]
) -> tuple[Instruction, Start]:
    """Return the instruction at SITE, its rip-relative operand in the arena, and a state to start it with."""
    decoded = decode(code, SITE)
    assert isinstance(decoded, Instruction), decoded
    code, begin = start_for(code, decoded.encoding, random.Random(seed), process.first_vectors, SITE)
    begin = Start({**begin.registers, **registers}, begin.vectors, begin.arena)
    instruction = decode(code, SITE)
    assert isinstance(instruction, Instruction), instruction
    return instruction, begin


def same(process: Sacrifice, code: bytes, seed: int, registers: Mapping[str, int]) -> Stop:
    """Check that home and copies agree; return how it ended at home."""
    instruction, begin = start(process, code, seed, registers)
    native = at_home(process, instruction, begin)
    for slot in (NEAR, FAR):
        assert out_of_line(process, instruction, slot, begin, native) == (), (instruction, hex(slot))
    return native


CODES = assemble({**RIP_RELATIVE, **IN_PLACE})


@pytest.mark.parametrize("name", RIP_RELATIVE)
def test_operand_relative_to_rip(process: Sacrifice, name: str) -> None:
    assert decode(CODES[name], SITE).operand is not None  # type: ignore[union-attr]
    for seed in range(8):
        same(process, CODES[name], seed, {"rcx": 5 + seed, "rdx": seed & 1})


@pytest.mark.parametrize("name", IN_PLACE)
def test_instruction_that_others_get_wrong(process: Sacrifice, name: str) -> None:
    for seed in range(8):
        same(process, CODES[name], seed, {})


LOOPS = assemble(
    {
        "loop": ".byte 0xe2,0x10",
        "loope": ".byte 0xe1,0x10",
        "loopne": ".byte 0xe0,0x10",
        "loop_back": ".byte 0xe2,0xf0",
        "loop_ecx": ".byte 0x67,0xe2,0x10",
        "loope_ecx": ".byte 0x67,0xe1,0x10",
        "jrcxz": ".byte 0xe3,0x10",
        "jecxz": ".byte 0x67,0xe3,0x10",
    }
)
COUNTS = (0, 1, 2, MASK, 1 << 32, (1 << 32) + 1, 0xFFFF_FFFF, 1 << 63)


@pytest.mark.parametrize("count", COUNTS, ids=hex)
@pytest.mark.parametrize("name", LOOPS)
def test_loop_counts_before_it_tests(process: Sacrifice, name: str, count: int) -> None:
    for flags in (0x202, 0x202 | ZF, 0x202 | CF):
        same(process, LOOPS[name], 1, {"rcx": count, "flags": flags})


def test_loop_with_one_left_ends(process: Sacrifice) -> None:
    stop = same(process, LOOPS["loop"], 1, {"rcx": 1})
    assert (stop.registers["rcx"], stop.registers["rip"]) == (0, SITE + 2 + 1)


CONDITIONS = assemble({f"short_{n:x}": f".byte {0x70 | n},0x20" for n in range(16)}) | assemble(
    {f"near_{n:x}": f".byte 0x0f,{0x80 | n},0x20,0,0,0" for n in range(16)}
)


@pytest.mark.parametrize("name", CONDITIONS)
def test_conditional_jump_under_all_flags(process: Sacrifice, name: str) -> None:
    for number in range(32):
        flags = 0x202 | sum(bit for i, bit in enumerate((0x1, 0x4, 0x40, 0x80, 0x800)) if number >> i & 1)
        same(process, CONDITIONS[name], 1, {"flags": flags})


_ID = 1 << 21
"""The flag that ptrace does not set: a popf of another test may have left it in the process."""


def test_pushed_flags_have_no_trap_flag(process: Sacrifice) -> None:
    instruction, begin = start(process, CODES["pushf"], 1, {"flags": 0xA93})
    planned = plan(instruction)
    assert isinstance(planned, OutOfLine)
    stop = at_home(process, instruction, begin)
    top = stop.registers["rsp"] - ARENA
    assert int.from_bytes(stop.arena[top : top + 8], "little") & ~_ID == 0xA93
    assert out_of_line(process, instruction, NEAR, begin, stop) == ()


def test_syscall_returns_the_original_rcx(process: Sacrifice) -> None:
    stop = same(process, CODES["syscall"], 1, {"rax": 39, "flags": 0x246})
    assert (stop.registers["rax"], stop.registers["rcx"], stop.registers["r11"] & ~_ID) == (
        process.pid,
        SITE + 2,
        0x246,
    )


@pytest.mark.parametrize("name", ["call", "call_register", "call_through_rsp_8", "call_through"])
def test_calls_push_the_original_return_address(process: Sacrifice, name: str) -> None:
    target = CODE + 0x123
    instruction, begin = start(process, CODES[name], AIMED, {"rsp": MIDDLE, "rdx": target})
    arena = bytearray(begin.arena)
    where = {"call_through_rsp_8": MIDDLE + 8, "call_through": instruction.operand}.get(name)
    if where is not None:
        arena[where - ARENA : where - ARENA + 8] = target.to_bytes(8, "little")
    begin = Start(begin.registers, begin.vectors, bytes(arena))
    native = at_home(process, instruction, begin)
    assert native.signal == 5
    top = native.registers["rsp"] - ARENA
    assert int.from_bytes(native.arena[top : top + 8], "little") == instruction.next
    for slot in (NEAR, FAR):
        assert out_of_line(process, instruction, slot, begin, native) == ()


@pytest.mark.parametrize(
    "name", ["jump_through", "jump_through_rsp", "call_through", "call_through_rsp_32", "ret_n"]
)
def test_control_arrives_where_memory_says(process: Sacrifice, name: str) -> None:
    target = CODE + 0x123
    instruction, begin = start(process, CODES[name], AIMED, {"rsp": MIDDLE})
    if instruction.operand is not None:
        assert instruction.operand % 8 == 0
    begin = Start(begin.registers, begin.vectors, target.to_bytes(8, "little") * (ARENA_SIZE // 8))
    native = at_home(process, instruction, begin)
    assert (native.signal, native.registers["rip"]) == (5, target + 1)
    for slot in (NEAR, FAR):
        assert out_of_line(process, instruction, slot, begin, native) == ()


@pytest.mark.parametrize("target", [MASK, 0xFFFF_FFFF, 0x7FFF_FFFF_FFFF, 1 << 47, 0], ids=hex)
@pytest.mark.parametrize(
    "name", ["ret", "jump_to_register", "call_register", "jump_through_rsp", "call_through_rsp"]
)
def test_any_target_is_gone_to(process: Sacrifice, name: str, target: int) -> None:
    arena_word = target.to_bytes(8, "little")
    instruction, begin = start(process, CODES[name], 1, {"rsp": MIDDLE, "r11": target, "rdx": target})
    arena = begin.arena[: ARENA_SIZE // 2] + arena_word * 2 + begin.arena[ARENA_SIZE // 2 + 16 :]
    begin = Start(begin.registers, begin.vectors, arena)
    native = at_home(process, instruction, begin)
    for slot in (NEAR, FAR):
        assert out_of_line(process, instruction, slot, begin, native) == ()


STRINGS = assemble(
    {
        "movsb": "rep movsb",
        "movsq": "rep movsq",
        "stosb": "rep stosb",
        "cmpsb": "repe cmpsb",
        "scasw": "repne scasw",
    }
)


@pytest.mark.parametrize("flags", [0x202, 0x202 | DF], ids=["up", "down"])
@pytest.mark.parametrize("name", STRINGS)
def test_repeated_string_instruction_runs_whole_or_faults_half_way(
    process: Sacrifice, name: str, flags: int
) -> None:
    whole = {"rsi": MIDDLE + 1000, "rdi": MIDDLE - 1000, "flags": flags}
    assert same(process, STRINGS[name], 1, {**whole, "rcx": 100}).signal == 5
    same(process, STRINGS[name], 1, {**whole, "rcx": 0})
    stop = same(process, STRINGS["stosb"], 1, {**whole, "rcx": 1 << 40})
    assert stop.signal == 11
    assert 0 < stop.registers["rcx"] < 1 << 40


@pytest.mark.parametrize("name", ["call", "call_register", "call_through", "pushf", "push", "enter"])
def test_push_onto_a_stack_that_is_not_there_faults_as_at_home(process: Sacrifice, name: str) -> None:
    stop = same(process, CODES[name], AIMED, {"rsp": ARENA})
    assert stop.registers["rip"] == SITE
    assert (stop.signal, stop.address) == (11, ARENA - 8)


def test_division_error_names_the_original_address(process: Sacrifice) -> None:
    code = assemble({"div": "div %ecx"})["div"]
    stop = same(process, code, 1, {"rcx": 0})
    assert (stop.signal, stop.address) == (8, SITE)


def test_illegal_instruction_names_the_original_address(process: Sacrifice) -> None:
    stop = same(process, CODES["ud2"], 1, {})
    assert (stop.signal, stop.address) == (4, SITE)


def test_transaction_is_aborted_at_its_fallback() -> None:
    instruction = decode(b"\xc7\xf8\x40\x00\x00\x00", SITE)
    assert isinstance(instruction, Instruction)
    assert instruction.kind is Kind.XBEGIN
    planned = plan(instruction)
    assert isinstance(planned, OutOfLine)
    copy = planned.at(NEAR)
    assert copy.code == b"\xb8\x00\x00\x00\x00\xe9" + (SITE + 6 + 0x40 - NEAR - 10).to_bytes(
        4, "little", signed=True
    )
    last = copy.translate(NEAR + 5)
    assert last is not None
    assert (last.address, last.state) == (SITE + 6 + 0x40, State.COMPLETED)


def test_wrong_copy_is_noticed(process: Sacrifice) -> None:
    """The comparison itself: a copy that keeps its displacement reads from elsewhere."""
    instruction, begin = start(process, CODES["load_rax"], 1, {})
    native = at_home(process, instruction, begin)
    misread = decode(instruction.code, SITE + 8)
    assert isinstance(misread, Instruction)
    assert out_of_line(process, misread, NEAR, begin, native) != ()
