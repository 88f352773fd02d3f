"""Loading: objects of LLVM and damaged ones, references put right, nothing left open after an error."""

import os
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llvmlite import binding

from backend.errors import BadObject, VerifierRejected
from backend.linux import bpf
from backend.linux.bpf import MapFlag, MapKind, ProgramKind
from backend.uprobes.loader import (
    MapSpec,
    ProgramSpec,
    extract_programs,
    load,
    relocate,
    with_fixed_cookie,
)
from tests.uprobes import bpf_assembler as asm

COUNTER = MapSpec(MapKind.ARRAY, 4, 64, 1, name="counter")
CONSTANT = MapSpec(MapKind.ARRAY, 4, 8, 1, MapFlag.RDONLY_PROG, "constant", struct.pack("<Q", 1234))

# llvm.bpf.pseudo(2, N) is the value of map N. LLVM drops what exceeds 32 bits of N: an offset is added to it.
TWO_PROGRAMS = """
target datalayout = "e-m:e-p:64:64-i64:64-i128:128-n32:64-S128"
target triple = "bpfel"
declare i64 @llvm.bpf.pseudo(i64, i64)
define i64 @add(ptr %context) section "prog/0" {
  %address = call i64 @llvm.bpf.pseudo(i64 2, i64 0)
  %value = inttoptr i64 %address to ptr
  %cell = getelementptr i64, ptr %value, i64 1
  %amount = load i64, ptr %context
  %old = atomicrmw add ptr %cell, i64 %amount monotonic
  ret i64 0
}
define i64 @read(ptr %context) section "prog/1" {
  %address = call i64 @llvm.bpf.pseudo(i64 2, i64 1)
  %cell = inttoptr i64 %address to ptr
  %value = load i64, ptr %cell
  ret i64 %value
}
"""


def compile_bpf(text: str) -> bytes:
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    module = binding.parse_assembly(text)
    module.verify()
    machine = binding.Target.from_triple("bpfel").create_target_machine(cpu="v3", opt=2)
    return bytes(machine.emit_object(module))


@pytest.fixture(scope="module")
def two_programs() -> bytes:
    return compile_bpf(TWO_PROGRAMS)


def raw(section: str) -> ProgramSpec:
    return ProgramSpec(section, ProgramKind.RAW_TRACEPOINT)


@pytest.mark.requires_uprobes
def test_object_of_llvm_is_loaded_with_its_maps(two_programs: bytes) -> None:
    with load(two_programs, [COUNTER, CONSTANT], [raw("prog/0"), raw("prog/1")]) as loaded:
        assert bpf.prog_test_run(loaded.programs["prog/0"], [5]) == 0
        assert bpf.prog_test_run(loaded.programs["prog/0"], [6]) == 0
        assert bpf.prog_test_run(loaded.programs["prog/1"]) == 1234
        value = bpf.map_lookup(loaded.maps[0], bytes(4), 64)
        assert value == bytes(8) + struct.pack("<Q", 11) + bytes(48)
        with pytest.raises(PermissionError):
            bpf.map_update(loaded.maps[1], bytes(4), bytes(8))


@pytest.mark.requires_uprobes
def test_everything_is_closed_on_exit_and_after_an_error(two_programs: bytes) -> None:
    before = set(os.listdir("/proc/self/fd"))
    with load(two_programs, [COUNTER, CONSTANT], [raw("prog/0")]):
        assert len(set(os.listdir("/proc/self/fd")) - before) == 3
    assert set(os.listdir("/proc/self/fd")) == before
    too_small = MapSpec(MapKind.ARRAY, 4, 8, 1)  # the program writes at offset 8
    with pytest.raises(VerifierRejected, match="invalid access to map value"):
        load(two_programs, [too_small, CONSTANT], [raw("prog/1"), raw("prog/0")])
    with pytest.raises(BadObject, match="no section prog/7"):
        load(two_programs, [COUNTER, CONSTANT], [raw("prog/0"), raw("prog/7")])
    with pytest.raises(OSError, match="MAP_CREATE on HASH map 'bad'"):
        load(two_programs, [COUNTER, MapSpec(MapKind.HASH, 0, 0, 0, name="bad")], [])
    assert set(os.listdir("/proc/self/fd")) == before


def test_programs_are_found_by_their_sections(two_programs: bytes) -> None:
    programs = extract_programs(two_programs)
    assert set(programs) == {"prog/0", "prog/1"}
    assert all(len(code) % 8 == 0 and code.endswith(asm.leave()) for code in programs.values())


def test_error_program_with_relocations() -> None:
    text = TWO_PROGRAMS.replace("ret i64 %value", "%r = call i64 @outside()\n  ret i64 %r")
    with pytest.raises(BadObject, match="section prog/1 has relocations"):
        extract_programs(compile_bpf(text + "declare i64 @outside()\n"))


def test_error_object_of_another_machine() -> None:
    with pytest.raises(BadObject, match="machine 62, not BPF"):
        extract_programs(Path("/proc/self/exe").read_bytes())


@given(st.data())
def test_damaged_object_is_read_or_refused_but_never_crashes(data: st.DataObject) -> None:
    damaged = bytearray(OBJECT)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    damaged = damaged[: data.draw(st.sampled_from((len(damaged), len(damaged) // 2, 64, 63, 0)))]
    try:
        programs = extract_programs(bytes(damaged))
    except BadObject:
        return
    assert all(name.startswith("prog/") and len(code) % 8 == 0 for name, code in programs.items())


OBJECT = compile_bpf(TWO_PROGRAMS)


def test_map_indices_become_descriptors_and_nothing_else_changes() -> None:
    code = (
        asm.load_map(asm.R1, 1, asm.MAP_FD)
        + asm.load_map(asm.R2, 0, asm.MAP_VALUE, value_offset=24)
        + asm.load_map(asm.R3, 1, 0)  # a plain constant
        + asm.move(asm.R1, 1)
    )
    assert relocate(code, [70, 80]) == (
        asm.load_map(asm.R1, 80, asm.MAP_FD)
        + asm.load_map(asm.R2, 70, asm.MAP_VALUE, value_offset=24)
        + asm.load_map(asm.R3, 1, 0)
        + asm.move(asm.R1, 1)
    )


def test_second_half_of_a_constant_is_not_taken_for_an_instruction() -> None:
    constant = asm.load_map(asm.R1, 5, 0, value_offset=0)[:8] + asm.instruction(0x18, 1, 1, immediate=9)
    assert relocate(constant, []) == constant


def test_error_reference_to_a_map_that_is_not_there() -> None:
    with pytest.raises(BadObject, match="instruction 1 names map 2 of 2"):
        relocate(asm.leave() + asm.load_map(asm.R1, 2, asm.MAP_FD), [5, 6])


def test_fixed_cookie_replaces_each_call_of_its_helper_only() -> None:
    code = asm.call(174) + asm.call(14) + asm.call(174) + asm.leave()
    assert with_fixed_cookie(code, 77) == asm.move(0, 77) + asm.call(14) + asm.move(0, 77) + asm.leave()


@pytest.mark.parametrize("cookie", [-1, 1 << 31])
def test_error_cookie_that_does_not_fit(cookie: int) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        with_fixed_cookie(asm.call(174), cookie)
