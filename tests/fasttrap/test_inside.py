"""Clauses that run where the traced program runs: through trampolines, on its own stack, in its own process.

ASSERTION: they see what clauses in the tracer see, and leave the program's registers and memory alone. The traced
process is the test itself, with functions of its own making; nobody stops or traces it.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

import pytest

from backend.fasttrap.in_target import Installed, surroundings
from backend.fasttrap.program import Descriptors, NativeOptions, NativeProgram
from backend.fasttrap.tracee import Memory
from backend.linux.native_call import native_function
from dlang.aggregation_store import DeleteKeys
from dlang.items import Row
from dlang.notices import Drop, Fault
from dlang.records import FaultReport
from scratch.instruction import Instruction, decode
from scratch.trampoline import GATE_GUARDED, GATE_OPEN, GATE_SHUT, InlineCount, UnitCall, build
from tests.fasttrap.plans import FIRST_SITE, decoded, lost, process_plan, traced

FUNCTION = bytes.fromhex("534889fb488d047e5bc3")
"""push %rbx; mov %rdi,%rbx; lea (%rsi,%rdi,2),%rax; pop %rbx; ret"""
_ROOM = 4096
_SITES_AT, _TRAMPOLINES_AT, _CODE_AT = 0, 0x1000, 0x10000


@dataclass(frozen=True, slots=True)
class Traced:
    """A program whose clauses run here, and the functions f0, f1, … that fire them."""

    program: NativeProgram
    installed: Installed
    functions: list[int]

    def call(self, *arguments: int, site: int = 0) -> int:
        return native_function(self.functions[site], len(arguments))(*arguments)

    def rows(self) -> list[Row | FaultReport]:
        return decoded(self.program._plan, self.program.drain(1 << 20))

    def values(self) -> list[int | bytes]:
        (row,) = self.rows()
        return traced(row)

    def cells(self, name: str = "_") -> dict[tuple[int | bytes, ...], tuple[int, ...]]:
        (aggregation,) = [each for each in self.program._plan.program.aggregations if each.name == name]
        return self.program.snapshot(aggregation)


@contextmanager
def inside(text: str, sites: int = 1, options: NativeOptions | None = None) -> Iterator[Traced]:
    """Compile a program, and jump from each of so many functions to the clauses that it fires."""
    options = options or NativeOptions(inside=True)
    plan = process_plan(text, sites)
    memory = mmap.mmap(-1, 1 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=7)
    room = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    with (
        closing(Memory(os.getpid())) as process,
        Descriptors.open() as descriptors,
        NativeProgram(plan, None, options, descriptors) as program,
    ):
        code = program.image.inside
        assert code is not None
        own = program.clauses.memory
        around = surroundings(os.getpid())
        installed = Installed(
            process,
            code,
            program.image.regions,
            own,
            around,
            own.address,
            room + _CODE_AT,
            descriptors.memory,
        )
        installed.prepare(os.getpid(), write)
        installed.set_gate(GATE_OPEN)
        functions = [room + _SITES_AT + 64 * number for number in range(sites)]
        at = room + _TRAMPOLINES_AT
        for number, function in enumerate(functions):
            call = installed.unit_call(FIRST_SITE + number)
            assert not isinstance(call, str), call
            window = tuple(instructions(function, 5))
            trampoline = build(window, at, call)
            write(function, FUNCTION)
            write(at, trampoline.code)
            write(function, b"\xe9" + (at - function - 5).to_bytes(4, "little"))
            at += -(-len(trampoline.code) // 16) * 16
        yield Traced(program, installed, functions)


def instructions(address: int, size: int) -> Iterator[Instruction]:
    """The instructions at the beginning of FUNCTION that take up so many bytes."""
    at = 0
    while at < size:
        instruction = decode(FUNCTION[at:], address + at)
        assert isinstance(instruction, Instruction)
        yield instruction
        at += instruction.size


def write(address: int, content: bytes) -> None:
    ctypes.memmove(address, content, len(content))


# --- counting -----------------------------------------------------------------------------------------------------


def test_count_with_a_known_key_is_inline() -> None:
    with inside("BEGIN { @[probefunc] = count(); }", sites=3) as traced_:
        call = traced_.installed.unit_call(FIRST_SITE)
        assert isinstance(call, InlineCount) and len(call.cells) == 1
        for number in (0, 1, 1, 2, 2, 2):
            assert traced_.call(10, 7, site=number) == 27
        assert traced_.cells() == {(b"f0",): (1,), (b"f1",): (2,), (b"f2",): (3,)}


def test_several_counts_of_one_site_are_inline() -> None:
    with inside('BEGIN { @a = count(); @b["x", probefunc] = count(); }') as traced_:
        assert isinstance(traced_.installed.unit_call(FIRST_SITE), InlineCount)
        traced_.call(1, 1)
        assert traced_.cells("a") == {(): (1,)}
        assert traced_.cells("b") == {(b"x", b"f0"): (1,)}


@pytest.mark.parametrize(
    "text", ["BEGIN /arg0/ { @ = count(); }", "BEGIN { @ = sum(1); }", "BEGIN { @[arg0] = count(); }"]
)
def test_anything_else_is_called(text: str) -> None:
    with inside(text) as traced_:
        call = traced_.installed.unit_call(FIRST_SITE)
        assert isinstance(call, UnitCall) and not call.whole_registers


def test_every_aggregating_function() -> None:
    functions = (
        "@c = count(); @s = sum(arg0); @a = avg(arg0); @l = min(arg0); @h = max(arg0); @d = stddev(arg0);"
    )
    text = f"BEGIN {{ {functions} @q = quantize(arg0); @n = lquantize(arg0, 0, 100, 10); }}"
    with inside(text) as traced_:
        for value in (5, 77, 13):
            assert traced_.call(value, 0) == 2 * value
        assert traced_.cells("c") == {(): (3,)}
        assert traced_.cells("s") == {(): (1, 95)}
        assert traced_.cells("a") == {(): (3, 95)}
        assert traced_.cells("l") == {(): (1, 5)}
        assert traced_.cells("h") == {(): (1, 77)}
        assert traced_.cells("d") == {(): (3, 95, 25 + 77 * 77 + 169, 0)}
        assert [word for word in traced_.cells("q")[()] if word] == [1, 1, 1, 1]
        assert [word for word in traced_.cells("n")[()] if word] == [1, 1, 1, 1]


def test_keys_of_the_firing() -> None:
    with inside("BEGIN { @[arg0, tid, pid, probefunc] = count(); }", sites=2) as traced_:
        for _ in range(3):
            traced_.call(42, 0, site=1)
        assert traced_.cells() == {(42, threading.get_native_id(), os.getpid(), b"f1"): (3,)}


def test_threads_count_in_copies_that_add_up() -> None:
    rounds, number = 20_000, 6
    with inside("BEGIN { @n = count(); @s = sum(arg0); @t[tid] = count(); @m = max(arg1); }") as traced_:
        tids: list[int] = []

        def run(own: int) -> None:
            tids.append(threading.get_native_id())
            for _ in range(rounds):
                traced_.call(2, own)

        threads = [threading.Thread(target=run, args=(own,)) for own in range(number)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert traced_.cells("n") == {(): (rounds * number,)}
        assert traced_.cells("s") == {(): (1, 2 * rounds * number)}
        assert traced_.cells("m") == {(): (1, number - 1)}
        assert sum(count for (count,) in traced_.cells("t").values()) == rounds * number


def test_deleted_keys_can_come_back() -> None:
    with inside("BEGIN { @[arg0] = count(); }") as traced_:
        (aggregation,) = traced_.program._plan.program.aggregations
        traced_.program._cells.keeps_entries = True
        traced_.call(1, 0)
        traced_.call(2, 0)
        traced_.program.carry_out(DeleteKeys(aggregation, ((1,),)))
        assert traced_.cells() == {(2,): (1,)}
        traced_.call(1, 0)
        assert traced_.cells() == {(1,): (1,), (2,): (1,)}


def test_a_deleted_count_comes_back_with_what_was_counted_since() -> None:
    with inside("BEGIN { @[probefunc] = count(); }", sites=2) as traced_:
        (aggregation,) = traced_.program._plan.program.aggregations
        for _ in range(3):
            traced_.call(1, 0)
            traced_.call(1, 0, site=1)
        traced_.program.carry_out(DeleteKeys(aggregation, ((b"f0",),)))
        assert traced_.cells() == {(b"f1",): (3,)}
        traced_.call(1, 0)
        assert traced_.cells() == {(b"f0",): (1,), (b"f1",): (3,)}


def test_what_dtrap_counts_too_is_no_inline_count() -> None:
    with inside("BEGIN, END { @ = count(); }") as traced_:
        assert isinstance(traced_.installed.unit_call(FIRST_SITE), UnitCall)
    with inside("BEGIN { @ = count(); } END { @ = count(); }") as traced_:
        assert isinstance(traced_.installed.unit_call(FIRST_SITE), InlineCount)


# --- what clauses see ---------------------------------------------------------------------------------------------


def test_arguments_and_registers() -> None:
    text = "BEGIN { trace(arg0); trace(arg5); trace(arg6); trace(arg9); trace(uregs[R_RDI]); trace(uregs[R_RIP]); }"
    with inside(text) as traced_:
        traced_.call(*range(100, 112))
        assert traced_.values() == [100, 105, 106, 109, 100, traced_.functions[0]]


def test_facts() -> None:
    text = "BEGIN { trace(pid); trace(tid); trace(uid); trace(gid); trace(execname); trace(probefunc); trace(id); }"
    with inside(text) as traced_:
        traced_.call(0, 0)
        with open("/proc/thread-self/comm", "rb") as file:
            comm = file.read().rstrip(b"\n")
        own = [os.getpid(), threading.get_native_id(), os.getuid(), os.getgid(), comm, b"f0", FIRST_SITE]
        assert traced_.values() == own


def test_clocks_and_processor() -> None:
    with inside(
        "BEGIN { trace(timestamp); trace(walltimestamp); trace(vtimestamp); trace(cpu); }"
    ) as traced_:
        before = time.monotonic_ns(), time.time_ns(), time.thread_time_ns()
        traced_.call(0, 0)
        after = time.monotonic_ns(), time.time_ns(), time.thread_time_ns()
        *clocks, cpu = traced_.values()
    first, _, third = clocks
    assert isinstance(first, int) and isinstance(third, int)
    assert before[0] <= first <= after[0]
    assert before[2] <= third <= after[2]
    assert cpu in range(os.cpu_count() or 1)


def test_threads_are_told_apart_although_they_use_the_same_stack() -> None:
    with inside("BEGIN { @[tid] = count(); }") as traced_:
        tids = []
        for _ in range(3):  # one after another: the C library gives each the stack of the one before

            def run() -> None:
                tids.append(threading.get_native_id())
                traced_.installed.forget_threads()
                traced_.call(0, 0)

            thread = threading.Thread(target=run)
            thread.start()
            thread.join()
        assert traced_.cells() == {(tid,): (1,) for tid in tids}


def test_memory_of_the_program() -> None:
    text = ctypes.create_string_buffer(b"a string of its own")
    number = ctypes.c_uint64(1234567)
    with inside("BEGIN { trace(copyinstr(arg0)); trace(*(uint64_t *)copyin(arg1, 8)); }") as traced_:
        traced_.call(ctypes.addressof(text), ctypes.addressof(number))
        assert traced_.values() == [b"a string of its own", 1234567]


def test_memory_that_is_not_there_is_a_fault_of_the_clause() -> None:
    with inside("BEGIN { trace(copyinstr(arg0)); }") as traced_:
        assert traced_.call(64, 1) == 129
        (report,) = traced_.rows()
    assert isinstance(report, FaultReport)
    assert (report.fault, report.address) == (Fault.BADADDR, 64)


def test_strings_and_variables() -> None:
    text = "string s; self int64_t n; BEGIN { s = probefunc; self->n += arg0; trace(s); trace(self->n); }"
    with inside(text) as traced_:
        traced_.call(5, 0)
        traced_.call(6, 0)
        assert [traced(row) for row in traced_.rows()] == [[b"f0", 5], [b"f0", 11]]


# --- the rest -----------------------------------------------------------------------------------------------------


def test_exit_stops_what_comes_later() -> None:
    with inside("BEGIN { @ = count(); } BEGIN /arg0 == 2/ { exit(3); }") as traced_:
        for value in (1, 2, 3, 4):
            traced_.call(value, 0)
        assert traced_.cells() == {(): (2,)}
        assert len(traced_.rows()) == 1


def test_records_without_room_are_dropped() -> None:
    with inside("BEGIN { trace(arg0); }", options=NativeOptions(buffer_size=4096, inside=True)) as traced_:
        for value in range(1000):
            traced_.call(value, 0)
        found = len(traced_.rows())
        assert 0 < found < 1000
        assert lost(traced_.program, Drop.PRINCIPAL) == 1000 - found


@pytest.mark.parametrize(("gate", "counts"), [(GATE_SHUT, 0), (GATE_GUARDED, 1)])
def test_gate(gate: int, counts: int) -> None:
    with inside("BEGIN { @[arg0] = count(); }") as traced_:
        traced_.installed.set_gate(gate)
        assert traced_.call(3, 4) == 10
        assert len(traced_.cells()) == counts
        child = os.fork()
        if child == 0:
            traced_.call(99, 0)  # it shares the memory, but is not the process
            os._exit(0)
        os.waitpid(child, 0)
        assert len(traced_.cells()) == counts


def test_code_of_the_process_minds_no_direction_flag() -> None:
    """String instructions stand where the flag has been cleared, and is put back."""
    with inside("BEGIN { trace(copyinstr(arg0)); }") as traced_:
        content = traced_.installed.inside.image.content
    assert content.count(b"\xf3\xaa") == content.count(b"\x9c\xfc\xf3\xaa\x9d") > 0
