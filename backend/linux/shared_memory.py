"""Memory that processes share: a memfd, mapped whole, its tail a second time right behind the first.

Whoever writes a ring in the tail can run over its end without noticing. The memory itself is all zeros at
first and lives as long as any process has it mapped or its descriptor open. Source: memfd_create(2), mmap(2).
"""

import ctypes
import mmap
import os
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType

from backend.linux.libc import last_error, libc

_MAP_FIXED, _MAP_NORESERVE = 0x10, 0x4000
_FAILED = ctypes.c_void_p(-1).value


class SharedMemory:
    """`size` bytes of the file `fd`, mapped until exit of the context, then `doubled` bytes: its end again.

    Both are whole pages. The caller keeps owning `fd`. Raises OSError.
    """

    def __init__(self, fd: int, size: int, doubled: int = 0) -> None:
        assert size % mmap.PAGESIZE == doubled % mmap.PAGESIZE == 0, (size, doubled)
        if os.fstat(fd).st_size < size:
            os.ftruncate(fd, size)
        self._size = size + doubled
        self._doubled = doubled
        self._fd = -1
        anonymous = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE
        self.address = _map(None, self._size, 0, anonymous, -1, 0)
        try:
            self.move_to(fd)
        except OSError:
            self._unmap()
            self._forget_file()
            raise
        array = (ctypes.c_ubyte * self._size).from_address(self.address)
        self.bytes = memoryview(array).cast("B")
        self.words = self.bytes.cast("Q")

    def move_to(self, fd: int) -> None:
        """Map another file in its place, at the same address; its contents are what is seen from now on."""
        size = self._size - self._doubled
        access = mmap.PROT_READ | mmap.PROT_WRITE
        shared = mmap.MAP_SHARED | _MAP_FIXED
        _map(self.address, size, access, shared, fd, 0)
        if self._doubled:
            _map(self.address + size, self._doubled, access, shared, fd, size - self._doubled)
        self._forget_file()
        self._fd = os.dup(fd)

    def used(self) -> Iterator[range]:
        """Yield the ranges of offsets, whole pages, that were ever written to; all others are zero."""
        size = self._size - self._doubled
        end = 0
        with suppress(OSError):  # ENXIO: no data behind
            while end < size:
                start = os.lseek(self._fd, end, os.SEEK_DATA)
                end = min(os.lseek(self._fd, start, os.SEEK_HOLE), size)
                yield range(start, end)

    def _forget_file(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> "SharedMemory":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Unmap it. Nobody may hold a slice of `bytes` or `words` any more."""
        self.words.release()
        self.bytes.release()
        self._unmap()
        self._forget_file()

    def _unmap(self) -> None:
        if libc().munmap(ctypes.c_void_p(self.address), ctypes.c_size_t(self._size)):
            raise last_error("munmap")


def _map(address: int | None, size: int, access: int, flags: int, fd: int, offset: int) -> int:
    function = libc().mmap
    function.restype = ctypes.c_void_p
    result: int = function(
        ctypes.c_void_p(address), ctypes.c_size_t(size), access, flags, fd, ctypes.c_long(offset)
    )
    if result == _FAILED:
        raise last_error("mmap")
    return result
