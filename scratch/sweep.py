"""All instructions of a range of code, decoded one after the other: their lengths and how control leaves them.

Lives here: what a sweep is (`Swept`), the kinds that it tells apart, and the tables that decide them, made
from `encoding.py`'s. Not here: the loop over the code, which is native (backend/sweeper.py), since scratch
calls no foreign code and a browser has thirty million instructions. flow.py and windows.py take the result.

One byte says all of an instruction: its length below, its kind above (`encode`). What a sweep calls an
instruction is what `encoding.parse` takes for one; whoever overwrites it asks `instruction.decode` as well.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from itertools import compress
from typing import Final

from scratch.encoding import LEGACY_MAPS, PREFIXES, VECTOR_MAPS, XOP_MAPS


class Flow(IntEnum):
    """Where control goes after an instruction; 4 bits."""

    PLAIN = 0
    NOP = 1
    JMP_8 = 2
    JMP_32 = 3
    BRANCH_8 = 4
    """jcc, loop, jrcxz: to the target or on."""
    BRANCH_32 = 5
    """jcc, and xbegin, whose target is entered when the transaction aborts."""
    CALL = 6
    RET = 7
    INDIRECT_JMP = 8
    INDIRECT_CALL = 9
    STOP = 10
    """int3, int1, ud2, ud1, hlt: no way on."""
    SYSCALL = 11
    """syscall, sysenter, int n."""
    FAR = 12
    """A far jump, call or return, iret."""
    RIP_RELATIVE = 13
    """Like PLAIN, with an operand relative to rip."""
    INVALID = 15
    """No instruction: its length is how far it is to the next attempt."""


DIRECT: Final = frozenset((Flow.JMP_8, Flow.JMP_32, Flow.BRANCH_8, Flow.BRANCH_32, Flow.CALL))
"""Those with a target."""

LEAVING: Final = frozenset(
    (Flow.JMP_8, Flow.JMP_32, Flow.RET, Flow.INDIRECT_JMP, Flow.STOP, Flow.FAR, Flow.INVALID)
)
"""Those after which control never falls through to the next instruction."""

_SHORT: Final = frozenset((Flow.JMP_8, Flow.BRANCH_8))
_JUMPS: Final = DIRECT - {Flow.CALL}
_FLOWS: Final = {flow.value: flow for flow in Flow}


def encode(length: int, flow: Flow) -> int:
    """Return the byte that stands for an instruction at its first byte; its other bytes have 0."""
    return length | flow << 4


@dataclass(frozen=True, slots=True)
class Swept:
    """A range of code at `address` and, a byte for each of its bytes, what begins there (`encode`)."""

    address: int
    code: bytes
    info: bytes

    @property
    def end(self) -> int:
        return self.address + len(self.code)

    def __contains__(self, address: int) -> bool:
        return 0 <= address - self.address < len(self.code)

    def starts_at(self, address: int) -> bool:
        """Say whether the sweep found an instruction that begins there."""
        at = address - self.address
        return 0 <= at < len(self.info) and 0 < self.info[at] < Flow.INVALID << 4

    def flow_at(self, address: int) -> Flow:
        """Return the kind of what begins there; INVALID where nothing does."""
        at = address - self.address
        info = self.info[at] if 0 <= at < len(self.info) else 0
        return _FLOWS[info >> 4] if info else Flow.INVALID

    def size_at(self, address: int) -> int:
        """Return the length of what begins there in bytes; 0 where nothing does."""
        at = address - self.address
        return self.info[at] & 15 if 0 <= at < len(self.info) else 0

    def target_at(self, address: int) -> int | None:
        """Return where the direct branch at this address leads; None where there is none."""
        flow = self.flow_at(address)
        if flow not in DIRECT:
            return None
        end = address - self.address + self.size_at(address)
        size = 1 if flow in _SHORT else 4
        displacement = int.from_bytes(self.code[end - size : end], "little", signed=True)
        return (self.address + end + displacement) & _MASK

    def jumps(self) -> Iterator[tuple[int, int]]:
        """Yield address and target of each direct jump, conditional ones included, calls not."""
        code, info, base = self.code, self.info, self.address
        for at in compress(range(len(info)), info.translate(_selection(_JUMPS))):
            end = at + (info[at] & 15)
            size = 1 if info[at] >> 4 in _SHORT else 4
            displacement = int.from_bytes(code[end - size : end], "little", signed=True)
            yield base + at, (base + end + displacement) & _MASK

    def of(self, flows: frozenset[Flow]) -> Iterator[int]:
        """Yield the addresses of the instructions of some kinds."""
        return compress(range(self.address, self.end), self.info.translate(_selection(flows)))

    def bytes_at(self, address: int) -> bytes:
        """Return the bytes of the instruction that begins there."""
        at = address - self.address
        return self.code[at : at + self.size_at(address)]

    def instructions(self) -> Iterator[tuple[int, Flow]]:
        """Yield address and kind of each instruction, ascending, what is none included."""
        info = self.info
        at = 0
        while at < len(info):
            found = info[at]
            yield self.address + at, _FLOWS[found >> 4]
            at += found & 15


_MASK: Final = (1 << 64) - 1


@cache
def _selection(flows: frozenset[Flow]) -> bytes:
    """Return for each byte of `Swept.info` 1 if it stands for one of the kinds, else 0."""
    return bytes(1 if info and info >> 4 in flows else 0 for info in range(256))


# What the tables say of an opcode: bits 0 to 2 the kind of its immediate, then whether ModRM follows, and
# whether it is group 3, where only the test forms have an immediate.
HAS_MODRM: Final = 0x08
GROUP_3: Final = 0x10
NO_OPCODE: Final = 0xFF
_IMMEDIATES: Final = ".bwejzvo"

# What a prefix is for the decoder: bits that it collects.
NARROW_OPERAND: Final = 0x01
BEFORE_VECTOR: Final = 0x0F
"""66, f0, f2, f3: none of these may come before VEX, EVEX or XOP."""
REPEAT: Final = 0x08
NARROW_ADDRESS: Final = 0x10
NO_MEANING: Final = 0x20
REX: Final = 0x80
_PREFIX_BITS: Final = {0x66: NARROW_OPERAND, 0xF0: 0x02, 0xF2: 0x04, 0xF3: REPEAT, 0x67: NARROW_ADDRESS}

# Kinds that need a look at more than the opcode.
GROUP_5: Final = 0x10
XBEGIN_FORM: Final = 0x11
XCHG_RAX: Final = 0x12

_ONE_BYTE_FLOWS: Final[dict[int, int]] = {
    **dict.fromkeys((*range(0x70, 0x80), 0xE0, 0xE1, 0xE2, 0xE3), Flow.BRANCH_8),
    0xE8: Flow.CALL,
    0xE9: Flow.JMP_32,
    0xEB: Flow.JMP_8,
    **dict.fromkeys((0xC2, 0xC3), Flow.RET),
    **dict.fromkeys((0xCC, 0xF1, 0xF4), Flow.STOP),
    0xCD: Flow.SYSCALL,
    **dict.fromkeys((0xCA, 0xCB, 0xCF), Flow.FAR),
    0xFF: GROUP_5,
    0xC7: XBEGIN_FORM,
    0x90: XCHG_RAX,
}
_TWO_BYTE_FLOWS: Final[dict[int, int]] = {
    **dict.fromkeys(range(0x80, 0x90), Flow.BRANCH_32),
    **dict.fromkeys((0x05, 0x34), Flow.SYSCALL),
    **dict.fromkeys((0x0B, 0xB9), Flow.STOP),
    **dict.fromkeys((0x07, 0x35), Flow.FAR),
    0x1F: Flow.NOP,
}
_GROUP_5_FLOWS: Final = {2: Flow.INDIRECT_CALL, 3: Flow.FAR, 4: Flow.INDIRECT_JMP, 5: Flow.FAR}


@dataclass(frozen=True, slots=True)
class Tables:
    """All that decides a sweep, as one string of bytes, and where in it each part begins.

    `opcodes`: 256 bytes for each opcode map, the legacy ones first. `prefixes`: 256. `flows`: 256 for one-byte
    and 256 for two-byte opcodes. `group_5`: 8, by ModRM.reg. `immediates`: 64, the size by kind, then (bit 0)
    66, (bit 1) REX.W, (bit 2) 67. `vector_maps`, `xop_maps`: 32, the number of the table or NO_OPCODE.
    """

    content: bytes
    opcodes: int = 0
    prefixes: int = 0
    flows: int = 0
    group_5: int = 0
    immediates: int = 0
    vector_maps: int = 0
    xop_maps: int = 0


def tables() -> Tables:
    """Return the tables."""
    content = bytearray()
    for kinds in (*LEGACY_MAPS, *VECTOR_MAPS.values(), *XOP_MAPS.values()):
        content += bytes(map(_opcode, kinds))
    vector = len(LEGACY_MAPS)
    xop = vector + len(VECTOR_MAPS)
    prefixes = len(content)
    content += _table(_prefix)
    flows = len(content)
    content += _table(lambda opcode: _ONE_BYTE_FLOWS.get(opcode, Flow.PLAIN))
    content += _table(lambda opcode: _TWO_BYTE_FLOWS.get(opcode, Flow.PLAIN))
    group_5 = len(content)
    content += bytes(_GROUP_5_FLOWS.get(reg, Flow.PLAIN) for reg in range(8))
    immediates = len(content)
    content += bytes(_immediate_size(kind, bits) for kind in _IMMEDIATES for bits in range(8))
    vector_maps = len(content)
    content += _numbers(list(VECTOR_MAPS), vector)
    xop_maps = len(content)
    content += _numbers(list(XOP_MAPS), xop)
    return Tables(bytes(content), 0, prefixes, flows, group_5, immediates, vector_maps, xop_maps)


def _table(value: Callable[[int], int]) -> bytes:
    return bytes(map(value, range(256)))


def _numbers(maps: list[int], first: int) -> bytes:
    return bytes(first + maps.index(number) if number in maps else NO_OPCODE for number in range(32))


def _opcode(kind: str) -> int:
    match kind:
        case "-" | "*":
            return NO_OPCODE
        case "M":
            return HAS_MODRM
        case "G" | "H":
            return HAS_MODRM | GROUP_3 | _IMMEDIATES.index("b" if kind == "G" else "z")
        case upper if upper.isupper():
            return HAS_MODRM | _IMMEDIATES.index(upper.lower())
        case _:
            return _IMMEDIATES.index(kind)


def _prefix(byte: int) -> int:
    if byte & 0xF0 == 0x40:
        return REX
    return _PREFIX_BITS.get(byte, NO_MEANING if byte in PREFIXES else 0)


def _immediate_size(kind: str, bits: int) -> int:
    """Return how long an immediate of this kind is; `bits` as in `Tables`."""
    narrow, wide, short_address = bool(bits & 1), bool(bits & 2), bool(bits & 4)
    match kind:
        case "z":
            return 2 if narrow and not wide else 4
        case "v":
            return 8 if wide else 2 if narrow else 4
        case "o":
            return 4 if short_address else 8
        case _:
            return {".": 0, "b": 1, "w": 2, "e": 3, "j": 4}[kind]
