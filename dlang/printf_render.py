"""The text that a checked format makes of values: printf(), and one entry of printa().

Pure text; the format was checked by `printf_format`, so that every value is of a type its conversion accepts.
The result goes to `output.py`. Strings and characters come from the traced process and pass
`escape.printable`; the format's own text does not. Widths count bytes, as C's do. Source: d-language.md §10,
C17 7.21.6.1.
"""

from __future__ import annotations

import math
import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, assert_never

from dlang.aggregation_store import Entry, Value
from dlang.aggregations import DISTRIBUTIONS, KeyValue, signed_result, to_signed, unsigned_result
from dlang.distribution import distribution_text
from dlang.escape import c_escaped, printable, until_zero
from dlang.printf_format import LARGEST_FIELD, Conversion, Format, Star, Style, Text, result_type
from dlang.symbol_text import AddressNames, stack_text
from dlang.types import FloatType, IntegerType, PointerType, StringType, SymbolPart, SymbolType, Type

NANOSECONDS: Final = 1_000_000_000
NO_NAMES: Final = AddressNames()
"""How addresses are shown where nothing is known of a process."""


@dataclass(frozen=True, slots=True)
class TypedValue:
    """A value and the type it prints as. Integers of any sign; strings are bytes without the terminator."""

    type: Type
    value: KeyValue


def render(format_: Format, values: Sequence[TypedValue], names: AddressNames = NO_NAMES) -> str:
    """Return what printf() prints of these values."""
    supply = iter(values)
    return "".join(_part(part, supply, iter(()), names) for part in format_.parts)


def render_entry(format_: Format, entry: Entry, names: AddressNames = NO_NAMES) -> str:
    """Return what printa() prints of one entry: plain conversions take the keys in order.

    The k-th `%@` takes the k-th aggregation, those beyond repeat the last.
    """
    key_types = entry.values[0].aggregation.key_types
    keys = iter([TypedValue(type_, key) for type_, key in zip(key_types, entry.key, strict=True)])
    values = _repeating_last(entry.values)
    return "".join(_part(part, keys, values, names) for part in format_.parts)


def _repeating_last(values: Sequence[Value]) -> Iterator[Value]:
    yield from values
    while True:
        yield values[-1]


def _part(
    part: Text | Conversion,
    supply: Iterator[TypedValue],
    results: Iterator[Value],
    names: AddressNames,
) -> str:
    if isinstance(part, Text):
        return part.text
    if part.kind.style is Style.PERCENT:
        return "%"
    width = _field(part.width, supply)
    precision = max(_field(part.precision, supply), 0)
    layout = _Layout(part.flags | {"-"} if width < 0 else part.flags, abs(width), precision)
    if not part.aggregation:
        return _value(part, layout, next(supply), names)
    result = next(results)
    if result.aggregation.function in DISTRIBUTIONS:
        return distribution_text(result.aggregation, result.cell, result.normal, result.bars)
    type_ = result_type(result.aggregation)
    by_sign = part.kind.style in (Style.SIGNED, Style.SIGNED_BY_TYPE) and type_.signed
    quotient = signed_result if by_sign else unsigned_result
    number = quotient(result.aggregation, result.cell, result.normal)
    return _value(part, layout, TypedValue(type_, number), names)


def _field(field: int | Star, supply: Iterator[TypedValue]) -> int:
    """Return a width or precision; one taken from an argument is cut to the 32 bits of an int."""
    if isinstance(field, int):
        return field
    value = next(supply).value
    assert isinstance(value, int), value
    return max(min(_wrapped(value, 4, signed=True), LARGEST_FIELD), -LARGEST_FIELD)


@dataclass(frozen=True, slots=True)
class _Layout:
    flags: frozenset[str]
    width: int
    precision: int

    def fill(self, text: str) -> str:
        """Return `text` with blanks up to the width."""
        blanks = " " * (self.width - len(text.encode()))
        return text + blanks if "-" in self.flags else blanks + text


