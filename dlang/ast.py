"""The syntax tree: what the text says, before names and types are known. Frozen nodes, each with its Span."""

from __future__ import annotations

from dlang.node import Node
from dlang.source import Span

# --- types as written ---------------------------------------------------------------------------------------


class NamedType(Node):
    """`unsigned long`, `string`, `pid_t`: the words as written."""

    span: Span
    words: tuple[str, ...]


class Parameters(Node):
    """`(int, char *)` behind a declarator: it is a function; or, as a dimension, `[...]`, which is an error."""

    span: Span
    items: tuple[TypeName, ...] = ()


class Declarator(Node):
    """`*name[10]`: pointer depth, name (empty in a cast), array dimensions or key types, or a function's parameters.

    `inner` is what stands in parentheses in place of the name: `(*name)(int)` is a function behind a pointer.
    """

    span: Span
    name: str
    pointers: int
    dimensions: tuple[tuple[Expression | TypeName, ...] | Parameters, ...]
    bit_width: Expression | None = None
    inner: Declarator | None = None


class Field(Node):
    span: Span
    type: TypeSpecifier
    declarators: tuple[Declarator, ...]


class RecordType(Node):
    """A struct or union; `fields` is None where only its tag is named."""

    span: Span
    keyword: str
    tag: str
    fields: tuple[Field, ...] | None


class Enumerator(Node):
    span: Span
    name: str
    value: Expression | None


class EnumType(Node):
    span: Span
    tag: str
    enumerators: tuple[Enumerator, ...] | None


TypeSpecifier = NamedType | RecordType | EnumType


class TypeName(Node):
    """A type as a cast, `sizeof` or a key list names it."""

    span: Span
    type: TypeSpecifier
    declarator: Declarator


# --- expressions --------------------------------------------------------------------------------------------


class Integer(Node):
    """An integer constant as written, suffix included."""

    span: Span
    text: str


class Character(Node):
    """A character constant's bytes, escapes resolved."""

    span: Span
    value: bytes


class Float(Node):
    span: Span
    text: str


class String(Node):
    """A string constant's bytes, escapes resolved."""

    span: Span
    value: bytes


class Name(Node):
    span: Span
    name: str


class Macro(Node):
    """`$target`, `$1`, `$$1`: its text as written."""

    span: Span
    text: str


class ScopedName(Node):
    """`self->name` or `this->name`; `scope` is "self" or "this"."""

    span: Span
    scope: str
    name: str


class AggregationName(Node):
    """`@name`; the name of `@` is `_`."""

    span: Span
    name: str


class Index(Node):
    """`base[indices]`; on an aggregation the indices are its keys."""

    span: Span
    base: Expression
    indices: tuple[Expression, ...]


class Member(Node):
    """`base.name`, or `base->name` where `arrow` is "->"."""

    span: Span
    base: Expression
    arrow: str
    name: str


class Call(Node):
    span: Span
    function: Name
    arguments: tuple[Expression, ...]


class Unary(Node):
    """A prefix operator: `! ~ + - * &`, `sizeof` of an expression, `stringof`."""

    span: Span
    operator: str
    operand: Expression


class Step(Node):
    """`++x`, `x--`: `operator` is "++" or "--"; `prefix` says which side it stands on."""

    span: Span
    operator: str
    operand: Expression
    prefix: bool


class Binary(Node):
    span: Span
    operator: str
    left: Expression
    right: Expression


class Conditional(Node):
    span: Span
    condition: Expression
    then: Expression
    otherwise: Expression


class Assignment(Node):
    """`target operator value`; the operator is `=` or a compound one such as `+=`."""

    span: Span
    operator: str
    target: Expression
    value: Expression


class Cast(Node):
    span: Span
    type: TypeName
    operand: Expression


class SizeofType(Node):
    span: Span
    type: TypeName


class Offsetof(Node):
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


class ExpressionStatement(Node):
    span: Span
    expression: Expression


class If(Node):
    span: Span
    condition: Expression
    then: tuple[Statement, ...]
    otherwise: tuple[Statement, ...]


Statement = ExpressionStatement | If


class Description(Node):
    """A probe description as written, macros included."""

    span: Span
    text: str


class Clause(Node):
    """`body` is None where a command-line description stands alone."""

    span: Span
    descriptions: tuple[Description, ...]
    predicate: Expression | None
    body: tuple[Statement, ...] | None


class Declaration(Node):
    """`int x, y;`, `self int x;`, `struct s { … };`; `storage` is "", "self", "this", "extern" or "typedef"."""

    span: Span
    storage: str
    type: TypeSpecifier | None
    declarators: tuple[Declarator, ...]


class Inline(Node):
    """`inline type name = value;`"""

    span: Span
    type: TypeSpecifier
    declarator: Declarator
    value: Expression


class Program(Node):
    """`operands_used` are the numbers of the operands that stand for words of it."""

    items: tuple[Clause | Declaration | Inline, ...]
    operands_used: frozenset[int]
