"""tracemem() and print(): what they record of memory. `ast.Call` to the values that check_action.py gives places."""

from __future__ import annotations

from dlang import ast
from dlang.actions import prototype_mismatch
from dlang.check_expression import check_expression
from dlang.check_operator import decayed, pointed_to
from dlang.diagnostics import fail, unsupported
from dlang.layout import RECORDED_LIMIT
from dlang.names import Names
from dlang.program import Constant, Load, Memory, Part, Value
from dlang.types import (
    UNSIGNED_CHAR,
    VOID_POINTER,
    ArrayType,
    IntegerType,
    PointerType,
    StringType,
    size_of,
)


def memory(node: ast.Call, names: Names) -> tuple[Value, Value | None]:
    """Return the bytes that `tracemem(address, size[, shown])` records, and how many are to be shown."""
    argument = node.arguments[0]
    value = check_expression(argument, names)
    size = check_expression(node.arguments[1], names)
    if not isinstance(size.type, IntegerType):
        prototype_mismatch("tracemem( )", 2, "size_t", size.type, node.arguments[1].span)
    if not isinstance(value.type, IntegerType | PointerType | ArrayType):
        lines = "tracemem( ) argument #1 is incompatible with prototype:\n\tprototype: pointer or integer"
        fail("D_TRACEMEM_ADDR", argument.span, f"{lines}\n\t argument: {value.type}")
    if not isinstance(size, Constant) or size.value <= 0:
        message = "tracemem( ) argument #2 must be a non-zero positive integral constant expression"
        fail("D_TRACEMEM_SIZE", node.arguments[1].span, message)
    if size.value > RECORDED_LIMIT:
        unsupported(node.arguments[1].span, f"tracemem( ) of more than {RECORDED_LIMIT} bytes")
    whole = ArrayType(UNSIGNED_CHAR, size.value, 1)
    address = decayed(value)
    if not isinstance(address.type, ArrayType):
        bytes_ = Load(whole, Memory(whole, address, argument.span))
    elif isinstance(address, Load) and size.value <= address.type.size:
        bytes_ = Load(whole, Part(whole, address.place, 0, argument.span))
    else:
        unsupported(argument.span, "tracemem( ) of more than an array has")
    if len(node.arguments) == 2:
        return bytes_, None
    shown = check_expression(node.arguments[2], names)
    if not isinstance(shown.type, IntegerType):
        prototype_mismatch("tracemem( )", 3, "size_t", shown.type, node.arguments[2].span)
    return bytes_, shown


def printed(node: ast.Call, names: Names) -> tuple[Value, Value]:
    """Return the address that `print(pointer)` shows, and the value there."""
    argument = node.arguments[0]
    pointer = pointed_to(check_expression(argument, names))
    if not isinstance(pointer.type, PointerType):
        prototype_mismatch("print( )", 1, str(VOID_POINTER), pointer.type, argument.span)
    target = pointer.type.target
    size = size_of(target, names.string_size)
    if not size or isinstance(target, StringType):
        words = f"reference has type '{target}' with size 0; cannot print( ) it."
        fail("D_PRINT_SIZE", argument.span, f"print( ) argument #1 {words}")
    if size > RECORDED_LIMIT:
        unsupported(argument.span, f"print( ) of more than {RECORDED_LIMIT} bytes")
    return pointer, Load(target, Memory(target, pointer, argument.span))
