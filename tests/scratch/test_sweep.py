"""The native sweep says what the two decoders say, of made-up bytes and of real functions, and marks targets."""

import random
from itertools import accumulate

import pytest

from backend.sweeper import Marker, sweep
from scratch.encoding import Undecodable, parse
from scratch.instruction import Instruction, Kind, decode
from scratch.instruction import sweep as sweep_slowly
from scratch.sweep import DIRECT, Flow
from tests.scratch.assembly import assemble
from tests.scratch.forms import LIBRARIES, distinct_forms, text_of
from tests.scratch.fuzz import made_up
from tests.scratch.test_coverage import frames

AT = 0x7F00_1234_5678

FLOWS = {
    Kind.COMMON: {Flow.PLAIN, Flow.NOP, Flow.STOP},
    Kind.RIP_RELATIVE: {Flow.RIP_RELATIVE, Flow.NOP},
    Kind.JCC: {Flow.BRANCH_8, Flow.BRANCH_32},
    Kind.JMP: {Flow.JMP_8, Flow.JMP_32},
    Kind.LOOP: {Flow.BRANCH_8},
    Kind.JRCXZ: {Flow.BRANCH_8},
    Kind.CALL: {Flow.CALL},
    Kind.INDIRECT_CALL: {Flow.INDIRECT_CALL},
    Kind.INDIRECT_JMP: {Flow.INDIRECT_JMP},
    Kind.RET: {Flow.RET},
    Kind.SYSCALL: {Flow.SYSCALL},
    Kind.PUSHF: {Flow.PLAIN},
    Kind.POPF: {Flow.PLAIN},
    Kind.XBEGIN: {Flow.BRANCH_32},
    Kind.TRANSACTION: {Flow.PLAIN},
    Kind.INT3: {Flow.STOP},
    Kind.INTERRUPT: {Flow.SYSCALL},
    Kind.FAR: {Flow.FAR},
    Kind.SYSENTER: {Flow.SYSCALL, Flow.FAR},
    Kind.PRIVILEGED: {Flow.PLAIN, Flow.STOP},
    Kind.STACK_SEGMENT: {Flow.PLAIN, Flow.RIP_RELATIVE},
}


def test_each_form_of_instruction_is_what_both_decoders_say() -> None:
    forms = list(distinct_forms(LIBRARIES[:2]))
    code = b"".join(forms)
    starts = [AT + before for before in accumulate(map(len, forms[:-1]), initial=0)]
    swept = sweep(code, AT, starts)
    assert [address for address, _ in swept.instructions()] == starts
    for address, flow in swept.instructions():
        instruction = decode(swept.bytes_at(address), address)
        if isinstance(instruction, Instruction):
            assert flow in FLOWS[instruction.kind], instruction
            assert swept.target_at(address) == (instruction.target if flow in DIRECT else None)


def test_made_up_bytes_have_the_length_that_our_decoder_gives() -> None:
    chance = random.Random(5)
    for _ in range(300):
        code = b"".join(made_up(chance) for _ in range(40))
        swept = sweep(code, AT)
        for address, flow in swept.instructions():
            parsed = parse(code[address - AT :])
            size = 0 if isinstance(parsed, Undecodable) else parsed.size
            shown = (code[address - AT :][:15].hex(), parsed, flow)
            assert size == (0 if flow is Flow.INVALID else swept.size_at(address)), shown


@pytest.mark.parametrize("path", LIBRARIES)
def test_functions_of_libraries_decode_as_with_capstone(path: str) -> None:
    text, base = text_of(path)
    functions = sorted(set(frames(path)))
    for start, end in random.Random(path).sample(functions, 60):
        code = text[start - base : end - base]
        found = [
            (address - start, swept.size_at(address))
            for swept in (sweep(code, start),)
            for address, flow in swept.instructions()
            if flow is not Flow.INVALID
        ]
        expected = [
            (offset, answer.size)
            for offset, answer in sweep_slowly(code, start)
            if isinstance(answer, Instruction)
        ]
        assert found == expected, hex(start)


