"""The scripts in examples/, each run as its first comment says, on a program whose calls are known."""

import itertools
import re
import subprocess
from pathlib import Path

import pytest

from tests.harness.command import Run, run_dtrap
from tests.harness.triggers import Triggers

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name: str, triggers: Triggers, folder: Path, *operands: str, trigger: str = "chores") -> Run:
    command = str(triggers.path(trigger))
    found = run_dtrap(["-s", str(EXAMPLES / name), *operands, "-c", command], folder)
    assert found.status == 0, found
    return found


def words(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def histogram(text: str, title: str) -> dict[int, int]:
    """The counts that are not 0 of the distribution under a title, by bucket."""
    lines = iter(text.splitlines())
    assert any(re.fullmatch(f" *{title} *", line) for line in lines), text
    assert "Distribution" in next(lines)
    rows = (re.fullmatch(r" *(-?\d+) \|[@ ]* (\d+) *", line) for line in lines)
    found = [(int(row[1]), int(row[2])) for row in itertools.takewhile(bool, rows) if row]
    return {bucket: count for bucket, count in found if count}


def test_funccount(triggers: Triggers, tmp_path: Path) -> None:
    rows = words(run("funccount.d", triggers, tmp_path, "libc.so.6").stdout)
    assert rows[0] == ["LIBRARY", "FUNCTION", "CALLS"]
    assert ["libc.so.6", "calloc", "3"] in rows
    assert ["libc.so.6", "read", "5"] in rows


def test_allocations(triggers: Triggers, tmp_path: Path) -> None:
    text = run("allocations.d", triggers, tmp_path).stdout
    assert {("calloc", "3", "600000"), ("malloc", "10", "1000000")} <= {tuple(row) for row in words(text)}
    assert histogram(text, "malloc") == {65536: 10}
    assert histogram(text, "calloc") == {131072: 3}


def test_opens(triggers: Triggers, tmp_path: Path) -> None:
    rows = words(run("opens.d", triggers, tmp_path).stdout)
    assert rows[0] == ["THREAD", "PROGRAM", "FILE"]
    assert [row[1:] for row in rows[1:3]] == [["chores", "/dev/zero"], ["chores", "/dev/null"]]
    assert [row[1:] for row in rows].count(["chores", r"/proc/self/no"]) == 7


def test_iosizes(triggers: Triggers, tmp_path: Path) -> None:
    text = run("iosizes.d", triggers, tmp_path).stdout
    assert histogram(text, r"read +\d+") == {512: 5}
    assert histogram(text, r"write +\d+") == {2048: 5}


def test_lockhold(triggers: Triggers, tmp_path: Path) -> None:
    text = run("lockhold.d", triggers, tmp_path).stdout
    # One more is what exit() locks.
    assert sum(histogram(text, "waited").values()) == sum(histogram(text, "held").values()) == 8


def test_funclatency(triggers: Triggers, tmp_path: Path) -> None:
    text = run("funclatency.d", triggers, tmp_path, "a.out", "factorial", trigger="returns").stdout
    assert sum(histogram(text, "factorial").values()) == 5
    # longjmp is no return, and what it left behind is not taken for the next call's beginning.
    text = run("funclatency.d", triggers, tmp_path, "a.out", "leaves", trigger="returns").stdout
    assert sum(histogram(text, "leaves").values()) == 2


def test_slowcalls(triggers: Triggers, tmp_path: Path) -> None:
    rows = words(run("slowcalls.d", triggers, tmp_path, "a.out", "factorial", "0", trigger="returns").stdout)
    assert rows[0] == ["THREAD", "MICROSECONDS", "FUNCTION", "ARG0", "ARG1", "RESULT"]
    calls = [(row[3], row[5]) for row in rows[1:] if row]
    assert calls == [("1", "1"), ("2", "2"), ("3", "6"), ("4", "18"), ("5", "78")]
    spent = [int(row[1]) for row in rows[1:] if row]
    assert spent == sorted(spent)


def test_callflow(triggers: Triggers, tmp_path: Path) -> None:
    text = run("callflow.d", triggers, tmp_path, "a.out", "passed_on", trigger="returns").stdout
    flow = [line[4:].rstrip() for line in text.splitlines() if line.strip()]
    # A jump to another function is a return; so what it jumps to is called by nobody inside.
    assert flow == ["FUNCTION", *[" -> passed_on", " <- passed_on"] * 2], text
    text = run("callflow.d", triggers, tmp_path, "a.out", "factorial", trigger="returns").stdout
    flow = [line[4:].rstrip() for line in text.splitlines() if line.strip()]
    down = [f"{'  ' * depth} -> factorial" for depth in range(5)]
    assert flow == ["FUNCTION", *down, *(line.replace("->", "<-") for line in reversed(down))], text


def test_callers(triggers: Triggers, tmp_path: Path) -> None:
    text = run("callers.d", triggers, tmp_path, "libc.so.6", "calloc").stdout
    folding = ["awk", "-f", str(EXAMPLES / "fold.awk")]
    folded = subprocess.run(folding, input=text, capture_output=True, check=True, text=True).stdout
    stacks = [line.rsplit(" ", 1) for line in folded.splitlines()]
    assert sum(int(count) for _, count in stacks) == 3
    for stack, _ in stacks:
        frames = stack.split(";")
        assert frames[0] == "chores`_start"
        assert "chores`main" in frames
        assert frames[-1] == "libc.so.6`calloc"


@pytest.mark.parametrize("script", sorted(EXAMPLES.glob("*.d")), ids=lambda path: path.name)
def test_scripts_are_commands_and_say_what_they_are_for(script: Path) -> None:
    text = script.read_text()
    assert text.startswith("#!/usr/bin/env -S dtrap -s\n/*\n * ")
    assert f"\n *     {script.name} " in text
    assert script.stat().st_mode & 0o111 == 0o111
