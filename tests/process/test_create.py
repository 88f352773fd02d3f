"""`create`: the program is held at its main(), whole and unchanged, and afterwards it is on its own."""

import errno
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from backend import target_process
from backend.command_start import create
from backend.errors import CommandNotStarted
from backend.held_at import HeldAt
from backend.linux import pidfd, procfs, ptrace
from backend.linux.procfs import AuxiliaryKey
from backend.symbols_elf import file_image, read_elf, symbol_addresses
from backend.target_process import Created
from tests.harness.triggers import SOURCES, Triggers, compile_c

TIMEOUT_S = 20.0
CHANGED_AT_START = "rw"


@pytest.fixture(scope="module")
def announce(triggers: Triggers) -> Path:
    return triggers.path("announce")


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def finish(created: Created) -> None:
    assert pidfd.wait_end(created.fileno(), TIMEOUT_S)
    assert not created.alive()
    created.close()


def changed_text(pid: int) -> list[str]:
    """The executable file mappings whose bytes are not the file's."""
    changed = []
    for mapping in procfs.mappings(pid):
        if mapping.executable and mapping.path.startswith("/"):
            with open(mapping.path, "rb") as file:
                file.seek(mapping.offset)
                expected = file.read(mapping.size_bytes)
            if procfs.read_memory(pid, mapping.start, len(expected)) != expected:
                changed.append(mapping.path)
    return changed


