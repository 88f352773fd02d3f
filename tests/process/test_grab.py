"""`grab`: a running process is left alone, and what can't be traced is refused with the cause."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.errors import NoSuchProcess, NotPermitted, NotTraceable
from backend.linux import pidfd, procfs
from backend.target_process import grab
from tests.harness.ordinary_user import as_nobody

NOBODY = 65534
KERNEL_THREADS = 2


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "1000"]) as process:
        yield process
        process.kill()


def test_grabbed_process_is_neither_stopped_nor_traced(sleeper: subprocess.Popen[bytes]) -> None:
    with grab(sleeper.pid) as grabbed:
        assert grabbed.alive()
        assert procfs.status(sleeper.pid).tracer_pid == 0
        sleeper.kill()
        assert pidfd.wait_end(grabbed.fileno(), 20)
        assert not grabbed.alive()


@pytest.mark.parametrize("pid", [0, -1, 2**22 + 1, 2**40])
def test_number_of_no_process(pid: int) -> None:
    with pytest.raises(NoSuchProcess, match=f"failed to grab process {pid}: No such process"):
        grab(pid)


def test_zombie_has_ended(sleeper: subprocess.Popen[bytes]) -> None:
    descriptor = pidfd.open_process(sleeper.pid)
    sleeper.kill()
    pidfd.wait_end(descriptor, 20)
    os.close(descriptor)
    with pytest.raises(NoSuchProcess):
        grab(sleeper.pid)


def test_signal_that_has_ended_a_process_is_known(sleeper: subprocess.Popen[bytes]) -> None:
    descriptor = pidfd.open_process(sleeper.pid)
    assert pidfd.killed_by(descriptor) is None
    sleeper.terminate()
    pidfd.wait_end(descriptor, 20)
    assert pidfd.killed_by(descriptor) == signal.SIGTERM
    os.close(descriptor)


@pytest.mark.parametrize("command", [["sh", "-c", "kill -SEGV $$"], ["sh", "-c", "exit 3"]])
def test_signal_that_has_ended_a_process_of_others_is_known(command: list[str]) -> None:
    # Its parent is another process, which waits for it when it is told to.
    starter = (
        f"import subprocess; p = subprocess.Popen({command}); print(p.pid, flush=True); "
        "input(); p.wait(); print(1, flush=True); input()"
    )
    with subprocess.Popen(
        ["python3", "-c", starter], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        descriptor = pidfd.open_process(int(parent.stdout.readline()))
        pidfd.wait_end(descriptor, 20)
        expected = signal.SIGSEGV if "SEGV" in command[2] else None
        assert pidfd.killed_by(descriptor) == expected
        parent.stdin.write("\n")
        parent.stdin.flush()
        assert parent.stdout.readline() == "1\n"
        # Linux 6.15 and later keep it.
        assert pidfd.killed_by(descriptor) in (expected, None)
        os.close(descriptor)


def test_kernel_thread_is_refused() -> None:
    with pytest.raises(NotTraceable, match="kernel thread"):
        grab(KERNEL_THREADS)


def test_dtrap_itself_is_refused() -> None:
    with pytest.raises(NotTraceable, match="itself"):
        grab(os.getpid())


def test_thread_is_refused() -> None:
    from threading import Event, Thread

    done = Event()
    thread = Thread(target=done.wait)
    thread.start()
    try:
        with pytest.raises(NotTraceable, match="a thread, not a process"):
            grab(thread.native_id or 0)
    finally:
        done.set()
        thread.join()


def test_32_bit_process_is_refused(tmp_path: Path) -> None:
    source, program, object_file = tmp_path / "wait.s", tmp_path / "program", tmp_path / "wait.o"
    source.write_text(".globl _start\n_start: mov $29, %eax\nint $0x80\njmp _start\n")
    subprocess.run(["as", "--32", "-o", str(object_file), str(source)], check=True)
    subprocess.run(["ld", "-m", "elf_i386", "-o", str(program), str(object_file)], check=True)
    with subprocess.Popen([str(program)]) as process:
        try:
            with pytest.raises(NotTraceable, match="32-bit"):
                grab(process.pid)
        finally:
            process.kill()


def test_process_of_another_user_is_refused_with_its_owner(sleeper: subprocess.Popen[bytes]) -> None:
    assert told_to_nobody(sleeper.pid) == "root|it belongs to another user|run dtrap as root"


def test_process_that_is_not_dumpable_is_refused_as_such() -> None:
    # It has changed its user, and not executed anything since.
    child = os.fork()
    if child == 0:
        os.setresuid(NOBODY, NOBODY, NOBODY)
        signal.pause()
        os._exit(0)
    while procfs.status(child).real_uid != NOBODY:
        os.sched_yield()
    why = "it has changed its privileges, or forbids it (not dumpable)"
    assert told_to_nobody(child) == f"nobody|{why}|run dtrap as root"
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_process_whose_file_is_not_to_be_read_is_refused_as_such(tmp_path: Path) -> None:
    program = Path(shutil.copy(shutil.which("sleep") or "", tmp_path / "sleep"))
    program.chmod(0o711)
    descriptor = os.open(program, os.O_RDONLY)
    with subprocess.Popen(
        [*as_nobody(), f"/proc/self/fd/{descriptor}", "1000"], pass_fds=[descriptor]
    ) as process:
        try:
            while not Path(f"/proc/{process.pid}/cmdline").read_bytes().startswith(b"/proc/"):
                os.sched_yield()
            assert "its file may be executed but not read" in told_to_nobody(process.pid)
        finally:
            process.kill()
            os.close(descriptor)


def told_to_nobody(pid: int) -> str:
    """What an ordinary user is told of a process: asked in a child of this test that has become one."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            try:
                grab(pid)
            except NotPermitted as error:
                os.write(writing, f"{error.whose}|{error.why}|{error.fix}".encode())
            except NotTraceable as error:
                os.write(writing, str(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as file:
        return file.read()
