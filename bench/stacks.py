"""What a stack of ten frames costs the traced program beyond the hit: a hit that counts stacks, less a plain one."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench.hits import ns_per_call
from bench.process import BPFTRACE, DTRAP, build
from bench.results import Row

CALLS: Final = {"uprobes": 40_000, "traps": 8_000, "jumps": 400_000}
OPTIONS: Final = {
    "uprobes": "engine=uprobes",
    "traps": "engine=fasttrap -x tier=trap",
    "jumps": "engine=fasttrap -x tier=jump",
}
PEER_CALLS: Final = 40_000
ROUNDS: Final = 3

SUBJECTS: Final = {
    "ten frames": ("@[ustack(10)] = count()", "@[ustack(10)] = count()"),
    "the caller": ("@[ucaller] = count()", "@[ustack(2)] = count()"),
}


def stacks() -> Iterator[Row]:
    """Each engine, against bpftrace, which follows frame pointers; the least of a few rounds each."""
    with tempfile.TemporaryDirectory(prefix="dtrap-bench-") as folder:
        program = build("stacks", Path(folder))
        theirs = least_peer_ns(program, PEER_CALLS, "@[arg0 & 1] = count()")
        for engine, calls in CALLS.items():
            ours = least_ns(engine, program, calls, "@[arg0 & 1] = count()")
            for subject, (action, peer_action) in SUBJECTS.items():
                yield Row(
                    f"{subject} beyond the hit, {engine}",
                    "ns",
                    least_ns(engine, program, calls, action) - ours,
                    BPFTRACE,
                    least_peer_ns(program, PEER_CALLS, peer_action) - theirs,
                )


def least_ns(engine: str, program: Path, calls: int, action: str) -> float:
    """The traced program's time for a call, with this action of ours on it."""
    clause = f"pid$target:stacks:innermost:entry {{ {action}; }}"
    command = [DTRAP, "-q", "-x", *OPTIONS[engine].split(), "-n", clause, "-c", f"{program} {calls}"]
    return min(ns_per_call(command) for _ in range(ROUNDS))


def least_peer_ns(program: Path, calls: int, action: str) -> float:
    """The same with the peer."""
    command = [BPFTRACE, "-e", f"uprobe:{program}:innermost {{ {action}; }}", "-c", f"{program} {calls}"]
    return min(ns_per_call(command) for _ in range(ROUNDS))
