"""Expressions: names resolved, types checked, constants folded. `ast.Expression` to `program.Value`.

The messages are DTrace's (libdtrace's error tags). Here the tree is descended; what its nodes mean is told by
check_operator.py, check_place.py and check_type.py. Actions and aggregations are in check_action.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Values
from typing import Final, NoReturn

from dlang import ast, builtins
from dlang.actions import (
    ACTIONS,
    KNOWN_BUT_NOT_COMPILED,
    NOT_IMPLEMENTED,
    RECORDING,
    SUBROUTINES,
    Function,
    argument_count,
    prototype_mismatch,
)
from dlang.aggregations import AggregatingFunction, Aggregation
from dlang.check_operator import (
    arithmetic,
    as_text,
    assignable,
    check_compound,
    choice,
    comparison,
    convert,
    decayed,
    fold_logical,
    fold_unary,
    is_scalar,
    is_zero,
    pointed_to,
    to_string,
)
from dlang.check_own import check_destination, check_size, note_assignment
from dlang.check_place import (
    address_of,
    check_not_array,
    converted_keys,
    declare,
    declare_array,
    dereference,
    element,
    index,
    key_type,
    member,
    modifiable,
    not_an_array,
    step_amount,
    type_assigned,
)
from dlang.check_stack import stack_value
from dlang.check_type import declared_type
from dlang.diagnostics import CompileError, Diagnostic, did_you_mean, fail, unsupported
from dlang.names import (
    KeyedInline,
    Names,
    character_constant,
    expand_macro,
    integer_constant,
)
from dlang.node import Node
from dlang.program import (
    Allocate,
    Constant,
    CopyBytes,
    CopyIn,
    CopyInString,
    CopyInto,
    Element,
    Load,
    Logical,
    Part,
    Register,
    Scope,
    Sequence,
    Step,
    Store,
    StringConstant,
    StringLength,
    SubroutineCall,
    UnaryValue,
    Update,
    Value,
    Variable,
)
from dlang.source import Span
from dlang.types import (
    INT,
    STRING,
    TYPEDEFS,
    VOID,
    VOID_POINTER,
    DynamicType,
    IntegerType,
    PointerType,
    RecordType,
    StackType,
    StringType,
    Type,
    VoidType,
    find_member,
    size_of,
)

_SCOPES: Final = {"self": Scope.THREAD, "this": Scope.CLAUSE}
_AGGREGATING: Final = frozenset(item.value for item in AggregatingFunction)
_COMPARISONS: Final = frozenset(["==", "!=", "<", "<=", ">", ">="])


def check_expression(node: ast.Expression, names: Names) -> Value:
    """Return the typed value of an expression; raises CompileError."""
    match node:
        case ast.Integer():
            return integer_constant(node)
        case ast.Character():
            return character_constant(node)
        case ast.Float():
            # Noticed while reading: there is no place in the clause yet.
            words = "floating-point constants are not permitted"
            raise CompileError(Diagnostic("D_SYNTAX", node.span, words, place=""))
        case ast.String(value=text):
            return StringConstant(STRING, text[: names.string_limit - 1].split(b"\0")[0])
        case ast.Macro():
            return check_expression(expand_macro(node, names), names)
        case ast.Name():
            return _name(node, names)
        case ast.ScopedName(scope=scope, name=name):
            variable = names.find(_SCOPES[scope], name)
            array = names.arrays.get((_SCOPES[scope], name))
            if array is not None:
                wanted = len(array.key_types)
                argument_count(f"{name}[ ]", 0, wanted, wanted, node.span, "key")
            if variable is None:
                fail("D_VAR_UNDEF", node.span, f"{scope}->{name} has not yet been declared or assigned")
            return Load(variable.type, variable)
        case ast.AggregationName():
            return _aggregation(node, names)
        case ast.Index():
            return _index(node, names)
        case ast.Member(base=base):
            return member(check_expression(base, names), node)
        case ast.Call():
            return _call(node, names)
        case ast.Unary():
            return _unary(node, names)
        case ast.Step():
            return _step(node, names)
        case ast.Binary():
            return _binary(node, names)
        case ast.Conditional(condition=condition, then=then, otherwise=otherwise):
            chooses = check_expression(condition, names)
            if isinstance(chooses, Constant):
                # Decided while parsing: what is not taken is not looked at (dt_node_op3).
                return check_expression(then if chooses.value else otherwise, names)
            values = check_expression(then, names), check_expression(otherwise, names)
            for branch, value in zip((then, otherwise), values, strict=True):
                _no_action(branch, "action cannot be used in a conditional context")
                if isinstance(value.type, DynamicType):
                    fail("D_OP_DYN", branch.span, "operator ?: operands cannot be of dynamic type")
            return choice(chooses, *values, node)
        case ast.Assignment():
            return _assignment(node, names)
        case ast.Cast():
            return _cast(node, names)
        case ast.SizeofType(type=type_name):
            return _size(named_type(type_name.type, type_name.declarator, names), node, names)
        case ast.Offsetof():
            return _offset(node, names)


def named_type(specifier: ast.TypeSpecifier, declarator: ast.Declarator, names: Names) -> Type:
    """Return the type that a specifier and a declarator name together."""
    return declared_type(specifier, declarator, names, lambda node: constant_expression(node, names))


def constant_expression(node: ast.Expression, names: Names) -> int | None:
    """Return the value of an integer constant expression, or None for any other expression."""
    value = check_expression(node, names)
    return value.value if isinstance(value, Constant) else None


def _aggregation(node: ast.AggregationName | ast.Index, names: Names) -> Value:
    """Return what stands for an aggregation in an expression: a value of no use, whatever is done to it."""
    if isinstance(node, ast.AggregationName):
        find_aggregation(node, names)
    words = "its value is known to printa() and at the end, when the parts of all processors are added up"
    error = Diagnostic("D_OP_INCOMPAT", node.span, "an aggregation may not be used as an operand", words)
    return _misplaced(DynamicType("aggregation"), error, names)


def _misplaced(type_: Type, error: Diagnostic, names: Names) -> Value:
    """Return a value of a type that few operators take. If all around it do, the error is raised in the end."""
    names.misplaced.append(error)
    return Sequence(type_, Constant(INT, 0), Constant(INT, 0))


def find_aggregation(node: ast.AggregationName, names: Names) -> Aggregation:
    """Return the aggregation of a name that some statement has assigned to; raises CompileError."""
    found = names.aggregations.get(node.name)
    if found is None:
        hint = did_you_mean(node.name, list(names.aggregations))
        fail("D_IDENT_UNDEF", node.span, f"failed to resolve @{node.name}: Unknown variable name", hint)
    return found


def check_count(row: Function, node: ast.Call, names: Names) -> None:
    """Raise where a call has not as many arguments as it needs; DTrace looks at each of them first."""
    try:
        row.check_count(len(node.arguments), node.span)
    except CompileError:
        check_each_argument(node, names)
        raise


def check_each_argument(node: ast.Call, names: Names) -> None:
    """Raise for an argument that is wrong whatever it is for."""
    for argument in node.arguments:
        if isinstance(argument, ast.AggregationName):
            find_aggregation(argument, names)
        else:
            check_expression(argument, names)


# --- names --------------------------------------------------------------------------------------------------


def _name(node: ast.Name, names: Names) -> Value:
    name = node.name
    if name in names.keys:
        return names.keys[name]
    variable = names.find(Scope.GLOBAL, name)
    if variable is not None:
        return Load(variable.type, variable)
    if name in names.inlines:
        # The expression itself, whatever type the inline was given.
        return with_keys(names.inlines[name].value, {}, names)
    known = builtins.VARIABLES.get(name) or names.constants.get(name)
    if known is not None:
        return known
    if name in builtins.NOT_COMPILED:
        unsupported(node.span, f"variable {name}")
    if name in ("uregs", "args") or (Scope.GLOBAL, name) in names.arrays or name in names.keyed_inlines:
        _array_as_scalar(name, node.span)
    kind = _kind_of_function(name)
    if kind:
        fail("D_IDENT_BADREF", node.span, f"{kind} '{name}' may not be referenced as scalar")
    if name in ("self", "this"):
        _scope_as_scalar(node)
    if "`" in name:
        of_kernel = name.startswith(("`", "vmlinux`"))
        words = "Unknown symbol name" if of_kernel else "Module is no longer loaded"
        fail(
            "D_IDENT_UNDEF", node.span, f"failed to resolve {name}: {words}", "the kernel's are out of reach"
        )
    if name == names.made:
        fail("D_VAR_UNDEF", node.span, f"{name} has not yet been declared or assigned")
    globals_ = [key for scope, key in names.variables if scope is Scope.GLOBAL]
    hint = did_you_mean(name, [*builtins.VARIABLES, *names.constants, *names.inlines, *globals_])
    fail("D_IDENT_UNDEF", node.span, f"failed to resolve {name}: Unknown variable name", hint)


def _array_as_scalar(name: str, span: Span) -> NoReturn:
    message = f"associative array '{name}' may not be referenced as scalar"
    fail("D_IDENT_BADREF", span, message, "for example: uregs[R_RAX]" if name == "uregs" else "")


def _scope_as_scalar(node: ast.Name) -> NoReturn:
    message = f"pointer '{node.name}' may not be referenced as scalar"
    fail("D_IDENT_BADREF", node.span, message, f"for example: {node.name}->x")


_SUBROUTINES_OF_DTRACE: Final = frozenset(["copyout", "copyoutstr", "stack", "ustack"])
"""Actions of ours that are subroutines there."""


def _kind_of_function(name: str) -> str:
    row = ACTIONS.get(name) or SUBROUTINES.get(name) or KNOWN_BUT_NOT_COMPILED.get(name)
    if row is not None:
        subroutine = row.result is not None or name in _SUBROUTINES_OF_DTRACE
        return "function" if subroutine else "tracing function"
    return "aggregating function" if name in {item.value for item in AggregatingFunction} else ""


def _index(node: ast.Index, names: Names) -> Value:
    match node.base:
        case ast.AggregationName():
            return _aggregation(node, names)
        case ast.Name(name="uregs"):
            return _register(node, names)
        case ast.Name(name="args"):
            _typed_argument(node, names)
        case ast.Name(name=name) if name in names.keyed_inlines:
            return _keyed_inline(names.keyed_inlines[name], node, name, names)
        case ast.Name(name=name) | ast.ScopedName(name=name) as base_node:
            scope = _scope_of(base_node)
            array = names.arrays.get((scope, name))
            if array is not None:
                place = element(array, [check_expression(key, names) for key in node.indices], node)
                return Load(place.type, place)
            if _is_new(base_node, names):
                message = f"{scope.value}{name} has not yet been declared or assigned"
                fail("D_VAR_UNDEF", node.span, message)
    base = check_expression(node.base, names)
    if len(node.indices) > 1:
        not_an_array(base, node)
    return index(base, check_expression(node.indices[0], names), node)


MOST_INLINED: Final = 1000
"""Operations that an inline may stand for."""


def _keyed_inline(inline: KeyedInline, node: ast.Index, name: str, names: Names) -> Value:
    """Return what `name[keys]` stands for. As in DTrace a key is evaluated wherever the inline names it."""
    keys = [check_expression(key, names) for key in node.indices]
    values = converted_keys(name, [type_ for _, type_ in inline.keys], keys, node)
    bound = {key: value for (key, _), value in zip(inline.keys, values, strict=True)}
    value = assignable(with_keys(inline.value, bound, names), inline.type, "=", node)
    if node_count(value) > MOST_INLINED:
        unsupported(node.span, f"an inline that stands for more than {MOST_INLINED} operations")
    return value


def with_keys(node: ast.Expression, keys: Mapping[str, Value], names: Names) -> Value:
    """Return the value of an inline's expression, in which its keys have these values."""
    around, names.keys = names.keys, keys
    try:
        return check_expression(node, names)
    finally:
        names.keys = around


