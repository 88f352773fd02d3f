"""Execute one instruction at home and out of line from the same state, and compare all that is left."""

import random
from dataclasses import dataclass, replace

from scratch.displaced import SLOT_SIZE, Copy, OutOfLine, Resume, State, plan
from scratch.instruction import Instruction, Kind, Undecodable, decode
from tests.scratch.forms import MASK, site, start_for
from tests.scratch.sacrifice import ARENA, ARENA_SIZE, CODE, FAR, GENERAL, NEAR, PAGE, Sacrifice, Start, Stop

# What gives another answer each time, may leave the processor's user mode, or waits.
UNREPEATABLE = frozenset(
    (
        (1, 0x31),  # rdtsc
        (1, 0xA2),  # cpuid: the scheduling of this guest shows in it
        (1, 0x33),  # rdpmc
    )
)
TF = 0x100
INT3 = b"\xcc"
SIGNALS_AT_PC = frozenset((4, 5, 8))  # SIGILL, SIGTRAP, SIGFPE: si_addr is the instruction's address


@dataclass(frozen=True, slots=True)
class Difference:
    """An instruction that was executed differently, and what to see of it."""

    instruction: Instruction
    slot: int
    fields: tuple[tuple[str, object, object], ...]


def runnable(code: bytes) -> bool:
    """Whether running the instruction tells something: decoded, planned, and the same each time."""
    instruction = decode(code, CODE)
    if isinstance(instruction, Undecodable) or not isinstance(plan(instruction), OutOfLine):
        return False
    encoding = instruction.encoding
    if instruction.kind is Kind.XBEGIN or (encoding.opcode_map, encoding.opcode) in UNREPEATABLE:
        return False
    if encoding.opcode_map == 1 and encoding.opcode == 0x01 and encoding.modrm >= 0xC0:
        return False  # a group of system instructions: vmcall, mwaitx, rdtscp and their like
    # rdrand, rdseed, rdpid; the register forms of cmpxchg8b's group
    return not (encoding.opcode_map == 1 and encoding.opcode == 0xC7 and encoding.modrm >= 0xC0)


def compare(process: Sacrifice, code: bytes, chance: random.Random) -> list[Difference]:
    """Run the instruction at home, from a near slot and from a far one, all from one random state; return the
    differences to home.
    """
    address = site(chance)
    first = decode(code, address)
    assert isinstance(first, Instruction), code
    code, start = start_for(code, first.encoding, chance, process.first_vectors, address)
    instruction = decode(code, address)
    assert isinstance(instruction, Instruction), code
    if instruction.target is not None and address <= instruction.target < instruction.next:
        return []
    native = at_home(process, instruction, start)
    if instruction.kind is Kind.POPF and native.registers["flags"] & TF:
        return []
    slots = [page + SLOT_SIZE * chance.randrange(PAGE // SLOT_SIZE) for page in (NEAR, FAR)]
    compared = [(slot, out_of_line(process, instruction, slot, start, native)) for slot in slots]
    return [Difference(instruction, slot, fields) for slot, fields in compared if fields]


def at_home(process: Sacrifice, instruction: Instruction, start: Start) -> Stop:
    """Run the instruction where it is, among int3s; then put a trap instruction in its place."""
    before = instruction.address - CODE
    process.write(CODE, INT3 * before + instruction.code + INT3 * (PAGE - before - instruction.size))
    native = process.run(start, instruction.address)
    process.write(instruction.address, INT3)
    return native


def out_of_line(
    process: Sacrifice, instruction: Instruction, slot: int, start: Start, native: Stop
) -> tuple[tuple[str, object, object], ...]:
    """Run the instruction from the slot; return what differs from how it ended at home, by name."""
    planned = plan(instruction)
    assert isinstance(planned, OutOfLine), planned
    copied = run_copy(process, planned.at(slot), start)
    return different(native, without_traces(instruction, copied, native))


def without_traces(instruction: Instruction, copied: Stop, native: Stop) -> Stop:
    """Return the copy's stop with the memory below the stack as at home where `displaced.py` says that a copy
    leaves traces.
    """
    rsp = native.registers["rsp"] - ARENA
    if instruction.kind is Kind.INDIRECT_CALL:
        ignored = range(rsp - 16, rsp)
    elif instruction.kind is Kind.INDIRECT_JMP:
        ignored = range(rsp - 136, rsp - 128)
    else:
        return copied
    arena = bytearray(copied.arena)
    for at in ignored:
        if 0 <= at < ARENA_SIZE:
            arena[at] = native.arena[at]
    return replace(copied, arena=bytes(arena))


def run_copy(process: Sacrifice, copy: Copy, start: Start) -> Stop:
    """Run the copy as the tracer does and translate what is found to what the program would have seen."""
    code = copy.code
    registers = start.registers
    if copy.borrowed is not None:
        name = GENERAL[copy.borrowed.register]
        at = copy.borrowed.restore_offset
        code = code[:at] + registers[name].to_bytes(8, "little") + code[at + 8 :]
        registers = {**registers, name: copy.borrowed.value}
    process.write(copy.slot, code + INT3 * (SLOT_SIZE - len(code)))
    stop = process.run(replace(start, registers=registers), copy.slot)
    pc = stop.registers["rip"]
    if not copy.slot <= pc < copy.slot + SLOT_SIZE:
        return stop
    resume = copy.translate(pc)
    assert resume is not None, f"stopped inside an instruction of the copy: {pc:#x} {stop.signal}"
    found = replace(stop, registers=repaired(stop.registers, resume, copy, start))
    if stop.signal in SIGNALS_AT_PC and stop.address == pc:
        return replace(found, address=resume.address)
    return found


def repaired(registers: dict[str, int], resume: Resume, copy: Copy, start: Start) -> dict[str, int]:
    """Return the registers as `resume` says they are seen from the program."""
    changed = {"rip": resume.address, "rsp": (registers["rsp"] + resume.add_to_rsp) & MASK}
    changed |= {GENERAL[number]: value for number, value in resume.set_registers}
    if resume.restore_borrowed:
        assert copy.borrowed is not None
        name = GENERAL[copy.borrowed.register]
        changed[name] = start.registers[name]
    assert resume.state in (State.NOT_BEGUN, State.COMPLETED)
    return {**registers, **changed}


_FIP = slice(8, 16)


def different(native: Stop, copied: Stop) -> tuple[tuple[str, object, object], ...]:
    """Return what differs, by name: the value at home and out of line. The x87 instruction pointer is left
    out.
    """
    fields: list[tuple[str, object, object]] = [
        (name, hex(value), hex(copied.registers[name]))
        for name, value in native.registers.items()
        if value != copied.registers[name]
    ]
    for name in ("signal", "code", "address"):
        one, other = getattr(native, name), getattr(copied, name)
        if one != other:
            fields.append((name, one, other))
    if _without_fip(native.vectors) != _without_fip(copied.vectors):
        fields.append(
            ("vectors", *_first_difference(_without_fip(native.vectors), _without_fip(copied.vectors)))
        )
    if native.arena != copied.arena:
        fields.append(("arena", *_first_difference(native.arena, copied.arena)))
    return tuple(fields)


def _without_fip(image: bytes) -> bytes:
    return image[: _FIP.start] + image[_FIP.stop :]


def _first_difference(one: bytes, other: bytes) -> tuple[str, str]:
    at = next(i for i, (a, b) in enumerate(zip(one, other, strict=True)) if a != b)
    return f"{at:#x}: {one[at : at + 16].hex()}", f"{at:#x}: {other[at : at + 16].hex()}"
