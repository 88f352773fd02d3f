"""ptrace(2), one typed function for each request, for x86-64 tracees attached with SEIZE.

Every request but `seize` and `interrupt` needs the tracee in a ptrace-stop and must come from the thread
that seized it. A failed request raises OSError naming request and tracee; ProcessLookupError (ESRCH) means
that the tracee is gone *or is not stopped*: since SIGKILL ends a tracee in any stop, callers must expect it
from every request. Memory isn't PEEKed word by word but read and written through /proc/PID/mem
(`open_memory`), which may write to read-only mappings.

Statuses of the tracees are decoded in `wait_status`; what to do about them is the engine's business.
"""

import ctypes
import os
import struct
from dataclasses import dataclass, fields
from enum import IntEnum, IntFlag

from backend.linux.libc import last_error, libc


class Request(IntEnum):
    """Request numbers. Source: include/uapi/linux/ptrace.h, arch/x86/include/uapi/asm/ptrace-abi.h."""

    PEEKTEXT = 1
    PEEKUSER = 3
    POKETEXT = 4
    POKEUSER = 6
    CONT = 7
    GETREGS = 12
    SETREGS = 13
    DETACH = 17
    SYSCALL = 24
    SETOPTIONS = 0x4200
    GETEVENTMSG = 0x4201
    GETSIGINFO = 0x4202
    SETSIGINFO = 0x4203
    SEIZE = 0x4206
    INTERRUPT = 0x4207
    LISTEN = 0x4208
    PEEKSIGINFO = 0x4209
    GETSIGMASK = 0x420A
    SETSIGMASK = 0x420B


class Option(IntFlag):
    """PTRACE_O_*. EXITKILL kills the tracee when its tracer dies: right only for a child of our own, not
    yet released.
    """

    NONE = 0
    TRACESYSGOOD = 1 << 0
    TRACEFORK = 1 << 1
    TRACEVFORK = 1 << 2
    TRACECLONE = 1 << 3
    TRACEEXEC = 1 << 4
    TRACEVFORKDONE = 1 << 5
    TRACEEXIT = 1 << 6
    EXITKILL = 1 << 20
    SUSPEND_SECCOMP = 1 << 21


_REGISTERS = struct.Struct("27Q")
USER_REGS_SIZE = _REGISTERS.size
RIP_OFFSET = 16 * 8
"""Offset of rip in `struct user_regs_struct`."""

CODE_SELECTOR_64 = 0x33
"""The `cs` of 64-bit code; 0x23 is 32-bit code. Source: arch/x86/include/asm/segment.h, __USER_CS."""


@dataclass(frozen=True, slots=True)
class Registers:
    """`struct user_regs_struct`, in its order; every field an unsigned 64-bit word (segments: 16 bits of
    it).
    """

    r15: int
    r14: int
    r13: int
    r12: int
    rbp: int
    rbx: int
    r11: int
    r10: int
    r9: int
    r8: int
    rax: int
    rcx: int
    rdx: int
    rsi: int
    rdi: int
    orig_rax: int
    rip: int
    cs: int
    eflags: int
    rsp: int
    ss: int
    fs_base: int
    gs_base: int
    ds: int
    es: int
    fs: int
    gs: int

    @classmethod
    def from_bytes(cls, raw: bytes) -> "Registers":
        return cls(*_REGISTERS.unpack(raw))

    def to_bytes(self) -> bytes:
        return _REGISTERS.pack(*(getattr(self, name) for name in REGISTER_NAMES))


REGISTER_NAMES = tuple(field.name for field in fields(Registers))


@dataclass(frozen=True, slots=True)
class SignalInfo:
    """`siginfo_t`: its 128 bytes and the three ints that every kind of it starts with."""

    SIZE = 128
    _HEAD = struct.Struct("3i")
    _ADDRESS = struct.Struct("Q")
    ADDRESS_OFFSET = 16

    raw: bytes

    @property
    def signal(self) -> int:
        return int(self._HEAD.unpack_from(self.raw)[0])

    @property
    def code(self) -> int:
        """si_code: positive when the kernel made the signal, zero or negative when a process sent it."""
        return int(self._HEAD.unpack_from(self.raw)[2])

    @property
    def address(self) -> int:
        """si_addr, 8 bytes at offset 16: meaningful for SIGILL, SIGFPE, SIGSEGV, SIGBUS and SIGTRAP from
        the kernel.
        """
        return int(self._ADDRESS.unpack_from(self.raw, self.ADDRESS_OFFSET)[0])

    def with_address(self, address: int) -> "SignalInfo":
        """Return the same information with another si_addr."""
        start, end = self.ADDRESS_OFFSET, self.ADDRESS_OFFSET + self._ADDRESS.size
        return SignalInfo(self.raw[:start] + self._ADDRESS.pack(address) + self.raw[end:])


def _request(request: Request, tid: int, address: int, data: object) -> None:
    call = libc().ptrace
    call.restype = ctypes.c_long
    if call(ctypes.c_long(request), ctypes.c_int(tid), ctypes.c_void_p(address), data) == -1:
        raise last_error(f"PTRACE_{request.name} of {tid}")


def seize(tid: int, options: Option) -> None:
    """Become the tracer of the thread `tid` without stopping it. PermissionError: not allowed, or already
    traced.
    """
    _request(Request.SEIZE, tid, 0, ctypes.c_void_p(int(options)))


def interrupt(tid: int) -> None:
    """Ask a seized thread, running or not, to stop; an `Interrupted` or another stop that was under way is
    reported.
    """
    _request(Request.INTERRUPT, tid, 0, None)


