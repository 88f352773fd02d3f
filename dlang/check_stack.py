"""ustack(), usym() and their like: actions that are also keys of aggregations, and ustack() a value. `ast.Call` to what
they record. check_expression.py, which has their arguments checked, calls this as well, and so is given as `check`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from dlang import ast
from dlang.actions import prototype_mismatch
from dlang.diagnostics import fail
from dlang.lower_stack import MOST_FRAMES
from dlang.names import Names
from dlang.program import Constant, UserStack, UserSymbol, Value
from dlang.types import IntegerType, PointerType, StackType, SymbolPart, SymbolType

Check = Callable[[ast.Expression, Names], Value]

_PARTS: Final = {
    "uaddr": SymbolPart.ADDRESS,
    "usym": SymbolPart.FUNCTION,
    "ufunc": SymbolPart.FUNCTION,
    "umod": SymbolPart.OBJECT,
}


def recorded(node: ast.Call, names: Names, check: Check) -> Value:
    """Return what a call of one of actions.RECORDING records; the number of its arguments was checked."""
    names.records_addresses = True
    if node.function.name == "ustack":
        frames = _frames(node, names, check)
        return UserStack(StackType(frames), frames)
    argument = node.arguments[0]
    address = check(argument, names)
    if not isinstance(address.type, IntegerType | PointerType):
        prototype_mismatch(f"{node.function.name}( )", 1, "uintptr_t", address.type, argument.span)
    return UserSymbol(SymbolType(_PARTS[node.function.name]), address)


def stack_value(node: ast.Call, names: Names, check: Check) -> UserStack:
    """Return ustack() as a value of the one type that stacks have as such: with room for as many frames as can be."""
    names.records_addresses = True
    return UserStack(StackType(_most(names)), _frames(node, names, check))


def _most(names: Names) -> int:
    return max(min(names.most_frames, MOST_FRAMES), 1)


def _frames(node: ast.Call, names: Names, check: Check) -> int:
    """Return how many frames are asked for, as far as there can be so many.

    The second argument is for programs of illumos, which make room by it for names that a runtime other than C's
    gives its frames; there is none here that does.
    """
    frames = names.stack_frames
    if node.arguments:
        given = _argument(node, 1, names, check)
        if not isinstance(given, Constant) or given.value <= 0:
            message = "ustack( ) argument #1 must be a non-zero positive integer constant"
            fail("D_USTACK_FRAMES", node.arguments[0].span, message)
        frames = given.value
    if len(node.arguments) > 1:
        given = _argument(node, 2, names, check)
        if not isinstance(given, Constant) or given.value < 0:
            message = "ustack( ) argument #2 must be a positive integer constant"
            fail("D_USTACK_STRSIZE", node.arguments[1].span, message)
    return max(min(frames, _most(names)), 1)


def _argument(node: ast.Call, number: int, names: Names, check: Check) -> Value:
    """Return an argument of ustack(), an integer."""
    argument = node.arguments[number - 1]
    given = check(argument, names)
    if not isinstance(given.type, IntegerType):
        prototype_mismatch("ustack( )", number, "uint32_t", given.type, argument.span)
    return given
