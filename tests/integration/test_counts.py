"""Exact counts: programs whose calls are known, each call counted once and no call of anybody else."""

import subprocess
from pathlib import Path

import pytest

from tests.harness.triggers import Triggers, compile_c
from tests.integration.running import armed, counts, run, target, trace

pytestmark = pytest.mark.requires_uprobes

THREADS, CALLS = 8, 5000
BY_THREAD = """pid$target:a.out:work:entry {
    @total[probefunc] = count();
    @sum["sum"] = sum(arg1);
    @[arg0, "calls"] = count();
}"""


def expected_of_threads() -> dict[str, int]:
    each = {f"{thread} calls": CALLS for thread in range(THREADS)}
    return {"work": THREADS * CALLS, "sum": THREADS * sum(range(CALLS)), **each}


def test_threads_of_a_created_process_are_counted_exactly(triggers: Triggers) -> None:
    result = run("-q", "-n", BY_THREAD, "-c", f"{triggers.path('eight_threads')} {CALLS}")
    assert (result.status, counts(result.stdout)) == (0, expected_of_threads())


def test_threads_of_a_running_process_are_counted_exactly(triggers: Triggers) -> None:
    result = trace([triggers.path("eight_threads"), str(CALLS)], BY_THREAD)
    assert counts(result.stdout) == expected_of_threads()


TRUNCATED = """pid$target:a.out:add:entry { @ = count(); }
    tick-2ms { printa("%@d\\n", @); trunc(@); }
    END { printa("%@d\\n", @); }"""


def test_what_trunc_forgets_does_not_come_back_while_a_thread_adds_to_it_all_the_time(
    triggers: Triggers,
) -> None:
    calls = 20_000_000
    command = f"{triggers.path('calls')} {calls}"
    result = run("-q", "-x", "engine=fasttrap", "-x", "tier=jump", "-n", TRUNCATED, "-c", command)
    printed = [int(line) for line in result.stdout.split()]
    assert len(printed) > 2
    assert calls / 2 < sum(printed) <= calls  # hits between the printing and the forgetting are in neither


FAMILY = "pid$target:a.out:work:entry { @[probefunc] = count(); }"


def test_forked_children_are_not_counted_when_created(triggers: Triggers) -> None:
    result = run("-q", "-n", FAMILY, "-c", str(triggers.path("family")))
    assert counts(result.stdout) == {"work": 3}


def test_forked_children_are_not_counted_when_attached(triggers: Triggers) -> None:
    result = trace([triggers.path("family")], FAMILY)
    assert counts(result.stdout) == {"work": 3}


@pytest.mark.parametrize("engine", ["uprobes", "fasttrap"])
def test_a_process_that_executes_the_same_program_anew_is_still_counted(
    engine: str, triggers: Triggers
) -> None:
    result = run("-q", "-x", f"engine={engine}", "-n", FAMILY, "-c", str(triggers.path("executes")))
    assert counts(result.stdout) == {"work": 7}


def test_the_libc_of_a_process_is_counted_in_the_next_program_it_executes(triggers: Triggers) -> None:
    program = "pid$target:libc.so.6:strlen:entry /strlen(copyinstr(arg0)) == 255/ { @[probefunc] = count(); }"
    shell = ["sh", "-c", f"echo ready; read go; exec {triggers.path('libc_calls')}"]
    with target(shell) as process:
        with armed("-p", str(process.pid), "-n", program) as tracer:
            process.say("\n")
            # The program waits as well.
            assert process.output.readline() == b"ready\n"
            process.say("\n")
            result = tracer.end()
        assert process.end().status == 0
    assert counts(result.stdout) == {"strlen": 7}


def test_aliases_are_one_probe_and_counted_once(triggers: Triggers) -> None:
    program = "pid$target:a.out:*work*:entry { @[probefunc] = count(); }"
    result = run("-n", program, "-c", str(triggers.path("aliases")))
    assert "matched 1 probe\n" in result.stderr
    assert list(counts(result.stdout).values()) == [2]


def test_a_call_by_either_alias_is_counted_under_either_name(triggers: Triggers) -> None:
    for alias in ("work", "work_again", "__work"):
        program = f"pid$target:a.out:{alias}:entry {{ @ = count(); }}"
        result = run("-q", "-n", program, "-c", str(triggers.path("aliases")))
        assert result.stdout.split() == ["2"], alias


