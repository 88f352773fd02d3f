"""The programs of tests/reference, run as they were there, must print what a real DTrace printed.

How they are run, what is masked and what is not to be taken as a model: tests/reference/README.md. Programs
out of dtrap's reach are listed, with reasons, in tests/reference/out_of_reach.txt; a listed one that passes
has to leave the list.
"""

import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.harness import masks
from tests.harness.case_file import difference
from tests.harness.command import Run, run_dtrap
from tests.harness.triggers import compile_c

REFERENCE = Path(__file__).parent / "reference"

# auto is left to tests/runtime: of these programs' functions the kernel serves all.
ENGINES = ("uprobes", "fasttrap")
NO_ENGINE = "bad-"
"""How the names begin of programs that must not compile: no engine ever sees them."""

# As the first comments of target.c and usdt.c say.
TARGET_FLAGS = ("-g", "-O1", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls")
USDT_FLAGS = ("-g", "-O1")

# By name: what the README lists as depending on the machine or the compiler, over the masks that every
# program gets.
ALWAYS = ("cpu-id", "flow", "listing", "bpf-pc")
EXTRA = {"lang-print": ("address",), "pid-ustack-agg": ("address",), "pid-ustack": ("offset",)}


@dataclass(frozen=True, slots=True)
class Program:
    """One line of index.tsv. `operand`: the command given with -c (begins with ./), an operand, or empty."""

    name: str
    status: int
    flags: tuple[str, ...]
    operand: str

    def arguments(self) -> list[str]:
        """What stood behind the command's name: FLAGS -s NAME.d OPERANDS, or FLAGS -s NAME.d -c COMMAND."""
        script = [*self.flags, "-s", f"{self.name}.d"]
        if self.operand.startswith("./"):
            return [*script, "-c", self.operand]
        return [*script, *self.operand.split()]

    def text(self, suffix: str) -> str:
        """What was printed there: suffix `.out` or `.err`; no such file, nothing."""
        path = REFERENCE / (self.name + suffix)
        return path.read_text(encoding="utf-8") if path.exists() else ""


@cache
def programs() -> tuple[Program, ...]:
    rows = [
        line.split("\t") for line in (REFERENCE / "index.tsv").read_text().splitlines() if line[:1] != "#"
    ]
    return tuple(
        Program(name, int(status), tuple(flags.split()), operand.strip())
        for name, status, flags, operand, _ in rows
    )


def programs_and_engines() -> list[tuple[Program, str]]:
    return [
        (program, engine)
        for program in programs()
        for engine in (ENGINES[:1] if program.name.startswith(NO_ENGINE) else ENGINES)
    ]


@cache
def out_of_reach() -> dict[str, str]:
    lines = (REFERENCE / "out_of_reach.txt").read_text().splitlines()
    entries = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    return {entry[0]: entry[1] for entry in entries}


@pytest.fixture(scope="session")
def targets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The traced programs, built as their first comments say; usdt only where <sys/sdt.h> is installed."""
    folder = tmp_path_factory.mktemp("reference")
    built = {"./target": compile_c(REFERENCE / "target.c", folder / "target", TARGET_FLAGS)}
    if Path("/usr/include/x86_64-linux-gnu/sys/sdt.h").exists():
        built["./usdt"] = compile_c(REFERENCE / "usdt.c", folder / "usdt", USDT_FLAGS)
    return built


def differences(program: Program, run: Run) -> list[str]:
    """How a run differs from the reference, in words: empty if it does not."""
    extra = EXTRA.get(program.name, ())
    theirs = {"stdout": program.text(".out"), "stderr": program.text(".err")}
    ours = {"stdout": run.stdout, "stderr": masks.command_name(masks.excerpts(run.stderr))}
    found = [] if run.status == program.status else [f"exit status {run.status}, not {program.status}"]
    for stream, text in theirs.items():
        expected, printed = (masks.apply((*ALWAYS, *extra), each) for each in (text, ours[stream]))
        if expected != printed:
            found.append(f"{stream} (- reference, + dtrap):\n{difference(expected, printed)}")
    return found


@pytest.mark.requires_uprobes
@pytest.mark.parametrize(
    ("program", "engine"),
    programs_and_engines(),
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_prints_what_dtrace_printed(
    program: Program, engine: str, targets: dict[str, Path], tmp_path: Path
) -> None:
    shutil.copy(REFERENCE / f"{program.name}.d", tmp_path)
    for target in targets.values():
        shutil.copy(target, tmp_path)
    try:
        found = differences(
            program, run_dtrap(["-x", f"engine={engine}", *program.arguments()], tmp_path, timeout_s=30)
        )
    except subprocess.TimeoutExpired as expired:
        found = [f"did not end in {expired.timeout} s"]
    reason = out_of_reach().get(program.name)
    if reason is None and found:
        pytest.fail("\n".join(found), pytrace=False)
    if reason is not None and not found:
        pytest.fail(f"passes; remove it from out_of_reach.txt ({reason})", pytrace=False)


def test_list_names_only_reference_programs() -> None:
    assert out_of_reach().keys() <= {program.name for program in programs()}


def test_every_reference_file_is_in_the_index() -> None:
    assert {path.stem for path in REFERENCE.glob("*.d")} == {program.name for program in programs()}
