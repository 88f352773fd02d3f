"""Another tool's uprobes over jumps: they come and go, and the program computes what it would, whoever is killed."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from backend.errors import TracerDied
from backend.fasttrap.site_batch import Site
from backend.fasttrap.tracepoints import Jumped
from backend.linux import procfs
from scratch.displaced import Way
from tests.differential.other_tracers import require
from tests.fasttrap.test_hits import ask_how_it_is, until
from tests.fasttrap.test_kill import tracer_of, wait_until_untraced
from tests.fasttrap.tracing import (
    Tracing,
    arm_jumps,
    forked,
    function_offsets,
    load_address,
    tell_go,
    text_of,
    trigger,
)
from tests.harness.foreign_uprobes import uprobes
from tests.harness.triggers import SOURCES, Triggers

pytestmark = pytest.mark.requires_uprobes

FUNCTIONS = re.findall(r"^FUNCTION\((\w+)", (SOURCES / "overlaid.c").read_text(), re.MULTILINE)
"""What the trigger calls: the first word says how long the first instruction is, the second what it begins with."""
EXPOSED = ["three_plain", "four_plain", "five_plain"]
"""Those whose jump must have been looked at while the uprobe is there, or just after it has gone."""
UNSEEN = ["five_plain", "five_jump", "seven_rex"]
"""Those behind whose first instruction nobody sees who comes by under a uprobe."""
ROUNDS = 300
"""After so many more every thread has called every function."""
SEEN = [name for name in FUNCTIONS if name not in UNSEEN]


@contextmanager
def foreign(pid: int, program: Path, functions: Sequence[str] = FUNCTIONS) -> Iterator[None]:
    """Another tool's uprobes on functions."""
    offsets = function_offsets(program)
    with uprobes(pid, program, [offsets[name] for name in functions]):
        yield


def wait_until_seen(pid: int, program: Path, name: str) -> None:
    """Wait until the tracer has put back what is behind the first byte of a function's first instruction."""
    rest = ["one", "two", "three", "four", "five"].index(name.partition("_")[0])
    start = load_address(pid, program) + function_offsets(program)[name]
    before = program.read_bytes()[function_offsets(program)[name] :][1 : 1 + rest]
    while procfs.read_memory(pid, start + 1, rest) != before:
        time.sleep(0.001)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_uprobe_over_a_jump_comes_and_goes(triggers: Triggers, name: str) -> None:
    program = triggers.path("overlaid")
    with trigger(program, "3") as process:
        before = text_of(process.pid, program)
        tell_go(process)
        with Tracing(jumps=True) as tracing:
            arm_jumps(tracing, process.pid, program, [name])
            for _ in range(2):
                with foreign(process.pid, program, [name]):
                    ask_how_it_is(process)
                    if name in EXPOSED:
                        wait_until_seen(process.pid, program, name)
                    ask_how_it_is(process)
                ask_how_it_is(process)
            tracing.tracer.detach()
        ask_how_it_is(process)
        assert text_of(process.pid, program) == before


def test_uprobes_that_nobody_has_come_by_go_without_harm(triggers: Triggers) -> None:
    program = triggers.path("overlaid")
    functions = [name for name in FUNCTIONS if name not in EXPOSED]
    with trigger(program, "3") as process:
        before = text_of(process.pid, program)
        tell_go(process)
        with Tracing(jumps=True) as tracing:
            arm_jumps(tracing, process.pid, program, functions)
            tracing.tracer.hold()
            with foreign(process.pid, program, functions):
                pass
            tracing.tracer.go()
            ask_how_it_is(process)
            tracing.tracer.detach()
        ask_how_it_is(process)
        assert text_of(process.pid, program) == before


def test_jumps_keep_clear_of_uprobes_that_are_there(triggers: Triggers) -> None:
    program = triggers.path("overlaid")
    with trigger(program, "3") as process:
        before = text_of(process.pid, program)
        tell_go(process)
        with Tracing(jumps=True) as tracing:
            with foreign(process.pid, program):
                tracing.tracer.attach(process.pid)
                outcomes = tracing.arm(program, FUNCTIONS).values()
                assert Jumped not in {type(outcome) for outcome in outcomes}
                tracing.tracer.go()
                ask_how_it_is(process)
            ask_how_it_is(process)
            tracing.tracer.detach()
        ask_how_it_is(process)
        assert text_of(process.pid, program) == before


def test_whoever_leaves_first_leaves_the_other_what_is_its_own(triggers: Triggers) -> None:
    program = triggers.path("overlaid")
    with trigger(program, "3") as process:
        before = text_of(process.pid, program)
        tell_go(process)
        with Tracing(jumps=True) as tracing:
            arm_jumps(tracing, process.pid, program, FUNCTIONS)
            tracing.tracer.hold()
            with foreign(process.pid, program):
                with_uprobes = bytearray(before)
                for name, offset in function_offsets(program).items():
                    if name in FUNCTIONS:
                        with_uprobes[offset - text_offset(process.pid, program)] = 0xCC
                tracing.tracer.detach()
                assert text_of(process.pid, program) == with_uprobes
                ask_how_it_is(process)
            ask_how_it_is(process)
            assert text_of(process.pid, program) == before


