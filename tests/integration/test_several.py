"""Several processes in one run: `-p` more than once, and processes that descriptions name."""

import os
import re
from contextlib import ExitStack

import pytest

from tests.harness.triggers import Triggers
from tests.integration.running import Running, armed, run, target

pytestmark = pytest.mark.requires_uprobes

COUNT = '{{ @[pid == {first} ? 1 : pid == {second} ? 2 : 0] = count(); calls++; }} END {{ printf("%d\\n", calls); }}'


def _started(stack: ExitStack, triggers: Triggers, calls: str) -> Running:
    return stack.enter_context(target([triggers.path("calls"), calls]))


def test_probes_fire_in_each_process_and_share_variables_until_all_have_ended(triggers: Triggers) -> None:
    with ExitStack() as stack:
        first, second = _started(stack, triggers, "3"), _started(stack, triggers, "5")
        probes = f"pid$target:a.out:add:entry, pid{second.pid}:a.out:add:entry"
        program = f"{probes} {COUNT.format(first=first.pid, second=second.pid)}"
        run_ = stack.enter_context(armed("-p", str(first.pid), "-p", str(second.pid), "-n", program))
        first.say()
        assert first.process.wait() == 0
        second.say()
        assert second.process.wait() == 0
        done = run_.end()
    assert done.status == 0, done
    assert re.findall(r"\d+", done.stdout) == ["8", "1", "3", "2", "5"]


def test_a_process_that_only_a_description_names_is_traced_beside_the_target(triggers: Triggers) -> None:
    with ExitStack() as stack:
        first, second = _started(stack, triggers, "3"), _started(stack, triggers, "5")
        program = f"pid{second.pid}:a.out:add:entry {COUNT.format(first=first.pid, second=second.pid)}"
        run_ = stack.enter_context(armed("-p", str(first.pid), "-n", program))
        for each in (second, first):
            each.say()
            assert each.process.wait() == 0
        done = run_.end()
    assert re.findall(r"\d+", done.stdout) == ["5", "2", "5"]


@pytest.mark.parametrize(
    ("flags", "body", "words"),
    [
        (("-x", "engine=fasttrap"), "n++;", "uprobes have to serve all sites"),
        ((), "trace(ppid);", "there are no ppid and no progenyof()"),
        ((), "ustack();", "there are no stacks and no names of addresses"),
    ],
    ids=["fasttrap", "ppid", "stacks"],
)
def test_what_can_not_be_had_with_several_processes_is_an_error(
    flags: tuple[str, ...], body: str, words: str, triggers: Triggers
) -> None:
    with ExitStack() as stack:
        first, second = _started(stack, triggers, "3"), _started(stack, triggers, "5")
        program = f"pid$target:a.out:add:entry, pid{second.pid}:a.out:add:entry {{ {body} }}"
        done = run("-q", *flags, "-p", str(first.pid), "-p", str(second.pid), "-n", program)
        assert done.stderr == (
            f"dtrap: could not enable tracing: with several processes in one run {words}; start one dtrap for each\n"
        )
        assert (done.stdout, done.status) == ("", 1)
        os.kill(first.pid, 0)


def test_one_that_is_not_there_ends_the_run(triggers: Triggers) -> None:
    with ExitStack() as stack:
        first = _started(stack, triggers, "3")
        done = run("-q", "-p", str(first.pid), "-p", "4194304", "-n", "BEGIN { exit(0); }")
    assert done.stderr == "dtrap: failed to grab process 4194304: No such process\n"
    assert done.status == 1
