"""A process without room for scratch memory within 2 GiB of its code: every site is served nevertheless, with copies
that borrow a register in chunks of the threads' own.
"""

import os
import random
import resource
import signal
import subprocess
import time
from pathlib import Path

import pytest

from backend.fasttrap import scratch_space
from backend.linux import procfs
from scratch.displaced import Refuse, Way
from scratch.slots import CHUNK_SIZE
from tests.fasttrap.test_hits import ask_how_it_is, awkward_functions
from tests.fasttrap.test_kill import kill_dtrap_again_and_again, sigtrap_is_default, wait_until_untraced
from tests.fasttrap.tracing import (
    Tracing,
    function_offsets,
    libc_of,
    load_address,
    tell_go,
    text_of,
    traced,
    trigger,
)
from tests.harness.triggers import Triggers

FAR = 1 << 31
ONE_OF_EACH = 16
"""Functions of the trigger, of which handlers call one at a time."""


def scratch_of(pid: int) -> list[procfs.Mapping]:
    """The memory that is executable and no file's: only the tracer maps any."""
    return [each for each in procfs.mappings(pid) if each.executable and not each.path]


def small_regions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have room for no more than four chunks mapped at a time."""
    size = scratch_space.HEADER_SIZE + 4 * CHUNK_SIZE
    monkeypatch.setattr(scratch_space, "CHUNKS_SIZE", size)


def chunks_written(pid: int) -> int:
    """How many chunks of the process were ever used."""
    regions = [each for each in scratch_of(pid) if each.size_bytes == scratch_space.CHUNKS_SIZE]
    assert regions
    memory = b"".join(
        procfs.read_memory(pid, each.start + scratch_space.HEADER_SIZE, each.size_bytes - scratch_space.HEADER_SIZE)
        for each in regions
    )
    return sum(any(memory[at : at + CHUNK_SIZE]) for at in range(0, len(memory), CHUNK_SIZE))


@pytest.mark.parametrize(("threads", "rounds"), [(1, 200), (8, 60)])
def test_awkward_instructions_far_from_their_copies(triggers: Triggers, threads: int, rounds: int) -> None:
    program = triggers.path("far_awkward")
    functions = awkward_functions(program)
    with trigger(program, str(threads), str(rounds)) as process, Tracing() as tracing:
        tracing.tracer.attach(process.pid)
        outcomes = tracing.arm(program, functions)
        refused = {name for name, outcome in outcomes.items() if isinstance(outcome, Refuse)}
        assert refused == {"first_int3"}
        base = load_address(process.pid, program)
        assert all(min(abs(each.start - base), abs(each.end - base)) > FAR for each in scratch_of(process.pid))
        tracing.tracer.go()
        tell_go(process)
        tracing.wait_end()
        printed, errors = process.communicate()
        *lines, last = printed.splitlines()
        assert (last, errors, process.returncode) == ("wrong 0", "", 0)
        expected = {name: int(count) for name, count in map(str.split, lines) if name not in refused}
        assert tracing.hits == expected


@pytest.mark.parametrize("frequency", [0, 1000])
def test_borrowed_registers_are_put_back_and_hits_counted_exactly(triggers: Triggers, frequency: int) -> None:
    program = triggers.path("far_scratch")
    functions = awkward_functions(program)
    assert len(functions) == ONE_OF_EACH
    with traced(program, functions, "8", "100", "1", str(frequency)) as run:
        calls, handled, wrong = map(int, run.finish().split())
        assert (calls, wrong) == (800, 0)
        assert (handled > 0) == (frequency > 0)
        assert sum(run.tracing.hits.values()) == calls * ONE_OF_EACH + handled
        counts = run.tracing.hits.values()
        assert max(counts) - min(counts) <= (1 if frequency else 0)


def test_sites_far_away_are_served_rewritten(triggers: Triggers) -> None:
    program = triggers.path("far_scratch")
    with trigger(program, "1") as process, Tracing() as tracing:
        tracing.tracer.attach(process.pid)
        functions = awkward_functions(program)
        assert tracing.arm(program, functions) == dict.fromkeys(functions, Way.REWRITTEN)
        tracing.tracer.detach()


def test_chunks_of_threads_that_have_exited_are_used_again(triggers: Triggers) -> None:
    program = triggers.path("far_scratch")
    threads, lives = 4, 50
    reading, writing = os.pipe()
    with trigger(program, str(threads), "1", str(lives)) as process, Tracing() as tracing:
        os.close(reading)
        os.close(writing)
        tracing.tracer.attach(process.pid)
        tracing.arm(program, awkward_functions(program))
        # exit_group is never executed: the process waits there to be looked at.
        tracing.arm(libc_of(process.pid), ["_exit"])
        tracing.tracer.go()
        tell_go(process)
        tracing.wait_end()
        assert process.wait() == 0
        assert tracing.hits["first_load"] == threads * lives