def text_offset(pid: int, program: Path) -> int:
    """How far the text is from where the program is loaded."""
    path = str(program.resolve())
    return next(
        mapping.start - load_address(pid, program)
        for mapping in procfs.mappings(pid)
        if mapping.path == path and mapping.executable
    )


def test_hits_count_exactly_while_uprobes_are_there_and_children_run_right(triggers: Triggers) -> None:
    program = triggers.path("overlaid")
    with trigger(program, "3", "500", "5") as process, Tracing(jumps=True) as tracing:
        tracing.tracer.attach(process.pid)
        assert {type(outcome) for outcome in tracing.arm(program, FUNCTIONS).values()} == {Jumped}
        tracing.tracer.go()
        with foreign(process.pid, program):
            tell_go(process)
            tracing.wait_end()
            assert process.communicate() == ("done\n", "")
        assert process.returncode == 0
        hits = tracing.hits
        assert {name: hits[name] for name in SEEN} == dict.fromkeys(SEEN, 3 * 500)
        assert sum(hits[name] for name in UNSEEN) == 0


def test_bpftrace_may_come_and_go(triggers: Triggers) -> None:
    require("bpftrace")
    program = triggers.path("overlaid")
    with trigger(program, "3") as process:
        tell_go(process)
        with Tracing(jumps=True) as tracing:
            arm_jumps(tracing, process.pid, program, FUNCTIONS)
            for _ in range(2):
                probes = ",".join(f"uprobe:{program}:{name}" for name in FUNCTIONS)
                line = f"{probes} {{ @[func] = count(); }} interval:ms:500 {{ exit(); }}"
                words = ["bpftrace", "-p", str(process.pid), "-e", line]
                counted = subprocess.run(words, capture_output=True, text=True, check=True).stdout
                assert [name for name in FUNCTIONS if f"@[{name}]: " in counted] == FUNCTIONS
                ask_how_it_is(process)
        ask_how_it_is(process)


@pytest.mark.parametrize("killed", ["dtrap", "tracer"])
def test_program_lives_on_when_all_but_the_uprobes_are_gone(triggers: Triggers, killed: str) -> None:
    program = triggers.path("overlaid")
    with trigger(program, "3") as process:
        before = text_of(process.pid, program)
        dtrap = stopped_dtrap(process, program)
        with foreign(process.pid, program):
            ask_how_it_is(process)
            os.kill(dtrap if killed == "dtrap" else tracer_of(process.pid), signal.SIGKILL)
            os.kill(dtrap, signal.SIGCONT)
            os.waitpid(dtrap, 0)
            wait_until_untraced(process.pid)
            ask_how_it_is(process)
        ask_how_it_is(process)
        assert text_of(process.pid, program) == before


def test_uprobes_may_come_and_go_over_jumps_that_nobody_looks_after(triggers: Triggers) -> None:
    program = triggers.path("overlaid")
    with trigger(program, "3") as process:
        before = text_of(process.pid, program)
        kill_both(process, stopped_dtrap(process, program))
        for _ in range(2):
            with foreign(process.pid, program, [name for name in FUNCTIONS if name not in EXPOSED]):
                go_round(process)
            go_round(process)
        with Tracing(jumps=True) as tracing:
            tracing.tracer.attach(process.pid)
            tracing.tracer.detach()
        assert text_of(process.pid, program) == before
        go_round(process)


def test_next_tracer_gives_the_text_back_under_uprobes_that_met_jumps_of_nobody(triggers: Triggers) -> None:
    program = triggers.path("overlaid")
    with trigger(program, "3") as process:
        before = text_of(process.pid, program)
        kill_both(process, stopped_dtrap(process, program))
        with foreign(process.pid, program):
            go_round(process)
            with Tracing(jumps=True) as tracing:
                tracing.tracer.attach(process.pid)
                tracing.tracer.detach()
            go_round(process)
        go_round(process)
        assert text_of(process.pid, program) == before


def stopped_dtrap(process: subprocess.Popen[str], program: Path) -> int:
    """Have the waiting program run with jumps, and a trap, of a dtrap that is a process of its own, and stopped; return
    its pid. It looks after the program if the tracer dies, and then ends.
    """

    def trace() -> None:
        tracing = Tracing(jumps=True)
        arm_jumps(tracing, process.pid, program, FUNCTIONS)
        tracing.tracer.hold()
        trapped = load_address(process.pid, program) + function_offsets(program)["on_user"]
        assert isinstance(tracing.tracer.arm([Site(trapped, len(FUNCTIONS))])[0], Way)
        tracing.tracer.go()
        os.kill(os.getpid(), signal.SIGSTOP)
        with pytest.raises(TracerDied):
            tracing.next()

    tell_go(process)
    dtrap = forked(trace)
    assert os.WIFSTOPPED(os.waitpid(dtrap, os.WUNTRACED)[1])
    return dtrap


def kill_both(process: subprocess.Popen[str], dtrap: int) -> None:
    """Kill the tracer, and then the stopped dtrap, which has not seen it."""
    os.kill(tracer_of(process.pid), signal.SIGKILL)
    wait_until_untraced(process.pid)
    os.kill(dtrap, signal.SIGKILL)
    os.waitpid(dtrap, 0)


def go_round(process: subprocess.Popen[str]) -> None:
    """Let the program call all its functions in every thread."""
    start = ask_how_it_is(process)
    until(lambda: ask_how_it_is(process) >= start + ROUNDS)
