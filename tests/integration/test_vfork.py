"""A process whose only thread waits for a child of vfork, and stops for nobody until that is over."""

from pathlib import Path

import pytest

from tests.harness.triggers import Triggers
from tests.integration.running import counts, dtrap, target

FASTTRAP = ("-q", "-x", "engine=fasttrap")
PROGRAM = "pid$target:a.out:work:entry { @[probefunc] = count(); }"


def _tracer_of(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("TracerPid:"):
            return int(line.split()[1])
    return 0


@pytest.mark.parametrize("tier", ["trap", "auto"])
def test_it_is_traced_when_the_child_has_let_it_go(triggers: Triggers, tier: str) -> None:
    with target([triggers.path("waits_in_vfork")]) as process:
        with dtrap(*FASTTRAP, "-x", f"tier={tier}", "-n", PROGRAM, "-p", str(process.pid)) as tracing:
            while not _tracer_of(process.pid) and tracing.process.poll() is None:
                pass
            process.say()
            run = tracing.end()
        assert (run.status, counts(run.stdout), run.stderr) == (0, {"work": 3}, "")
        assert process.output.read() == b"done\n"


def test_where_the_child_does_not_that_is_said_and_the_process_goes_on(triggers: Triggers) -> None:
    with target([triggers.path("waits_in_vfork")]) as process:
        with dtrap(*FASTTRAP, "-n", PROGRAM, "-p", str(process.pid)) as tracing:
            run = tracing.end()
        assert run.status == 1
        assert "all its threads wait for children of vfork" in run.stderr
        process.say()
        assert process.output.read() == b"done\n"
        assert process.process.wait() == 0
