"""Code that takes a thread home from a system call made in our name, for when nobody is left to do it.

`inject` writes it into scratch memory behind the gate of the call. It puts flags, stack pointer, signal mask
and the general registers back and jumps to where the thread was: what the tracer otherwise does from
outside. The stack isn't touched, and vector registers are not, which a system call preserves.
"""

import functools
import struct
from dataclasses import replace

from backend.linux.ptrace import Registers

SIZE = 512
"""Room for it, in bytes."""

_DATA = 256
"""Where the words to be put back begin; the code is before."""

# In the order of their numbers; rsp is put back first, in another way.
_GENERAL = [
    "rax",
    "rcx",
    "rdx",
    "rbx",
    "rsp",
    "rbp",
    "rsi",
    "rdi",
    "r8",
    "r9",
    "r10",
    "r11",
    "r12",
    "r13",
    "r14",
    "r15",
]
_WORDS = [*_GENERAL, "eflags", "mask", "rip"]


def home_from(room: bytes, registers: Registers) -> tuple[Registers, int]:
    """Return registers and signal mask with which a thread that is anywhere on the way back in this room gets home at
    once; its call is not made any more if it hasn't been.
    """
    values = struct.unpack_from(f"<{len(_WORDS)}Q", room, _DATA)
    words = dict(zip(_WORDS, values, strict=True))
    mask = words.pop("mask")
    return replace(registers, orig_rax=(1 << 64) - 1, **words), mask


_RESTARTED = frozenset((1 << 64) - code for code in (512, 513, 514))
_RESTART_BLOCK = (1 << 64) - 516
_RESTART_SYSCALL = 219


def way_back(home: Registers, mask: int) -> bytes:
    """Return the code for any address: a `syscall` instruction, and what follows it.

    `home` are the registers of a ptrace-stop and `mask` the signal mask of then. A system call that was
    interrupted there is begun again, as the kernel would do if no handler is called.
    """
    words = _words(restarting(home)) | {"mask": mask}
    return _code() + b"".join(struct.pack("<Q", words[name]) for name in _WORDS)


def is_way_back(room: bytes) -> bool:
    """Tell whether these SIZE bytes have been one for some thread."""
    return room.startswith(_code())


@functools.cache
def _code() -> bytes:
    code = bytearray(b"\x0f\x05")

    def refer(opcode: str, word: str) -> None:
        start = bytes.fromhex(opcode)
        behind = len(code) + len(start) + 4
        code.extend(start + struct.pack("<i", _DATA + 8 * _WORDS.index(word) - behind))

    refer("488d25", "eflags")  # lea flags(%rip),%rsp: no signal can come yet
    code.extend(b"\x9d")  # popfq
    refer("488b25", "rsp")
    code.extend(bytes.fromhex("b80e000000bf02000000"))  # mov $SYS_rt_sigprocmask,%eax; mov $SIG_SETMASK,%edi
    refer("488d35", "mask")  # lea mask(%rip),%rsi
    code.extend(bytes.fromhex("ba0000000041ba080000000f05"))  # mov $0,%edx; mov $8,%r10d; syscall
    for number, name in enumerate(_GENERAL):
        if name != "rsp":
            refer(f"{0x4C if number >= 8 else 0x48:02x}8b{(number & 7) << 3 | 5:02x}", name)
    refer("ff25", "rip")  # jmp *home(%rip)
    assert len(code) <= _DATA, len(code)
    return bytes(code).ljust(_DATA, b"\xcc")


def restarting(registers: Registers) -> Registers:
    """Return the registers with which a thread outside the kernel goes on from a ptrace-stop: a call that was
    interrupted is made again.
    """
    if registers.orig_rax >= 1 << 63:
        return registers
    if registers.rax in _RESTARTED:
        return replace(registers, rax=registers.orig_rax, rip=registers.rip - 2)
    if registers.rax == _RESTART_BLOCK:
        return replace(registers, rax=_RESTART_SYSCALL, rip=registers.rip - 2)
    return registers


def _words(registers: Registers) -> dict[str, int]:
    return {name: getattr(registers, name) for name in _WORDS if name != "mask"}
