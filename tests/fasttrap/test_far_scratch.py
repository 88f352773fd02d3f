"""A process without room for scratch memory within 2 GiB of its code: every site is served nevertheless, with copies
that borrow a register in chunks of the threads' own.
"""

import os
import random
import re
import resource
import signal
import subprocess
import time
from pathlib import Path

import pytest

from backend.errors import TracerDied
from backend.fasttrap import scratch_space
from backend.linux import procfs
from scratch.displaced import Refuse, Way
from scratch.slots import CHUNK_SIZE
from tests.fasttrap.test_hits import ask_how_it_is, awkward_functions
from tests.fasttrap.test_kill import LATEST_S, sigtrap_is_default, wait_until_untraced
from tests.fasttrap.tracing import (
    Tracing,
    libc_of,
    load_address,
    output,
    tell_go,
    text_of,
    traced,
    trigger,
)
from tests.harness.triggers import Triggers

FAR = 1 << 31
ONE_OF_EACH = 16
"""Functions of the trigger, of which handlers call one at a time."""


def scratch_of(pid: int) -> list[procfs.MappedRange]:
    """The memory that is executable and no file's: only the tracer maps any."""
    return [each for each in procfs.mappings(pid) if each.executable and not each.path]


def small_regions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have room for no more than four chunks mapped at a time."""
    size = scratch_space.HEADER_SIZE + 4 * CHUNK_SIZE
    monkeypatch.setattr(scratch_space, "CHUNKS_SIZE", size)


LOAD_BESIDE_RSI = re.compile(rb"\x48\x8b\x86.{4}\x48\xbe", re.DOTALL)
"""How the copy of first_load begins: mov cells(%rsi),%rax; movabs $...,%rsi."""


def chunks_used(pid: int) -> int:
    """How many chunks were ever used: every thread of the trigger calls first_load."""
    memory = b"".join(procfs.read_memory(pid, each.start, each.size_bytes) for each in scratch_of(pid))
    return len(LOAD_BESIDE_RSI.findall(memory))


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
        assert all(
            min(abs(each.start - base), abs(each.end - base)) > FAR for each in scratch_of(process.pid)
        )
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
    threads, lives = 4, 50
    functions = awkward_functions(triggers.path("far_scratch"))
    with traced(triggers.path("far_scratch"), functions, str(threads), "1", str(lives), "0", "stay") as run:
        assert output(run.process).readline() == f"{threads * lives} 0 0\n"
        run.tracing.tracer.hold()
        # A thread is joined before its end is told to the tracer: its successor may be there already.
        assert threads <= chunks_used(run.process.pid) <= 2 * threads
        assert run.tracing.hits == dict.fromkeys(functions, threads * lives)


def test_more_memory_is_mapped_when_threads_need_more_chunks(
    triggers: Triggers, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_regions(monkeypatch)
    functions = awkward_functions(triggers.path("far_scratch"))
    with traced(triggers.path("far_scratch"), functions, "10", "20", "1", "0", "stay") as run:
        assert output(run.process).readline() == "200 0 0\n"
        run.tracing.tracer.hold()
        assert chunks_used(run.process.pid) == 10
        assert run.tracing.hits == dict.fromkeys(functions, 200)


def test_program_computes_right_when_the_kernel_refuses_more_memory(
    triggers: Triggers, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_regions(monkeypatch)
    program = triggers.path("far_scratch")
    functions = awkward_functions(program)
    with trigger(program, "10", "20", "1", "0", "stay") as process, Tracing() as tracing:
        before = text_of(process.pid, program)
        tracing.tracer.attach(process.pid)
        tracing.arm(program, functions)
        resource.prlimit(process.pid, resource.RLIMIT_AS, (1 << 20, 1 << 20))
        tracing.tracer.go()
        tell_go(process)
        assert output(process).readline() == "200 0 0\n"
        tracing.tracer.hold()
        assert chunks_used(process.pid) == 4
        assert max(tracing.hits.values()) < 200
        tracing.tracer.detach()
        assert text_of(process.pid, program) == before


def test_all_of_libc_is_served_from_far_away(triggers: Triggers) -> None:
    program = triggers.path("far_scratch")
    with trigger(program, "3", "0", "1", "1000") as process:
        libc = libc_of(process.pid)
        before = text_of(process.pid, program), text_of(process.pid, libc)
        tell_go(process)
        for _ in range(3):
            with Tracing() as tracing:
                tracing.tracer.attach(process.pid)
                tracing.arm(program, awkward_functions(program))
                refused = {each.reason for each in tracing.arm_all(libc) if isinstance(each, Refuse)}
                assert not any("2 GiB" in reason for reason in refused)
                tracing.tracer.go()
                # An answer does not say that the functions were called meanwhile; many answers do.
                for _ in range(1000):
                    ask_how_it_is(process)
                    if tracing.hits["first_load"]:
                        break
                tracing.tracer.detach()
                assert (text_of(process.pid, program), text_of(process.pid, libc)) == before
                assert tracing.hits["first_load"] > 0
            ask_how_it_is(process)


@pytest.mark.timeout(120)
def test_detach_in_the_middle_leaves_registers_as_they_were(triggers: Triggers) -> None:
    program = triggers.path("far_scratch")
    functions = awkward_functions(program)
    with trigger(program, "4", "0", "1", "1000") as process:
        before = text_of(process.pid, program)
        tell_go(process)
        for _ in range(10):
            with Tracing() as tracing:
                tracing.tracer.attach(process.pid)
                tracing.arm(program, functions)
                tracing.tracer.go()
                ask_how_it_is(process)
                tracing.tracer.detach()
        ask_how_it_is(process)
        assert text_of(process.pid, program) == before


@pytest.mark.timeout(120)
def test_target_outlives_dtrap_and_its_tracer_killed_at_any_moment(triggers: Triggers) -> None:
    program = triggers.path("far_scratch")
    functions = awkward_functions(program)
    moments = random.Random(3)
    with trigger(program, "4", "0", "1", "1000") as process:
        before = text_of(process.pid, program)
        tell_go(process)
        for number in range(16):
            if number % 2:
                kill_dtrap(process, program, functions, moments.uniform(0, LATEST_S))
            else:
                kill_tracer(process, program, functions, moments.uniform(0, LATEST_S))
            ask_how_it_is(process)
            assert text_of(process.pid, program) == before
        assert sigtrap_is_default(process)


def kill_tracer(process: subprocess.Popen[str], program: Path, functions: list[str], after_s: float) -> None:
    with Tracing() as tracing:
        tracing.tracer.attach(process.pid)
        tracing.arm(program, functions)
        tracing.tracer.go()
        time.sleep(after_s)
        os.kill(procfs.status(process.pid).tracer_pid, signal.SIGKILL)
        with pytest.raises(TracerDied):
            tracing.next()


def kill_dtrap(process: subprocess.Popen[str], program: Path, functions: list[str], after_s: float) -> None:
    dtrap = os.fork()
    if dtrap == 0:
        try:
            tracing = Tracing()
            tracing.tracer.attach(process.pid)
            tracing.arm(program, functions)
            tracing.tracer.go()
            signal.pause()
        finally:
            os._exit(1)
    time.sleep(after_s)
    os.kill(dtrap, signal.SIGKILL)
    os.waitpid(dtrap, 0)
    wait_until_untraced(process.pid)
