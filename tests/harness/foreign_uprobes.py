"""Uprobes of another tool, which knows nothing of dtrap: perf_event_open(2), as perf and bpftrace use it."""

import ctypes
import os
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_PERF_EVENT_OPEN: Final = 298
_TYPE: Final = Path("/sys/bus/event_source/devices/uprobe/type")
_ATTRIBUTES: Final = struct.Struct("<IIQQQQQIIQQ")
"""struct perf_event_attr up to PERF_ATTR_SIZE_VER1: type, size, config, sample_period, sample_type, read_format,
flags, wakeup_events, bp_type, config1 (the path's address), config2 (the offset in the file)."""
_CLOSE_ON_EXEC: Final = 8


@contextmanager
def uprobes(pid: int, file: Path, offsets: Iterable[int]) -> Iterator[list[int]]:
    """Uprobes at offsets of a file in one process, until the end. Gives their fds: eight bytes read of one are how
    often the main thread has come by.
    """
    fds: list[int] = []
    try:
        fds.extend(_open(pid, file, offset) for offset in offsets)
        yield fds
    finally:
        for fd in fds:
            os.close(fd)


def _open(pid: int, file: Path, offset: int) -> int:
    path = ctypes.create_string_buffer(str(file).encode())
    attributes = ctypes.create_string_buffer(
        _ATTRIBUTES.pack(
            int(_TYPE.read_text()), _ATTRIBUTES.size, 0, 0, 0, 0, 0, 0, 0, ctypes.addressof(path), offset
        )
    )
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.syscall(_PERF_EVENT_OPEN, attributes, pid, -1, -1, ctypes.c_ulong(_CLOSE_ON_EXEC))
    if fd < 0:
        raise OSError(ctypes.get_errno(), f"no uprobe at {file}+{offset:#x}")
    return int(fd)