def node_count(node: Node) -> int:
    """Count the nodes of a value; shared ones as often as they are used."""
    parts = vars(node).values()
    flat = [item for part in parts for item in (part if isinstance(part, tuple) else (part,))]
    return 1 + sum(node_count(item) for item in flat if isinstance(item, Node))


def _scope_of(node: ast.Name | ast.ScopedName) -> Scope:
    return Scope.GLOBAL if isinstance(node, ast.Name) else _SCOPES[node.scope]


def _is_new(node: ast.Name | ast.ScopedName, names: Names) -> bool:
    """Say whether a name means nothing yet, so that an assignment can make a variable of it."""
    scope = _scope_of(node)
    if scope is not Scope.GLOBAL:
        return (scope, node.name) not in names.variables and (scope, node.name) not in names.arrays
    return not names.is_taken(node.name) and not _kind_of_function(node.name) and "`" not in node.name


def _typed_argument(node: ast.Index, names: Names) -> NoReturn:
    """Raise for `args[n]`: no probe here has typed arguments."""
    span = node.span
    if names.probe is None:
        fail("D_ARGS_NONE", span, "args[ ] may not be referenced outside of a probe clause")
    if len(node.indices) != 1:
        passed = f"{len(node.indices)} args"
        fail("D_PROTO_LEN", span, f"args[ ] prototype mismatch: {passed} passed, 1 expected")
    number = check_expression(node.indices[0], names)
    if not isinstance(number, Constant):
        prototype_mismatch("args[ ]", 1, "integer constant", number.type, node.indices[0].span)
    message = f"index {number.value} is out of range for {names.probe} args[ ]"
    fail("D_ARGS_IDX", span, message, f"untyped: arg{number.value}" if 0 <= number.value < 10 else "")