def _value(part: Conversion, layout: _Layout, typed: TypedValue, names: AddressNames) -> str:
    style, value = part.kind.style, typed.value
    most = layout.precision or None
    if isinstance(value, bytes) and isinstance(typed.type, FloatType):
        flags = "".join(sorted(layout.flags & set("#0-+ ")))
        precision = f".{layout.precision}" if layout.precision else ""
        return f"%{flags}{layout.width or ''}{precision}{part.kind.radix}" % floating(value)
    if isinstance(value, bytes):
        if style is Style.STACK:
            # With `-` the width is the frames' indentation, else that of each; option stackindent has no say.
            left = "-" in layout.flags
            lines = [frame[:most] if left else layout.fill(frame[:most]) for frame in names.frames(value)]
            return stack_text(lines, layout.width if left else 0)
        text = until_zero(value)
        if style is Style.ESCAPED_STRING:
            # DTrace shows the zero that ends it as well, unless an array has none.
            ended = isinstance(typed.type, StringType) or len(text) < len(value)
            return layout.fill(c_escaped(text + bytes(ended))[:most])
        return layout.fill(printable(text[:most]))
    size = typed.type.size if isinstance(typed.type, IntegerType | PointerType) else 8
    match style:
        case Style.SIGNED_BY_TYPE:
            signed = isinstance(typed.type, IntegerType) and typed.type.signed
            return _integer(_wrapped(value, size, signed=signed), part.kind.radix, layout, signed=signed)
        case Style.SIGNED:
            return _integer(_wrapped(value, size, signed=True), part.kind.radix, layout, signed=True)
        case Style.UNSIGNED:
            return _integer(_wrapped(value, size, signed=False), part.kind.radix, layout, signed=False)
        case Style.CHARACTER:
            return layout.fill(printable(bytes([value & 0xFF])))
        case Style.ESCAPED_CHARACTER:
            return layout.fill(c_escaped(bytes([value & 0xFF])))
        case Style.ADDRESS:
            address = _wrapped(value, size, signed=False)
            shown = typed.type.part if isinstance(typed.type, SymbolType) else SymbolPart.ADDRESS
            return layout.fill(names.symbol(address, shown)[:most])
        case Style.TIME:
            return layout.fill(_ctime(value)[:most])
        case Style.TIME_822:
            return layout.fill(_rfc822(value)[:most])
        case (
            Style.STRING
            | Style.ESCAPED_STRING
            | Style.STACK
            | Style.PERCENT
            | Style.FLOAT
            | Style.UNPRINTABLE
        ):
            raise AssertionError(f"%{part.name} of {typed}: check_arguments() lets no integer through")
        case _:
            assert_never(style)


def floating(raw: bytes) -> float:
    """Return a floating-point number of 4, 8 or 16 bytes; the last is the x87's of 80 bits."""
    if len(raw) < 16:
        return float(struct.unpack("<f" if len(raw) == 4 else "<d", raw)[0])
    mantissa, sign_and_exponent = struct.unpack_from("<QH", raw)
    exponent = sign_and_exponent & 0x7FFF
    if exponent == 0x7FFF:
        magnitude = math.nan if mantissa << 1 & (1 << 64) - 1 else math.inf
    else:
        magnitude = math.inf if exponent - 16383 > 1023 else math.ldexp(mantissa, exponent - 16383 - 63)
    return -magnitude if sign_and_exponent >> 15 else magnitude


def _wrapped(value: int, size: int, *, signed: bool) -> int:
    bits = 8 * size
    value &= (1 << bits) - 1
    return value - (1 << bits) if signed and value >> (bits - 1) else value


def _integer(value: int, radix: str, layout: _Layout, *, signed: bool) -> str:
    """Lay out an integer as C does: `+` and blank for signed ones only, no zero padding with a precision.

    The `'` flag does nothing, since DTrace runs in the C locale (reference `printf-flags`).
    """
    digits = format(abs(value), radix).zfill(layout.precision)
    mark = ""
    if signed:
        mark = "-" if value < 0 else "+" if "+" in layout.flags else " " if " " in layout.flags else ""
    elif "#" in layout.flags and radix in "xX" and value:
        mark = "0" + radix
    if "#" in layout.flags and radix == "o" and not digits.startswith("0"):
        digits = "0" + digits
    if "0" in layout.flags and not layout.precision:
        digits = digits.zfill(layout.width - len(mark))
    return layout.fill(mark + digits)


def _ctime(nanoseconds: int) -> str:
    """Return local time as `1973 Dec  3 17:20:00`."""
    moment = time.localtime(to_signed(nanoseconds & (1 << 64) - 1) // NANOSECONDS)
    return time.strftime("%Y %b %e %H:%M:%S", moment)


def _rfc822(nanoseconds: int) -> str:
    """Return local time as RFC 822 has it: `Mon, 03 Dec 1973 17:20:00 UTC`."""
    moment = time.localtime(to_signed(nanoseconds & (1 << 64) - 1) // NANOSECONDS)
    return time.strftime("%a, %d %b %Y %H:%M:%S %Z", moment)
