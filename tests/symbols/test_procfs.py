"""/proc/PID: what is parsed, and what happens to processes that are gone, foreign or in namespaces of their
own.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from backend.errors import MappedFileUnavailable, ProcessGone, ProcessNotPermitted
from backend.linux import procfs
from backend.linux.procfs import AuxiliaryKey, MappedRange, Memory
from tests.harness.triggers import Triggers
from tests.symbols.target import copied, waiting, waiting_process

NOBODY = 65534


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without root's capabilities, as long as it lasts."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def program_mapping(pid: int) -> MappedRange:
    return next(mapping for mapping in procfs.mappings(pid) if mapping.executable and mapping.inode)


def child_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def test_a_line_of_maps_is_taken_apart() -> None:
    line = rb"7f00-8000 r-xs 0001000 08:1f 123                /a b/c\012d (deleted)"
    assert list(procfs.parse_mappings(line + b"\nnonsense\n")) == [
        MappedRange(
            procfs.RemoteAddr(0x7F00),
            procfs.RemoteAddr(0x8000),
            readable=True,
            writable=False,
            executable=True,
            shared=True,
            offset=procfs.FileOffset(0x1000),
            device=(8, 0x1F),
            inode=123,
            path="/a b/c\nd (deleted)",
        )
    ]


def test_anonymous_memory_has_no_path() -> None:
    (mapping,) = procfs.parse_mappings(b"1000-2000 rw-p 00000000 00:00 0 \n")
    assert (mapping.path, mapping.inode, mapping.size_bytes) == ("", 0, 0x1000)


@pytest.mark.parametrize("name", ["with blank", "line\nfeed", "gone (deleted)", "bytes\udcff"])
def test_a_mapped_file_of_any_name_is_opened(triggers: Triggers, tmp_path: Path, name: str) -> None:
    program = copied(triggers, tmp_path / name)
    with waiting(program) as pid:
        fd = procfs.open_mapped_file(pid, program_mapping(pid))
        try:
            assert os.path.samestat(os.fstat(fd), program.stat())
        finally:
            os.close(fd)
        assert program_mapping(pid).path == str(program)


def test_a_mapped_file_that_was_deleted_and_replaced_is_the_mapped_one(
    triggers: Triggers, tmp_path: Path
) -> None:
    program = copied(triggers, tmp_path / "program")
    before = program.read_bytes()
    with waiting(program) as pid:
        program.unlink()
        program.write_bytes(b"another")
        mapping = program_mapping(pid)
        assert mapping.path == f"{program} (deleted)"
        fd = procfs.open_mapped_file(pid, mapping)
        try:
            assert os.pread(fd, len(before), 0) == before
        finally:
            os.close(fd)


def test_a_file_of_another_mount_namespace_is_opened(triggers: Triggers, tmp_path: Path) -> None:
    script = 'mount -t tmpfs none "$2" && cp "$1" "$2/inside" && exec "$2/inside"'
    folder = tmp_path / "mounted"
    folder.mkdir()
    with waiting("unshare", "-m", "sh", "-c", script, "sh", triggers.path("aliases"), folder) as pid:
        assert not (folder / "inside").exists()
        fd = procfs.open_mapped_file(pid, program_mapping(pid))
        try:
            assert os.pread(fd, 4, 0) == b"\x7fELF"
        finally:
            os.close(fd)


def test_without_privilege_a_file_is_opened_through_the_root_of_its_process() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, user=NOBODY) as process:
        mapping = next(part for part in procfs.mappings(process.pid) if part.path.endswith("/cat"))
        with as_nobody():
            fd = procfs.open_mapped_file(process.pid, mapping)
            os.close(fd)


def test_without_privilege_a_file_of_a_process_that_has_left_its_root_is_opened() -> None:
    script = "import os; os.chroot('/proc/self/fdinfo'); print('ready', flush=True); input()"
    command = ("unshare", "-Ur", os.path.realpath(sys.executable), "-c", script)
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, user=NOBODY, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        mapping = next(part for part in procfs.mappings(process.pid) if part.path.endswith("/libc.so.6"))
        with as_nobody():
            fd = procfs.open_mapped_file(process.pid, mapping)
            os.close(fd)


def test_error_a_replaced_file_without_privilege_is_unavailable() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, user=NOBODY) as process:
        mapping = next(part for part in procfs.mappings(process.pid) if part.path.endswith("/cat"))
        other = MappedRange(
            mapping.start,
            mapping.end,
            mapping.readable,
            mapping.writable,
            mapping.executable,
            mapping.shared,
            mapping.offset,
            mapping.device,
            mapping.inode + 1,
            mapping.path,
        )
        with as_nobody(), pytest.raises(MappedFileUnavailable, match="another file has taken its place"):
            procfs.open_mapped_file(process.pid, other)


def test_status_of_this_process() -> None:
    found = procfs.status(os.getpid())
    assert (found.tgid, found.ppid, found.real_uid, found.uid) == (
        os.getpid(),
        os.getppid(),
        os.getuid(),
        os.geteuid(),
    )
    assert found.tracer_pid == 0
    assert found.namespace_pids[-1] == os.getpid()


def test_a_process_in_a_pid_namespace_has_a_pid_in_each(triggers: Triggers) -> None:
    with waiting_process("unshare", "-p", "-f", triggers.path("aliases")) as unshare:
        inner = child_of(unshare.pid)
        assert procfs.status(inner).namespace_pids == (inner, 1)
        assert program_mapping(inner).path == str(triggers.path("aliases"))
        os.kill(inner, 9)


def test_name_program_and_start_of_a_process(triggers: Triggers, tmp_path: Path) -> None:
    program = copied(triggers, tmp_path / "a) S 1 (b")
    with waiting(program) as pid:
        assert procfs.comm(pid) == "a) S 1 (b"
        assert procfs.exe(pid) == str(program)
        assert procfs.start_time_ticks(pid) >= procfs.start_time_ticks(os.getpid()) > 0


def test_threads_are_listed() -> None:
    go_on = threading.Event()
    thread = threading.Thread(target=go_on.wait)
    thread.start()
    try:
        assert {os.getpid(), thread.native_id} <= set(procfs.threads(os.getpid()))
    finally:
        go_on.set()
        thread.join()


def test_the_auxiliary_vector_has_the_entry_point(triggers: Triggers) -> None:
    with waiting(triggers.path("aliases")) as pid:
        vector = procfs.auxiliary_vector(pid)
        mapping = program_mapping(pid)
        assert mapping.start <= vector[AuxiliaryKey.ENTRY] < mapping.end


def test_memory_is_read_up_to_the_first_unreadable_byte(triggers: Triggers) -> None:
    with waiting(triggers.path("aliases")) as pid, Memory(pid) as memory:
        first = procfs.mappings(pid)[0]
        assert memory.read(first.start, 4) == b"\x7fELF"
        assert memory.read(first.start - 8, 16) == b""
        last = next(part for part in procfs.mappings(pid) if part.path == "[stack]")
        assert len(memory.read(last.end - 8, 4096)) == 8
        assert memory.read(1 << 63, 8) == b""
        assert memory.read(-1, 8) == b""
        assert procfs.read_memory(pid, first.start, 2) == b"\x7fE"


def test_error_memory_of_a_process_that_has_ended(triggers: Triggers) -> None:
    with waiting_process(triggers.path("aliases")) as process, Memory(process.pid) as memory:
        address = procfs.mappings(process.pid)[0].start
        process.kill()
        process.wait()
        with pytest.raises(ProcessGone):
            memory.read(address, 4)


def test_error_a_process_that_has_ended_is_gone() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    for read in (
        procfs.mappings,
        procfs.threads,
        procfs.status,
        procfs.start_time_ticks,
        procfs.comm,
        procfs.exe,
        procfs.auxiliary_vector,
        Memory,
    ):
        with pytest.raises(ProcessGone) as caught:
            read(process.pid)
        assert caught.value.pid == process.pid


def test_error_a_foreign_process_is_not_permitted() -> None:
    with as_nobody(), pytest.raises(ProcessNotPermitted) as caught:
        procfs.mappings(1)
    assert caught.value.path == "/proc/1/maps"
