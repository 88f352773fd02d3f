"""Expressions: names resolved, types checked, constants folded. `ast.Expression` to `program.Value`.

The messages are DTrace's (libdtrace's error tags). Actions and aggregations are in check_action.py.
"""

from __future__ import annotations

from typing import Final, NoReturn

from dlang import ast, builtins
from dlang.actions import ACTIONS, KNOWN_BUT_NOT_COMPILED, SUBROUTINES, prototype_mismatch
from dlang.aggregations import AggregatingFunction
from dlang.diagnostics import did_you_mean, fail, unsupported
from dlang.names import Names, character_constant, declared_type, expand_macro, integer_constant
from dlang.program import (
    Arithmetic,
    Choice,
    Comparison,
    Constant,
    Convert,
    CopyIn,
    CopyInString,
    Dereference,
    Load,
    Logical,
    PointedString,
    Register,
    Scope,
    Sequence,
    Step,
    Store,
    StringConstant,
    StringLength,
    StringSuffix,
    UnaryValue,
    Value,
    Variable,
)
from dlang.types import (
    CHAR,
    INT,
    LONG,
    SIGNED_CHAR,
    STRING,
    TYPEDEFS,
    UNSIGNED_CHAR,
    UNSIGNED_LONG,
    VOID_POINTER,
    IntegerType,
    PointerType,
    StringType,
    Type,
    VoidType,
    common_type,
    is_signed,
    promote,
    wrap,
)

_SCOPES: Final = {"self": Scope.THREAD, "this": Scope.CLAUSE}
_INTEGRAL: Final = frozenset(["%", "&", "|", "^", "<<", ">>"])
_COMPARISONS: Final = frozenset(["==", "!=", "<", "<=", ">", ">="])


def check_expression(node: ast.Expression, names: Names) -> Value:
    """Return the typed value of an expression; raises CompileError."""
    match node:
        case ast.Integer():
            return integer_constant(node)
        case ast.Character():
            return character_constant(node)
        case ast.Float():
            fail("D_SYNTAX", node.span, "floating-point constants are not permitted")
        case ast.String(value=text):
            return StringConstant(STRING, text[: names.string_limit - 1].split(b"\0")[0])
        case ast.Macro():
            return check_expression(expand_macro(node, names), names)
        case ast.Name():
            return _name(node, names)
        case ast.ScopedName(scope=scope, name=name):
            variable = names.find(_SCOPES[scope], name)
            if variable is None:
                fail("D_VAR_UNDEF", node.span, f"{scope}->{name} has not yet been declared or assigned")
            return Load(variable.type, variable)
        case ast.AggregationName():
            _no_aggregation(node)
        case ast.Index():
            return _index(node, names)
        case ast.Member(arrow="->"):
            unsupported(node.span, "operator -> on structures")
        case ast.Member():
            unsupported(node.span, "operator . on structures")
        case ast.Call():
            return _call(node, names)
        case ast.Unary():
            return _unary(node, names)
        case ast.Step():
            return _step(node, names)
        case ast.Binary():
            return _binary(node, names)
        case ast.Conditional():
            return _conditional(node, names)
        case ast.Assignment():
            return _assignment(node, names)
        case ast.Cast():
            return _cast(node, names)
        case ast.SizeofType(type=type_name):
            return _size(declared_type(type_name.type, type_name.declarator, names), node, names)
        case ast.Offsetof():
            unsupported(node.span, "offsetof")


def is_scalar(value: Value) -> bool:
    """Say whether a value can be a truth value: an integer or a pointer (a string can't)."""
    return isinstance(value.type, IntegerType | PointerType)


def _is_integer(value: Value) -> bool:
    return isinstance(value.type, IntegerType)


def _is_string(value: Value) -> bool:
    return isinstance(value.type, StringType)


def _is_text_pointer(value: Value) -> bool:
    return isinstance(value.type, PointerType) and value.type.target in (CHAR, SIGNED_CHAR, UNSIGNED_CHAR)


