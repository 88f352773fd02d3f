"""What the tests of the engine share: a traced trigger, the addresses of its functions, clauses that count in
native code.
"""

import ctypes
import mmap
import os
import select
import subprocess
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO

import llvmlite.binding as llvm
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from backend.errors import CannotInject, ProcessGone
from backend.fasttrap.engine import Ended, Happening
from backend.fasttrap.inject import Gate, Syscall, call
from backend.fasttrap.jump_arming import SHARED
from backend.fasttrap.jumps import IN_USE
from backend.fasttrap.site_batch import Site
from backend.fasttrap.tracee import Memory
from backend.fasttrap.tracepoints import Jumped, NotJumped, Outcome
from backend.fasttrap.tracer import Tracer
from backend.linux import procfs
from scratch.instruction import Instruction, Kind, decode
from scratch.placement import whole_pages
from scratch.trampoline import ClauseCall, InlineCount, Shards
from scratch.windows import Window
from tests.harness.triggers import WAIT

TIMEOUT_S = 60.0
MOST_SITES = 1 << 16


def function_offsets(program: Path) -> dict[str, int]:
    """The functions in an ELF file's symbol tables, by name, relative to where the file is loaded."""
    with program.open("rb") as file:
        elf = ELFFile(file)
        return {
            symbol.name: symbol["st_value"]
            for name in (".dynsym", ".symtab")
            if isinstance(section := elf.get_section_by_name(name), SymbolTableSection)
            for symbol in section.iter_symbols()
            if symbol["st_info"]["type"] == "STT_FUNC" and symbol["st_shndx"] != "SHN_UNDEF"
        }


def load_address(pid: int, program: Path) -> int:
    """Where the process has mapped a position-independent file."""
    path = str(program.resolve())
    return min(mapping.start for mapping in procfs.mappings(pid) if mapping.path == path)


def text_of(pid: int, program: Path) -> bytes:
    """The process's bytes of the file's executable segments."""
    path = str(program.resolve())
    return b"".join(
        procfs.read_memory(pid, mapping.start, mapping.size_bytes)
        for mapping in procfs.mappings(pid)
        if mapping.path == path and mapping.executable
    )


def libc_of(pid: int) -> Path:
    """The C library that the process has mapped."""
    return Path(next(m.path for m in procfs.mappings(pid) if m.path.endswith("/libc.so.6")))


@cache
def counts_file() -> int:
    """The file behind all counts: a Tracing makes it anew, and triggers get it under the same number."""
    return os.memfd_create("counts")


COUNTS_AT = 64
"""Where the counts are in it; the gate of jumps is at its beginning."""
COUNTS_SIZE = COUNTS_AT + 8 * MOST_SITES


@dataclass(frozen=True, slots=True)
class CountsInTarget:
    """What a jump counts: the same words, which are at `address` in the traced process and at `here` in this one."""

    address: int
    here: int
    pid: int

    def unit_call(self, number: int) -> ClauseCall:
        return InlineCount(self.address, (self.address + COUNTS_AT + 8 * number,), Shards(0, 0))

    def contains(self, _tid: int, _pc: int) -> bool:
        return False

    @property
    def memory_fd(self) -> int:
        return counts_file()

    @property
    def spans(self) -> tuple[tuple[int, int], ...]:
        return ((self.address, self.address + whole_pages(COUNTS_SIZE)),)

    def forget_threads(self) -> None:
        pass

    def close(self) -> None:
        pass

    def set_gate(self, gate: int) -> None:
        (ctypes.c_uint32 * 2).from_address(self.here)[:] = [gate, self.pid]


@dataclass(frozen=True, slots=True)
class NativeCount:
    """`void hit(site, registers, pid, tid)` that adds 1 to word `site` of an array."""

    engine: llvm.ExecutionEngine
    memory: int
    whole_registers: bool = False

    @property
    def hit(self) -> int:
        return int(self.engine.get_function_address("hit"))

    def install(self, tid: int, gate: Gate, memory: Memory, /) -> CountsInTarget:
        del memory
        protection, shared = mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED
        address = call(tid, gate, Syscall.MMAP, 0, COUNTS_SIZE, protection, shared, counts_file(), 0)
        if address < 0:
            raise CannotInject(tid, f"no counts (error {-address})")
        return CountsInTarget(address, self.memory, tid)


def count_at(memory: int) -> NativeCount:
    """Compile clauses that count in the memory at this address, which is shared: both processes see it."""
    address = memory + COUNTS_AT
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    module = llvm.parse_assembly(
        f"""
        define void @hit(i64 %site, ptr %registers, i32 %pid, i32 %tid) {{
          %counts = inttoptr i64 {address} to ptr
          %count = getelementptr i64, ptr %counts, i64 %site
          %old = load i64, ptr %count
          %new = add i64 %old, 1
          store i64 %new, ptr %count
          ret void
        }}"""
    )
    machine = llvm.Target.from_default_triple().create_target_machine()
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    return NativeCount(engine, memory)


_PLAIN = (Kind.COMMON, Kind.RIP_RELATIVE)


def plain_window(address: int, code: bytes) -> Window | None:
    """The window of a function that begins with 5 bytes of instructions that may lie anywhere, or a jump of 5 bytes,
    and that nothing enters in the middle.
    """
    end = 0
    while end < 5:
        instruction = decode(code[end:], address + end)
        if isinstance(instruction, Instruction) and instruction.kind is Kind.JMP and instruction.size == 5:
            return Window(address, end + 5, code[: end + 5])
        if not isinstance(instruction, Instruction) or instruction.kind not in _PLAIN:
            return None
        end += instruction.size
    return Window(address, end, code[:end])


