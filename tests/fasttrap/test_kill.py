"""Whoever is killed with SIGKILL, dtrap or its tracer, at any moment: the target lives on with its own text."""

import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from backend.errors import TraceeEnded, TracerDied
from backend.fasttrap import guardian, inject, leftovers, safety
from backend.fasttrap.engine import Engine
from backend.fasttrap.loop import HotLoop
from backend.fasttrap.site_batch import Site, SiteBatch
from backend.fasttrap.tracee import OPTIONS, Thread, Threads
from backend.linux import pidfd, procfs, ptrace, threads
from backend.linux.wait_status import SignalStop, decode
from tests.fasttrap.test_hits import ask_how_it_is, awkward_functions
from tests.fasttrap.tracing import (
    Tracing,
    forked,
    function_offsets,
    is_traced,
    libc_of,
    load_address,
    output,
    tell_go,
    text_of,
    trigger,
)
from tests.harness.triggers import Triggers

KILLS = 100
TRACER_KILLS = 15
LATEST_S = 0.2
"""By then all is armed and has run for a while."""


def wait_until_untraced(pid: int) -> None:
    """Wait until no thread has a tracer: the end of a tracer is not announced to those that aren't its
    parent.
    """
    while any(map(is_traced, procfs.threads(pid))):
        time.sleep(0.001)


def trace_for_ever(tracing: Tracing, pid: int, program: Path, libc: Path) -> None:
    tracing.tracer.attach(pid)
    tracing.arm(program, awkward_functions(program))
    tracing.arm_all(libc)
    tracing.tracer.go()


@pytest.mark.timeout(200)
def test_target_outlives_dtrap_killed_at_any_moment(triggers: Triggers) -> None:
    for _ in kill_dtrap_again_and_again(triggers.path("endless"), KILLS, seed=1):
        pass


def kill_dtrap_again_and_again(program: Path, kills: int, seed: int) -> Iterator[int]:
    """Trace a program and kill dtrap, each time at another moment; yield the number of times that it has
    lived on.
    """
    moments = random.Random(seed)
    with trigger(program, "3") as process:
        libc = libc_of(process.pid)
        before = text_of(process.pid, program), text_of(process.pid, libc)
        tell_go(process)
        for number in range(kills):
            dtrap = os.fork()
            if dtrap == 0:
                try:
                    trace_for_ever(Tracing(), process.pid, program, libc)
                    signal.pause()
                finally:
                    os._exit(1)
            time.sleep(moments.uniform(0, LATEST_S))
            os.kill(dtrap, signal.SIGKILL)
            os.waitpid(dtrap, 0)
            wait_until_untraced(process.pid)
            ask_how_it_is(process)
            after = text_of(process.pid, program), text_of(process.pid, libc)
            if after != before:
                assert not differences(before, after)
            yield number + 1


def differences(before: Sequence[bytes], after: Sequence[bytes]) -> list[tuple[int, int, int]]:
    """Where two readings of some texts differ: offset, byte before, byte after."""
    return [
        (offset, old, new)
        for first, second in zip(before, after, strict=True)
        for offset, (old, new) in enumerate(zip(first, second, strict=True))
        if old != new
    ]


def tracer_of(pid: int) -> int:
    tracer = procfs.status(pid).tracer_pid
    assert tracer, "it has none, and 0 would be whoever runs the test"
    return tracer


@pytest.mark.timeout(200)
def test_target_outlives_its_tracer_killed_while_it_traces(triggers: Triggers) -> None:
    program = triggers.path("endless")
    moments = random.Random(2)
    with trigger(program, "3") as process:
        libc = libc_of(process.pid)
        before = text_of(process.pid, program), text_of(process.pid, libc)
        tell_go(process)
        for _ in range(TRACER_KILLS):
            with Tracing() as tracing:
                trace_for_ever(tracing, process.pid, program, libc)
                time.sleep(moments.uniform(0, LATEST_S))
                os.kill(tracer_of(process.pid), signal.SIGKILL)
                with pytest.raises(TracerDied):
                    tracing.next()
            ask_how_it_is(process)
            assert (text_of(process.pid, program), text_of(process.pid, libc)) == before
            assert sigtrap_is_default(process)


