"""SIGTRAP's disposition and mask are the program's own, while it is traced and afterwards."""

import signal
from pathlib import Path

import pytest

from tests.fasttrap.tracing import TIMEOUT_S, Traced, output, tell_go, traced
from tests.harness.triggers import Triggers

EXPECTED = {
    "d": "first: default\nhandled 0\n",
    "i": "first: ignored\nhandled 0\n",
    "b": "first: default blocked\nunblocked: default\nhandled 0\n",
    "ib": "first: ignored blocked\nunblocked: ignored\nhandled 0\n",
    "ir": "first: ignored\nraised: ignored\nhandled 0\n",
    "h": "first: handled\nhandled 0\n",
    "hr": "first: handled\nraised: handled\nhandled 1\n",
    "h3": "first: handled\nint3: handled\nhandled 1\n",
    "hb": "first: handled blocked\nunblocked: handled\nhandled 0\n",
    "hbr": "first: handled blocked\nraised: handled blocked\nunblocked: handled\nhandled 1\n",
    "hq": "first: handled\nqueued: handled\nsum 7\nhandled 1\n",
    "ho": "first: handled\nhandled 0\n",
    "hor": "first: handled\nraised: default\nhandled 1\n",
    "ho3": "first: handled\nint3: default\nhandled 1\n",
    "hoq": "first: handled\nqueued: default\nsum 7\nhandled 1\n",
    "hobr": "first: handled blocked\nraised: handled blocked\nunblocked: default\nhandled 1\n",
    "hbq": "first: handled blocked\nqueued: handled blocked\nunblocked: handled\nsum 7\nhandled 1\n",
    "ibr": "first: ignored blocked\nraised: ignored blocked\nunblocked: ignored\nhandled 0\n",
}


@pytest.mark.parametrize("when", ["before attaching", "while traced"])
@pytest.mark.parametrize("what", EXPECTED)
def test_program_sees_its_own_disposition_and_mask(triggers: Triggers, what: str, when: str) -> None:
    arguments = [what] if when == "before attaching" else [what, "later"]
    with traced(triggers.path("sigtrap"), ["probed"], *arguments) as run:
        assert run.finish() == EXPECTED[what]
        assert run.tracing.hits["probed"] == EXPECTED[what].count(":") + ("b" in what)


@pytest.mark.parametrize("functions", [["probed"], ["probed", "on_trap", "nothing"]])
@pytest.mark.parametrize("threads", [1, 6])
def test_handler_of_own_int3s_is_kept_while_other_threads_meet_ours_with_sigtrap_blocked(
    triggers: Triggers, threads: int, functions: list[str]
) -> None:
    traps = 900 // threads
    with traced(triggers.path("own_traps"), functions, str(threads), str(traps)) as run:
        assert run.finish() == f"handled {threads * traps}\n"
        assert run.tracing.hits["probed"] == threads * traps
        assert run.tracing.hits["on_trap"] == ("on_trap" in functions) * threads * traps


def test_process_is_let_go_in_the_middle_of_own_int3s(triggers: Triggers) -> None:
    with traced(triggers.path("own_traps"), ["probed", "on_trap"], "4", "30000") as run:
        while run.tracing.hits["on_trap"] < 300:
            run.tracing.tracer.hold()
            run.tracing.tracer.go()
        run.tracing.tracer.detach()
        printed, errors = run.process.communicate(timeout=TIMEOUT_S)
        assert (run.process.returncode, printed, errors) == (0, "handled 120000\n", "")


@pytest.mark.parametrize("how", ["r", "3", "horR", "ho3R"])
def test_sigtrap_by_default_kills_the_program_as_untraced(triggers: Triggers, how: str) -> None:
    with traced(triggers.path("sigtrap"), ["probed"], how) as run:
        run.tracing.wait_end()
        assert run.process.wait(TIMEOUT_S) == -signal.SIGTRAP


@pytest.mark.parametrize("what", ["w", "iw", "hw", "bw", "ibw", "how", "horw"])
def test_kernel_has_the_programs_setting_again_after_detach(triggers: Triggers, what: str) -> None:
    with traced(triggers.path("sigtrap"), ["probed"], what) as run:
        lines = output(run.process)
        while not lines.readline().startswith("handled"):
            pass
        run.tracing.tracer.detach()
        assert sigtrap_in(run, "SigIgn") == ("i" in what)
        assert sigtrap_in(run, "SigCgt") == ("h" in what and what != "horw")
        assert not sigtrap_in(run, "SigBlk")
        tell_go(run.process)
        assert run.process.wait(TIMEOUT_S) == 0


def test_kernel_has_it_also_after_detaching_from_a_process_that_waits_for_its_child_of_vfork(
    triggers: Triggers,
) -> None:
    with traced(triggers.path("undumpable"), ["work"], "vfork") as run:
        lines = output(run.process)
        assert lines.readline() == "ready\n"
        assert sigtrap_in(run, "SigCgt"), "the safety handler is in force"
        run.tracing.tracer.hold()
        tell_go(run.process)  # and the child, which is held, lets the process go when it goes on
        run.tracing.tracer.detach()
        assert not sigtrap_in(run, "SigCgt")
        assert lines.readline() == "7 0\n"
        assert run.process.wait(TIMEOUT_S) == 0


def sigtrap_in(run: Traced, line: str) -> bool:
    """Whether SIGTRAP is in one of the sets of /proc/PID/status."""
    text = Path(f"/proc/{run.process.pid}/status").read_text()
    mask = next(words[1] for words in map(str.split, text.splitlines()) if words[0] == f"{line}:")
    return bool(int(mask, 16) >> signal.SIGTRAP - 1 & 1)


@pytest.mark.parametrize("when", ["before", "while", "inside"])
def test_handler_that_blocks_all_signals_loses_us_nothing_and_is_given_back_its_mask(
    triggers: Triggers, when: str
) -> None:
    with traced(triggers.path("trap_in_mask"), ["probed"], when) as run:
        lines = output(run.process)
        assert lines.readline() == "handler 1, program 0\n"
        assert run.tracing.hits["probed"] == 2
        assert sigtrap_in(run, "SigCgt"), "the safety handler is in force"
        run.tracing.tracer.detach()
        assert not sigtrap_in(run, "SigBlk")
        assert not sigtrap_in(run, "SigCgt")
        tell_go(run.process)
        assert lines.readline() == "handler 1, program 0\n"
        assert run.process.wait(TIMEOUT_S) == 0


@pytest.mark.parametrize("call", ["sigsuspend", "ppoll", "pselect", "epoll_pwait"])
def test_handler_called_while_a_call_waits_with_sigtrap_blocked_has_it_unblocked(
    triggers: Triggers, call: str
) -> None:
    with traced(triggers.path("waits_masked"), ["probed"], call) as run:
        assert output(run.process).readline() == "handler: 1 0 0\n"
        assert not sigtrap_in(run, "SigBlk")
        tell_go(run.process)
        assert run.finish() == "program: 1 0 0\n"
        assert run.tracing.hits["probed"] == 1


def test_sigtrap_that_waits_keeps_who_has_sent_it(triggers: Triggers) -> None:
    with traced(triggers.path("sigtrap_sender"), ["probed"]) as run:
        assert run.finish() == "code 0, sender, user\n" * 4
        assert run.tracing.hits == {"probed": 12}
