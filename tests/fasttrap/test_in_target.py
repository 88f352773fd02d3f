"""Clauses put into another process: by calls injected into it, with memory that both have.

ASSERTION: what the clauses wrote before is still there, each side sees what the other writes from then on, the process
has no descriptor more than before, and the code in it knows where its memory is.
"""

import os
import signal
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from backend.errors import CannotInject
from backend.fasttrap import inject
from backend.fasttrap.in_target import surroundings
from backend.fasttrap.program import Descriptors, NativeOptions, NativeProgram
from backend.fasttrap.regions import HEADER_GATE, HEADER_PROCESS
from backend.fasttrap.target import MEMORY_POINTER
from backend.fasttrap.tracee import OPTIONS, Memory
from backend.linux import procfs, ptrace
from backend.linux.wait_status import WALL
from scratch.trampoline import GATE_OPEN
from tests.fasttrap.plans import FIRST_SITE, Hit, process_plan

TEXT = "BEGIN { @ = count(); } BEGIN /arg0/ { @t[tid] = max(timestamp); trace(cpu); }"


@pytest.fixture
def sleeper() -> Iterator[int]:
    """A process held by us, asleep in a system call."""
    with subprocess.Popen(["sleep", "infinity"]) as process:
        while Path(f"/proc/{process.pid}/stat").read_text().rpartition(") ")[2][0] != "S":
            time.sleep(0.001)  # its exec comes to an end first
        ptrace.seize(process.pid, OPTIONS)
        ptrace.interrupt(process.pid)
        os.waitpid(process.pid, WALL)
        yield process.pid
        process.kill()


def descriptors_of(pid: int) -> list[str]:
    return sorted(os.listdir(f"/proc/{pid}/fd"))


def test_process_shares_the_memory_from_then_on(sleeper: int) -> None:
    memory = Memory(sleeper)
    gate = inject.find_gate(sleeper, memory)
    before = descriptors_of(sleeper)
    plan = process_plan(TEXT)
    options = NativeOptions(inside=True)
    with Descriptors.open() as descriptors, NativeProgram(plan, sleeper, options, descriptors) as program:
        Hit(sleeper, sleeper).on(program)
        with closing(program.clauses.install(sleeper, gate, memory)) as installed:
            program.move_to(f"/proc/self/fd/{installed.memory_fd}")
            assert descriptors_of(sleeper) == before
            count, _ = plan.program.aggregations
            assert program.snapshot(count) == {(): (1,)}
            installed.set_gate(GATE_OPEN)
            header = memory.read(installed.base + HEADER_GATE, 16)
            assert struct.unpack("<IIQ", header) == (GATE_OPEN, sleeper, sleeper)
            memory.write(installed.base + HEADER_PROCESS, struct.pack("<Q", 77))
            assert program.clauses.memory.words[HEADER_PROCESS >> 3] == 77
            pointer = installed.code + installed.inside.image.symbols[MEMORY_POINTER]
            assert memory.read(pointer, 8) == struct.pack("<Q", installed.base)
            assert installed.contains(sleeper, installed.code)
            assert not installed.contains(sleeper, installed.base)
            assert not isinstance(installed.unit_call(FIRST_SITE), str)
            ring_end = program.image.regions.size
            memory.write(installed.base + ring_end, b"again")  # the ring comes twice
            assert memory.read(installed.base + program.image.regions.offset("records"), 5) == b"again"
            Hit(sleeper, sleeper).on(program)
            assert program.snapshot(count) == {(): (2,)}


def test_a_thread_in_the_vdso_is_not_in_clauses_that_never_call_it(sleeper: int) -> None:
    memory = Memory(sleeper)
    gate = inject.find_gate(sleeper, memory)
    plan, options = process_plan("BEGIN { @ = count(); }"), NativeOptions(inside=True)
    with (
        Descriptors.open() as descriptors,
        NativeProgram(plan, sleeper, options, descriptors) as program,
        closing(program.clauses.install(sleeper, gate, memory)) as installed,
    ):
        assert not installed.contains(sleeper, installed.surroundings.vdso[0])


def test_clauses_move_a_second_time(sleeper: int) -> None:
    """As after exec: what was counted before goes along."""
    memory = Memory(sleeper)
    gate = inject.find_gate(sleeper, memory)
    plan = process_plan("BEGIN { @ = count(); }")
    options = NativeOptions(inside=True)
    with Descriptors.open() as descriptors, NativeProgram(plan, sleeper, options, descriptors) as program:
        for hits in (1, 2):
            Hit(sleeper, sleeper).on(program)
            with closing(program.clauses.install(sleeper, gate, memory)) as installed:
                program.move_to(f"/proc/self/fd/{installed.memory_fd}")
            assert program.snapshot(plan.program.aggregations[0]) == {(): (hits,)}


def test_process_without_a_free_descriptor_is_refused(sleeper: int) -> None:
    memory = Memory(sleeper)
    gate = inject.find_gate(sleeper, memory)
    limit = len(descriptors_of(sleeper))
    subprocess.run(["prlimit", f"--nofile={limit}", "--pid", str(sleeper)], check=True)
    options = NativeOptions(inside=True)
    plan = process_plan("BEGIN { @ = count(); }")
    with Descriptors.open() as descriptors, NativeProgram(plan, sleeper, options, descriptors) as program:
        with pytest.raises(CannotInject, match="memfd_create: Too many open files"):
            program.clauses.install(sleeper, gate, memory)
        Hit(sleeper, sleeper).on(program)
        assert program.snapshot(plan.program.aggregations[0]) == {(): (1,)}


def test_surroundings_of_a_process() -> None:
    own = surroundings(os.getpid())
    start, end = own.vdso
    assert start < own.clock < end
    assert own.own_pid == os.getpid()
    assert not (own.seccomp or own.other_ids or own.other_users)
    assert any(
        mapping.path == "[vdso]" and mapping.start == start for mapping in procfs.mappings(os.getpid())
    )


def test_memory_of_a_killed_process_stays(sleeper: int) -> None:
    memory = Memory(sleeper)
    gate = inject.find_gate(sleeper, memory)
    plan = process_plan("BEGIN { @ = count(); }")
    options = NativeOptions(inside=True)
    with Descriptors.open() as descriptors, NativeProgram(plan, sleeper, options, descriptors) as program:
        installed = program.clauses.install(sleeper, gate, memory)
        program.move_to(f"/proc/self/fd/{installed.memory_fd}")
        installed.close()
        Hit(sleeper, sleeper).on(program)
        os.kill(sleeper, signal.SIGKILL)
        os.waitpid(sleeper, WALL)
        assert program.snapshot(plan.program.aggregations[0]) == {(): (1,)}
