"""How often a function is called, asked of tracers that others have written: bpftrace, gdb and perf.

Each starts the command itself, as dtrap does with -c. Hands counts by function to test_other_tracers, which
knows what each of them counts that dtrap does not.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from tests.conftest import IN_CI
from tests.harness.command import environment

TIMEOUT_S: Final = 60.0


def require(tool: str) -> None:
    """Skip the test where the tool is not installed; in CI, which installs it, that is a failure."""
    if shutil.which(tool) is None and IN_CI:
        pytest.fail(f"CI installs {tool}", pytrace=False)
    if shutil.which(tool) is None:
        pytest.skip(f"needs {tool}")


def bpftrace(
    functions: Sequence[str], file: Path, command: Sequence[str | Path], script: Path
) -> dict[str, int]:
    """Count with a uprobe each in `file`, hits of the command's own process."""
    return bpftrace_program(
        [f"uprobe:{file}:{name} /pid == cpid/ {{ @{name} = count(); }}" for name in functions],
        command,
        script,
    )


def bpftrace_program(lines: Sequence[str], command: Sequence[str | Path], script: Path) -> dict[str, int]:
    """Run a bpftrace program, kept in `script`, over a command; return its maps by name."""
    require("bpftrace")
    script.write_text("\n".join(lines))
    printed = _output(["bpftrace", script, "-c", " ".join(map(str, command))])
    assert printed.count("Attaching") == 1, printed
    return {match[1]: int(match[2]) for match in re.finditer(r"^@(\w+): (\d+)$", printed, re.MULTILINE)}


# No separate debug files: a breakpoint on a name is then one place in each file, as a uprobe is.
_GDB: Final = (
    "set confirm off",
    "set pagination off",
    "set startup-with-shell off",
    "set debuginfod enabled off",
    "set debug-file-directory /nonexistent",
    "set breakpoint pending on",
)


def gdb(functions: Sequence[str], command: Sequence[str | Path], script: Path) -> dict[str, int]:
    """Count with a breakpoint each that is passed on every hit."""
    require("gdb")
    lines = list(_GDB)
    for number, name in enumerate(functions, start=1):
        lines += [f"break {name}", f"ignore {number} 1000000000"]
    script.write_text("\n".join([*lines, "run", "info breakpoints"]))
    printed = _output(["gdb", "-nx", "-batch", "-x", script, "--args", *command])
    table = printed[printed.index("Num ") :]
    hits = {
        int(match[1]): int(match[2])
        for match in re.finditer(
            r"^(\d+) +breakpoint .*\n(?:\t.*\n)*?\tbreakpoint already hit (\d+) times?", table, re.MULTILINE
        )
    }
    return {name: hits[number] for number, name in enumerate(functions, start=1) if number in hits}


_PERF: Final = """
set -e
test -e /sys/kernel/tracing/uprobe_events || mount -t tracefs none /sys/kernel/tracing || exit 77
report=$1 group=$2 file=$3 functions=$4
shift 4
trap 'perf probe -q -d "$group:*" 2>&1' EXIT
events=
for name in $functions; do
    perf probe -q -x "$file" --add "$group:$name=$name" >&2
    events="$events -e $group:$name"
done
perf stat -x, -o "$report" $events -- "$@" >/dev/null
"""


def perf(functions: Sequence[str], file: Path, command: Sequence[str | Path], report: Path) -> dict[str, int]:
    """Count with `perf probe` and `perf stat`, in a mount namespace of its own that has a tracefs."""
    if shutil.which("perf") is None:
        pytest.skip("needs perf")
    group = f"dtrap_test_{os.getpid()}"
    words = ["unshare", "-m", "bash", "-c", _PERF, "perf", report, group, file, " ".join(functions)]
    result = subprocess.run(
        [*map(str, words), *map(str, command)],
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    if result.returncode == 77:
        pytest.skip(f"needs tracefs, which can't be mounted: {result.stderr}")
    assert result.returncode == 0, result
    rows = [line.split(",") for line in report.read_text().splitlines() if f"{group}:" in line]
    return {row[2].partition(":")[2]: int(row[0]) for row in rows}


def _output(words: Sequence[str | Path]) -> str:
    result = subprocess.run(
        [str(word) for word in words],
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert result.returncode == 0, result
    return result.stdout