@pytest.mark.parametrize("flags", [(), ("-static",), ("-static-pie",), ("-no-pie",)], ids=" ".join)
def test_program_is_held_at_its_main_with_libraries_mapped_and_text_unchanged(
    flags: tuple[str, ...], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    program = compile_c(SOURCES / "announce.c", tmp_path / "program", flags)
    with create(f"{program} 3") as created:
        pid = created.pid
        assert state(pid) == "t"
        assert procfs.status(pid).tracer_pid == os.getpid()
        with program.open("rb") as file:
            elf = ELFFile(file)
            bias = procfs.auxiliary_vector(pid)[AuxiliaryKey.ENTRY] - elf["e_entry"]
            dynamic = elf.get_section_by_name(".interp") is not None
            main = symbol_addresses(read_elf(file_image(file.fileno())), ("main",))["main"]
        instruction_pointer = int(Path(f"/proc/{pid}/syscall").read_text().split()[-1], 16)
        assert instruction_pointer == main + bias
        assert any("libc.so.6" in mapping.path for mapping in procfs.mappings(pid)) == dynamic
        assert changed_text(pid) == []
        assert capfd.readouterr().out == ""
        created.release()
        finish_output(created)
    assert "main pgid" in capfd.readouterr().out


def finish_output(created: Created) -> None:
    assert pidfd.wait_end(created.fileno(), TIMEOUT_S)


def test_released_program_is_untraced_and_in_our_process_group(
    announce: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    created = create("sleep 1000")
    created.release()
    assert procfs.status(created.pid).tracer_pid == 0
    assert os.getpgid(created.pid) == os.getpgrp()
    created.finish()
    finish(created)


def test_signals_that_python_ignores_are_back_to_default_and_named_ones_ignored(
    announce: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    created = create(str(announce), ignored_signals={signal.SIGINT})
    created.release()
    finish(created)
    assert "pipe_ignored=0 int_ignored=1" in capfd.readouterr().out


def test_ignored_and_blocked_sigtrap_survive_the_trap_at_the_entry(
    announce: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    previous = signal.signal(signal.SIGTRAP, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTRAP})
    try:
        created = create(str(announce))
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTRAP})
        signal.signal(signal.SIGTRAP, previous)
    blocked = next(
        line for line in Path(f"/proc/{created.pid}/status").read_text().splitlines() if "SigBlk" in line
    )
    assert int(blocked.split()[1], 16) == 1 << signal.SIGTRAP - 1
    created.release()
    finish(created)
    assert "trap_ignored=1" in capfd.readouterr().out


def test_command_is_split_at_blanks_without_quoting(
    announce: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    created = create(f"  {announce}\t'7 8'  ")
    created.release()
    finish(created)
    assert "args=3" in capfd.readouterr().out


def test_script_is_held_in_its_interpreter(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\necho from the script\n")
    script.chmod(0o755)
    with create(str(script)) as created:
        assert os.readlink(f"/proc/{created.pid}/exe") == os.path.realpath("/bin/sh")
        assert capfd.readouterr().out == ""
        created.release()
        finish_output(created)
    assert capfd.readouterr().out == "from the script\n"


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("no-such-program-anywhere", "No such file or directory"),
        ("/etc/passwd", "Permission denied"),
        ("", "No such file or directory"),
    ],
)
def test_command_that_cannot_start_says_why(command: str, reason: str) -> None:
    with pytest.raises(CommandNotStarted, match=f"failed to execute {command}: {reason}"):
        create(command)


def test_32_bit_program_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "exit.s"
    source.write_text(".globl _start\n_start: mov $1, %eax\nint $0x80\n")
    program, thing = tmp_path / "program", tmp_path / "exit.o"
    subprocess.run(["as", "--32", "-o", str(thing), str(source)], check=True)
    subprocess.run(["ld", "-m", "elf_i386", "-o", str(program), str(thing)], check=True)
    with pytest.raises(CommandNotStarted, match="32-bit"):
        create(str(program))


def test_program_that_ends_before_its_entry_is_not_started(
    announce: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LD_DEBUG", "help")  # the dynamic linker prints a text and exits
    with pytest.raises(CommandNotStarted, match="exited with status 0 before its first instruction"):
        create(str(announce))


def test_child_forked_by_an_initialiser_runs_free(
    announce: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    library = compile_c(
        SOURCES / "forking_initialiser.c", tmp_path / "library.so", ("-shared", "-fPIC", "-Wno-unused-result")
    )
    monkeypatch.setenv("LD_PRELOAD", str(library))
    created = create(str(announce))
    monkeypatch.delenv("LD_PRELOAD")
    created.release()
    finish(created)
    output = ""
    while output.count("main pgid") < 2:
        output += capfd.readouterr().out
    assert "child" in output


def test_killed_while_held_is_noticed_and_release_is_harmless() -> None:
    created = create("sleep 1000")
    os.kill(created.pid, signal.SIGKILL)
    assert pidfd.wait_end(created.fileno(), TIMEOUT_S)
    assert not created.alive()
    created.release()
    created.close()
    with pytest.raises(ChildProcessError):
        os.waitpid(created.pid, os.WNOHANG)


def test_close_before_release_kills_it() -> None:
    created = create("sleep 1000")
    created.close()
    assert not os.path.exists(f"/proc/{created.pid}")


def run_and_kill(program: str) -> tuple[int, int]:
    """Run Python code that prints a pid and then waits, kill it with SIGKILL, return a pidfd of the printed
    one.
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True
    ) as tracer:
        assert tracer.stdout is not None
        pid = int(tracer.stdout.readline())
        descriptor = pidfd.open_process(pid)
        tracer.kill()
    return pid, descriptor


def test_held_program_dies_with_dtrap() -> None:
    _, descriptor = run_and_kill(
        """
        import time
        from backend.command_start import create
        created = create("sleep 1000")
        print(created.pid, flush=True)
        time.sleep(1000)
        """
    )
    assert pidfd.wait_end(descriptor, TIMEOUT_S)
    os.close(descriptor)


def test_released_program_outlives_dtrap() -> None:
    pid, descriptor = run_and_kill(
        """
        import time
        from backend.command_start import create
        created = create("sleep 1000")
        created.release()
        print(created.pid, flush=True)
        time.sleep(1000)
        """
    )
    assert not pidfd.ended(descriptor)
    assert procfs.status(pid).tracer_pid == 0
    os.kill(pid, signal.SIGKILL)
    assert pidfd.wait_end(descriptor, TIMEOUT_S)
    os.close(descriptor)


LIBRARY = """
#include <unistd.h>
__attribute__((constructor)) static void start(void) { write(1, "library ", 8); }
"""
PROGRAM = """
#include <unistd.h>
__attribute__((constructor)) static void start(void) { write(1, "program ", 8); }
int main(void) { write(1, "main", 4); return 0; }
"""


@pytest.mark.parametrize(
    ("held_at", "run", "mapped"),
    [
        (HeldAt.EXEC, "", False),
        (HeldAt.PREINIT, "", True),
        (HeldAt.ENTRY, "library ", True),
        (HeldAt.POSTINIT, "library program ", True),
        (HeldAt.MAIN, "library program ", True),
    ],
)
@pytest.mark.parametrize("flags", [(), ("-s",), ("-no-pie",)], ids=" ".join)
def test_program_is_held_where_evaltime_says(
    held_at: HeldAt,
    run: str,
    mapped: bool,
    flags: tuple[str, ...],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    for name, text in (("library.c", LIBRARY), ("program.c", PROGRAM)):
        (tmp_path / name).write_text(text)
    library = compile_c(tmp_path / "library.c", tmp_path / "library.so", ("-shared", "-fPIC"))
    linked = ("-Wl,--no-as-needed", str(library), f"-Wl,-rpath,{tmp_path}", *flags)
    program = compile_c(tmp_path / "program.c", tmp_path / "program", linked)
    with create(str(program), held_at=held_at) as created:
        assert capfd.readouterr().out == run
        assert any(mapping.path == str(library) for mapping in procfs.mappings(created.pid)) == mapped
        assert changed_text(created.pid) == []
        created.release()
        assert pidfd.wait_end(created.fileno(), TIMEOUT_S)
    assert run + capfd.readouterr().out == "library program main"


@pytest.mark.parametrize("held_at", list(HeldAt))
def test_static_program_has_no_linker_to_be_held_at(
    held_at: HeldAt, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "program.c").write_text(PROGRAM)
    program = compile_c(tmp_path / "program.c", tmp_path / "program", ("-static",))
    with create(str(program), held_at=held_at) as created:
        assert capfd.readouterr().out == ("program " if held_at in (HeldAt.POSTINIT, HeldAt.MAIN) else "")
        created.release()
        assert pidfd.wait_end(created.fileno(), TIMEOUT_S)


@pytest.mark.parametrize(
    "text",
    [
        'void _start(void) { write(1, "begun", 5); _exit(0); } int main(void) { return 1; }',
        'int __libc_start_main(void) { return 0; } int main(void) { write(1, "begun", 5); return 0; }',
    ],
    ids=["main is not called", "another start"],
)
def test_program_that_may_not_come_to_its_main_is_held_at_its_entry(
    text: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "program.c").write_text(f"#include <unistd.h>\n{text}\n")
    flags = ("-nostartfiles",) if "_start(void) { write" in text else ("-rdynamic",)
    program = compile_c(tmp_path / "program.c", tmp_path / "program", flags)
    with create(str(program)) as created:
        entry = procfs.auxiliary_vector(created.pid)[AuxiliaryKey.ENTRY]
        assert int(Path(f"/proc/{created.pid}/syscall").read_text().split()[-1], 16) == entry
        assert capfd.readouterr().out == ""
        created.release()
        assert pidfd.wait_end(created.fileno(), TIMEOUT_S)


def test_program_that_ends_in_its_own_initialiser_is_not_started(tmp_path: Path) -> None:
    (tmp_path / "program.c").write_text(
        "#include <unistd.h>\n"
        "__attribute__((constructor)) void leave(void) { _exit(3); } int main(void) { return 0; }\n"
    )
    program = compile_c(tmp_path / "program.c", tmp_path / "program")
    with pytest.raises(
        CommandNotStarted, match=r"exited with status 3 before its main\(\); -x evaltime=preinit"
    ):
        create(str(program))


def test_command_that_nobody_may_trace_is_an_error_with_the_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(tid: int, _options: ptrace.Option) -> None:
        raise PermissionError(errno.EPERM, f"PTRACE_SEIZE of {tid}")

    monkeypatch.setattr(ptrace, "seize", refuse)
    monkeypatch.setattr(target_process, "_yama_scope", lambda: 3)
    with pytest.raises(CommandNotStarted) as raised:
        create("true")
    assert str(raised.value) == (
        "failed to execute true: it can't be traced: kernel.yama.ptrace_scope is 3; it can't be lowered before a reboot"
    )
