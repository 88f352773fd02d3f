"""Where in a function's first instructions its entry probe goes, so that the kernel need not step a copy.

The kernel emulates push, nop, jmp, jcc and call, at a fifteenth of the price of stepping anything else. Where
one of them follows in the same straight line at a function's entry, and nothing that a clause reads has
changed on the way, the probe goes there. This module decides that from the code alone; the chosen offsets go
to the attaching of uprobes.

A moved probe must count exactly the calls of the function. So the instructions that are stepped over cannot
fault, cannot branch and store nothing (hence a clause that reads memory notices nothing, and a nop that the
kernel turns into a call finds the red zone unused); and nothing else may get into the window between the
entry and the probe: no symbol lies in it, no direct branch of the object leads into it (by a search of the
text that finds more than every branch there is), and a function that branches indirectly anywhere is only
moved onto a push, which no jump table leads to.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntFlag
from struct import Struct
from typing import Final

from backend.uprobes.kernel_rules import Accepted, rule_of
from scratch.encoding import Encoding, Scheme, parse

WINDOW: Final = 24
"""Bytes after the entry within which the probed instruction ends."""

LARGEST_TEXT: Final = 4 << 20
"""Bytes of text beyond which the search for branches would cost more than it saves at start-up: nothing is
moved then.
"""


class Reads(IntFlag):
    """What the clauses of a probe read of the thread's state; bit n is the general register that x86 numbers
    n.
    """

    NOTHING = 0
    RAX = 1 << 0
    RCX = 1 << 1
    RDX = 1 << 2
    RBX = 1 << 3
    RSP = 1 << 4
    RBP = 1 << 5
    RSI = 1 << 6
    RDI = 1 << 7
    R8 = 1 << 8
    R9 = 1 << 9
    R10 = 1 << 10
    R11 = 1 << 11
    R12 = 1 << 12
    R13 = 1 << 13
    R14 = 1 << 14
    R15 = 1 << 15
    FLAGS = 1 << 16
    RIP = 1 << 17

    ARGUMENTS = RDI | RSI | RDX | RCX | R8 | R9
    """arg0 to arg5; arg6 and later are read off RSP."""


@dataclass(frozen=True, slots=True)
class Function:
    """One function: where it begins in the text's address space, and its size in bytes."""

    address: int
    size: int


def place(
    functions: Sequence[Function],
    text: bytes,
    text_address: int,
    entries: Iterable[int],
    reads: Reads,
) -> list[int]:
    """Return, for each function, the bytes from its entry to where its probe goes; 0 leaves it at the entry.

    `text` holds the object's executable bytes from `text_address` on, all of them, since branches are
    searched for in it. `entries` are the addresses of all symbols of the object, probed or not. `reads` is
    what any clause of these probes reads.
    """
    offsets = [0] * len(functions)
    if reads & Reads.RIP or len(text) > LARGEST_TEXT:
        return offsets
    unchanged = int(reads)
    starts = sorted(set(entries))
    windows: dict[int, int] = {}
    for index, function in enumerate(functions):
        start = function.address - text_address
        if not 0 <= start < len(text):
            continue
        end = min(start + min(function.size, WINDOW), len(text))
        following = bisect_right(starts, function.address)
        if following < len(starts):
            end = min(end, starts[following] - text_address)
        offset = _emulated_offset(text[start:end], unchanged)
        if not offset:
            continue
        if text[start + offset] not in _PUSHES and _INDIRECT_JUMP.search(text, start, start + function.size):
            continue
        if _short_branch_into(text, start, start + offset):
            continue
        windows[index] = offset
    reached = _reached_by_near_branches(
        text,
        frozenset(
            functions[index].address - text_address + step
            for index, offset in windows.items()
            for step in range(1, offset + 1)
        ),
    )
    for index, offset in windows.items():
        start = functions[index].address - text_address
        if reached.isdisjoint(range(start + 1, start + offset + 1)):
            offsets[index] = offset
    return offsets