def _no_aggregation(node: ast.AggregationName | ast.Index) -> NoReturn:
    fail(
        "D_OP_INCOMPAT",
        node.span,
        "an aggregation may not be used as an operand",
        "its value is known to printa() and at the end, when the parts of all processors are added up",
    )


# --- names --------------------------------------------------------------------------------------------------


def _name(node: ast.Name, names: Names) -> Value:
    name = node.name
    variable = names.find(Scope.GLOBAL, name)
    if variable is not None:
        return Load(variable.type, variable)
    known = builtins.VARIABLES.get(name) or names.constants.get(name)
    if known is not None:
        return known
    if name in builtins.NOT_COMPILED:
        unsupported(node.span, f"variable {name}")
    if name == "uregs":
        message = "associative array 'uregs' may not be referenced as scalar"
        fail("D_IDENT_BADREF", node.span, message, "for example: uregs[R_RAX]")
    kind = _kind_of_function(name)
    if kind:
        fail("D_IDENT_BADREF", node.span, f"{kind} '{name}' may not be referenced as scalar")
    globals_ = [key for scope, key in names.variables if scope is Scope.GLOBAL]
    hint = did_you_mean(name, [*builtins.VARIABLES, *names.constants, *globals_])
    fail("D_IDENT_UNDEF", node.span, f"failed to resolve {name}: Unknown variable name", hint)


def _kind_of_function(name: str) -> str:
    if name in ACTIONS:
        return "tracing function"
    if name in SUBROUTINES or name in KNOWN_BUT_NOT_COMPILED:
        return "function"
    return "aggregating function" if name in {item.value for item in AggregatingFunction} else ""


def _index(node: ast.Index, names: Names) -> Value:
    match node.base:
        case ast.AggregationName():
            _no_aggregation(node)
        case ast.Name(name="uregs"):
            return _register(node, names)
        case ast.Name(name=name) | ast.ScopedName(name=name) if _find_base(node.base, names) is None:
            unsupported(node.span, f"associative array {name}[ ]")
    base = check_expression(node.base, names)
    if len(node.indices) > 1 or not isinstance(base.type, PointerType):
        unsupported(node.span, "indexing anything but a pointer")
    offset = check_expression(node.indices[0], names)
    return _dereference(_sum("+", base, offset, node), node)


def _find_base(node: ast.Name | ast.ScopedName, names: Names) -> Variable | None:
    scope = Scope.GLOBAL if isinstance(node, ast.Name) else _SCOPES[node.scope]
    return names.find(scope, node.name)


def _register(node: ast.Index, names: Names) -> Value:
    if len(node.indices) != 1:
        passed = f"{len(node.indices)} args"
        fail("D_PROTO_LEN", node.span, f"uregs[ ] prototype mismatch: {passed} passed, 1 expected")
    index = check_expression(node.indices[0], names)
    if not _is_integer(index):
        prototype_mismatch("uregs[ ]", 1, "integer constant", index.type, node.indices[0].span)
    if isinstance(index, Constant) and not 0 <= index.value < builtins.REGISTER_COUNT:
        fail("D_REGS_IDX", node.indices[0].span, f"index {index.value} is out of range for array uregs")
    return Register(TYPEDEFS["uint64_t"], index, node.span)


# --- operators ----------------------------------------------------------------------------------------------


