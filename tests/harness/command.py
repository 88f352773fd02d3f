"""Run the installed dtrap command as a user would, under conditions that do not vary; keep what it printed.

One processor for the tracer and everything it starts, so that rows come in one order; UTC; the C locale; no
standard input. Hands its result to the test modules; knows nothing of cases or masks.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

DTRAP: Final = Path(sys.executable).parent / "dtrap"

SERVED_BY: Final[Mapping[str, tuple[str, ...]]] = {
    "uprobes": ("-x", "engine=uprobes"),
    "traps": ("-x", "engine=fasttrap", "-x", "tier=trap"),
    "jumps": ("-x", "engine=fasttrap"),
    "auto": (),
}
"""The ways in which probes are served, and the options that ask for each."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one run left: the exit status (negative: killed by that signal) and both streams."""

    status: int
    stdout: str
    stderr: str


def one_processor() -> list[str]:
    """Words in front of a command that keep it, and its children, on the first processor that we may use."""
    return ["taskset", "-c", str(min(os.sched_getaffinity(0)))]


def environment(**extra: str) -> dict[str, str]:
    """The environment of every run: ours without DTrace's own variables, in UTC and the C locale."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("DTRACE_", "_DTRACE"))
    }
    return inherited | {"TZ": "UTC", "LC_ALL": "C", "PYTHONWARNINGS": "error"} | extra


def run_dtrap(arguments: Sequence[str], directory: Path, timeout_s: float = 60.0) -> Run:
    """Run dtrap in `directory` to its end. Raises TimeoutExpired, with what was printed until then.

    At the timeout dtrap and what it started are killed.
    """
    with start_dtrap(arguments, directory) as dtrap:
        try:
            stdout, stderr = dtrap.communicate(timeout=timeout_s)
        except BaseException:
            kill_group(dtrap)
            raise
    return Run(dtrap.returncode, text_of(stdout), text_of(stderr))


def start_dtrap(arguments: Sequence[str], directory: Path) -> subprocess.Popen[bytes]:
    """Start dtrap in `directory`, in a process group of its own, with pipes for both streams."""
    return subprocess.Popen(
        [*one_processor(), str(DTRAP), *arguments],
        cwd=directory,
        env=environment(),
        process_group=0,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def kill_group(leader: subprocess.Popen[bytes]) -> None:
    """Kill a process that leads a group of its own, and its children: any of them would hold our pipes."""
    with suppress(ProcessLookupError):
        os.killpg(leader.pid, signal.SIGKILL)


def text_of(printed: bytes) -> str:
    """Text of what was printed, any byte: what is not UTF-8 shows as an escape."""
    return printed.decode("utf-8", "backslashreplace")
