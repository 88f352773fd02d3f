"""ustack(), usym() and their like: actions that are also keys of aggregations. `ast.Call` to what they record."""

from __future__ import annotations

from typing import Final

from dlang import ast
from dlang.actions import prototype_mismatch
from dlang.check_expression import check_expression
from dlang.diagnostics import fail
from dlang.lower_stack import MOST_FRAMES
from dlang.names import Names
from dlang.program import Constant, UserStack, UserSymbol, Value
from dlang.types import IntegerType, PointerType, StackType, SymbolPart, SymbolType

_PARTS: Final = {
    "uaddr": SymbolPart.ADDRESS,
    "usym": SymbolPart.FUNCTION,
    "ufunc": SymbolPart.FUNCTION,
    "umod": SymbolPart.OBJECT,
}


def recorded(node: ast.Call, names: Names) -> Value:
    """Return what a call of one of actions.RECORDING records; the number of its arguments was checked."""
    names.records_addresses = True
    if node.function.name == "ustack":
        return _stack(node, names)
    argument = node.arguments[0]
    address = check_expression(argument, names)
    if not isinstance(address.type, IntegerType | PointerType):
        prototype_mismatch(f"{node.function.name}( )", 1, "uintptr_t", address.type, argument.span)
    return UserSymbol(SymbolType(_PARTS[node.function.name]), address)


def _stack(node: ast.Call, names: Names) -> UserStack:
    """Return a stack of the frames that were asked for, as far as there can be so many.

    The second argument is for programs of illumos, which make room by it for names that a runtime other than C's
    gives its frames; there is none here that does.
    """
    frames = names.stack_frames
    if node.arguments:
        given = _frames(node, 1, names)
        if not isinstance(given, Constant) or given.value <= 0:
            message = "ustack( ) argument #1 must be a non-zero positive integer constant"
            fail("D_USTACK_FRAMES", node.arguments[0].span, message)
        frames = given.value
    if len(node.arguments) > 1:
        given = _frames(node, 2, names)
        if not isinstance(given, Constant) or given.value < 0:
            message = "ustack( ) argument #2 must be a positive integer constant"
            fail("D_USTACK_STRSIZE", node.arguments[1].span, message)
    return UserStack(StackType(max(min(frames, names.most_frames, MOST_FRAMES), 1)))


def _frames(node: ast.Call, number: int, names: Names) -> Value:
    """Return an argument of ustack(), an integer."""
    argument = node.arguments[number - 1]
    given = check_expression(argument, names)
    if not isinstance(given.type, IntegerType):
        prototype_mismatch("ustack( )", number, "uint32_t", given.type, argument.span)
    return given
