"""Clauses inside the traced process: put there, told what they have to know, and watched.

The traced process makes the shared memory itself (a memfd, by injected calls), so that it needs no right to ours; we
take hold of that file by its /proc/TID/fd, and everybody maps it in place of the memory that there was before. The
code is a private copy in memory that is never writable for the process. Nothing of it is unmapped before we leave: a
thread may be in it. Who jumps there is the business of jumps.py; what is jumped to, scratch/trampoline.py's.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from backend.engine import NO_UNIT
from backend.errors import CannotInject
from backend.fasttrap.inject import Gate, Syscall, call
from backend.fasttrap.inside import InsideCode, InsideUnit
from backend.fasttrap.regions import (
    HEADER_CLOCK,
    HEADER_FS_BASE,
    HEADER_GATE,
    HEADER_PROCESS,
    NEXT,
    PLACES,
    RECORDS,
    TIDS,
    UNITS,
    Regions,
)
from backend.fasttrap.runtime_inside import CLOCK_RETURN
from backend.fasttrap.target import MEMORY_POINTER
from backend.fasttrap.tracee import Memory
from backend.linux import procfs, ptrace
from backend.linux.procfs import AuxiliaryKey
from backend.linux.shared_memory import SharedMemory
from backend.symbols import read_functions
from backend.symbols_elf import bytes_image, read_elf
from dlang.layout import PLACE_PROBE
from scratch.placement import whole_pages
from scratch.trampoline import ClauseCall, InlineCount, Shards, UnitCall

_NONE, _READ_WRITE, _READ_EXECUTE = 0, 3, 5
_SHARED, _PRIVATE, _FIXED, _ANONYMOUS, _NORESERVE = 0x01, 0x02, 0x10, 0x20, 0x4000
_CLOEXEC, _NOEXEC_SEAL = 0x1, 0x8
_EINVAL: Final = 22
_FSGSBASE: Final = 1 << 1
"""In AT_HWCAP2: `rdfsbase` is allowed. Source: arch/x86/include/uapi/asm/hwcap2.h."""
_ALIGNMENT: Final = 64
_VDSO_FRAMES: Final = 512
"""Bytes of stack that the vdso's functions take at most, generously."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What decides which units can run in a process.

    `clock` is the address of the vdso's function, 0 where there is none. The flags: it may read fs_base; its first
    thread has exited; it runs under seccomp; its IDs are not as we have them; nor are its users.
    """

    own_pid: int
    clock: int
    vdso: tuple[int, int]
    fs_base: bool
    leaderless: bool
    seccomp: bool
    other_ids: bool
    other_users: bool


def surroundings(pid: int) -> Surroundings:
    """Look at a process. Raises ProcessGone."""
    status = procfs.status(pid)
    vdso = next((m for m in procfs.mappings(pid) if m.path == "[vdso]" and m.executable), None)
    functions: dict[str, int] = {}
    if vdso is not None:
        file = read_elf(bytes_image(procfs.read_memory(pid, vdso.start, vdso.size_bytes)))
        for function in read_functions(file):
            functions |= dict.fromkeys(function.names, vdso.start + function.address)
    features = procfs.auxiliary_vector(pid).get(AuxiliaryKey.HWCAP2, 0)
    inner = status.namespace_pids
    return Surroundings(
        own_pid=inner[-1] if inner else pid,
        clock=functions.get("__vdso_clock_gettime", 0),
        vdso=(vdso.start, vdso.end) if vdso is not None else (0, 0),
        fs_base=features & _FSGSBASE != 0,
        leaderless=procfs.has_exited(pid),
        seccomp=status.seccomp != 0,
        other_ids=len(inner) > 1,
        other_users=_user_namespace(pid) != _user_namespace("self"),
    )


def _user_namespace(pid: int | str) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/user")
    except OSError:
        return ""


@dataclass(frozen=True, slots=True)
class Installed:
    """Clauses in one process. `memory` is ours, `base` where the process has it; `code` is where it has the code.

    `memory_fd` is the file that the memory is in, open in this process until `close`; `process` is all memory of the
    process.
    """

    process: Memory
    inside: InsideCode
    regions: Regions
    memory: SharedMemory
    surroundings: Surroundings
    base: int
    code: int
    memory_fd: int

    @property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """Start and end of what the process has of ours: the code, the memory."""
        size = self.regions.size + self.regions.places[RECORDS][1]
        return (self.code, self.code + whole_pages(len(self.inside.image.content))), (
            self.base,
            self.base + size,
        )

    def unit_call(self, number: int) -> ClauseCall | str:
        """Return what the trampoline of a site, by its number, is to do; or why its clauses can't run there.

        Where several sites have its address, its number stands for all.
        """
        fired = list(self._fired(number))
        if not fired:
            return "no clause of the process fires there"
        reason = next(filter(None, (self._refusal(unit) for _, unit in fired)), None)
        if reason is not None:
            return reason
        gate = self.base + HEADER_GATE
        cells: list[int] = []
        for each, unit in fired:
            if unit.counters is None:
                code, symbols = self.code, self.inside.image.symbols
                units = tuple((code + symbols[other.name], other_number) for other_number, other in fired)
                return UnitCall(gate, units, any(other.whole_registers for _, other in fired))
            for counter in unit.counters:
                index = each if counter.by_number else self._probe(each)
                cells.append(self.base + counter.first + counter.stride * index)
        return InlineCount(gate, tuple(cells), self.regions.shards if cells else Shards(0, 0))

    def _fired(self, number: int) -> Iterator[tuple[int, InsideUnit]]:
        """Yield the sites at the address of the one of this number that fire something, in order, by their numbers."""
        while True:
            place = self._word32(UNITS, number)
            unit = None if place == NO_UNIT else self.inside.units[place]
            if unit is not None:
                yield number, unit
            number = self._word32(NEXT, number) if NEXT in self.regions.places else 0
            if not number:
                return

    def _refusal(self, unit: InsideUnit) -> str | None:
        around = self.surroundings
        if unit.signals:
            return "its clauses send signals"
        if unit.system_calls and around.seccomp:
            return "its clauses make system calls, and the process runs under seccomp"
        if unit.system_calls and around.leaderless:
            return "its clauses make system calls, and the main thread, by which a process names itself, has exited"
        if unit.thread_ids and around.other_ids:
            return "its clauses ask for thread IDs, and the process has its own namespace of those"
        if unit.credentials and around.other_users:
            return "its clauses ask for users, and the process has its own namespace of those"
        if unit.clock and (not around.clock or self.inside.vdso_probed):
            return "its clauses ask for the time, and the vdso is probed or missing"
        return None

    def _probe(self, number: int) -> int:
        """Return the ID of a site's probe, given its number: its own below that of the last probe, else in a table."""
        if PLACES in self.regions.places:
            word = self.memory.words[(self.regions.offset(PLACES) >> 3) + number]
            if word:
                return word & PLACE_PROBE
        return number

    def _word32(self, region: str, number: int) -> int:
        offset = self.regions.offset(region) + 4 * number
        return int.from_bytes(self.memory.bytes[offset : offset + 4], "little")

    def contains(self, tid: int, pc: int) -> bool:
        """Whether a stopped thread with this pc runs clauses, or the vdso on their behalf.

        Raises ProcessLookupError.
        """
        start, end = self.spans[0]
        if start <= pc < end:
            return True
        start, end = self.surroundings.vdso
        place = self.inside.image.symbols.get(CLOCK_RETURN)
        if place is None or not start <= pc < end:  # no clause asks the vdso, or this is not there
            return False
        returns = struct.pack("<Q", self.code + place)
        stack = ptrace.registers(tid).rsp
        with suppress(OSError):
            words = self.process.read(stack, _VDSO_FRAMES)
            return any(words[at : at + 8] == returns for at in range(0, len(words) - 7, 8))
        return False

    def set_gate(self, gate: int) -> None:
        """Say who may count from now on: one of scratch.trampoline's GATE_SHUT, GATE_OPEN, GATE_GUARDED."""
        self.memory.bytes[HEADER_GATE : HEADER_GATE + 4] = struct.pack("<I", gate)

    def forget_threads(self) -> None:
        """Forget whose stack is where. To be called whenever a thread has been born, before it runs."""
        if TIDS in self.regions.places:
            offset, size = self.regions.places[TIDS]
            self.memory.bytes[offset : offset + size] = bytes(size)

    def close(self) -> None:
        """Let go of the file; the mappings stay."""
        os.close(self.memory_fd)

    def prepare(self, pid: int, write: Callable[[int, bytes], object]) -> None:
        """Write what the clauses have to know into the memory, and the code into the process. The gate stays shut."""
        words, around = self.memory.words, self.surroundings
        self.memory.bytes[HEADER_GATE : HEADER_GATE + 8] = struct.pack("<II", 0, around.own_pid)
        words[HEADER_PROCESS >> 3] = pid
        words[HEADER_CLOCK >> 3] = around.clock
        words[HEADER_FS_BASE >> 3] = around.fs_base
        self.forget_threads()
        content = bytearray(self.inside.image.content)
        place = self.inside.image.symbols[MEMORY_POINTER]
        content[place : place + 8] = struct.pack("<Q", self.base)
        write(self.code, bytes(content))