def _unary(node: ast.Unary, names: Names) -> Value:
    operator = node.operator
    if operator == "&":
        fail("D_ADDROF_VAR", node.span, "cannot take address of dynamic variable")
    operand = check_expression(node.operand, names)
    match operator:
        case "sizeof":
            return _size(operand.type, node, names)
        case "stringof":
            return to_string(operand, node)
        case "*":
            return _dereference(operand, node)
        case "!":
            if not is_scalar(operand):
                fail("D_OP_SCALAR", node.span, "operator ! requires an operand of scalar type")
            return _fold_unary(UnaryValue(INT, "!", operand))
        case "~":
            if not isinstance(operand.type, IntegerType):
                fail("D_OP_INT", node.span, "operator ~ requires an operand of integral type")
            return _fold_unary(UnaryValue(promote(operand.type), "~", operand))
        case _:
            if not isinstance(operand.type, IntegerType):
                message = f"operator {operator} requires an operand of arithmetic type"
                fail("D_OP_ARITH", node.span, message)
            type_ = promote(operand.type)
            return (
                _fold_unary(UnaryValue(type_, "-", operand)) if operator == "-" else convert(operand, type_)
            )


def _fold_unary(value: UnaryValue) -> Value:
    if not isinstance(value.operand, Constant):
        return value
    number = value.operand.value
    result = {"-": -number, "~": ~number, "!": int(not number)}[value.operator]
    return Constant(value.type, wrap(result, LONG if is_signed(value.type) else UNSIGNED_LONG))


def _dereference(pointer: Value, node: ast.Expression) -> Value:
    if not isinstance(pointer.type, PointerType):
        fail("D_DEREF_NONPTR", node.span, "cannot dereference non-pointer type")
    target = pointer.type.target
    if isinstance(target, VoidType):
        fail("D_DEREF_VOID", node.span, "cannot dereference pointer to void")
    if isinstance(target, StringType):
        return PointedString(STRING, pointer, node.span)
    return Dereference(target, pointer, node.span)


def _step(node: ast.Step, names: Names) -> Value:
    scope, name = _variable_name(node.operator, node.operand, node)
    _check_writable(node.operator, scope, name, node, names)
    variable = names.find(scope, name) or names.declare(scope, name, TYPEDEFS["int64_t"])
    match variable.type:
        case IntegerType():
            amount = 1
        case PointerType(target=target) if not isinstance(target, VoidType | StringType):
            amount = target.size
        case PointerType():
            fail("D_OP_VFPTR", node.span, f"operator {node.operator} requires an operand of known size")
        case _:
            fail("D_OP_SCALAR", node.span, f"operator {node.operator} requires operand of scalar type")
    return Step(variable.type, variable, amount if node.operator == "++" else -amount, node.prefix)


def _binary(node: ast.Binary, names: Names) -> Value:
    left = check_expression(node.left, names)
    right = check_expression(node.right, names)
    operator = node.operator
    if operator == ",":
        return Sequence(right.type, left, right)
    if operator in ("&&", "||", "^^"):
        if not is_scalar(left) or not is_scalar(right):
            fail("D_OP_SCALAR", node.span, f"operator {operator} requires operands of scalar type")
        return _fold_logical(Logical(INT, operator, left, right))
    if operator in _COMPARISONS:
        return _comparison(operator, left, right, node)
    return _arithmetic(operator, left, right, node)


def _arithmetic(operator: str, left: Value, right: Value, node: ast.Expression) -> Value:
    if operator in ("+", "-"):
        return _sum(operator, left, right, node)
    if not isinstance(left.type, IntegerType) or not isinstance(right.type, IntegerType):
        tag, kind = ("D_OP_INT", "integral") if operator in _INTEGRAL else ("D_OP_ARITH", "arithmetic")
        fail(tag, node.span, f"operator {operator} requires operands of {kind} type")
    if operator in ("/", "%") and isinstance(right, Constant) and right.value == 0:
        fail("D_DIV_ZERO", node.span, "expression contains division by zero")
    shift = operator in ("<<", ">>")
    type_ = promote(left.type) if shift else common_type(left.type, right.type)
    return _fold_arithmetic(Arithmetic(type_, operator, left, right, node.span))


