"""What the command does around a program: several programs, files, scripts that are executed, listings, statuses."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.command import DTRAP, environment, run_dtrap

pytestmark = pytest.mark.requires_uprobes


def test_several_programs_share_variables_and_run_in_order(tmp_path: Path) -> None:
    first, second = "BEGIN { x = 5; @ = count(); }", 'BEGIN { printf("%d\\n", x + 1); @ = count(); exit(0); }'
    run = run_dtrap(["-q", "-n", first, "-n", second], tmp_path)
    assert (run.stdout, run.stderr, run.status) == ("6\n\n                2\n", "", 0)


def test_an_output_file_is_appended_to(tmp_path: Path) -> None:
    for number in (1, 2):
        run = run_dtrap(["-q", "-o", "out", "-n", f'BEGIN {{ printf("{number}\\n"); exit(0); }}'], tmp_path)
        assert (run.stdout, run.status) == ("", 0)
    assert (tmp_path / "out").read_text() == "1\n\n2\n\n"


def test_a_script_is_executed_with_its_operands(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text(f'#!{DTRAP} -qs\nBEGIN {{ printf("%d %s\\n", $1, $$2); exit($1); }}\n')
    script.chmod(0o755)
    run = subprocess.run(
        [str(script), "7", "word"], env=environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert (run.stdout, run.stderr, run.returncode) == ("7 word\n\n", "", 7)


def test_without_a_script_the_first_macro_is_the_command(tmp_path: Path) -> None:
    run = run_dtrap(["-qn", "BEGIN { trace($0); exit(0); }"], tmp_path)
    assert (run.stdout.strip(), run.stderr, run.status) == (str(DTRAP), "", 0)


def test_compiling_only_traces_nothing_and_says_nothing(tmp_path: Path) -> None:
    run = run_dtrap(["-e", "-n", 'BEGIN { printf("traced\\n"); exit(3); }'], tmp_path)
    assert (run.stdout, run.stderr, run.status) == ("", "", 0)


def test_compiling_nothing_is_no_error(tmp_path: Path) -> None:
    run = run_dtrap(["-e"], tmp_path)
    assert (run.stdout, run.stderr, run.status) == ("", "", 0)


def test_each_program_has_to_use_the_last_operand(tmp_path: Path) -> None:
    first, second = "BEGIN { trace($1); exit(0); }", "BEGIN { }"
    run = run_dtrap(["-n", first, "-n", second, "5"], tmp_path)
    words = f"dtrap: invalid probe specifier {second}: extraneous argument '5' ($1 is not referenced)\n"
    assert (run.stdout, run.stderr.startswith(words), run.status) == ("", True, 1)
    allowed = run_dtrap(["-q", "-x", "argref", "-n", first, "-n", second, "5"], tmp_path)
    assert (allowed.stdout, allowed.stderr, allowed.status) == ("5\n", "", 0)


def test_a_listing_needs_no_match(tmp_path: Path) -> None:
    run = run_dtrap(["-l", "-n", "BEGIN", "-n", "nosuch:::x"], tmp_path)
    assert "dtrace" in run.stdout
    assert "BEGIN" in run.stdout
    assert run.stderr == "dtrap: failed to match nosuch:::x: No probe matches description\n"
    assert run.status == 0


@pytest.mark.parametrize("flags", [["-b", "59"], ["-x", "aggsize=8"]])
def test_a_buffer_without_room_for_a_single_record_is_an_error(flags: list[str], tmp_path: Path) -> None:
    run = run_dtrap(["-q", *flags, "-n", "BEGIN { @ = count(); exit(0); }"], tmp_path)
    assert run.stderr == "dtrap: could not enable tracing: Enabling exceeds size of buffer\n"
    assert run.status == 1


def test_no_match_is_allowed_on_request(tmp_path: Path) -> None:
    allowed = run_dtrap(["-q", "-Z", "-n", "nosuch:::x { } BEGIN { exit(2); }"], tmp_path)
    assert (allowed.stdout, allowed.stderr, allowed.status) == ("\n", "", 2)
    refused = run_dtrap(["-q", "-n", "nosuch:::x { } BEGIN { exit(2); }"], tmp_path)
    assert refused.status == 1
    assert "probe description nosuch:::x does not match any probes" in refused.stderr


@pytest.mark.parametrize(
    ("program", "place"),
    [
        ("BEGIN { trace(nosuch); }", "[D_IDENT_UNDEF] in action list: failed"),
        ("BEGIN /nosuch/ { }", "[D_IDENT_UNDEF] in predicate: failed"),
        ("BEGIN { trace( }", "[D_SYNTAX] syntax error"),
        ("BEGIN { trace(1e3); }", "[D_SYNTAX] floating-point constants are not permitted"),
        ("BEGIN trace(1);", '[D_SYNTAX] syntax error near "("'),
        ("BEGIN foo", "[D_PDESC_ZERO] probe description :::foo does not match any probes"),
        ("BEGIN;", '[D_SYNTAX] syntax error near ";"'),
        ('BEGIN { trace("a', '[D_SYNTAX] syntax error near """'),
        ("BEGIN { trace('a", '[D_SYNTAX] syntax error near "\'"'),
        ("BEGIN { panic(); }", "[D_UNKNOWN] panic() is not implemented (yet)"),
        ('BEGIN { printf("%d"); }', "[D_PRINTF_ARG_PROTO] printf( ) prototype mismatch"),
        ("BEGIN { trace(1); commit(1); }", "[D_COMM_DREC] commit( ) may not follow"),
        ("BEGIN { tracemem(arg0, 0); }", "[D_TRACEMEM_SIZE] tracemem( ) argument #2 must be"),
    ],
)
def test_an_error_of_the_command_line_names_its_part_and_tag(
    tmp_path: Path, program: str, place: str
) -> None:
    run = run_dtrap(["-x", "errtags", "-n", program], tmp_path)
    assert run.stderr.startswith(f"dtrap: invalid probe specifier {program}: {place}")
    assert (run.stdout, run.status) == ("", 1)


