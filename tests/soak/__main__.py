"""`python -m tests.soak [--jumps] [ROUNDS [SEED]]`: kill dtrap, its tracer, or both at a random moment, ROUNDS times
or until interrupted.

Stops at the first harm done to the target, which is kept alive (or dead) for a look; prints the seed that
repeats the plan of the rounds, though not their timing.
"""

import os
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Final

from tests.fasttrap.tracing import tell_go, trigger
from tests.harness.triggers import Triggers
from tests.soak.rounds import PLANS, TargetHarmed, survive, target_of

ROUNDS: Final = 10_000
EVERY: Final = 100
"""Rounds between two lines of progress."""
SAME_TARGET: Final = 200
"""Rounds that one program goes through. Each leaves scratch memory behind, which no process meets so often."""
NICENESSES: Final = (0, 5, 10)
"""How much less than the tracing side a program gets of a busy machine."""


def main(arguments: list[str]) -> int:
    """Do the rounds; 1 as soon as the target is harmed."""
    jumps = arguments[:1] == ["--jumps"]
    arguments = arguments[jumps:]
    rounds = int(arguments[0]) if arguments else ROUNDS
    seed = int(arguments[1]) if len(arguments) > 1 else random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}", flush=True)
    chance = random.Random(seed)
    hits: Counter[str] = Counter()
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="dtrap-soak-") as folder:
        program = Triggers(Path(folder)).path("endless")
        done = 0
        while done < rounds:
            own_handler = chance.choice((["own"], []))
            with trigger(program, str(chance.choice((1, 2, 4))), *own_handler) as process:
                os.setpriority(os.PRIO_PROCESS, process.pid, chance.choice(NICENESSES))
                tell_go(process)
                target = target_of(process, program, jumps=jumps)
                for _ in range(min(SAME_TARGET, rounds - done)):
                    victim, phase = chance.choice(PLANS)
                    try:
                        hit = survive(target, victim, phase, chance)
                    except TargetHarmed as harmed:
                        print(f"round {done + 1}, seed {seed}, pid {process.pid}: {victim.name} killed while")
                        print(f"{phase.name}: {harmed.what}", flush=True)
                        return 1
                    hits[f"{victim.name.lower()} {hit.name.lower()}"] += 1
                    done += 1
                    if done % EVERY == 0:
                        shown = ", ".join(f"{name} {count}" for name, count in sorted(hits.items()))
                        print(f"{done} rounds in {time.monotonic() - start:.0f} s: {shown}", flush=True)
    print(f"the target lived on, its text in order, {done} times of {done}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
