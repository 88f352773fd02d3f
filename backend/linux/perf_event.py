"""perf_event_open(2), as far as timers go: an event on each processor that overflows at a fixed rate. bpf.py attaches
programs to them.
"""

from __future__ import annotations

import ctypes
import struct
from pathlib import Path
from typing import Final

from backend.linux.libc import last_error, libc

_PERF_EVENT_OPEN: Final = 298
_TYPE_SOFTWARE, _CPU_CLOCK = 1, 0
_ATTRIBUTES: Final = struct.Struct("<IIQQQQQ24x")
"""struct perf_event_attr up to PERF_ATTR_SIZE_VER1: type, size, config, sample_period, sample_type, read_format,
flags."""
_CLOSE_ON_EXEC: Final = 8
_ONLINE: Final = Path("/sys/devices/system/cpu/online")


def open_timer(period_ns: int, processor: int) -> int:
    """Return the fd of an event that overflows every `period_ns` nanoseconds on a processor, whatever runs there.

    Raises OSError: EACCES without CAP_PERFMON where perf_event_paranoid forbids it.
    """
    attributes = ctypes.create_string_buffer(
        _ATTRIBUTES.pack(_TYPE_SOFTWARE, _ATTRIBUTES.size, _CPU_CLOCK, period_ns, 0, 0, 0)
    )
    fd = libc().syscall(_PERF_EVENT_OPEN, attributes, -1, processor, -1, ctypes.c_ulong(_CLOSE_ON_EXEC))
    if fd < 0:
        raise last_error(f"a sampling timer on processor {processor}")
    return int(fd)


def online_processors() -> list[int]:
    """Return the numbers of the processors that are in use, from a list such as `0-3,8`."""
    numbers: list[int] = []
    for part in _ONLINE.read_text().strip().split(","):
        first, _, last = part.partition("-")
        numbers.extend(range(int(first), int(last or first) + 1))
    return numbers
