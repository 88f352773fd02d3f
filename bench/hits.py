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


SERVED_BY: Final = {
    "uprobes": ("engine=uprobes", 100_000),
    "traps": ("engine=fasttrap -x tier=trap", 50_000),
    "jumps": ("engine=fasttrap -x tier=jump", 2_000_000),
}


def returns() -> Iterator[Row]:
    """A function's return beside its entry, both at an instruction that the kernel steps, and beside bpftrace's
    uretprobe.
    """
    with tempfile.TemporaryDirectory(prefix="dtrap-bench-") as folder:
        program = build("calls", Path(folder))
        function = "mov_first"
        for served_by, (options, calls) in SERVED_BY.items():
            untraced: list[float] = []
            ours: dict[str, list[float]] = {"entry": [], "return": []}
            theirs: list[float] = []
            command = f"{program} {function} {calls}"
            for _ in range(ROUNDS):
                untraced.append(ns_per_call([str(program), function, str(calls)]))
                for name, found in ours.items():
                    clause = f"pid$target:calls:{function}:{name} {{ @ = count(); }}"
                    words = ["-q", "-x", *options.split(), "-n", clause, "-c", command]
                    found.append(ns_per_call([DTRAP, *words]))
                peer_clause = f"uretprobe:{program}:{function} {{ @ = count(); }}"
                fewer = f"{program} {function} {CALLS}"
                theirs.append(ns_per_call([BPFTRACE, "-e", peer_clause, "-c", fewer]))
            base = min(untraced)
            entry, leaving = min(ours["entry"]) - base, min(ours["return"]) - base
            yield Row(f"@ = count(): return, {served_by}, beside the entry", "ns", leaving, "entry", entry)
            peer_name = f"@ = count(): return, {served_by}, beside a uretprobe"
            yield Row(peer_name, "ns", leaving, BPFTRACE, min(theirs) - base)


def ns_per_call(command: Sequence[str]) -> float:
    """Run the calls program, alone or under a tracer; ns per call as it says. Raises CommandFailed."""
    printed = printed_by(command)
    said = re.search(r"^ns ([\d.]+)$", printed, re.MULTILINE)
    if said is None:
        raise CommandFailed(command, printed)
    return float(said[1])
