"""Which values are pointers into a clause's own memory, as alloca() and copyin() give them, and what that forbids.

DTrace tells such pointers from others while it compiles: a variable holds the one kind or the other, whatever its
type, and what writes to memory takes the one kind only. Source: dtrace-utils, D_ALLOCA_INCOMPAT.
"""

from __future__ import annotations

from dlang import ast
from dlang.check_operator import is_zero
from dlang.diagnostics import fail
from dlang.names import Names
from dlang.program import (
    AddressOf,
    Allocate,
    Arithmetic,
    AssociativeArray,
    Choice,
    Constant,
    Convert,
    CopyIn,
    Element,
    Load,
    Memory,
    Place,
    Scope,
    Sequence,
    Step,
    Store,
    UnaryValue,
    Update,
    Value,
    Variable,
    root,
)
from dlang.source import Span
from dlang.types import PointerType

_SCALAR_SIZE = 1 << 64


def is_own(value: Value, names: Names) -> bool:
    """Say whether a value points into the clause's own memory, or was computed from what does."""
    match value:
        case Allocate() | CopyIn():
            return True
        case Load(place=place) | Step(place=place) | Update(place=place):
            key = _key(place)
            return key is not None and names.own.get(key, False)
        case AddressOf(place=place):
            whole = root(place)
            return isinstance(whole, Memory) and is_own(whole.pointer, names)
        case Arithmetic(left=left, right=right):
            distance = isinstance(left.type, PointerType) and isinstance(right.type, PointerType)
            return not distance and (is_own(left, names) or is_own(right, names))
        case Convert(operand=last) | UnaryValue(operand=last) | Sequence(right=last) | Store(value=last):
            return is_own(last, names)
        case Choice(then=then, otherwise=otherwise):
            return is_own(then, names) or is_own(otherwise, names)
    return False


def _key(place: Place) -> tuple[Scope, str] | None:
    holder: Variable | AssociativeArray
    match place:
        case Variable():
            holder = place
        case Element(array=array):
            holder = array
        case _:
            return None
    return holder.scope, holder.name


def note_assignment(place: Place, value: Value, node: ast.Expression, names: Names) -> None:
    """Note what a variable, or the elements of an array, hold; raises where that is of another kind than before."""
    if isinstance(value, Choice) and is_own(value.then, names) != is_own(value.otherwise, names):
        words = "ternary conditional with alloca and non-alloca branches cannot be assigned to a variable"
        fail("D_ALLOCA_INCOMPAT", node.span, words)
    key = _key(place)
    if key is None or is_zero(value):
        return
    own = is_own(value, names)
    if names.own.setdefault(key, own) != own:
        words = "cannot reuse the same identifier for both alloca and non-alloca allocations"
        fail("D_ALLOCA_INCOMPAT", node.span, f"{key[1]}: {words}")


def check_destination(name: str, number: int, value: Value, span: Span, names: Names) -> None:
    """Raise for an argument that is to be written to and does not point into the clause's own memory."""
    if not is_own(value, names):
        kinds = "prototype: alloca pointer\n\t argument: non-alloca pointer"
        fail("D_PROTO_ARG", span, f"{name} argument #{number} is incompatible with prototype:\n\t{kinds}")


def check_size(size: Value, node: ast.Expression, names: Names) -> None:
    """Raise for a constant size that alloca() or copyin() never have room for."""
    if isinstance(size, Constant) and size.value % _SCALAR_SIZE > names.scratch_limit > 0:
        wanted = size.value % _SCALAR_SIZE
        message = f"alloca({wanted}) size larger than scratchsize {names.scratch_limit}"
        fail(
            "D_ALLOCA_SIZE",
            node.span,
            message,
            "option scratchsize: -x scratchsize=SIZE, or #pragma D option",
        )
