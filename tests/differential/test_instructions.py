"""Instructions inside functions and returns: the engines agree, and the programs notice nothing."""

import subprocess
from pathlib import Path

import pytest

from tests.differential.engines import SAME_CALLS, counted
from tests.harness.command import environment

pytestmark = pytest.mark.requires_uprobes

LINES = "".join(f"line {(number * 7919) % 97}\n" for number in range(60))
STRINGS = "pid$target:libc.so.6:str*:[0-9a-f]* { @[probefunc, probename] = count(); }"
"""Instructions that use vector registers and the red zone, which uprobes would spoil."""


def test_every_instruction_of_string_functions_is_counted_alike_under_sort(tmp_path: Path) -> None:
    file = tmp_path / "lines"
    file.write_text(LINES)
    command = ["sort", str(file)]
    untraced = subprocess.run(
        command, env=environment(**SAME_CALLS), capture_output=True, text=True, check=True
    )
    of = {engine: counted(engine, STRINGS, command, tmp_path) for engine in ("auto", "traps", "jumps")}
    assert [each.printed for each in of.values()] == [untraced.stdout] * len(of)
    assert sum(of["auto"].counts.values()) > 1000
    assert of["auto"].counts == of["traps"].counts == of["jumps"].counts


def test_returns_of_malloc_and_free_are_as_many_as_their_entries(tmp_path: Path) -> None:
    file = tmp_path / "lines"
    file.write_text(LINES)
    probes = [
        f"pid$target:libc.so.6:{function}:{name}"
        for function in ("malloc", "free")
        for name in ("entry", "return")
    ]
    program = f"{', '.join(probes)} {{ @[probefunc, probename] = count(); }}"
    for engine in ("auto", "traps", "jumps"):
        counts = counted(engine, program, ["sort", file], tmp_path).counts
        assert counts["malloc entry"] == counts["malloc return"] > 0
        assert counts["free entry"] == counts["free return"] > 0
