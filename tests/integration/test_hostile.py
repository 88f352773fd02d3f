"""A target whose names and strings hold control characters: nothing of it reaches the terminal as such."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.harness.command import Run
from tests.harness.triggers import Triggers
from tests.integration.running import run, target, trace

pytestmark = pytest.mark.requires_uprobes

EVIL = "evil\033[2J\rname\x07"


def harmless(result: Run) -> bool:
    """Whether both streams are free of control characters other than newlines and tabs."""
    return re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", result.stdout + result.stderr) is None


@pytest.fixture(scope="module")
def hostile(triggers: Triggers, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trigger with a function, and in a file, whose names hold escape sequences."""
    program = tmp_path_factory.mktemp("hostile") / "a\033[31m.out"
    subprocess.run(
        ["objcopy", f"--redefine-sym=renamed={EVIL}", triggers.path("hostile"), program], check=True
    )
    return program


def test_names_of_functions_modules_and_processes_are_printed_harmlessly(hostile: Path) -> None:
    program = """pid$target:a.out:evil*:entry {
        @[probefunc, probemod, execname] = count();
        printf("%s %s\\n", probefunc, execname);
        trace(probefunc);
    }"""
    result = trace([hostile], program)
    assert harmless(result), result
    assert "evil" in result.stdout


def test_rows_and_listings_show_names_harmlessly(hostile: Path) -> None:
    with target([hostile]) as process:
        listed = run("-l", "-n", "pid$target:a.out:evil*:entry", "-p", str(process.pid))
    assert listed.status == 0
    assert "evil" in listed.stdout
    assert harmless(listed), listed


def test_strings_of_the_target_are_printed_harmlessly(hostile: Path) -> None:
    program = """pid$target:a.out:evil*:entry {
        @[copyinstr(arg0)] = count();
        printf("%s|%S\\n", copyinstr(arg0), copyinstr(arg0));
    }"""
    result = trace([hostile], program)
    assert "title" in result.stdout
    assert harmless(result), result


def test_refusals_name_what_is_hostile_harmlessly(triggers: Triggers, tmp_path: Path) -> None:
    program = tmp_path / "program"
    subprocess.run(
        ["objcopy", f"--redefine-sym=locked={EVIL}", triggers.path("unprobeable"), program], check=True
    )
    description = "pid$target:a.out:evil*:entry {} BEGIN {}"
    result = run("-qv", "-x", "engine=uprobes", "-n", description, "-c", str(program))
    assert " left out: " in result.stderr
    assert harmless(result), result


def test_errors_show_names_harmlessly(hostile: Path) -> None:
    result = run("-n", "pid$target:a.out:evilname:entry {}", "-c", str(hostile))
    assert result.status == 1
    assert harmless(result), result
