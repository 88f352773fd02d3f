"""What a program's names mean while it is checked: variables, typedefs, tags, inlines, aggregations, macros.

`Names` is the checker's one mutable state, shared by all program texts of a run in their order.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from dlang import ast, builtins
from dlang.actions import ACTIONS, KNOWN_BUT_NOT_COMPILED, SUBROUTINES
from dlang.aggregations import AggregatingFunction, Aggregation
from dlang.diagnostics import CompileError, Diagnostic, did_you_mean, fail
from dlang.program import Aggregate, AssociativeArray, Constant, Current, Scope, Value, Variable
from dlang.source import Span
from dlang.types import (
    INT,
    LONG,
    TYPEDEFS,
    IntegerType,
    RecordType,
    Type,
    literal_type,
    stored_size,
    wrap,
)


@dataclass(frozen=True, slots=True)
class Macros:
    """What `$name` and `$1` stand for: integers by name, operands in order with `$0` first.

    `defaults` is option defaultargs: an operand that is not there is 0 or an empty string. `unused_allowed` is option
    argref.
    """

    variables: Mapping[str, int]
    operands: Sequence[str]
    defaults: bool = False
    unused_allowed: bool = False


@dataclass(frozen=True, slots=True)
class Inline:
    """`inline type name = value;`: what is put in place of the name."""

    value: ast.Expression


@dataclass(frozen=True, slots=True)
class KeyedInline:
    """`inline type name[type key, …] = value;`: what is put in place of `name[…]`, with values for the keys' names."""

    type: Type
    keys: tuple[tuple[str, Type], ...]
    value: ast.Expression


@dataclass(slots=True)
class Names:
    """See the module. Sizes are in bytes; `string_size` is strsize rounded up to 8.

    `tags` are the structures, unions and enumerations by tag. `probe` is the description of the clause that is
    checked, None outside of clauses; `made` the global variable that the assignment just looked at
    makes. `stack_frames` is how many frames ustack() records, `most_frames` how many it
    does at most. `own` says of variables and arrays whether they point into a clause's own memory, or elsewhere.
    `keys` are the values of an inline's keys while its expression is checked.
    `included`: the declaration that is checked comes from a file that the preprocessor included.
    `most_speculations` is option nspec; `speculates`, `destructive`,
    `copies_out` and `records_addresses` (stacks, symbols) say what the program was found to do.
    """

    macros: Macros
    string_limit: int = 256
    scratch_limit: int = 4096
    stack_frames: int = 100
    most_frames: int = 127
    variables: dict[tuple[Scope, str], Variable] = field(default_factory=dict)
    arrays: dict[tuple[Scope, str], AssociativeArray] = field(default_factory=dict)
    inlines: dict[str, Inline] = field(default_factory=dict)
    keyed_inlines: dict[str, KeyedInline] = field(default_factory=dict)
    own: dict[tuple[Scope, str], bool] = field(default_factory=dict)
    keys: Mapping[str, Value] = field(default_factory=dict)
    tags: dict[str, RecordType | IntegerType] = field(default_factory=dict)
    probe: str | None = None
    included: bool = False
    made: str | None = None
    updates: int = 0
    sizes: dict[Scope, int] = field(default_factory=lambda: dict.fromkeys(Scope, 0))
    typedefs: dict[str, Type] = field(default_factory=lambda: dict(TYPEDEFS))
    constants: dict[str, Value] = field(default_factory=lambda: dict(builtins.CONSTANTS))
    aggregations: dict[str, Aggregation] = field(default_factory=dict)
    aggregation_lines: dict[str, int] = field(default_factory=dict)
    aggregates: list[Aggregate] = field(default_factory=list)
    operands_used: set[int] = field(default_factory=set)
    most_speculations: int = 1
    speculates: bool = False
    destructive: bool = False
    copies_out: bool = False
    records_addresses: bool = False
    misplaced: list[Diagnostic] = field(default_factory=list)
    """What is wrong with a statement in which no operator minds an action or an aggregation among its operands."""

    def check_misplaced(self) -> None:
        """Raise the first of these errors; at the end of a statement."""
        if self.misplaced:
            raise CompileError(self.misplaced[0])

    @property
    def string_size(self) -> int:
        return (self.string_limit + 7) // 8 * 8

    def find(self, scope: Scope, name: str) -> Variable | None:
        return self.variables.get((scope, name))

    def of_scope(self, scope: Scope) -> list[Variable]:
        return [variable for (its, _), variable in self.variables.items() if its is scope]

    def declare(self, scope: Scope, name: str, type_: Type) -> Variable:
        """Give a new variable its place in its scope's block."""
        variable = Variable(scope, name, type_, self.sizes[scope])
        self.sizes[scope] += stored_size(type_, self.string_size)
        self.variables[scope, name] = variable
        return variable

    def declare_array(
        self, scope: Scope, name: str, type_: Type, key_types: tuple[Type, ...]
    ) -> AssociativeArray:
        array = AssociativeArray(scope, name, type_, key_types, len(self.arrays))
        self.arrays[scope, name] = array
        return array

    def is_taken(self, name: str) -> bool:
        """Say whether a name is D's own, an inline's, an enumerator's, or a global variable's."""
        own = name in self.constants or name in builtins.VARIABLES
        own = own or name in self.inlines or name in self.keyed_inlines
        function = name in ACTIONS or name in SUBROUTINES or name in KNOWN_BUT_NOT_COMPILED
        function = function or any(name == each.value for each in AggregatingFunction)
        variable = (Scope.GLOBAL, name) in self.variables or (Scope.GLOBAL, name) in self.arrays
        return own or function or variable or name in builtins.NOT_COMPILED

    def current(self, type_: Type) -> Current:
        """Return a new stand-in for what a place held before an update."""
        self.updates += 1
        return Current(type_, self.updates)

    def add_aggregate(
        self, aggregation: Aggregation, keys: tuple[Value, ...], value: Value | None, weight: Value | None
    ) -> Aggregate:
        """Give a new aggregating statement its number."""
        numbered = Aggregate(len(self.aggregates), aggregation, keys, value, weight)
        self.aggregates.append(numbered)
        return numbered


