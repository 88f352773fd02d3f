"""Containers, made with unshare: the target, or dtrap, in other namespaces of processes and of mounts."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.harness.command import DTRAP
from tests.harness.triggers import Triggers
from tests.integration.running import Running, armed, children_of, counts, run, target

pytestmark = pytest.mark.requires_uprobes

COUNT = "pid$target:a.out:work:entry { @[probefunc] = count(); }"
WHO = "pid$target:a.out:work:entry { @who[pid == $target, tid == $target, execname] = count(); }"


@contextmanager
def contained(*command: str | Path, flags: str) -> Iterator[tuple[Running, int]]:
    """Start a program by unshare with these flags; yield what answers for it, and its own pid as we see it."""
    with target(["unshare", *flags.split(), *command]) as process:
        # With --fork unshare waits for the program; --kill-child ends both together.
        (pid,) = children_of(process.pid) or [process.pid]
        yield process, pid


def test_target_in_another_pid_namespace_is_counted(triggers: Triggers) -> None:
    flags = "--pid --fork --kill-child"
    with contained(triggers.path("family"), flags=flags) as (process, pid):
        assert os.stat(f"/proc/{pid}/ns/pid").st_ino != os.stat("/proc/self/ns/pid").st_ino
        with armed("-p", str(pid), "-n", COUNT, "-n", WHO) as tracer:
            process.say()
            result = tracer.end()
        assert process.end().status == 0
    assert counts(result.stdout)["work"] == 3
    # pid and tid are told as the tracer numbers them.
    assert counts(result.stdout)["1 1 family"] == 3, result


def test_target_whose_file_is_only_in_its_own_mount_namespace_is_counted(
    triggers: Triggers, tmp_path: Path
) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    script = (
        f"mount -t tmpfs none {hidden}; cp {triggers.path('family')} {hidden}/inside; exec {hidden}/inside"
    )
    with contained("sh", "-c", script, flags="--mount") as (process, pid):
        assert not (hidden / "inside").exists()
        with armed("-p", str(pid), "-n", COUNT) as tracer:
            process.say()
            result = tracer.end()
        assert process.end().status == 0
    assert counts(result.stdout) == {"work": 3}


def test_file_that_was_replaced_on_disk_is_still_the_one_that_is_traced(
    triggers: Triggers, tmp_path: Path
) -> None:
    program, other = tmp_path / "program", tmp_path / "other"
    program.write_bytes(triggers.path("family").read_bytes())
    program.chmod(0o755)
    other.write_bytes(triggers.path("calls").read_bytes())
    with target([program]) as process:
        other.rename(program)
        with armed("-p", str(process.pid), "-n", COUNT) as tracer:
            process.say()
            result = tracer.end()
    assert counts(result.stdout) == {"work": 3}


INSIDE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child", str(DTRAP))


def test_dtrap_inside_a_container_traces_what_it_starts(triggers: Triggers) -> None:
    result = run("-q", "-n", COUNT, "-n", WHO, "-c", str(triggers.path("family")), executable=INSIDE)
    found = counts(result.stdout)
    assert (found["work"], found["1 1 family"]) == (3, 3), result


def test_dtrap_inside_a_container_traces_a_process_by_its_number_there(
    triggers: Triggers, tmp_path: Path
) -> None:
    # The target gets its word through a named pipe, when dtrap's BEGIN has said that it is armed.
    go = tmp_path / "go"
    os.mkfifo(go)
    program = f'{COUNT} BEGIN {{ printf("armed\\n"); }}'
    script = f"""
        exec 3<>{go}
        TRIGGER_WAIT=1 {triggers.path("family")} <&3 >/dev/null &
        {DTRAP} -q -n '{program}' -p $! | {{ read armed; echo >&3; cat; }}
        wait
    """
    result = subprocess.run(
        ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "bash", "-c", script],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert counts(result.stdout) == {"work": 3}, result
