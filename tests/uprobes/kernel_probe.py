"""One uprobe through perf_event_open, without anything of ours: the kernel's word against which rules are
tested.
"""

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PERF_EVENT_OPEN = 298
_PMU_TYPE = Path("/sys/bus/event_source/devices/uprobe/type")
_libc = ctypes.CDLL(None, use_errno=True)


class ProbeRefused(Exception):
    """The kernel's errno for an attempt to place a uprobe."""

    def __init__(self, number: int) -> None:
        super().__init__(f"errno {number}")
        self.number = number


@contextmanager
def uprobe(path: Path, offset: int, pid: int) -> Iterator[int]:
    """Attach a counting uprobe to byte `offset` of the file `path` for process `pid`; yield its fd."""
    name = ctypes.create_string_buffer(os.fsencode(path))
    attributes = struct.pack(
        "<IIQQQQQIIQQQ",
        int(_PMU_TYPE.read_text()),
        112,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        ctypes.addressof(name),
        offset,
        0,
    )
    attributes = attributes.ljust(112, b"\0")
    fd = _libc.syscall(_PERF_EVENT_OPEN, attributes, pid, -1, -1, 8)
    if fd < 0:
        raise ProbeRefused(ctypes.get_errno())
    try:
        yield fd
    finally:
        os.close(fd)


def hits(fd: int) -> int:
    """Return how often the probe has fired."""
    return int.from_bytes(os.read(fd, 8), "little")