@pytest.mark.timeout(60)
def test_a_thread_comes_out_of_the_safety_handler_though_signals_wait_for_it(triggers: Triggers) -> None:
    program = triggers.path("counts_signals")
    with trigger(program) as process:
        site = load_address(process.pid, program) + function_offsets(program)["probed"]
        tell_go(process)
        tracer = forked(lambda: take_over_in_handler(process.pid, site))
        assert os.waitpid(tracer, 0)[1] == 0
        assert process.stdin is not None
        os.write(process.stdin.fileno(), bytes((1,)))
        assert output(process).readline() == "all\n"


def see_first_thread_killed(pid: int, all_threads: Threads) -> None:
    ptrace.cont(pid)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(TraceeEnded):
        stops_of(pid)


def kill_between_look_and_taking(pid: int, all_threads: Threads) -> None:
    ptrace.cont(pid)
    del all_threads.held[pid]

    def kill(tid: int, _number: int) -> bool:
        if tid == pid:
            os.kill(pid, signal.SIGKILL)
            while not procfs.has_exited(pid):
                time.sleep(0.001)
        return False

    all_threads.keep_signal = kill
    while all_threads.known:  # the signal may come after it has been held
        all_threads.hold_all()
        for tid in list(all_threads.held):
            del all_threads.held[tid]
            with contextlib.suppress(ProcessLookupError):
                ptrace.cont(tid)


@pytest.mark.parametrize("action", [see_first_thread_killed, kill_between_look_and_taking])
def test_a_first_thread_that_is_killed_while_others_are_held_is_not_waited_for(
    triggers: Triggers, action: Callable[[int, Threads], None]
) -> None:
    def hold_and_act() -> None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(20)
        all_threads = Threads(process.pid)
        all_threads.seize_all()
        assert len(all_threads.held) > 1
        action(process.pid, all_threads)

    with trigger(triggers.path("endless"), "4") as process:
        tell_go(process)
        ask_how_it_is(process)
        assert os.waitpid(forked(hold_and_act), 0)[1] == 0


def test_threads_are_seized_while_one_that_is_not_seized_yet_executes_a_program(triggers: Triggers) -> None:
    def seize() -> None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(20)
        while len(procfs.threads(process.pid)) < 3:
            time.sleep(0.001)
        _, waiting, _ = procfs.threads(process.pid)
        all_threads = Threads(process.pid)
        ptrace.seize(waiting, OPTIONS)
        all_threads.known[waiting] = Thread(waiting)
        tell_go(process)
        while not procfs.has_exited(waiting):
            time.sleep(0.001)
        all_threads.seize_all()
        assert list(all_threads.held) == [process.pid]
        assert procfs.threads(process.pid) == (process.pid,)

    with trigger(triggers.path("executes_on_byte")) as process:
        tell_go(process)
        assert os.waitpid(forked(seize), 0)[1] == 0


def stops_of(tid: int) -> None:
    while True:
        inject.await_stop(tid)
        ptrace.cont(tid)


def test_int3s_are_not_blocked_while_signals_wait() -> None:
    raised = (signal.SIGTRAP, signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE)
    never = (signal.SIGKILL, signal.SIGSTOP)
    unblocked = {number for number in range(1, 65) if not leftovers.ALL_BUT_FAULTS >> number - 1 & 1}
    assert unblocked == {*raised, *never}


def take_over_in_handler(pid: int, site: int) -> None:
    """In the process of a tracer: bring a thread into the safety handler, have ten signals wait for it, and put right
    what a tracer that is dead would have left.
    """
    engine = Engine(HotLoop())
    engine.attach(pid)
    process = engine.process
    memory, tid = process.tracepoints.memory, procfs.threads(pid)[-1]
    process.tracepoints.prepare(SiteBatch([Site(site, 0)]), tid, process.gate, shadow_stack=False)
    process.secure(tid)
    threads.send_signal(pid, tid, signal.SIGTRAP)
    ptrace.cont(tid)
    assert decode(inject.await_stop(tid)) == SignalStop(signal.SIGTRAP)
    ptrace.interrupt(tid)
    ptrace.cont(tid, signal.SIGTRAP)
    process.threads.held[tid] = inject.await_stop(tid)
    found = safety.find(pid, memory)
    assert any(leftover.is_in_handler(ptrace.instruction_pointer(tid)) for leftover in found)
    for _ in range(10):
        threads.send_signal(pid, tid, signal.SIGRTMIN)
    leftovers.put_right(process, found)
    assert not any(leftover.is_in_handler(ptrace.instruction_pointer(tid)) for leftover in found)
    engine.detach()


