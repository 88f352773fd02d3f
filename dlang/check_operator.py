"""Operators and conversions on values whose types are known: what DTrace allows, result types, constants folded.

check_expression.py finds the operands and calls these; what can be assigned to is check_place.py's.
"""

from __future__ import annotations

from typing import Final, NoReturn

from dlang import ast
from dlang.diagnostics import fail
from dlang.program import (
    AddressOf,
    Arithmetic,
    ArrayText,
    Choice,
    Comparison,
    Constant,
    Convert,
    Load,
    Logical,
    Memory,
    NullString,
    Place,
    PointedString,
    Scope,
    StringSuffix,
    UnaryValue,
    Value,
    Variable,
    root,
)
from dlang.types import (
    INT,
    LONG,
    STRING,
    UNSIGNED_LONG,
    ArrayType,
    FunctionType,
    IntegerType,
    PointerType,
    RecordType,
    StackType,
    StringType,
    Type,
    VoidType,
    common_type,
    is_signed,
    is_text,
    wrap,
)

_INTEGRAL: Final = frozenset(["%", "&", "|", "^", "<<", ">>"])


def is_scalar(value: Value) -> bool:
    """Say whether a value can be a truth value: an integer or a pointer (a string can't)."""
    return isinstance(value.type, IntegerType | PointerType)


def is_zero(value: Value) -> bool:
    """Say whether a value is a constant 0, which is a null pointer."""
    return isinstance(value, Constant) and value.value == 0


def stride_of(type_: Type) -> int:
    """Return the bytes from one element to the next behind a pointer to this type; 0 where it can't be counted with."""
    match type_:
        case VoidType() | FunctionType() | StringType():
            return 0
        case _:
            return type_.size


def decayed(value: Value) -> Value:
    """Return an array in the firing's own memory as the pointer to its first element; other values as they are."""
    match value:
        case Load(type=ArrayType(element=element), place=place) if in_memory(place):
            return AddressOf(PointerType(element), place)
    return value


def pointed_to(value: Value) -> Value:
    """Return an array of a variable, too, as the pointer to its first element."""
    match value:
        case Load(type=ArrayType(element=element), place=place) if in_variable(place):
            return AddressOf(PointerType(element), place)
    return decayed(value)


def in_variable(place: Place) -> bool:
    """Say whether a place is in memory that a global or clause-local variable has."""
    variable = root(place)
    return isinstance(variable, Variable) and variable.scope is not Scope.THREAD


def in_memory(place: Place) -> bool:
    """Say whether a place is reached through a pointer, so that pointers to it can be had."""
    return isinstance(root(place), Memory)


# --- unary operators ----------------------------------------------------------------------------------------


def fold_unary(value: UnaryValue) -> Value:
    if not isinstance(value.operand, Constant):
        return value
    number = value.operand.value
    result = {"-": -number, "~": ~number, "!": int(not number)}[value.operator]
    return Constant(value.type, wrap(result, LONG if is_signed(value.type) else UNSIGNED_LONG))


# --- binary operators ---------------------------------------------------------------------------------------


def arithmetic(operator: str, left: Value, right: Value, node: ast.Expression) -> Value:
    """Return `left operator right` for `+ - * / % & | ^ << >>`."""
    if operator in ("+", "-"):
        return add(operator, left, right, node)
    if not isinstance(left.type, IntegerType) or not isinstance(right.type, IntegerType):
        tag, kind = ("D_OP_INT", "integral") if operator in _INTEGRAL else ("D_OP_ARITH", "arithmetic")
        fail(tag, node.span, f"operator {operator} requires operands of {kind} type")
    if operator in ("/", "%") and isinstance(right, Constant) and right.value == 0:
        fail("D_DIV_ZERO", node.span, "expression contains division by zero")
    shift = operator in ("<<", ">>")
    type_ = left.type if shift else common_type(left.type, right.type)
    return _fold_arithmetic(Arithmetic(type_, operator, left, right, node.span))


def add(operator: str, left: Value, right: Value, node: ast.Expression) -> Value:
    """Return a sum or difference: of integers, of a pointer and elements, or between two pointers."""
    left, right = pointed_to(left), pointed_to(right)
    match left.type, right.type:
        case IntegerType(), IntegerType():
            type_: Type = common_type(left.type, right.type)
            return _fold_arithmetic(Arithmetic(type_, operator, left, right, node.span))
        case StringType(), IntegerType() if operator == "+":
            return StringSuffix(STRING, left, right)
        case IntegerType(), StringType() if operator == "+":
            return StringSuffix(STRING, right, left)
        case (PointerType(target=target), IntegerType()) if stride := stride_of(target):
            amount = _scaled(right, stride, node)
            return Arithmetic(left.type, operator, left, amount, node.span)
        case IntegerType(), PointerType(target=target) if operator == "+":
            if stride := stride_of(target):
                return Arithmetic(right.type, "+", right, _scaled(left, stride, node), node.span)
        case PointerType(target=target), PointerType(target=other) if operator == "-":
            if (stride := stride_of(target)) and same_type(target, other):
                bytes_ = Arithmetic(LONG, "-", left, right, node.span)
                return Arithmetic(LONG, "/", bytes_, Constant(LONG, stride), node.span)
    incompatible(operator, left, right, node)


