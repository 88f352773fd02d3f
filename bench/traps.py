"""The trap tier of the fasttrap engine: what a hit costs, how long arming holds the process, memory for each site."""

import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench.hits import ns_per_call
from bench.process import DTRAP, CommandFailed, armed_and_left, build, environment, idle_process
from bench.results import Row

HITS: Final = 50_000
ROUNDS: Final = 5
FASTTRAP: Final = [DTRAP, "-q", "-x", "engine=fasttrap", "-x", "tier=trap"]
BARE: Final = "bare ptrace loop"
BEGIN: Final = 'BEGIN { printf("armed\\n"); }'

# What the clauses read decides how much of the registers is fetched: nothing, or all.
ACTIONS: Final = ("@[probefunc] = count()", "@ = quantize(arg0)")

FEW_SITES, MANY_SITES = 1_000, 61_000
"""So many apart that it doesn't matter whether the interpreter has taken another MiB for itself."""


def trap_hits() -> Iterator[Row]:
    """A hit of each action against a C loop that does nothing, on the same processor; the least of a few rounds."""
    with tempfile.TemporaryDirectory(prefix="dtrap-bench-") as folder:
        calls, bare = build("calls", Path(folder)), build("bare_traps", Path(folder))
        command = [str(calls), "push_first", str(HITS)]
        untraced, bare_ns = [], []
        ours: dict[str, list[float]] = {action: [] for action in ACTIONS}
        for _ in range(ROUNDS):
            untraced.append(ns_per_call(command))
            bare_ns.append(ns_per_call([str(bare), str(HITS)]))
            for action, took in ours.items():
                clause = f"pid$target:calls:push_first:entry {{ {action}; }}"
                took.append(ns_per_call([*FASTTRAP, "-n", clause, "-c", " ".join(command)]))
        for action, took in ours.items():
            yield Row(f"{action}: trap tier", "ns", min(took) - min(untraced), BARE, min(bare_ns))


def trap_arming() -> Iterator[Row]:
    """Arming all of libc and leaving, start-up taken off."""
    with idle_process() as pid:
        programs = [BEGIN, BEGIN + " pid$target:libc.so.6::entry { @[probefunc] = count(); }"]
        nothing, libc = [
            [armed_and_left([*FASTTRAP, "-n", program, "-p", str(pid)]) for _ in range(ROUNDS)]
            for program in programs
        ]
        base = min(arm for arm, _ in nothing)
        yield Row("arming all of libc: trap tier", "ms", min(arm for arm, _ in libc) - base)
        yield Row("leaving all of libc: trap tier", "ms", min(leave for _, leave in libc))


def memory() -> Iterator[Row]:
    """Bytes that each further armed site takes, of a program whose symbols are read whole anyway: in dtrap and its
    tracer, and in the traced process; and what each further function with a symbol takes that has no site.
    """
    with tempfile.TemporaryDirectory(prefix="dtrap-bench-") as folder:
        small, large = (
            _program_of_functions(Path(folder) / f"functions{count}", count)
            for count in (FEW_SITES, MANY_SITES)
        )
        more = MANY_SITES - FEW_SITES
        for tier in ("trap", "jump"):
            # What is found out of a file the first time is kept on disk.
            _armed_bytes(large, MANY_SITES, tier)
            few, many = (_armed_bytes(large, count, tier) for count in (FEW_SITES, MANY_SITES))
            sides = ("dtrap and its tracer", "the traced process")
            for side, before, after in zip(sides, few, many, strict=True):
                yield Row(f"memory of a site, {tier} tier: {side}", "bytes", (after - before) / more)
        (tracing, _), (larger, _) = (_armed_bytes(program, FEW_SITES, "trap") for program in (small, large))
        yield Row("memory of a function without a site", "bytes", (larger - tracing) / more)


def _program_of_functions(program: Path, count: int) -> Path:
    """Build a program that sleeps, with COUNT functions: FEW_SITES named few…, the others more…"""
    source = program.with_suffix(".s")
    names = (f"few{number}" if number < FEW_SITES else f"more{number}" for number in range(count))
    # Far enough apart for jumps.
    functions = "".join(
        f".p2align 4\n.globl {name}\n.type {name},@function\n{name}:\n"
        f" push %rbx\n pop %rbx\n ret\n.size {name},.-{name}\n"
        for name in names
    )
    main = ".globl main\n.type main,@function\nmain: sub $8,%rsp\n call pause@plt\n jmp main\n.size main,.-main\n"
    source.write_text(f"{functions}{main}.section .note.GNU-stack\n", encoding="ascii")
    subprocess.run(["gcc", "-o", str(program), str(source)], check=True)
    return program


def _armed_bytes(program: Path, sites: int, tier: str) -> tuple[int, int]:
    """Arm so many of the program's functions; return the bytes of memory of the tracing and of the traced side."""
    names = "few*" if sites == FEW_SITES else "few*:entry, pid$target:a.out:more*"
    clause = f"{BEGIN} pid$target:a.out:{names}:entry {{ @[probefunc] = count(); }}"
    command = [DTRAP, "-q", "-x", "engine=fasttrap", "-x", f"tier={tier}", "-n", clause, "-c", str(program)]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    ) as dtrap:
        assert dtrap.stdout is not None
        if b"armed" not in dtrap.stdout.readline():
            raise CommandFailed(command, dtrap.communicate()[1].decode("utf-8", "backslashreplace"))
        children = Path(f"/proc/{dtrap.pid}/task/{dtrap.pid}/children").read_text().split()
        traced = [pid for pid in children if Path(f"/proc/{pid}/comm").read_text() == f"{program.name}\n"]
        tracing = [str(dtrap.pid), *(pid for pid in children if pid not in traced)]
        used = sum(map(_own_bytes, tracing)), sum(map(_own_bytes, traced))
        dtrap.send_signal(signal.SIGINT)
        dtrap.communicate()
    return used


def _own_bytes(pid: str) -> int:
    """Return what a process has in memory that is no file's: its part of what it shares with others."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.findall(r"^Pss_(?:Anon|Shmem):\s+(\d+) kB$", rollup, re.MULTILINE)
    assert len(found) == 2, rollup
    return sum(map(int, found)) * 1024