def _emulated_offset(code: bytes, unchanged: int) -> int:
    """Return the offset of the first instruction that the kernel emulates, if everything before it may be
    stepped over.

    `unchanged` is a set of `Reads` bits. 0 where the first instruction is emulated already, or where there is
    no such place.
    """
    at = 0
    while at < len(code):
        here = code[at:]
        encoding = parse(here)
        if not isinstance(encoding, Encoding):
            return 0
        if rule_of(encoding, here) == _EMULATED:
            return at
        changed = _changes(encoding, here)
        if changed is None or changed & unchanged:
            return 0
        at += encoding.size
    return 0


_EMULATED: Final = Accepted(emulated=True)
_FLAGS: Final = int(Reads.FLAGS)
_RAX: Final = int(Reads.RAX)
_SEGMENTS: Final = frozenset(b"\x64\x65")
_REPEATS: Final = frozenset(b"\xf0\xf2\xf3")
_PUSHES: Final = frozenset((*range(0x50, 0x58), 0x41))


def _changes(encoding: Encoding, code: bytes) -> int | None:
    """Return the `Reads` bits that an instruction changes; None if it may not be stepped over.

    A list of what is allowed, kept to what compilers begin functions with. None for whatever branches,
    stores, reads memory elsewhere than off rsp, rip or fs, may raise an exception, or is not in the list.
    """
    if encoding.scheme is not Scheme.LEGACY or 0x67 in encoding.prefixes:
        return None
    if encoding.modrm >= 0 and not _reads_safely(encoding):
        return None
    match encoding.opcode_map:
        case 0:
            return _one_byte_changes(encoding)
        case 1:
            return _two_byte_changes(encoding, code)
    return None


def _reads_safely(encoding: Encoding) -> bool:
    """Whether ModRM names registers only, or memory at rsp+d, rip+d or fs:d, which a running thread has."""
    if encoding.modrm >= 0xC0:
        return True
    if encoding.opcode_map == 0 and encoding.opcode == 0x8D:
        return True
    segment = not _SEGMENTS.isdisjoint(encoding.prefixes)
    if encoding.rip_relative:
        return not segment
    if encoding.modrm & 7 != 4 or encoding.rex & 2 or (encoding.sib >> 3) & 7 != 4:
        return False
    if segment:
        return 0x64 in encoding.prefixes and encoding.sib & 7 == 5 and encoding.modrm < 0x40
    return encoding.sib & 7 == 4 and not encoding.rex & 1


def _one_byte_changes(encoding: Encoding) -> int | None:
    if not _REPEATS.isdisjoint(encoding.prefixes):
        return None
    opcode = encoding.opcode
    reg, rm = _register_bits(encoding, byte_sized=not opcode & 1)
    in_register = encoding.modrm >= 0xC0
    if opcode < 0x40:
        # add, or, adc, sbb, and, sub, xor, cmp; six forms each, of which the last two work on rax.
        form = opcode & 7
        compares = opcode & 0x38 == 0x38
        if form >= 4:
            return _FLAGS | (0 if compares else _RAX)
        if compares:
            return _FLAGS
        if form >= 2:
            return _FLAGS | reg
        return _FLAGS | rm if in_register else None
    if 0xB0 <= opcode <= 0xBF:
        byte_register = _byte_register_bits(opcode & 7 | (encoding.rex & 1) << 3)
        return byte_register if opcode < 0xB8 else 1 << (opcode & 7 | (encoding.rex & 1) << 3)
    match opcode:
        case 0x63 | 0x8B | 0x8D:
            return _register_bits(encoding, byte_sized=False)[0]
        case 0x8A:
            return reg
        case 0x88 | 0x89:
            return rm if in_register else None
        case 0xC6 | 0xC7 if in_register and encoding.reg == 0:
            return rm
        case 0x80 | 0x81 | 0x83:
            if encoding.reg == 7:
                return _FLAGS
            return _FLAGS | rm if in_register else None
        case 0x84 | 0x85 | 0xA8 | 0xA9:
            return _FLAGS
        case 0xC0 | 0xC1 | 0xD0 | 0xD1 | 0xD2 | 0xD3 if in_register:
            return _FLAGS | rm
        case 0xF6 | 0xF7 if encoding.reg <= 3:
            if encoding.reg <= 1:
                return _FLAGS
            return _FLAGS | rm if in_register else None
        case 0xFE | 0xFF if encoding.reg <= 1 and in_register:
            return _FLAGS | rm
    return None


