"""What clauses learn of time and of who they run in, against what the machine itself says."""

import os
import time

import pytest

from tests.harness.triggers import Triggers
from tests.integration.running import armed, run, target

pytestmark = pytest.mark.requires_uprobes

MARKS = (
    'pid$target:a.out:mark:entry { printf("%d %d %d %d\\n", arg0, timestamp, walltimestamp, vtimestamp); }'
)
SPIN_NS, SLEEP_NS = 30_000_000, 100_000_000
"""As in tests/triggers/clocks.c."""


def marks(text: str) -> list[tuple[int, int, int, int]]:
    """Thread's own time, timestamp, walltimestamp and vtimestamp at the three marks, in nanoseconds."""
    rows = [tuple(map(int, line.split())) for line in text.splitlines() if line.count(" ") == 3]
    assert len(rows) == 3, text
    return [(cpu, now, wall, virtual) for cpu, now, wall, virtual in rows]


def test_virtual_time_runs_while_the_thread_does_and_stands_still_while_it_sleeps(triggers: Triggers) -> None:
    start, spun, slept = marks(run("-q", "-n", MARKS, "-c", str(triggers.path("clocks"))).stdout)
    # The scheduler's own account of the thread, by the thread, is right to a few microseconds.
    assert abs((spun[3] - start[3]) - (spun[0] - start[0])) < SPIN_NS // 10
    assert slept[1] - spun[1] >= SLEEP_NS
    assert slept[3] - spun[3] <= (slept[1] - spun[1]) - SLEEP_NS
    assert start[3] <= spun[3] <= slept[3]


def test_timestamps_are_the_machines_clocks(triggers: Triggers) -> None:
    before = time.monotonic_ns(), time.time_ns()
    found = marks(run("-q", "-n", MARKS, "-c", str(triggers.path("clocks"))).stdout)
    after = time.monotonic_ns(), time.time_ns()
    for _, now, wall, _ in found:
        assert before[0] <= now <= after[0]
        # The offset between the two clocks is looked at once a second.
        assert before[1] - 10_000_000 <= wall <= after[1] + 10_000_000


def test_a_clause_knows_its_process_its_parent_and_its_user(triggers: Triggers) -> None:
    program = """self int seen;
        pid$target:a.out:work:entry /!self->seen/ {
            self->seen = 1;
            printf("%d %d %d %d %d %s\\n", pid, tid, ppid, uid, gid, execname);
        }"""
    with (
        target(
            [
                "setpriv",
                "--reuid=4711",
                "--regid=4712",
                "--clear-groups",
                triggers.path("calls_forever"),
                "10",
            ]
        ) as process,
        armed("-p", str(process.pid), "-n", program) as tracer,
    ):
        process.say()
        result = tracer.end()
    who = f"{process.pid} {process.pid} {os.getpid()} 4711 4712 calls_forever"
    assert result.stdout.splitlines()[0] == who, result


def test_begin_and_end_run_in_the_tracer() -> None:
    program = 'BEGIN { printf("%d %d\\n", pid == $pid, ppid == $ppid); exit(0); } END { printf("%d\\n", pid == $pid); }'
    assert run("-q", "-n", program).stdout == "1 1\n1\n\n"