def _register(node: ast.Index, names: Names) -> Value:
    if len(node.indices) != 1:
        passed = f"{len(node.indices)} args"
        fail("D_PROTO_LEN", node.span, f"uregs[ ] prototype mismatch: {passed} passed, 1 expected")
    number = check_expression(node.indices[0], names)
    if not isinstance(number, Constant):
        prototype_mismatch("uregs[ ]", 1, "integer constant", number.type, node.indices[0].span)
    if number.value < 0:
        fail("D_REGS_IDX", node.indices[0].span, f"index {number.value} is out of range for array uregs")
    if number.value >= builtins.REGISTER_COUNT:
        fail("D_UNKNOWN", node.indices[0].span, f"uregs[]: index out of bounds ({number.value})")
    return Register(TYPEDEFS["uint64_t"], number.value)


# --- operators ----------------------------------------------------------------------------------------------


def _unary(node: ast.Unary, names: Names) -> Value:
    operator = node.operator
    operand = check_expression(node.operand, names)
    if operator == "&" and (isinstance(operand.type, DynamicType) or _is_builtin(node.operand, names)):
        fail("D_ADDROF_VAR", node.span, "cannot take address of dynamic variable")
    match operator:
        case "&":
            return address_of(operand, node)
        case "sizeof":
            if isinstance(operand, Load) and isinstance(operand.place, Part) and operand.place.bits:
                fail("D_SIZEOF_BITFIELD", node.span, "cannot apply sizeof to a bit-field")
            if isinstance(node.operand, ast.String):
                return Constant(TYPEDEFS["size_t"], len(node.operand.value.split(b"\0")[0]) + 1)
            return _size(operand.type, node, names)
        case "stringof":
            return to_string(operand, node)
        case "*":
            return dereference(operand, node)
        case "!":
            operand = decayed(operand)
            if not is_scalar(operand):
                fail("D_OP_SCALAR", node.span, "operator ! requires an operand of scalar type")
            return fold_unary(UnaryValue(INT, "!", operand))
        case "~":
            if not isinstance(operand.type, IntegerType):
                fail("D_OP_INT", node.span, "operator ~ requires an operand of integral type")
            return fold_unary(UnaryValue(operand.type, "~", operand))
        case _:
            if not isinstance(operand.type, IntegerType):
                message = f"operator {operator} requires an operand of arithmetic type"
                fail("D_OP_ARITH", node.span, message)
            return fold_unary(UnaryValue(operand.type, "-", operand)) if operator == "-" else operand


