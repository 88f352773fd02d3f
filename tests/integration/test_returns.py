"""Returns that pair with entries, thread by thread; and the kernel's way to returns, for who asks for it."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.harness.triggers import Triggers, compile_c
from tests.integration.running import armed, counts, run, target

pytestmark = pytest.mark.requires_uprobes

SERVED_BY = {
    "uprobes": ("-x", "engine=uprobes"),
    "traps": ("-x", "engine=fasttrap", "-x", "tier=trap"),
    "jumps": ("-x", "engine=fasttrap"),
}


@pytest.mark.parametrize("engine", SERVED_BY)
def test_each_return_finds_what_its_thread_kept_at_entry(engine: str, triggers: Triggers) -> None:
    program = """
        pid$target:a.out:work:entry { self->began = timestamp; self->product = arg0 * arg1; }
        pid$target:a.out:work:return
        { @[self->began && self->began <= timestamp && arg1 == self->product ? "right" : "wrong"] = count(); }
    """
    command = f"{triggers.path('eight_threads')} 500"
    result = run("-q", *SERVED_BY[engine], "-n", program, "-c", command)
    assert counts(result.stdout) == {"right": 8 * 500}


@pytest.mark.parametrize("engine", SERVED_BY)
def test_returns_of_a_function_left_by_jrcxz_are_left_out_by_name(engine: str, triggers: Triggers) -> None:
    program = "pid$target:a.out:[lw][eo][fr]?:return { @[probefunc] = count(); }"
    result = run("-qv", *SERVED_BY[engine], "-n", program, "-c", str(triggers.path("leaves_by_rcx")))
    assert (result.status, counts(result.stdout)) == (0, {"work": 1})
    assert (
        ":left:return left out: it is left by an instruction that looks at rcx at offset 3\n" in result.stderr
    )


EXCEPTIONS = """
struct Error { int number; };
__attribute__((noinline)) int throws(int n) { if (n % 3 == 0) throw Error{n}; return n; }
__attribute__((noinline)) int catches(int n) { try { return throws(n) + 1; } catch (Error &) { return -1; } }
int main() { int sum = 0; for (int i = 0; i < 30; i++) sum += catches(i); return sum != 310; }
"""


@pytest.mark.parametrize("engine", SERVED_BY)
def test_who_throws_does_not_return_and_who_catches_does(engine: str, tmp_path: Path) -> None:
    source = tmp_path / "exceptions.cc"
    source.write_text(EXCEPTIONS)
    program = tmp_path / "exceptions"
    subprocess.run(["g++", "-O1", "-o", program, source], check=True)
    clause = "{ @[probefunc, probename] = count(); }"
    probes = ", ".join(
        f"pid$target:a.out:{function}:{name}"
        for function in ("_Z6throwsi", "_Z7catchesi")
        for name in ("entry", "return")
    )
    found = counts(run("-q", *SERVED_BY[engine], "-n", f"{probes} {clause}", "-c", str(program)).stdout)
    assert found == {
        "_Z6throwsi entry": 30,
        "_Z6throwsi return": 20,
        "_Z7catchesi entry": 30,
        "_Z7catchesi return": 30,
    }


@pytest.mark.parametrize("engine", SERVED_BY)
def test_return_behind_an_instruction_that_faults(engine: str, triggers: Triggers) -> None:
    """The faulting instruction and the return are under one jump; handlers repeat it or skip it."""
    program = "pid$target:a.out:reads*:return { @[probefunc] = count(); }"
    with target([triggers.path("faults")]) as process:
        words = ("--coverage", *SERVED_BY[engine], "-n", program, "-p", str(process.pid))
        with armed(*words) as tracer:
            process.say()
            printed = process.end()
            assert printed.status == 0
            result = tracer.end()
    assert [line.partition(" ")[2] for line in printed.stdout.splitlines()] == [
        f"{seen} pc right address right" for seen in (1, 3, 1, 1, 1, 3)
    ]
    table, _, coverage = result.stdout.partition("dtrap: coverage")
    assert counts(table) == {"reads": 1, "reads_never": 3, "reads_late": 3, "reads_far": 1}
    if engine == "jumps":
        assert "\n  jump " in coverage + result.stderr, result


AWKWARD = """
#define FUNCTION(name, text) __attribute__((naked, noinline)) long name(long n) { asm(text); }
FUNCTION(led, "lea 3(%rdi),%rax; add %rdi,%rax; ret")
FUNCTION(entered, "test %rdi,%rdi; je 1f; lea (%rdi,%rdi),%rax; 1: ret; 2: xor %rax,%rax; jmp 2b")
FUNCTION(alone, "ret; 2: xor %rdi,%rdi; jmp 2b")
FUNCTION(branches, "test $1,%dil; jne alone; lea 9(%rdi),%rax; ret")
FUNCTION(tail, "inc %rdi; jmp led")
int main(void)
{
    long sum = 0;
    for (long i = 0; i < 100; i++)
        sum += led(i) + tail(i) + entered(i) + branches(i & ~1L), alone(branches(i | 1));
    return sum != 3 * 100 + 2 * 4950 + 3 * 100 + 2 * 5050 + 2 * 4950 + 100 * 9 + 2 * 2450;
}
"""


@pytest.mark.parametrize("engine", SERVED_BY)
@pytest.mark.parametrize("names", [("return",), ("entry", "return")])
def test_returns_that_leave_little_room_for_a_jump(
    engine: str, names: tuple[str, ...], tmp_path: Path
) -> None:
    """Instructions in front of it, which something enters, or does not; code behind it that no jump may change."""
    (tmp_path / "awkward.c").write_text(AWKWARD)
    program = compile_c(tmp_path / "awkward.c", tmp_path / "awkward")
    functions = ("led", "entered", "alone", "branches", "tail")
    probes = ", ".join(f"pid$target:a.out:{function}:{name}" for function in functions for name in names)
    words = (*SERVED_BY[engine], f"--coverage={tmp_path}/coverage.json", "-q", "-n")
    result = run(*words, f"{probes} {{ @[probefunc, probename] = count(); }}", "-c", str(program))
    assert result.status == 0, result
    calls = {"led": 200, "entered": 100, "alone": 200, "branches": 200, "tail": 100}
    assert counts(result.stdout) == {
        f"{function} {name}": times for function, times in calls.items() for name in names
    }
    served = json.loads((tmp_path / "coverage.json").read_text())["total"]["kinds"]["return"]["served"]
    if engine == "jumps" and names == ("return",):
        assert served["out-of-line copy"] + served["rewritten copy"] == 0, served
        assert served["punned jump"], served


def test_uretprobes_fire_once_a_call_and_know_no_offset(triggers: Triggers) -> None:
    program = """
        pid$target:a.out:either:return, pid$target:a.out:factorial:return
        { @[probefunc, arg0] = count(); @sum[probefunc] = sum(arg1); }
    """
    words = ("-q", "-x", "returns=uretprobe", "-n", program, "-c", str(triggers.path("returns")))
    found = counts(run(*words).stdout)
    assert found == {
        "either 0": 4,
        "factorial 0": 5,
        "either": 7 + 9 + 7 + 9,
        "factorial": 1 + 2 + 6 + 24 + 120,
    }


def test_uretprobes_are_not_fasttraps(triggers: Triggers) -> None:
    words = ("-q", "-x", "returns=uretprobe", "-x", "engine=fasttrap")
    result = run(*words, "-n", "pid$target:a.out:either:return", "-c", str(triggers.path("returns")))
    assert ":either:return left out: a uretprobe, which only the kernel has" in result.stderr
