"""Places: members, elements, what pointers point to, from operands whose types are known; and variables made by
their first assignment. check_expression.py finds the operands and calls these.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NoReturn

from dlang import ast
from dlang.actions import argument_count, prototype_mismatch
from dlang.check_operator import add, assignable, decayed, held, in_memory, in_variable, stride_of
from dlang.diagnostics import CompileError, fail, unsupported
from dlang.names import Names
from dlang.program import (
    AddressOf,
    AssociativeArray,
    CharacterAt,
    Constant,
    Element,
    Load,
    Memory,
    Part,
    Place,
    Scope,
    Temporary,
    Value,
    Variable,
    root,
)
from dlang.source import Span
from dlang.types import (
    CHAR,
    STRING,
    ArrayType,
    DynamicType,
    FunctionType,
    IntegerType,
    PointerType,
    RecordType,
    StringType,
    Type,
    VoidType,
    find_member,
    is_incomplete,
    is_text,
    stored_size,
)

_MOST: Final = {Scope.GLOBAL: 1 << 20, Scope.THREAD: 1 << 15, Scope.CLAUSE: 1 << 14}
"""Bytes that the variables of a scope can take together: what the engines have room for."""


# --- variables and arrays -----------------------------------------------------------------------------------


def declare(scope: Scope, name: str, type_: Type, names: Names, span: Span) -> Variable:
    """Make a variable."""
    if names.sizes[scope] + stored_size(type_, names.string_size) > _MOST[scope]:
        unsupported(span, f"more than {_MOST[scope]} bytes of {scope.value or 'global '}variables")
    return names.declare(scope, name, type_)


def no_local_array(name: str, span: Span) -> NoReturn:
    fail("D_ARR_LOCAL", span, f"local variables may not be used as associative arrays: {name}")


def declare_array(
    scope: Scope, name: str, type_: Type, key_types: tuple[Type, ...], names: Names, span: Span
) -> AssociativeArray:
    """Make an associative array."""
    if scope is Scope.CLAUSE:
        no_local_array(name, span)
    size = sum(stored_size(key, names.string_size) for key in key_types)
    if max(size, stored_size(type_, names.string_size)) > _MOST[Scope.CLAUSE]:
        unsupported(span, f"keys or elements of more than {_MOST[Scope.CLAUSE]} bytes")
    return names.declare_array(scope, name, type_, key_types)


def type_assigned(value: Value) -> Type:
    """Return the type that a new variable gets of its first value."""
    return STRING if isinstance(value.type, ArrayType) and is_text(value.type) else decayed(value).type


def element(array: AssociativeArray, keys: Sequence[Value], node: ast.Index) -> Element:
    """Return `array[keys]`, where the keys fit."""
    return Element(array.type, array, converted_keys(array.name, array.key_types, keys, node), node.span)


def converted_keys(
    name: str, expected: Sequence[Type], keys: Sequence[Value], node: ast.Index
) -> tuple[Value, ...]:
    """Return the keys of `name[keys]`, each as the type that is expected."""
    name = f"{name}[ ]"
    if len(keys) != len(expected):
        argument_count(name, len(keys), len(expected), len(expected), node.span, "key")
    converted = []
    for number, (key, wanted, key_node) in enumerate(zip(keys, expected, node.indices, strict=True), 1):
        try:
            converted.append(held(assignable(key, wanted, "=", key_node)))
        except CompileError:
            prototype_mismatch(name, number, str(wanted), key.type, key_node.span, "key")
    return tuple(converted)


def key_type(key: Value, number: int, kind: str, span: Span) -> Type:
    """Return the type of a new array's key."""
    if isinstance(key.type, VoidType | DynamicType):
        message = f"{key.type} expression may not be used as {kind} index: key #{number}"
        fail("D_KEY_TYPE", span, message)
    return type_assigned(key)


# --- pointers, arrays, structures ---------------------------------------------------------------------------


def dereference(pointer: Value, node: ast.Expression) -> Value:
    """Return `*pointer`."""
    if isinstance(pointer.type, ArrayType) and not in_memory_value(pointer):
        return index(pointer, Constant(CHAR, 0), node)
    pointer = decayed(pointer)
    if not isinstance(pointer.type, PointerType):
        fail("D_DEREF_NONPTR", node.span, "cannot dereference non-pointer type")
    target = pointer.type.target
    match target:
        case VoidType():
            fail("D_DEREF_VOID", node.span, "cannot dereference pointer to void")
        case FunctionType():
            fail("D_DEREF_FUNC", node.span, "cannot dereference pointer to function")
    if is_incomplete(target):
        words = f"operator * cannot be applied to a forward declaration: no {target} definition is available"
        fail("D_OP_INCOMPLETE", node.span, words)
    return Load(target, Memory(target, pointer, node.span))


def in_memory_value(value: Value) -> bool:
    return isinstance(value, Load) and in_memory(value.place)


