"""Formats of printf() and printa(): text in, a sequence of texts and conversions out, checked against types.

`parse_format` reads a format, `check_arguments` compares it with the arguments given; what either refuses
comes back as a `Problem` with DTrace's tag and words, which the checker puts at its place in the program.
Printing is `printf_render.py`'s. Source: d-language.md §10 and §11, tests/reference `bad-printf-*`.

DTrace's differences from C's printf: `%d` of an unsigned type prints unsigned, every integer prints at its
argument's size, `%?d` has width 16, precision 0 is ignored, of `-` and `0` the last one wins, and `%@` takes
an aggregation's value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from dlang.aggregations import AggregatingFunction, Aggregation
from dlang.types import (
    LONG_DOUBLE,
    TYPEDEFS,
    ArrayType,
    FloatType,
    IntegerType,
    PointerType,
    StackType,
    StringType,
    SymbolType,
    Type,
    is_text,
    same_kind,
)


class Star(Enum):
    """A width or precision given by an argument."""

    STAR = "*"


class Style(Enum):
    """How a conversion prints its value."""

    SIGNED_BY_TYPE = "d"
    SIGNED = "signed"
    UNSIGNED = "unsigned"
    CHARACTER = "c"
    ESCAPED_CHARACTER = "C"
    STRING = "s"
    ESCAPED_STRING = "S"
    FLOAT = "f"
    ADDRESS = "a"
    STACK = "k"
    TIME = "Y"
    TIME_822 = "T"
    PERCENT = "%"
    UNPRINTABLE = "no type of this version"


@dataclass(frozen=True, slots=True)
class ConversionKind:
    """A row of the table of conversions: what it accepts, what messages call that, how it prints."""

    prototype: str
    accepts: Callable[[Type], bool]
    style: Style
    radix: str = "d"


@dataclass(frozen=True, slots=True)
class Text:
    """Literal text: the user's own, printed as it is."""

    text: str


@dataclass(frozen=True, slots=True)
class Conversion:
    """One conversion. `number` counts from 1, `%%` included; `name` is its letters (`lld`).

    `width` 0 is none; `precision` 0 is none too, as in DTrace. `aggregation` marks `%@`.
    """

    number: int
    name: str
    kind: ConversionKind
    flags: frozenset[str]
    width: int | Star
    precision: int | Star
    aggregation: bool


