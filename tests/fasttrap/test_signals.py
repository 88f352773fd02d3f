"""Signals, faults and interrupted system calls of a traced program are what they are without us."""

import pytest

from tests.fasttrap.tracing import traced
from tests.harness.triggers import Triggers

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
    functions = ["reads", "reads_far", "divides", "undefined"]
    with traced(triggers.path("faults"), functions) as run:
        assert run.finish() == (
            "reads 1 pc right address right\n"
            "reads_far 1 pc right address right\n"
            "divides 1 pc right address right\n"
            "undefined 3 pc right address right\n"
        )
        assert run.tracing.hits == {"reads": 1, "reads_far": 1, "divides": 1, "undefined": 3}


def test_displaced_system_call_restarts_or_is_interrupted_as_the_handler_says(triggers: Triggers) -> None:
    with traced(triggers.path("restarts"), ["probed"]) as run:
        assert run.finish() == "1 1 1 -4 -4 -4 \n"
        assert run.tracing.hits == {"probed": 6}
