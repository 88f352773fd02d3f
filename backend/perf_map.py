"""Names of code that a process has made at run time, from the file that its runtime writes for perf.

Lives here: `/tmp/perf-PID.map`, lines of start, size (both hexadecimal) and name; python (`-X perf`), node
(`--perf-basic-prof`) and others write it. Nothing in it is trusted: it is read if it is a plain file of the process's
own user or of root, up to a bound. backend/naming.py asks it last. Source: tools/perf/Documentation/jit-interface.txt.
"""

from __future__ import annotations

import os
import stat
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

_MOST_BYTES: Final = 64 << 20

Row = tuple[int, int, str]
"""Start, size and name of a piece of code."""


def parse(content: bytes) -> list[Row]:
    """Return the rows of a map by their starts; of several at one start the last, lines of another form left out."""
    found: dict[int, Row] = {}
    for line in content.split(b"\n"):
        fields = line.split(b" ", 2)
        with suppress(ValueError):
            if len(fields) == 3 and fields[2]:
                start, size = int(fields[0], 16), int(fields[1], 16)
                if start >= 0 and size > 0:
                    found[start] = start, size, os.fsdecode(fields[2])
    return sorted(found.values())


class PerfMap:
    """The map of one process, read again where an address is asked for that it did not have and it has grown."""

    def __init__(self, pid: int, namespace_pid: int, user: int) -> None:
        name = f"perf-{namespace_pid}.map"
        # The second is for a process that has ended, whose root is not to be had.
        self._paths = (f"/proc/{pid}/root/tmp/{name}", f"/tmp/{name}")
        self._users = frozenset((user, 0))
        self._size = 0
        self._rows: list[Row] = []
        self.name: Final = name

    def at(self, address: int) -> Row | None:
        """Return the piece of code that an address is in."""
        return self._search(address) or (self._search(address) if self._grown() else None)

    def _search(self, address: int) -> Row | None:
        place = bisect_right(self._rows, (address, 1 << 64)) - 1
        if place < 0:
            return None
        start, size, _ = self._rows[place]
        return self._rows[place] if address < start + size else None

    def _grown(self) -> bool:
        for content in self._contents():
            if len(content) != self._size:
                self._size = len(content)
                self._rows = parse(content)
                return True
            return False
        return False

    def _contents(self) -> Iterator[bytes]:
        for path in self._paths:
            with suppress(OSError):
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
                with open(fd, "rb") as file:
                    found = os.fstat(fd)
                    if stat.S_ISREG(found.st_mode) and found.st_uid in self._users:
                        yield file.read(_MOST_BYTES)
