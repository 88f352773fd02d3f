"""The documents against the program: lists that must be complete, text that is generated, examples that are run.

What is generated or was printed is rewritten with `--accept`. An example is a block that begins with `$ dtrap …`; what
stands below it is what that prints, standard error first. Every example is run in a process forked from this one,
which has everything imported already: a hundred starts of Python would cost more than all else here.
"""

import os
import re
import select
import shlex
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

import pytest

from backend.fasttrap import trap_engine
from backend.uprobes import arming, engine
from dlang import aggregations, builtins, cli, command_line, options
from dlang.actions import ACTIONS, KNOWN_BUT_NOT_COMPILED, SUBROUTINES
from tests.harness import masks
from tests.harness.case_file import difference
from tests.harness.command import environment

ROOT: Final = Path(__file__).parent.parent
LANGUAGE: Final = ROOT / "docs" / "language.md"
MANUAL: Final = ROOT / "docs" / "dtrap.1.md"
DOCUMENTS: Final = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
WIDTH: Final = 120
EXAMPLE_S: Final = 30
PRELOADED: Final = (trap_engine, arming, engine)

_CONSOLE: Final = re.compile(r"^```console\n\$ (dtrap .*)\n((?:.*\n)*?)```$", re.MULTILINE)
_SCRIPT: Final = re.compile(r"^```d\n((?:.*\n)*?)```$", re.MULTILINE)
_HEADING: Final = re.compile(r"^#+ (.*)$", re.MULTILINE)
_QUOTED: Final = re.compile(r"`([^`]+)`")
_LINK: Final = re.compile(r"\]\(([^)#]*)(?:#([^)]*))?\)")
_GENERATED: Final = re.compile(r"^<!-- generated: (\w+) -->\n(.*?)^<!-- end -->$", re.MULTILINE | re.DOTALL)


# --- examples -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Example:
    """`command` is what stands behind `$ `; `printed` the lines below it."""

    command: str
    printed: str


def examples() -> list[Example]:
    return [Example(match[1], match[2]) for match in _CONSOLE.finditer(LANGUAGE.read_text())]


def printed_by(command: str, folder: Path) -> str:
    """Run a command line that begins with `dtrap` as its main function, in a child; return what it printed."""
    streams = (folder / "out", folder / "err")
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        _become(shlex.split(command), *streams)
    end = os.pidfd_open(child)
    try:
        ended = select.select([end], [], [], EXAMPLE_S)[0]
        if not ended:
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    finally:
        os.close(end)
    assert ended, f"did not end in {EXAMPLE_S} s: {command}"
    return "".join(stream.read_text() for stream in reversed(streams))