class Tracing:
    """A tracer whose clauses count hits, and the names of what they count. With `jumps` sites get them if they can."""

    def __init__(self, *, jumps: bool = False) -> None:
        # Never made shorter: jumps that a killed tracer has left in a process still count there.
        os.pwrite(counts_file(), bytes(COUNTS_SIZE), 0)
        self._jumps = jumps
        self._shared = mmap.mmap(counts_file(), COUNTS_SIZE)
        self._counts = (ctypes.c_uint64 * MOST_SITES).from_buffer(self._shared, COUNTS_AT)
        self._names: list[str] = []
        self.tracer = Tracer()
        self.tracer.load(count_at, ctypes.addressof(self._counts) - COUNTS_AT)

    def __enter__(self) -> "Tracing":
        return self

    def __exit__(self, *exception: object) -> None:
        self.tracer.close()

    @property
    def hits(self) -> Counter[str]:
        """How often the clauses were called, by function; what was never hit is left out."""
        counted: Counter[str] = Counter()
        for number, name in enumerate(self._names):
            if self._counts[number]:
                counted[name] += self._counts[number]
        return counted

    def arm(self, program: Path, functions: Sequence[str]) -> dict[str, Outcome]:
        """Put a site at the entry of each function of a file that the held process has mapped."""
        offsets, base = function_offsets(program), load_address(self.tracer.pid, program)
        sites = [
            Site(base + offsets[name], len(self._names) + number, self._window(base + offsets[name]))
            for number, name in enumerate(functions)
        ]
        self._names += functions
        return dict(zip(functions, self.tracer.arm(sites), strict=True))

    def _window(self, address: int) -> Window | None:
        if not self._jumps:
            return None
        return plain_window(address, procfs.read_memory(self.tracer.pid, address, 32))

    def arm_all(self, program: Path) -> list[Outcome]:
        """Put a site at the entry of every function of a file."""
        by_offset = {offset: name for name, offset in function_offsets(program).items()}
        return list(self.arm(program, sorted(by_offset.values())).values())

    def next(self) -> Happening:
        """What happens next, within TIMEOUT_S."""
        assert select.select([self.tracer], [], [], TIMEOUT_S)[0], "nothing happens"
        return self.tracer.happening()

    def wait_end(self) -> None:
        """Wait until the process has ended."""
        assert isinstance(self.next(), Ended)


def arm_jumps(tracing: Tracing, pid: int, program: Path, functions: Sequence[str]) -> None:
    """Have jumps on functions of a running program: where a thread was in the middle of a window, or waited for its
    child of vfork, once more when that is over.
    """
    tracing.tracer.attach(pid)
    outcomes = tracing.arm(program, functions).values()
    while any(isinstance(each, NotJumped) and each.reason in (IN_USE, SHARED) for each in outcomes):
        tracing.tracer.detach()
        tracing.tracer.attach(pid)
        outcomes = tracing.arm(program, functions).values()
    assert {type(outcome) for outcome in outcomes} == {Jumped}, list(outcomes)
    tracing.tracer.go()


def forked(action: Callable[[], None]) -> int:
    """Do something in a fork of this process; return its pid. It ends with 0 if nothing is raised."""
    pid = os.fork()
    if pid == 0:
        try:
            action()
            os._exit(0)
        except BaseException:
            traceback.print_exc()  # nobody else in this process would
            raise
        finally:
            os._exit(1)
    return pid


@contextmanager
def trigger(program: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A trigger that waits for a byte on its standard input (`tell_go`); killed at the end if it still runs."""
    with subprocess.Popen(
        [str(program), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | WAIT,
        pass_fds=(counts_file(),),
    ) as process:
        try:
            assert output(process).readline() == "ready\n"
            yield process
        finally:
            process.kill()


@contextmanager
def traced(
    program: Path, functions: Sequence[str], *arguments: str, jumps: bool = False
) -> Iterator["Traced"]:
    """A trigger that runs under trace, its functions armed."""
    with trigger(program, *arguments) as process, Tracing(jumps=jumps) as tracing:
        tracing.tracer.attach(process.pid)
        tracing.arm(program, functions)
        tracing.tracer.go()
        tell_go(process)
        yield Traced(process, tracing)


@dataclass(frozen=True, slots=True)
class Traced:
    """A running trigger and who traces it."""

    process: subprocess.Popen[str]
    tracing: Tracing

    def finish(self) -> str:
        """Wait until it has ended; return what it printed. Its exit status must be 0."""
        self.tracing.wait_end()
        printed, errors = self.process.communicate(timeout=TIMEOUT_S)
        assert (self.process.returncode, errors) == (0, "")
        return printed


def tell_go(process: subprocess.Popen[str]) -> None:
    """Let the trigger run."""
    assert process.stdin is not None
    process.stdin.write("!")
    process.stdin.flush()


def is_traced(tid: int) -> bool:
    """Whether a thread has a tracer. One that has ended has none."""
    try:
        return procfs.status(tid).tracer_pid != 0
    except ProcessGone:
        return False


def output(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stdout is not None
    return process.stdout