CASES = {
    "nop": Flow.NOP,
    "xchg %ax,%ax": Flow.NOP,
    "nopw %cs:0x0(%rax,%rax,1)": Flow.NOP,
    "xchg %r8,%rax": Flow.PLAIN,
    "pause": Flow.PLAIN,
    "endbr64": Flow.PLAIN,
    "ud2": Flow.STOP,
    "hlt": Flow.STOP,
    "lea 8(%rip),%rdi": Flow.RIP_RELATIVE,
    "notrack jmp *%rax": Flow.INDIRECT_JMP,
    "call *8(%rip)": Flow.INDIRECT_CALL,
    "push 8(%rip)": Flow.RIP_RELATIVE,
    "int $0x80": Flow.SYSCALL,
    "lret": Flow.FAR,
    "movl $1,(%rax)": Flow.PLAIN,
}
CODES = assemble({source: source for source in CASES})


@pytest.mark.parametrize("source", CASES)
def test_kind(source: str) -> None:
    swept = sweep(CODES[source], AT)
    assert list(swept.instructions()) == [(AT, CASES[source])]


def test_an_instruction_that_reaches_over_a_known_start_is_none() -> None:
    # A byte of data that would begin a 5-byte mov, then a function.
    swept = sweep(b"\xb8\x00\x55\xc3", AT, [AT + 2])
    assert list(swept.instructions()) == [(AT, Flow.INVALID), (AT + 2, Flow.PLAIN), (AT + 3, Flow.RET)]


def test_an_instruction_that_the_end_of_the_code_cuts_off_is_none() -> None:
    assert list(sweep(b"\x90\xe8\x00\x00", AT).instructions()) == [(AT, Flow.NOP), (AT + 1, Flow.INVALID)]
    assert list(sweep(b"", AT).instructions()) == []
    assert sweep(b"\x90", AT).flow_at(AT + 1) is Flow.INVALID


def marked(code: bytes, at: int, *, absolute: bool = False) -> tuple[set[int], Marker]:
    marker = Marker(at, at + 64, absolute=absolute)
    marker.sweep(code, at)
    bits = int.from_bytes(marker.bits.tobytes(), "little")
    return {bit for bit in range(64) if bits >> bit & 1}, marker


def test_targets_and_named_addresses_are_marked() -> None:
    found, marker = marked(
        b"\x74\x10"  # je
        b"\xe8\x05\x00\x00\x00"  # call
        b"\x48\x8d\x05\x07\x00\x00\x00"  # lea
        b"\xeb\xf0"  # jmp back
        b"\xe9\x00\x10\x00\x00"  # jmp far away
        b"\x8b\x05\x01\x00\x00\x00",  # mov
        AT,
    )
    assert found == {0x12, 0x0C, 0x15, 0x00, 0x1C}
    assert list(marker.references) == [AT + 7, AT + 21]
    assert marker.count == 6


def test_constants_are_addresses_only_where_code_is_linked_for_its_place() -> None:
    code = b"\xbf\x20\x00\x40\x00\xff\x24\xc5\x30\x00\x40\x00"  # mov $0x400020,%edi; jmp *0x400030(,%rax,8)
    assert marked(code, 0x400000, absolute=True)[0] == {0x20, 0x30}
    assert marked(code, 0x400000)[0] == set()


@pytest.mark.parametrize("at", [-3, 0, 1, 5, 13, 61, 64, 70])
def test_all_beginnings_of_a_sweep_are_marked_at_once_within_the_set(at: int) -> None:
    code = b"\x55\x48\x89\xe5\x0f\x05\x06\xc3"  # push; mov; syscall; none; ret
    marker = Marker(AT, AT + 64, absolute=False)
    marker.mark([AT + 2, AT + 63])
    marker.mark_beginnings(sweep(code, AT + at))
    bits = int.from_bytes(marker.bits.tobytes(), "little")
    expected = {2, 63} | {at + begins for begins in (0, 1, 4, 6, 7) if 0 <= at + begins < 64}
    assert {bit for bit in range(8 * len(marker.bits)) if bits >> bit & 1} == expected
