"""Types as they are written: specifiers and declarators to `types.Type`. Structures and enumerations get known here.

What a declaration makes of a type is check.py's business. Constant expressions inside of types (dimensions,
enumerators, widths) are evaluated by the caller's `Constant`, since expressions name types in turn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final, NoReturn

from dlang import ast
from dlang import program as typed
from dlang.diagnostics import fail, unsupported
from dlang.names import Names
from dlang.source import Span
from dlang.types import (
    INT,
    PREDEFINED,
    STRING,
    VOID,
    ArrayType,
    FunctionType,
    IntegerType,
    PointerType,
    RecordType,
    Type,
    VoidType,
    base_type,
    is_incomplete,
    lay_out,
    size_of,
    wrap,
)

Constant = Callable[[ast.Expression], int | None]
"""Evaluates an integer constant expression; None for any other."""

_ATTRIBUTES: Final = ("short", "long", "signed", "unsigned")
_INT_MAX: Final = (1 << 31) - 1
_LONGEST_ARRAY: Final = (1 << 32) - 1
MOST_POINTERS: Final = 64
"""Stars that a type may have, those of its typedefs included."""


def type_of(specifier: ast.TypeSpecifier, names: Names, constant: Constant) -> Type:
    """Return the type that a specifier names or defines."""
    match specifier:
        case ast.RecordType():
            return _record(specifier, names, constant)
        case ast.EnumType():
            return _enumeration(specifier, names, constant)
    words = specifier.words
    match words:
        case ("string",):
            return STRING
        case ("void",):
            return VOID
        case (word,) if word in names.typedefs:
            return names.typedefs[word]
    found = base_type(words)
    if found is None:
        _no_such_type(words, specifier.span)
    return found


def _no_such_type(words: tuple[str, ...], span: Span) -> NoReturn:
    """Raise DTrace's error for words that name no type together."""
    kinds = [word for word in words if word not in _ATTRIBUTES]
    long = "long" in words or "short" in words
    prefix = "invalid type declaration:"
    repeated = any(words.count(word) > 1 for word in words if word != "long")
    if not kinds and not repeated:
        shown = "short long" if "short" in words else " ".join(words)
        fail("D_UNKNOWN", span, f"failed to resolve type {shown} : Unknown type name")
    match kinds:
        case ["char"] if long:
            fail("D_DECL_CHARATTR", span, f"{prefix} short and long may not be used with char type")
        case ["void"]:
            fail("D_DECL_VOIDATTR", span, f"{prefix} attributes may not be used with void type")
        case [word] if word != "int" and long:
            words_ = "long and long long may only be used with integer or floating-point type"
            fail("D_DECL_LONGINT", span, f"{prefix} {words_}")
        case [word] if word not in ("int", "char"):
            fail("D_DECL_SIGNINT", span, f"{prefix} signed and unsigned may only be used with integer type")
    fail("D_DECL_COMBO", span, "invalid type combination")


# --- declarators --------------------------------------------------------------------------------------------


def key_list(declarator: ast.Declarator) -> tuple[ast.Expression | ast.TypeName, ...] | None:
    """Return the key types of an associative array's declarator: `name[int, string]`; None for any other."""
    if declarator.inner is None and declarator.dimensions:
        first = declarator.dimensions[0]
        if isinstance(first, tuple) and any(isinstance(item, ast.TypeName) for item in first):
            return first
    return None


def key_types(
    items: tuple[ast.Expression | ast.TypeName, ...], span: Span, names: Names, constant: Constant
) -> tuple[Type, ...]:
    """Return the types of an associative array's keys."""
    found = []
    for number, item in enumerate(items, 1):
        if not isinstance(item, ast.TypeName):
            _subscript(span)
        type_ = declared_type(item.type, item.declarator, names, constant)
        if isinstance(type_, VoidType):
            name = item.declarator.name or "(anonymous)"
            words = f"array prototype may not use parameter of type {type_}: {name}, parameter #{number}"
            fail("D_DECL_PROTO_TYPE", item.span, words)
        found.append(type_)
    return tuple(found)


