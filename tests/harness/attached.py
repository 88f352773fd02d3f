"""Run dtrap on a trigger that runs already, without a race: the trigger waits until dtrap is armed.

A program's BEGIN output is printed by the loop that dtrap enters after arming, so the first line it prints is
the sign. Hands a Run to tests/runtime; the trigger is ours and is killed, by its pid, if anything goes wrong.
"""

import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from subprocess import TimeoutExpired
from typing import IO

from tests.harness import triggers
from tests.harness.command import Run, environment, kill_group, one_processor, start_dtrap, text_of


def run_attached(
    before: Sequence[str], after: Sequence[str], trigger: Sequence[str], directory: Path, timeout_s: float
) -> Run:
    """Start `trigger`, attach `dtrap BEFORE -p PID AFTER` to it, let it go on; return what dtrap printed.

    Raises TimeoutExpired with what dtrap printed on standard output until then.
    """
    with _waiting(trigger, directory) as target:
        dtrap = start_dtrap([*before, "-p", str(target.pid), *after], directory)
        assert dtrap.stdout is not None
        with dtrap, _killed_after(dtrap, timeout_s) as killed, _collected(dtrap.stderr) as errors:
            first = dtrap.stdout.readline()
            _let_go(target)
            printed = first + dtrap.stdout.read()
        if killed:
            raise TimeoutExpired(dtrap.args, timeout_s, printed, b"".join(errors))
        return Run(dtrap.returncode, text_of(printed), text_of(b"".join(errors)))


@contextmanager
def _waiting(command: Sequence[str], directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A trigger that has said it is ready; killed at the end if it is still there."""
    with subprocess.Popen(
        [*one_processor(), *command],
        cwd=directory,
        env=environment(**triggers.WAIT),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as target:
        assert target.stdout is not None
        try:
            line = target.stdout.readline()
            assert line == b"ready\n", f"{command[0]} said {line!r}: does it call wait_for_go()?"
            yield target
        finally:
            target.kill()


def _let_go(target: subprocess.Popen[bytes]) -> None:
    assert target.stdin is not None
    target.stdin.write(b"\n")
    target.stdin.flush()


@contextmanager
def _killed_after(process: subprocess.Popen[bytes], timeout_s: float) -> Iterator[list[bool]]:
    """Kill the process, and its children, if the block fails or takes too long; the list is then true.

    That ends the reads that the block waits in.
    """
    killed: list[bool] = []

    def kill() -> None:
        killed.append(True)
        kill_group(process)

    timer = threading.Timer(timeout_s, kill)
    timer.start()
    try:
        yield killed
    except BaseException:
        kill_group(process)
        raise
    finally:
        timer.cancel()
        timer.join()


@contextmanager
def _collected(stream: IO[bytes] | None) -> Iterator[list[bytes]]:
    """Read a stream to its end beside the block, so that its writer never waits; whole after the block."""
    assert stream is not None
    pieces: list[bytes] = []
    reader = threading.Thread(target=lambda: pieces.append(stream.read()))
    reader.start()
    try:
        yield pieces
    finally:
        reader.join()
