"""A stopped child process in which single instructions are executed with chosen registers and memory.

Made of raw ptrace requests, independent of the engine, since it is what the engine's arithmetic is tested
against.
"""

import ctypes
import os
import signal
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CODE = 0x2100_0000
NEAR = 0x2200_0000
FAR = 0x6000_0000_0000
ARENA = 0x2000_0000
COUNTERS = 0x2300_0000
ARENA_SIZE = 0x8000
PAGE = 0x1000

_READ, _WRITE, _EXECUTE = 1, 2, 4
_CONT, _SINGLESTEP, _GETSIGINFO, _GETREGSET, _SETREGSET = 7, 9, 0x4202, 0x4204, 0x4205
_NT_PRSTATUS, _NT_X86_XSTATE = 1, 0x202
_SIGINFO_SIZE = 128
_XSTATE_MOST = 16384
_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = (ctypes.c_ulong, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_void_p)
_libc.ptrace.restype = ctypes.c_long

# struct user_regs_struct by position, against the x86 numbers of the general registers.
# fmt: off
NAMES = (
    "r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi",
    "orig_rax", "rip", "cs", "flags", "rsp", "ss", "fs_base", "gs_base", "ds", "es", "fs", "gs",
)
GENERAL = (
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
    "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
)
# fmt: on


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("size", ctypes.c_size_t))


@dataclass(frozen=True, slots=True)
class Start:
    """What an instruction begins with."""

    registers: dict[str, int]
    vectors: bytes
    arena: bytes


@dataclass(frozen=True, slots=True)
class Stop:
    """What it left: the registers by name, the xsave image, the arena, and the signal that stopped it."""

    registers: dict[str, int]
    vectors: bytes
    arena: bytes
    signal: int
    code: int
    address: int


class Sacrifice:
    """The child. It is stopped between calls."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.memory = os.open(f"/proc/{pid}/mem", os.O_RDWR)
        self.first = self._registers()
        self.first_vectors = self._get(_NT_X86_XSTATE, _XSTATE_MOST)

    def write(self, address: int, content: bytes) -> None:
        os.pwrite(self.memory, content, address)

    def read(self, address: int, size: int) -> bytes:
        return os.pread(self.memory, size, address)

    def run(self, start: Start, rip: int) -> Stop:
        """Let the child go from `rip` with these registers and this arena until a signal stops it."""
        self.load(start, rip)
        self._request(_CONT, None, None)
        return self._stopped()

    def load(self, start: Start, rip: int) -> None:
        """Give the child these registers, with another rip, and this arena."""
        os.pwrite(self.memory, start.arena, ARENA)
        values = {**self.first, **start.registers, "rip": rip, "orig_rax": (1 << 64) - 1}
        self._set(_NT_PRSTATUS, struct.pack("<27Q", *(values[name] for name in NAMES)))
        self._set(_NT_X86_XSTATE, start.vectors)

    def step(self) -> Stop:
        """Let the child execute one instruction."""
        self._request(_SINGLESTEP, None, None)
        return self._stopped()

    def _stopped(self) -> Stop:
        _, status = os.waitpid(self.pid, 0)
        assert os.WIFSTOPPED(status), f"the child died: {status:#x}"
        information = ctypes.create_string_buffer(_SIGINFO_SIZE)
        self._request(_GETSIGINFO, None, ctypes.addressof(information))
        number, _, code, _, address = struct.unpack_from("<iiiiQ", information)
        assert number == os.WSTOPSIG(status)
        return Stop(
            self._registers(),
            self._get(_NT_X86_XSTATE, len(self.first_vectors)),
            os.pread(self.memory, ARENA_SIZE, ARENA),
            number,
            code,
            address,
        )

    def _registers(self) -> dict[str, int]:
        return dict(zip(NAMES, struct.unpack("<27Q", self._get(_NT_PRSTATUS, 27 * 8)), strict=True))

    def _get(self, kind: int, size: int) -> bytes:
        buffer = ctypes.create_string_buffer(size)
        vector = _Iovec(ctypes.addressof(buffer), size)
        self._request(_GETREGSET, kind, ctypes.addressof(vector))
        return buffer.raw[: vector.size]

    def _set(self, kind: int, content: bytes) -> None:
        buffer = ctypes.create_string_buffer(content, len(content))
        vector = _Iovec(ctypes.addressof(buffer), len(content))
        self._request(_SETREGSET, kind, ctypes.addressof(vector))

    def _request(self, request: int, address: int | None, data: int | None) -> None:
        if _libc.ptrace(request, self.pid, address, data) < 0:
            number = ctypes.get_errno()
            raise OSError(number, f"ptrace request {request:#x}: {os.strerror(number)}")


@contextmanager
def sacrifice(folder: Path) -> Iterator[Sacrifice]:
    """Yield a stopped child with its arena, a page at CODE, NEAR, FAR and COUNTERS each, and nothing else near them."""
    source = Path(__file__).parent.parent / "triggers" / "sacrifice.c"
    program = folder / "sacrifice"
    subprocess.run(["gcc", "-O1", "-static-pie", "-o", program, source], check=True)
    pages = [f"{page:x}:{PAGE:x}:{_READ | _EXECUTE:x}" for page in (CODE, NEAR, FAR)]
    pages.append(f"{ARENA:x}:{ARENA_SIZE:x}:{_READ | _WRITE:x}")
    pages.append(f"{COUNTERS:x}:{PAGE:x}:{_READ | _WRITE:x}")
    pid = os.posix_spawn(program, [str(program), *pages], {})
    try:
        os.sched_setaffinity(pid, {min(os.sched_getaffinity(0))})
        _, status = os.waitpid(pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status), f"the child ended: {status:#x}"
        yield Sacrifice(pid)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
