"""Places that no uprobe may be put on, and processes and commands that can't be traced: said clearly, nobody harmed."""

import os
import re
import stat
import subprocess
from pathlib import Path

import pytest

from tests.harness.command import DTRAP
from tests.harness.ordinary_user import as_nobody
from tests.harness.triggers import Triggers
from tests.integration.running import counts, run, target, trace

pytestmark = pytest.mark.requires_uprobes

COUNT = "pid$target:a.out:work:entry { @[probefunc] = count(); }"


AWKWARD = """
    pid$target:a.out:locked:entry, pid$target:a.out:vector:entry, pid$target:a.out:plain:entry,
    pid$target:libc.so.6:pthread_spin_lock:entry { @[probefunc] = count(); }
"""
KERNEL = ("-x", "engine=uprobes")


def test_sites_that_the_kernel_would_harm_are_left_out_by_name_and_the_program_computes_right(
    triggers: Triggers,
) -> None:
    result = trace([triggers.path("unprobeable")], AWKWARD, *KERNEL)
    assert counts(result.stdout) == {"plain": 1000}
    left_out = [line.partition(" left out: ") for line in result.stderr.splitlines()]
    assert all(reason for *_, reason in left_out)
    assert sorted(probe.split(":")[3] for probe, *_ in left_out) == ["locked", "pthread_spin_lock", "vector"]


def test_sites_that_the_kernel_would_harm_are_counted_where_both_engines_may_serve(
    triggers: Triggers,
) -> None:
    result = trace([triggers.path("unprobeable")], AWKWARD)
    assert counts(result.stdout) == dict.fromkeys(["locked", "plain", "pthread_spin_lock", "vector"], 1000)
    assert result.stderr == ""


@pytest.mark.parametrize("options", [KERNEL, ("-x", "tier=trap", "-x", "engine=fasttrap"), ()])
def test_stub_that_the_program_reads_is_left_out_by_name(
    triggers: Triggers, options: tuple[str, ...]
) -> None:
    program = "pid$target:a.out:[sw][to]??:entry { @[probefunc] = count(); }"
    result = trace([triggers.path("reads_stub")], program, *options)
    assert counts(result.stdout) == {"work": 3}
    assert ":stub:entry left out: a stub of Mono's" in result.stderr


def test_error_of_a_function_that_can_have_no_probe_says_why(triggers: Triggers) -> None:
    command = str(triggers.path("reads_stub"))
    result = run("-q", "-n", "pid$target:a.out:stub:entry {}", "-c", command)
    assert (result.status, result.stdout) == (1, "")
    assert "does not match any probes" in result.stderr
    assert result.stderr.endswith(
        "    hint: stub: a stub of Mono's, which the program reads and would not know\n"
    )


def test_many_sites_that_are_left_out_are_one_line_unless_asked_for(triggers: Triggers) -> None:
    program = "pid$target:libc.so.6::entry { @ = count(); }"
    brief = run("-q", *KERNEL, "-n", program, "-c", str(triggers.path("family"))).stderr
    found = re.fullmatch(r"dtrap: (\d+) probes armed, (\d+) left out: -v names them and says why\n", brief)
    assert found is not None, brief
    verbose = run("-qv", *KERNEL, "-n", program, "-c", str(triggers.path("family"))).stderr
    assert len(re.findall(" left out: ", verbose)) == int(found[2])


def refused(command: str) -> str:
    """What dtrap says of a command that it can't trace."""
    result = run("-q", "-n", "BEGIN { exit(0); }", "-c", command)
    assert (result.status, result.stdout) == (1, "")
    return result.stderr


def test_error_of_a_command_that_is_not_there() -> None:
    assert (
        refused("/nonexistent/program")
        == "dtrap: failed to execute /nonexistent/program: No such file or directory\n"
    )