def set_options(tid: int, options: Option) -> None:
    """Replace the tracee's options."""
    _request(Request.SETOPTIONS, tid, 0, ctypes.c_void_p(int(options)))


def cont(tid: int, signal: int = 0) -> None:
    """Resume; `signal` (0: none) is what a signal-delivery-stop delivers. Elsewhere it must be 0."""
    _request(Request.CONT, tid, 0, ctypes.c_void_p(signal))


def syscall(tid: int) -> None:
    """Resume until the next system call starts or ends: a `SyscallStop`. Unlike a step it forces no SIGTRAP."""
    _request(Request.SYSCALL, tid, 0, None)


def listen(tid: int) -> None:
    """Leave a group-stopped tracee stopped, as if untraced, while SIGCONT and new events are still
    reported.
    """
    _request(Request.LISTEN, tid, 0, None)


def detach(tid: int, signal: int = 0) -> None:
    """Resume, delivering `signal` (0: none), and be its tracer no longer."""
    _request(Request.DETACH, tid, 0, ctypes.c_void_p(signal))


def event_message(tid: int) -> int:
    """Return the message of an event stop: the new tid (fork, vfork, clone), the former tid (exec), the
    status (exit).
    """
    message = ctypes.c_ulong()
    _request(Request.GETEVENTMSG, tid, 0, ctypes.byref(message))
    return message.value


def registers(tid: int) -> Registers:
    """Return the general registers of a stopped tracee."""
    raw = ctypes.create_string_buffer(USER_REGS_SIZE)
    _request(Request.GETREGS, tid, 0, raw)
    return Registers.from_bytes(raw.raw)


def instruction_pointer(tid: int) -> int:
    """Return rip alone of a stopped tracee."""
    call = libc().ptrace
    call.restype = ctypes.c_long
    ctypes.set_errno(0)
    word = call(ctypes.c_long(Request.PEEKUSER), ctypes.c_int(tid), ctypes.c_void_p(RIP_OFFSET), None)
    if word == -1 and ctypes.get_errno():
        raise last_error(f"PTRACE_PEEKUSER of {tid}")
    return int(word) % (1 << 64)


def set_instruction_pointer(tid: int, address: int) -> None:
    """Set rip alone."""
    _request(Request.POKEUSER, tid, RIP_OFFSET, ctypes.c_void_p(address))


def set_registers(tid: int, values: Registers) -> None:
    """Set all general registers of a stopped tracee."""
    _request(Request.SETREGS, tid, 0, values.to_bytes())


def signal_info(tid: int) -> SignalInfo:
    """Return the siginfo of the signal that stopped the tracee. OSError(EINVAL): it is in a group-stop."""
    raw = ctypes.create_string_buffer(SignalInfo.SIZE)
    _request(Request.GETSIGINFO, tid, 0, raw)
    return SignalInfo(raw.raw)


def set_signal_info(tid: int, info: SignalInfo) -> None:
    """Replace the siginfo that the signal passed on with the resuming request will carry."""
    _request(Request.SETSIGINFO, tid, 0, info.raw)


_MASK_SIZE = 8


def signal_mask(tid: int) -> int:
    """Return the tracee's blocked signals: bit n-1 for signal n, as the kernel's 64-bit sigset_t."""
    mask = ctypes.c_uint64()
    _request(Request.GETSIGMASK, tid, _MASK_SIZE, ctypes.byref(mask))
    return mask.value


class _PeekSigInfo(ctypes.Structure):
    """`struct ptrace_peeksiginfo_args`. Source: include/uapi/linux/ptrace.h."""

    _fields_ = (("off", ctypes.c_uint64), ("flags", ctypes.c_uint32), ("nr", ctypes.c_int32))


_PEEKSIGINFO_SHARED = 1


def has_shared_pending(tid: int) -> bool:
    """Tell whether a signal for the whole process of the tracee is pending."""
    call = libc().ptrace
    call.restype = ctypes.c_long
    wanted = _PeekSigInfo(0, _PEEKSIGINFO_SHARED, 1)
    raw = ctypes.create_string_buffer(SignalInfo.SIZE)
    found = call(ctypes.c_long(Request.PEEKSIGINFO), ctypes.c_int(tid), ctypes.byref(wanted), raw)
    if found < 0:
        raise last_error(f"PTRACE_PEEKSIGINFO of {tid}")
    return bool(found)


def set_signal_mask(tid: int, mask: int) -> None:
    """Set the tracee's blocked signals; SIGKILL and SIGSTOP are left out by the kernel."""
    _request(Request.SETSIGMASK, tid, _MASK_SIZE, ctypes.byref(ctypes.c_uint64(mask)))


def poke_word(tid: int, address: int, word: bytes) -> None:
    """Write 8 bytes, also to a read-only mapping: the way that is left where /proc/PID/mem may not be
    forced.
    """
    assert len(word) == 8, word
    _request(Request.POKETEXT, tid, address, ctypes.c_void_p(int.from_bytes(word, "little")))


def open_memory(tid: int) -> int:
    """Return a close-on-exec descriptor for the tracee's memory: pread and pwrite at its virtual addresses.

    It stays with the address space that the thread has now: after exec it reads nothing, and a new one is
    due. Needs no ptrace-stop to read or write, but writing code that runs does.
    """
    return os.open(f"/proc/{tid}/mem", os.O_RDWR | os.O_CLOEXEC)