def _is_builtin(node: ast.Expression, names: Names) -> bool:
    """Say whether an expression is a built-in variable, or an inline, which is a variable in DTrace as well."""
    return isinstance(node, ast.Name) and (node.name in builtins.VARIABLES or node.name in names.inlines)


def _step(node: ast.Step, names: Names) -> Value:
    operator = node.operator
    target = _target(node.operand, operator, node, names)
    _check_writable(operator, target, node, names)
    if isinstance(target, ast.ScopedName) and (_scope_of(target), target.name) in names.arrays:
        fail("D_OP_SCALAR", node.span, f"operator {operator} requires operand of scalar type")
    _make_where_new(target, TYPEDEFS["int64_t"], names)
    place = modifiable(check_expression(target, names), operator, node)
    amount = step_amount(place.type, operator, node)
    return Step(place.type, place, amount if operator == "++" else -amount, node.prefix)


def _no_action(node: ast.Expression, message: str) -> None:
    """Raise D_OP_ACT for an action where only a value can be."""
    if isinstance(node, ast.Call) and node.function.name in ACTIONS:
        fail("D_OP_ACT", node.span, message)


def _binary(node: ast.Binary, names: Names) -> Value:
    left = check_expression(node.left, names)
    right = check_expression(node.right, names)
    operator = node.operator
    if operator == ",":
        for side, value in ((node.left, left), (node.right, right)):
            if isinstance(value.type, DynamicType):
                fail("D_OP_DYN", side.span, "operator , operands cannot be of dynamic type")
            _no_action(side, "operator , operands cannot be actions")
        return Sequence(right.type, left, right)
    if operator in ("&&", "||", "^^"):
        left, right = decayed(left), decayed(right)
        if not is_scalar(left) or not is_scalar(right):
            fail("D_OP_SCALAR", node.span, f"operator {operator} requires operands of scalar type")
        return fold_logical(Logical(INT, operator, left, right))
    if operator in _COMPARISONS:
        return comparison(operator, left, right, node)
    return arithmetic(operator, left, right, node)