def index(base: Value, offset: Value, node: ast.Expression) -> Value:
    """Return `base[offset]` of an array, a pointer or a string."""
    if isinstance(base.type, StringType) and isinstance(offset.type, IntegerType):
        return CharacterAt(CHAR, base, offset, node.span)
    if isinstance(base, Load) and isinstance(base.type, ArrayType):
        array = base.type
        if not isinstance(offset.type, IntegerType):
            fail("D_ARR_BADREF", node.span, f"cannot access {_shown(base)} as an associative array")
        if isinstance(offset, Constant) and not 0 <= offset.value < array.length:
            words = f"index outside array bounds: {offset.value % (1 << 64)}, max is {array.length}"
            fail("D_ARR_BOUNDS", node.span, words)
        part = Part(
            array.element,
            base.place,
            0,
            node.span,
            index=offset,
            length=array.length,
            stride=array.stride,
        )
        if isinstance(offset, Constant):
            part = Part(array.element, base.place, offset.value * array.stride, node.span)
        return Load(array.element, part)
    if not isinstance(base.type, PointerType):
        fail("D_DEREF_NONPTR", node.span, "cannot dereference non-pointer type")
    return dereference(add("+", base, offset, node), node)


def not_an_array(base: Value, node: ast.Index) -> NoReturn:
    """Raise for several indices on what has no keys."""
    fail("D_ARR_BADREF", node.span, f"cannot access {_shown(base)} as an associative array")


def _shown(value: Value) -> str:
    """Return a value's name as messages give it."""
    match value:
        case Load(place=Variable(name=name, scope=scope)):
            return f"scalar {scope.value}{name}"
        case Constant(value=number):
            return f"integer constant {number:#x}"
        case Load(place=Memory()):
            return "operator *"
        case Load(place=Part()):
            return "operator ."
    return "operator ()"


def member(base: Value, node: ast.Member) -> Value:
    """Return `base.name` or `base->name`."""
    arrow, span = node.arrow, node.span
    if arrow == "->":
        base = decayed(base)
        if not isinstance(base.type, PointerType):
            fail("D_OP_PTR", span, "operator -> must be applied to a pointer")
        target = base.type.target
        if not isinstance(target, RecordType):
            words = "must be applied to a struct or union pointer"
            fail("D_OP_SOU", span, f'operator -> cannot be applied to pointer to type "{target}"; {words}')
        place: Place = Memory(target, base, span)
    else:
        if not isinstance(base.type, RecordType):
            words = "must be applied to a struct or union"
            hint = "for a pointer: ->" if isinstance(base.type, PointerType) else ""
            fail("D_OP_SOU", span, f'operator . cannot be applied to type "{base.type}"; {words}', hint)
        target = base.type
        place = base.place if isinstance(base, Load) else Temporary(target, base)
    if target.layout is None:
        words = f"no {target} definition is available"
        fail("D_OP_INCOMPLETE", span, f"operator {arrow} cannot be applied to a forward declaration: {words}")
    found = find_member(target, node.name)
    if found is None:
        fail("D_TYPE_MEMBER", span, f"{node.name} is not a member of {target}")
    return Load(found.type, Part(found.type, place, found.offset, span, found.bits))


def address_of(operand: Value, node: ast.Unary) -> Value:
    """Return `&operand`, which must be in the firing's own memory, or a part of a variable that is there always."""
    match operand:
        case Load(place=Part(bits=bits)) if bits is not None:
            fail("D_ADDROF_BITFIELD", node.span, "cannot take address of bit-field")
        case Load(place=place) if in_memory(place) or (isinstance(place, Part) and in_variable(place)):
            return AddressOf(PointerType(operand.type), place)
        case Load():
            fail("D_ADDROF_VAR", node.span, "cannot take address of dynamic variable")
    fail("D_ADDROF_LVAL", node.span, "unacceptable operand for unary & operator")


def modifiable(value: Value, operator: str, node: ast.Expression) -> Place:
    """Return the place of an lvalue; raises for what can't be assigned to."""
    if not isinstance(value, Load) or isinstance(root(value.place), Temporary):
        fail("D_OP_LVAL", node.span, f"operator {operator} requires modifiable lvalue as an operand")
    return value.place


def check_not_array(type_: Type, operator: str, node: ast.Expression) -> None:
    """Raise for an assignment to a whole array."""
    if isinstance(type_, ArrayType):
        message = f'operator {operator} may not be applied to operand of type "{type_}"'
        fail("D_OP_ARRFUN", node.span, message)


def step_amount(type_: Type, operator: str, node: ast.Expression) -> int:
    """Return what `++` adds to a value of this type."""
    match type_:
        case IntegerType():
            return 1
        case PointerType(target=target):
            stride = stride_of(target)
            if not stride:
                fail("D_OP_VFPTR", node.span, f"operator {operator} requires an operand of known size")
            return stride
    fail("D_OP_SCALAR", node.span, f"operator {operator} requires operand of scalar type")