@pytest.mark.parametrize(("flag", "plural"), [("-f", "functions"), ("-m", "modules"), ("-P", "providers")])
def test_a_number_names_no_function_module_or_provider(tmp_path: Path, flag: str, plural: str) -> None:
    run = run_dtrap(["-x", "errtags", flag, "12 { }"], tmp_path)
    words = f"[D_PDESC_INVAL] probe identifier 12 not permitted when specifying {plural}"
    assert run.stderr.startswith(f"dtrap: invalid probe specifier 12 {{ }}: {words}\n")
    assert (run.stdout, run.status) == ("", 1)


def test_clauses_of_the_command_line_need_no_body(tmp_path: Path) -> None:
    run = run_dtrap(["-n", "BEGIN BEGIN { exit(0); }"], tmp_path)
    assert run.stderr == "dtrap: description 'BEGIN BEGIN ' matched 2 probes\n"
    assert run.stdout.count(":BEGIN") == 2
    assert run.status == 0


@pytest.mark.parametrize("flags", [["-b", "zz"], ["-X", "z"], ["-x", "nspec=zz"]])
def test_an_option_that_cannot_be_set_is_named_as_it_was_given(flags: list[str], tmp_path: Path) -> None:
    run = run_dtrap([*flags, "-n", "BEGIN { exit(0); }"], tmp_path)
    shown = " ".join(flags).removesuffix("=zz")
    assert run.stderr.startswith(f"dtrap: failed to set {shown}: Invalid value for specified option\n")
    assert (run.stdout, run.status) == ("", 1)


@pytest.mark.parametrize("flags", [[], ["-e"], ["-l"]])
def test_an_output_file_that_cannot_be_opened_is_an_error(flags: list[str], tmp_path: Path) -> None:
    run = run_dtrap(["-o", "no/such", *flags, "-n", "BEGIN { exit(0); }"], tmp_path)
    assert run.stderr == "dtrap: failed to open output file 'no/such': No such file or directory\n"
    assert (run.stdout, run.status) == ("", 1)


def test_a_listing_goes_to_the_output_file(tmp_path: Path) -> None:
    run = run_dtrap(["-l", "-o", "listed", "-n", "BEGIN"], tmp_path)
    assert (run.stdout, run.stderr, run.status) == ("", "", 0)
    assert "BEGIN" in (tmp_path / "listed").read_text()


def _nested(levels: int) -> str:
    return "".join(f"(x + {n}) / (arg{n % 10} + " for n in range(levels)) + "1" + ")" * levels


@pytest.mark.parametrize(
    "body",
    [f"x = {_nested(60)};", " ".join(f"@a{n} = count();" for n in range(80))],
    ids=["more values at once than the stack holds", "more aggregations than a program has maps"],
)
def test_what_the_kernel_has_no_room_for_is_fasttrap_s_or_an_error_in_words(
    tmp_path: Path, body: str
) -> None:
    program = f'int x; BEGIN {{ {body} printf("done"); exit(0); }} ERROR {{ printf("done"); exit(0); }}'
    refused = run_dtrap(["-q", "-x", "engine=uprobes", "-n", program], tmp_path)
    assert refused.stderr.startswith(
        "dtrap: could not enable tracing: the kernel's verifier refuses the program"
    )
    assert (refused.stdout, refused.status) == ("", 1)
    served = run_dtrap(["-v", "-q", "-n", program], tmp_path)
    assert "fasttrap serves all sites: the kernel's verifier refuses the program\n" in served.stderr
    assert (served.stdout.splitlines()[0], served.status) == ("done", 0)


def _long(statements: int) -> str:
    return " ".join(f"self->i = (int)(j + {n}); i += self->i;" for n in range(statements))


def test_jumps_over_a_long_clause(tmp_path: Path) -> None:
    text = f'int i; int j; self int i; BEGIN {{ {_long(400)} printf("%d", i); exit(0); }}'
    run = run_dtrap(["-q", "-x", "engine=uprobes", "-n", text], tmp_path)
    assert (run.stdout, run.stderr, run.status) == (f"{sum(range(400))}\n", "", 0)


def test_an_interrupt_while_dtrap_is_still_being_loaded_needs_no_traceback() -> None:
    """The moment is when modules are imported: one of the first is replaced by one that interrupts."""
    interrupting = "import os, signal, sys; os.kill(os.getpid(), signal.SIGINT)"
    program = f"""
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests may ignore it
class Interrupting:
    def find_spec(self, name, *_):
        if name == "dlang.command_line":
            {interrupting}
sys.meta_path.insert(0, Interrupting())
from dlang.start import command
command()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")
