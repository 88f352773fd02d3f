"""Trampolines executed in a sacrificial process, compared with the same instructions executed at home.

ASSERTION: a thread that comes through a trampoline has counted, once, and differs in nothing from one that executed the
displaced instructions where they were; and wherever in it a thread is found, it can be said where it is.
"""

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from io import BytesIO

import llvmlite.ir as ir
import pytest
from elftools.elf.elffile import ELFFile

from backend import emit
from scratch.displaced import OutOfLine, State, leads_on, plan
from scratch.encoding import Undecodable, parse
from scratch.instruction import Instruction, Kind, decode
from scratch.trampoline import (
    GATE_GUARDED,
    GATE_OPEN,
    GATE_SHUT,
    SHARD_STACK_FOLD,
    SHARD_STACK_SHIFT,
    UNIT_REGISTERS,
    UNIT_SITE,
    ClauseCall,
    InlineCount,
    Phase,
    Shards,
    Trampoline,
    UnitCall,
    build,
)
from tests.scratch.differential import INT3, different, runnable, without_traces
from tests.scratch.forms import LIBRARIES, distinct_forms, site, start_for
from tests.scratch.sacrifice import (
    ARENA,
    ARENA_SIZE,
    CODE,
    COUNTERS,
    GENERAL,
    NEAR,
    PAGE,
    Sacrifice,
    Start,
    Stop,
)

SEED = 20240301
SIGTRAP = 5
GATE = COUNTERS + 0x40
CELL = COUNTERS + 0x100
HITS = COUNTERS + 0x180
SHARDS = Shards(bits=3, stride_bits=9)
COUNT = InlineCount(GATE, (CELL,), SHARDS)
UNIT = NEAR + 0x800
SEEN = COUNTERS + 0x800
"""What the unit of the tests saw: arg0 to arg5, the site, the registers."""
NOT_HERE = frozenset((Kind.SYSCALL, Kind.INTERRUPT, Kind.PUSHF, Kind.POPF))
"""Not put into sequences: they show the flags' bit for tracing, or may wait."""

Window = tuple[Instruction, ...]


# --- the comparison -----------------------------------------------------------------------------------------------


def windows(process: Sacrifice, chance: random.Random, count: int) -> list[tuple[Window, Start]]:
    """Return sequences of instructions of libc, of a jump's 5 bytes or more, each with a random state to begin with.

    The stack is far from where other registers point: nothing but the trampoline is below it.
    """
    forms = forms_of_libc()
    found: list[tuple[Window, Start]] = []
    while len(found) < count:
        address = first = site(chance)
        window: list[Instruction] = []
        start: Start | None = None
        while address < first + 5 and (not window or leads_on(window[-1])):
            encoding = parse(code := chance.choice(forms))
            assert not isinstance(encoding, Undecodable)
            code, start = start_for(code, encoding, chance, process.first_vectors, address)
            instruction = decode(code, address)
            assert isinstance(instruction, Instruction)
            target = instruction.target
            if instruction.kind in NOT_HERE or (target is not None and first <= target < address + 20):
                break
            window.append(instruction)
            address = instruction.next
        else:
            assert start is not None
            rsp = ARENA + 0x1800 + 8 * chance.randrange(64)
            found.append((tuple(window), replace(start, registers={**start.registers, "rsp": rsp})))
    return found


@cache
def forms_of_libc() -> list[bytes]:
    return [code for code in distinct_forms(LIBRARIES[:1]) if runnable(code)]


def at_home(process: Sacrifice, window: Window, start: Start) -> Stop:
    """Run the instructions where they are, among int3s; then put int3s in their place."""
    before = window[0].address - CODE
    code = b"".join(instruction.code for instruction in window)
    process.write(CODE, INT3 * before + code + INT3 * (PAGE - before - len(code)))
    native = process.run(start, window[0].address)
    process.write(window[0].address, INT3 * len(code))
    return native


@dataclass(frozen=True, slots=True)
class Case:
    """Instructions, `lead` of which lie before the site; the state to begin with, and that in which the site is
    reached, if it is.
    """

    window: Window
    lead: int
    start: Start
    there: Start | None

    def build(self, at: int, call: ClauseCall) -> Trampoline:
        return build(self.window[self.lead :], at, call, self.window[: self.lead])

    @property
    def last(self) -> Start:
        """The state in which the trampoline takes stack."""
        return self.there or self.start


