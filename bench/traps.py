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

FEW_SITES, MANY_SITES = 1_000, 21_000


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


def trap_memory() -> Iterator[Row]:
    """Bytes that each further armed site takes: in dtrap and its tracer, and in the traced process."""
    with tempfile.TemporaryDirectory(prefix="dtrap-bench-") as folder:
        program = _program_of_functions(Path(folder), MANY_SITES)
        few, many = (_armed_bytes(program, count) for count in (FEW_SITES, MANY_SITES))
    for name, before, after in zip(("dtrap and its tracer", "the traced process"), few, many, strict=True):
        yield Row(f"memory of a site: {name}", "bytes", (after - before) / (MANY_SITES - FEW_SITES))


def _program_of_functions(folder: Path, count: int) -> Path:
    """Build a program that sleeps, with COUNT functions: FEW_SITES named few…, the others more…"""
    source = folder / "functions.s"
    names = (f"few{number}" if number < FEW_SITES else f"more{number}" for number in range(count))
    functions = "".join(
        f".globl {name}\n.type {name},@function\n{name}: push %rbx\n pop %rbx\n ret\n.size {name},.-{name}\n"
        for name in names
    )
    main = ".globl main\n.type main,@function\nmain: sub $8,%rsp\n call pause@plt\n jmp main\n.size main,.-main\n"
    source.write_text(f"{functions}{main}.section .note.GNU-stack\n", encoding="ascii")
    program = folder / "functions"
    subprocess.run(["gcc", "-o", str(program), str(source)], check=True)
    return program


def _armed_bytes(program: Path, sites: int) -> tuple[int, int]:
    """Arm so many of the program's functions; return the bytes (proportional set size) of the tracing and of the
    traced side.
    """
    names = "few*" if sites == FEW_SITES else "few*:entry, pid$target:a.out:more*"
    clause = f"{BEGIN} pid$target:a.out:{names}:entry {{ @[probefunc] = count(); }}"
    command = [*FASTTRAP, "-n", clause, "-c", str(program)]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    ) as dtrap:
        assert dtrap.stdout is not None
        if b"armed" not in dtrap.stdout.readline():
            raise CommandFailed(command, dtrap.communicate()[1].decode("utf-8", "backslashreplace"))
        children = Path(f"/proc/{dtrap.pid}/task/{dtrap.pid}/children").read_text().split()
        traced = [pid for pid in children if Path(f"/proc/{pid}/comm").read_text() == f"{program.name}\n"]
        tracing = [str(dtrap.pid), *(pid for pid in children if pid not in traced)]
        used = sum(map(_pss, tracing)), sum(map(_pss, traced))
        dtrap.send_signal(signal.SIGINT)
        dtrap.communicate()
    return used


def _pss(pid: str) -> int:
    found = re.search(r"^Pss:\s+(\d+) kB$", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    assert found is not None, pid
    return int(found[1]) * 1024