def _sum(operator: str, left: Value, right: Value, node: ast.Expression) -> Value:
    match left.type, right.type:
        case IntegerType(), IntegerType():
            type_: Type = common_type(left.type, right.type)
            return _fold_arithmetic(Arithmetic(type_, operator, left, right, node.span))
        case StringType(), IntegerType() if operator == "+":
            return StringSuffix(STRING, left, right)
        case PointerType(target=target), IntegerType() if not isinstance(target, VoidType | StringType):
            amount = _scaled(right, target.size, node)
            return Arithmetic(left.type, operator, left, amount, node.span)
        case IntegerType(), PointerType(target=target) if operator == "+":
            if not isinstance(target, VoidType | StringType):
                return Arithmetic(right.type, "+", right, _scaled(left, target.size, node), node.span)
        case PointerType(target=target), PointerType() if operator == "-" and left.type == right.type:
            if not isinstance(target, VoidType | StringType):
                bytes_ = Arithmetic(LONG, "-", left, right, node.span)
                return Arithmetic(LONG, "/", bytes_, Constant(LONG, target.size), node.span)
    _incompatible(operator, left, right, node)


def _scaled(value: Value, size: int, node: ast.Expression) -> Value:
    return _fold_arithmetic(Arithmetic(LONG, "*", value, Constant(LONG, size), node.span))


def _incompatible(operator: str, left: Value, right: Value, node: ast.Expression) -> NoReturn:
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
            result = left >> (right & 63)
    return Constant(value.type, wrap(result, whole))


def _fold_logical(value: Logical) -> Value:
    if not isinstance(value.left, Constant) or not isinstance(value.right, Constant):
        return value
    left, right = bool(value.left.value), bool(value.right.value)
    result = {"&&": left and right, "||": left or right, "^^": left != right}[value.operator]
    return Constant(INT, int(result))


def _comparison(operator: str, left: Value, right: Value, node: ast.Expression) -> Value:
    if _is_string(left) or _is_string(right):
        return _string_comparison(operator, left, right, node)
    match left.type, right.type:
        case IntegerType(), IntegerType():
            signed = common_type(left.type, right.type).signed
        case PointerType(), PointerType() if _compatible_pointers(left.type, right.type):
            signed = False
        case PointerType(), IntegerType() if isinstance(right, Constant) and right.value == 0:
            signed = False
        case IntegerType(), PointerType() if isinstance(left, Constant) and left.value == 0:
            signed = False
        case _:
            _incompatible(operator, left, right, node)
    if isinstance(left, Constant) and isinstance(right, Constant):
        whole = LONG if signed else UNSIGNED_LONG
        return Constant(INT, int(_COMPARE[operator](wrap(left.value, whole), wrap(right.value, whole))))
    return Comparison(INT, operator, left, right, signed)


def _string_comparison(operator: str, left: Value, right: Value, node: ast.Expression) -> Value:
    sides = []
    for side in (left, right):
        if _is_text_pointer(side):
            side = PointedString(STRING, side, node.span)
        elif isinstance(side, Constant) and side.value == 0:
            side = StringConstant(STRING, b"")
        if not _is_string(side):
            _incompatible(operator, left, right, node)
        sides.append(side)
    return Comparison(INT, operator, sides[0], sides[1], False)


_COMPARE: Final = {
    "==": int.__eq__,
    "!=": int.__ne__,
    "<": int.__lt__,
    "<=": int.__le__,
    ">": int.__gt__,
    ">=": int.__ge__,
}


def _compatible_pointers(left: PointerType, right: PointerType) -> bool:
    void = isinstance(left.target, VoidType) or isinstance(right.target, VoidType)
    return void or left.target == right.target


