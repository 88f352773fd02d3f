"""Signals, faults and interrupted system calls of a traced program are what they are without us."""

from pathlib import Path

import pytest

from tests.fasttrap.tracing import traced
from tests.harness.triggers import Triggers
from tests.integration.running import run

STORMED = ["first_push", "first_ret", "first_jmp", "first_rep", "first_call"]


@pytest.mark.parametrize("frequency", [100, 2000])
def test_calls_from_handlers_and_from_what_they_interrupt_are_counted_exactly(
    triggers: Triggers, frequency: int
) -> None:
    functions = [*STORMED, "inner_rep"]
    with traced(triggers.path("signal_storm"), functions, str(frequency), "1000") as run:
        main_calls, handler_calls, strange = map(int, run.finish().split())
        assert strange == 0
        assert handler_calls > 0
        assert run.tracing.hits == dict.fromkeys(functions, main_calls + handler_calls)


def test_fault_of_a_displaced_instruction_is_reported_at_its_site_and_counts_once(triggers: Triggers) -> None:
    functions = ["reads", "reads_never", "reads_late", "reads_far", "divides", "undefined"]
    with traced(triggers.path("faults"), functions) as run:
        assert run.finish() == (
            "reads 1 pc right address right\n"
            "reads_never 3 pc right address right\n"
            "reads_late 1 pc right address right\n"
            "reads_far 1 pc right address right\n"
            "divides 1 pc right address right\n"
            "undefined 3 pc right address right\n"
        )
        assert run.tracing.hits == {
            "reads": 1,
            "reads_never": 3,
            "reads_late": 3,
            "reads_far": 1,
            "divides": 1,
            "undefined": 3,
        }


def test_displaced_system_call_restarts_or_is_interrupted_as_the_handler_says(triggers: Triggers) -> None:
    with traced(triggers.path("restarts"), ["probed"]) as run:
        assert run.finish() == "1 1 1 -4 -4 -4 strange 0\n"
        assert run.tracing.hits == {"probed": 6}


def test_return_that_was_hit_is_carried_out_before_a_handler_runs(triggers: Triggers, tmp_path: Path) -> None:
    # The handler of a Go program has the goroutine go on in another thread: coming back would be another hit.
    program, counted = "pid$target:a.out:only_ret:return { @ = count(); }", tmp_path / "counted"
    command = str(triggers.path("steps_over"))
    options = ("-q", "-x", "engine=fasttrap", "-x", "tier=trap")
    result = run(*options, "-n", program, "-o", counted, "-c", command)
    met, signals = map(int, result.stdout.split())
    # Those that the signal met before they were executed at all are the handler's.
    assert 60000 - met <= int(counted.read_text()) <= 60000, result
    assert met * 10 < signals


def test_refused_system_call_is_said_to_have_been_made_at_its_site(triggers: Triggers) -> None:
    with traced(triggers.path("refused_call"), ["probed"]) as run:
        assert run.finish() == "42 right\n"
        assert run.tracing.hits == {"probed": 1}
