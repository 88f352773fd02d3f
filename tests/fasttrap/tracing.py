"""What the tests of the engine share: a trigger under trace, the addresses of its functions, a clause that counts."""

import ctypes
import os
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from elftools.elf.elffile import ELFFile

from backend.fasttrap.engine import CLAUSES, Called, Ended, Engine, Executed
from backend.fasttrap.loop import HotLoop
from backend.fasttrap.tracepoints import Outcome, Site
from backend.linux import procfs
from tests.harness.triggers import WAIT


def function_offsets(program: Path) -> dict[str, int]:
    """The functions in an ELF file's symbol tables, by name, relative to where the file is loaded."""
    with program.open("rb") as file:
        elf = ELFFile(file)
        return {
            symbol.name: symbol["st_value"]
            for name in (".dynsym", ".symtab")
            if (section := elf.get_section_by_name(name)) is not None
            for symbol in section.iter_symbols()
            if symbol["st_info"]["type"] == "STT_FUNC" and symbol["st_shndx"] != "SHN_UNDEF"
        }


def load_address(pid: int, program: Path) -> int:
    """Where the process has mapped a position-independent file."""
    path = str(program.resolve())
    return min(mapping.start for mapping in procfs.mappings(pid) if mapping.path == path)


def text_of(pid: int, program: Path) -> bytes:
    """The process's bytes of the file's executable segment, if they are all there."""
    path = str(program.resolve())
    code = b""
    for mapping in procfs.mappings(pid):
        if mapping.path == path and mapping.executable:
            code += procfs.read_memory(pid, mapping.start, mapping.size_bytes)
    return code


@dataclass(slots=True)
class Counted:
    """An engine whose clauses count hits by function name."""

    names: list[str] = field(default_factory=list)
    hits: Counter[str] = field(default_factory=Counter)
    tids: set[int] = field(default_factory=set)
    engine: Engine = field(init=False)
    _clauses: object = None

    def __post_init__(self) -> None:
        def hit(site: int, registers: int, pid: int, tid: int) -> None:
            self.hits[self.names[site]] += 1
            self.tids.add(tid)

        self._clauses = CLAUSES(hit)
        address = ctypes.cast(self._clauses, ctypes.c_void_p).value or 0
        self.engine = Engine(HotLoop(), address, whole_registers=False)

    def arm(self, pid: int, program: Path, functions: Sequence[str]) -> dict[str, Outcome]:
        """Put a site at the entry of each function of a file that the process, which is held, has mapped."""
        offsets, base = function_offsets(program), load_address(pid, program)
        sites = [
            Site(base + offsets[name], len(self.names) + number) for number, name in enumerate(functions)
        ]
        self.names += functions
        return dict(zip(functions, self.engine.arm(sites), strict=True))

    def run_to_end(self) -> None:
        """Serve until the process has ended."""
        happening = self.engine.go() or self.engine.serve()
        while not isinstance(happening, Ended):
            assert not isinstance(happening, Executed)
            happening = self.engine.serve()

    def run_until(self, condition: "Condition") -> None:
        """Serve until the condition, asked every now and then (`Control.attention`), holds."""


Condition = Called


@contextmanager
def waiting_trigger(program: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A trigger that waits for a byte on its standard input (`tell_go`); killed at the end if it still runs."""
    with subprocess.Popen(
        [str(program), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | WAIT,
    ) as process:
        try:
            assert output(process).readline() == "ready\n"
            yield process
        finally:
            process.kill()


def tell_go(process: subprocess.Popen[str]) -> None:
    """Let the trigger run."""
    assert process.stdin is not None
    process.stdin.write("!")
    process.stdin.flush()


def output(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stdout is not None
    return process.stdout
