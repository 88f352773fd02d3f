"""Sites served by jumps: what runs through them computes what it would untraced and counts once, signals and
children find nothing of them, and whoever is killed, the program goes on.
"""

import os
import random
import signal
import time
from collections import Counter

import pytest

from backend.errors import TracerDied
from backend.fasttrap.tracepoints import Jumped
from backend.linux import procfs
from scratch.trampoline import UNLOCKED
from tests.fasttrap.test_hits import ask_how_it_is, awkward_functions
from tests.fasttrap.test_kill import tracer_of, wait_until_untraced
from tests.fasttrap.tracing import (
    Traced,
    Tracing,
    arm_jumps,
    function_offsets,
    load_address,
    tell_go,
    text_of,
    traced,
    trigger,
)
from tests.harness.triggers import Triggers

JUMPED = ["first_push", "first_rip"]
"""Functions of the endless trigger whose first instructions make room for a jump."""

INCREMENT = b"\x48\xff\x82"
"""incq …(%rdx)"""


def test_hits_of_eight_threads_are_counted_exactly_and_compute_right(triggers: Triggers) -> None:
    program = triggers.path("storm")
    functions = awkward_functions(program)
    with traced(program, functions, "8", "300", jumps=True) as run:
        assert run.finish() == "failures 0\n"
        assert run.tracing.hits == dict.fromkeys(functions, 8 * 300)


def jumped_to(pid: int, address: int) -> int:
    """Where the jump at an address leads; the address itself if there is none."""
    code = procfs.read_memory(pid, address, 5)
    return address + 5 + int.from_bytes(code[1:], "little", signed=True) if code[:1] == b"\xe9" else address


def test_one_thread_counts_without_a_lock_and_two_with_it(triggers: Triggers) -> None:
    program, calls = triggers.path("eight_threads"), 100_000
    with trigger(program, str(calls)) as process, Tracing(jumps=True) as tracing:
        tracing.tracer.attach(process.pid)
        assert {type(outcome) for outcome in tracing.arm(program, ["work"]).values()} == {Jumped}
        site = load_address(process.pid, program) + function_offsets(program)["work"]
        at = jumped_to(process.pid, jumped_to(process.pid, site))
        assert UNLOCKED + INCREMENT in procfs.read_memory(process.pid, at, 96)
        tracing.tracer.go()
        tell_go(process)
        Traced(process, tracing).finish()
        assert tracing.hits == {"work": 8 * calls}


@pytest.mark.parametrize("frequency", [100, 2000])
def test_handlers_never_see_a_trampoline(triggers: Triggers, frequency: int) -> None:
    functions = ["first_push", "first_ret", "first_jmp", "first_rep", "first_call", "inner_rep", "all"]
    with traced(triggers.path("signal_storm"), functions, str(frequency), "1000", jumps=True) as run:
        main_calls, handler_calls, strange = map(int, run.finish().split())
        assert strange == 0
        assert handler_calls > 0
        assert run.tracing.hits == dict.fromkeys(functions, main_calls + handler_calls)


def test_fault_of_a_displaced_instruction_is_reported_at_its_own_place_and_counts_once(
    triggers: Triggers,
) -> None:
    functions = ["reads", "reads_never", "reads_late", "reads_far", "divides", "undefined", "handler"]
    with traced(triggers.path("faults"), functions, jumps=True) as run:
        printed = run.finish().splitlines()
        assert [line.partition(" ")[2] for line in printed] == [
            f"{seen} pc right address right" for seen in (1, 3, 1, 1, 1, 3)
        ]
        assert run.tracing.hits == {
            "reads": 1,
            "reads_never": 3,
            "reads_late": 3,
            "reads_far": 1,
            "divides": 1,
            "undefined": 3,
            "handler": 10,
        }


def test_children_run_right_and_uncounted(triggers: Triggers) -> None:
    with traced(triggers.path("children"), ["probed", "status_of"], jumps=True) as run:
        lines = Counter(run.finish().splitlines())
        assert lines == dict.fromkeys(("fork 3", "vfork 4", "vfork and exec 7", "spawn 7"), 5)
        assert run.tracing.hits == {"probed": 10, "status_of": 20}


def test_detach_restores_the_text(triggers: Triggers) -> None:
    program = triggers.path("endless")
    with trigger(program, "4") as process:
        before = text_of(process.pid, program)
        tell_go(process)
        for _ in range(3):
            with Tracing(jumps=True) as tracing:
                arm_jumps(tracing, process.pid, program, JUMPED)
                assert text_of(process.pid, program) != before
                ask_how_it_is(process)
                tracing.tracer.detach()
                assert text_of(process.pid, program) == before
                assert tracing.hits["first_push"] > 0
            ask_how_it_is(process)


def test_dtrap_takes_the_jumps_away_when_its_tracer_is_killed(triggers: Triggers) -> None:
    program = triggers.path("endless")
    moments = random.Random(3)
    with trigger(program, "3") as process:
        before = text_of(process.pid, program)
        tell_go(process)
        for _ in range(5):
            with Tracing(jumps=True) as tracing:
                arm_jumps(tracing, process.pid, program, JUMPED)
                time.sleep(moments.uniform(0, 0.02))
                os.kill(tracer_of(process.pid), signal.SIGKILL)
                with pytest.raises(TracerDied):
                    tracing.next()
            ask_how_it_is(process)
            assert text_of(process.pid, program) == before


def test_dtrap_takes_over_when_its_tracer_is_killed_before_it_has_shared_its_memory(
    triggers: Triggers,
) -> None:
    program = triggers.path("endless")
    with trigger(program, "3") as process, Tracing(jumps=True) as tracing:
        before = text_of(process.pid, program)
        tell_go(process)

        def kill_tracer(path: str) -> None:
            os.kill(tracer_of(process.pid), signal.SIGKILL)
            raise FileNotFoundError(path)

        tracing.tracer.moved = kill_tracer
        with pytest.raises(TracerDied):
            arm_jumps(tracing, process.pid, program, JUMPED)
        ask_how_it_is(process)
        assert text_of(process.pid, program) == before


def test_the_program_goes_on_through_its_jumps_when_all_are_killed_and_the_next_tracer_takes_them_away(
    triggers: Triggers,
) -> None:
    program = triggers.path("endless")
    with trigger(program, "3") as process:
        before = text_of(process.pid, program)
        tell_go(process)
        dtrap = os.fork()
        if dtrap == 0:
            try:
                tracing = Tracing(jumps=True)  # until the end: without it its tracer leaves
                arm_jumps(tracing, process.pid, program, JUMPED)
                os.kill(os.getpid(), signal.SIGSTOP)
            finally:
                os._exit(1)
        os.waitpid(dtrap, os.WUNTRACED)
        os.kill(tracer_of(process.pid), signal.SIGKILL)
        os.kill(dtrap, signal.SIGKILL)
        os.waitpid(dtrap, 0)
        wait_until_untraced(process.pid)
        ask_how_it_is(process)
        assert text_of(process.pid, program) != before
        with Tracing(jumps=True) as tracing:
            arm_jumps(tracing, process.pid, program, JUMPED)
            ask_how_it_is(process)
        wait_until_untraced(process.pid)
        ask_how_it_is(process)
        assert text_of(process.pid, program) == before