@pytest.mark.parametrize("armed", [True, False])
def test_copies_in_which_a_dead_tracer_had_threads_stop_are_made_harmless(
    triggers: Triggers, armed: bool
) -> None:
    # A thread may be on its way to such a copy's int3 when the text is in order already and SIGTRAP deadly again.
    program = triggers.path("endless")
    with trigger(program, "1") as process:
        site = load_address(process.pid, program) + function_offsets(program)["first_push"]
        reading, writing = os.pipe()
        tracer = os.fork()
        if tracer == 0:
            try:
                os.write(writing, str(make_stopping_copy(process.pid, site, armed=armed)).encode())
            finally:
                os._exit(1)
        os.close(writing)
        with os.fdopen(reading) as lines:
            end = int(lines.read())
        os.waitpid(tracer, 0)
        assert procfs.read_memory(process.pid, end, 1) == b"\xcc"
        guardian.rescue(process.pid)
        assert procfs.read_memory(process.pid, end, 1) == b"\x90"


def make_stopping_copy(pid: int, site: int, *, armed: bool) -> int:
    """In the process of a tracer: make ready for an int3 at the site; return where the copy stops."""
    engine = Engine(HotLoop())
    engine.attach(pid)
    points, tid = engine.process.tracepoints, engine.process.spare_thread()
    assert tid is not None
    points.prepare(SiteBatch([Site(site, 0)]), tid, engine.process.gate, shadow_stack=False)
    engine.process.secure(tid)
    stopping = points.stopping(points.route(0, tid), set())
    assert stopping is not None
    if not armed:
        safety.disarmed(points.memory, points.space.regions)
    return stopping.end


def sigtrap_is_default(process: subprocess.Popen[str]) -> bool:
    text = Path(f"/proc/{process.pid}/status").read_text()
    caught = next(line.split()[1] for line in text.splitlines() if line.startswith("SigCgt:"))
    return not int(caught, 16) >> signal.SIGTRAP - 1 & 1


def test_created_program_that_has_not_run_ends_with_dtrap(triggers: Triggers) -> None:
    program = triggers.path("endless")
    reading, writing = os.pipe()
    dtrap = os.fork()
    if dtrap == 0:
        try:
            tracing = Tracing()
            pid = tracing.tracer.create(str(program))
            base = load_address(pid, program)
            tracing.tracer.arm([Site(base + function_offsets(program)["main"], 0)])
            os.write(writing, f"{pid}\n".encode())
            signal.pause()
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading) as lines:
        pid = int(lines.readline())
        descriptor = os.pidfd_open(pid)
        os.kill(dtrap, signal.SIGKILL)
        os.waitpid(dtrap, 0)
        assert pidfd.wait_end(descriptor, 20)
        os.close(descriptor)


def test_no_signal_is_lost_with_a_tracer_killed_while_it_holds_the_process(triggers: Triggers) -> None:
    program = triggers.path("counts_signals")
    with trigger(program) as process:
        tell_go(process)
        for tens in range(1, 13):
            with Tracing() as tracing:
                tracing.tracer.attach(process.pid)
                tracing.arm(program, ["probed"])
                tracing.tracer.go()
                for _ in range(10):
                    process.send_signal(signal.SIGRTMIN)
                tracing.tracer.hold()
                os.kill(tracer_of(process.pid), signal.SIGKILL)
                with pytest.raises(TracerDied):
                    tracing.next()
            assert process.stdin is not None
            os.write(process.stdin.fileno(), bytes((tens,)))
            assert output(process).readline() == "all\n"
