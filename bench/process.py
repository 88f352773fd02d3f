"""Start commands and take their time and memory from outside, as a user would feel them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

DTRAP: Final = str(Path(sys.executable).parent / "dtrap")
BPFTRACE: Final = "bpftrace"
HERE: Final = Path(__file__).parent


class CommandFailed(Exception):
    """A measured command did not do its work: what it was, and what it said."""

    def __init__(self, command: Sequence[str], said: str) -> None:
        super().__init__(f"{' '.join(command)}\n{said}")
        self.command = command
        self.said = said


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run of a command took: wall time in milliseconds, peak resident memory in MiB."""

    wall_ms: float
    peak_mib: float


def environment() -> Mapping[str, str]:
    """Ours, with bpftrace's limit on probes out of the way."""
    return os.environ | {"BPFTRACE_MAX_PROBES": "100000"}


def cost_of(command: Sequence[str]) -> Cost:
    """Run a command to its end, its output thrown away. Raises CommandFailed unless it ends with status 0."""
    start = time.perf_counter()
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(),
    )
    _, status, usage = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise CommandFailed(command, f"exit status {process.returncode}")
    return Cost(wall_s * 1e3, usage.ru_maxrss / 1024)


def printed_by(command: Sequence[str]) -> str:
    """Run a command to its end and return its standard output. Raises CommandFailed."""
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, env=environment()
    )
    if done.returncode != 0:
        raise CommandFailed(command, done.stderr)
    return done.stdout


def armed_and_left(command: Sequence[str]) -> tuple[float, float]:
    """Milliseconds from start to the first line printed (the program's BEGIN), and from ^C to the end.

    Raises CommandFailed where nothing was printed.
    """
    start = time.perf_counter()
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        while line and b"armed" not in line:
            line = process.stdout.readline()
        armed = time.perf_counter()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate()
        left = time.perf_counter()
    if b"armed" not in line:
        raise CommandFailed(command, errors.decode("utf-8", "backslashreplace"))
    return (armed - start) * 1e3, (left - armed) * 1e3


@contextmanager
def idle_process() -> Iterator[int]:
    """A process that has libc mapped and sleeps: its pid. It ends with the block."""
    with subprocess.Popen(["sleep", "infinity"]) as process:
        try:
            yield process.pid
        finally:
            process.kill()


def build(name: str, folder: Path, *flags: str) -> Path:
    """Compile bench/NAME.c into a folder; return the executable."""
    executable = folder / name
    subprocess.run(
        ["gcc", "-O1", "-pthread", *flags, "-o", str(executable), str(HERE / f"{name}.c")], check=True
    )
    return executable
