"""A function for each first instruction that is hard to execute out of line: right results and exact counts.

The trigger checks its results itself, and says how often each first instruction was executed.
"""

from pathlib import Path

import pytest

from tests.differential.engines import ENGINES, counted
from tests.harness.command import SERVED_BY
from tests.harness.triggers import Triggers
from tests.integration.running import armed, counts, target

pytestmark = pytest.mark.requires_uprobes

PROGRAM = "pid$target:a.out:first_*:entry { @[probefunc] = count(); }"

LEFT_TO_FASTTRAP = {
    "first_data16",
    "first_evex",
    "first_halt",
    "first_lock_cmpxchg",
    "first_lock_dec",
    "first_lock_xadd",
    "first_notrack_jmp",
    "first_pushf",
    "first_rep_movs",
    "first_rep_nothing",
    "first_rep_stos",
    "first_rip_lock",
    "first_syscall",
    "first_vex_compare",
    "first_vex_rip",
    "first_vex_store",
    "first_vex_zero",
}
"""What the kernel refuses or executes wrongly."""

REFUSED = {
    "uprobes": LEFT_TO_FASTTRAP | {"first_int3"},
    "traps": {"first_int3"},
    "jumps": {"first_int3"},
    "auto": {"first_int3"},
}
"""The program's own int3 is left alone by all."""


def of_the_program(printed: str) -> dict[str, int]:
    """What the trigger printed: each first instruction's executions. All results must have been right."""
    lines = printed.splitlines()
    assert lines.pop() == "wrong 0"
    return counts("\n".join(lines))


@pytest.mark.parametrize(("threads", "rounds"), [(1, 100), (8, 50)])
@pytest.mark.parametrize("engine", ENGINES)
def test_each_first_instruction_is_counted_exactly_and_does_what_it_does_untraced(
    engine: str, threads: int, rounds: int, triggers: Triggers, tmp_path: Path
) -> None:
    command = [str(triggers.path("awkward")), str(threads), str(rounds)]
    found = counted(engine, PROGRAM, command, tmp_path)
    executed = of_the_program(found.printed)
    assert found.left_out == REFUSED[engine]
    assert found.counts == {name: count for name, count in executed.items() if name not in REFUSED[engine]}


@pytest.mark.parametrize("engine", ENGINES)
def test_the_same_in_a_process_that_runs_already(engine: str, triggers: Triggers) -> None:
    with (
        target([triggers.path("awkward"), "4", "25"]) as process,
        armed(*SERVED_BY[engine], "-n", PROGRAM, "-p", str(process.pid)) as tracer,
    ):
        process.say()
        found = counts(tracer.end().stdout)
        result = process.end()
    assert result.status == 0
    assert found == {
        name: count for name, count in of_the_program(result.stdout).items() if name not in REFUSED[engine]
    }


@pytest.mark.parametrize("engine", ENGINES)
def test_tracing_that_ends_in_the_midst_of_faults_changes_no_result(engine: str, triggers: Triggers) -> None:
    # With one function probed, faults are nearly all that stops the program; with all of them, copies are left too.
    for threads, probed in ((1, "first_ret"), (1, "first_ret"), (4, "first_*")):
        program = f"""int n;
            pid$target:a.out:{probed}:entry {{ n++; }}
            pid$target:a.out:first_ret:entry /n > 20/ {{ exit(0); }}"""
        with (
            target([triggers.path("awkward"), str(threads), "200"]) as process,
            armed(*SERVED_BY[engine], "-n", program, "-p", str(process.pid)) as tracer,
        ):
            process.say()
            assert tracer.end().status == 0
            result = process.end()
        assert result.status == 0, result
        of_the_program(result.stdout)