def cases(process: Sacrifice, chance: random.Random, count: int, *, leads: bool) -> Iterator[Case]:
    """Yield cases; where the site is reached the stack is in the arena."""
    for window, start in windows(process, chance, count):
        lead = chance.randrange(len(window)) if leads else 0
        before, site = window[0].address - CODE, window[lead].address
        code = b"".join(instruction.code for instruction in window[:lead])
        process.write(CODE, INT3 * before + code + INT3 * (PAGE - before - len(code)))
        stop = process.run(start, window[0].address)
        if (stop.signal, stop.registers["rip"]) != (SIGTRAP, site + 1):
            yield Case(window, lead, start, None)
        elif ARENA + 0x800 < stop.registers["rsp"] < ARENA + ARENA_SIZE:
            yield Case(window, lead, start, Start(stop.registers, stop.vectors, stop.arena))


def set_gate(process: Sacrifice, gate: int, pid: int) -> None:
    process.write(COUNTERS, bytes(PAGE))
    process.write(GATE, struct.pack("<II", gate, pid))


def write(process: Sacrifice, trampoline: Trampoline) -> None:
    room = (-trampoline.address) % PAGE or PAGE
    process.write(trampoline.address, trampoline.code + INT3 * min(64, room - len(trampoline.code)))


def through(process: Sacrifice, trampoline: Trampoline, start: Start) -> Stop:
    """Run the trampoline; translate what is found in it to what the program would have seen."""
    write(process, trampoline)
    stop = process.run(start, trampoline.address)
    return as_seen(trampoline, stop)


def as_seen(trampoline: Trampoline, stop: Stop) -> Stop:
    place = trampoline.translate(stop.registers["rip"])
    if place is None:
        return stop
    assert place.resume is not None, (place, stop.registers["rip"] - trampoline.address)
    changed = {
        "rip": place.resume.address,
        "rsp": stop.registers["rsp"] + place.resume.add_to_rsp,
        **{GENERAL[number]: value for number, value in place.resume.set_registers},
    }
    seen = replace(stop, registers={**stop.registers, **changed})
    return replace(seen, address=place.resume.address) if stop.address == stop.registers["rip"] else seen


def differences(window: Window, start: Start, native: Stop, stop: Stop) -> object:
    """Compare all but the memory that a trampoline may use, which lies below the red zone."""
    for instruction in window:
        stop = without_traces(instruction, stop, native)
    top = start.registers["rsp"] - ARENA - 128
    arena = native.arena[: top - 512] + stop.arena[top - 512 : top] + native.arena[top:]
    assert len(arena) == ARENA_SIZE
    return different(replace(native, arena=arena), stop)


def shard_of(rsp: int) -> int:
    return (rsp ^ rsp >> SHARD_STACK_FOLD) >> SHARD_STACK_SHIFT & 7


# --- the tests ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("leads", [False, True], ids=["from the site on", "from before the site"])
@pytest.mark.parametrize("call", ["count", "unit", "unit with registers", "two units"])
def test_windows_through_a_trampoline_end_as_at_home(process: Sacrifice, call: str, leads: bool) -> None:
    chance = random.Random(SEED)
    write_unit(process)
    calls: dict[str, ClauseCall] = {
        "count": COUNT,
        "unit": UnitCall(GATE, ((UNIT, 77),), whole_registers=False),
        "unit with registers": UnitCall(GATE, ((UNIT, 77),), whole_registers=True),
        "two units": UnitCall(GATE, ((UNIT, 5), (UNIT, 77)), whole_registers=True),
    }
    ended: set[int] = set()
    reached: set[tuple[bool, bool]] = set()
    for case in cases(process, chance, 500, leads=leads):
        native = at_home(process, case.window, case.start)
        set_gate(process, GATE_OPEN, 0)
        trampoline = case.build(NEAR + chance.randrange(0x400), calls[call])
        stop = through(process, trampoline, case.start)
        ended.add(stop.signal)
        reached.add((case.lead > 0, case.there is not None))
        assert differences(case.window, case.last, native, stop) == (), case
        if call == "count":
            counted = struct.unpack("<Q", process.read(CELL + (shard_of(rsp_inside(case.last)) << 9), 8))
            assert counted == (case.there is not None,), case
        else:
            seen = bytes(56)
            calls_made = 0
            if case.there is not None:
                seen = struct.pack("<7Q", *argument_registers(case.there), 77)
                calls_made = 2 if call == "two units" else 1
            assert process.read(SEEN, 56) == seen
            assert process.read(SEEN + 56 + 21 * 8, 8) == struct.pack("<Q", calls_made)
    assert len(ended) >= 3
    assert reached == {(False, True), (True, True), (True, False)} if leads else {(False, True)}


