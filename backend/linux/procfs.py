"""/proc/PID, typed: mappings, threads, status, auxiliary vector, memory, and the files that a process has
mapped.

Lives here: one function for each file of /proc that dtrap reads. Not here: what mappings mean as loaded
objects (backend/objects.py). Every function raises ProcessGone when the process does not exist (any more) and
ProcessNotPermitted when the kernel's ptrace access check or file permissions forbid the read. Formats:
proc(5).
"""

import errno
import os
import re
import stat
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import NewType

from backend.errors import MappedFileUnavailable, ProcessGone, ProcessNotPermitted

RemoteAddr = NewType("RemoteAddr", int)
"""An address in the traced process's address space."""

FileOffset = NewType("FileOffset", int)
"""An offset in bytes from the start of a mapped file: what a uprobe is placed by."""

DELETED = " (deleted)"
_ADDRESS_LIMIT = 1 << 47
_WORKER_FLAGS = 0x4000 | 0x10
"""PF_USER_WORKER | PF_IO_WORKER. Source: include/linux/sched.h."""


class AuxiliaryKey(IntEnum):
    """Keys of the auxiliary vector that dtrap uses (elf.h, AT_*)."""

    PHDR = 3
    PHENT = 4
    PHNUM = 5
    BASE = 7
    ENTRY = 9
    HWCAP2 = 26
    SYSINFO_EHDR = 33


@dataclass(frozen=True, slots=True)
class MappedRange:
    """One line of /proc/PID/maps: `[start, end)` in the process; `path` is empty for anonymous memory.

    `path` is the kernel's text, with a line feed undone (`\\012`), ` (deleted)` kept: only the file itself
    can tell whether that belongs to its name.
    """

    start: RemoteAddr
    end: RemoteAddr
    readable: bool
    writable: bool
    executable: bool
    shared: bool
    offset: FileOffset
    device: tuple[int, int]
    inode: int
    path: str

    @property
    def size_bytes(self) -> int:
        return self.end - self.start

    @property
    def is_anonymous_code(self) -> bool:
        """Whether it is code of no file that is not to be changed: such as tracers map for themselves."""
        return self.executable and self.readable and not self.writable and not self.path


@dataclass(frozen=True, slots=True)
class Status:
    """What dtrap needs of /proc/PID/status. `uid` is the effective one; `seccomp` 0 none, 1 strict, 2 filter.

    `namespace_pids` are the process's ids from the reader's pid namespace inwards (one element where they
    share it, empty before Linux 4.1). `thread_features` are the words of x86_Thread_features (`shstk`), empty
    where the kernel doesn't say.
    """

    tgid: int
    ppid: int
    tracer_pid: int
    real_uid: int
    uid: int
    seccomp: int
    namespace_pids: tuple[int, ...]
    thread_features: tuple[str, ...]


_MAPS_LINE = re.compile(
    rb"([0-9a-f]+)-([0-9a-f]+) ([r-])([w-])([x-])([sp]) ([0-9a-f]+) ([0-9a-f]+):([0-9a-f]+) ([0-9]+) *(.*)"
)


def mappings(pid: int) -> tuple[MappedRange, ...]:
    """Return the mappings of process `pid` in address order; none for a kernel thread or a zombie."""
    return tuple(parse_mappings(_read(with_memory(pid), "maps")))


def parse_mappings(text: bytes) -> Iterator[MappedRange]:
    """Yield the mappings that the content of a `maps` file lists; a line of another form is left out."""
    for line in text.split(b"\n"):
        fields = _MAPS_LINE.fullmatch(line)
        if fields is None:
            continue
        start, end, readable, writable, executable, sharing, offset, major, minor, inode, path = (
            fields.groups()
        )
        yield MappedRange(
            RemoteAddr(int(start, 16)),
            RemoteAddr(int(end, 16)),
            readable == b"r",
            writable == b"w",
            executable == b"x",
            sharing == b"s",
            FileOffset(int(offset, 16)),
            (int(major, 16), int(minor, 16)),
            int(inode),
            os.fsdecode(path.replace(b"\\012", b"\n")),
        )


