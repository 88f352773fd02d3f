"""The types of D expressions: sizes in bytes, signs, names as messages print them, and C's promotion rules.

The arithmetic itself is 64 bits wide everywhere (DTrace guide, "Types, Operators, and Expressions");
a type decides how a value is extended when it is read, how it is printed, and whether division, right
shift and comparison are signed.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class IntegerType:
    """An integer of `size` bytes: 1, 2, 4 or 8. `name` is what messages show (`uint64_t`, `int`)."""

    name: str
    size: int
    signed: bool

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class PointerType:
    """An 8-byte address of a `target`."""

    target: Type

    @property
    def size(self) -> int:
        return 8

    def __str__(self) -> str:
        return f"{self.target} *" if not isinstance(self.target, PointerType) else f"{self.target}*"


@dataclass(frozen=True, slots=True)
class StringType:
    """D's `string`: a character array of option `strsize` bytes, terminator included."""

    def __str__(self) -> str:
        return "string"


@dataclass(frozen=True, slots=True)
class VoidType:
    """The result of an action; the target of an untyped pointer."""

    def __str__(self) -> str:
        return "void"


@dataclass(frozen=True, slots=True)
class StackType:
    """What ustack() records: at most `frames` addresses of 8 bytes, the innermost first, zeros behind the last."""

    frames: int

    @property
    def size(self) -> int:
        return 8 * self.frames

    def __str__(self) -> str:
        return "stack"


class SymbolPart(enum.Enum):
    """What is shown of a symbolic address: function and offset, the function alone, or the object alone."""

    ADDRESS = "uaddr"
    FUNCTION = "usym"
    OBJECT = "umod"


@dataclass(frozen=True, slots=True)
class SymbolType:
    """An address of the process that is shown by its name: what uaddr(), usym(), ufunc() and umod() record."""

    part: SymbolPart

    @property
    def size(self) -> int:
        return 8

    def __str__(self) -> str:
        return "_usymaddr"


Type = IntegerType | PointerType | StringType | VoidType | StackType | SymbolType


def same_kind(left: Type, right: Type) -> bool:
    """Say whether values of both types can be one key of an aggregation: integers and pointers of any size go
    together, stacks of any length, all else with its like only."""
    for kind in (IntegerType | PointerType, StackType):
        if isinstance(left, kind):
            return isinstance(right, kind)
    return left == right


CHAR: Final = IntegerType("char", 1, True)
SIGNED_CHAR: Final = IntegerType("signed char", 1, True)
UNSIGNED_CHAR: Final = IntegerType("unsigned char", 1, False)
BOOL: Final = IntegerType("_Bool", 1, False)
SHORT: Final = IntegerType("short", 2, True)
UNSIGNED_SHORT: Final = IntegerType("unsigned short", 2, False)
INT: Final = IntegerType("int", 4, True)
UNSIGNED_INT: Final = IntegerType("unsigned int", 4, False)
LONG: Final = IntegerType("long", 8, True)
UNSIGNED_LONG: Final = IntegerType("unsigned long", 8, False)
LONG_LONG: Final = IntegerType("long long", 8, True)
UNSIGNED_LONG_LONG: Final = IntegerType("unsigned long long", 8, False)
STRING: Final = StringType()
VOID: Final = VoidType()
VOID_POINTER: Final = PointerType(VOID)

_TYPEDEFS: Final = (
    ("int8_t", 1, True), ("int16_t", 2, True), ("int32_t", 4, True), ("int64_t", 8, True),
    ("uint8_t", 1, False), ("uint16_t", 2, False), ("uint32_t", 4, False), ("uint64_t", 8, False),
    ("intptr_t", 8, True), ("uintptr_t", 8, False), ("size_t", 8, False), ("ssize_t", 8, True),
    ("ptrdiff_t", 8, True), ("uchar_t", 1, False), ("ushort_t", 2, False), ("uint_t", 4, False),
    ("ulong_t", 8, False), ("longlong_t", 8, True), ("u_longlong_t", 8, False), ("pid_t", 4, True),
    ("id_t", 4, True), ("uid_t", 4, False), ("gid_t", 4, False), ("ipaddr_t", 4, False),
)  # fmt: skip

TYPEDEFS: Final = {name: IntegerType(name, size, signed) for name, size, signed in _TYPEDEFS}
"""The typedefs that every program can use: d-language.md §6."""

_BASE_TYPES: Final = {
    ("char",): CHAR,
    ("char", "signed"): SIGNED_CHAR,
    ("char", "unsigned"): UNSIGNED_CHAR,
    ("_Bool",): BOOL,
    ("short",): SHORT,
    ("short", "unsigned"): UNSIGNED_SHORT,
    ("int",): INT,
    ("int", "unsigned"): UNSIGNED_INT,
    ("long",): LONG,
    ("long", "unsigned"): UNSIGNED_LONG,
    ("long", "long"): LONG_LONG,
    ("long", "long", "unsigned"): UNSIGNED_LONG_LONG,
}


def base_type(specifiers: tuple[str, ...]) -> IntegerType | None:
    """Return the integer type that C's specifiers name in any order, or None where they name none.

    `unsigned`, `long int`, `unsigned long long int`, `signed char`, …; C17 6.7.2.
    """
    words = sorted(specifiers)
    if len(words) > 1 and "int" in words:
        words.remove("int")
    if words in (["signed"], ["unsigned"]):
        words = ["int", *words]
    if "signed" in words and "char" not in words:
        words.remove("signed")
    return _BASE_TYPES.get(tuple(words))


def is_signed(type_: Type) -> bool:
    """Say whether a value of this type takes part in arithmetic as a signed one."""
    return isinstance(type_, IntegerType) and type_.signed


def promote(type_: IntegerType) -> IntegerType:
    """Return the type after C's integer promotions: narrower than int becomes int (C17 6.3.1.1)."""
    return INT if type_.size < INT.size else type_


def common_type(left: IntegerType, right: IntegerType) -> IntegerType:
    """Return the type of arithmetic on both, by C's usual arithmetic conversions (C17 6.3.1.8)."""
    left, right = promote(left), promote(right)
    if left.size != right.size:
        return left if left.size > right.size else right
    return left if not left.signed else right


def wrap(value: int, type_: IntegerType) -> int:
    """Return `value` as an integer of this type holds it."""
    bits = 8 * type_.size
    value &= (1 << bits) - 1
    return value - (1 << bits) if type_.signed and value >> (bits - 1) else value


def literal_type(value: int, *, decimal: bool, unsigned: bool, long: bool) -> IntegerType | None:
    """Return the type of an integer constant, or None where no type holds it (C17 6.4.4.1).

    A decimal constant without `u` tries the signed types only.
    """
    candidates = [LONG, UNSIGNED_LONG] if long else [INT, UNSIGNED_INT, LONG, UNSIGNED_LONG]
    for candidate in candidates:
        if unsigned and candidate.signed:
            continue
        if decimal and not unsigned and not candidate.signed:
            continue
        if wrap(value, candidate) == value:
            return candidate
    return None
