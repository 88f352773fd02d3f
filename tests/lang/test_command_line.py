"""The arguments of the command: clusters, operands, modes, targets, and the errors of usage."""

import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlang.command_line import (
    FLAGS,
    USAGE,
    VERSION,
    BadPid,
    CommandLine,
    Mode,
    OneLiner,
    Script,
    TargetCommand,
    TargetPid,
    UsageError,
    parse,
)
from dlang.probe_description import Level

PROGRAM = "BEGIN { exit(0); }"
REPOSITORY = Path(__file__).parents[2]


def line(
    *programs: OneLiner | Script,
    mode: Mode = Mode.RUN,
    settings: tuple[tuple[str, str | None], ...] = (),
    target: TargetPid | TargetCommand | None = None,
    operands: tuple[str, ...] = (),
    output: str | None = None,
    verbose: bool = False,
) -> CommandLine:
    return CommandLine(
        mode, programs, settings, () if target is None else (target,), operands, output, verbose
    )


def usage_error(*argv: str) -> str:
    with pytest.raises(UsageError) as caught:
        parse(argv)
    return str(caught.value)


def test_the_headline_one_liner() -> None:
    text = "pid$target:libc.so.6::entry { @[probefunc] = count(); }"
    assert parse(["-n", text, "-p", "1234"]) == line(OneLiner(Level.NAME, text), target=TargetPid(1234))


def test_programs_keep_their_order_and_level() -> None:
    argv = [
        "-P",
        "profile",
        "-m",
        "libc.so.6",
        "-f",
        "malloc",
        "-n",
        PROGRAM,
        "-s",
        "x.d",
        "-i",
        "1",
        "-n",
        "END",
    ]
    assert parse(argv).programs == (
        OneLiner(Level.PROVIDER, "profile"),
        OneLiner(Level.MODULE, "libc.so.6"),
        OneLiner(Level.FUNCTION, "malloc"),
        OneLiner(Level.NAME, PROGRAM),
        Script("x.d"),
        OneLiner(Level.NAME, "1"),
        OneLiner(Level.NAME, "END"),
    )


@pytest.mark.parametrize(
    "argv", [["-qn", PROGRAM], ["-q", f"-n{PROGRAM}"], [f"-qn{PROGRAM}"], ["-n", PROGRAM, "-q"]]
)
def test_flags_may_be_clustered_and_their_argument_attached(argv: list[str]) -> None:
    assert parse(argv) == line(OneLiner(Level.NAME, PROGRAM), settings=(("quiet", None),))


def test_a_script_started_by_its_first_line_gets_its_file_and_operands() -> None:
    assert parse(["-qs", "./x.d", "one", "2", ""]) == line(
        Script("./x.d"), settings=(("quiet", None),), operands=("one", "2", "")
    )


def test_flags_may_stand_behind_operands_until_two_dashes() -> None:
    assert parse(["one", "-s", "x.d", "-", "-q", "--", "-q", "--", "two"]) == line(
        Script("x.d"), settings=(("quiet", None),), operands=("one", "-", "-q", "--", "two")
    )


def test_the_argument_of_a_flag_is_the_next_word_whatever_it_is() -> None:
    assert parse(["-o", "-n", "-n", ""]) == line(OneLiner(Level.NAME, ""), output="-n")


def test_flags_that_are_short_for_options_and_x_are_settings_in_their_order() -> None:
    argv = ["-x", "strsize=8", "-wFZ", "-b", "1m", "-xquiet=no", "-q", "-x", "amin=a=b", "-x", "quiet="]
    assert parse(argv).settings == (
        ("strsize", "8"),
        ("destructive", None),
        ("flowindent", None),
        ("zdefs", None),
        ("bufsize", "1m"),
        ("quiet", "no"),
        ("quiet", None),
        ("amin", "a=b"),
        ("quiet", ""),
    )


@pytest.mark.parametrize(
    ("argv", "mode"),
    [
        (["-q"], Mode.RUN),
        (["-l"], Mode.LIST),
        (["-ll"], Mode.LIST),
        (["-l", "-e"], Mode.LIST),
        (["-e"], Mode.COMPILE_ONLY),
        (["-V"], Mode.VERSION),
        (["--version"], Mode.VERSION),
        (["-h"], Mode.HELP),
        (["--help"], Mode.HELP),
        (["-h", "--help"], Mode.HELP),
    ],
)
def test_mode(argv: list[str], mode: Mode) -> None:
    assert parse(argv).mode is mode