def check_compound(operator: str, left: Type, right: Value, node: ast.Expression) -> None:
    """Raise for types that `left operator right` is not defined for, where the operator is `+=` or its like."""
    integers = isinstance(left, IntegerType) and isinstance(right.type, IntegerType)
    if operator in ("*=", "/=") and not integers:
        fail("D_OP_ARITH", node.span, f"operator {operator} requires operands of arithmetic type")
    if operator not in ("+=", "-=", "*=", "/=") and not integers:
        fail("D_OP_INT", node.span, f"operator {operator} requires operands of integral type")
    text = isinstance(left, StringType) or isinstance(right.type, StringType)
    if not text and not integers and not (isinstance(left, PointerType) and stride_of(left.target)):
        words = "requires left-hand scalar operand of known size"
        fail("D_OP_VFPTR", node.span, f"operator {operator} {words}")
    if text or not isinstance(right.type, IntegerType):
        message = f'operands have incompatible types: "{left}" {operator} "{right.type}"'
        fail("D_OP_INCOMPAT", node.span, message)


def _scaled(value: Value, size: int, node: ast.Expression) -> Value:
    return _fold_arithmetic(Arithmetic(LONG, "*", value, Constant(LONG, size), node.span))


def incompatible(operator: str, left: Value, right: Value, node: ast.Expression) -> NoReturn:
    message = f'operands have incompatible types: "{left.type}" {operator} "{right.type}"'
    fail("D_OP_INCOMPAT", node.span, message)


def _fold_arithmetic(value: Arithmetic) -> Value:
    """Return the constant that both constant operands make, computed as the engines compute: on 64 bits."""
    if not isinstance(value.left, Constant) or not isinstance(value.right, Constant):
        return value
    signed = is_signed(value.type)
    whole = LONG if signed else UNSIGNED_LONG
    left, right = wrap(value.left.value, whole), wrap(value.right.value, whole)
    match value.operator:
        case "+":
            result = left + right
        case "-":
            result = left - right
        case "*":
            result = left * right
        case "/" | "%":
            quotient = abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1)
            result = quotient if value.operator == "/" else left - quotient * right
        case "&":
            result = left & right
        case "|":
            result = left | right
        case "^":
            result = left ^ right
        case "<<":
            result = left << (right & 63)
        case _:
            # Without the sign, as DTrace's compiler does it; its run-time code keeps the sign.
            result = wrap(left, UNSIGNED_LONG) >> (right & 63)
    return Constant(value.type, wrap(result, whole))


def fold_logical(value: Logical) -> Value:
    if not isinstance(value.left, Constant) or not isinstance(value.right, Constant):
        return value
    left, right = bool(value.left.value), bool(value.right.value)
    result = {"&&": left and right, "||": left or right, "^^": left != right}[value.operator]
    return Constant(INT, int(result))


def comparison(operator: str, left: Value, right: Value, node: ast.Expression) -> Value:
    """Return `left operator right` for the six comparisons; strings compare with all that is text."""
    if isinstance(left.type, StringType) or isinstance(right.type, StringType):
        return _string_comparison(operator, left, right, node)
    left, right = pointed_to(left), pointed_to(right)
    match left.type, right.type:
        case IntegerType(), IntegerType():
            signed = common_type(left.type, right.type).signed
        case PointerType(), PointerType() if compatible_pointers(left.type, right.type):
            signed = False
        case (PointerType(), IntegerType()) if is_zero(right):
            signed = False
        case (IntegerType(), PointerType()) if is_zero(left):
            signed = False
        case _:
            incompatible(operator, left, right, node)
    if isinstance(left, Constant) and isinstance(right, Constant):
        whole = LONG if signed else UNSIGNED_LONG
        return Constant(INT, int(_COMPARE[operator](wrap(left.value, whole), wrap(right.value, whole))))
    return Comparison(INT, operator, left, right, signed)


def _string_comparison(operator: str, left: Value, right: Value, node: ast.Expression) -> Value:
    sides = []
    for side in (left, right):
        text = as_text(side, node)
        if text is None:
            incompatible(operator, left, right, node)
        sides.append(text)
    return Comparison(INT, operator, sides[0], sides[1], False)


