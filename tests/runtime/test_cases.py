"""Runtime cases: programs that trace one of the triggers, run on each engine, with the exact output.

tests/runtime/TOPIC/tst.NAME.d is run as `dtrap OPTIONS FLAGS -s FILE ARGS`, with the options of each way of serving
probes; NAME.r is its standard output and NAME.r.err its standard error (no such file: nothing). Settings, in the
header comment:

    @@flags: -q -x strsize=8     flags before -s
    @@trigger: calls 3           tests/triggers/calls.c and its arguments, started with -c
    @@attach: p                  started first and taken with -p (it must call wait_for_go of trigger.h); the
                                 program's BEGIN must print a line: once that is seen the trigger goes on
    @@args: 5 word               operands: $1, $2 …
    @@mask: cpu-id pid           masks over both streams, by their names in tests/harness/masks.py
    @@status: 4                  exit status, 0 if not given
    @@timeout: 30                seconds, 20 if not given
"""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.harness import case_file, masks
from tests.harness.attached import run_attached
from tests.harness.case_file import BadCase, Case
from tests.harness.command import SERVED_BY, Run, run_dtrap
from tests.harness.triggers import Triggers

HERE = Path(__file__).parent
KEYS = ("flags", "trigger", "attach", "args", "mask", "status", "timeout")


def run_case(case: Case, served_by: Sequence[str], triggers: Triggers) -> Run:
    """Run a case served by these options. Raises BadCase for settings that contradict each other, TimeoutExpired."""
    timeout_s = float(case.settings.get("timeout", "20"))
    script = [*served_by, *case.words("flags"), "-s", case.path.name]
    operands = case.words("args")
    trigger = case.words("trigger")
    if not trigger:
        return run_dtrap([*script, *operands], case.path.parent, timeout_s)
    command = [str(triggers.path(trigger[0])), *trigger[1:]]
    match case.settings.get("attach"):
        case None:
            return run_dtrap([*script, "-c", " ".join(command), *operands], case.path.parent, timeout_s)
        case "p":
            return run_attached(script, operands, command, case.path.parent, timeout_s)
        case other:
            raise BadCase(case.path, f"@@attach: {other}, not p")


@pytest.mark.requires_uprobes
@pytest.mark.parametrize("engine", SERVED_BY)
@pytest.mark.parametrize("path", case_file.collect(HERE), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_case(path: Path, engine: str, triggers: Triggers, accept: bool) -> None:
    case = case_file.read(path, KEYS)
    try:
        run = run_case(case, SERVED_BY[engine], triggers)
    except subprocess.TimeoutExpired as expired:
        pytest.fail(
            f"did not end in {expired.timeout} s; printed {expired.output!r}, {expired.stderr!r}",
            pytrace=False,
        )
    wanted = case.words("mask")
    case_file.compare(masks.apply(wanted, run.stdout), case.expectation(".r"), accept=accept)
    case_file.compare(masks.apply(wanted, run.stderr), case.expectation(".r.err"), accept=accept)
    assert run.status == int(case.settings.get("status", "0"))