def _two_byte_changes(encoding: Encoding, code: bytes) -> int | None:
    opcode = encoding.opcode
    if code.startswith(b"\xf3\x0f\x1e\xfa"):  # endbr64
        return 0
    if not _REPEATS.isdisjoint(encoding.prefixes):
        return None
    in_register = encoding.modrm >= 0xC0
    reg = _register_bits(encoding, byte_sized=False)[0]
    match opcode:
        case 0x1F:
            return 0
        case _ if 0x40 <= opcode <= 0x4F:
            return reg
        case 0xB6 | 0xB7 | 0xBE | 0xBF:
            return reg
        case 0xAF:
            return _FLAGS | reg
        case _ if 0x90 <= opcode <= 0x9F and in_register:
            return _register_bits(encoding, byte_sized=True)[1]
        case 0x28 | 0x57 | 0xEF if in_register:
            # movaps, xorps, pxor between vector registers, which no clause reads.
            return 0
        case 0x6E if in_register:
            return 0
    return None


def _register_bits(encoding: Encoding, *, byte_sized: bool) -> tuple[int, int]:
    """Return the bits of ModRM.reg and, if ModRM names a register, of ModRM.rm (0 if it does not, or if there
    is no ModRM).
    """
    if encoding.modrm < 0:
        return 0, 0
    reg = encoding.reg | (encoding.rex & 4) << 1
    rm = encoding.modrm & 7 | (encoding.rex & 1) << 3
    in_register = encoding.modrm >= 0xC0
    if byte_sized:
        return _byte_register_bits(reg), _byte_register_bits(rm) if in_register else 0
    return 1 << reg, 1 << rm if in_register else 0


def _byte_register_bits(number: int) -> int:
    """Return the bits that a byte register may belong to: 4 to 7 are ah, ch, dh, bh without REX, spl to dil
    with it.
    """
    return 1 << number | 1 << (number & 3) if 4 <= number <= 7 else 1 << number


_INDIRECT_JUMP: Final = re.compile(rb"\xff[\x20-\x27\x60-\x67\xa0-\xa7\xe0-\xe7]")
_SHORT_BRANCH: Final = re.compile(rb"[\x70-\x7f\xe0-\xe3\xeb]")
# call, jmp, jcc, xbegin by 32 bits, each by its own pattern, since one that begins with a fixed byte is found
# much faster. Of the displacement only the upper half is looked at: LARGEST_TEXT says how far a branch can
# lead.
_NEAR_BRANCHES: Final = tuple(
    re.compile(opcode + rb"(?=..[\x00-\x3f\xc0-\xff][\x00\xff])", re.DOTALL)
    for opcode in (rb"\xe8", rb"\xe9", rb"\x0f[\x80-\x8f]", rb"\xc7\xf8")
)
_SHORT_REACH: Final = 130
_DISPLACEMENT: Final = Struct("<i")


def _short_branch_into(text: bytes, start: int, end: int) -> bool:
    """Whether bytes that could be a branch by 8 bits lead to an address in (start, end], seen from any offset
    of the text.
    """
    for found in _SHORT_BRANCH.finditer(
        text, max(start - _SHORT_REACH, 0), min(end + _SHORT_REACH, len(text) - 1)
    ):
        after = found.end() + 1
        displacement = text[after - 1]
        if start < after + (displacement - 256 if displacement > 127 else displacement) <= end:
            return True
    return False


def _reached_by_near_branches(text: bytes, offsets: frozenset[int]) -> frozenset[int]:
    """Return those of `offsets` to which bytes that could be a branch by 32 bits lead, seen from any offset
    of the text.
    """
    if not offsets:
        return offsets
    unpack = _DISPLACEMENT.unpack_from
    targets = {
        (end := found.end()) + 4 + unpack(text, end)[0]
        for branch in _NEAR_BRANCHES
        for found in branch.finditer(text)
    }
    return offsets & targets
