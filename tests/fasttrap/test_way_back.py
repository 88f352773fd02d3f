"""The tracer dies in the middle of a call made in a thread's name: the thread makes the call, and goes home."""

import os
import subprocess
from dataclasses import replace
from pathlib import Path
from signal import SIGCONT, SIGSTOP, SIGTRAP, SIGUSR2
from typing import Final

from backend.fasttrap import guardian, inject
from backend.fasttrap.disposition import SA_RESTORER, SIGSET_SIZE, TRAP_BIT, Action
from backend.fasttrap.inject import Syscall
from backend.fasttrap.tracee import OPTIONS, Memory
from backend.fasttrap.way_back import way_back
from backend.linux import ptrace
from backend.linux.wait_status import WALL
from tests.fasttrap.test_hits import ask_how_it_is
from tests.fasttrap.tracing import tell_go, trigger
from tests.harness.triggers import Triggers

PAGE: Final = 4096
READ_EXEC: Final = 5
PRIVATE_ANONYMOUS: Final = 0x22
GETPID: Final = 39
NO_SYSCALL: Final = (1 << 64) - 1
ALL_SIGNALS: Final = (1 << 64) - 1
TIMES: Final = 50


def abandon_in_call(pid: int) -> None:
    """Send a process of one thread to a gate of ours with every signal blocked, as `inject.call` does, and let it
    go just then.
    """
    ptrace.seize(pid, OPTIONS)
    ptrace.interrupt(pid)
    os.waitpid(pid, WALL)
    memory = Memory(pid)
    gate = inject.find_gate(pid, memory)
    page = inject.call(pid, gate, Syscall.MMAP, 0, PAGE, READ_EXEC, PRIVATE_ANONYMOUS, -1, 0)
    home, mask = ptrace.registers(pid), ptrace.signal_mask(pid)
    memory.write(page, way_back(home, mask))
    memory.close()
    ptrace.set_registers(pid, replace(home, rip=page, rax=GETPID, orig_rax=NO_SYSCALL, rdi=0, rsi=0, rdx=0))
    ptrace.set_signal_mask(pid, ALL_SIGNALS)
    ptrace.detach(pid)


def abandon_before_call(pid: int) -> None:
    """Send it to a gate in the vdso, to set a handler for SIGTRAP, and leave it there, stopped."""
    ptrace.seize(pid, OPTIONS)
    ptrace.interrupt(pid)
    os.waitpid(pid, WALL)
    memory = Memory(pid)
    gate = inject.find_gate(pid, memory)
    home, mask = ptrace.registers(pid), ptrace.signal_mask(pid)
    action = home.rsp - 1024
    memory.write(action, Action(0x1000, SA_RESTORER, 0x1000).to_bytes())
    memory.write(gate.address, way_back(home, mask))
    memory.close()
    call = {"rax": Syscall.RT_SIGACTION, "rdi": SIGTRAP, "rsi": action, "rdx": 0, "r10": SIGSET_SIZE}
    ptrace.set_registers(pid, replace(home, rip=gate.address, orig_rax=NO_SYSCALL, **call))
    ptrace.set_signal_mask(pid, ALL_SIGNALS)
    os.kill(pid, SIGSTOP)
    ptrace.detach(pid)


def test_call_that_was_not_made_yet_when_the_next_tracer_comes_is_never_made(triggers: Triggers) -> None:
    with trigger(triggers.path("endless"), "1") as process:
        tell_go(process)
        abandon_before_call(process.pid)
        guardian.rescue(process.pid)
        process.send_signal(SIGCONT)
        ask_how_it_is(process)
        caught = Path(f"/proc/{process.pid}/status").read_text().partition("SigCgt:")[2].split()[0]
        assert not int(caught, 16) & TRAP_BIT
        assert not blocked_signals(process.pid)


def blocked_signals(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("SigBlk:")[2].split()[0], 16)


def test_thread_that_computes_goes_on_with_its_registers_and_signal_mask(triggers: Triggers) -> None:
    with trigger(triggers.path("endless"), "1") as process:
        tell_go(process)
        for _ in range(TIMES):
            abandon_in_call(process.pid)
            ask_how_it_is(process)


def test_read_that_was_interrupted_is_begun_again(triggers: Triggers) -> None:
    with trigger(triggers.path("endless"), "1") as process:
        abandon_in_call(process.pid)
        tell_go(process)
        ask_how_it_is(process)
        assert not blocked_signals(process.pid) >> SIGUSR2 - 1 & 1


def test_sleep_that_was_interrupted_goes_on() -> None:
    with subprocess.Popen(["sleep", "0.3"]) as process:
        while "nanosleep" not in Path(f"/proc/{process.pid}/wchan").read_text():
            pass
        abandon_in_call(process.pid)
        assert process.wait() == 0