def with_memory(pid: int) -> int:
    """Return `pid`, or, where its first thread has exited, the id of a living one: through that alone memory, mappings
    and files of the process are to be had.
    """
    if not has_exited(pid):
        return pid
    try:
        return next((tid for tid in threads(pid) if not has_exited(tid)), pid)
    except ProcessGone:
        return pid


def children(pid: int, tid: int) -> list[int]:
    """Return the child processes that one thread of a process has made, none if it has ended."""
    try:
        return [int(child) for child in _read(pid, f"task/{tid}/children").split()]
    except ProcessGone:
        return []


def processes() -> list[int]:
    """Return the processes that can be seen from here."""
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]


def size_pages(pid: int) -> int:
    """Return the size of a process's memory, which nobody is refused; 0 if it has none, or has ended."""
    try:
        return int(_read(pid, "statm").split()[0])
    except ProcessGone:
        return 0


def exists(tid: int) -> bool:
    """Tell whether there is such a thread, be it a zombie."""
    return bool(_state(tid))


def has_exited(tid: int) -> bool:
    """Tell whether a thread is a zombie, as the first one of a process may be while others live."""
    return _state(tid) in (b"Z", b"X")


def waits_deeply(tid: int) -> bool:
    """Tell whether a thread waits in the kernel where no signal but SIGKILL reaches it (TASK_KILLABLE), if that."""
    return _state(tid) == b"D"


def _state(tid: int) -> bytes:
    """Return a thread's state, one letter; nothing if it has ended."""
    try:
        return _numbers(tid)[0]
    except (FileNotFoundError, ProcessLookupError):
        return b""


def kernel_flags(tid: int) -> int:
    """Return the PF_* flags of a thread, field 9 of /proc/TID/stat. Raises FileNotFoundError, ProcessLookupError."""
    return int(_numbers(tid)[6])


