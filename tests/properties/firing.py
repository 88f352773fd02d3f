"""A program's BEGIN run by the kernel, as often as a test likes and with its arguments; then its memory is read."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from backend.engine import Plan
from backend.linux import bpf
from backend.probes import BEGIN_ID
from backend.uprobes.cells import Cells
from backend.uprobes.loader import PROGRAM_PREFIX
from backend.uprobes.target import BpfMachine
from dlang.aggregations import Cell, Key
from dlang.layout import STATE_VARIABLES, state_size, stores
from dlang.names import Macros, Names
from dlang.program import Scope
from dlang.source import Source
from tests.properties.pipeline import MACROS, compiled_with, generated, loaded


@dataclass(frozen=True, slots=True)
class Firing:
    """BEGIN of a loaded program; `program` and `state` are file descriptors of the kernel's."""

    plan: Plan
    names: Names
    program: int
    state: mmap.mmap
    cells: Cells

    def fire(self, arguments: Sequence[int] = ()) -> None:
        """Run the clauses once, with arg0 and so on as given and zero for the rest."""
        words = [value % (1 << 64) for value in arguments]
        bpf.prog_test_run(self.program, [*words, *[0] * (10 - len(words)), BEGIN_ID])

    def integer(self, name: str) -> int:
        """The global variable's word as an int64."""
        (word,) = struct.unpack_from("<q", self.state, self._place(name))
        return int(word)

    def text(self, name: str) -> bytes:
        """The global string's characters."""
        place = self._place(name)
        return bytes(self.state[place : place + self.names.string_size]).split(b"\0")[0]

    def aggregation(self, name: str) -> dict[Key, Cell]:
        return self.cells.snapshot(self.names.aggregations[name])

    def _place(self, name: str) -> int:
        variable = self.names.find(Scope.GLOBAL, name)
        assert variable is not None, name
        return STATE_VARIABLES + variable.offset


@contextmanager
def firing(text: str, string_limit: int = 256, macros: Macros = MACROS) -> Iterator[Firing]:
    """Load a program of BEGIN clauses; it must compile."""
    names = Names(macros, string_limit)
    plan = compiled_with(Source(text), names)
    assert isinstance(plan, Plan), (plan, text)
    code = generated(plan)
    layout = stores(plan.program, len(plan.names))
    unit = code.plan.units[code.plan.unit_of[BEGIN_ID]]
    size = -(-state_size(plan.program) // mmap.PAGESIZE) * mmap.PAGESIZE
    with (
        loaded(code, [unit]) as programs,
        mmap.mmap(programs.maps[BpfMachine.STATE], size) as state,
    ):
        cells = Cells(code.plan, layout, code.machine, programs.maps)
        yield Firing(code.plan, names, programs.programs[PROGRAM_PREFIX + unit.name], state, cells)
