"""Every call is counted once and computes what it would untraced: any first instruction, any number of
threads.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from backend.linux import procfs
from tests.fasttrap.tracing import (
    TIMEOUT_S,
    Tracing,
    function_offsets,
    libc_of,
    output,
    tell_go,
    text_of,
    traced,
    trigger,
)
from tests.harness.triggers import Triggers

AWKWARD = "first_"


def awkward_functions(program: Path) -> list[str]:
    return sorted(name for name in function_offsets(program) if name.startswith(AWKWARD))


@pytest.mark.parametrize(("threads", "rounds"), [(1, 1000), (8, 300)])
def test_each_awkward_first_instruction_is_counted_exactly_and_computes_right(
    triggers: Triggers, threads: int, rounds: int
) -> None:
    program = triggers.path("storm")
    functions = awkward_functions(program)
    with traced(program, functions, str(threads), str(rounds)) as run:
        assert run.finish() == "failures 0\n"
        assert run.tracing.hits == dict.fromkeys(functions, threads * rounds)
        assert run.tracing.tracer.hits() == dict.fromkeys(range(len(functions)), threads * rounds)


def test_threads_that_live_for_one_call_are_all_counted(triggers: Triggers) -> None:
    with traced(triggers.path("churn"), ["probed"], "800") as run:
        assert run.finish() == ""
        assert run.tracing.hits == {"probed": 800}


def test_detach_restores_the_text_and_the_program_goes_on(triggers: Triggers) -> None:
    program = triggers.path("endless")
    with trigger(program, "4") as process:
        libc = libc_of(process.pid)
        before = text_of(process.pid, program), text_of(process.pid, libc)
        tell_go(process)
        for _ in range(5):
            with Tracing() as tracing:
                tracing.tracer.attach(process.pid)
                tracing.arm(program, awkward_functions(program))
                tracing.arm_all(libc)
                assert text_of(process.pid, libc) != before[1]
                tracing.tracer.go()
                until(lambda: tracing.hits["first_push"] > 0)
                ask_how_it_is(process)
                tracing.tracer.detach()
                assert (text_of(process.pid, program), text_of(process.pid, libc)) == before
                assert procfs.status(process.pid).tracer_pid == 0
            ask_how_it_is(process)


def until(holds: Callable[[], bool]) -> None:
    """Wait until something is so, which on a busy machine may take a while."""
    deadline = time.monotonic() + TIMEOUT_S
    while not holds():
        assert time.monotonic() < deadline, "it never is so"
        time.sleep(0.001)


def ask_how_it_is(process: subprocess.Popen[str]) -> int:
    """Return how often an endless trigger has gone round. It answers only if every result so far was right."""
    process.send_signal(signal.SIGUSR1)
    answer = output(process).readline()
    assert answer.startswith("well "), process.poll()
    return int(answer.split()[1])


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_stopped_process_stays_stopped_until_sigcont(triggers: Triggers) -> None:
    program = triggers.path("endless")
    with traced(program, awkward_functions(program), "3") as run:
        ask_how_it_is(run.process)
        run.process.send_signal(signal.SIGSTOP)
        assert os.waitpid(run.process.pid, os.WUNTRACED)[1] == signal.SIGSTOP << 8 | 0x7F
        run.process.send_signal(signal.SIGUSR1)
        hits = run.tracing.hits
        run.tracing.tracer.hold()
        run.tracing.tracer.go()
        assert run.tracing.hits == hits
        run.process.send_signal(signal.SIGCONT)
        assert os.waitpid(run.process.pid, os.WCONTINUED)[1] == 0xFFFF
        assert output(run.process).readline().startswith("well ")


def test_stop_survives_detach(triggers: Triggers) -> None:
    program = triggers.path("endless")
    with traced(program, awkward_functions(program), "3") as run:
        ask_how_it_is(run.process)
        run.process.send_signal(signal.SIGSTOP)
        os.waitpid(run.process.pid, os.WUNTRACED)
        run.tracing.tracer.detach()
        # Its threads are on their way from the tracer's stop to the job's.
        until(lambda: state(run.process.pid) == "T")
        run.process.send_signal(signal.SIGCONT)
        ask_how_it_is(run.process)


def test_exit_status_and_death_by_signal_are_the_programs_own(triggers: Triggers) -> None:
    program = triggers.path("announce")
    with Tracing() as tracing:
        pid = tracing.tracer.create(f"{program} 41")
        tracing.arm(program, ["main"])
        tracing.tracer.go()
        tracing.wait_end()
        assert pid
        assert tracing.hits == {"main": 1}
    endless = triggers.path("endless")
    with traced(endless, ["first_push"]) as run:
        run.process.send_signal(signal.SIGTERM)
        run.tracing.wait_end()
        assert run.process.wait(TIMEOUT_S) == -signal.SIGTERM


def test_killed_process_loses_no_counts(triggers: Triggers) -> None:
    program = triggers.path("endless")
    with traced(program, ["first_push", "first_ret"], "2") as run:
        ask_how_it_is(run.process)
        run.process.kill()
        run.tracing.wait_end()
        hits = run.tracing.hits
        assert hits["first_push"] > 0
        assert abs(hits["first_push"] - hits["first_ret"]) <= 2
