"""process_vm_readv(2): single bytes of another process, many at once."""

from __future__ import annotations

import ctypes
import errno
from array import array
from collections.abc import Sequence
from typing import Final

from backend.linux.libc import last_error, libc

MOST: Final = 1024
"""Bytes that one call reads: UIO_MAXIOV."""


def read_bytes(pid: int, addresses: Sequence[int]) -> bytes:
    """Return the bytes at some addresses, at most MOST; fewer if there is no memory at the next one.

    Raises OSError: ESRCH if the process is gone.
    """
    content = ctypes.create_string_buffer(len(addresses))
    here = array("Q", (ctypes.addressof(content), len(addresses)))
    there = array("Q", bytes(16 * len(addresses)))
    there[::2] = array("Q", addresses)
    there[1::2] = array("Q", [1]) * len(addresses)
    read = libc().process_vm_readv(
        pid,
        ctypes.c_void_p(here.buffer_info()[0]),
        1,
        ctypes.c_void_p(there.buffer_info()[0]),
        len(addresses),
        0,
    )
    if read >= 0:
        return content.raw[:read]
    if ctypes.get_errno() == errno.EFAULT:
        return b""
    raise last_error(f"reading memory of process {pid}")