def test_error_of_a_command_that_may_not_be_executed(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("data")
    assert refused(f"{tmp_path}/data") == f"dtrap: failed to execute {tmp_path}/data: Permission denied\n"


def test_error_of_a_command_that_is_no_program(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("data")
    (tmp_path / "data").chmod(0o755)
    assert refused(f"{tmp_path}/data") == f"dtrap: failed to execute {tmp_path}/data: Exec format error\n"


def test_error_of_an_empty_command() -> None:
    assert refused(" ") == "dtrap: failed to execute : No such file or directory\n"


def with_library(folder: Path, library: str) -> tuple[Path, Path]:
    """A program that needs a library of this source; both files."""
    shared, program = folder / "libneeded.so", folder / "program"
    compiler = ("gcc", "-x", "c", "-")
    subprocess.run([*compiler, "-shared", "-fPIC", "-o", shared], input=library.encode(), check=True)
    link = ("-Wl,--no-as-needed", "-x", "none", shared, "-o", program)
    subprocess.run([*compiler, *link], input=b"int main(void) { return 0; }", check=True)
    return program, shared


def test_error_of_a_command_that_ends_before_its_first_instruction(tmp_path: Path) -> None:
    program, library = with_library(tmp_path, "int f(void) { return 0; }")
    library.unlink()
    said = refused(str(program))
    assert "libneeded.so: cannot open shared object file" in said
    reason = "exited with status 127 before its first instruction"
    assert said.endswith(f"dtrap: failed to execute {program}: {reason}\n")


def test_error_of_a_command_that_is_killed_before_its_first_instruction(tmp_path: Path) -> None:
    suicide = "__attribute__((constructor)) static void now(void) { raise(SIGKILL); }"
    program, _ = with_library(tmp_path, f"#include <signal.h>\n{suicide}")
    assert refused(str(program)) == f"dtrap: failed to execute {program}: killed by SIGKILL\n"


def not_grabbed(pid: int) -> str:
    result = run("-q", "-n", COUNT, "-p", str(pid))
    assert (result.status, result.stdout) == (1, "")
    return result.stderr


def test_error_of_a_process_that_is_not_there() -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    assert not_grabbed(ended.pid) == f"dtrap: failed to grab process {ended.pid}: No such process\n"


def test_error_of_a_zombie() -> None:
    zombie = subprocess.Popen(["true"])
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    assert not_grabbed(zombie.pid) == f"dtrap: failed to grab process {zombie.pid}: No such process\n"
    zombie.wait()


def test_error_of_a_kernel_thread() -> None:
    assert not_grabbed(2) == "dtrap: failed to grab process 2: it is a kernel thread\n"


def test_error_of_a_process_of_another_user(triggers: Triggers, tmp_path: Path) -> None:
    # What an ordinary user is told; root may trace everything.
    nobody = (*as_nobody(), str(DTRAP))
    with target([triggers.path("family")]) as process:
        result = run("-q", "-n", COUNT, "-p", str(process.pid), executable=nobody)
        process.say()
        assert process.end().status == 0
    assert result.status == 1
    assert f"failed to grab process {process.pid}" in result.stderr
    assert "it belongs to another user" in result.stderr
    assert "Traceback" not in result.stderr


def test_error_of_a_function_that_is_not_there_names_its_neighbours(triggers: Triggers) -> None:
    result = run("-n", "pid$target:a.out:wrok:entry {}", "-c", str(triggers.path("family")))
    assert result.status == 1
    first, *_, hint = result.stderr.splitlines()
    assert first == (
        "dtrap: invalid probe specifier pid$target:a.out:wrok:entry {}: failed to lookup 'wrok' in module 'a.out'"
    )
    assert hint == "    hint: did you mean work?"


def test_error_of_a_library_that_is_not_loaded_says_how_to_wait_for_it() -> None:
    result = run("-qn", "pid$target:zzz.so:f:entry", "-c", "true")
    assert result.status == 1
    assert result.stderr.endswith("\n    hint: zzz.so is not loaded; with -Z its probes wait until it is\n")


@pytest.mark.parametrize(
    ("description", "shown"),
    [
        ("a.out:no_such*:entry", "family:no_such*:entry"),
        ("zzz.so::entry", "zzz.so:*:entry"),
        (":no_such*:", ":no_such*:"),
    ],
)
def test_what_matches_nothing_is_shown_with_the_name_of_the_program_and_all_functions(
    description: str, shown: str, triggers: Triggers
) -> None:
    command = ("-c", str(triggers.path("family")))
    listed = run("-l", "-n", f"pid$target:{description}", *command)
    assert re.fullmatch(
        rf"dtrap: failed to match pid\d+:{re.escape(shown)}: No probe matches description\n", listed.stderr
    )
    traced = run("-n", f"pid$target:{description} {{}}", *command)
    assert re.search(
        rf"probe description pid\d+:{re.escape(shown)} does not match any probes\n", traced.stderr
    )


def test_typed_arguments_are_refused_with_the_probe_as_it_is_in_the_process(triggers: Triggers) -> None:
    command = ("-c", str(triggers.path("family")))
    done = run("-n", "pid$target:a.out:work:entry { trace(args[0]); }", *command)
    assert re.search(r": index 0 is out of range for pid\d+:family:work:entry args\[ \]\n", done.stderr)


def test_command_whose_probes_do_not_exist_is_never_run(triggers: Triggers, tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    result = run("-n", "pid$target:a.out:no_such_function:entry {}", "-c", f"touch {touched}")
    assert result.status == 1
    assert not touched.exists()


def test_set_user_id_program_is_traced_or_refused_in_words(triggers: Triggers, tmp_path: Path) -> None:
    program = tmp_path / "family"
    program.write_bytes(triggers.path("family").read_bytes())
    program.chmod(0o755 | stat.S_ISUID)
    result = run("-q", "-n", COUNT, "-c", str(program))
    assert counts(result.stdout) == {"work": 3}, result


@pytest.mark.parametrize(
    ("description", "words"),
    [
        ("pid$target::-:", "[D_PROC_NAME] only individual addresses may be specified with the '-' function"),
        (
            "pid$target::-:10*",
            "[D_PROC_NAME] only individual addresses may be specified with the '-' function",
        ),
        ("pid$target:libc.so.6:-:10", "[D_PROC_LIB] only the a.out module is valid with the '-' function"),
    ],
)
def test_what_the_function_of_all_addresses_can_not_have(description: str, words: str) -> None:
    result = run("-x", "errtags", "-n", description, "-c", "true")
    assert (result.status, words in result.stderr) == (1, True)