# --- macros -------------------------------------------------------------------------------------------------

_NUMBER: Final = re.compile(r"([-+]?)(0[xX][0-9A-Fa-f]+|0[0-7]*|[1-9][0-9]*)[\w`]*\Z", re.ASCII)
"""A word that begins with a number is that number, as strtoull() reads it."""
WORD: Final = re.compile(r"[A-Za-z_][A-Za-z_0-9`]*\Z")
"""An operand that is a word of D, and no text."""


def expand_macro(macro: ast.Macro, names: Names) -> ast.Expression:
    """Return what a macro stands for: `$1` an integer, a name or, if it is neither, a string; `$$1` a string."""
    as_string = macro.text.startswith("$$")
    name = macro.text.lstrip("$")
    if name.isdecimal():
        text = _operand(name, macro, names)
        if text is None:
            return ast.String(macro.span, b"") if as_string else ast.Integer(macro.span, "0")
    elif name in names.macros.variables:
        text = str(names.macros.variables[name])
    elif name == "target":
        text = "0"
    else:
        near = did_you_mean(name, names.macros.variables)
        fail("D_MACRO_UNDEF", macro.span, f"macro variable {macro.text} is not defined", near)
    if as_string:
        return ast.String(macro.span, text.encode("utf-8", "surrogateescape"))
    if number := _NUMBER.match(text):
        return _number(macro, text, *number.groups())
    if WORD.match(text):
        return ast.Name(macro.span, text)
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1]
    return ast.String(macro.span, text.encode("utf-8", "surrogateescape"))


def _operand(digits: str, macro: ast.Macro, names: Names) -> str | None:
    significant = digits.lstrip("0") or "0"
    if len(significant) < 10:
        number = int(significant)
        names.operands_used.add(number)
        if number < len(names.macros.operands):
            return names.macros.operands[number]
    if not names.macros.defaults:
        hint = "operands stand behind the program: dtrap -s script.d operand"
        fail("D_MACRO_UNDEF", macro.span, f"macro argument {macro.text} is not defined", hint)
    return None


