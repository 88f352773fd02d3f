"""Plans and copies as data: what is refused and why, that copies fit their slots anywhere, and where threads
in them are.
"""

import random

import pytest

from scratch.displaced import SLOT_SIZE, Lifetime, OutOfLine, Refuse, State, Way, plan
from scratch.instruction import Instruction, Undecodable, decode
from scratch.templates import JUMP_FAR, JUMP_NEAR, STORE_RETURN_HIGH, STORE_RETURN_LOW
from tests.scratch.assembly import assemble
from tests.scratch.forms import LIBRARIES, distinct_forms
from tests.scratch.fuzz import made_up

SITE = 0x7F00_1234_5678
SLOT = 0x7F00_0000_0040


def planned(code: bytes) -> OutOfLine:
    instruction = decode(code, SITE)
    assert isinstance(instruction, Instruction), instruction
    answer = plan(instruction)
    assert isinstance(answer, OutOfLine), answer
    return answer


REFUSED = {
    "int3": "already a breakpoint",
    ".byte 0xf1": "already a breakpoint",
    "lret": "far transfer of control",
    "iretq": "far transfer of control",
    "ljmp *(%rax)": "far transfer of control",
    "sysenter": "returns to an address that the kernel chooses",
    "mov %eax,%ss": "loads ss",
    "xend": "inside a transaction, which a trap aborts for ever",
    "call *%rsp": "calls the stack",
    ".byte 0x66,0xff,0xd0": "a branch with a 66 prefix, which processors disagree on",
    ".byte 0x66,0xc3": "a branch with a 66 prefix, which processors disagree on",
    ".byte 0xf2,0xe1,5": "a loop with a repeat prefix, which processors disagree on",
}
REFUSED_CODES = assemble({source: source for source in REFUSED})


@pytest.mark.parametrize("source", REFUSED)
def test_refused_with_a_reason(source: str) -> None:
    instruction = decode(REFUSED_CODES[source], SITE)
    assert isinstance(instruction, Instruction)
    assert plan(instruction) == Refuse(REFUSED[source])


def test_call_of_r12_is_not_taken_for_a_call_of_the_stack() -> None:
    assert planned(b"\x41\xff\xd4").calls


def test_common_instruction_keeps_its_bytes_and_jumps_back() -> None:
    copy = planned(b"\x48\x89\xc3").at(SLOT)
    assert copy.code[:3] == b"\x48\x89\xc3"
    assert JUMP_NEAR.match(copy.code[3:], SLOT + 3) == {"target": SITE + 3}
    assert planned(b"\x48\x89\xc3").way is Way.UNCHANGED


def test_far_slot_jumps_back_through_an_aligned_word() -> None:
    for slot in range(0x1000, 0x1008):
        copy = planned(b"\x90").at(slot)
        pad = int.from_bytes(copy.code[3:7], "little")
        assert JUMP_FAR[pad].match(copy.code[1:], slot + 1) == {"target": SITE + 1}
        assert (slot + 1 + 6 + pad) % 8 == 0


def test_call_stores_both_halves_of_its_return_address() -> None:
    copy = planned(b"\xe8\x00\x01\x00\x00").at(SLOT)
    low = STORE_RETURN_LOW.match(copy.code, SLOT)
    high = STORE_RETURN_HIGH.match(copy.code[8:], SLOT + 8)
    assert low is not None
    assert high is not None
    assert low["return_address"] | high["return_address"] == SITE + 5


@pytest.mark.parametrize("code", [b"\x0f\x05", b"\xcd\x80"])
def test_system_calls_get_copies_for_good(code: bytes) -> None:
    assert planned(code).lifetime is Lifetime.SITE


def test_other_copies_last_for_a_step() -> None:
    assert planned(b"\x90").lifetime is Lifetime.STEP


