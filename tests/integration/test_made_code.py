"""Code that a program makes at run time: its functions are probed where they are now, whatever becomes of them."""

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from backend.linux import procfs
from tests.harness.triggers import Triggers
from tests.integration.running import Running, armed, counts, run, target

CALLS, THREADS = 100, 2
ONCE = CALLS * THREADS
FASTTRAP = ("-x", "engine=fasttrap")
MEMORY = pytest.mark.parametrize("memory", ["rwx", "flip"])
"""The program's code is in memory that is writable and executable at once, or by turns."""
ALONE = "made alone: of /a.file\\x1b[1m"
PROBES = "pid$target:jit:{}: {{ @[probefunc, probename] = count(); }}"


@dataclass(frozen=True)
class Runtime:
    """tests/triggers/made_code.c, running."""

    process: Running

    def obey(self, *commands: str) -> None:
        for command in commands:
            self.process.say(f"{command}\n")
            assert self.process.output.readline() == b"done\n", command

    @property
    def map(self) -> Path:
        return Path(f"/tmp/perf-{self.process.pid}.map")

    def address(self, name: str) -> int:
        """Where a function is, by the last line that names it."""
        line = next(line for line in reversed(self.map.read_text().splitlines()) if line.endswith(name))
        return int(line.split()[0], 16)

    def byte(self, address: int) -> int:
        return procfs.read_memory(self.process.pid, address, 1)[0]

    def wait_for(self, condition: Callable[[], bool]) -> None:
        while not condition():
            time.sleep(0.001)

    def wait_until_armed(self, name: str) -> None:
        """Wait until an int3 stands where a function begins."""
        self.wait_for(lambda: self.byte(self.address(name)) == 0xCC)

    def end(self) -> None:
        """Have it call everything once more, and end."""
        self.obey("c")
        assert self.process.process.stdin is not None
        self.process.process.stdin.close()
        assert self.process.end().status == 0


@contextmanager
def runtime(triggers: Triggers, memory: str) -> Iterator[Runtime]:
    with target([triggers.path("made_code"), memory, str(THREADS)]) as process:
        process.say()
        made = Runtime(process)
        try:
            yield made
        finally:
            made.map.unlink(missing_ok=True)


def text_of(made: Runtime) -> bytes:
    """All code that the program has made."""
    return b"".join(
        procfs.read_memory(made.process.pid, mapping.start, mapping.size_bytes)
        for mapping in procfs.mappings(made.process.pid)
        if mapping.executable and not mapping.path and mapping.size_bytes == 1 << 16
    )


@MEMORY
def test_entries_returns_and_instructions_of_made_functions_fire(triggers: Triggers, memory: str) -> None:
    with runtime(triggers, memory) as made:
        before = text_of(made)
        with armed(*FASTTRAP, "-n", PROBES.format("made_one"), "-p", str(made.process.pid)) as tracer:
            made.obey("c")
            tracer.interrupt()
            result = tracer.end()
        names = ("0", "1", "4", "b", "c", "entry", "return")
        assert counts(result.stdout) == {f"made_one {name}": ONCE for name in names}
        assert (result.status, result.stderr) == (0, "")
        assert text_of(made) == before
        made.end()


@MEMORY
def test_what_was_rewritten_moved_or_made_meanwhile_is_probed_where_it_is(
    triggers: Triggers, memory: str
) -> None:
    program = (
        "pid$target:jit:made_*:entry, pid$target:jit:made_*:return { @[probefunc, probename] = count(); }"
    )
    with runtime(triggers, memory) as made:
        with armed(*FASTTRAP, "-n", program, "-p", str(made.process.pid)) as tracer:
            made.obey("c", "w")
            made.wait_until_armed("made_twice")
            made.obey("c", "m")
            made.wait_until_armed("made_one")
            made.obey("c", "n")
            made.wait_until_armed("made_new")
            made.obey("c", "u", "c", "f", "c")
            tracer.interrupt()
            result = tracer.end()
        rounds = {"made_one": 6, "made_two": 1, "made_twice": 5, "made_three": 6, "made_new": 3}
        expected = {
            f"{name} {which}": n * ONCE for name, n in rounds.items() for which in ("entry", "return")
        }
        assert counts(result.stdout) == expected
        assert (result.status, result.stderr) == (0, "")
        assert 0xCC not in text_of(made)
        made.end()


