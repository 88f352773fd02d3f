"""A few rounds of the soak: in each phase of a trace dtrap is killed, and the target does not notice."""

import random

import pytest

from tests.fasttrap.tracing import tell_go, trigger
from tests.harness.triggers import Triggers
from tests.soak.rounds import PLANS, Victim, survive, target_of

ROUNDS = 100


@pytest.mark.timeout(200)
def test_target_outlives_dtrap_killed_in_each_phase(triggers: Triggers) -> None:
    chance = random.Random(16)
    program = triggers.path("endless")
    with trigger(program, "2") as process:
        tell_go(process)
        target = target_of(process, program)
        phases = [phase for victim, phase in PLANS if victim is Victim.DTRAP]
        for number in range(ROUNDS):
            survive(target, Victim.DTRAP, phases[number % len(phases)], chance)