@dataclass(frozen=True, slots=True)
class Format:
    """A parsed format."""

    parts: tuple[Text | Conversion, ...]

    @property
    def conversions(self) -> tuple[Conversion, ...]:
        """The conversions that take a value: all but `%%`."""
        return tuple(
            part
            for part in self.parts
            if isinstance(part, Conversion) and part.kind.style is not Style.PERCENT
        )


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong: DTrace's tag, its words (three more lines for types), and which argument it is about.

    `argument` is an index into the values after the format, or None where it is the format itself.
    """

    tag: str
    message: str
    argument: int | None = None


def _is_integer(type_: Type) -> bool:
    return isinstance(type_, IntegerType)


def _is_small_integer(type_: Type) -> bool:
    return isinstance(type_, IntegerType) and type_.size <= 4


def _is_string(type_: Type) -> bool:
    return isinstance(type_, StringType)


def _is_text(type_: Type) -> bool:
    """Say whether a value prints as a string: a string, or an array of char."""
    return isinstance(type_, StringType) or (isinstance(type_, ArrayType) and is_text(type_))


def _is_float(type_: Type) -> bool:
    return isinstance(type_, FloatType)


def _is_long_double(type_: Type) -> bool:
    return type_ == LONG_DOUBLE


def _is_address(type_: Type) -> bool:
    return isinstance(type_, IntegerType | PointerType)


def _is_user_address(type_: Type) -> bool:
    return isinstance(type_, IntegerType | PointerType | SymbolType)


def _is_stack(type_: Type) -> bool:
    return isinstance(type_, StackType)


def _is_time(type_: Type) -> bool:
    return isinstance(type_, IntegerType) and type_.size == 8


def _never(_type: Type) -> bool:
    return False


def _sized(size: int, signs: tuple[bool, ...]) -> Callable[[Type], bool]:
    def accepts(type_: Type) -> bool:
        return isinstance(type_, IntegerType) and type_.size == size and type_.signed in signs

    return accepts


_INTEGER: Final = "char, short, int, long, or long long"
_CHARACTER: Final = "char, short, or int"
_FLOAT: Final = "float, double, or long double"
_STRING: Final = "char [] or string (or use stringof)"
_WIDE_STRING: Final = "wchar_t []"
_ADDRESS: Final = "pointer or integer"
_USER_ADDRESS: Final = "pointer or integer (with -p/-c) or _usymaddr (without -p/-c)"


def _conversions() -> dict[str, ConversionKind]:
    """Return the conversions by name. `l` and `ll` accept any 8-byte integer, which DTrace tells apart."""
    table = {
        "a": ConversionKind(_ADDRESS, _is_address, Style.ADDRESS),
        "A": ConversionKind(_USER_ADDRESS, _is_user_address, Style.ADDRESS),
        "c": ConversionKind(_CHARACTER, _is_small_integer, Style.CHARACTER),
        "C": ConversionKind(_CHARACTER, _is_small_integer, Style.ESCAPED_CHARACTER),
        "d": ConversionKind(_INTEGER, _is_integer, Style.SIGNED_BY_TYPE),
        "i": ConversionKind(_INTEGER, _is_integer, Style.SIGNED_BY_TYPE),
        "k": ConversionKind("dt_stack_t", _is_stack, Style.STACK),
        "lc": ConversionKind("int", _sized(4, (True,)), Style.CHARACTER),
        "wc": ConversionKind("int", _sized(4, (True,)), Style.CHARACTER),
        "ls": ConversionKind(_WIDE_STRING, _never, Style.UNPRINTABLE),
        "ws": ConversionKind(_WIDE_STRING, _never, Style.UNPRINTABLE),
        "p": ConversionKind(_ADDRESS, _is_address, Style.UNSIGNED, "x"),
        "s": ConversionKind(_STRING, _is_text, Style.STRING),
        "S": ConversionKind(_STRING, _is_text, Style.ESCAPED_STRING),
        "T": ConversionKind("int64_t", _is_time, Style.TIME_822),
        "Y": ConversionKind("int64_t", _is_time, Style.TIME),
        "%": ConversionKind("void", _never, Style.PERCENT),
    }
    for letter in "eEfgG":
        table[letter] = ConversionKind(_FLOAT, _is_float, Style.FLOAT, letter)
        table["L" + letter] = ConversionKind("long double", _is_long_double, Style.FLOAT, letter)
    for letter in "ouxX":
        radix = letter.replace("u", "d")
        table[letter] = ConversionKind(_INTEGER, _is_integer, Style.UNSIGNED, radix)
    for prefix, size, name in (("h", 2, "short"), ("l", 8, "long"), ("ll", 8, "long long")):
        for letter in "di":
            table[prefix + letter] = ConversionKind(name, _sized(size, (True,)), Style.SIGNED)
        for letter, radix in (("o", "o"), ("u", "d")):
            table[prefix + letter] = ConversionKind(
                f"unsigned {name}", _sized(size, (False,)), Style.UNSIGNED, radix
            )
        for letter in "xX":
            table[prefix + letter] = ConversionKind(name, _sized(size, (True, False)), Style.UNSIGNED, letter)
    return table


CONVERSIONS: Final = _conversions()
_SIZE_LETTERS: Final = "hlLw"
_MOST_SIZE_LETTERS: Final = 6
"""DTrace reads this many letters of size and drops further ones."""

LARGEST_FIELD: Final = 1 << 20
"""A width or precision beyond this is cut: neither a format nor a target may ask for all of our memory."""


class _Malformed(Exception):
    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def parse_format(text: str, function: str = "printf") -> Format | Problem:
    """Return the format that `text` is, its D escapes already resolved, or what is wrong with it (D_SYNTAX).

    `function` is the action's name, for the message that the format is empty (D_PRINTF_FMT_EMPTY).
    """
    if not text:
        return Problem("D_PRINTF_FMT_EMPTY", f"{function}( ) format string is empty")
    parts: list[Text | Conversion] = []
    position, number = 0, 0
    while (percent := text.find("%", position)) >= 0:
        if percent > position:
            parts.append(Text(text[position:percent]))
        number += 1
        try:
            conversion, position = _conversion(text, percent + 1, number)
        except _Malformed as error:
            return Problem("D_SYNTAX", f"format conversion #{number} {error.message}")
        parts.append(conversion)
    if position < len(text):
        parts.append(Text(text[position:]))
    return Format(tuple(parts))


def _conversion(text: str, start: int, number: int) -> tuple[Conversion, int]:
    """Return the conversion whose `%` is before `start`, and the place behind it."""
    flags: set[str] = set()
    fields: dict[bool, int | Star] = {False: 0, True: 0}
    name, after_dot, digits_seen, aggregation = "", False, False, False
    position = start
    while True:
        letter = text[position : position + 1]
        position += 1
        match letter:
            case "":
                raise _Malformed("name expected before end of format string")
            case "0" if not after_dot and not digits_seen:
                flags = flags - {"-"} | {"0"}
            case _ if letter in "0123456789":
                end = position
                while text[end : end + 1] in tuple("0123456789"):
                    end += 1
                fields[after_dot] = min(int(text[position - 1 : end][:9]), LARGEST_FIELD)
                position, digits_seen = end, True
            case "*":
                if fields[after_dot] is Star.STAR:
                    what = "precision" if after_dot else "width"
                    raise _Malformed(f"has more than one '*' specified for the output {what}")
                fields[after_dot] = Star.STAR
            case ".":
                if after_dot:
                    raise _Malformed("has more than one '.' specified")
                after_dot, digits_seen = True, False
            case "-":
                flags = flags - {"0"} | {"-"}
            case "#" | "+" | " " | "'":
                flags.add(letter)
            case "?":
                fields[False] = 16
            case "@":
                aggregation = True
            case "$":
                raise _Malformed("uses unsupported positional format (%n$)")
            case "%" if position - 1 != start:
                raise _Malformed("cannot be combined with other format flags: %%")
            case _ if letter in _SIZE_LETTERS:
                name += letter if len(name) < _MOST_SIZE_LETTERS else ""
            case _:
                break
    name += letter
    kind = CONVERSIONS.get(name)
    if kind is None:
        raise _Malformed(f"is undefined: %{name}")
    return (
        Conversion(number, name, kind, frozenset(flags), fields[False], fields[True], aggregation),
        position,
    )


def check_arguments(
    format_: Format,
    function: str,
    argument_types: Sequence[Type],
    aggregations: Sequence[Aggregation] = (),
) -> Problem | None:
    """Return the first conversion that does not fit, in DTrace's words, or None.

    `argument_types` are those of the values after the format; for printa() those of the first aggregation's
    keys, of which not all have to be printed. Arguments are numbered with the format as #1.
    """
    taken = 0
    for conversion in format_.conversions:
        prefix = f"{function}( ) prototype mismatch: conversion #{conversion.number} (%{conversion.name})"
        for star, shown in ((conversion.width, "*"), (conversion.precision, ".*")):
            if star is not Star.STAR:
                continue
            if taken == len(argument_types):
                words = f'{prefix} is missing a corresponding "{shown}" argument'
                return Problem("D_PRINTF_DYN_PROTO", words)
            if not _is_integer(type_ := argument_types[taken]):
                words = _mismatch(
                    function,
                    f"argument #{taken + 2}",
                    conversion,
                    f"% {shown} {conversion.name}",
                    "int",
                    type_,
                )
                return Problem("D_PRINTF_DYN_TYPE", words, taken)
            taken += 1
        if conversion.aggregation:
            if not aggregations:
                words = f"%@ conversion requires an aggregation and is not for use with {function}( )"
                return Problem("D_PRINTF_AGG_CONV", words)
            type_, subject, argument = result_type(aggregations[0]), "aggregating action", None
        elif taken == len(argument_types):
            words = f"{prefix} is missing a corresponding value argument"
            return Problem("D_PRINTF_ARG_PROTO", words)
        else:
            type_, subject, argument = argument_types[taken], f"argument #{taken + 2}", taken
            taken += 1
        if not conversion.kind.accepts(type_):
            words = _mismatch(
                function, subject, conversion, f"%{conversion.name}", conversion.kind.prototype, type_
            )
            return Problem("D_PRINTF_ARG_TYPE", words, argument)
    if taken < len(argument_types) and not aggregations:
        words = f"{function}( ) prototype mismatch: only {taken} arguments required by this format string"
        return Problem("D_PRINTF_ARG_EXTRA", words, taken)
    return None


def _mismatch(
    function: str, subject: str, conversion: Conversion, shown: str, prototype: str, type_: Type
) -> str:
    return (
        f"{function}( ) {subject} is incompatible with conversion #{conversion.number} prototype:\n"
        f"\tconversion: {shown}\n\t prototype: {prototype}\n\t  argument: {type_}"
    )


def result_type(aggregation: Aggregation) -> IntegerType:
    """Return the type that `%@` sees: uint64_t for count, int64_t for the others, distributions included."""
    return TYPEDEFS["uint64_t" if aggregation.function is AggregatingFunction.COUNT else "int64_t"]


def check_joined(aggregations: Sequence[Aggregation]) -> Problem | None:
    """Return why these aggregations cannot be printed by one printa(), or None.

    They need as many keys as each other, of the same kinds: strings where the first has strings. Integers and pointers
    of any size compare with each other, as arguments of functions do.
    """
    first = aggregations[0]
    for other in aggregations[1:]:
        counts = len(first.key_types), len(other.key_types)
        if counts[0] != counts[1]:
            has = [f"{count} key{'' if count == 1 else 's'}" for count in counts]
            return Problem(
                "D_PRINTA_AGGKEY",
                f"printa( ): @{first.name} and @{other.name} do not have matching key signatures: "
                f"@{first.name} has {has[0]}, @{other.name} has {has[1]}",
            )
        for number, (left, right) in enumerate(zip(first.key_types, other.key_types, strict=True), 1):
            if not same_kind(left, right):
                return Problem(
                    "D_PRINTA_AGGPROTO",
                    f"printa( ): @{other.name}[ ] key #{number} is incompatible with @{first.name}:\n"
                    f"{first.name:>9} key #{number}: {left}\n{other.name:>9} key #{number}: {right}",
                )
    return None