def check_operands(names: Names, end: int) -> None:
    """Raise where a text that ends there has not used the last operand, mostly a mistake in the command line, and begin
    with the next text."""
    operands = names.macros.operands
    last = len(operands) - 1
    if last > 0 and last not in names.operands_used and not names.macros.unused_allowed:
        message = f"extraneous argument '{operands[last]}' (${last} is not referenced)"
        fail("D_MACRO_UNUSED", Span(end, end), message)
    names.operands_used.clear()


def _number(macro: ast.Macro, text: str, sign: str, digits: str) -> ast.Expression:
    integer = ast.Integer(macro.span, digits)
    try:
        integer_constant(integer)
    except CompileError as error:
        if error.diagnostic.tag != "D_INT_OFLOW":
            raise
        if "cannot be represented" in error.diagnostic.message:
            raise
        words = f"macro argument {macro.text} constant {text} results in integer overflow"
        fail("D_MACRO_OFLOW", macro.span, words)
    return ast.Unary(macro.span, "-", integer) if sign == "-" else integer


DESCRIPTION_MACRO: Final = re.compile(r"(\$\$?)([0-9]+|[A-Za-z_][A-Za-z_0-9]*|)")
"""A macro in a probe description: more text may follow it. One without a name is an error."""


def macro_text(name: str, as_string: bool, span: Span, names: Names) -> str:
    """Return the text of a macro inside a probe description."""
    if name == "target" and name not in names.macros.variables:
        # Process 0, which provider pid refuses.
        return "0"
    value = expand_macro(ast.Macro(span, f"{'$$' if as_string else '$'}{name}"), names)
    match value:
        case ast.Integer(text=text):
            return str(integer_constant(value).value)
        case ast.Unary(operand=ast.Integer(text=text)):
            return f"-{text}"
        case ast.Name(name=text):
            return text
        case ast.String(value=raw):
            return raw.decode("utf-8", "surrogateescape")
    raise AssertionError(f"a macro became {value}")


# --- constants ----------------------------------------------------------------------------------------------

_MOST_DIGITS: Final = 22
"""Digits of the largest 64-bit number in octal."""


def integer_constant(node: ast.Integer) -> Constant:
    """Return an integer constant's value and type (C17 6.4.4.1)."""
    digits = node.text.rstrip("uUlL")
    suffix = node.text[len(digits) :]
    hexadecimal = digits[:2] in ("0x", "0X")
    octal = not hexadecimal and len(digits) > 1 and digits[0] == "0"
    allowed = "0123456789abcdefABCDEF" if hexadecimal else "01234567" if octal else "0123456789"
    body = digits[2:] if hexadecimal else digits
    wrong = next((c for c in body if c not in allowed), None)
    if wrong is not None:
        fail("D_INT_DIGIT", node.span, f"constant {node.text} contains invalid digit {wrong}")
    significant = body.lstrip("0") or "0"
    value = int(significant[:_MOST_DIGITS], 16 if hexadecimal else 8 if octal else 10)
    if value >> 64 or len(significant) > _MOST_DIGITS:
        fail("D_INT_OFLOW", node.span, f"constant {node.text} results in integer overflow")
    type_ = literal_type(
        value,
        decimal=not (hexadecimal or octal),
        unsigned="u" in suffix.lower(),
        longs=suffix.lower().count("l"),
    )
    if type_ is None:
        message = f"integer constant {value:#x} cannot be represented in any built-in integral type"
        fail("D_INT_OFLOW", node.span, message)
    return Constant(type_, value)


def character_constant(node: ast.Character) -> Constant:
    """Return a character constant: type int, or long; several characters packed with the first one highest."""
    value = int.from_bytes(node.value, "big")
    return Constant(INT if value >> 31 == 0 else LONG, wrap(value, LONG))
