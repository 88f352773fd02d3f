"""Pieces of machine code with named fields, their disassembly beside them: filled to make copies, matched to
recognise them.

No knowledge of instructions being displaced lives here; `displaced.py` strings these pieces together.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

MASK: Final = (1 << 64) - 1


class Field(Enum):
    """How a value becomes bytes; the number is the size in bytes."""

    REL32 = ("rel32", 4)
    """An address, as its signed distance from the end of this field, which must end its instruction."""
    ABS64 = ("abs64", 8)
    """A 64-bit value."""
    LOW32 = ("low32", 4)
    """The lower half of a 64-bit value."""
    HIGH32 = ("high32", 4)
    """The upper half of a 64-bit value."""

    @property
    def size(self) -> int:
        """Bytes that the field takes."""
        return self.value[1]


@dataclass(frozen=True, slots=True)
class Hole:
    """A named field in a template."""

    name: str
    field: Field


@dataclass(frozen=True, slots=True)
class Template:
    """Machine code: literal bytes and holes, in order."""

    parts: tuple[bytes | Hole, ...]

    @property
    def size(self) -> int:
        """Length in bytes."""
        return sum(part.field.size if isinstance(part, Hole) else len(part) for part in self.parts)

    def fill(self, address: int, **values: int) -> bytes:
        """Return the code for `address`, each hole filled with the 64-bit value of its name.

        A REL32 out of reach is a broken invariant: whoever chose the template checks with `reaches`.
        """
        code = bytearray()
        for part in self.parts:
            if isinstance(part, bytes):
                code += part
                continue
            value = values[part.name] & MASK
            match part.field:
                case Field.REL32:
                    distance = signed(value - (address + len(code) + 4))
                    assert -(1 << 31) <= distance < 1 << 31, (part.name, hex(value), hex(address))
                    code += distance.to_bytes(4, "little", signed=True)
                case Field.ABS64:
                    code += value.to_bytes(8, "little")
                case Field.LOW32:
                    code += (value & 0xFFFFFFFF).to_bytes(4, "little")
                case Field.HIGH32:
                    code += (value >> 32).to_bytes(4, "little")
        return bytes(code)

    def match(self, code: bytes, address: int) -> dict[str, int] | None:
        """Return the values of the holes if `code` at `address` begins with this template, else None.

        The halves of a split value come back under its name, put together.
        """
        if len(code) < self.size:
            return None
        values: dict[str, int] = {}
        at = 0
        for part in self.parts:
            if isinstance(part, bytes):
                if code[at : at + len(part)] != part:
                    return None
                at += len(part)
                continue
            number = int.from_bytes(code[at : at + part.field.size], "little")
            at += part.field.size
            if part.field is Field.REL32:
                number = (address + at + (number - (1 << 32) if number >> 31 else number)) & MASK
            elif part.field is Field.HIGH32:
                number <<= 32
            values[part.name] = values.get(part.name, 0) | number
        return values


def signed(value: int) -> int:
    """Return a 64-bit value, given modulo 2**64, as a signed number."""
    value &= MASK
    return value - (1 << 64) if value >> 63 else value


def reaches(end: int, target: int) -> bool:
    """Whether a signed 32-bit distance counted from `end` leads to `target`."""
    return -(1 << 31) <= signed(target - end) < 1 << 31


JUMP_NEAR: Final = Template((b"\xe9", Hole("target", Field.REL32)))
"""jmp target"""

JUMP_FAR: Final = tuple(
    Template((b"\xff\x25" + pad.to_bytes(4, "little") + bytes(pad), Hole("target", Field.ABS64)))
    for pad in range(8)
)
"""jmp *pad(%rip); pad bytes of nothing; .quad target. The quad must be aligned: with AC set in flags the load
would fault.
"""

JUMP_IF: Final = tuple(
    Template((bytes((0x0F, 0x80 | condition)), Hole("target", Field.REL32))) for condition in range(16)
)
"""jo, jno, jb … jg target, by the number of the condition"""

SET_RCX: Final = Template((b"\x48\xb9", Hole("value", Field.ABS64)))
"""movabs $value,%rcx"""

STORE_RETURN_LOW: Final = Template((b"\xc7\x44\x24\xf8", Hole("return_address", Field.LOW32)))
"""movl $low,-8(%rsp)"""

STORE_RETURN_HIGH: Final = Template((b"\xc7\x44\x24\xfc", Hole("return_address", Field.HIGH32)))
"""movl $high,-4(%rsp)"""

LOWER_STACK: Final = Template((b"\x48\x8d\x64\x24\xf8",))
"""lea -8(%rsp),%rsp: unlike push and sub it neither stores nor changes flags"""

LEAVE_RED_ZONE: Final = Template((b"\x48\x8d\x64\x24\x80",))
"""lea -128(%rsp),%rsp"""

PUSH_TOP: Final = Template((b"\xff\x34\x24",))
"""pushq (%rsp): the word on top of the stack once more"""

REPLACE_RETURN_LOW: Final = Template((b"\xc7\x44\x24\x08", Hole("return_address", Field.LOW32)))
"""movl $low,8(%rsp)"""

REPLACE_RETURN_HIGH: Final = Template((b"\xc7\x44\x24\x0c", Hole("return_address", Field.HIGH32)))
"""movl $high,12(%rsp)"""

RETURN: Final = Template((b"\xc3",))
"""ret: pops the target of a displaced call"""

RETURN_INTO_RED_ZONE: Final = Template((b"\xc2\x80\x00",))
"""ret $128: pops the target of a displaced jump and takes LEAVE_RED_ZONE back"""

ABORT_TRANSACTION: Final = Template((b"\xb8\x00\x00\x00\x00",))
"""mov $0,%eax: the status of an abort without a cause"""