def rsp_inside(start: Start) -> int:
    """The stack pointer where an inline count looks at it."""
    return start.registers["rsp"] - 128 - 24


def argument_registers(start: Start) -> list[int]:
    return [start.registers[name] for name in ("rdi", "rsi", "rdx", "rcx", "r8", "r9")]


def test_unit_sees_the_registers_of_the_site(process: Sacrifice) -> None:
    write_unit(process)
    chance = random.Random(SEED)
    names = [
        "r15",
        "r14",
        "r13",
        "r12",
        "rbp",
        "rbx",
        "r11",
        "r10",
        "r9",
        "r8",
        "rax",
        "rcx",
        "rdx",
        "rsi",
        "rdi",
    ]
    led = 0
    for case in cases(process, chance, 40, leads=True):
        if case.there is None:
            continue
        set_gate(process, GATE_OPEN, 0)
        through(
            process,
            case.build(NEAR, UnitCall(GATE, ((UNIT, 5), (UNIT, 3)), whole_registers=True)),
            case.start,
        )
        seen = struct.unpack("<21Q", process.read(SEEN + 56, 21 * 8))
        given = case.there.registers
        expected = [given[name] for name in names]
        site = case.window[case.lead].address
        expected += [(1 << 64) - 1, site, 0x33, given["flags"] | 2, given["rsp"], 0x2B]
        assert list(seen) == expected
        led += case.lead > 0
    assert led


@pytest.mark.parametrize(
    ("gate", "own", "counts"),
    [(GATE_SHUT, True, 0), (GATE_OPEN, False, 1), (GATE_GUARDED, True, 1), (GATE_GUARDED, False, 0)],
)
@pytest.mark.parametrize("inline", [True, False])
def test_gate_decides_who_counts(process: Sacrifice, gate: int, own: bool, counts: int, inline: bool) -> None:
    write_unit(process)
    call = (
        InlineCount(GATE, (CELL, HITS), Shards(0, 0))
        if inline
        else UnitCall(GATE, ((UNIT, 5),), whole_registers=True)
    )
    for window, start in windows(process, random.Random(SEED), 20):
        native = at_home(process, window, start)
        set_gate(process, gate, process.pid if own else process.pid + 1)
        stop = through(process, build(window, NEAR, call), start)
        assert differences(window, start, native, stop) == ()
        cells = (CELL, HITS) if inline else (SEEN + 56 + 21 * 8,)
        for cell in cells:
            assert process.read(cell, 8) == struct.pack("<Q", counts)


@pytest.mark.parametrize("leads", [False, True], ids=["from the site on", "from before the site"])
def test_thread_found_anywhere_can_be_placed(process: Sacrifice, leads: bool) -> None:
    """Step through trampolines. Up to where the first register changes a thread can go home and has not counted; then
    it is inside until everything is back; from any place behind that it goes on at home to the same end.
    """
    chance = random.Random(SEED)
    phases: set[Phase] = set()
    for case in cases(process, chance, 60, leads=leads):
        window = case.window
        native = at_home(process, window, case.start)
        code = b"".join(instruction.code for instruction in window)
        trampoline = case.build(NEAR, COUNT)
        for place, seen in stepped(process, trampoline, case):
            phases.add(place)
            process.write(window[0].address, code)
            end = process.run(Start(seen.registers, seen.vectors, seen.arena), seen.registers["rip"])
            process.write(window[0].address, INT3 * len(code))
            assert differences(window, case.last, native, end) == (), (window, place)
    assert phases == {Phase.BEFORE, Phase.DISPLACED, Phase.COMPLETED} | ({Phase.LEADING} if leads else set())