def install(
    tid: int, gate: Gate, process: Memory, inside: InsideCode, regions: Regions, memory: SharedMemory
) -> Installed:
    """Put the clauses into a process whose threads are all held, `tid` one of them; move `memory` to the file that it
    shares from then on. Who else has that memory mapped must move as well before anything is written to it.

    Raises CannotInject, ProcessGone, TraceeEnded; what was mapped before stays.
    """

    def inject(number: Syscall, *arguments: int) -> int:
        result = call(tid, gate, number, *arguments)
        if result < 0:
            raise CannotInject(tid, f"{number.name.lower()}: {os.strerror(-result)}")
        return result

    ring = regions.places[RECORDS][1]
    whole = regions.size + ring
    code_size = whole_pages(len(inside.image.content))
    code = inject(Syscall.MMAP, 0, code_size, _READ_EXECUTE, _PRIVATE | _ANONYMOUS, -1, 0)
    process.write(code, b"dtrap\0")
    theirs = call(tid, gate, Syscall.MEMFD_CREATE, code, _CLOEXEC | _NOEXEC_SEAL)
    if theirs == -_EINVAL:  # kernels before 6.3 know no such seal
        theirs = call(tid, gate, Syscall.MEMFD_CREATE, code, _CLOEXEC)
    if theirs < 0:
        raise CannotInject(tid, f"memfd_create: {os.strerror(-theirs)}")
    try:
        try:
            ours = os.open(f"/proc/{tid}/fd/{theirs}", os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise CannotInject(tid, f"its file can't be opened: {error.strerror}") from None
        try:
            # By us: the process may be limited in the size of its files.
            os.ftruncate(ours, regions.size)
            base = inject(Syscall.MMAP, 0, whole, _NONE, _PRIVATE | _ANONYMOUS | _NORESERVE, -1, 0)
            shared = _SHARED | _FIXED
            inject(Syscall.MMAP, base, regions.size, _READ_WRITE, shared, theirs, 0)
            inject(Syscall.MMAP, base + regions.size, ring, _READ_WRITE, shared, theirs, regions.size - ring)
            _copy(memory, ours)
            memory.move_to(ours)
            pid = procfs.status(tid).tgid
            installed = Installed(process, inside, regions, memory, surroundings(pid), base, code, ours)
            installed.prepare(pid, process.write)
        except BaseException:
            os.close(ours)
            raise
    finally:
        call(tid, gate, Syscall.CLOSE, theirs)
    return installed


def _copy(memory: SharedMemory, fd: int) -> None:
    """Write what is not zero of the memory into an empty file of its size."""
    empty = bytes(mmap.PAGESIZE)
    for used in memory.used():
        for offset in range(used.start, used.stop, mmap.PAGESIZE):
            page = memory.bytes[offset : offset + mmap.PAGESIZE]
            if page != empty:
                os.pwrite(fd, page, offset)