# --- assignment ---------------------------------------------------------------------------------------------


def _assignment(node: ast.Assignment, names: Names) -> Value:
    operator = node.operator
    if isinstance(node.target, ast.AggregationName) or (
        isinstance(node.target, ast.Index) and isinstance(node.target.base, ast.AggregationName)
    ):
        return _aggregation_assigned(node, names)
    try:
        target = _target(node.target, operator, node, names)
        _check_writable(operator, target, node, names)
    except CompileError:
        # DTrace looks at the operands first.
        if not isinstance(node.target, ast.Name | ast.Index | ast.Call):
            check_expression(node.target, names)
        check_expression(node.value, names)
        raise
    if operator != "=":
        return _compound(node, target, names)
    value = _assigned(node, target, names)
    if isinstance(target, ast.ScopedName) and (_scope_of(target), target.name) in names.arrays:
        words = f'operands have incompatible types: "associative array" = "{value.type}"'
        fail("D_OP_INCOMPAT", node.span, words)
    if isinstance(value.type, VoidType | DynamicType):
        new = _is_new(target, names) if isinstance(target, ast.Name | ast.ScopedName) else False
        own = value.type if isinstance(value.type, VoidType) else "scalar"
        shown = own if new else check_expression(target, names).type
        fail("D_OP_INCOMPAT", node.span, f'operands have incompatible types: "{shown}" = "{value.type}"')
    _make_where_new(target, type_assigned(value), names)
    place = modifiable(check_expression(target, names), operator, node)
    check_not_array(place.type, operator, node)
    note_assignment(place, value, node, names)
    dynamic = isinstance(place, Element) or (isinstance(place, Variable) and place.scope is Scope.THREAD)
    if dynamic and is_zero(value) and isinstance(place.type, RecordType | StackType):
        # Frees it, as storing 0 does with numbers.
        return Store(place.type, place, Constant(place.type, 0))
    return Store(place.type, place, assignable(value, place.type, operator, node))


def _aggregation_assigned(node: ast.Assignment, names: Names) -> Value:
    """Return what stands for an assignment to an aggregation that is no statement of its own."""
    hint = "an aggregation is assigned to in a statement of its own: @name[keys] = count();"
    if node.operator == "=":
        message = "an aggregation may not be assigned to within an expression"
        return _misplaced(DynamicType("aggregation"), Diagnostic("D_OP_DYN", node.span, message, hint), names)
    if isinstance(node.target, ast.AggregationName):
        shown = f"@{node.target.name}"
        fail("D_VAR_UNDEF", node.span, f"{shown} has not yet been declared or assigned", hint)
    message = f"operator {node.operator} requires left-hand scalar operand of known size"
    fail("D_OP_VFPTR", node.span, message, hint)


