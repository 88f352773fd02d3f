"""A process whose only thread waits for a child of vfork, and stops for nobody until that is over; and children in its
memory that dtrap can't trace.
"""

from pathlib import Path

import pytest

from dlang.notices import disarmed
from tests.harness.triggers import Triggers
from tests.integration.running import armed, counts, dtrap, run, target

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
            result = tracing.end()
        assert (result.status, counts(result.stdout), result.stderr) == (0, {"work": 3}, "")
        assert process.output.read() == b"done\n"


def test_where_the_child_does_not_that_is_said_and_the_process_goes_on(triggers: Triggers) -> None:
    with target([triggers.path("waits_in_vfork")]) as process:
        with dtrap(*FASTTRAP, "-n", PROGRAM, "-p", str(process.pid)) as tracing:
            result = tracing.end()
        assert result.status == 1
        assert "all its threads wait for children of vfork" in result.stderr
        process.say()
        assert process.output.read() == b"done\n"
        assert process.process.wait() == 0


PROBED = "pid$target:a.out:probed:entry { @[probefunc] = count(); }"


def test_an_untraceable_child_takes_the_traps_away_and_that_is_said(triggers: Triggers) -> None:
    with target([triggers.path("untraced_child")]) as process:
        with armed(*FASTTRAP[1:], "-x", "tier=trap", "-n", PROBED, "-p", str(process.pid)) as tracing:
            process.say()
            assert process.output.readline() == b"child 4\n"
            tracing.interrupt()
            result = tracing.end()
        assert (result.status, counts(result.stdout), result.stderr) == (
            0,
            {"probed": 1},
            f"dtrap: {disarmed()}\n",
        )
        process.say()
        assert process.process.wait() == 0


def test_jumps_count_on_with_an_untraceable_child_and_count_its_calls(triggers: Triggers) -> None:
    with target([triggers.path("untraced_child")]) as process:
        with armed(*FASTTRAP[1:], "-x", "tier=jump", "-n", PROBED, "-p", str(process.pid)) as tracing:
            process.say()
            assert process.output.readline() == b"child 4\n"
            process.say()
            result = tracing.end()
        assert (result.status, counts(result.stdout), result.stderr) == (0, {"probed": 3}, "")


def test_a_child_that_waits_in_the_memory_for_its_tracer_ends_the_service_of_traps(
    triggers: Triggers,
) -> None:
    command = f"{triggers.path('traces_child')} stops"
    result = run(*FASTTRAP, "-x", "tier=trap", "-n", PROBED, "-c", command)
    assert (result.status, result.stderr) == (0, f"dtrap: {disarmed()}\n")
    lines = result.stdout.splitlines()
    assert lines[:9] == ["stopped by 19", "stopped by 5", "exited 7"] * 3
    assert counts("\n".join(lines[10:])).get("probed", 0) <= int(lines[9].split()[1])
