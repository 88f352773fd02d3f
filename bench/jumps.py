"""Jumps: what a hit costs the traced program, alone and on two processors, and what real programs take.

Peers, each in the same run: bpftrace's uprobe, uftrace's dynamic patching, frida's C callback, and the untraced
program. A peer that isn't there is named, and its rows are left out: `apt-get install uftrace`; frida is looked for in
the Python that $BENCH_FRIDA_PYTHON names, of an environment of its own (`pip install frida`).
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from bench.hits import ns_per_call
from bench.process import BPFTRACE, DTRAP, HERE, CommandFailed, build, environment
from bench.results import Row

ROUNDS: Final = 5
CALLS: Final = 2_000_000
PEER_CALLS: Final = 50_000
RECORDS: Final = 200_000
JUMPING: Final = [DTRAP, "-q", "-x", "engine=fasttrap", "-x", "tier=jump", "-x", "bufsize=64m"]
UFTRACE: Final = "uftrace"
FRIDA: Final = "frida"
UNTRACED: Final = "untraced"
ONE_THREAD: Final = "one of two threads"

ACTIONS: Final = {
    "@[probefunc] = count()": ("@ = count()", CALLS),
    "@ = quantize(arg0)": ("@ = hist(arg0)", CALLS),
    "@[arg0 & 1023] = count()": ("@[arg0 & 1023] = count()", CALLS),
    "@[tid, probefunc] = count()": ("@[tid, func] = count()", CALLS),
    'printf("%d\\n", arg0)': ('printf("%d\\n", arg0)', RECORDS),
}
"""Our actions; bpftrace's for the same question, and how often it is asked."""

SORTING: Final = """
    create table t(a, b);
    with recursive c(n) as (select 1 union all select n + 1 from c where n < 200000)
        insert into t select n, hex(n * 7919) from c;
    select count(*) from (select * from t order by b);
"""

DUMPING: Final = """
import json
for _ in range(3000):
    json.loads(json.dumps(list(range(400))))
"""

PROGRAMS: Final = {
    "ls": ("-R /usr/share", ""),
    "python3": ("SCRIPT", DUMPING),
    "sqlite3": ("-batch -init SCRIPT :memory: .exit", SORTING),
}
"""Their arguments, and what is in the file SCRIPT."""


def jump_hits() -> Iterator[Row]:
    """A hit of each action against bpftrace's; of a count, against the other peers as well."""
    with tempfile.TemporaryDirectory(prefix="dtrap-bench-") as folder:
        program = str(build("calls", Path(folder), "-rdynamic"))
        for function in ("push_first", "mov_first"):
            base = _least(program, [], function, CALLS)
            for action, (theirs, calls) in ACTIONS.items():
                clause = f"pid$target:calls:{function}:entry {{ {action}; }}"
                ours = _least(program, [*JUMPING, "-o", "/dev/null", "-n", clause], function, calls) - base
                peer = [BPFTRACE, "-o", "/dev/null", "-e", f"uprobe:{program}:{function} {{ {theirs}; }}"]
                peer_ns = _least(program, peer, function, PEER_CALLS, rounds=2) - base
                name = f"{action}: jump, {function}"
                yield Row(name, "ns", ours, BPFTRACE, peer_ns)
                if action == "@[probefunc] = count()":
                    yield Row(name, "ns", ours + base, UNTRACED, base)
                if (
                    action == "@[probefunc] = count()" and function == "push_first"
                ):  # they leave shorter ones alone
                    for other, peer_ns in _patching(program, function, Path(folder)):
                        yield Row(name, "ns", ours, other, peer_ns - base)
        yield from _two_threads(program)


def _two_threads(program: str) -> Iterator[Row]:
    """A hit when two threads on two processors come by, against that of one while another sleeps: alone it would count
    without a lock.
    """
    for action in ("@[probefunc] = count()", "@ = quantize(arg0)"):
        clause = f"pid$target:calls:push_first:entry {{ {action}; }}"
        costs = []
        for threads in ("1+", "2"):
            base = _least(program, [], "push_first", CALLS, threads)
            costs.append(_least(program, [*JUMPING, "-n", clause], "push_first", CALLS, threads) - base)
        yield Row(f"{action}: jump, two threads", "ns", costs[1], ONE_THREAD, costs[0])


def _least(
    program: str,
    tracer: Sequence[str],
    function: str,
    calls: int,
    threads: str = "1",
    *,
    rounds: int = ROUNDS,
) -> float:
    """Return the least ns per call of a few rounds under a tracer, which starts the program, or under none."""
    own = [program, function, str(calls), threads]
    command = [*tracer, "-c", " ".join(own)] if tracer else own
    return min(ns_per_call(command) for _ in range(rounds))


def _patching(program: str, function: str, folder: Path) -> Iterator[tuple[str, float]]:
    """Yield the peers that patch the program as we do, and their ns per call."""
    calls = str(PEER_CALLS)
    if shutil.which(UFTRACE) is None:
        print("bench: the peer is missing: apt-get install uftrace", file=sys.stderr)
    else:
        data = str(folder / "uftrace.data")
        command = [UFTRACE, "record", "--no-libcall", "-P", function, "-d", data, program, function, calls]
        yield UFTRACE, min(ns_per_call(command) for _ in range(3))
    python = os.environ.get("BENCH_FRIDA_PYTHON")
    if python is None:
        print("bench: the peer is missing: frida, in the Python of $BENCH_FRIDA_PYTHON", file=sys.stderr)
    else:
        command = [python, str(HERE / "frida_count.py"), program, function, calls]
        yield FRIDA, min(ns_per_call(command) for _ in range(3))


def jump_programs() -> Iterator[Row]:
    """Programs with every function of libc counted, against what they take untraced: processor time."""
    clause = "pid$target:libc.so.6::entry { @[probefunc] = count(); }"
    with tempfile.TemporaryDirectory(prefix="dtrap-bench-") as folder:
        elapsed = build("elapsed", Path(folder), "-shared", "-fPIC", "-ldl")
        script = Path(folder) / "script"
        for name, (arguments, content) in PROGRAMS.items():
            path = shutil.which(name)
            if path is None:
                print(f"bench: there is no {name}", file=sys.stderr)
                continue
            script.write_text(content)
            command = [os.path.realpath(path), *arguments.replace("SCRIPT", str(script)).split()]
            tracer = [DTRAP, "-q", "-x", "engine=fasttrap", "-o", "/dev/null"]
            traced = [*tracer, "-n", clause, "-c", " ".join(command)]
            ours, untraced = [], []
            for _ in range(ROUNDS):
                untraced.append(_elapsed_ms(command, command[0], elapsed, Path(folder)))
                ours.append(_elapsed_ms(traced, command[0], elapsed, Path(folder)))
            yield Row(f"{name}, all of libc counted", "ms", min(ours), UNTRACED, min(untraced))


def _elapsed_ms(command: Sequence[str], program: str, elapsed: Path, folder: Path) -> float:
    """Run a command; return how much of the processor `program`, which it is or starts, took from main() to exit()."""
    result = folder / "elapsed.ns"
    result.unlink(missing_ok=True)
    variables: Mapping[str, str] = {
        "LD_PRELOAD": str(elapsed),
        "ELAPSED_OF": os.path.basename(program),
        "ELAPSED_TO": str(result),
    }
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        env={**environment(), **variables},
    )
    if done.returncode != 0 or not result.exists():
        raise CommandFailed(command, done.stderr)
    return float(result.read_text()) / 1e6