def _become(arguments: list[str], out: Path, err: Path) -> NoReturn:
    """Turn this forked child into a command of its own, on one processor, and end it with that."""
    status = 70
    try:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        os.environ.clear()
        os.environ.update(environment())
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
        os.dup2(os.open(err, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        sys.stdout = os.fdopen(1, "w", closefd=False)
        sys.stderr = os.fdopen(2, "w", closefd=False)
        sys.argv = arguments
        signal.signal(signal.SIGINT, signal.default_int_handler)
        status = cli.main()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def tidy(text: str) -> str:
    """Return a run's output as a document shows it: no blanks at the ends of lines, no empty lines at both ends."""
    body = "\n".join(line.rstrip() for line in text.splitlines()).strip("\n")
    return f"{body}\n" if body else ""


def masked(text: str) -> str:
    """Return it without what is the machine's: processors, places in the engine's own code."""
    return masks.bpf_pc(masks.cpu_and_id(text))


@pytest.mark.parametrize("engine_name", ["auto", "fasttrap"])
@pytest.mark.parametrize("number", range(len(examples())))
def test_example_prints_what_the_reference_says(
    number: int, engine_name: str, tmp_path: Path, accept: bool
) -> None:
    example = examples()[number]
    command = example.command.replace("dtrap ", f"dtrap -x engine={engine_name} ", 1)
    printed = tidy(printed_by(command, tmp_path))
    if masked(example.printed) == masked(printed):
        return
    assert accept, f"{command}\n{difference(masked(example.printed), masked(printed))}"
    before = f"$ {example.command}\n{example.printed}```"
    LANGUAGE.write_text(LANGUAGE.read_text().replace(before, f"$ {example.command}\n{printed}```", 1))


def test_script_of_the_reference_compiles_and_traces(tmp_path: Path) -> None:
    script = tmp_path / "script.d"
    for text in _SCRIPT.findall(LANGUAGE.read_text()):
        script.write_text(text)
        printed = printed_by(f"dtrap -qs {script} -c 'cat /dev/null'", tmp_path)
        assert re.search(r"^ +1 /dev/null$", printed, re.MULTILINE), printed


@pytest.mark.parametrize("document", ["README.md", "docs/dtrap.1.md"])
def test_command_of_a_document_compiles(document: str, tmp_path: Path) -> None:
    commands = re.findall(r"^ {4}(?:sudo )?(dtrap .*)$", (ROOT / document).read_text(), re.MULTILINE)
    assert commands
    for command in commands:
        words = shlex.split(command.partition(" #")[0].replace("$(pgrep -o firefox-esr)", "PID"), posix=True)
        if "script.d" in words:
            continue
        target = next((place for place, word in enumerate(words) if word in ("-p", "-c")), len(words))
        stopping = [words[0], "-e", *words[1:target], "-c", "/bin/true"]
        assert "dtrap: " not in printed_by(shlex.join(stopping), tmp_path), command


# --- lists that must be complete ----------------------------------------------------------------------------


def headings() -> set[str]:
    """Return the names that headings of the reference quote; `arg0` … `arg9` stands for all of them."""
    found = set()
    for heading in _HEADING.findall(LANGUAGE.read_text()):
        names = _QUOTED.findall(heading)
        if " … " in heading:
            stem = names[0].rstrip("0123456789")
            first, last = (int(name.removeprefix(stem)) for name in names)
            names = [f"{stem}{number}" for number in range(first, last + 1)]
        found.update(names)
    return found


def rows() -> set[str]:
    functions = {function.value for function in aggregations.AggregatingFunction}
    return {*ACTIONS, *SUBROUTINES, *builtins.VARIABLES, "uregs", *functions}


def test_every_row_of_the_language_has_a_section() -> None:
    assert rows() - headings() == set()


def test_every_section_is_about_something_that_exists() -> None:
    assert headings() - rows() == {"self->", "this->"}


def unsupported_part() -> str:
    return LANGUAGE.read_text().partition("\n## Not compiled yet\n")[2].partition("\n## ")[0]


def test_everything_that_is_not_compiled_is_named() -> None:
    named = set(re.findall(r"\w+", " ".join(_QUOTED.findall(unsupported_part()))))
    assert (KNOWN_BUT_NOT_COMPILED.keys() | builtins.NOT_COMPILED) - named == set()


def unsupported_programs() -> list[str]:
    return re.findall(r"^\|[^|]*\| `([^`]+)` \|", unsupported_part(), re.MULTILINE)


@pytest.mark.parametrize("program", unsupported_programs())
def test_what_is_not_compiled_yet_is_refused_by_name(program: str, tmp_path: Path) -> None:
    printed = printed_by(shlex.join(["dtrap", "-e", "-n", program, "-c", "/bin/true"]), tmp_path)
    assert "not supported by this version of dtrap" in printed or "is not implemented (yet)" in printed


def test_every_row_of_the_language_is_in_a_case_that_runs() -> None:
    cases = [*ROOT.glob("tests/runtime/*/*.d"), *ROOT.glob("tests/reference/*.d")]
    words = set(re.findall(r"\w+", " ".join(case.read_text(errors="replace") for case in cases)))
    assert rows() - words == set()


# --- generated text -----------------------------------------------------------------------------------------


def flags_text() -> str:
    """Return the manual's list of flags, made of command_line.FLAGS and the long flags of the usage text."""
    entries = [
        f"**-{flag.letter}**{f' *{flag.argument}*' if flag.argument else ''}\n: {flag.meaning}\n"
        for flag in command_line.FLAGS
    ]
    for name, meaning in re.findall(r"^  (--\S+)  (.*)$", command_line.USAGE, re.MULTILINE):
        entries.append(f"**{name}**\n: {meaning}\n")
    return "\n" + "\n".join(entries) + "\n"


def options_text() -> str:
    """Return the manual's tables of options, made of options.OPTIONS, with the defaults of Options."""
    defaults = options.Options()
    effective = [row for row in options.OPTIONS if isinstance(row, options.Effective)]
    accepted = [row for row in options.OPTIONS if isinstance(row, options.Accepted)]
    refused = [row for row in options.OPTIONS if isinstance(row, options.Refused)]
    lines = ["", "| option | takes | default | meaning |", "|---|---|---|---|"]
    for row in effective:
        default = _default(getattr(defaults, row.field), row.field)
        lines.append(f"| `{row.name}` | {row.kind.values} | {default} | {row.meaning} |")
    lines += [
        "",
        "For the preprocessor, any number of each:",
        "",
        "| option | takes | meaning |",
        "|---|---|---|",
    ]
    preprocessing = [row for row in options.OPTIONS if isinstance(row, options.Preprocessing)]
    lines += [f"| `{row.name}` | {row.kind.values} | {row.meaning} |" for row in preprocessing]
    lines += ["", "Accepted, with values checked, and without an effect:", ""]
    lines += ["| option | because |", "|---|---|", *(f"| `{row.name}` | {row.reason} |" for row in accepted)]
    lines += ["", "Refused, since dtrap does not have what they ask for:", ""]
    lines += ["| option | would be |", "|---|---|", *(f"| `{row.name}` | {row.reason} |" for row in refused)]
    return "\n".join([*lines, "", ""])


def _default(value: bool | int | str, field: str) -> str:
    match value:
        case bool():
            return "on" if value else "off"
        case int() if field.endswith("_ns"):
            return f"{value // 1_000_000_000}s" if value else "as data comes"
        case int() if value and value % (1 << 20) == 0:
            return f"{value >> 20}m"
        case _:
            return str(value)


GENERATORS: Final = {"flags": flags_text, "options": options_text}


def test_manual_has_the_flags_and_options_of_the_program(accept: bool) -> None:
    text = MANUAL.read_text()
    current = _GENERATED.sub(
        lambda part: f"<!-- generated: {part[1]} -->\n{GENERATORS[part[1]]()}<!-- end -->", text
    )
    assert {part[1] for part in _GENERATED.finditer(text)} == set(GENERATORS)
    if accept:
        MANUAL.write_text(current)
    else:
        assert text == current, difference(text, current)


# --- all documents ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_lines_are_short(document: Path) -> None:
    text = document.read_text()
    free = (*_CONSOLE.finditer(text), *_GENERATED.finditer(text), *re.finditer(r"^\|.*$", text, re.MULTILINE))
    kept = text
    for match in free:
        kept = kept.replace(match[0], "")
    assert [line for line in kept.splitlines() if len(line) > WIDTH] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for path, fragment in _LINK.findall(document.read_text()):
        if path.startswith("http"):
            continue
        target = document.parent / path if path else document
        assert target.exists(), f"{path} in {document.name}"
        if fragment:
            anchors = {heading.lower().replace(" ", "-") for heading in _HEADING.findall(target.read_text())}
            assert fragment in anchors, f"#{fragment} in {document.name}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_files_that_are_named_exist(document: Path) -> None:
    named = re.findall(r"`((?:dlang|backend|scratch|tests|docs|bench)/[a-z\d_./]+)`", document.read_text())
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_modules_named_in_internals_exist() -> None:
    text = (ROOT / "docs" / "internals.md").read_text()
    modules = {f"/{path.relative_to(ROOT).as_posix()}" for path in ROOT.glob("[bdst]*/**/*.py")}
    named = set(re.findall(r"`([a-z_/]+\.py)`", text))
    assert [name for name in named if not any(module.endswith(f"/{name}") for module in modules)] == []