_COMPARE: Final = {
    "==": int.__eq__,
    "!=": int.__ne__,
    "<": int.__lt__,
    "<=": int.__le__,
    ">": int.__gt__,
    ">=": int.__ge__,
}


def compatible_pointers(left: PointerType, right: PointerType) -> bool:
    """Say whether C lets one pointer stand for the other: `void *` for any."""
    void = isinstance(left.target, VoidType) or isinstance(right.target, VoidType)
    return void or same_type(left.target, right.target)


def same_type(left: Type, right: Type) -> bool:
    """Say whether two types are one, whatever the names that typedefs give them."""
    match left, right:
        case IntegerType(), IntegerType():
            return (left.size, left.signed) == (right.size, right.signed)
        case PointerType(target=first), PointerType(target=second):
            return same_type(first, second)
        case ArrayType(element=first), ArrayType(element=second):
            return left.size == right.size and same_type(first, second)
    return left == right


def choice(condition: Value, then: Value, otherwise: Value, node: ast.Conditional) -> Value:
    """Return `condition ? then : otherwise`."""
    if not is_scalar(condition):
        fail("D_OP_SCALAR", node.span, "operator ?: expression must be of scalar type")
    then, otherwise = pointed_to(then), pointed_to(otherwise)
    match then.type, otherwise.type:
        case IntegerType(), IntegerType():
            type_: Type = common_type(then.type, otherwise.type)
        case (StringType(), _) | (_, StringType()):
            texts = as_text(then, node), as_text(otherwise, node)
            if texts[0] is None or texts[1] is None:
                fail("D_OP_INCOMPAT", node.span, "operator ?: operands must have compatible types")
            return Choice(STRING, condition, texts[0], texts[1])
        case PointerType(), PointerType() if compatible_pointers(then.type, otherwise.type):
            type_ = then.type
        case (PointerType(), IntegerType()) if is_zero(otherwise):
            type_ = then.type
        case (IntegerType(), PointerType()) if is_zero(then):
            type_ = otherwise.type
        case (RecordType(), RecordType()) if then.type is otherwise.type:
            type_ = then.type
        case _:
            fail("D_OP_INCOMPAT", node.span, "operator ?: operands must have compatible types")
    return Choice(type_, condition, then, otherwise)


# --- assignment, conversion ---------------------------------------------------------------------------------


def assignable(value: Value, type_: Type, operator: str, node: ast.Expression) -> Value:
    """Return the value converted to the type of the place that it is assigned to."""
    if isinstance(type_, StringType):
        text = as_text(value, node)
        if text is not None:
            return text
    value = pointed_to(value) if isinstance(type_, PointerType) else decayed(value)
    match type_, value.type:
        case IntegerType(), IntegerType():
            return convert(value, type_)
        case (PointerType(), PointerType()) if compatible_pointers(type_, value.type):
            return value
        case (PointerType(), IntegerType()) if is_zero(value):
            return convert(value, type_)
        case (RecordType(), RecordType()) if type_ is value.type:
            return value
        case (StackType(), StackType()) if type_ == value.type:
            return value
    message = f'operands have incompatible types: "{type_}" {operator} "{value.type}"'
    fail("D_OP_INCOMPAT", node.span, message)


def as_text(value: Value, node: ast.Expression) -> Value | None:
    """Return a string, an array or a pointer of characters, or NULL as a string; None for anything else."""
    if is_zero(value) or not is_text(value.type):
        return NullString(STRING) if is_zero(value) else None
    return to_string(value, node)


def convert(value: Value, type_: Type) -> Value:
    """Return an integer or pointer as a value of another integer or pointer type."""
    if isinstance(value, Constant):
        whole = type_ if isinstance(type_, IntegerType) else UNSIGNED_LONG
        return Constant(type_, wrap(value.value, whole))
    return value if value.type == type_ else Convert(type_, value)


def held(value: Value) -> Value:
    """Return a key as its type holds it, where it is what arithmetic on 64 bits left."""
    type_ = value.type
    if not isinstance(type_, IntegerType) or type_.size == 8 or isinstance(value, Load):
        return value
    return Constant(type_, wrap(value.value, type_)) if isinstance(value, Constant) else Convert(type_, value)


def to_string(value: Value, node: ast.Expression) -> Value:
    """Return `(string)value`: a string as it is, or the characters that an address points to."""
    match value.type:
        case StringType():
            return value
        case PointerType() | IntegerType():
            return PointedString(STRING, value, node.span)
        case ArrayType() if is_text(value.type) and isinstance(value, Load):
            return ArrayText(STRING, value.place)
    fail("D_STRINGOF_TYPE", node.span, f"cannot apply stringof to a value of type {value.type}")
