"""A few rounds of the soak: in each phase of a trace dtrap is killed, or its tracer, or both; the target lives on."""

import random

import pytest

from tests.fasttrap.tracing import tell_go, trigger
from tests.harness.triggers import Triggers
from tests.soak.rounds import PLANS, survive, target_of

ROUNDS = {"traps": 3, "jumps": 1}
"""Of each plan."""


@pytest.mark.timeout(200)
@pytest.mark.parametrize("tier", ROUNDS)
def test_target_outlives_whoever_of_its_tracers_is_killed_in_each_phase(
    triggers: Triggers, tier: str
) -> None:
    chance = random.Random(16)
    program = triggers.path("endless")
    with trigger(program, "2") as process:
        tell_go(process)
        target = target_of(process, program, jumps=tier == "jumps")
        for victim, phase in PLANS * ROUNDS[tier]:
            survive(target, victim, phase, chance)