def test_restart_of_a_system_call_finds_its_copy_at_the_slot() -> None:
    copy = planned(b"\x0f\x05").at(SLOT)
    assert copy.code[:2] == b"\x0f\x05"
    begun, done = copy.translate(SLOT), copy.translate(SLOT + 2)
    assert begun is not None
    assert done is not None
    assert (begun.address, begun.state) == (SITE, State.NOT_BEGUN)
    assert (done.address, done.state, done.set_registers) == (SITE + 2, State.COMPLETED, ((1, SITE + 2),))


def test_address_inside_an_instruction_of_a_copy_is_nowhere() -> None:
    copy = planned(b"\x48\x89\xc3").at(SLOT)
    assert copy.translate(SLOT + 1) is None
    assert copy.translate(SLOT + SLOT_SIZE) is None


def test_near_operand_borrows_nothing() -> None:
    copy = planned(b"\x48\x8b\x05\x00\x01\x00\x00").at(SLOT)
    assert copy.borrowed is None
    moved = decode(copy.code, SLOT)
    assert isinstance(moved, Instruction)
    assert moved.operand == SITE + 7 + 0x100


@pytest.mark.parametrize(("distance", "borrows"), [(0, False), (1, True)])
def test_a_register_is_borrowed_only_where_the_displacement_does_not_reach(
    distance: int, borrows: bool
) -> None:
    highest = SITE + 7 - ((1 << 31) - 1) - 7
    copy = planned(b"\x48\x8b\x05\x00\x00\x00\x00").at(highest - distance)
    assert (copy.borrowed is not None) == borrows


def test_borrowed_register_is_put_back_by_the_copy() -> None:
    copy = planned(b"\x48\x8b\x35\x00\x01\x00\x00").at(0x1000)  # mov 0x100(%rip),%rsi
    assert copy.borrowed is not None
    assert (copy.borrowed.register, copy.borrowed.value) == (7, SITE + 7)
    at = copy.borrowed.restore_offset
    assert copy.code[at - 2 : at] == b"\x48\xbf"  # movabs $...,%rdi
    assert copy.code[at : at + 8] == bytes(8)


SLOTS = (0x1000, 0x7FFF_FFFF_0000, SLOT, SITE - (1 << 31), SITE + (1 << 31) - 40, SITE - (1 << 31) + 70)


def test_every_copy_fits_its_slot_wherever_it_is() -> None:
    chance = random.Random(5)
    codes = [*distinct_forms(LIBRARIES[:1]), *(made_up(chance) for _ in range(5000))]
    longest = 0
    for code in codes:
        instruction = decode(code, SITE)
        if isinstance(instruction, Undecodable):
            continue
        answer = plan(instruction)
        if isinstance(answer, OutOfLine):
            for slot in SLOTS:
                copy = answer.at(slot)
                longest = max(longest, len(copy.code))
                assert len(copy.code) <= SLOT_SIZE
                assert copy.boundaries[0][0] == 0
    assert longest > 40


def test_boundaries_are_the_starts_of_the_copys_instructions() -> None:
    codes = assemble(
        {
            "common": "mov %rax,%rbx",
            "rip": "mov 8(%rip),%rax",
            "jcc": ".byte 0x74,5",
            "call": ".byte 0xe8,0,1,0,0",
            "call_register": "call *%rax",
            "call_memory": "call *8(%rsp)",
            "call_rip": "call *8(%rip)",
            "jmp_rip": "jmp *8(%rip)",
            "syscall": "syscall",
            "xbegin": ".byte 0xc7,0xf8,1,0,0,0",
        }
    )
    for name, code in codes.items():
        for slot in (SLOT, 0x1000):
            copy = planned(code).at(slot)
            starts = []
            at = 0
            while at < len(copy.code):
                starts.append(at)
                found = decode(copy.code[at:], slot + at)
                assert isinstance(found, Instruction), (name, found)
                at += found.size
                if copy.code[starts[-1] : starts[-1] + 2] == b"\xff\x25":
                    at += (
                        found.operand - slot - at + 8
                        if found.operand is not None and found.operand < slot + 64
                        else 0
                    )
            assert [offset for offset, _ in copy.boundaries] == starts, name
