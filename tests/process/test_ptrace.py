"""The ptrace wrappers against a real tracee, and their structures against the C compiler's."""

import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from backend.linux import ptrace
from backend.linux.ptrace import Option, SignalInfo
from backend.linux.wait_status import WALL, GroupStop, Interrupted, Killed, SignalStop, WaitStatus, decode
from tests.harness.triggers import compile_c


@pytest.fixture
def tracee() -> Iterator[int]:
    """A seized process that sleeps in a system call."""
    with subprocess.Popen(["sleep", "1000"]) as process:
        ptrace.seize(process.pid, Option.NONE)
        yield process.pid
        process.kill()


def stop(pid: int) -> WaitStatus:
    return decode(os.waitpid(pid, WALL)[1])


def test_structures_have_the_sizes_and_offsets_of_c(tmp_path: Path) -> None:
    source = tmp_path / "sizes.c"
    names = ", ".join(f"offsetof(struct user_regs_struct, {name})" for name in ptrace.REGISTER_NAMES)
    source.write_text(
        "#include <stdio.h>\n#include <stddef.h>\n#include <signal.h>\n#include <sys/user.h>\n"
        "int main(void) { size_t offsets[] = {" + names + "};\n"
        'for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) printf("%zu ", offsets[i]);\n'
        'printf("%zu %zu %zu", sizeof(struct user_regs_struct), sizeof(siginfo_t), '
        "offsetof(siginfo_t, si_addr)); }\n"
    )
    output = subprocess.check_output([str(compile_c(source, tmp_path / "sizes"))], text=True)
    numbers = [int(word) for word in output.split()]
    assert numbers[:-3] == [8 * index for index in range(len(ptrace.REGISTER_NAMES))]
    assert numbers[-3:] == [ptrace.USER_REGS_SIZE, SignalInfo.SIZE, SignalInfo.ADDRESS_OFFSET]


def test_interrupt_stops_and_registers_can_be_set_and_put_back(tracee: int) -> None:
    ptrace.interrupt(tracee)
    assert stop(tracee) == Interrupted()
    before = ptrace.registers(tracee)
    assert before.cs == ptrace.CODE_SELECTOR_64
    ptrace.set_registers(tracee, replace(before, r12=0x1122334455667788, rbx=2**64 - 1))
    changed = ptrace.registers(tracee)
    assert (changed.r12, changed.rbx) == (0x1122334455667788, 2**64 - 1)
    ptrace.set_registers(tracee, before)
    assert ptrace.registers(tracee) == before


def test_signal_mask_is_set_whole(tracee: int) -> None:
    ptrace.interrupt(tracee)
    stop(tracee)
    ptrace.set_signal_mask(tracee, 1 << signal.SIGTRAP - 1 | 1 << 63)
    assert ptrace.signal_mask(tracee) == 1 << signal.SIGTRAP - 1 | 1 << 63


def test_signal_stop_tells_who_sent_it_and_can_be_passed_on(tracee: int) -> None:
    os.kill(tracee, signal.SIGUSR1)
    assert stop(tracee) == SignalStop(signal.SIGUSR1)
    info = ptrace.signal_info(tracee)
    assert (info.signal, info.code <= 0) == (signal.SIGUSR1, True)
    ptrace.set_signal_info(tracee, info.with_address(0x1234))
    assert ptrace.signal_info(tracee).address == 0x1234
    ptrace.cont(tracee, signal.SIGUSR1)
    assert stop(tracee) == Killed(signal.SIGUSR1)


def test_group_stop_is_kept_by_listen_until_sigcont(tracee: int) -> None:
    os.kill(tracee, signal.SIGSTOP)
    assert stop(tracee) == SignalStop(signal.SIGSTOP)
    ptrace.cont(tracee, signal.SIGSTOP)
    assert stop(tracee) == GroupStop(signal.SIGSTOP)
    ptrace.listen(tracee)
    assert Path(f"/proc/{tracee}/stat").read_text().split()[2] in "tT"
    os.kill(tracee, signal.SIGCONT)
    assert stop(tracee) == Interrupted()


def test_memory_is_written_through_a_read_only_mapping(tracee: int) -> None:
    ptrace.interrupt(tracee)
    stop(tracee)
    address = ptrace.registers(tracee).rip & ~0xFFF
    memory = ptrace.open_memory(tracee)
    try:
        before = os.pread(memory, 8, address)
        os.pwrite(memory, b"12345678", address)
        assert os.pread(memory, 8, address) == b"12345678"
        ptrace.poke_word(tracee, address, before)
        assert os.pread(memory, 8, address) == before
    finally:
        os.close(memory)


def test_request_on_a_running_or_ended_tracee_names_request_and_tracee(tracee: int) -> None:
    with pytest.raises(ProcessLookupError, match=f"PTRACE_GETREGS of {tracee}"):
        ptrace.registers(tracee)