def _assigned(node: ast.Assignment, target: ast.Expression, names: Names) -> Value:
    """Return the value; in it the variable is known that the assignment makes, but has none yet."""
    if isinstance(target, ast.Index) and isinstance(target.base, ast.Name | ast.ScopedName):
        # Keys come before the value.
        for key in target.indices:
            check_expression(key, names)
    names.made = target.name if isinstance(target, ast.Name) and _is_new(target, names) else None
    value = check_expression(node.value, names)
    names.made = None
    return value


def _compound(node: ast.Assignment, target: ast.Expression, names: Names) -> Value:
    """Return `target += value` and its like. What finding a place costs or does happens once."""
    operator = node.operator
    if isinstance(target, ast.Name) and _is_new(target, names):
        if operator in ("/=", "%=") and isinstance(node.value, ast.Integer):
            # Noticed while reading, and so before the variable is.
            arithmetic(operator[:-1], Constant(INT, 1), check_expression(node.value, names), node)
        fail("D_VAR_UNDEF", target.span, f"{target.name} has not yet been declared or assigned")
    old = check_expression(target, names)
    place = modifiable(old, operator, node)
    check_not_array(place.type, operator, node)
    value = check_expression(node.value, names)
    check_compound(operator, place.type, value, node)
    if isinstance(place, Variable):
        new = arithmetic(operator[:-1], old, value, node)
        return Store(place.type, place, assignable(new, place.type, operator, node))
    current = names.current(place.type)
    new = arithmetic(operator[:-1], current, value, node)
    return Update(place.type, place, current, assignable(new, place.type, operator, node))


def _target(
    node: ast.Expression, operator: str, whole: ast.Expression, names: Names
) -> ast.Name | ast.ScopedName | ast.Index | ast.Member | ast.Unary:
    """Return what is assigned to; the name of an inline stands for what that stands for."""
    while isinstance(node, ast.Macro) or (isinstance(node, ast.Name) and node.name in names.inlines):
        node = expand_macro(node, names) if isinstance(node, ast.Macro) else names.inlines[node.name].value
    if isinstance(node, ast.Name | ast.ScopedName | ast.Index | ast.Member | ast.Unary):
        return node
    if isinstance(node, ast.String) and operator in ("++", "--"):
        fail("D_OP_SCALAR", whole.span, f"operator {operator} requires operand of scalar type")
    fail("D_OP_LVAL", whole.span, f"operator {operator} requires modifiable lvalue as an operand")


def _make_where_new(target: ast.Expression, type_: Type, names: Names) -> None:
    """Make the variable or associative array that is assigned to for the first time."""
    match target:
        case ast.Name() | ast.ScopedName() if _is_new(target, names):
            declare(_scope_of(target), target.name, type_, names, target.span)
        case ast.Index(base=(ast.Name() | ast.ScopedName()) as base) if _is_new(base, names):
            scope = _scope_of(base)
            keys = [check_expression(key, names) for key in target.indices]
            types = tuple(
                key_type(key, number, "associative array", key_node.span)
                for number, (key, key_node) in enumerate(zip(keys, target.indices, strict=True), 1)
            )
            declare_array(scope, base.name, type_, types, names, target.span)


def _check_writable(operator: str, target: ast.Expression, node: ast.Expression, names: Names) -> None:
    if isinstance(target, ast.Index) and isinstance(target.base, ast.Name):
        target = target.base
        if target.name not in ("uregs", "args", *names.keyed_inlines):
            return
    if not isinstance(target, ast.Name):
        return
    name = target.name
    if name in names.keys:
        fail("D_OP_LVAL", node.span, f"operator {operator} requires modifiable lvalue as an operand")
    if name in names.keyed_inlines:
        fail("D_OP_WRITE", node.span, f"operator {operator} can only be applied to a writable variable")
    if name in builtins.VARIABLES or name in builtins.NOT_COMPILED or name in ("uregs", "args"):
        message = f"operator {operator} can only be applied to a writable variable"
        fail("D_OP_WRITE", node.span, message, f"{name} is a built-in variable")
    if name in names.constants:
        fail("D_OP_LVAL", node.span, f"operator {operator} requires modifiable lvalue as an operand")
    kind = _kind_of_function(name)
    if kind:
        fail("D_IDENT_BADREF", node.span, f"{kind} '{name}' may not be referenced as scalar")
    if name in ("self", "this"):
        _scope_as_scalar(target)