def _conditional(node: ast.Conditional, names: Names) -> Value:
    condition = check_expression(node.condition, names)
    if not is_scalar(condition):
        fail("D_OP_SCALAR", node.span, "operator ?: expression must be of scalar type")
    then = check_expression(node.then, names)
    otherwise = check_expression(node.otherwise, names)
    match then.type, otherwise.type:
        case IntegerType(), IntegerType():
            type_: Type = common_type(then.type, otherwise.type)
        case StringType(), StringType():
            type_ = STRING
        case PointerType(), PointerType() if _compatible_pointers(then.type, otherwise.type):
            type_ = then.type
        case PointerType(), IntegerType() if isinstance(otherwise, Constant) and otherwise.value == 0:
            type_ = then.type
        case IntegerType(), PointerType() if isinstance(then, Constant) and then.value == 0:
            type_ = otherwise.type
        case _:
            fail("D_OP_INCOMPAT", node.span, "operator ?: operands must have compatible types")
    return Choice(type_, condition, then, otherwise)


# --- assignment, conversion ---------------------------------------------------------------------------------


def _assignment(node: ast.Assignment, names: Names) -> Value:
    if isinstance(node.value, ast.Call) and node.value.function.name in ACTIONS:
        _void_call(node.value)
    if isinstance(node.target, ast.AggregationName) or (
        isinstance(node.target, ast.Index) and isinstance(node.target.base, ast.AggregationName)
    ):
        fail(
            "D_OP_LVAL",
            node.span,
            f"operator {node.operator} may be applied to an aggregation as a statement only",
        )
    if isinstance(node.target, ast.Index):
        _index(node.target, names)
        unsupported(node.target.span, "assignment through a pointer")
    scope, name = _variable_name(node.operator, node.target, node)
    _check_writable(node.operator, scope, name, node, names)
    if node.operator != "=":
        old = check_expression(node.target, names)
        value = _arithmetic(node.operator[:-1], old, check_expression(node.value, names), node)
    else:
        value = check_expression(node.value, names)
    if isinstance(value.type, VoidType):
        fail("D_OP_INCOMPAT", node.span, f'operands have incompatible types: "int" = "{value.type}"')
    variable = names.find(scope, name) or names.declare(scope, name, value.type)
    return Store(variable.type, variable, assignable(value, variable.type, node.operator, node))


def _variable_name(operator: str, node: ast.Expression, whole: ast.Expression) -> tuple[Scope, str]:
    match node:
        case ast.Name(name=name):
            return Scope.GLOBAL, name
        case ast.ScopedName(scope=scope, name=name):
            return _SCOPES[scope], name
    fail("D_OP_LVAL", whole.span, f"operator {operator} requires modifiable lvalue as an operand")


def _check_writable(operator: str, scope: Scope, name: str, node: ast.Expression, names: Names) -> None:
    if scope is not Scope.GLOBAL:
        return
    if name in builtins.VARIABLES or name in builtins.NOT_COMPILED or name == "uregs":
        message = f"operator {operator} can only be applied to a writable variable"
        fail("D_OP_WRITE", node.span, message, f"{name} is a built-in variable")
    if name in names.constants:
        fail("D_OP_LVAL", node.span, f"operator {operator} requires modifiable lvalue as an operand")
    kind = _kind_of_function(name)
    if kind:
        fail("D_IDENT_BADREF", node.span, f"{kind} '{name}' may not be referenced as scalar")


def assignable(value: Value, type_: Type, operator: str, node: ast.Expression) -> Value:
    """Return the value converted to the type of the variable that it is assigned to."""
    match type_, value.type:
        case IntegerType(), IntegerType():
            return convert(value, type_)
        case StringType(), StringType():
            return value
        case StringType(), IntegerType() if isinstance(value, Constant) and value.value == 0:
            return StringConstant(STRING, b"")
        case StringType(), PointerType() if _is_text_pointer(value):
            return PointedString(STRING, value, node.span)
        case PointerType(), PointerType() if _compatible_pointers(type_, value.type):
            return value
        case PointerType(), IntegerType() if isinstance(value, Constant) and value.value == 0:
            return convert(value, type_)
    message = f'operands have incompatible types: "{type_}" {operator} "{value.type}"'
    fail("D_OP_INCOMPAT", node.span, message)


