"""Go programs, whose goroutines change threads and stacks: entries and returns on every engine."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import IN_CI
from tests.harness.command import SERVED_BY
from tests.harness.triggers import SOURCES
from tests.integration.running import counts, run

PROGRAM = """
    pid$target:a.out:main.fib:return { @returned[probefunc] = count(); @sum["sum"] = sum(arg1); }
    pid$target:a.out:main.deep:return, pid$target:a.out:main.panics:return { @returned[probefunc] = count(); }
    pid$target:a.out:main.fib:entry, pid$target:a.out:main.deep:entry, pid$target:a.out:main.panics:entry
    { @entered[probefunc, "entered"] = count(); }
"""
THREADS, CALLS, NUMBER, LAST, DEPTH = 8, 4, 8, 15, 500


@pytest.fixture(scope="module")
def goroutines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("go") is None:
        if IN_CI:
            pytest.fail("CI installs Go", pytrace=False)
        pytest.skip("needs Go")
    folder = tmp_path_factory.mktemp("go")
    source = shutil.copy(SOURCES / "goroutines.go", folder)
    surroundings = os.environ | {"GO111MODULE": "off", "GOCACHE": str(folder / "cache")}
    subprocess.run(["go", "build", "-o", "goroutines", source], cwd=folder, env=surroundings, check=True)
    return folder / "goroutines"


def calls_of_fib(n: int) -> list[int]:
    """What each call made by fib(n) returns, fib(n) itself last."""
    if n < 2:
        return [n]
    first, second = calls_of_fib(n - 1), calls_of_fib(n - 2)
    return [*first, *second, first[-1] + second[-1]]


@pytest.mark.requires_uprobes
@pytest.mark.parametrize("way", ["uprobes", "traps", "jumps"])
def test_returns_are_exact_and_entries_are_one_more_for_each_stack_that_grows(
    way: str, goroutines: Path
) -> None:
    result = run("-q", *SERVED_BY[way], "-n", PROGRAM, "-c", str(goroutines))
    assert "610\n" in result.stderr
    found = counts(result.stdout)
    results = THREADS * CALLS * calls_of_fib(NUMBER) + calls_of_fib(LAST)
    assert found.pop("sum") == sum(results)
    expected = {"main.fib": len(results), "main.deep": THREADS * (DEPTH + 1), "main.panics": THREADS * CALLS}
    for name, count in expected.items():
        assert found.pop(name) == count
        assert count <= found.pop(f"{name} entered") < count + 200
    assert not found
