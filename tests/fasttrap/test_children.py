"""Children: forked ones are left clean, those that share the memory don't count, exec ends the old probes."""

import contextlib
import signal
from collections import Counter
from pathlib import Path

import pytest

from backend.errors import CannotInject
from backend.fasttrap.engine import Executed
from backend.fasttrap.tracee import Threads
from backend.linux import procfs
from tests.fasttrap.test_hits import state, until
from tests.fasttrap.tracing import (
    TIMEOUT_S,
    Tracing,
    function_offsets,
    libc_of,
    output,
    tell_go,
    traced,
    trigger,
)
from tests.harness.triggers import Triggers

ROUNDS = 5


def test_children_run_right_and_uncounted_and_see_the_default_disposition(triggers: Triggers) -> None:
    with traced(triggers.path("children"), ["probed"]) as run:
        lines = Counter(run.finish().splitlines())
        assert lines == dict.fromkeys(("fork 3", "vfork 4", "vfork and exec 7", "spawn 7"), ROUNDS)
        assert run.tracing.hits == {"probed": 2 * ROUNDS}


def test_all_of_libc_counted_in_a_program_that_makes_children(triggers: Triggers) -> None:
    program = triggers.path("children")
    with traced(program, ["probed"]) as run:
        run.tracing.tracer.hold()
        run.tracing.arm_all(libc_of(run.process.pid))
        run.tracing.tracer.go()
        assert len(run.finish().splitlines()) == 4 * ROUNDS


def test_exec_ends_the_probes_and_the_new_program_is_held_for_new_ones(triggers: Triggers) -> None:
    announce = triggers.path("announce")
    with Tracing() as tracing:
        tracing.tracer.create(f"env -i {announce} 0")
        tracing.tracer.go()
        assert tracing.next() == Executed()
        tracing.arm(announce, ["main"])
        tracing.tracer.go()
        tracing.wait_end()
        assert tracing.hits == {"main": 1}


@pytest.mark.parametrize("main", ["waits", "computes", "leaderless"])
def test_a_thread_other_than_the_first_may_execute_a_program(triggers: Triggers, main: str) -> None:
    announce = triggers.path("announce")
    with traced(triggers.path("thread_executes"), ["probed"], main, str(announce), "0") as run:
        assert run.tracing.next() == Executed()
        run.tracing.arm(announce, ["main"])
        run.tracing.tracer.go()
        run.finish()
        assert run.tracing.hits["main"] == 1


@pytest.mark.parametrize("main", ["waits", "leaderless"])
def test_a_program_that_a_thread_executes_is_let_go_while_all_is_held(triggers: Triggers, main: str) -> None:
    program = triggers.path("thread_executes")
    with traced(program, ["probed"], main, str(triggers.path("announce")), "0") as run:
        comm = Path(f"/proc/{run.process.pid}/comm")
        with contextlib.suppress(FileNotFoundError):
            while comm.read_text() == f"{program.name}\n":
                run.tracing.tracer.hold()
                run.tracing.tracer.go()
        run.tracing.tracer.detach()
        run.process.communicate(timeout=TIMEOUT_S)
        assert run.process.returncode == 0


def test_process_that_makes_threads_and_children_all_the_time_can_be_attached_to(triggers: Triggers) -> None:
    """In whatever stop of vfork it is met; the endless trigger ends at the first wrong result of a thread or child."""
    program = triggers.path("endless")
    functions = [name for name in function_offsets(program) if name.startswith("first_")]
    with trigger(program, "1") as process:
        tell_go(process)
        for _ in range(20):
            with Tracing() as tracing:
                tracing.tracer.attach(process.pid)
                tracing.arm(program, functions)
                tracing.tracer.go()
                tracing.tracer.detach()
            process.send_signal(signal.SIGUSR1)
            assert output(process).readline().startswith("well ")


def test_children_that_a_vfork_child_makes_while_it_is_seized_go_free(triggers: Triggers) -> None:
    program = triggers.path("forks_in_vfork")
    with trigger(program) as process:
        tell_go(process)
        for _ in range(3):
            with Tracing() as tracing:
                tracing.tracer.attach(process.pid)
                with pytest.raises(CannotInject, match="vfork"):
                    tracing.arm(program, ["work"])
        tell_go(process)
        assert process.wait(TIMEOUT_S) == 0


def test_a_vfork_child_that_executes_a_program_before_it_can_be_seized_is_let_be(
    triggers: Triggers, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = triggers.path("waits_in_vfork")
    shares_memory = Threads.shares_memory

    def looks_too_early(self: Threads, child: int, *, if_unknown: bool = False) -> bool:
        shares = shares_memory(self, child, if_unknown=if_unknown)
        if shares:
            tell_go(process)
            until(lambda: procfs.exe(child) != str(program) and state(child) == "S")
        return shares

    monkeypatch.setattr(Threads, "shares_memory", looks_too_early)
    with trigger(program, "/bin/sleep", "1") as process:
        until(lambda: procfs.children(process.pid, process.pid) != [])
        with Tracing() as tracing:
            tracing.tracer.attach(process.pid)
            tracing.arm(program, ["work"])
            tracing.tracer.go()
            tracing.wait_end()
            assert tracing.hits == {"work": 3}
        assert process.communicate() == ("done\n", "")
        assert process.returncode == 0


@pytest.mark.parametrize("jumps", [False, True])
@pytest.mark.parametrize(("how", "ended"), [("vfork", 7), ("ignores", 8)])
def test_a_child_of_vfork_may_ask_to_be_traced(
    triggers: Triggers, how: str, ended: int, *, jumps: bool
) -> None:
    with traced(triggers.path("traces_child"), ["probed", "become_traced"], how, jumps=jumps) as run:
        *lines, calls = run.finish().splitlines()
        assert lines == ["stopped by 5", f"exited {ended}"] * 3
        assert run.tracing.hits == {"probed": int(calls.split()[1])}
