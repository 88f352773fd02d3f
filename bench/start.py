"""How long a tracer takes to start, to arm all of libc, and to leave."""

from collections.abc import Iterator
from statistics import median
from typing import Final

from bench.process import BPFTRACE, DTRAP, armed_and_left, cost_of, idle_process
from bench.results import Row

ROUNDS: Final = 10
LIBC: Final = "/lib/x86_64-linux-gnu/libc.so.6"


def start_up() -> Iterator[Row]:
    """An empty program: wall time (median) and peak memory (largest) against bpftrace's."""
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(cost_of([DTRAP, "-n", "BEGIN { exit(0); }"]))
        theirs.append(cost_of([BPFTRACE, "-e", "BEGIN { exit(); }"]))
    yield Row(
        "start-up of BEGIN { exit(0); }",
        "ms",
        median(cost.wall_ms for cost in ours),
        BPFTRACE,
        median(cost.wall_ms for cost in theirs),
    )
    yield Row(
        "peak memory of BEGIN { exit(0); }",
        "MiB",
        max(cost.peak_mib for cost in ours),
        BPFTRACE,
        max(cost.peak_mib for cost in theirs),
    )


def arm_and_leave() -> Iterator[Row]:
    """Arming and leaving, start-up taken off: a few functions against bpftrace, and all of libc.

    All of libc has no peer here: bpftrace before 0.21 arms probe by probe, for minutes, and then fails on the
    functions that the kernel refuses.
    """
    with idle_process() as pid:
        target = ["-p", str(pid)]
        begin = 'BEGIN { printf("armed\\n"); }'
        programs = {
            "nothing": begin,
            "few": begin + " pid$target:libc.so.6:mem*:entry { @[probefunc] = count(); }",
            "all": begin + " pid$target:libc.so.6::entry { @[probefunc] = count(); }",
        }
        took = {
            name: [armed_and_left([DTRAP, "-q", "-n", program, *target]) for _ in range(5)]
            for name, program in programs.items()
        }
        few = f"{begin} uprobe:{LIBC}:mem* {{ @[func] = count(); }}"
        theirs = [armed_and_left([BPFTRACE, "-e", program, *target]) for program in (begin, few)]
    best = {
        name: (min(arm for arm, _ in runs), min(leave for _, leave in runs)) for name, runs in took.items()
    }
    for step, what in enumerate(("arming", "leaving")):
        nothing = best["nothing"][step] if what == "arming" else 0.0
        base = theirs[0][step] if what == "arming" else 0.0
        yield Row(f"{what} mem* of libc", "ms", best["few"][step] - nothing, BPFTRACE, theirs[1][step] - base)
        yield Row(f"{what} all of libc", "ms", best["all"][step] - nothing)
