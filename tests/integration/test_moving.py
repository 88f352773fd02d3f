"""Probes moved off their function's entry, and probes attached one by one, count what the others count.

Two dtraps trace one process at once. The clauses of one read the instruction pointer, which forbids moving; so
each call of a moved site is counted once by either, or the two disagree.
"""

from pathlib import Path

import pytest

from tests.harness.triggers import Triggers
from tests.integration.running import Running, armed, counts, target, trace

pytestmark = pytest.mark.requires_uprobes

KERNEL = ("-x", "engine=uprobes")
FUNCTIONS = "pid$target:::entry"
MOVED = f"{FUNCTIONS} {{ @[probemod, probefunc] = count(); }}"
UNMOVED = f"{FUNCTIONS} /uregs[R_RIP] != 0/ {{ @[probemod, probefunc] = count(); }}"
SINGLY = (*KERNEL, "-x", "singly")


def both(process: Running, work: str) -> tuple[dict[str, int], dict[str, int]]:
    """Trace with moved and with unmoved probes while the process does `work`, until it ends; both results."""
    pid = str(process.pid)
    with armed(*KERNEL, "-p", pid, "-n", MOVED) as moved, armed(*KERNEL, "-p", pid, "-n", UNMOVED) as unmoved:
        process.say(work)
        results = moved.end(), unmoved.end()
        # Whatever the target printed was in the way of nobody: its pipe is large enough.
        assert process.end().status == 0
    return counts(results[0].stdout), counts(results[1].stdout)


def test_moved_probes_count_the_same_calls_of_ls(triggers: Triggers) -> None:
    with target(
        ["sh", "-c", "echo ready; read go; exec ls -lR /usr/include/linux /etc/apt >/dev/null"]
    ) as process:
        moved, unmoved = both(process, "go\n")
    # What ls loads and sh does not is armed a moment after it is loaded, by each dtrap at a moment of its own.
    at_once = ("libc.so.6 ", "ld-linux")
    moved, unmoved = (
        {name: count for name, count in counts.items() if name.startswith(at_once)}
        for counts in (moved, unmoved)
    )
    assert moved == unmoved
    assert sum(moved.values()) > 10_000


PYTHON = """
import json, re, zlib, sys
print("ready", flush=True)
sys.stdin.readline()
data = {str(n): [n, n / 7, str(n) * (n % 50)] for n in range(150)}
text = json.dumps(data)
assert json.loads(text) == data
assert zlib.decompress(zlib.compress(text.encode())) == text.encode()
assert len(re.findall(r"[0-9]+\\.[0-9]+", text)) > 100
"""


def test_moved_probes_count_the_same_calls_of_python(tmp_path: Path) -> None:
    script = tmp_path / "work.py"
    script.write_text(PYTHON)
    with target(["/usr/bin/python3", "-S", script]) as process:
        moved, unmoved = both(process, "go\n")
    assert moved == unmoved
    assert sum(moved.values()) > 10_000


def test_probes_attached_one_by_one_count_exactly(triggers: Triggers) -> None:
    program = "pid$target:a.out:work:entry, pid$target:a.out:main:entry { @[probefunc, arg0] = count(); }"
    result = trace([triggers.path("calls_forever"), "50"], program, *SINGLY)
    assert counts(result.stdout) == {f"work {n}": 1 for n in range(50)}


def test_probes_attached_one_by_one_do_not_count_children(triggers: Triggers) -> None:
    program = "pid$target:a.out:work:entry { @[probefunc] = count(); }"
    result = trace([triggers.path("family")], program, *SINGLY)
    assert counts(result.stdout) == {"work": 3}
