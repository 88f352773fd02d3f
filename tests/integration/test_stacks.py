"""Stacks compared with what backtrace() of glibc saw at the same place; names that outlive the process."""

import shutil
from pathlib import Path

import pytest

from tests.harness.command import SERVED_BY, run_dtrap
from tests.harness.triggers import SOURCES, Triggers, compile_c
from tests.integration.running import armed, run, target

ENGINES = ("uprobes", "fasttrap")
STACKS = "pid$target:stacks:here:entry { ustack(64); }"
FLAGS = {
    "no frame pointers": ("-O2", "-fomit-frame-pointer", "-pthread"),
    "frame pointers": ("-O1", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls", "-pthread"),
}


@pytest.fixture(scope="module", params=FLAGS)
def stacks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stacks")
    return compile_c(SOURCES / "stacks.c", folder / "stacks", FLAGS[request.param])


@pytest.mark.requires_uprobes
@pytest.mark.parametrize("engine", ENGINES)
def test_stacks_are_those_that_the_program_sees_itself(engine: str, stacks: Path, tmp_path: Path) -> None:
    truth = tmp_path / "truth"
    flags = ("-q", "-x", f"engine={engine}", "-x", "noresolve", "-x", "stackindent=0")
    traced = run(*flags, "-n", STACKS, "-c", f"{stacks} {truth}")
    assert traced.stderr == ""
    seen = truth.read_text()
    assert seen.count("\n\n") == 9 and "libc.so" in seen
    assert traced.stdout == f"{seen}\n"


@pytest.mark.requires_uprobes
@pytest.mark.parametrize("engine", ENGINES)
def test_frames_are_named_when_process_and_file_are_gone(
    engine: str, triggers: Triggers, tmp_path: Path
) -> None:
    program = tmp_path / "short_lived"
    shutil.copy(triggers.path("calls"), program)
    flags = ("-x", f"engine={engine}", "-n", "pid$target:short_lived:eight:entry { @[ustack(2)] = count(); }")
    with target([program]) as process, armed(*flags, "-p", str(process.pid)) as tracer:
        program.unlink()
        process.say()
        result = tracer.end()
    lines = result.stdout.split()
    assert lines[0] == "short_lived`eight"
    assert lines[1].startswith("short_lived`main+0x")


def test_what_has_no_name_shows_the_object_and_the_address_in_it(triggers: Triggers, tmp_path: Path) -> None:
    stripped = compile_c(
        SOURCES / "calls.c", tmp_path / "stripped", ("-O1", "-s", "-Wl,--export-dynamic-symbol=eight")
    )
    program = "pid$target:stripped:eight:entry { ustack(2); usym(ucaller); umod(ucaller); }"
    for engine in ENGINES:
        traced = run_dtrap(["-qn", program, "-x", f"engine={engine}", "-c", str(stripped)], tmp_path, 20)
        first, second, symbol, module = traced.stdout.split()
        assert first == "stripped`eight"
        assert second.startswith("stripped`0x") and len(second) < len("stripped`0x") + 6
        assert symbol == second
        assert module == "stripped"


@pytest.mark.requires_uprobes
@pytest.mark.parametrize("engine", ENGINES)
def test_code_without_tables_is_followed_by_its_frame_pointers(engine: str, tmp_path: Path) -> None:
    flags = (
        "-O1",
        "-fno-omit-frame-pointer",
        "-fno-asynchronous-unwind-tables",
        "-fno-optimize-sibling-calls",
    )
    program = compile_c(SOURCES / "calls.c", tmp_path / "calls", flags)
    clause = "{ @[probename, usym(ucaller), ustackdepth > 2] = count(); }"
    probes = "pid$target:calls:text:entry, pid$target:calls:text:return"
    traced = run("-q", "-x", f"engine={engine}", "-n", f"{probes} {clause}", "-c", str(program))
    assert sorted(line.split() for line in traced.stdout.splitlines() if line) == [
        ["entry", "calls`main", "1", "3"],
        ["return", "calls`main", "1", "3"],
    ]


START = ["libc.so.6`__libc_start_call_main", "libc.so.6`__libc_start_main", "odd_stacks`_start"]
ODD = [
    ["odd_stacks`cloned", "libc.so.6`clone"],
    ["odd_stacks`coroutine", "libc.so.6`__start_context"],
    [
        "odd_stacks`handler",
        "libc.so.6`__restore_rt",
        "libc.so.6`__pthread_kill_implementation",
        "libc.so.6`raise",
        "odd_stacks`raises",
        "odd_stacks`main",
        *START,
    ],
    ["MADE", "MADE", "odd_stacks`calls_made", "odd_stacks`main", *START],
]


@pytest.mark.requires_uprobes
@pytest.mark.parametrize("way", ["uprobes", "traps", "jumps"])
def test_stacks_end_at_their_bottom_and_lead_through_what_no_file_holds(way: str, triggers: Triggers) -> None:
    with (
        target([triggers.path("odd_stacks")]) as process,
        armed(
            "-q", *SERVED_BY[way], "-n", "pid$target:a.out:here:entry { ustack(); }", "-p", str(process.pid)
        ) as tracer,
    ):
        process.say()
        result = tracer.end()
    stacks = [
        [
            "MADE" if line.split()[0].startswith("0x") else line.split("+")[0].strip()
            for line in stack.splitlines()
        ]
        for stack in result.stdout.strip("\n").split("\n\n")
    ]
    assert stacks == [["odd_stacks`here", "odd_stacks`plain", *rest] for rest in ODD]
