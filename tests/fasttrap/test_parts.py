"""The engine's pieces alone: layouts that native code relies on, text, injected calls."""

import ctypes
import errno
import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from backend.fasttrap import affinity, disposition, inject, safety, text
from backend.fasttrap.inject import Syscall
from backend.fasttrap.loop import Control, HotLoop, Reason, SiteTable
from backend.fasttrap.made_sites import MadeSites
from backend.fasttrap.scratch_space import Region
from backend.fasttrap.site_batch import MadeText
from backend.fasttrap.text import PAGE_SIZE
from backend.fasttrap.tracee import OPTIONS, Memory, Threads
from backend.fasttrap.watched import Watched, watched_sites
from backend.linux import procfs, ptrace
from backend.linux.ptrace import Option
from backend.linux.wait_status import WALL
from tests.fasttrap.tracing import forked
from tests.harness.triggers import Triggers


@pytest.fixture
def sleeper() -> Iterator[int]:
    """A process held in a system call that restarts through restart_syscall (nanosleep)."""
    with subprocess.Popen(["sleep", "0.3"]) as process:
        while "nanosleep" not in Path(f"/proc/{process.pid}/wchan").read_text():
            pass
        ptrace.seize(process.pid, OPTIONS)
        ptrace.interrupt(process.pid)
        os.waitpid(process.pid, WALL)
        yield process.pid
        ptrace.detach(process.pid)
        assert process.wait() == 0


def test_injected_call_leaves_registers_mask_and_the_interrupted_call_as_they_were(sleeper: int) -> None:
    before, mask = ptrace.registers(sleeper), ptrace.signal_mask(sleeper)
    gate = inject.find_gate(sleeper, Memory(sleeper))
    address = inject.call(sleeper, gate, Syscall.MMAP, 0, PAGE_SIZE, 5, 0x22, -1, 0)
    assert any(mapping.start <= address < mapping.end for mapping in procfs.mappings(sleeper))
    assert (ptrace.registers(sleeper), ptrace.signal_mask(sleeper)) == (before, mask)


def test_injected_call_that_fails_gives_its_error(sleeper: int) -> None:
    gate = inject.find_gate(sleeper, Memory(sleeper))
    assert inject.call(sleeper, gate, Syscall.MMAP, 0, 0, 5, 0x22, -1, 0) == -22


def test_disposition_is_exchanged_without_a_trace_in_memory(sleeper: int) -> None:
    memory = Memory(sleeper)
    gate = inject.find_gate(sleeper, memory)
    below = ptrace.registers(sleeper).rsp - 2048
    before = memory.read(below, 2048)
    ignore = disposition.Action(disposition.IGNORE)
    assert disposition.read_action(sleeper, gate, memory) == disposition.Action(disposition.DEFAULT)
    disposition.write_action(sleeper, gate, memory, ignore)
    assert disposition.read_action(sleeper, gate, memory).handler == disposition.IGNORE
    assert memory.read(below, 2048) == before
    memory.close()


def test_control_has_the_layout_that_c_would_give_it() -> None:
    offset = 0
    for name, kind, *_ in Control._fields_:
        alignment = ctypes.alignment(kind)
        offset = (offset + alignment - 1) // alignment * alignment
        assert getattr(Control, name).offset == offset, name
        offset += ctypes.sizeof(kind)


def test_loop_without_tracees_returns_and_attention_comes_first() -> None:
    loop, control = HotLoop(), Control()
    SiteTable().install(control)
    with ThreadPoolExecutor(1) as thread:  # which traces nobody, whatever other tests trace
        assert thread.submit(loop.run, control).result() is Reason.NO_TRACEES
    control.attention = 1
    assert loop.run(control) is Reason.ATTENTION


def test_table_that_grows_keeps_copies_and_hits() -> None:
    table = SiteTable([30, 10], [3, 1], [False, True])
    table.copies[0], table.hits[1] = 1000, 7
    grown = table.with_sites(SiteTable([20], [2], [False]))
    assert list(grown.addresses) == [10, 20, 30]
    assert list(grown.identifiers) == [1, 2, 3]
    assert list(grown.ambiguous) == [1, 0, 0]
    assert list(grown.copies) == [1000, 0, 0]
    assert list(grown.hits) == [0, 0, 7]
    assert [grown.index(address) for address in (10, 15, 30, 31)] == [0, None, 2, None]