@MEMORY
def test_an_instruction_whose_operand_has_changed_is_executed_as_it_is_now(
    triggers: Triggers, memory: str
) -> None:
    with runtime(triggers, memory) as made:
        words = ("-n", PROBES.format("made_three"), "-p", str(made.process.pid))
        with armed(*FASTTRAP, "-x", "quiet", *words) as tracer:
            made.obey("c", "p", "c", "c")
            tracer.interrupt()
            result = tracer.end()
        found = counts(result.stdout)
        assert found.pop("made_three 4") == ONCE
        assert set(found.values()) == {3 * ONCE}
        probe = f"pid{made.process.pid}:jit:made_three:4"
        reason = "the program, or another tool's uprobe, has changed the code there"
        assert result.stderr == f"dtrap: {probe} withdrawn: {reason}\n"
        assert 0xCC not in text_of(made)
        made.end()


@MEMORY
def test_an_int3_of_the_program_s_own_where_ours_was_is_the_program_s(
    triggers: Triggers, memory: str
) -> None:
    with runtime(triggers, memory) as made:
        with armed(*FASTTRAP, "-n", PROBES.format("made_three"), "-p", str(made.process.pid)) as tracer:
            made.obey("c", "b", "c", "c")
            tracer.interrupt()
            result = tracer.end()
        assert set(counts(result.stdout).values()) == {ONCE}
        assert made.byte(made.address("made_three")) == 0xCC
        made.end()


@pytest.mark.requires_uprobes
def test_uprobes_refuse_it_by_name_and_the_default_gives_it_to_fasttrap(triggers: Triggers) -> None:
    program = "pid$target:jit:made_t*:entry, pid$target:libc.so.6:fork:entry { @[probefunc] = count(); }"
    with runtime(triggers, "rwx") as made:
        pid = str(made.process.pid)
        with armed("-x", "engine=uprobes", "-n", program, "-p", pid) as tracer:
            made.obey("c", "f")
            tracer.interrupt()
            result = tracer.end()
        assert len(counts(result.stdout)) == 1
        reason = "no file holds this code: uprobes are tied to files"
        assert result.stderr.splitlines() == [
            f"dtrap: pid{pid}:jit:{name}:entry left out: {reason}" for name in ("made_two", "made_three")
        ]
        with armed("-v", "-n", program, "-p", pid) as tracer:
            made.obey("c", "f")
            tracer.interrupt()
            result = tracer.end()
        found = counts(result.stdout)
        assert (found.pop("made_two"), found.pop("made_three"), set(found.values())) == (ONCE, ONCE, {1})
        assert "fasttrap serves 2 of 3 sites, in code that no file holds" in result.stderr
        made.end()


def test_only_its_own_names_match_it(triggers: Triggers) -> None:
    with runtime(triggers, "rwx") as made:
        pid = str(made.process.pid)

        def listed(description: str) -> list[str]:
            found = run("-ln", description, "-p", pid).stdout.splitlines()[1:]
            return [" ".join(line.split()[1:]) for line in found]

        rows = [f"pid{pid} jit {name} entry" for name in ("made_one", "made_two", "made_three", ALONE)]
        assert sorted(listed("pid$target:jit:made*:entry")) == sorted(rows)
        assert listed(f"pid$target:perf-{pid}.map:made_one:entry") == rows[:1]
        for module in ("", "*", "j*"):
            assert listed(f"pid$target:{module}:made_one:entry") == []
        missing = run("-n", "pid$target:jit:made_never:entry { }", "-p", pid)
        assert (missing.status, "with -Z its probes wait until it is made" in missing.stderr) == (1, True)
        address = made.address("made_one") + 4
        assert listed(f"pid$target:a.out:-:{address:x}") == [f"pid{pid} jit - {address:x}"]
        bad = run("-ln", f"pid$target:a.out:-:{address + 1:x}", "-p", pid)
        assert (bad.status, "no instruction of the program begins" in bad.stderr) == (1, True)
        made.end()


