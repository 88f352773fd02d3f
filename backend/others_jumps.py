"""What a tracer with jumps or int3s has in a process, or has left there: for uprobes, which must not get into its way.

A uprobe over a jump is in its way at best (`scratch.overlaid`), and without a tracer the end of the process: the kernel
executes the instruction that the file has there, and goes on behind it, which is in the middle of the jump. So what was
left is cleared away before uprobes are placed, and where another dtrap is at work there are none on its jumps.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from backend.errors import ProcessGone
from backend.linux import procfs

OVER_JUMP: Final = "another tracer has a jump there"


def clear(pid: int) -> None:
    """Undo what a tracer that was killed has left in a process, unless somebody traces it by now."""
    with suppress(ProcessGone, PermissionError):
        if not _may_have_some(pid) or procfs.status(pid).tracer_pid:
            return
        # Imported by the few runs that find something.
        from backend.fasttrap import jump_record, safety
        from backend.fasttrap.guardian import rescue
        from backend.fasttrap.tracee import Memory

        memory = Memory(pid)
        try:
            left = any(jump_record.recorded(pid, memory).values()) or any(
                leftover.is_armed for leftover in safety.find(pid, memory)
            )
        finally:
            memory.close()
        if left:
            rescue(pid)


def in_place(pid: int) -> list[tuple[int, int]]:
    """Return where jumps are in a process: the ranges [start, end) of text that they take."""
    with suppress(ProcessGone, PermissionError):
        if not _may_have_some(pid):
            return []
        from backend.fasttrap import jump_record
        from backend.fasttrap.tracee import Memory

        memory = Memory(pid)
        try:
            patches = [patch for own in jump_record.recorded(pid, memory).values() for patch in own]
        finally:
            memory.close()
        return [(patch.address, patch.address + len(patch.original)) for patch in patches]
    return []


def _may_have_some(pid: int) -> bool:
    return any(mapping.is_anonymous_code for mapping in procfs.mappings(pid))
