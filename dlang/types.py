"""The types of D expressions: sizes in bytes, signs, names as messages print them, the type of arithmetic.

The arithmetic itself is 64 bits wide everywhere (DTrace guide, "Types, Operators, and Expressions");
a type decides how a value is extended when it is read, how it is printed, and whether division, right
shift and comparison are signed.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final


@dataclass(frozen=True, slots=True)
class IntegerType:
    """An integer of `size` bytes: 1, 2, 4 or 8. `name` is what messages show (`uint64_t`, `int`)."""

    name: str
    size: int
    signed: bool
    enumerators: tuple[tuple[str, int], ...] = ()
    """Of an enumeration: its names and their values. Its arithmetic is that of int."""

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class FloatType:
    """`float`, `double`, `long double`: D has no arithmetic on them, they are sized, copied and printed."""

    name: str
    size: int

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
        if isinstance(self.target, FunctionType):
            return f"{self.target.result} (*)()"
        return f"{self.target} *" if not isinstance(self.target, PointerType) else f"{self.target}*"


@dataclass(frozen=True, slots=True)
class ArrayType:
    """`length` elements, `stride` bytes from one to the next. An array of char is a string where one is wanted."""

    element: Type
    length: int
    stride: int

    @property
    def size(self) -> int:
        return self.length * self.stride

    def __str__(self) -> str:
        inner: Type = self
        dimensions = ""
        while isinstance(inner, ArrayType):
            dimensions += f"[{inner.length}]"
            inner = inner.element
        return f"{inner} {dimensions}"


@dataclass(frozen=True, slots=True)
class FunctionType:
    """What a function pointer in a structure points to; D calls none."""

    result: Type

    def __str__(self) -> str:
        return "function"


@dataclass(frozen=True, slots=True)
class BitField:
    """The `width` bits of a member from bit `shift` of the integer at its offset on."""

    shift: int
    width: int


@dataclass(frozen=True, slots=True)
class Member:
    """`offset` is in bytes from the start of the structure."""

    name: str
    type: Type
    offset: int
    bits: BitField | None = None


@dataclass(frozen=True, slots=True)
class RecordLayout:
    """The members of a structure or union as they are declared, and its size and alignment in bytes."""

    members: tuple[Member, ...]
    size: int
    alignment: int


@dataclass(eq=False, slots=True)
class RecordType:
    """A structure or union. Each declaration makes a type of its own, whatever its members.

    `layout` is None until the definition is seen: a pointer to the type may be part of it.
    """

    keyword: str
    tag: str
    layout: RecordLayout | None = field(default=None, repr=False)

    @property
    def size(self) -> int:
        return self.layout.size if self.layout else 0

    def __str__(self) -> str:
        return f"{self.keyword} {self.tag}".rstrip()


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
class DynamicType:
    """What only messages name: an aggregation, or the result of an aggregating function, where a value is wanted."""

    kind: str
    size: int = 0

    def __str__(self) -> str:
        return self.kind


@dataclass(frozen=True, slots=True)
class StackType:
    """What ustack() records: at most `frames` addresses of 8 bytes, the innermost first, zeros behind the last."""

    frames: int

    @property
    def size(self) -> int:
        return 8 * self.frames

    def __str__(self) -> str:
        return "dt_stack_t"


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


Type = (
    IntegerType
    | FloatType
    | PointerType
    | ArrayType
    | RecordType
    | FunctionType
    | StringType
    | VoidType
    | DynamicType
    | StackType
    | SymbolType
)


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
FLOAT: Final = FloatType("float", 4)
DOUBLE: Final = FloatType("double", 8)
LONG_DOUBLE: Final = FloatType("long double", 16)
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
    # Some of the kernel's, which DTrace for Linux knows all.
    ("__s8", 1, True), ("__s16", 2, True), ("__s32", 4, True), ("__s64", 8, True),
    ("__u8", 1, False), ("__u16", 2, False), ("__u32", 4, False), ("__u64", 8, False),
    ("__be16", 2, False), ("__be32", 4, False), ("__be64", 8, False),
    ("__le16", 2, False), ("__le32", 4, False), ("__le64", 8, False),
    ("s8", 1, True), ("s16", 2, True), ("s32", 4, True), ("s64", 8, True),
    ("u8", 1, False), ("u16", 2, False), ("u32", 4, False), ("u64", 8, False),
    ("u_int8_t", 1, False), ("u_int16_t", 2, False), ("u_int32_t", 4, False), ("u_int64_t", 8, False),
    ("ushort", 2, False), ("uint", 4, False), ("ulong", 8, False), ("u_short", 2, False), ("u_int", 4, False),
    ("bool", 1, False), ("dev_t", 4, False), ("mode_t", 2, False), ("off_t", 8, True), ("loff_t", 8, True),
    ("ino_t", 8, False), ("nlink_t", 4, False), ("blkcnt_t", 8, False), ("sector_t", 8, False),
    ("clock_t", 8, True), ("suseconds_t", 8, True), ("timer_t", 4, True), ("clockid_t", 4, True),
    ("key_t", 4, True), ("sa_family_t", 2, False),
)  # fmt: skip

TYPEDEFS: Final = {name: IntegerType(name, size, signed) for name, size, signed in _TYPEDEFS}
"""The typedefs that every program can use: d-language.md §6."""

_BASE_TYPES: Final[dict[tuple[str, ...], IntegerType | FloatType]] = {
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
    ("float",): FLOAT,
    ("double",): DOUBLE,
    ("double", "long"): LONG_DOUBLE,
}


def base_type(specifiers: tuple[str, ...]) -> IntegerType | FloatType | None:
    """Return the arithmetic type that C's specifiers name in any order, or None where they name none.

    `unsigned`, `long int`, `unsigned long long int`, `signed char`, …; C17 6.7.2. As in DTrace, `unsigned` alone and
    those with `signed` have names of their own.
    """
    words = sorted(specifiers)
    if len(words) > 1 and words.count("int") == 1 and not {"char", "float", "double"} & set(words):
        words.remove("int")
    if words in (["signed"], ["unsigned"]):
        (name,) = words
        return IntegerType(name, 4, name == "signed")
    if "signed" in words and "char" not in words:
        words.remove("signed")
        plain = _BASE_TYPES.get(tuple(words))
        return replace(plain, name=f"signed {plain}") if isinstance(plain, IntegerType) else None
    return _BASE_TYPES.get(tuple(words))


def is_signed(type_: Type) -> bool:
    """Say whether a value of this type takes part in arithmetic as a signed one."""
    return isinstance(type_, IntegerType) and type_.signed


def common_type(left: IntegerType, right: IntegerType) -> IntegerType:
    """Return the type of arithmetic on both: the wider, of equal width the unsigned one (dt_type_promote).

    What is narrower than int stays so, unlike in C: two values of char make a char. An enumeration is an int.
    """
    left, right = (INT if type_.enumerators else type_ for type_ in (left, right))
    return right if (left.size, not left.signed) < (right.size, not right.signed) else left


def wrap(value: int, type_: IntegerType) -> int:
    """Return `value` as an integer of this type holds it."""
    bits = 8 * type_.size
    value &= (1 << bits) - 1
    return value - (1 << bits) if type_.signed and value >> (bits - 1) else value


def literal_type(value: int, *, decimal: bool, unsigned: bool, longs: int) -> IntegerType | None:
    """Return the type of an integer constant, or None where no type holds it (C17 6.4.4.1).

    `longs` is how many `l` it ends in. A decimal constant without `u` tries the signed types only.
    """
    candidates = {
        0: [INT, UNSIGNED_INT, LONG, UNSIGNED_LONG],
        1: [LONG, UNSIGNED_LONG],
        2: [LONG_LONG, UNSIGNED_LONG_LONG],
    }[longs]
    for candidate in candidates:
        if unsigned and candidate.signed:
            continue
        if decimal and not unsigned and not candidate.signed:
            continue
        if wrap(value, candidate) == value:
            return candidate
    return None


def size_of(type_: Type, string_size: int) -> int:
    """Return the bytes that a value takes in memory; 0 for what has none: void, functions, incomplete types."""
    match type_:
        case StringType():
            return string_size
        case VoidType() | FunctionType():
            return 0
        case _:
            return type_.size


def stored_size(type_: Type, string_size: int) -> int:
    """Return the bytes that a value takes in a variable, a record or a key: words and strings, or rounded up to 8."""
    return 8 if is_word(type_) else -(-size_of(type_, string_size) // 8) * 8


def alignment_of(type_: Type) -> int:
    """Return the alignment of a member in bytes, by the System V ABI. A string is an array of characters."""
    match type_:
        case IntegerType() | FloatType():
            return type_.size
        case ArrayType(element=element):
            return alignment_of(element)
        case RecordType(layout=RecordLayout(alignment=alignment)):
            return alignment
        case StringType() | VoidType() | FunctionType():
            return 1
        case _:
            return 8


def is_word(type_: Type) -> bool:
    """Say whether a value is a 64-bit word for code generation: an integer, a pointer or a symbolic address."""
    return isinstance(type_, IntegerType | PointerType | SymbolType)


def is_character(type_: Type) -> bool:
    """Say whether elements of this type are text."""
    return type_ in (CHAR, SIGNED_CHAR, UNSIGNED_CHAR) or (
        isinstance(type_, IntegerType) and type_.size == 1 and type_ != BOOL
    )


def is_text(type_: Type) -> bool:
    """Say whether a value can stand where a string is wanted: a string, an array of char, a pointer to char."""
    match type_:
        case StringType():
            return True
        case ArrayType(element=target) | PointerType(target=target):
            return is_character(target)
    return False


def is_bytes(type_: Type) -> bool:
    """Say whether a value is neither a word nor a string: a structure, an array, a floating-point number, a stack."""
    return isinstance(type_, RecordType | ArrayType | FloatType | StackType)


def is_incomplete(type_: Type) -> bool:
    """Say whether the type is a structure that is only announced so far, or an array of such."""
    while isinstance(type_, ArrayType):
        type_ = type_.element
    return isinstance(type_, RecordType) and type_.layout is None


def lay_out(keyword: str, members: Sequence[tuple[str, Type, int | None]], string_size: int) -> RecordLayout:
    """Return the layout of a structure or union of these members: name, type, width of a bit-field or None.

    Bit-fields share units of their type as gcc has it (System V ABI, AMD64 supplement, 3.1.2); width 0 begins a
    new unit.
    """
    found: list[Member] = []
    end_bits, size, alignment = 0, 0, 1
    for name, type_, width in members:
        own_size, own_alignment = size_of(type_, string_size), alignment_of(type_)
        start_bits = 0 if keyword == "union" else end_bits
        unit_bits = 8 * own_size
        if width is None or width == 0 or start_bits // unit_bits != (start_bits + width - 1) // unit_bits:
            start_bits = -(-start_bits // (8 * own_alignment)) * 8 * own_alignment
        bits = None
        if width is not None:
            bits = BitField(start_bits % unit_bits, width)
            offset = start_bits // unit_bits * own_size
            end_bits = start_bits + width
        else:
            offset = start_bits // 8
            end_bits = start_bits + unit_bits
        if name or width is None:
            found.append(Member(name, type_, offset, bits))
            alignment = max(alignment, own_alignment)
        size = max(size, -(-end_bits // 8))
    return RecordLayout(tuple(found), -(-size // alignment) * alignment, alignment)


def find_member(record: RecordType, name: str) -> Member | None:
    """Return a member by its name, also one of a nameless structure or union inside (C17 6.7.2.1)."""
    assert record.layout is not None
    for member in record.layout.members:
        if member.name == name:
            return member
        if not member.name and isinstance(member.type, RecordType):
            inner = find_member(member.type, name)
            if inner is not None:
                return Member(name, inner.type, member.offset + inner.offset, inner.bits)
    return None


def as_integer(type_: Type) -> IntegerType:
    """Return the integer type that a value prints as: an address is 8 bytes, unsigned."""
    match type_:
        case IntegerType():
            return type_
        case PointerType():
            return IntegerType(str(type_), 8, signed=False)
        case _:
            raise AssertionError(f"an integer of type {type_}")


def _structure(tag: str, *members: tuple[str, Type]) -> RecordType:
    layout = lay_out("struct", [(name, type_, None) for name, type_ in members], 0)
    return RecordType("struct", tag, layout)


def _ipv6_parts() -> RecordType:
    parts = (("u6_addr8", "__u8", 16), ("u6_addr16", "__be16", 8), ("u6_addr32", "__be32", 4))
    members = [(name, ArrayType(TYPEDEFS[of], count, 16 // count), None) for name, of, count in parts]
    return RecordType("union", "", lay_out("union", members, 0))


PREDEFINED: Final = {
    str(record): record
    for record in (
        _structure("in_addr", ("s_addr", TYPEDEFS["__be32"])),
        _structure("in6_addr", ("in6_u", _ipv6_parts())),
    )
}
"""Structures of the kernel's that subroutines take; a program may define others of these names."""