# --- types --------------------------------------------------------------------------------------------------


def _cast(node: ast.Cast, names: Names) -> Value:
    type_ = named_type(node.type.type, node.type.declarator, names)
    value = decayed(check_expression(node.operand, names))
    match type_:
        case StringType() if not isinstance(value.type, RecordType):
            return to_string(value, node)
        case IntegerType() | PointerType() if is_scalar(pointed_to(value)):
            return convert(pointed_to(value), type_)
        case VoidType():
            return Sequence(type_, value, Constant(INT, 0))
    fail("D_CAST_INVAL", node.span, f'invalid cast expression: "{value.type}" to "{type_}"')


def _size(type_: Type, node: ast.Expression, names: Names) -> Value:
    size = names.string_limit if isinstance(type_, StringType) else size_of(type_, names.string_size)
    if not size:
        fail("D_SIZEOF_TYPE", node.span, "cannot apply sizeof to an operand of unknown size")
    return Constant(TYPEDEFS["size_t"], size)


def _offset(node: ast.Offsetof, names: Names) -> Value:
    type_ = named_type(node.type.type, node.type.declarator, names)
    if not isinstance(type_, RecordType) or type_.layout is None:
        fail("D_OFFSETOF_TYPE", node.span, "offsetof operand must be a struct or union type")
    found = find_member(type_, node.member)
    if found is None:
        message = f"failed to determine offset of {node.member}: Member name not found."
        fail("D_UNKNOWN", node.span, message)
    if found.bits is not None:
        fail("D_OFFSETOF_BITFIELD", node.span, f"cannot take offset of a bit-field: {node.member}")
    return Constant(TYPEDEFS["size_t"], found.offset)


# --- calls --------------------------------------------------------------------------------------------------


def _void_call(node: ast.Call, names: Names) -> Value:
    """Return what stands for an action or an aggregating function where a value is wanted; ustack() is one."""
    name = node.function.name
    words = "may not be called from a D expression (D program context required)"
    if name not in ACTIONS:
        message = f"aggregating function {name}( ) {words}"
        error = Diagnostic("D_CG_EXPR", node.span, message, f"aggregate with it: @[key] = {name}(…)")
        return _misplaced(DynamicType("aggregating function"), error, names)
    check_count(ACTIONS[name], node, names)
    if name == "ustack":
        return stack_value(node, names, check_expression)
    for argument in node.arguments:
        check_expression(argument, names)
    error = Diagnostic("D_CG_EXPR", node.span, f"tracing function {name}( ) {words}")
    if name in RECORDING:
        raise CompileError(error)
    return _misplaced(VOID, error, names)


def _call(node: ast.Call, names: Names) -> Value:
    name = node.function.name
    if name in ACTIONS or name in _AGGREGATING:
        return _void_call(node, names)
    subroutine = SUBROUTINES.get(name)
    if subroutine is None:
        _unknown_function(node, names)
    check_count(subroutine, node, names)
    arguments = [decayed(check_expression(argument, names)) for argument in node.arguments]
    pairs = zip(arguments, subroutine.parameters, strict=False)
    arguments = [pointed_to(argument) if parameter.is_pointer else argument for argument, parameter in pairs]
    for number, (argument, parameter) in enumerate(zip(arguments, subroutine.parameters, strict=False), 1):
        goes_on = name == "strtok" and number == 1
        takes_null = goes_on or parameter.is_pointer or isinstance(parameter.type, StringType)
        is_null = is_zero(argument) and takes_null
        if not parameter.accepts(argument.type) and not is_null:
            span = node.arguments[number - 1].span
            prototype_mismatch(f"{name}( )", number, parameter.text, argument.type, span)
    match name:
        case "copyin":
            check_size(arguments[1], node, names)
            return CopyIn(VOID_POINTER, arguments[0], arguments[1], node.span)
        case "alloca":
            check_size(arguments[0], node, names)
            return Allocate(VOID_POINTER, arguments[0], node.span)
        case "copyinto":
            check_destination("copyinto( )", 3, arguments[2], node.arguments[2].span, names)
            return CopyInto(VOID, arguments[0], arguments[1], arguments[2], node.span)
        case "bcopy":
            check_destination("bcopy( )", 2, arguments[1], node.arguments[1].span, names)
            return CopyBytes(VOID, arguments[0], arguments[1], arguments[2], node.span)
        case "copyinstr":
            limit = arguments[1] if len(arguments) > 1 else None
            return CopyInString(STRING, arguments[0], limit, node.span)
        case "strlen":
            return StringLength(TYPEDEFS["size_t"], _text_of(arguments[0], node), node.span)
    return _subroutine(subroutine, arguments, node, names)