def test_int3s_come_and_go_page_by_page(sleeper: int) -> None:
    memory = Memory(sleeper)
    start = next(mapping.start for mapping in procfs.mappings(sleeper) if mapping.executable)
    before = memory.read(start, 2 * PAGE_SIZE)
    sites = [start, start + 5, start + PAGE_SIZE - 1, start + PAGE_SIZE, start + PAGE_SIZE + 77]
    displaced = text.displaced_by(memory, sites)
    text.insert(memory, sites)
    assert [memory.read(site, 1) for site in sites] == [b"\xcc"] * len(sites)
    assert text.Code(memory, displaced).at(start + PAGE_SIZE - 3) == before[PAGE_SIZE - 3 :][:15]
    memory.write(start + 5, b"\x90")
    text.restore(memory, displaced)
    changed = bytearray(before)
    changed[5] = 0x90
    assert memory.read(start, 2 * PAGE_SIZE) == bytes(changed), "a byte that is no int3 any more is not ours"
    memory.write(start + 5, before[5:6])
    memory.close()


def test_watched_calls_are_found_in_the_c_library() -> None:
    found = watched_sites(os.getpid())
    assert found.settings
    assert found.returns
    for address in found.settings | found.returns:
        assert procfs.read_memory(os.getpid(), address, 2) == inject.SYSCALL_INSTRUCTION


NOP = 0x90
MOV_8_TO_EAX_RET = b"\xb8\x08\x00\x00\x00\xc3"


class Image(Memory):
    """What is written to scratch memory that begins at `start`."""

    def __init__(self, start: int, size: int) -> None:
        self.start, self.content = start, bytearray(size)

    def write(self, address: int, data: bytes) -> None:
        self.content[address - self.start : address - self.start + len(data)] = data


@pytest.mark.parametrize(
    ("case", "may_open", "copy"),
    [
        ("heal", True, b""),
        ("copy", False, MOV_8_TO_EAX_RET),
        ("wait", False, b""),
        ("made", True, MOV_8_TO_EAX_RET),
        ("own", True, b""),
        ("waiting", True, b""),
        ("undumpable", True, b""),
    ],
)
def test_safety_handler_takes_int3s_away_or_goes_on_in_the_copy_or_waits(
    triggers: Triggers, tmp_path: Path, case: str, may_open: bool, copy: bytes
) -> None:
    page, sites = 0x1000_0000, [0x2000_0000, 0x2000_0040]
    memory, region = Image(page, 2 * PAGE_SIZE), Region(page, 2 * PAGE_SIZE, sites)
    made = MadeSites()
    for site in sites if case == "made" else ():
        made.take(MadeText(site, b"\x90\xb8\x07\0\0\0\xc3"), site)
    displaced = text.Displaced(sites, bytes((NOP, NOP)))
    action = safety.write(memory, [region], displaced, made, Watched(), may_open=may_open)
    memory.write(region.slot(sites[0]), copy)
    memory.write(page + 2048, action.to_bytes())
    image = tmp_path / "image"
    image.write_bytes(memory.content)
    command = [str(triggers.path("safety")), str(image), case, str(safety.PROGRAM_OFFSET)]
    assert subprocess.run(command, check=False).returncode == 0


def test_thread_that_ends_while_it_is_seized_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    ended, seize, listed = _ended_process(), ptrace.seize, procfs.threads
    seen: list[int] = []

    def list_ended_once(pid: int) -> tuple[int, ...]:
        once = () if seen else (ended,)
        seen.append(pid)
        return listed(pid) + once

    def refuse_ended(tid: int, options: Option) -> None:
        if tid == ended:
            raise PermissionError(errno.EPERM, "a zombie, which is gone by now")
        seize(tid, options)

    with subprocess.Popen(["sleep", "60"]) as process, ThreadPoolExecutor(1) as tracer:
        monkeypatch.setattr(ptrace, "seize", refuse_ended)
        monkeypatch.setattr(procfs, "threads", list_ended_once)
        threads = Threads(process.pid)
        try:
            tracer.submit(threads.seize_all).result()
            assert threads.known.keys() == {process.pid}
        finally:
            process.kill()


def _ended_process() -> int:
    with subprocess.Popen(["true"]) as process:
        return process.pid


def test_tracer_that_follows_its_tracee_gives_way_to_everybody_until_it_rests() -> None:
    assert os.waitpid(forked(follow_and_rest), 0)[1] == 0


def follow_and_rest() -> None:
    for name, value in (("LOOK_AT_LOAD_S", 0.0), ("IDLE_CPUS", -1.0)):
        setattr(affinity, name, value)
    everywhere = os.sched_getaffinity(0)
    follower = affinity.CpuFollower()
    for _ in range(2):
        follower.follow(os.getppid())
    assert os.sched_getscheduler(0) == os.SCHED_IDLE
    follower.rest()
    assert os.sched_getscheduler(0) == os.SCHED_OTHER
    assert os.sched_getaffinity(0) == everywhere
