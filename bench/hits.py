"""What one hit costs the traced program: its own time per call, traced, less the same call's untraced."""

import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from bench.process import BPFTRACE, DTRAP, CommandFailed, build, printed_by
from bench.results import Row

CALLS: Final = 100_000
ROUNDS: Final = 5

FUNCTIONS: Final = {
    "push_first": "an emulated first instruction",
    "mov_then_push": "a single-stepped first instruction, an emulated one behind it",
    "mov_first": "a single-stepped first instruction",
}

# Our action and the peer's for the same question.
ACTIONS: Final = {
    "@[probefunc] = count()": "@ = count()",
    "@ = quantize(arg0)": "@ = hist(arg0)",
}


def hits() -> Iterator[Row]:
    """Each action on each function, against bpftrace; the least of a few alternating rounds."""
    with tempfile.TemporaryDirectory(prefix="dtrap-bench-") as folder:
        program = build("calls", Path(folder))
        for function, kind in FUNCTIONS.items():
            command = f"{program} {function} {CALLS}"
            for action, peer_action in ACTIONS.items():
                ours, theirs, untraced = [], [], []
                clause = f"pid$target:calls:{function}:entry {{ {action}; }}"
                peer_clause = f"uprobe:{program}:{function} {{ {peer_action}; }}"
                for _ in range(ROUNDS):
                    untraced.append(ns_per_call([str(program), function, str(CALLS)]))
                    ours.append(ns_per_call([DTRAP, "-q", "-n", clause, "-c", command]))
                    theirs.append(ns_per_call([BPFTRACE, "-e", peer_clause, "-c", command]))
                base = min(untraced)
                yield Row(f"{action}: {kind}", "ns", min(ours) - base, BPFTRACE, min(theirs) - base)


def returns() -> Iterator[Row]:
    """A function's return beside its entry, against bpftrace's uretprobe; each engine."""
    with tempfile.TemporaryDirectory(prefix="dtrap-bench-") as folder:
        program = build("calls", Path(folder))
        function = "push_first"
        command = f"{program} {function} {CALLS}"
        for engine in ("uprobes", "fasttrap"):
            for name, peer in (("entry", "uprobe"), ("return", "uretprobe")):
                ours, theirs, untraced = [], [], []
                clause = f"pid$target:calls:{function}:{name} {{ @ = count(); }}"
                peer_clause = f"{peer}:{program}:{function} {{ @ = count(); }}"
                for _ in range(ROUNDS):
                    untraced.append(ns_per_call([str(program), function, str(CALLS)]))
                    ours.append(ns_per_call([DTRAP, "-qx", f"engine={engine}", "-n", clause, "-c", command]))
                    theirs.append(ns_per_call([BPFTRACE, "-e", peer_clause, "-c", command]))
                base = min(untraced)
                kind = f"{name}, {engine}, beside bpftrace's {peer}"
                yield Row(f"@ = count(): {kind}", "ns", min(ours) - base, BPFTRACE, min(theirs) - base)


def ns_per_call(command: Sequence[str]) -> float:
    """Run the calls program, alone or under a tracer; ns per call as it says. Raises CommandFailed."""
    printed = printed_by(command)
    said = re.search(r"^ns ([\d.]+)$", printed, re.MULTILINE)
    if said is None:
        raise CommandFailed(command, printed)
    return float(said[1])
