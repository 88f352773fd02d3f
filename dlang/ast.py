"""The syntax tree: what the text says, before names and types are known. Frozen nodes, each with its Span."""

from __future__ import annotations

from dataclasses import dataclass

from dlang.source import Span

# --- types as written ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NamedType:
    """`unsigned long`, `string`, `pid_t`: the words as written."""

    span: Span
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Declarator:
    """`*name[10]`: pointer depth, name (empty in a cast) and array dimensions or key types."""

    span: Span
    name: str
    pointers: int
    dimensions: tuple[tuple[Expression | TypeName, ...], ...]
    bit_width: Expression | None = None


@dataclass(frozen=True, slots=True)
class Field:
    span: Span
    type: TypeSpecifier
    declarators: tuple[Declarator, ...]


@dataclass(frozen=True, slots=True)
class RecordType:
    """A struct or union; `fields` is None where only its tag is named."""

    span: Span
    keyword: str
    tag: str
    fields: tuple[Field, ...] | None


@dataclass(frozen=True, slots=True)
class EnumType:
    span: Span
    tag: str
    enumerators: tuple[tuple[str, Expression | None], ...] | None


TypeSpecifier = NamedType | RecordType | EnumType


@dataclass(frozen=True, slots=True)
class TypeName:
    """A type as a cast, `sizeof` or a key list names it."""

    span: Span
    type: TypeSpecifier
    declarator: Declarator


# --- expressions --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Integer:
    """An integer constant as written, suffix included."""

    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class Character:
    """A character constant's bytes, escapes resolved."""

    span: Span
    value: bytes


@dataclass(frozen=True, slots=True)
class Float:
    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class String:
    """A string constant's bytes, escapes resolved."""

    span: Span
    value: bytes


@dataclass(frozen=True, slots=True)
class Name:
    span: Span
    name: str


@dataclass(frozen=True, slots=True)
class Macro:
    """`$target`, `$1`, `$$1`: its text as written."""

    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class ScopedName:
    """`self->name` or `this->name`; `scope` is "self" or "this"."""

    span: Span
    scope: str
    name: str


@dataclass(frozen=True, slots=True)
class AggregationName:
    """`@name`; the name of `@` is `_`."""

    span: Span
    name: str


@dataclass(frozen=True, slots=True)
class Index:
    """`base[indices]`; on an aggregation the indices are its keys."""

    span: Span
    base: Expression
    indices: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Member:
    """`base.name`, or `base->name` where `arrow` is "->"."""

    span: Span
    base: Expression
    arrow: str
    name: str


@dataclass(frozen=True, slots=True)
class Call:
    span: Span
    function: Name
    arguments: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Unary:
    """A prefix operator: `! ~ + - * &`, `sizeof` of an expression, `stringof`."""

    span: Span
    operator: str
    operand: Expression


@dataclass(frozen=True, slots=True)
class Step:
    """`++x`, `x--`: `operator` is "++" or "--"; `prefix` says which side it stands on."""

    span: Span
    operator: str
    operand: Expression
    prefix: bool


@dataclass(frozen=True, slots=True)
class Binary:
    span: Span
    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Conditional:
    span: Span
    condition: Expression
    then: Expression
    otherwise: Expression


@dataclass(frozen=True, slots=True)
class Assignment:
    """`target operator value`; the operator is `=` or a compound one such as `+=`."""

    span: Span
    operator: str
    target: Expression
    value: Expression


@dataclass(frozen=True, slots=True)
class Cast:
    span: Span
    type: TypeName
    operand: Expression


@dataclass(frozen=True, slots=True)
class SizeofType:
    span: Span
    type: TypeName


@dataclass(frozen=True, slots=True)
class Offsetof:
    span: Span
    type: TypeName
    member: str


Expression = (
    Integer
    | Character
    | Float
    | String
    | Name
    | Macro
    | ScopedName
    | AggregationName
    | Index
    | Member
    | Call
    | Unary
    | Step
    | Binary
    | Conditional
    | Assignment
    | Cast
    | SizeofType
    | Offsetof
)

# --- statements, clauses, declarations ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ExpressionStatement:
    span: Span
    expression: Expression


@dataclass(frozen=True, slots=True)
class If:
    span: Span
    condition: Expression
    then: tuple[Statement, ...]
    otherwise: tuple[Statement, ...]


Statement = ExpressionStatement | If


@dataclass(frozen=True, slots=True)
class Description:
    """A probe description as written, macros included."""

    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class Clause:
    """`body` is None where a command-line description stands alone."""

    span: Span
    descriptions: tuple[Description, ...]
    predicate: Expression | None
    body: tuple[Statement, ...] | None


@dataclass(frozen=True, slots=True)
class Declaration:
    """`int x, y;`, `self int x;`, `struct s { … };`; `storage` is "", "self", "this", "extern" or "typedef"."""

    span: Span
    storage: str
    type: TypeSpecifier | None
    declarators: tuple[Declarator, ...]


@dataclass(frozen=True, slots=True)
class Inline:
    """`inline type name = value;`"""

    span: Span
    type: TypeSpecifier
    declarator: Declarator
    value: Expression


@dataclass(frozen=True, slots=True)
class Program:
    items: tuple[Clause | Declaration | Inline, ...]