def _subscript(span: Span) -> NoReturn:
    words = "positive integral constant expression or tuple signature expected as array declaration subscript"
    fail("D_DECL_ARRSUB", span, words)


def declared_type(
    specifier: ast.TypeSpecifier, declarator: ast.Declarator, names: Names, constant: Constant
) -> Type:
    """Return the type of a declarator; of an associative array's that of its elements."""
    return apply_declarator(type_of(specifier, names, constant), declarator, names, constant)


def apply_declarator(base: Type, declarator: ast.Declarator, names: Names, constant: Constant) -> Type:
    """Return what a declarator makes of its specifier's type."""
    result = base
    if declarator.pointers + _pointers(result) > MOST_POINTERS:
        unsupported(declarator.span, f"a type of more than {MOST_POINTERS} pointers to pointers")
    for _ in range(declarator.pointers):
        result = PointerType(result)
    dimensions = declarator.dimensions[1:] if key_list(declarator) else declarator.dimensions
    for dimension in reversed(dimensions):
        if isinstance(dimension, ast.Parameters):
            _check_parameters(dimension, names, constant)
            result = FunctionType(result)
        else:
            result = _array(result, dimension, declarator, names, constant)
    return apply_declarator(result, declarator.inner, names, constant) if declarator.inner else result


def _check_parameters(node: ast.Parameters, names: Names, constant: Constant) -> None:
    """Raise for parameters that no function can have (dt_decl_prototype)."""
    for number, item in enumerate(node.items, 1):
        name = item.declarator.name
        if key_list(item.declarator):
            words = "function prototype may not use parameter of type dynamic variable"
            fail("D_DECL_PROTO_TYPE", item.span, f"{words}: {name or '(anonymous)'}, parameter #{number}")
        if not isinstance(
            declared_type(item.type, _as_parameter(item.declarator), names, constant), VoidType
        ):
            continue
        if len(node.items) > 1:
            fail("D_DECL_PROTO_VOID", item.span, "void must be sole parameter")
        if name:
            fail("D_DECL_PROTO_NAME", item.span, f"void parameter may not have a name: {name}")


def _as_parameter(node: ast.Declarator) -> ast.Declarator:
    """Return the declarator of a parameter as C reads it: `int a[]` is a pointer."""
    if node.inner is not None or not node.dimensions or node.dimensions[0] != ():
        return node
    return ast.Declarator(node.span, node.name, node.pointers + 1, node.dimensions[1:])


def _array(
    element: Type,
    dimension: tuple[ast.Expression | ast.TypeName, ...],
    declarator: ast.Declarator,
    names: Names,
    constant: Constant,
) -> ArrayType:
    span = declarator.span
    if not dimension:
        words = "array declaration requires array dimension or tuple signature"
        fail("D_DECL_ARRNULL", span, f"{words}: {declarator.name}")
    if any(isinstance(item, ast.TypeName) for item in dimension):
        fail("D_DECL_DYNOBJ", span, "cannot declare array of associative arrays")
    if isinstance(element, VoidType):
        fail("D_DECL_VOIDOBJ", span, "cannot declare array of void")
    if isinstance(element, FunctionType):
        unsupported(span, "an array of functions")
    if is_incomplete(element):
        fail("D_DECL_INCOMPLETE", span, f"incomplete struct/union/enum {element}: {declarator.name}")
    length = constant(dimension[0]) if not isinstance(dimension[0], ast.TypeName) else None
    if len(dimension) > 1 or length is None or length <= 0:
        _subscript(span)
    if length > _LONGEST_ARRAY:
        fail("D_DECL_ARRBIG", span, "array dimension too big")
    return ArrayType(element, length, size_of(element, names.string_size))


def _pointers(type_: Type) -> int:
    count = 0
    while isinstance(type_, PointerType):
        type_ = type_.target
        count += 1
    return count


# --- structures, unions, enumerations -----------------------------------------------------------------------


