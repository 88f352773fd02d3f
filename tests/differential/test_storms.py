"""Threads, signals and children at once: each engine counts each call once, and nobody else's."""

from pathlib import Path

import pytest

from tests.differential.engines import ENGINES, counted
from tests.harness.triggers import Triggers

pytestmark = [pytest.mark.requires_uprobes, pytest.mark.parametrize("engine", ENGINES)]

THREADS, CALLS = 8, 3000
FREQUENCY, ROUNDS = 2000, 1500
CHILDREN = 5


def test_calls_of_eight_threads(engine: str, triggers: Triggers, tmp_path: Path) -> None:
    program = 'pid$target:a.out:work:entry { @[arg0, "calls"] = count(); @s["all", "sum"] = sum(arg1); }'
    found = counted(engine, program, [triggers.path("eight_threads"), str(CALLS)], tmp_path)
    by_thread = {f"{thread} calls": CALLS for thread in range(THREADS)}
    assert found.counts == {**by_thread, "all sum": THREADS * sum(range(CALLS))}


def test_calls_from_signal_handlers_and_from_what_they_interrupt(
    engine: str, triggers: Triggers, tmp_path: Path
) -> None:
    program = "pid$target:a.out:first_*:entry { @[probefunc] = count(); }"
    command = [str(triggers.path("signal_storm")), str(FREQUENCY), str(ROUNDS)]
    found = counted(engine, program, command, tmp_path)
    from_main, from_handlers, strange = map(int, found.printed.split())
    assert (from_main, strange, found.left_out) == (ROUNDS, 0, frozenset())
    assert from_handlers > 0
    functions = ["first_push", "first_ret", "first_jmp", "first_rep", "first_call"]
    assert found.counts == dict.fromkeys(functions, from_main + from_handlers)


def test_returns_of_signal_handlers_and_of_what_they_interrupt(
    engine: str, triggers: Triggers, tmp_path: Path
) -> None:
    program = "pid$target:a.out:first_*:return, pid$target:a.out:inner_rep:return { @[probefunc] = count(); }"
    command = [str(triggers.path("signal_storm")), str(FREQUENCY), str(ROUNDS)]
    found = counted(engine, program, command, tmp_path)
    from_main, from_handlers, strange = map(int, found.printed.split())
    assert (from_main, strange) == (ROUNDS, 0)
    once = dict.fromkeys(["first_push", "first_ret", "first_jmp", "first_rep", "inner_rep"], 1)
    returns = {**once, "first_call": 2}
    assert found.counts == {name: times * (from_main + from_handlers) for name, times in returns.items()}


def test_threads_that_live_for_one_call(engine: str, triggers: Triggers, tmp_path: Path) -> None:
    program = "pid$target:a.out:probed:entry { @[probefunc] = count(); }"
    found = counted(engine, program, [triggers.path("churn"), "400"], tmp_path)
    assert found.counts == {"probed": 400}


def test_children_of_every_kind_run_right_and_only_the_process_counts(
    engine: str, triggers: Triggers, tmp_path: Path
) -> None:
    program = "pid$target:a.out:probed:entry, pid$target:libc.so.6:fork:entry { @[probefunc] = count(); }"
    found = counted(engine, program, [triggers.path("children")], tmp_path)
    assert len(found.printed.splitlines()) == 4 * CHILDREN
    assert found.counts == {"probed": 2 * CHILDREN, "fork": CHILDREN}
