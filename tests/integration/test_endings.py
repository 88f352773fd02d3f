"""How a run ends: by a signal, by its target's end, by its own death; and what is left of both."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from backend.fasttrap.tracee import signal_set
from backend.fasttrap.watched import watched_sites
from backend.linux import pidfd, procfs
from dlang.notices import tracer_lost
from tests.harness.command import DTRAP
from tests.harness.triggers import Triggers
from tests.integration.running import (
    TIMEOUT_S,
    armed,
    children_of,
    counts,
    dtrap,
    run,
    target,
    text_of_function,
    wait_until_suspended,
)

pytestmark = pytest.mark.requires_uprobes

COUNT = "pid$target:a.out:work:entry { @[probefunc] = count(); }"
END = 'END { printf("the end\\n"); }'


def test_interrupt_ends_tracing_runs_end_and_prints_aggregations(triggers: Triggers) -> None:
    with target([triggers.path("calls_forever"), "-1"]) as process:
        with armed(
            "-p",
            str(process.pid),
            "-n",
            f'{COUNT} {END} pid$target:a.out:work:entry /arg0 == 1000/ {{ printf("far\\n"); }}',
        ) as tracer:
            process.say()
            assert tracer.output.readline() == b"far\n"
            tracer.interrupt()
            result = tracer.end()
        process.say()
        calls = process.end()
    assert (result.status, result.stderr) == (0, "")
    blank, end, *rest = result.stdout.splitlines()
    assert (blank, end) == ("", "the end")
    assert 1000 < counts("\n".join(rest))["work"] <= int(calls.stdout.split()[1])
    assert calls.status == 0


def test_terminate_ends_tracing_as_an_interrupt_does(triggers: Triggers) -> None:
    with (
        target([triggers.path("calls_forever"), "-1"]) as process,
        armed("-p", str(process.pid), "-n", f"{COUNT} {END}") as tracer,
    ):
        tracer.process.send_signal(signal.SIGTERM)
        result = tracer.end()
    assert result.status == 0
    assert result.stdout == "\nthe end\n\n"


def test_interrupt_ends_a_background_job_that_was_started_with_it_ignored(triggers: Triggers) -> None:
    ignoring = ("sh", "-c", 'trap "" INT; exec "$@"', "sh", str(DTRAP))
    with (
        target([triggers.path("calls_forever"), "-1"]) as process,
        armed("-p", str(process.pid), "-n", f"{COUNT} {END}", executable=ignoring) as tracer,
    ):
        tracer.interrupt()
        result = tracer.end()
    assert (result.status, result.stdout) == (0, "\nthe end\n\n")


def test_second_interrupt_ends_at_once(triggers: Triggers) -> None:
    # What END prints fills the pipe, which nobody empties: dtrap can't be done when the second one comes.
    much = 'END { printf("%0300000d\\n", 0); }'
    with target([triggers.path("calls_forever"), "-1"]) as process:
        with armed("-p", str(process.pid), "-n", f"{COUNT} {much}") as tracer:
            tracer.interrupt()
            assert os.read(tracer.output.fileno(), 1) == b"\n"
            tracer.interrupt()
            assert tracer.process.wait(20) == -signal.SIGINT
        process.say("\n\n")
        assert process.end().status == 0


def test_target_lives_on_with_its_own_text_when_dtrap_is_killed(triggers: Triggers) -> None:
    with target([triggers.path("calls_forever"), "-1"]) as process:
        work = address_of("work", process.pid, triggers.path("calls_forever"))
        before = text_of_function(process.pid, work, 16)
        with armed(
            "-p",
            str(process.pid),
            "-n",
            f'{COUNT} pid$target:a.out:work:entry /arg0 == 1000/ {{ printf("far\\n"); }}',
        ) as tracer:
            process.say()
            assert tracer.output.readline() == b"far\n"
            assert text_of_function(process.pid, work, 16) != before
            tracer.process.kill()
            assert tracer.end().status == -signal.SIGKILL
        assert text_of_function(process.pid, work, 16) == before
        process.say()
        assert process.end().status == 0


@pytest.mark.parametrize("probes", ["pid$target:a.out:work:entry", "pid$target:libc.so.6::entry"])
def test_target_that_had_signals_blocked_lives_on_when_dtrap_and_its_tracer_are_killed(
    triggers: Triggers, probes: str
) -> None:
    """An int3 met while SIGTRAP is blocked has the kernel forget the handler for the time after us."""
    words = ("-x", "engine=fasttrap", "-x", "tier=trap", "-n", f"{probes} {{ @ = count(); }}")
    with target([triggers.path("thread_per_byte")]) as process:
        with armed(*words, "-p", str(process.pid)) as tracing:
            process.say("\n\n")
            assert process.output.readline() == b"joined\n"
            while not signal_set(process.pid, "SigCgt:") >> signal.SIGTRAP - 1 & 1:
                pass
            (tracer,) = children_of(tracing.pid)
            tracing.process.send_signal(signal.SIGSTOP)
            os.kill(tracer, signal.SIGKILL)
            tracing.process.kill()
            tracing.end()
        for _ in range(2):
            process.say()
            assert process.output.readline() == b"joined\n"
        assert process.process.stdin is not None
        process.process.stdin.close()
        assert process.process.wait(TIMEOUT_S) == 0


def test_command_that_has_not_run_ends_with_dtrap(triggers: Triggers) -> None:
    """Clauses of BEGIN are carried out while it is held, for fasttrap by a stop signal."""
    says = 'BEGIN { system("echo $PPID; cat"); }'
    words = (
        "-wq",
        "-x",
        "engine=fasttrap",
        "-n",
        f"{says} {COUNT}",
        "-c",
        str(triggers.path("calls_forever")),
    )
    with dtrap(*words, stdin=subprocess.PIPE) as tracer:
        assert int(tracer.output.readline()) == tracer.pid
        (stopped,) = (pid for pid in children_of(tracer.pid) if procfs.comm(pid) == "calls_forever")
        descriptor = pidfd.open_process(stopped)
        assert tracer.process.stdin is not None
        tracer.process.kill()
        assert pidfd.wait_end(descriptor, TIMEOUT_S)
        os.close(descriptor)
        tracer.process.stdin.close()  # for cat, which has dtrap's standard output as well


def test_target_of_both_engines_computes_on_when_dtrap_is_killed(triggers: Triggers) -> None:
    # Of libc some functions are the kernel's and some fasttrap's: the trigger uses, and checks, both kinds.
    everything = "pid$target:a.out::entry, pid$target:libc.so.6::entry { @[probefunc] = count(); }"
    hit = 'pid$target:libc.so.6:strlen:entry /!seen/ { seen = 1; printf("hit\\n"); }'
    with target([triggers.path("endless"), "3"]) as process:
        arguments = ("-p", str(process.pid), "-n", f"int seen; {hit} {everything}")
        with armed(*arguments) as tracer:
            process.say()
            assert tracer.output.readline() == b"hit\n"
            tracer.process.kill()
            assert tracer.end().status == -signal.SIGKILL
        for _ in range(2):
            process.process.send_signal(signal.SIGUSR1)
            assert process.output.readline().startswith(b"well ")


def test_text_is_the_programs_own_again_after_a_run(triggers: Triggers) -> None:
    with target([triggers.path("calls_forever"), "-1"]) as process:
        work = address_of("work", process.pid, triggers.path("calls_forever"))
        before = text_of_function(process.pid, work, 16)
        with armed("-p", str(process.pid), "-n", COUNT) as tracer:
            assert text_of_function(process.pid, work, 16) != before
            tracer.interrupt()
            assert tracer.end().status == 0
        assert text_of_function(process.pid, work, 16) == before
        process.say("\n\n")
        assert process.end().status == 0


def address_of(function: str, pid: int, program: Path) -> int:
    """Where a position-independent program has a function in memory."""
    symbols = subprocess.run(["nm", program], capture_output=True, text=True, check=True).stdout
    offset = next(int(line.split()[0], 16) for line in symbols.splitlines() if line.split()[-1] == function)
    return min(part.start for part in procfs.mappings(pid) if part.path == str(program)) + offset


@pytest.mark.parametrize("how", ["-c", "-p"])
def test_counts_of_a_target_that_is_killed_are_not_lost(triggers: Triggers, how: str) -> None:
    command = [str(triggers.path("calls_forever")), "20000", "killed"]
    if how == "-c":
        result = run("-q", "-n", f"{COUNT} {END}", "-c", " ".join(command))
    else:
        with target(command) as process:
            with armed("-p", str(process.pid), "-n", f"{COUNT} {END}") as tracer:
                process.say()
                result = tracer.end()
            assert process.end().status == -signal.SIGKILL
    assert result.status == 0
    assert result.stdout.startswith("the end\n\n")
    assert counts(result.stdout.removeprefix("the end\n")) == {"work": 20000}


@pytest.mark.parametrize("engine", ["uprobes", "fasttrap"])
def test_signal_that_a_target_dies_of_is_named(triggers: Triggers, engine: str) -> None:
    command = f"{triggers.path('calls_forever')} 10 killed"
    result = run("-x", f"engine={engine}", "-n", f'{COUNT} BEGIN {{ printf("%d", $target); }}', "-c", command)
    target_pid = result.stdout.split("\n")[1].split()[-1]
    assert result.stderr.splitlines()[1:] == [f"dtrap: pid {target_pid} terminated by SIGKILL"]
    assert run("-q", "-n", COUNT, "-c", command).stderr == ""


def test_tracer_that_is_killed_ends_the_run_with_what_was_counted_and_is_named(triggers: Triggers) -> None:
    with target([triggers.path("calls_forever"), "-1"]) as process:
        far = 'pid$target:a.out:work:entry /arg0 == 1000/ { printf("far\\n"); }'
        with armed("-x", "engine=fasttrap", "-p", str(process.pid), "-n", f"{COUNT} {END} {far}") as tracer:
            process.say()
            assert tracer.output.readline() == b"far\n"
            os.kill(procfs.status(process.pid).tracer_pid, signal.SIGKILL)
            result = tracer.end()
        process.say()
        calls = process.end()
    assert (result.status, result.stderr) == (1, f"dtrap: {tracer_lost(process.pid)}\n")
    assert result.stdout.startswith("the end\n")
    assert 1000 < counts(result.stdout.partition("\n")[2])["work"] <= int(calls.stdout.split()[1])
    assert calls.status == 0


def test_exit_action_ends_the_run_and_leaves_an_attached_target_alone(triggers: Triggers) -> None:
    program = f"{END} pid$target:a.out:work:entry /arg0 == 10/ {{ exit(7); }}"
    with target([triggers.path("calls_forever"), "-1"]) as process:
        with armed("-p", str(process.pid), "-n", program) as tracer:
            process.say()
            result = tracer.end()
        process.say()
        assert process.end().status == 0
    assert (result.status, result.stdout) == (7, "the end\n\n")


def test_exit_in_begin_never_arms_and_never_lets_a_created_process_run(
    triggers: Triggers, tmp_path: Path
) -> None:
    touched = tmp_path / "touched"
    result = run("-q", "-n", 'BEGIN { exit(5); } END { printf("the end\\n"); }', "-c", f"touch {touched}")
    assert (result.status, result.stdout) == (5, "the end\n\n")
    assert not touched.exists()


def test_reader_that_goes_away_ends_the_run_quietly(triggers: Triggers) -> None:
    program = 'pid$target:a.out:work:entry { printf("%0200d\\n", arg0); }'
    with target([triggers.path("calls_forever"), "-1"]) as process:
        with armed("-p", str(process.pid), "-n", program) as tracer:
            process.say()
            tracer.output.readline()
            tracer.output.close()
            status = tracer.process.wait(20)
            tracer.process.stdout = open(os.devnull, "rb")  # noqa: SIM115  # so that end() has something to read
            assert (status, tracer.end().stderr) == (1, "")
        process.say()
        assert process.end().status == 0


def test_reader_that_goes_away_at_the_end_ends_the_run_quietly(triggers: Triggers) -> None:
    words = [str(DTRAP), "-q", "-n", COUNT, "-c", str(triggers.path("family"))]
    command = f"{' '.join(map(repr, words))} | true; echo ${{PIPESTATUS[0]}}"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=30, check=True)
    assert (result.stdout, result.stderr) in (("1\n", ""), ("0\n", ""))


def test_output_that_cannot_be_written_is_an_error(triggers: Triggers) -> None:
    with open("/dev/full", "wb") as full:
        result_stream = subprocess.PIPE
        with dtrap(
            "-q", "-n", 'BEGIN { printf("x\\n"); exit(0); }', stdout=full, stderr=result_stream
        ) as tracer:
            tracer.process.stdout = open(os.devnull, "rb")  # noqa: SIM115  # so that end() has something to read
            result = tracer.end()
    assert result.status == 1
    assert "No space left on device" in result.stderr
    assert "Traceback" not in result.stderr


def test_thread_that_waits_for_a_signal_with_sigtrap_blocked_outlives_both(triggers: Triggers) -> None:
    options = (
        "-x",
        "engine=fasttrap",
        "-x",
        "tier=trap",
        "-n",
        "pid$target:a.out:probed:entry { @ = count(); }",
    )
    with target([triggers.path("suspends")]) as process:
        if not watched_sites(process.pid).suspending:
            pytest.skip("this C library has no `syscall` instruction for sigsuspend alone")
        with armed("-p", str(process.pid), *options) as tracer:
            process.say()
            for number in (1, 2):
                assert process.output.readline() == b"suspended\n"
                wait_until_suspended(process.pid)
                assert not signal_set(process.pid, "SigBlk:") >> signal.SIGTRAP - 1 & 1
                if number == 2:
                    os.kill(procfs.status(process.pid).tracer_pid, signal.SIGKILL)
                    tracer.process.kill()
                    tracer.end()
                process.process.send_signal(signal.SIGUSR2)
                assert process.output.readline() == f"called {number}, set 1\n".encode()
        assert process.output.readline() == b"suspended\n"
        wait_until_suspended(process.pid)
        assert signal_set(process.pid, "SigBlk:") >> signal.SIGTRAP - 1 & 1
        process.process.send_signal(signal.SIGUSR2)
        assert process.end().status == 0


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_run_with_closed_streams_is_a_run(closed: str) -> None:
    shell = ("sh", "-c", f'exec "$0" "$@" {closed}', str(DTRAP))
    result = run("-n", 'BEGIN { printf("there"); exit(3); }', executable=shell)
    assert result.status == 3
    assert "internal error" not in result.stderr
    assert ("there" in result.stdout) == (closed == "2>&-")
