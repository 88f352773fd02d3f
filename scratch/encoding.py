"""Where the fields of one x86-64 instruction lie: prefixes, opcode, ModRM, displacement, immediate.

This is our own decoder of instruction *shape*. It knows lengths and fields, not meanings, imports nothing and
costs a few microseconds an instruction, so that the kernel engine can judge thousands of sites at start-up.
What an instruction means is `instruction.py`'s business, which also holds this decoder against capstone: two
decoders that disagree refuse the instruction. Source of the tables: the opcode maps of the Intel SDM, volume
2, appendix A, and of the AMD APM, volume 3, appendix A (64-bit mode).
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

MAX_SIZE: Final = 15
"""Bytes in the longest instruction that a processor executes."""

PREFIXES: Final = frozenset(b"\x26\x2e\x36\x3e\x64\x65\x66\x67\xf0\xf2\xf3")


class Scheme(Enum):
    """How the opcode is introduced."""

    LEGACY = "legacy"
    VEX2 = "VEX2"
    VEX3 = "VEX3"
    EVEX = "EVEX"
    XOP = "XOP"


@dataclass(frozen=True, slots=True)
class Encoding:
    """The fields of one instruction; all offsets count bytes from its first byte.

    `rex` is the effective REX byte (0 when there is none; one that a legacy prefix follows counts for
    nothing). `opcode_map` is 0 for one-byte opcodes, 1 for 0F, 2 for 0F38, 3 for 0F3A, and the map field of
    VEX, EVEX and XOP. `modrm` is -1 when there is none. A size of 0 means that the field is absent.
    `scheme_offset` is where VEX, EVEX or XOP begins, or where the opcode's escape bytes begin.
    """

    size: int
    prefixes: bytes
    rex: int
    scheme: Scheme
    scheme_offset: int
    opcode_map: int
    opcode: int
    modrm_offset: int
    modrm: int
    sib: int
    displacement_offset: int
    displacement_size: int
    immediate_offset: int
    immediate_size: int

    @property
    def rip_relative(self) -> bool:
        """Whether the memory operand is relative to the next instruction: ModRM 00 reg 101."""
        return self.modrm >= 0 and self.modrm & 0xC7 == 0x05

    @property
    def reg(self) -> int:
        """ModRM.reg, 0 to 7, without its extension bits."""
        return (self.modrm >> 3) & 7


@dataclass(frozen=True, slots=True)
class Undecodable:
    """No instruction that we are sure of: the caller refuses the site and says why."""

    reason: str


# One character an opcode. Immediate kinds: '.' none, 'b' 1 byte, 'w' 2 bytes, 'z' 4 bytes (2 under a 66
# prefix), 'v' like z but 8 with REX.W, 'o' an absolute address, 'e' enter's 3 bytes, 'j' a branch
# displacement of 4 bytes. Upper case says that ModRM comes first: 'M' without an immediate, 'B' 1 byte, 'Z'
# like z, 'G' and 'H' the test forms of groups F6 and F7. '-' is no instruction in 64-bit mode, '*' a prefix
# or an escape that never reaches the table.
_ARITHMETIC = "MMMMbz--"
_ONE_BYTE: Final = (
    _ARITHMETIC + "MMMMbz-*"
    + _ARITHMETIC * 2
    + ("MMMMbz*-") * 4
    + "*" * 16
    + "." * 16
    + "---M****zZbB...."
    + "b" * 16
    + "BZ-BMMMMMMMMMMMM"
    + "..........-....."
    + "oooo....bz......"
    + "bbbbbbbbvvvvvvvv"
    + "BBw.**BZe.w..b-."
    + "MMMM---.MMMMMMMM"
    + "bbbbbbbbjj-b...."
    + "*.**..GH......MM"
)  # fmt: skip
_TWO_BYTE: Final = (
    "MMMM-.....-.-M.B"
    + "M" * 16
    + "MMMM----MMMMMMMM"
    + "......-.*-*-----"
    + "M" * 16
    + "M" * 16
    + "M" * 16
    + "BBBBMMM.MM--MMMM"
    + "j" * 16
    + "M" * 16
    + "...MBM--...MBMMM"
    + "MMMMMMMMMMBMMMMM"
    + "MMBMBBBM........"
    + "M" * 16
    + "M" * 16
    + "MMMMMMMMMMMMMMM-"
)
_VEX_MAP_1: Final = (
    "-" * 16
    + "M" * 16
    + "--------MMMMMMMM"
    + "-" * 16
    + "M" * 16
    + "M" * 16
    + "M" * 16
    + "BBBBMMM.MMMMMMMM"
    + "-" * 16
    + "MMMM----MM------"
    + "--------------M-"
    + "-" * 16
    + "--B-BBB---------"
    + "M" * 16
    + "M" * 16
    + "MMMMMMMMMMMMMMM-"
)
_ALL_MODRM: Final = "M" * 256
_ALL_MODRM_BYTE: Final = "B" * 256
LEGACY_MAPS: Final = (_ONE_BYTE, _TWO_BYTE, _ALL_MODRM, _ALL_MODRM_BYTE)
VECTOR_MAPS: Final = {1: _VEX_MAP_1, 2: _ALL_MODRM, 3: _ALL_MODRM_BYTE}
XOP_MAPS: Final = {8: _ALL_MODRM_BYTE, 9: _ALL_MODRM, 10: "Z" * 256}

_NOT_BEFORE_VECTOR: Final = frozenset(b"\x66\xf0\xf2\xf3")
_WITH_MODRM: Final = frozenset("MBZGHW")
_GROUP_3_TEST: Final = {"G": "B", "H": "Z"}
_IMMEDIATE_SIZES: Final = {
    ".": 0, "M": 0, "b": 1, "B": 1, "w": 2, "W": 2, "e": 3, "j": 4, "z": -1, "Z": -1, "v": -1, "o": -1,
}  # fmt: skip

_TRUNCATED: Final = Undecodable("the code ends inside the instruction")


def parse(code: bytes) -> Encoding | Undecodable:
    """Return the fields of the instruction that begins at `code[0]`.

    `code` may be longer than the instruction; 15 bytes always suffice. Never raises, whatever the bytes.
    """
    try:
        return _parse(code)
    except IndexError:
        return _TRUNCATED


def _parse(code: bytes) -> Encoding | Undecodable:
    """Do the work of `parse`; an IndexError says that `code` ended too early."""
    at = 0
    rex = 0
    found: list[int] = []
    byte = code[0]
    while byte in PREFIXES or byte & 0xF0 == 0x40:
        if byte & 0xF0 == 0x40:
            rex = byte
        else:
            found.append(byte)
            rex = 0
        at += 1
        byte = code[at]
    scheme = Scheme.LEGACY
    scheme_offset = at
    if byte == 0x0F:
        at += 1
        opcode_map = 1
        if code[at] == 0x38 or code[at] == 0x3A:
            opcode_map = 2 if code[at] == 0x38 else 3
            at += 1
        opcode = code[at]
        kind = LEGACY_MAPS[opcode_map][opcode]
    elif byte == 0xC4 or byte == 0xC5 or byte == 0x62 or (byte == 0x8F and code[at + 1] & 0x1F >= 8):
        if rex or not _NOT_BEFORE_VECTOR.isdisjoint(found):
            return Undecodable("a prefix that VEX, EVEX and XOP instructions cannot have")
        if byte == 0xC5:
            scheme, opcode_map, at = Scheme.VEX2, 1, at + 2
        elif byte == 0x62:
            if code[at + 1] & 0x08 or not code[at + 2] & 0x04:
                return Undecodable("EVEX with APX fields is not known")
            scheme, opcode_map, at = Scheme.EVEX, code[at + 1] & 7, at + 4
        else:
            scheme = Scheme.VEX3 if byte == 0xC4 else Scheme.XOP
            opcode_map, at = code[at + 1] & 0x1F, at + 3
        maps = XOP_MAPS if scheme is Scheme.XOP else VECTOR_MAPS
        if opcode_map not in maps:
            return Undecodable(f"{scheme.value} opcode map {opcode_map} is not known")
        opcode = code[at]
        kind = maps[opcode_map][opcode]
    else:
        opcode = byte
        opcode_map = 0
        kind = _ONE_BYTE[opcode]
    if kind == "-" or kind == "*":
        return Undecodable("not an instruction in 64-bit mode")
    at += 1

    modrm = -1
    modrm_offset = sib = displacement_offset = displacement_size = 0
    if kind in _WITH_MODRM:
        modrm_offset = at
        modrm = code[at]
        at += 1
        if modrm < 0xC0 and not (opcode_map == 1 and scheme is Scheme.LEGACY and 0x20 <= opcode <= 0x23):
            mod = modrm >> 6
            base = modrm & 7
            if base == 4:
                sib = code[at]
                at += 1
                base = sib & 7
            displacement_size = 1 if mod == 1 else 4 if mod == 2 or base == 5 else 0
            displacement_offset = at if displacement_size else 0
            at += displacement_size
        if kind == "G" or kind == "H":
            kind = _GROUP_3_TEST[kind] if modrm & 0x30 == 0 else "M"
        elif (
            opcode_map == 1
            and opcode == 0x78
            and scheme is Scheme.LEGACY
            and (0x66 in found or 0xF2 in found)
        ):
            kind = "W"
    size = _IMMEDIATE_SIZES[kind]
    if size < 0:
        narrow = 0x66 in found and not rex & 8
        if kind == "o":
            size = 4 if 0x67 in found else 8
        elif kind == "v" and rex & 8:
            size = 8
        else:
            size = 2 if narrow else 4
    immediate_offset = at if size else 0
    at += size
    if at > MAX_SIZE:
        return Undecodable("longer than 15 bytes")
    if at > len(code):
        return _TRUNCATED
    return Encoding(
        at,
        bytes(found),
        rex,
        scheme,
        scheme_offset,
        opcode_map,
        opcode,
        modrm_offset,
        modrm,
        sib,
        displacement_offset,
        displacement_size,
        immediate_offset,
        size,
    )
