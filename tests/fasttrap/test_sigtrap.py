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
}


@pytest.mark.parametrize("when", ["before attaching", "while traced"])
@pytest.mark.parametrize("what", EXPECTED)
def test_program_sees_its_own_disposition_and_mask(triggers: Triggers, what: str, when: str) -> None:
    arguments = [what] if when == "before attaching" else [what, "later"]
    with traced(triggers.path("sigtrap"), ["probed"], *arguments) as run:
        assert run.finish() == EXPECTED[what]
        assert run.tracing.hits["probed"] == EXPECTED[what].count(":") + ("b" in what)


@pytest.mark.parametrize("how", ["r", "3"])
def test_sigtrap_by_default_kills_the_program_as_untraced(triggers: Triggers, how: str) -> None:
    with traced(triggers.path("sigtrap"), ["probed"], how) as run:
        run.tracing.wait_end()
        assert run.process.wait(TIMEOUT_S) == -signal.SIGTRAP


@pytest.mark.parametrize("what", ["w", "iw", "hw", "bw", "ibw"])
def test_kernel_has_the_programs_setting_again_after_detach(triggers: Triggers, what: str) -> None:
    with traced(triggers.path("sigtrap"), ["probed"], what) as run:
        lines = output(run.process)
        while not lines.readline().startswith("handled"):
            pass
        run.tracing.tracer.detach()
        assert sigtrap_in(run, "SigIgn") == ("i" in what)
        assert sigtrap_in(run, "SigCgt") == ("h" in what)
        assert not sigtrap_in(run, "SigBlk")
        tell_go(run.process)
        assert run.process.wait(TIMEOUT_S) == 0


def sigtrap_in(run: Traced, line: str) -> bool:
    """Whether SIGTRAP is in one of the sets of /proc/PID/status."""
    text = Path(f"/proc/{run.process.pid}/status").read_text()
    mask = next(words[1] for words in map(str.split, text.splitlines()) if words[0] == f"{line}:")
    return bool(int(mask, 16) >> signal.SIGTRAP - 1 & 1)
