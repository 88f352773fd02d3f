"""Displaced execution against execution at home, over the forms of instruction that real libraries contain.

`make fuzz` runs the same comparison without end; this is a sample with a fixed seed.
"""

import random
from dataclasses import replace

import pytest

from scratch.displaced import SLOT_SIZE, OutOfLine, plan
from scratch.encoding import Undecodable, parse
from scratch.instruction import Instruction, Kind, decode
from tests.scratch.differential import (
    INT3,
    at_home,
    compare,
    different,
    repaired,
    runnable,
    without_traces,
)
from tests.scratch.forms import LIBRARIES, distinct_forms, site, start_for
from tests.scratch.fuzz import made_up
from tests.scratch.sacrifice import FAR, NEAR, PAGE, Sacrifice, Start, Stop

SEED = 20240229
SIGTRAP, SIGSEGV, SIGBUS, SIGFPE = 5, 11, 7, 8


@pytest.fixture(scope="module")
def forms() -> list[bytes]:
    """One instruction of each form in libc and libstdc++ that can be run and compared, in random order."""
    found = [code for code in distinct_forms((LIBRARIES[0], LIBRARIES[2])) if runnable(code)]
    random.Random(SEED).shuffle(found)
    return found


def test_every_form_of_libc_and_libstdcxx_runs_out_of_line_as_at_home(
    process: Sacrifice, forms: list[bytes]
) -> None:
    chance = random.Random(SEED)
    assert len(forms) > 7000
    differences = [difference for code in forms for difference in compare(process, code, chance)]
    assert differences == []


def test_made_up_instructions_run_out_of_line_as_at_home(process: Sacrifice) -> None:
    chance = random.Random(SEED)
    executed = 0
    while executed < 5000:
        code = made_up(chance)
        if runnable(code):
            executed += 1
            assert compare(process, code, chance) == []


def test_the_sample_ends_in_every_way(process: Sacrifice, forms: list[bytes]) -> None:
    """Most instructions complete; enough of them fault, trap and leave by a jump to say that these were
    compared.
    """
    chance = random.Random(SEED)
    signals: dict[int, int] = {}
    for code in forms[:2500]:
        instruction, start = prepared(process, code, chance)
        stop = at_home(process, instruction, start)
        signals[stop.signal] = signals.get(stop.signal, 0) + 1
    assert signals[SIGTRAP] > 800
    assert signals[SIGSEGV] > 60
    assert {SIGTRAP, SIGSEGV, SIGBUS, SIGFPE} <= set(signals)


NOT_STEPPED = frozenset((Kind.PUSHF, Kind.POPF, Kind.SYSCALL, Kind.INTERRUPT))
"""Stepping the copy, which only this test does, shows in these."""


def test_thread_found_anywhere_in_a_copy_goes_on_at_home_as_if_nothing_had_happened(
    process: Sacrifice, forms: list[bytes]
) -> None:
    """Step into a copy, translate to where the program is, go on with the original text: the same end, from
    every boundary.
    """
    chance = random.Random(SEED)
    tried = 0
    for code in forms:
        instruction, start = prepared(process, code, chance)
        rewritten = instruction.kind is not Kind.COMMON
        if instruction.kind in NOT_STEPPED or (not rewritten and chance.random() > 0.02):
            continue
        tried += 1
        native = at_home(process, instruction, start)
        for page in (NEAR, FAR):
            slot = page + SLOT_SIZE * chance.randrange(PAGE // SLOT_SIZE)
            for found in stepped(process, instruction, slot, start):
                process.write(instruction.address, instruction.code)
                end = process.run(Start(found.registers, found.vectors, found.arena), found.registers["rip"])
                assert different(native, without_traces(instruction, end, native)) == (), (
                    instruction,
                    hex(slot),
                )
    assert tried > 400


def stepped(process: Sacrifice, instruction: Instruction, slot: int, start: Start) -> list[Stop]:
    """Run the copy one instruction at a time; return each state on the way as seen from the program."""
    planned = plan(instruction)
    assert isinstance(planned, OutOfLine)
    copy = planned.at(slot)
    code, registers = copy.code, start.registers
    if copy.borrowed is not None:
        name = ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi")[copy.borrowed.register]
        at = copy.borrowed.restore_offset
        code = code[:at] + registers[name].to_bytes(8, "little") + code[at + 8 :]
        registers = {**registers, name: copy.borrowed.value}
    process.write(instruction.address, INT3)
    process.write(slot, code + INT3 * (SLOT_SIZE - len(code)))
    process.load(replace(start, registers=registers), slot)
    states: list[Stop] = []
    for _ in range(10):
        stop = process.step()
        pc = stop.registers["rip"]
        if stop.signal != SIGTRAP or not slot <= pc < slot + SLOT_SIZE:
            return states
        resume = copy.translate(pc)
        assert resume is not None, hex(pc - slot)
        states.append(replace(stop, registers=repaired(stop.registers, resume, copy, start)))
    return states


def prepared(process: Sacrifice, code: bytes, chance: random.Random) -> tuple[Instruction, Start]:
    """Return the instruction at some site with a random state to start it with."""
    address = site(chance)
    encoding = parse(code)
    assert not isinstance(encoding, Undecodable)
    code, start = start_for(code, encoding, chance, process.first_vectors, address)
    instruction = decode(code, address)
    assert isinstance(instruction, Instruction)
    return instruction, start