def _record(node: ast.RecordType, names: Names, constant: Constant) -> Type:
    # Unlike C's, tags of structures, unions and enumerations are apart from each other.
    tag = f"{node.keyword} {node.tag}"
    known = names.tags.get(tag) if node.tag else None
    if known is None and node.fields is None:
        known = PREDEFINED.get(tag)
    record = known if isinstance(known, RecordType) else RecordType(node.keyword, node.tag)
    if node.tag:
        names.tags[tag] = record
    if node.fields is None:
        return record
    if record.layout is not None:
        fail("D_DECL_TYPERED", node.span, f"type redeclared: {record}")
    members: list[tuple[str, Type, int | None]] = []
    for field in node.fields:
        for twice in (
            item.name for item in field.declarators if item.name in {name for name, _, _ in members if name}
        ):
            words = "Duplicate member, enumerator, or variable name."
            fail("D_UNKNOWN", field.span, f"failed to define member '{twice}': {words}")
        base = type_of(field.type, names, constant)
        if not field.declarators:
            if not isinstance(base, RecordType) or base.tag:
                fail("D_DECL_MNAME", field.span, "member declaration requires a name")
            members.append(("", base, None))
        members.extend(_member(base, declarator, names, constant) for declarator in field.declarators)
    record.layout = lay_out(node.keyword, members, names.string_size)
    return record


def _announced(type_: Type) -> str:
    """Return the name of a type without members: DTrace keeps no more of it than that it is one."""
    while isinstance(type_, ArrayType):
        type_ = type_.element
    return f"struct {type_.tag}" if isinstance(type_, RecordType) else str(type_)


def _member(
    base: Type, declarator: ast.Declarator, names: Names, constant: Constant
) -> tuple[str, Type, int | None]:
    name, span = declarator.name, declarator.span
    if key_list(declarator):
        fail("D_DECL_DYNOBJ", span, f"cannot have dynamic member: {name}")
    type_ = apply_declarator(base, declarator, names, constant)
    if isinstance(type_, VoidType | FunctionType):
        fail("D_DECL_VOIDOBJ", span, f"cannot have void member: {name}")
    if is_incomplete(type_):
        fail("D_DECL_INCOMPLETE", span, f"incomplete struct/union/enum {_announced(type_)}: {name}")
    if declarator.bit_width is None:
        return name, type_, None
    width = constant(declarator.bit_width)
    if width is None or width < 0 or (width == 0 and name):
        fail("D_DECL_BFCONST", span, "positive integral constant expression expected as bit-field size")
    if not isinstance(type_, IntegerType):
        fail("D_DECL_BFTYPE", span, f"invalid type for bit-field: {name or '(anon)'}")
    if width > 8 * type_.size:
        fail("D_DECL_BFSIZE", span, f"bit-field too big for type: {name or '(anon)'}")
    return name, type_, width


def _enumeration(node: ast.EnumType, names: Names, constant: Constant) -> Type:
    tag = f"enum {node.tag}".rstrip()
    known = names.tags.get(tag) if node.tag else None
    if known and node.enumerators is not None:
        fail("D_DECL_TYPERED", node.span, f"type redeclared: {tag}")
    if node.enumerators is None:
        if known is None:
            fail("D_DECL_INCOMPLETE", node.span, f"incomplete struct/union/enum enum {node.tag}: {node.tag}")
        return known
    value, found = -1, []
    for item in node.enumerators:
        name, expression = item.name, item.value
        given = wrap(value + 1, INT) if expression is None else constant(expression)
        if given is None:
            words = f"enumerator '{name}' must be assigned to an integral constant expression"
            fail("D_DECL_ENCONST", item.span, words)
        if not -_INT_MAX - 1 <= given <= _INT_MAX:
            fail("D_DECL_ENOFLOW", item.span, f"enumerator '{name}' value overflows INT_MAX ({_INT_MAX})")
        if names.is_taken(name):
            fail("D_DECL_IDRED", item.span, f"identifier redeclared: {name}")
        value = given
        found.append((name, value))
        names.constants[name] = typed.Constant(INT, value)
    enumeration = replace(INT, name=tag, enumerators=tuple(found))
    if node.tag:
        names.tags[tag] = enumeration
    return enumeration