def test_output_and_verbose() -> None:
    parsed = parse(["-v", "-o", "a", "-ob"])
    assert (parsed.verbose, parsed.output) == (True, "b")


def test_a_command_is_kept_as_written() -> None:
    assert parse(["-c", "ls -R  /usr"]).targets == (TargetCommand("ls -R  /usr"),)


@pytest.mark.parametrize("text", ["12", " 12\n", "0012"])
def test_a_process_is_a_number(text: str) -> None:
    assert parse(["-p", text]).targets == (TargetPid(12),)


@pytest.mark.parametrize("text", ["", "0", "-1", "+1", "12,13", "12 13", "1x", "0x1", "٣", "-n", "9" * 5000])
def test_error_process_that_is_no_number(text: str) -> None:
    with pytest.raises(BadPid) as caught:
        parse(["-p", text])
    assert (str(caught.value), caught.value.text) == (f"invalid pid: {text}", text)


def test_error_no_arguments() -> None:
    assert usage_error() == "nothing to trace: give a program with -n or -s"


def test_error_unknown_flags() -> None:
    assert usage_error("-k") == "invalid option -- 'k'"
    assert usage_error("-qk", "-n", PROGRAM) == "invalid option -- 'k'"
    assert usage_error("-q -s") == "invalid option -- ' '"
    assert usage_error("-\x1b") == "invalid option -- '\\x1b'"
    assert usage_error("--coverag\x1b=x") == "unrecognized option '--coverag\\x1b'"
    assert usage_error("--help=x") == "option '--help' doesn't allow an argument"


@pytest.mark.parametrize("letter", [flag.letter for flag in FLAGS if flag.argument])
def test_error_flag_without_its_argument(letter: str) -> None:
    assert usage_error(f"-q{letter}") == f"option requires an argument -- '{letter}'"


@pytest.mark.parametrize("letter", "aABGLS")
def test_error_flag_of_dtrace_that_is_not_built_is_never_passed_over(letter: str) -> None:
    assert (
        usage_error(f"-q{letter}", "x", "-n", PROGRAM) == f"option -{letter} is not supported by this version"
    )


def test_every_letter_of_dtrace_is_known() -> None:
    known = {flag.letter for flag in FLAGS} | set("aABGLS")
    assert known == set("aAbBcCDeEfFGhHiIlLmnopPqsSUvVwxXZ") - {"E"}


def test_the_data_model_is_64_bits() -> None:
    assert parse(["-64", "-q"]) == line(settings=(("quiet", None),))
    assert usage_error("-32").startswith("option -32 is not supported by this version")


@pytest.mark.parametrize("argv", [["-l", "-V"], ["-lV"], ["-h", "-l"], ["--help", "-V"]])
def test_error_two_modes(argv: list[str]) -> None:
    assert usage_error(*argv) == "only one of the [-GhlV] options can be specified at a time"


def test_error_writing_a_header_is_not_mistaken_for_help() -> None:
    assert usage_error("-h", "-s", "probes.d", "-o", "probes.h") == (
        "option -h with a program, which writes a header, is not supported by this version"
    )


def test_several_processes_come_in_their_order() -> None:
    assert parse(["-p", "7", "-c", "ls", "-p", "2"]).targets == (
        TargetPid(7),
        TargetCommand("ls"),
        TargetPid(2),
    )


def test_error_two_commands() -> None:
    message = usage_error("-c", "ls", "-c", "ls")
    assert message == "more than one command (-c) is not supported by this version"


def test_usage_has_a_line_for_each_flag_and_fits_a_wide_terminal() -> None:
    shown = re.findall(r"^  -(\w) ", USAGE, re.MULTILINE)
    assert shown == [flag.letter for flag in FLAGS]
    assert shown == sorted(shown, key=lambda letter: (letter.lower(), letter.isupper()))
    assert USAGE.startswith("Usage: dtrap ")
    assert USAGE.endswith("\n")
    assert max(map(len, USAGE.splitlines())) <= 100


def test_the_version_is_that_of_the_package() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert f"dtrap D {project['version']}" == VERSION


@given(st.lists(st.text(max_size=4) | st.from_regex(r"-[A-Za-z0-9]{1,3}", fullmatch=True), max_size=6))
def test_any_arguments_are_taken_or_refused(argv: list[str]) -> None:
    outcome: CommandLine | Exception
    try:
        outcome = parse(argv)
    except (UsageError, BadPid) as error:
        outcome = error
    assert isinstance(outcome, CommandLine) or str(outcome)
