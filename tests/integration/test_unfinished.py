"""Somebody is killed in the middle of what is being armed or started: nobody waits for ever, and nothing is lost."""

import os
import shutil
import signal
import tempfile
import time
from pathlib import Path

import pytest

from backend.linux import pidfd, procfs
from tests.harness.command import DTRAP, Run
from tests.harness.ordinary_user import as_nobody
from tests.harness.triggers import Triggers
from tests.integration.running import ARMED, TIMEOUT_S, children_of, dtrap, run, target

FASTTRAP = ("-x", "engine=fasttrap")
COUNT = "pid$target:a.out:work:entry { @ = count(); }"
ALL_OF_LIBC = 'pid$target:libc.so.6::entry { @ = count(); } END { printf("the end"); }'


@pytest.mark.parametrize("after_s", [0.02, 0.1, 0.3])
def test_target_killed_while_it_is_armed_ends_the_run(triggers: Triggers, after_s: float) -> None:
    with target([triggers.path("endless"), "4"]) as process:
        process.say()
        with dtrap(*FASTTRAP, "-p", str(process.pid), "-n", ALL_OF_LIBC) as tracer:
            while not procfs.status(process.pid).tracer_pid:
                time.sleep(0.001)
            time.sleep(after_s)
            process.process.kill()
            result = tracer.end()
    assert result.status == 0
    assert "the end" in result.stdout
    assert f"dtrap: pid {process.pid} terminated by SIGKILL" in result.stderr.splitlines()


def test_command_that_has_not_run_ends_with_dtrap(triggers: Triggers) -> None:
    command = f"{triggers.path('calls_forever')} -1"
    with dtrap("-q", *FASTTRAP, "-n", ALL_OF_LIBC, "-c", command) as tracer:
        child = stopped_child(tracer.pid)
        descriptor = pidfd.open_process(child)
        tracer.process.send_signal(signal.SIGTERM)
        tracer.end()
        wait_until_ended(descriptor)


def stopped_child(pid: int) -> int:
    """Wait until a process has a child that is stopped by a signal."""
    while True:
        for child in children_of(pid):
            if Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] == "T":
                return child
        time.sleep(0.0005)


def wait_until_ended(descriptor: int) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not pidfd.ended(descriptor):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.close(descriptor)


def run_as_nobody(program: Path, *arguments: str) -> Run:
    """Count the calls of work() in a program, which nobody can reach where it is."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        command = " ".join((shutil.copy(program, folder), *arguments))
        nobody = (*as_nobody(), str(DTRAP))
        return run("-q", *FASTTRAP, "-n", COUNT, "-c", command, executable=nobody)


def test_counts_are_kept_where_a_new_program_can_have_no_probes(triggers: Triggers) -> None:
    result = run_as_nobody(triggers.path("executes"), "sandboxed")
    assert (result.status, result.stdout.split()) == (0, ["2"])
    (line,) = result.stderr.splitlines()
    assert "work:entry withdrawn: " in line
    assert "seccomp" in line


def test_counts_are_kept_where_a_sandbox_lets_no_trap_take_the_place_of_a_jump(triggers: Triggers) -> None:
    result = run_as_nobody(triggers.path("faults_in_sandbox"))
    assert (result.status, result.stdout.split()) == (0, ["caught", str(int(signal.SIGSEGV)), "2"])
    (line,) = result.stderr.splitlines()
    assert "work:entry withdrawn: " in line


def test_the_tracer_is_gone_before_the_end_is_printed(triggers: Triggers) -> None:
    # Threads that could not be stopped are let go with it, and the end may take as long as its reader likes.
    end = 'END { system("pgrep -P $PPID fasttrap || echo gone"); }'
    program = f"pid$target:a.out:work:entry {{ @ = count(); }} {end} tick-100ms {{ exit(0); }}"
    with target([triggers.path("calls_forever"), "-1"]) as process:
        process.say()
        result = run("-qw", *FASTTRAP, "-n", program, "-p", str(process.pid))
    assert result.stdout.split()[0] == "gone"


def test_thread_that_executes_a_program_while_a_call_is_made_in_the_name_of_the_first(
    triggers: Triggers,
) -> None:
    command = f"{triggers.path('executes_in_calls')} 12"
    result = run("-q", *FASTTRAP, "-x", "tier=trap", "-n", COUNT, "-c", command)
    assert (result.status, result.stderr) == (0, "")
    done, count = result.stdout.split()
    assert done == "done"
    assert int(count) > 0


def test_process_that_ends_before_a_child_that_it_has_just_spawned(triggers: Triggers) -> None:
    with (
        target([triggers.path("spawns_at_end")]) as process,
        dtrap("-q", *FASTTRAP, "-n", f"{ARMED} {COUNT}", "-p", str(process.pid)) as tracer,
    ):
        assert tracer.output.readline() == b"armed\n"
        process.say()
        assert process.process.wait() == 0  # it is not even a zombie then
        result = tracer.end()
    assert (result.status, result.stderr, result.stdout.split()) == (0, "", ["1"])


def test_program_that_sets_a_handler_at_the_end_of_its_stack(triggers: Triggers) -> None:
    command = str(triggers.path("low_stack"))
    result = run("-q", *FASTTRAP, "-x", "tier=trap", "-n", COUNT, "-c", command)
    assert (result.status, result.stderr, result.stdout.split()) == (0, "", ["0", "1"])