def convert(value: Value, type_: Type) -> Value:
    """Return an integer or pointer as a value of another integer or pointer type."""
    if isinstance(value, Constant):
        whole = type_ if isinstance(type_, IntegerType) else UNSIGNED_LONG
        return Constant(type_, wrap(value.value, whole))
    return value if value.type == type_ else Convert(type_, value)


def to_string(value: Value, node: ast.Expression) -> Value:
    """Return `(string)value`: a string as it is, or the characters that an address points to."""
    match value.type:
        case StringType():
            return value
        case PointerType() | IntegerType():
            return PointedString(STRING, value, node.span)
    fail("D_STRINGOF_TYPE", node.span, f"cannot apply stringof to a value of type {value.type}")


def _cast(node: ast.Cast, names: Names) -> Value:
    type_ = declared_type(node.type.type, node.type.declarator, names)
    value = check_expression(node.operand, names)
    match type_:
        case StringType():
            return to_string(value, node)
        case IntegerType() | PointerType() if is_scalar(value):
            return convert(value, type_)
        case VoidType():
            return Sequence(type_, value, Constant(INT, 0))
    fail("D_CAST_INVAL", node.span, f'invalid cast expression: "{value.type}" to "{type_}"')


def _size(type_: Type, node: ast.Expression, names: Names) -> Value:
    match type_:
        case StringType():
            size = names.string_limit
        case VoidType():
            fail("D_SIZEOF_TYPE", node.span, "cannot apply sizeof to an operand of unknown size")
        case _:
            size = type_.size
    return Constant(TYPEDEFS["size_t"], size)


# --- calls --------------------------------------------------------------------------------------------------


def _void_call(node: ast.Call) -> NoReturn:
    fail(
        "D_CG_EXPR",
        node.span,
        f"tracing function {node.function.name}( ) may not be called from a D expression (D program context required)",
    )


def _call(node: ast.Call, names: Names) -> Value:
    name = node.function.name
    if name in ACTIONS:
        _void_call(node)
    if name in {item.value for item in AggregatingFunction}:
        fail(
            "D_CG_EXPR",
            node.span,
            f"aggregating function {name}( ) may not be called from a D expression (D program context required)",
            f"aggregate with it: @[key] = {name}(…)",
        )
    subroutine = SUBROUTINES.get(name)
    if subroutine is None:
        _unknown_function(node, names)
    subroutine.check_count(len(node.arguments), node.span)
    arguments = [check_expression(argument, names) for argument in node.arguments]
    for number, (argument, parameter) in enumerate(zip(arguments, subroutine.parameters, strict=False), 1):
        if not parameter.accepts(argument.type):
            span = node.arguments[number - 1].span
            prototype_mismatch(f"{name}( )", number, parameter.text, argument.type, span)
    match name:
        case "copyin":
            return CopyIn(VOID_POINTER, arguments[0], arguments[1], node.span)
        case "copyinstr":
            limit = arguments[1] if len(arguments) > 1 else None
            return CopyInString(STRING, arguments[0], limit, node.span)
        case _:
            return StringLength(TYPEDEFS["size_t"], to_string(arguments[0], node))


def _unknown_function(node: ast.Call, names: Names) -> NoReturn:
    name = node.function.name
    if name in KNOWN_BUT_NOT_COMPILED:
        unsupported(node.span, f"{name}( )")
    if names.find(Scope.GLOBAL, name) or name in builtins.VARIABLES:
        fail("D_FUNC_IDKIND", node.span, f"scalar '{name}' may not be referenced as a function")
    known = [*ACTIONS, *SUBROUTINES, *KNOWN_BUT_NOT_COMPILED, *(item.value for item in AggregatingFunction)]
    fail("D_FUNC_UNDEF", node.span, f"undefined function name: {name}", did_you_mean(name, known))
