"""The prologue and the kernel's filter: exactly the threads of one process, in any family and namespace."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.errors import ProcessGone
from backend.linux import bpf
from backend.linux.bpf_features import UprobeMulti
from backend.uprobes import attach
from backend.uprobes.attach import Point
from backend.uprobes.process_filter import (
    Narrowing,
    ProcessFilter,
    filter_for,
    main_thread_has_exited,
    narrow,
    with_process_filter,
)
from tests.harness.triggers import Triggers
from tests.uprobes import bpf_assembler as asm
from tests.uprobes.counting import Trigger, counters, counting_program, counts, function_offsets, started

pytestmark = pytest.mark.requires_uprobes

ENTRIES = 4


@pytest.fixture
def map_fd() -> Iterator[int]:
    fd = counters(ENTRIES)
    yield fd
    os.close(fd)


def attach_work(map_fd: int, executable: Path, narrowing: Narrowing, support: UprobeMulti) -> attach.Attached:
    """Attach to work() as the session would on a kernel of this support, with cookie 1."""
    code = counting_program(map_fd)
    if narrowing.process is not None:
        code = with_process_filter(code, narrowing.process)
    points = [Point(function_offsets(executable)["work"], 1)]
    if support is UprobeMulti.ABSENT:
        return attach.attach_singly(code, "count", str(executable), points, narrowing.attach_pid)
    program = bpf.prog_load(bpf.ProgramKind.KPROBE, code, "count", bpf.AttachType.TRACE_UPROBE_MULTI)
    try:
        return attach.attach_together(program, str(executable), points, narrowing.attach_pid)
    finally:
        os.close(program)


@pytest.mark.parametrize("support", list(UprobeMulti))
def test_neither_forked_nor_vforked_children_are_counted(
    triggers: Triggers, map_fd: int, support: UprobeMulti
) -> None:
    executable = triggers.path("family")
    with (
        started(str(executable)) as trigger,
        attach_work(map_fd, executable, narrow(trigger.pid, support), support),
    ):
        assert trigger.finish() == 0
    assert counts(map_fd, ENTRIES) == {1: 3}


@pytest.mark.parametrize("support", list(UprobeMulti))
def test_process_without_its_main_thread_is_counted(
    triggers: Triggers, map_fd: int, support: UprobeMulti
) -> None:
    executable = triggers.path("leaderless")
    with started(str(executable)) as trigger, started(str(executable)) as other:
        narrowing = narrow(trigger.pid, support)
        with attach_work(map_fd, executable, narrowing, support):
            trigger.go()
            other.go()
            trigger.go()
    assert counts(map_fd, ENTRIES) == {1: 2}


def test_process_in_a_pid_namespace_of_its_own_is_counted(triggers: Triggers, map_fd: int) -> None:
    executable = triggers.path("leaderless")
    with (
        started("unshare", "--pid", "--fork", "--kill-child", str(executable)) as inside,
        started(str(executable)) as outside,
    ):
        inner_pid = only_child(inside)
        process = filter_for(inner_pid)
        assert process.process_id == 1
        with attach_work(map_fd, executable, Narrowing(None, process), UprobeMulti.THREAD_FILTER):
            inside.go()
            outside.go()
    assert counts(map_fd, ENTRIES) == {1: 1}


def only_child(parent: Trigger) -> int:
    """Return the child of unshare: the process that the trigger's output comes from."""
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text(encoding="ascii").split()
    assert len(children) == 1
    return int(children[0])


def test_main_thread_is_known_to_live_or_not(triggers: Triggers) -> None:
    with started(str(triggers.path("leaderless"))) as trigger:
        assert main_thread_has_exited(trigger.pid)
    assert not main_thread_has_exited(os.getpid())


def test_kernel_does_the_filtering_where_it_does_it_right() -> None:
    assert narrow(os.getpid(), UprobeMulti.PROCESS_FILTER) == Narrowing(os.getpid(), None)
    assert narrow(os.getpid(), UprobeMulti.THREAD_FILTER).attach_pid is None
    assert narrow(os.getpid(), UprobeMulti.ABSENT) == Narrowing(os.getpid(), filter_for(os.getpid()))


def test_prologue_hands_the_context_on_in_its_own_process_and_returns_0_in_others() -> None:
    body = asm.load64(asm.R0, asm.R1, 8) + asm.leave()
    ours = filter_for(os.getpid())
    strangers = (
        ProcessFilter(ours.device, ours.inode, ours.process_id + 1),
        ProcessFilter(ours.device, ours.inode + 1, ours.process_id),
    )
    assert [run(with_process_filter(body, process)) for process in (ours, *strangers)] == [22, 0, 0]


def run(code: bytes) -> int:
    fd = bpf.prog_load(bpf.ProgramKind.RAW_TRACEPOINT, code, "filtered")
    try:
        return bpf.prog_test_run(fd, (11, 22))
    finally:
        os.close(fd)


@pytest.mark.parametrize("support", UprobeMulti)
def test_error_of_a_process_that_has_ended(support: UprobeMulti) -> None:
    child = subprocess.Popen(["true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    # A zombie has no thread to be found by: all processes of the machine would be looked at for it.
    with pytest.raises(ProcessGone):
        narrow(child.pid, support)
    child.wait()
    with pytest.raises(ProcessGone):
        narrow(child.pid, support)
