"""bpftrace, gdb and perf are asked what dtrap is asked: the same counts, or the cause of the difference.

Where they differ: the others count from before the program's first instruction; they probe an IFUNC at its
resolver; uprobes, theirs and ours, hit a repeated string instruction once for each iteration and never a
locked one that was armed before it was mapped.
"""

from pathlib import Path

import pytest

from tests.differential import other_tracers
from tests.differential.engines import counted, every
from tests.differential.workloads import list_files
from tests.harness.triggers import Triggers, compile_c

pytestmark = pytest.mark.requires_uprobes

LIBC = Path("/lib/x86_64-linux-gnu/libc.so.6")
OF_LS = ("opendir", "readdir64", "closedir", "fwrite_unlocked")
"""Called by `ls` itself, never by a library before it begins."""

THREADS, CALLS = 8, 300


def by_name(functions: tuple[str, ...], module: str) -> str:
    """A clause for each function, under the name that we asked for, not the one chosen among its aliases."""
    return "\n".join(f'pid$target:{module}:{name}:entry {{ @["{name}"] = count(); }}' for name in functions)


def agreed(program: str, command: list[str], folder: Path) -> dict[str, int]:
    """What every engine says."""
    first, *others = (each.counts for each in every(program, command, folder).values())
    assert all(other == first for other in others), (first, others)
    return first


def test_calls_of_libc_are_those_that_bpftrace_and_gdb_count(tmp_path: Path) -> None:
    command = ["/bin/ls", *list_files(tmp_path)[1:]]
    ours = agreed(by_name(OF_LS, "libc.so.6"), command, tmp_path)
    assert ours.keys() == set(OF_LS)
    assert other_tracers.bpftrace(OF_LS, LIBC, command, tmp_path / "ls.bt") == ours
    assert other_tracers.gdb(OF_LS, command, tmp_path / "ls.gdb") == ours


def test_calls_of_libc_are_those_that_perf_counts(tmp_path: Path) -> None:
    command = ["/bin/ls", *list_files(tmp_path)[1:]]
    theirs = other_tracers.perf(OF_LS, LIBC, command, tmp_path / "ls.perf")
    assert agreed(by_name(OF_LS, "libc.so.6"), command, tmp_path) == theirs


def test_calls_of_eight_threads_are_those_that_bpftrace_and_gdb_count(
    triggers: Triggers, tmp_path: Path
) -> None:
    program = triggers.path("eight_threads")
    command = [str(program), str(CALLS)]
    assert agreed(by_name(("work",), "a.out"), command, tmp_path) == {"work": THREADS * CALLS}
    assert other_tracers.bpftrace(["work"], program, command, tmp_path / "work.bt") == {
        "work": THREADS * CALLS
    }
    assert other_tracers.gdb(["work"], command, tmp_path / "work.gdb") == {"work": THREADS * CALLS}


def test_others_count_from_before_the_program_is_at_its_main(tmp_path: Path) -> None:
    source, library = tmp_path / "early.c", tmp_path / "libearly.so"
    source.write_text(
        "#include <unistd.h>\n"
        "__attribute__((constructor)) void early(void) { for (int n = 0; n < 5; n++) getppid(); }\n"
    )
    compile_c(source, library, ("-shared", "-fPIC"))
    source = tmp_path / "late.c"
    source.write_text(
        "#include <unistd.h>\nint main(void) { for (int n = 0; n < 7; n++) getppid(); return 0; }\n"
    )
    flags = ("-Wl,--no-as-needed", f"-L{tmp_path}", f"-Wl,-rpath,{tmp_path}", "-learly")
    program = compile_c(source, tmp_path / "late", flags)
    command = [str(program)]
    assert agreed(by_name(("getppid",), "libc.so.6"), command, tmp_path) == {"getppid": 7}
    assert other_tracers.gdb(["getppid"], command, tmp_path / "late.gdb") == {"getppid": 12}
    lines = [
        f"uprobe:{program}:main /pid == cpid/ {{ @begun = 1; }}",
        f"uprobe:{LIBC}:getppid /pid == cpid/ {{ @all = count(); }}",
        f"uprobe:{LIBC}:getppid /pid == cpid && @begun/ {{ @since = count(); }}",
    ]
    found = other_tracers.bpftrace_program(lines, command, tmp_path / "late.bt")
    assert (found["all"], found["since"]) == (12, 7)


def test_bpftrace_counts_the_resolver_of_a_function_that_is_chosen_at_load_time(
    triggers: Triggers, tmp_path: Path
) -> None:
    command = [str(triggers.path("libc_calls"))]
    calls = (
        "pid$target:libc.so.6:strlen:entry /strlen(copyinstr(arg0, 4096)) > 250/ { @[probefunc] = count(); }"
    )
    assert agreed(calls, command, tmp_path) == {"strlen": 7}
    # The resolver is called once for each object that refers to strlen, before the program begins.
    assert other_tracers.bpftrace(["strlen"], LIBC, command, tmp_path / "strlen.bt")["strlen"] < 7


@pytest.mark.parametrize(
    ("function", "hits_of_bpftrace"),
    [("first_rep_movs", 9), ("first_rep_stos", 9), ("first_lock_dec", 0), ("first_ret", 1)],
)
def test_bpftrace_hits_repeated_instructions_repeatedly_and_locked_ones_never(
    function: str, hits_of_bpftrace: int, triggers: Triggers, tmp_path: Path
) -> None:
    program, rounds = triggers.path("awkward"), 10
    command = [str(program), "1", str(rounds)]
    found = other_tracers.bpftrace([function], program, command, tmp_path / "awkward.bt")
    assert found.get(function, 0) == hits_of_bpftrace * rounds
    for engine in ("traps", "jumps", "auto"):
        ours = counted(engine, by_name((function,), "a.out"), command, tmp_path)
        assert ours.counts == {function: rounds}
