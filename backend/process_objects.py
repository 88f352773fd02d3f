"""Which objects a process has mapped now, and which it had: looked at again when libraries may have come.

Lives here: keeping the list, and the files open, so that objects can be read when the process has ended and its files
are deleted. Not here: what is in them. backend/stack_tables.py and backend/naming.py take the list.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import Final

from backend.errors import ProcessGone, ProcessNotPermitted
from backend.linux.procfs import mappings
from backend.objects import LoadedObject, loaded_objects

VSYSCALL: Final = "[vsyscall]"
"""The kernel's page of system calls of old: its addresses are the kernel's."""


class ProcessObjects:
    """The objects of process `pid`: `now` are those of the last look, `seen` all, the newest first.

    `files` closes what is opened. `known` are the objects of a look that was taken before, whose files stay open.
    """

    def __init__(self, pid: int, known: Sequence[LoadedObject], files: ExitStack) -> None:
        self._pid = pid
        self._files = files
        self._text: frozenset[tuple[int, int, int]] = frozenset()
        self.now: tuple[LoadedObject, ...] = tuple(known)
        self.made: tuple[tuple[int, int], ...] = ()
        """Addresses `[start, end)` of code that no object holds: what the process has made at run time."""
        self.seen: list[LoadedObject] = list(known)

    def look(self) -> bool:
        """Look at the process's mappings; returns whether there is code that was not there at the last look.

        False where the process has ended: what it had is what there is.
        """
        try:
            executable = [part for part in mappings(self._pid) if part.executable and part.path != VSYSCALL]
            text = frozenset((part.start, part.end, part.inode) for part in executable)
            if not text or text <= self._text:
                return False
            with ExitStack() as opened:
                found = loaded_objects(self._pid, opened)
                known = {_identity(loaded): loaded for loaded in self.seen}
                new = [loaded for loaded in found if _identity(loaded) not in known]
                if new:
                    self._files.push(opened.pop_all())
        except (ProcessGone, ProcessNotPermitted):
            return False
        self._text = text
        self.seen[:0] = new
        self.now = tuple(known.get(_identity(loaded), loaded) for loaded in found)
        held = {part.start for loaded in found for part in loaded.text}
        self.made = _joined((part.start, part.end) for part in executable if part.start not in held)
        return bool(new)


def _joined(ranges: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Return ranges that ascend, neighbours as one."""
    joined: list[tuple[int, int]] = []
    for start, end in ranges:
        if joined and joined[-1][1] == start:
            joined[-1] = joined[-1][0], end
        else:
            joined.append((start, end))
    return tuple(joined)


def _identity(loaded: LoadedObject) -> tuple[object, ...]:
    return loaded.device, loaded.inode, loaded.bias, loaded.text