def test_a_map_that_lies_places_no_probe(triggers: Triggers) -> None:
    with runtime(triggers, "rwx") as made:
        before = text_of(made)
        pid = made.process.pid
        main = next(part for part in procfs.mappings(pid) if part.path.endswith("made_code"))
        stack = next(part for part in procfs.mappings(pid) if part.path == "[stack]")
        start = made.address("made_one")
        with made.map.open("a") as file:
            for name, at, size in (
                ("lie in a file", main.start, 16),
                ("lie in data", stack.start, 16),
                ("lie nowhere", 0x1000, 16),
                ("lie far", (1 << 63) - 4, 16),
                ("lie over the end", start, 1 << 20),
            ):
                file.write(f"{at:x} {size:x} {name}\n")
            file.write("lie lie lie\n\n\0\xff\n")
        result = run(*FASTTRAP, "-ln", "pid$target:jit:lie*:entry", "-p", str(pid))
        assert "lie" not in result.stdout.replace("lie*", "")
        with armed(*FASTTRAP, "-Z", "-n", PROBES.format("*"), "-p", str(pid)) as tracer:
            made.obey("c")
            tracer.interrupt()
            assert tracer.end().status == 0
        assert text_of(made) == before
        made.end()


def test_what_may_be_data_by_now_gets_no_int3(triggers: Triggers) -> None:
    """A function was thrown away, and a list of free memory is where it was."""
    with runtime(triggers, "rwx") as made:
        at = made.address("made_one") + 0x1000
        with made.map.open("a") as file:
            file.write(f"{at:x} 20 nothing\n")
        program = "pid$target:jit:nothing:entry { @ = count(); }"
        with armed(*FASTTRAP, "-n", program, "-p", str(made.process.pid)) as tracer:
            assert made.byte(at) == 0
            tracer.interrupt()
            result = tracer.end()
        assert "it may be data by now" in result.stderr
        made.end()


@MEMORY
@pytest.mark.parametrize("victims", ["dtrap", "tracer", "both"])
def test_the_program_outlives_whoever_traces_it(triggers: Triggers, memory: str, victims: str) -> None:
    with runtime(triggers, memory) as made:
        before = text_of(made)
        made.obey("e")
        for _ in range(3):
            with armed(*FASTTRAP, "-n", PROBES.format("*"), "-p", str(made.process.pid)) as tracer:
                fasttrap = procfs.status(made.process.pid).tracer_pid
                assert fasttrap
                made.obey("o")
                if victims == "both":
                    os.kill(tracer.pid, signal.SIGSTOP)
                    os.kill(fasttrap, signal.SIGKILL)
                if victims == "tracer":
                    os.kill(fasttrap, signal.SIGKILL)
                    tracer.end()
                else:
                    os.kill(tracer.pid, signal.SIGKILL)
            made.wait_for(lambda: not procfs.status(made.process.pid).tracer_pid)
            made.obey("o")
            made.wait_for(lambda: text_of(made) == before)
        made.end()


WORK_JS = """
const fs = require('fs');
function work(n) { let t = 0; for (let i = 0; i < n; i++) t += JSON.stringify({i, s: 'k' + i % 7}).length; return t; }
let rounds = 0;
const first = work(50);
function go() {
  for (let i = 0; i < 200; i++) {
    if (work(50) !== first) process.exit(3);
    const made = new Function('y', 'return y + ' + rounds);
    for (let k = 0; k < 50; k++) if (made(k) !== k + rounds) process.exit(4);
    rounds++;
  }
  if (global.gc) gc();
}
go();
console.log('ready');
fs.readSync(0, Buffer.alloc(1));
while (rounds < 600) go();
console.log('right', rounds);
"""


@pytest.mark.parametrize("name", ["entry", ""])
def test_node_lives_on_with_right_results(tmp_path: Path, name: str) -> None:
    script = tmp_path / "script.js"
    script.write_text(WORK_JS)
    options = ("--perf-basic-prof", "--interpreted-frames-native-stack", "--expose-gc")
    with target(["node", *options, script]) as process:
        words = f"pid$target:jit:*work*:{name} {{ @[probefunc, probename] = count(); }}"
        try:
            with armed(*FASTTRAP, "-Z", "-n", words, "-p", str(process.pid)) as tracer:
                process.say()
                result = tracer.end()
            assert process.end().stdout == "right 600\n"
        finally:
            Path(f"/tmp/perf-{process.pid}.map").unlink(missing_ok=True)
        assert result.status == 0
        assert any(re.search(r"work .*entry", key) for key in counts(result.stdout))
