"""Processes for the tests of this folder: targets that wait for a word, and dtraps that say when they are armed.

Unlike the harness's runs these use all processors, and several of them can be under way at once. Everything started
here is ended here, by its pid.
"""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from backend.fasttrap.tracee import signal_set
from tests.harness.command import DTRAP, Run, environment, text_of
from tests.harness.triggers import WAIT

TIMEOUT_S: Final = 40.0
ARMED: Final = 'BEGIN { printf("armed\\n"); }'
"""A program to run beside the others with -q: its output is shown once all probes are in place."""


@dataclass(slots=True)
class Running:
    """A process that was started; `errors` collects its standard error in the background, so that it never waits."""

    process: subprocess.Popen[bytes]
    _errors: list[bytes] = field(default_factory=list)
    _reader: threading.Thread | None = None

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def output(self) -> IO[bytes]:
        assert self.process.stdout is not None
        return self.process.stdout

    def collect_errors(self) -> None:
        stream = self.process.stderr
        assert stream is not None
        self._reader = threading.Thread(target=lambda: self._errors.append(stream.read()))
        self._reader.start()

    def say(self, text: str = "\n") -> None:
        """Write to the process's standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def end(self) -> Run:
        """Wait for the end, and return what was printed since the last read and the exit status."""
        stdout = self.output.read()
        status = self.process.wait(TIMEOUT_S)
        if self._reader:
            self._reader.join()
        return Run(status, text_of(stdout), text_of(b"".join(self._errors)))


@contextmanager
def target(command: Sequence[str | Path], *, ready: bytes = b"ready\n") -> Iterator[Running]:
    """Start a program that prints `ready` and waits; `say()` lets it go on. Killed at the end if it is still there."""
    process = subprocess.Popen(
        [str(word) for word in command],
        env=environment(**WAIT),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process, _killed(process):
        running = Running(process)
        line = running.output.readline()
        assert line == ready, f"{command[0]} said {line!r}"
        yield running


@contextmanager
def dtrap(
    *arguments: str | Path, executable: Sequence[str] = (str(DTRAP),), **popen: object
) -> Iterator[Running]:
    """Start dtrap, with pipes for its streams; `popen` goes to Popen. Killed at the end if it is still there."""
    options: dict[str, object] = {
        "env": environment(),
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
    }
    words = [*executable, *(str(argument) for argument in arguments)]
    process = subprocess.Popen(words, **(options | popen))  # type: ignore[call-overload]
    with process, _killed(process):
        running = Running(process)
        if process.stderr is not None:
            running.collect_errors()
        yield running


@contextmanager
def armed(
    *arguments: str | Path, executable: Sequence[str] = (str(DTRAP),), **popen: object
) -> Iterator[Running]:
    """Start dtrap -q with these arguments and one more program, and wait until all probes are in place."""
    with dtrap("-q", *arguments, "-n", ARMED, executable=executable, **popen) as running:
        line = running.output.readline()
        assert line == b"armed\n", f"dtrap said {text_of(line)}, {running.end()}"
        yield running


@contextmanager
def _killed(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Kill the process at the end of the block, or when it takes too long: that ends the reads of the block."""
    timer = threading.Timer(TIMEOUT_S, process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        process.kill()


def run(*arguments: str | Path, executable: Sequence[str] = (str(DTRAP),), **popen: object) -> Run:
    """Run dtrap to its end."""
    with dtrap(*arguments, executable=executable, **popen) as running:
        return running.end()


def counts(text: str) -> dict[str, int]:
    """Return the values of an aggregation's printed entries by their keys, each one's words joined by a blank."""
    entries = [line.rsplit(None, 1) for line in text.splitlines() if line.strip()]
    return {" ".join(key.split()): int(value) for key, value in entries}


def children_of(pid: int) -> list[int]:
    """Return the children of a process of one thread."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def text_of_function(pid: int, address: int, size: int) -> bytes:
    """Return what a process has in memory."""
    descriptor = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
    try:
        return os.pread(descriptor, size, address)
    finally:
        os.close(descriptor)


def wait_until_suspended(pid: int) -> None:
    """Wait until a thread is in sigsuspend() with nearly all signals blocked."""
    while not signal_set(pid, "SigBlk:") >> signal.SIGUSR1 - 1 & 1:
        time.sleep(0.001)


def trace(
    command: Sequence[str | Path],
    program: str,
    *flags: str,
    executable: Sequence[str] = (str(DTRAP),),
) -> Run:
    """Trace a target, taken where it waits, to its end, which must be a good one; return what dtrap left."""
    arguments = (*flags, "-n", program, "-p")
    with target(command) as process, armed(*arguments, str(process.pid), executable=executable) as tracer:
        process.say()
        result = tracer.end()
        assert process.end().status == 0
    return result