def _numbers(tid: int) -> list[bytes]:
    """Return the fields of /proc/TID/stat from the third on: behind the name, which may hold anything."""
    with open(f"/proc/{tid}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].split()


def is_marked_as_worker(tid: int) -> bool:
    """Tell whether the kernel has marked a thread as one that it has made and that never leaves it, as io_uring's do.

    The marks are of Linux 6.4 and 5.12; before, these bits meant other things.
    """
    try:
        return kernel_flags(tid) & _WORKER_FLAGS != 0
    except (FileNotFoundError, ProcessLookupError):
        return False


def threads(pid: int) -> tuple[int, ...]:
    """Return the thread ids of process `pid`, ascending.

    Those that existed at some moment of the call: no snapshot.
    """
    with _process_errors(pid, "task"):
        return tuple(sorted(int(name) for name in os.listdir(f"/proc/{pid}/task")))


def status(pid: int) -> Status:
    """Return what /proc/PID/status says; `pid` may be a thread's id."""
    fields = {}
    for line in _read(pid, "status").decode("ascii", "replace").splitlines():
        key, _, value = line.partition(":")
        fields[key] = value.split()
    return Status(
        tgid=_number(fields, "Tgid", 0),
        ppid=_number(fields, "PPid", 0),
        tracer_pid=_number(fields, "TracerPid", 0),
        real_uid=_number(fields, "Uid", 0),
        uid=_number(fields, "Uid", 1),
        seccomp=_number(fields, "Seccomp", 0),
        namespace_pids=tuple(int(number) for number in fields.get("NSpid", [])),
        thread_features=tuple(fields.get("x86_Thread_features", [])),
    )


def ancestors(pid: int, limit: int) -> list[int]:
    """Return the parent of a process and whom that descends from, nearest first, as far as they can be seen from here.

    Raises ProcessGone for the process itself.
    """
    found: list[int] = []
    parent = status(pid).ppid
    while parent and len(found) < limit:
        found.append(parent)
        try:
            parent = status(parent).ppid
        except (ProcessGone, ProcessNotPermitted):
            break
    return found


def _number(fields: Mapping[str, list[str]], key: str, position: int) -> int:
    """Return one number of a status line; 0 where this kernel has no such line."""
    values = fields.get(key, [])
    return int(values[position]) if position < len(values) else 0


def start_time_ticks(pid: int) -> int:
    """Return when the process started, in clock ticks since boot.

    With the pid it names a process for good: pids are used again.
    """
    # The command's name stands in parentheses and may hold any character, so the fields are counted from the
    # last closing one.
    after_name = _read(pid, "stat").rpartition(b")")[2].split()
    return int(after_name[19])


def comm(pid: int) -> str:
    """Return the thread's name, at most 15 bytes, which any thread of the process may have changed."""
    return os.fsdecode(_read(pid, "comm").removesuffix(b"\n"))


def exe(pid: int) -> str:
    """Return the program's path as its process's mount namespace names it.

    The kernel appends ` (deleted)` where the file is gone.
    """
    with _process_errors(pid, "exe"):
        return os.readlink(f"/proc/{with_memory(pid)}/exe")


def auxiliary_vector(pid: int) -> dict[int, int]:
    """Return the auxiliary vector that the kernel gave the program: see AuxiliaryKey.

    Empty for a kernel thread or a zombie.
    """
    data = _read(with_memory(pid), "auxv")
    return dict(struct.iter_unpack("<QQ", data[: len(data) // 16 * 16]))


class Memory:
    """The memory of one process, open for reading. A context manager; the process may run or die."""

    __slots__ = ("_fd", "_pid")

    def __init__(self, pid: int) -> None:
        self._pid = pid
        with _process_errors(pid, "mem"):
            self._fd = os.open(f"/proc/{with_memory(pid)}/mem", os.O_RDONLY | os.O_CLOEXEC)

    def __enter__(self) -> "Memory":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def read(self, address: int, size: int) -> bytes:
        """Return the readable bytes from `address` on: `size`, or fewer up to the first unreadable one.

        Raises ProcessGone when the address space is gone, which exec replaces as well.
        """
        if size <= 0 or not 0 <= address < _ADDRESS_LIMIT:
            return b""
        parts = []
        with _process_errors(self._pid, "mem"):
            while size > 0:
                try:
                    part = os.pread(self._fd, size, address)
                except OSError as error:
                    # EIO: nothing is mapped at the address. Anything else is for _process_errors to name.
                    if error.errno != errno.EIO:
                        raise
                    break
                if not part:
                    # The kernel reads nothing from an address space without users; a live one gives bytes or
                    # EIO.
                    raise ProcessGone(self._pid)
                parts.append(part)
                address += len(part)
                size -= len(part)
        return b"".join(parts)


def read_memory(pid: int, address: int, size: int) -> bytes:
    """Return up to `size` readable bytes from `address`: one read of `Memory`, for who needs no more."""
    with Memory(pid) as memory:
        return memory.read(address, size)


def open_mapped_file(pid: int, mapping: MappedRange) -> int:
    """Return a new read-only descriptor of the regular file behind `mapping`.

    Deleted, replaced or in another mount namespace: it is the file that is mapped. /proc/PID/map_files leads
    to the very file, but only with CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE; without, the path is followed
    inside the process's root, then ours (a sandbox has changed its root since), and the inode compared.
    Raises MappedFileUnavailable when none leads to the file.
    """
    reason = ""
    pid = with_memory(pid)
    very_file = f"/proc/{pid}/map_files/{mapping.start:x}-{mapping.end:x}"
    name = mapping.path.removesuffix(DELETED)
    for path in (very_file, *(f"/proc/{pid}/root{each}" for each in (mapping.path, name)), name):
        try:
            # Not blocking: what the path leads to by now may be a pipe or a device.
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError as error:
            reason = error.strerror or str(error)
            continue
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            reason = "it is no regular file"
        # The device is not compared: overlayfs and btrfs show one in maps and another in stat(2).
        elif path != very_file and found.st_ino != mapping.inode:
            reason = "another file has taken its place"
        else:
            return fd
        os.close(fd)
    raise MappedFileUnavailable(pid, mapping.path, reason)


def _read(pid: int, name: str) -> bytes:
    with _process_errors(pid, name), open(f"/proc/{pid}/{name}", "rb", buffering=0) as file:
        parts = []
        while part := file.read(1 << 18):
            parts.append(part)
        return b"".join(parts)


@contextmanager
def _process_errors(pid: int, name: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, ProcessLookupError) as error:
        raise ProcessGone(pid) from error
    except PermissionError as error:
        raise ProcessNotPermitted(pid, f"/proc/{pid}/{name}") from error