def test_functions_chosen_at_load_time_are_counted_where_they_are_implemented(triggers: Triggers) -> None:
    program = """
        pid$target:libc.so.6:strlen:entry /strlen(copyinstr(arg0)) == 255/ { @[probefunc] = count(); }
        pid$target:libc.so.6:memcpy:entry /arg2 == 4003/ { @[probefunc] = count(); }
        pid$target:libc.so.6:atoi:entry { @[probefunc] = count(); }
    """
    result = run("-q", "-n", program, "-c", str(triggers.path("libc_calls")))
    found = counts(result.stdout)
    # memmove has the same implementation, and either name stands for it.
    assert sorted(found.values()) == [7, 11, 13], result
    assert {name.replace("memmove", "memcpy") for name in found} == {"strlen", "memcpy", "atoi"}


def test_functions_of_a_stripped_program_are_named_from_its_debug_file(
    triggers: Triggers, tmp_path: Path
) -> None:
    source = tmp_path / "stripped.c"
    source.write_text(
        "static __attribute__((noinline, noipa)) int hidden(int n) { return n + 1; }\n"
        "int main(void) { int n = 0; while (n < 17) n = hidden(n); return n != 17; }\n"
    )
    program = compile_c(source, tmp_path / "stripped")
    debug = tmp_path / "stripped.debug"
    subprocess.run(["objcopy", "--only-keep-debug", program, debug], check=True)
    subprocess.run(["strip", program], check=True)
    subprocess.run(["objcopy", f"--add-gnu-debuglink={debug}", program], check=True)
    result = run("-q", "-n", "pid$target:a.out:hidden:entry { @[probefunc] = count(); }", "-c", str(program))
    assert counts(result.stdout) == {"hidden": 17}, result


def test_names_are_printed_when_process_and_file_are_gone(triggers: Triggers, tmp_path: Path) -> None:
    program = tmp_path / "deleted"
    program.write_bytes(triggers.path("eight_threads").read_bytes())
    program.chmod(0o755)
    with target([program, "100"]) as process:
        program.unlink()
        with armed(
            "-p",
            str(process.pid),
            "-n",
            'pid$target:::entry /probefunc == "work"/ { @[probemod, probefunc] = count(); }',
        ) as tracer:
            process.say()
            assert process.end().status == 0
            result = tracer.end()
    assert counts(result.stdout) == {"deleted work": 800}, result


def test_calls_in_a_library_that_is_loaded_twice_are_counted_once(triggers: Triggers, tmp_path: Path) -> None:
    source, library = tmp_path / "f.c", tmp_path / "libf.so"
    source.write_text("int f(int n) { return n + 1; }\n")
    compile_c(source, library, ("-shared", "-fPIC"))
    result = trace(
        [triggers.path("two_copies"), library], "pid$target:libf.so:f:entry { @[probefunc] = count(); }"
    )
    assert counts(result.stdout) == {"f": 8}


def test_threads_are_counted_on_when_the_main_thread_has_exited(triggers: Triggers) -> None:
    result = trace([triggers.path("outlives_main")], FAMILY)
    assert counts(result.stdout) == {"work": 10}


def test_process_without_its_main_thread_costs_no_other_process(triggers: Triggers) -> None:
    program = "pid$target:a.out:work:entry { @[probefunc, ustackdepth > 2] = count(); }"
    with (
        target([triggers.path("leaderless")]) as process,
        armed("-v", "-p", str(process.pid), "-n", program) as tracer,
    ):
        process.say()
        assert process.output.readline() == b"done\n"
        tracer.interrupt()
        result = tracer.end()
    assert counts(result.stdout) == {"work 1": 1}
    assert "fasttrap serves all sites: its main thread has exited" in result.stderr


@pytest.mark.parametrize("tier", ["trap", "auto"])
def test_threads_that_never_leave_the_kernel_are_let_be(triggers: Triggers, tier: str) -> None:
    command = [triggers.path("kernels_threads")]
    process = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if process.stdout == "refused\n":
        pytest.skip("io_uring can't be used here")
    result = trace(command, FAMILY, "-x", "engine=fasttrap", "-x", f"tier={tier}")
    assert counts(result.stdout) == {"work": 3}
