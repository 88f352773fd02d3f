"""Names of code that a process has made at run time, from the file that its runtime writes for perf.

Lives here: `/tmp/perf-PID.map`, lines of start, size (both hexadecimal) and name; python (`-X perf`), node
(`--perf-basic-prof`) and others write it, and write at its end as they make more. Nothing in it is trusted: it is read
if it is a plain file of the process's own user or of root, up to a bound, and whether there is code where it says is
for others to look at. backend/naming.py asks it last, backend/made_code.py makes functions of it.
Source: tools/perf/Documentation/jit-interface.txt.
"""

from __future__ import annotations

import os
import stat
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from contextlib import suppress
from typing import IO, Final

_MOST_BYTES: Final = 64 << 20
_MOST_ROWS: Final = 1 << 18
_LONGEST_NAME: Final = 2048
_HEAD_BYTES: Final = 64
_AT_A_TIME: Final = 1 << 20
_END: Final = 1 << 47
"""Of the addresses that a process may have."""

Row = tuple[int, int, str]
"""Start, size and name of a piece of code."""


def parse(content: bytes) -> list[Row]:
    """Return the rows of lines, in their order, lines of another form left out."""
    found: list[Row] = []
    for line in content.split(b"\n"):
        fields = line.split(b" ", 2)
        with suppress(ValueError):
            if len(fields) == 3 and fields[2]:
                start, size = int(fields[0], 16), int(fields[1], 16)
                if start >= 0 and size > 0 and start + size <= _END:
                    name = fields[2][:_LONGEST_NAME].replace(b"\0", b"\\x00")
                    found.append((start, size, name.decode("utf-8", "backslashreplace")))
    return found


def supersede(rows: list[Row], new: Iterable[Row]) -> None:
    """Put new rows among those that are known, which ascend: each takes the place of all that it overlaps, since what
    was there must be gone.
    """
    for row in new:
        low, end = bisect_left(rows, (row[0],)), row[0] + row[1]
        if low and sum(rows[low - 1][:2]) > row[0]:
            low -= 1
        high = bisect_left(rows, (end,), low)
        if high > low or len(rows) < _MOST_ROWS:
            rows[low:high] = [row]


class PerfMap:
    """The map of one process, read on when it has grown; from its beginning if it is another file, or has shrunk."""

    def __init__(self, pid: int, namespace_pid: int, user: int) -> None:
        name = f"perf-{namespace_pid}.map"
        # The second is for a process that has ended, whose root is not to be had.
        self._paths = (f"/proc/{pid}/root/tmp/{name}", f"/tmp/{name}")
        self._users = frozenset((user, 0))
        self._head = b""
        self._read = 0
        self._rest = b""
        self.rows: list[Row] = []
        """What was read so far, ascending; no two overlap."""
        self.name: Final = name

    def at(self, address: int) -> Row | None:
        """Return the piece of code that an address is in."""
        found = self._search(address)
        while found is None and self.grow():
            found = self._search(address)
        return found

    def _search(self, address: int) -> Row | None:
        place = bisect_right(self.rows, (address, 1 << 64)) - 1
        if place < 0:
            return None
        start, size, _ = self.rows[place]
        return self.rows[place] if address < start + size else None

    def grow(self) -> list[Row]:
        """Read on, a piece at a time; return the rows that have come, in the order of their lines."""
        file = self._open()
        if file is None:
            return []
        with file:
            found = os.fstat(file.fileno())
            head = os.pread(file.fileno(), _HEAD_BYTES, 0)
            # A new file may have the number of the one that was there.
            if found.st_size < self._read or not head.startswith(self._head):
                self._read, self._rest = 0, b""
                self.rows.clear()
            self._head = head
            new: list[Row] = []
            # Where a piece has only lines of another form, what comes behind them is wanted all the same.
            while not new and self._read < min(found.st_size, _MOST_BYTES):
                piece = os.pread(file.fileno(), _AT_A_TIME, self._read)
                if not piece:
                    break
                self._read += len(piece)
                lines, _, rest = (self._rest + piece).rpartition(b"\n")
                # What never ends is no line.
                self._rest = rest if len(rest) <= _AT_A_TIME else b""
                new = parse(lines)
        supersede(self.rows, new)
        return new

    def _open(self) -> IO[bytes] | None:
        """Open the file that is to be believed, if there is one."""
        for path in self._paths:
            with suppress(OSError):
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
                file = open(descriptor, "rb", buffering=0)  # noqa: SIM115
                found = os.fstat(descriptor)
                if stat.S_ISREG(found.st_mode) and found.st_uid in self._users:
                    return file
                file.close()
        return None
