"""Emulated control transfers against the processor's, from the same registers and memory."""

import random
from dataclasses import replace

import pytest

from scratch.emulation import Fault, Registers, emulate
from scratch.instruction import Instruction, decode
from tests.scratch.assembly import assemble
from tests.scratch.differential import at_home
from tests.scratch.forms import MASK, start_for
from tests.scratch.sacrifice import ARENA, ARENA_SIZE, CODE, GENERAL, Sacrifice

SITE = CODE + 0x5A1
SIGTRAP = 5

SOURCES = {
    **{f"jcc_{n:x}": f".byte {0x70 | n},0x20" for n in range(16)},
    **{f"jcc_near_{n:x}": f".byte 0x0f,{0x80 | n},0x40,1,0,0" for n in range(16)},
    "jmp": ".byte 0xeb,0x20",
    "jmp_near": ".byte 0xe9,0x40,1,0,0",
    "loop": ".byte 0xe2,0x10",
    "loope": ".byte 0xe1,0x10",
    "loopne": ".byte 0xe0,0x10",
    "loop_ecx": ".byte 0x67,0xe2,0x10",
    "loopne_ecx": ".byte 0x67,0xe0,0x10",
    "jrcxz": ".byte 0xe3,0x10",
    "jecxz": ".byte 0x67,0xe3,0x10",
    "call": ".byte 0xe8,0x40,1,0,0",
    "call_rax": "call *%rax",
    "call_rsp": "call *%rsp",
    "call_r13": "call *%r13",
    "call_rsp_8": "call *8(%rsp)",
    "call_below_rsp": "call *-8(%rsp)",
    "call_rbp": "call *-8(%rbp)",
    "call_r13_0": "call *0(%r13)",
    "call_r12_indexed": "call *0x40(%r12,%r9,8)",
    "call_rip": "call *8(%rip)",
    "call_fs": "call *%fs:16",
    "call_gs_rdi": "call *%gs:(%rdi)",
    "call_gs_then_fs": ".byte 0x65,0x64,0xff,0x14,0x25,16,0,0,0",
    "call_narrow": "addr32 call *8(%ecx)",
    "jmp_r11": "jmp *%r11",
    "jmp_table": "jmp *(%rdx,%rax,8)",
    "jmp_table_without_base": "jmp *0x20000000(,%rax,8)",
    "jmp_rip": "jmp *8(%rip)",
    "notrack_jmp": "notrack jmp *%rdx",
    "ret": "ret",
    "ret_24": "ret $24",
    "rep_ret": "rep ret",
}
CODES = assemble(SOURCES)


@pytest.mark.parametrize("name", SOURCES)
def test_emulation_does_what_the_processor_does(process: Sacrifice, name: str) -> None:
    chance = random.Random(7)
    completed = 0
    for _ in range(40):
        decoded = decode(CODES[name], SITE)
        assert isinstance(decoded, Instruction), decoded
        code, start = start_for(CODES[name], decoded.encoding, chance, process.first_vectors, SITE)
        words = b"".join((CODE + 8 * chance.randrange(256)).to_bytes(8, "little") for _ in range(64))
        arena = words * (ARENA_SIZE // len(words))
        for register in ("rax", "r11", "r13", "rdx"):
            if register in SOURCES[name] and "(" not in SOURCES[name]:
                start.registers[register] = CODE + chance.randrange(0x400)
        flags = start.registers["flags"] & ~(1 << 18)
        start = replace(start, arena=arena, registers={**start.registers, "flags": flags, "gs_base": 64})
        instruction = decode(code, SITE)
        assert isinstance(instruction, Instruction)
        native = at_home(process, instruction, start)

        memory = bytearray(arena)

        def read_word(address: int, memory: bytearray = memory) -> int | None:
            at = address - ARENA
            return int.from_bytes(memory[at : at + 8], "little") if 0 <= at <= ARENA_SIZE - 8 else None

        def write_word(address: int, value: int, memory: bytearray = memory) -> bool:
            at = address - ARENA
            if not 0 <= at <= ARENA_SIZE - 8:
                return False
            memory[at : at + 8] = value.to_bytes(8, "little")
            return True

        r = start.registers
        before = Registers(tuple(r[n] for n in GENERAL), SITE, r["flags"], r["fs_base"], r["gs_base"])
        after = emulate(instruction, before, read_word, write_word)
        assert after is not None
        if isinstance(after, Fault):
            assert native.signal != SIGTRAP
            assert native.registers["rip"] == SITE
            continue
        completed += 1
        came_to = native.registers["rip"] - (1 if native.signal == SIGTRAP else 0)
        assert (after.rip, after.general) == (came_to, tuple(native.registers[n] for n in GENERAL))
        assert bytes(memory) == native.arena
    assert completed or name == "call_rsp"


def test_call_that_cannot_push_changes_nothing() -> None:
    instruction = decode(CODES["call"], SITE)
    assert isinstance(instruction, Instruction)
    before = Registers(tuple(range(16)), SITE, 0x202, 0, 0)
    assert emulate(instruction, before, lambda _: None, lambda _, __: False) == Fault((4 - 8) & MASK)


def test_transaction_is_aborted_with_no_cause() -> None:
    instruction = decode(b"\xc7\xf8\x40\x00\x00\x00", SITE)
    assert isinstance(instruction, Instruction)
    before = Registers((MASK, *range(15)), SITE, 0x202, 0, 0)
    after = emulate(instruction, before, lambda _: None, lambda _, __: False)
    assert after == Registers((0, *range(15)), SITE + 6 + 0x40, 0x202, 0, 0)


def test_other_instructions_are_not_emulated() -> None:
    instruction = decode(b"\x90", SITE)
    assert isinstance(instruction, Instruction)
    before = Registers(tuple(range(16)), SITE, 0x202, 0, 0)
    assert emulate(instruction, before, lambda _: None, lambda _, __: False) is None
