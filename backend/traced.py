"""The process of a run and its symbols: taken when -c, -p or a `pidN` description asks for them, let go at the end.

What deals with processes is imported by the runs that have one; a run of BEGIN and ticks alone starts without.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Set
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from backend.errors import CannotGrab, ProcessGone, ProcessNotPermitted
from dlang.diagnostics import fail
from dlang.source import Span

if TYPE_CHECKING:
    from backend.made_code import MadeCode
    from backend.naming import ProcessNames
    from backend.perf_map import PerfMap
    from backend.process_objects import ProcessObjects
    from backend.process_symbols import Symbols
    from backend.stack_tables import ProcessRows
    from backend.target_process import TargetProcess


@dataclass(slots=True)
class Traced:
    """`stack` closes what is taken. `processes` are in the order in which they were asked for."""

    stack: ExitStack
    processes: list[TargetProcess] = field(default_factory=list)
    symbols: dict[int, Symbols] = field(default_factory=dict)
    made: MadeCode | None = None
    """What the first process has made at run time, once its symbols were asked for."""
    _objects: ProcessObjects | None = None
    _rows: ProcessRows | None = None

    @property
    def process(self) -> TargetProcess | None:
        """The first process, which is $target; None as long as nobody has asked for one."""
        return self.processes[0] if self.processes else None

    def create(self, command: str, ignored_signals: Set[int], held_at: str) -> None:
        """Start a command and hold it where option evaltime says. Raises CommandNotStarted."""
        from backend.command_start import create
        from backend.held_at import HeldAt

        created = self.stack.enter_context(create(command, ignored_signals, held_at=HeldAt(held_at)))
        # However the run ends, what was started for it ends with it.
        self.stack.callback(created.finish)
        self.processes.append(created)

    def grab(self, pid: int) -> None:
        """Take a running process, unless the run has it already. Raises CannotGrab."""
        from backend.target_process import grab

        if all(process.pid != pid for process in self.processes):
            self.processes.append(self.stack.enter_context(grab(pid)))

    def symbols_of(self, pid: int, span: Span) -> Symbols:
        """Return the symbols of the process that the description at `span` names; raises CompileError."""
        if pid not in self.symbols:
            self.symbols[pid] = self._read_symbols(pid, span)
        return self.symbols[pid]

    def objects(self) -> ProcessObjects | None:
        """Return the objects that the first process has mapped, kept up to date; None where there is no process with
        symbols."""
        if self._objects is None and self.process is not None and self.process.pid in self.symbols:
            from backend.process_objects import ProcessObjects

            pid = self.process.pid
            known = [loaded for loaded in self.symbols[pid].objects if not loaded.is_made]
            self._objects = ProcessObjects(pid, known, self.stack)
        return self._objects

    def rows(self) -> ProcessRows | None:
        """Return what stacks of the process are unwound by; None where there is no process with symbols."""
        objects = self.objects()
        if self._rows is None and objects is not None and self.process is not None:
            from backend.stack_tables import ProcessRows

            self._rows = ProcessRows(objects, self.symbols[self.process.pid])
        return self._rows

    def names(self, shown: Callable[[str], str] | None = None) -> ProcessNames | None:
        """Return what knows where addresses of the process are; None where there is no process with symbols.

        `shown` makes of a function's name the one to show.
        """
        objects = self.objects()
        if objects is None or self.process is None:
            return None
        from backend.naming import ProcessNames

        pid = self.process.pid
        return ProcessNames(objects, self.symbols[pid], _map_of(pid), shown)

    def _read_symbols(self, pid: int, span: Span) -> Symbols:
        from backend.linux.procfs import Memory
        from backend.made_code import MadeCode
        from backend.objects import loaded_objects
        from backend.process_symbols import Symbols
        from backend.target_process import not_permitted

        if pid == os.getpid():
            fail("D_PROC_DYN", span, f"process {pid} is dtrap itself")
        try:
            self.grab(pid)
            memory = self.stack.enter_context(Memory(pid))
            objects = loaded_objects(pid, self.stack)
            code = MadeCode(pid, _map_of(pid))
            made = code.all()
        except CannotGrab as error:
            fail("D_PROC_GRAB", span, f"failed to grab process {pid}", error.reason)
        except ProcessNotPermitted:
            fail("D_PROC_GRAB", span, f"failed to grab process {pid}", not_permitted(pid).reason)
        except ProcessGone as error:
            fail("D_PROC_GRAB", span, f"failed to grab process {pid}", str(error))
        if self.made is None:
            self.made = code
        return self.stack.enter_context(Symbols(objects, memory.read, (f"/proc/{pid}/root", ""), made))


def _map_of(pid: int) -> PerfMap:
    """Return the file in which the runtime of process `pid` says what it makes; a reader of its own for each caller."""
    from backend.linux import procfs
    from backend.perf_map import PerfMap

    inner_pid, user = pid, os.getuid()
    # One that has just ended has written what it has written.
    with suppress(ProcessGone):
        status = procfs.status(pid)
        inner_pid, user = (status.namespace_pids or (pid,))[-1], status.uid
    return PerfMap(pid, inner_pid, user)
