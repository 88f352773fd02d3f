"""A process that dtrap leaves has no memory of dtrap's any more, unless a thread may need it still."""

import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from backend.fasttrap.watched import watched_sites
from backend.linux import procfs
from tests.harness.triggers import Triggers
from tests.integration.running import armed, children_of, target, wait_until_suspended

TIERS = ["trap", "jump"]
ENTRIES = "pid$target:a.out:work:entry"
SLEEPER = (
    sys.executable,
    "-uc",
    "import sys, time\nprint('ready')\nwhile sys.stdin.readline():\n    time.sleep(0.3)\n    print('slept')",
)

HANDLES_SIGTRAP = (
    sys.executable,
    "-uc",
    """import signal, sys
signal.signal(signal.SIGTRAP, lambda *_: print('trapped'))
print('ready')
while sys.stdin.readline():
    signal.raise_signal(signal.SIGTRAP)""",
)


def own_memory(pid: int) -> list[str]:
    """What is mapped in a process that only a tracer maps."""
    return [
        f"{mapping.start:#x} to {mapping.end:#x} {mapping.path}"
        for mapping in procfs.mappings(pid)
        if mapping.is_anonymous_code or mapping.path.startswith("/memfd:dtrap")
    ]


def trace(pid: int, tier: str, program: str, meanwhile: Callable[[], object]) -> None:
    """Attach to a process that is to have memory of dtrap's then, do something, and leave it."""
    flags = ("-x", "engine=fasttrap", "-x", f"tier={tier}", "-p", str(pid))
    with armed(*flags, "-n", program) as tracer:
        meanwhile()
        assert own_memory(pid)
        tracer.interrupt()
        assert tracer.end().status == 0


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize(
    "action",
    ["@ = count();", "@[ustack(2)] = quantize(timestamp);", 'printf("%d", arg0);'],
    ids=["count", "clock", "record"],
)
def test_a_busy_process_has_its_memory_back(triggers: Triggers, tier: str, action: str) -> None:
    with target([triggers.path("calls_forever"), "-1"]) as process:
        process.say()
        for _ in range(2):
            trace(process.pid, tier, f"{ENTRIES} {{ {action} }}", lambda: None)
            assert own_memory(process.pid) == []
        process.say()
        assert process.end().status == 0


def test_a_call_that_sleeps_in_our_memory_goes_on_in_the_programs_own() -> None:
    with target(SLEEPER) as process:

        def sleep() -> None:
            process.say("sleep\n")
            while "nanosleep" not in Path(f"/proc/{process.pid}/wchan").read_text():
                pass

        trace(process.pid, "trap", "pid$target:libc.so.6:clock_nanosleep: { @ = count(); }", sleep)
        assert own_memory(process.pid) == []
        assert process.output.readline() == b"slept\n"


def test_memory_that_a_waiting_thread_needs_stays(triggers: Triggers) -> None:
    with target([triggers.path("suspends")]) as process:
        if not watched_sites(process.pid).suspending:
            pytest.skip("this C library has no `syscall` instruction for sigsuspend alone")

        def suspend() -> None:
            process.say()
            assert process.output.readline() == b"suspended\n"
            wait_until_suspended(process.pid)

        trace(process.pid, "trap", "pid$target:a.out:probed:entry { @ = count(); }", suspend)
        assert own_memory(process.pid)
        for number in (1, 2, 3):
            process.process.send_signal(signal.SIGUSR2)
            assert process.output.readline() == f"called {number}, set 1\n".encode()
            assert process.output.readline() == (b"suspended\n" if number < 3 else b"")
        assert process.end().status == 0


def test_memory_stays_where_another_process_has_it_too(triggers: Triggers) -> None:
    with target([triggers.path("shares_memory")]) as process:
        process.say()
        (child,) = children_of(process.pid)
        trace(child, "jump", f"{ENTRIES} {{ @[ustack(2)] = quantize(timestamp); }}", lambda: None)
        assert own_memory(child)
        assert process.process.poll() is None


def test_only_scratch_space_stays_where_a_program_handles_sigtrap() -> None:
    by_jumps, by_traps_too = "pid$target:libc.so.6::entry", "pid$target:libc.so.6:raise:"
    with target(HANDLES_SIGTRAP) as process:

        def trap() -> None:
            process.say()
            assert process.output.readline() == b"trapped\n"

        trace(process.pid, "auto", f"{by_jumps}, {by_traps_too} {{ @[probefunc] = count(); }}", trap)
        kept = own_memory(process.pid)
        assert len(kept) == 1
        assert "memfd" not in kept[0]
        trap()
