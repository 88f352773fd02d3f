"""The texts of memory: hex dumps, and structures member by member. Bytes and types in, text out.

output.py asks for them: trace() of a structure, tracemem(), print(). Source: d-language.md §12, tests/reference.
"""

from __future__ import annotations

from typing import Final

from dlang.escape import padded, printable
from dlang.printf_render import floating
from dlang.types import (
    BOOL,
    ArrayType,
    FloatType,
    FunctionType,
    IntegerType,
    Member,
    PointerType,
    RecordType,
    StringType,
    Type,
    VoidType,
    is_character,
    is_signed,
    wrap,
)

_HEADINGS: Final = "".join(f"  {digit:x}" for digit in range(16)) + "  0123456789abcdef"
_INDENT: Final = 44
"""Blanks before what print() shows of a value."""


def hex_dump(data: bytes) -> str:
    """Return a heading and a line for each sixteen bytes, between newlines."""
    lines = [f"{' ' * 11}{_HEADINGS}"]
    for offset in range(0, len(data), 16):
        row = data[offset : offset + 16]
        numbers = "".join(f" {byte:02x}" for byte in row)
        text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)
        lines.append(f"{offset:10x}:{numbers:<48}  {text}")
    return "\n" + "\n".join(lines) + "\n"


def bytes_text(data: bytes, width: int, *, quiet: bool = False) -> str:
    """Return bytes whose type says nothing: text that zeros follow, be it empty, in a column, and so, even in quiet
    mode, bytes that are text to the last; anything else as a hex dump.
    """
    text, zero, rest = data.partition(b"\0")
    if any(rest) or not all(0x20 <= byte < 0x7F or 7 <= byte <= 13 for byte in text):
        return hex_dump(data)
    return printable(text) if quiet and zero else f"  {padded(printable(text), width)}"


# --- print() ------------------------------------------------------------------------------------------------


def typed_dump(address: int, type_: Type, data: bytes, limit: int) -> str:
    """Return what print() shows of the value of a type at an address: what is zero inside of it is left out.

    Of structures and arrays nothing beyond `limit` bytes is shown, which is option printsize.
    """
    lines: list[str] = []
    _value(type_, data, "", 0, 0, limit, lines)
    if isinstance(type_, RecordType):
        lines[-1] = lines[-1].removesuffix(",")
    return f"{address:#x} = *\n" + "".join(f"{' ' * _INDENT}{line}\n" for line in lines)


def _value(type_: Type, data: bytes, name: str, depth: int, start: int, limit: int, lines: list[str]) -> None:
    """Append the lines of a value; `start` is where it begins in what is printed."""
    head = f"{' ' * depth}{name}({_type_name(type_)})"
    match type_:
        case RecordType(layout=layout) if layout is not None:
            lines.append(f"{head} {{")
            for member in layout.members:
                if start + member.offset >= limit:
                    lines.append(f"{' ' * (depth + 1)}...")
                    break
                _member(member, data, depth + 1, start, limit, lines)
            lines.append(f"{' ' * depth}}},")
        case ArrayType(element=element, length=length, stride=stride):
            lines.append(f"{head} [")
            for number in range(length):
                part = data[number * stride : (number + 1) * stride]
                place = start + number * stride
                if place >= limit:
                    lines.append(f"{' ' * (depth + 1)}...")
                    break
                if any(part):
                    _value(element, part, "", depth + 1, place, limit, lines)
                elif _is_char(element):
                    break
            lines.append(f"{' ' * depth}],")
        case _:
            lines.append(f"{head}{_scalar(type_, data)},")


def _member(member: Member, data: bytes, depth: int, start: int, limit: int, lines: list[str]) -> None:
    size = _size(member.type, data, member.offset)
    part = data[member.offset : member.offset + size]
    if member.bits is not None:
        number = int.from_bytes(part, "little") >> member.bits.shift & (1 << member.bits.width) - 1
        assert isinstance(member.type, IntegerType)
        narrow = number - (1 << member.bits.width) if _is_negative(member, number) else number
        part = (narrow & (1 << 8 * size) - 1).to_bytes(size, "little")
    if any(part):
        name = f".{member.name} = " if member.name else ""
        _value(member.type, part, name, depth, start + member.offset, limit, lines)


def _is_negative(member: Member, number: int) -> bool:
    assert member.bits is not None and isinstance(member.type, IntegerType)
    return member.type.signed and number >> (member.bits.width - 1) == 1


def _size(type_: Type, data: bytes, offset: int) -> int:
    """Return the bytes of a member; of a string those before its first zero."""
    match type_:
        case StringType():
            return len(data[offset:].partition(bytes(1))[0])
        case VoidType() | FunctionType():
            return 0
        case _:
            return type_.size


def _is_char(type_: Type) -> bool:
    """Say whether a value prints as a character: a char does, a uint8_t does not."""
    return is_character(type_) and is_signed(type_)


def _type_name(type_: Type) -> str:
    return "bool" if type_ == BOOL else str(type_)


def _scalar(type_: Type, data: bytes) -> str:
    match type_:
        case FloatType():
            return f"{floating(data):f}"
        case PointerType() | FunctionType():
            return f"{int.from_bytes(data[:8], 'little'):#x}"
        case IntegerType():
            number = wrap(int.from_bytes(data[: type_.size], "little"), type_)
            names = {value: name for name, value in type_.enumerators}
            if number in names:
                return names[number]
            if _is_char(type_) and 0x20 <= number < 0x7F:
                return f"'{chr(number)}'"
            return str(number)
        case _:
            return f'"{printable(data.partition(bytes(1))[0])}"'
