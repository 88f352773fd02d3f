"""What surrounds a run: very large symbol tables, the test mode, output files, several programs."""

import subprocess
from pathlib import Path

import pytest

from tests.harness.command import environment
from tests.harness.triggers import Triggers
from tests.integration.running import armed, counts, run, target

pytestmark = pytest.mark.requires_uprobes

SYMBOLS = 300_000


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program with very many functions, of which it calls two."""
    folder = tmp_path_factory.mktemp("large")
    functions = "".join(
        f".globl f{n}\n.type f{n},@function\nf{n}: push %rbx\npop %rbx\nret\n.size f{n},.-f{n}\n"
        for n in range(SYMBOLS)
    )
    (folder / "many.s").write_text(f'.text\n{functions}\n.section .note.GNU-stack,""\n')
    (folder / "main.c").write_text(
        "void f7(void); void f299999(void);\nint main(void) { f7(); f299999(); f299999(); return 0; }\n"
    )
    program = folder / "large"
    subprocess.run(["gcc", "-o", program, folder / "main.c", folder / "many.s"], check=True)
    return program


def test_one_function_of_very_many_is_found(large: Path) -> None:
    result = run(
        "-q",
        "-n",
        "pid$target:a.out:f299999:entry, pid$target:a.out:f7:entry { @[probefunc] = count(); }",
        "-c",
        str(large),
    )
    assert counts(result.stdout) == {"f7": 1, "f299999": 2}


def test_some_thousand_functions_of_very_many_are_armed_and_gone_again(large: Path) -> None:
    result = run("-n", "pid$target:a.out:f2999*:entry { @[probefunc] = count(); }", "-c", str(large))
    assert result.stderr == "dtrap: description 'pid$target:a.out:f2999*:entry ' matched 111 probes\n"
    assert counts(result.stdout) == {"f299999": 2}


def test_mode_for_tests_leaves_out_what_varies(triggers: Triggers) -> None:
    program = 'BEGIN { printf("armed\\n"); } pid$target:a.out:work:entry /arg0 == 5/ { printf("five"); }'
    with target([triggers.path("calls_forever"), "-1"]) as process:
        testing = environment(_DTRACE_TESTING="1")
        with armed("-p", str(process.pid), "-n", 'END { printf("the end\\n"); }', env=testing) as tracer:
            tracer.interrupt()
            assert tracer.end().stdout == "the end\n\n"
        process.say()
        process.say()
    shown = run("-n", program, "-c", f"{triggers.path('calls_forever')} 10", env=testing)
    lines = [line for line in shown.stdout.splitlines() if not line.startswith("called")]
    assert lines[0] == f"{'FUNCTION:NAME':>32}"
    assert lines[1] == f"{':BEGIN':>32} armed"
    assert lines[3] == f"{'work:entry':>32} five"


def test_output_goes_to_the_end_of_a_file(triggers: Triggers, tmp_path: Path) -> None:
    output = tmp_path / "output"
    output.write_text("before\n")
    for _ in range(2):
        result = run(
            "-q",
            "-o",
            output,
            "-n",
            "pid$target:a.out:work:entry { @[probefunc] = count(); }",
            "-c",
            str(triggers.path("family")),
        )
        assert (result.status, result.stdout) == (0, "")
    assert [line.split() for line in output.read_text().splitlines()] == [
        ["before"],
        [],
        ["work", "3"],
        [],
        ["work", "3"],
    ]


def test_clauses_of_several_programs_run_in_order_at_one_probe(triggers: Triggers) -> None:
    probe = "pid$target:a.out:work:entry /arg0 == 3/"
    first, second = (f'{probe} {{ printf("{word}\\n"); }}' for word in ("first", "second"))
    result = run("-q", "-n", first, "-n", second, "-c", f"{triggers.path('calls_forever')} 5")
    assert [line for line in result.stdout.split() if line in ("first", "second")] == ["first", "second"]


def test_commands_output_and_status_are_its_own(triggers: Triggers) -> None:
    result = run("-q", "-n", "END { exit(0); }", "-c", f"{triggers.path('announce')} 3")
    assert result.stdout.startswith("main pgid=")
    assert result.status == 0
