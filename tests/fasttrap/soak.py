"""`make soak`: kill dtrap with SIGKILL at ten thousand moments; its target must live on each time.

python -m tests.fasttrap.soak [KILLS [SEED]]
"""

import sys
import tempfile
from pathlib import Path

from tests.fasttrap.test_kill import kill_dtrap_again_and_again
from tests.harness.triggers import Triggers

KILLS = 10_000
REPORT_EVERY = 100


def main(arguments: list[str]) -> None:
    """Run until all is done or a target has died, which raises AssertionError."""
    kills = int(arguments[0]) if arguments else KILLS
    seed = int(arguments[1]) if len(arguments) > 1 else 0
    with tempfile.TemporaryDirectory() as folder:
        program = Triggers(Path(folder)).path("endless")
        for lived in kill_dtrap_again_and_again(program, kills, seed):
            if lived % REPORT_EVERY == 0 or lived == kills:
                print(f"killed {lived} times, lived on {lived} times", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