def stepped(process: Sacrifice, trampoline: Trampoline, case: Case) -> list[tuple[Phase, Stop]]:
    """Run a trampoline one instruction at a time; return each state in which the program can be seen."""
    set_gate(process, GATE_OPEN, 0)
    write(process, trampoline)
    process.load(case.start, trampoline.address)
    states: list[tuple[Phase, Stop]] = []
    inside = 0
    early = (Phase.LEADING,) if case.lead else (Phase.BEFORE,)
    for _ in range(100):
        stop = process.step()
        pc = stop.registers["rip"]
        if stop.signal != SIGTRAP or not 0 <= pc - trampoline.address < len(trampoline.code):
            break
        place = trampoline.translate(pc)
        assert place is not None, hex(pc - trampoline.address)
        counted = any(process.read(CELL, 8 << SHARDS.stride_bits))
        assert counted or place.phase in (*early, Phase.INSIDE)
        assert not counted or place.phase not in early
        if place.resume is None:
            inside += 1
            continue
        assert (pc >= trampoline.displaced) == (place.phase not in early)
        states.append((place.phase, as_seen(trampoline, stop)))
    assert inside > 8 or case.there is None
    return states


def test_size_does_not_depend_on_the_place(process: Sacrifice) -> None:
    for window, _ in windows(process, random.Random(SEED), 50):
        sizes = {len(build(window, at, COUNT).code) for at in (NEAR, NEAR + 3, CODE + 0x100_0000, COUNTERS)}
        assert len(sizes) == 1


def test_what_does_not_lead_on_comes_last() -> None:
    window = [decode(b"\xc3", 0x1000), decode(b"\x90", 0x1001)]
    instructions = tuple(each for each in window if isinstance(each, Instruction))
    with pytest.raises(AssertionError):
        build(instructions, 0x2000, COUNT)


def test_displaced_instruction_has_not_begun_at_its_first_byte() -> None:
    window = decode(bytes.fromhex("4883ec08"), 0x1000), decode(bytes.fromhex("e800010000"), 0x1004)
    instructions = tuple(each for each in window if isinstance(each, Instruction))
    trampoline = build(instructions, 0x2000, COUNT)
    place = trampoline.translate(trampoline.displaced)
    assert place is not None and place.resume is not None
    assert (place.resume.address, place.resume.state) == (0x1000, State.NOT_BEGUN)
    assert trampoline.translate(trampoline.displaced + 1) is None
    assert isinstance(plan(instructions[1]), OutOfLine)


# --- the unit -----------------------------------------------------------------------------------------------------

_UNIT = """
declare ptr @llvm.addressofreturnaddress.p0()

define preserve_mostcc void @unit(i64 %0, i64 %1, i64 %2, i64 %3, i64 %4, i64 %5) {{
  %frame = call ptr @llvm.addressofreturnaddress.p0()
  %number_at = getelementptr i8, ptr %frame, i64 {site}
  %number = load i64, ptr %number_at
  {stores}
  %registers = getelementptr i8, ptr %frame, i64 {registers}
  call void @copy(ptr inttoptr (i64 {seen} to ptr), ptr %registers)
  %before = atomicrmw add ptr inttoptr (i64 {count} to ptr), i64 1 seq_cst
  ret void
}}

; A call with the convention of C, for which the unit must keep what that may change.
define void @copy(ptr %to, ptr %from) noinline {{
entry:
  br label %again
again:
  %offset = phi i64 [ 0, %entry ], [ %next, %again ]
  %from_at = getelementptr i8, ptr %from, i64 %offset
  %to_at = getelementptr i8, ptr %to, i64 %offset
  %word = load volatile i64, ptr %from_at
  store volatile i64 %word, ptr %to_at
  %next = add i64 %offset, 8
  %more = icmp ult i64 %next, 168
  br i1 %more, label %again, label %done
done:
  ret void
}}
"""


def write_unit(process: Sacrifice) -> None:
    """Put a compiled unit at UNIT that stores what it sees at SEEN, and counts behind that."""
    stores = "\n".join(
        f"  store i64 %{value}, ptr inttoptr (i64 {SEEN + 8 * place} to ptr)"
        for place, value in enumerate((0, 1, 2, 3, 4, 5, "number"))
    )
    text = _UNIT.format(
        site=UNIT_SITE, registers=UNIT_REGISTERS, stores=stores, seen=SEEN + 56, count=SEEN + 56 + 168
    )
    compiled = ELFFile(BytesIO(emit.native_object(ir.Module(), text, ("unit",))))
    section = compiled.get_section_by_name(".text")
    assert section is not None
    code = section.data()
    process.write(UNIT, code + INT3 * (PAGE - UNIT % PAGE - len(code)))