def _text_of(argument: Value, node: ast.Call) -> Value:
    """Return an argument as a string, which 0 is as well: what is done with that is a fault."""
    text = as_text(argument, node)
    assert text is not None, "the parameter accepts text only"
    return text


_TOKENS_LEFT: Final = "what strtok() has left"
"""The name, one that no program can write, of the clause-local variable of strtok()."""


def _subroutine(
    subroutine: Function, arguments: Values[Value], node: ast.Call, names: Names
) -> SubroutineCall:
    assert subroutine.result is not None
    rest = None
    if subroutine.name == "inet_ntoa6" and len(arguments) > 1 and not isinstance(arguments[1], Constant):
        message = "inet_ntoa6( ) argument #2 must be an integer constant"
        fail("D_PROTO_ARG", node.arguments[1].span, message)
    names.speculates |= subroutine.name == "speculation"
    if subroutine.name == "strtok":
        rest = names.find(Scope.CLAUSE, _TOKENS_LEFT) or names.declare(Scope.CLAUSE, _TOKENS_LEFT, STRING)
    converted: list[Value] = []
    for argument, parameter in zip(arguments, subroutine.parameters, strict=False):
        if isinstance(parameter.type, StringType):
            if not (is_zero(argument) and subroutine.name == "strtok" and not converted):
                converted.append(_text_of(argument, node))
        else:
            assert parameter.type is not None
            converted.append(convert(argument, parameter.type))
    return SubroutineCall(subroutine.result, subroutine.name, tuple(converted), rest, node.span)


def refuse_known(node: ast.Call, names: Names) -> NoReturn:
    """Refuse a function that D has and dtrap has not: for what its arguments are if that is wrong already."""
    row = KNOWN_BUT_NOT_COMPILED[node.function.name]
    check_count(row, node, names)
    for number, (argument, parameter) in enumerate(zip(node.arguments, row.parameters, strict=False), 1):
        value = decayed(check_expression(argument, names))
        if not parameter.accepts(value.type):
            prototype_mismatch(f"{row.name}( )", number, parameter.text, value.type, argument.span)
        if row.name == "stack" and not (isinstance(value, Constant) and value.value > 0):
            message = "stack( ) argument #1 must be a non-zero positive integer constant"
            fail("D_STACK_SIZE", argument.span, message)
    if row.name == "return":
        # Noticed when probes are made, of which this one is no system call's.
        message = f"return() not allowed for {names.probe}"
        raise CompileError(Diagnostic("D_ACT_RETURN", node.span, message, place=""))
    if row.name in NOT_IMPLEMENTED:
        # Noticed by the code generator, which knows of no place.
        message = f"{row.name}() is not implemented (yet)"
        raise CompileError(Diagnostic("D_UNKNOWN", node.span, message, place=""))
    unsupported(node.span, f"{row.name}( )")


def _unknown_function(node: ast.Call, names: Names) -> NoReturn:
    name = node.function.name
    if name in KNOWN_BUT_NOT_COMPILED:
        refuse_known(node, names)
    if name in builtins.VARIABLES:
        fail("D_FUNC_IDKIND", node.span, f"scalar '{name}' may not be referenced as a function")
    known = [*ACTIONS, *SUBROUTINES, *KNOWN_BUT_NOT_COMPILED, *(item.value for item in AggregatingFunction)]
    fail("D_FUNC_UNDEF", node.span, f"undefined function name: {name}", did_you_mean(name, known))
