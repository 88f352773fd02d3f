"""Statements of a clause: actions, aggregations, branches. Lays out the clause's record as it goes.

Expressions inside them are check_expression.py's business; clauses and declarations check.py's.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NoReturn

from dlang import ast
from dlang.actions import ACTIONS, KNOWN_BUT_NOT_COMPILED, RECORDING, argument_count, prototype_mismatch
from dlang.aggregations import AggregatingFunction, Aggregation
from dlang.check_dump import memory, printed
from dlang.check_expression import (
    check_count,
    check_each_argument,
    check_expression,
    find_aggregation,
    refuse_known,
)
from dlang.check_operator import convert, decayed, held, is_scalar, to_string
from dlang.check_order import Order
from dlang.check_stack import recorded
from dlang.diagnostics import CompileError, Diagnostic, fail
from dlang.names import Names
from dlang.printf_format import Format, Problem, check_arguments, check_joined, parse_format
from dlang.program import (
    ALWAYS_PERFORMED,
    RECORD_HEADER_SIZE,
    Action,
    Branch,
    ClearAction,
    CommitAction,
    Constant,
    CopyOut,
    CopyOutString,
    DenormalizeAction,
    DiscardAction,
    DumpAction,
    Evaluate,
    ExitAction,
    FreopenAction,
    Load,
    NormalizeAction,
    Part,
    PrintaAction,
    PrintAction,
    PrintfAction,
    RecordField,
    SetOptionAction,
    Signal,
    SpeculateAction,
    SpeculationNumber,
    StackAction,
    Statement,
    SymbolAction,
    SystemAction,
    TraceAction,
    TruncateAction,
    Value,
    is_known_text,
)
from dlang.source import Source, Span
from dlang.types import (
    INT,
    LONG,
    UNSIGNED_LONG,
    DynamicType,
    IntegerType,
    PointerType,
    StackType,
    Type,
    VoidType,
    is_text,
    same_kind,
    stored_size,
)

_MOST_IN_BRANCHES: Final = 63
"""Recording actions in branches of a clause: one bit each in the record's word of performed actions."""

_AGGREGATING: Final = {item.value: item for item in AggregatingFunction}
_PARAMETERS: Final = {AggregatingFunction.LQUANTIZE: 3, AggregatingFunction.LLQUANTIZE: 4}
_WEIGHTED: Final = frozenset(
    {AggregatingFunction.QUANTIZE, AggregatingFunction.LQUANTIZE, AggregatingFunction.LLQUANTIZE}
)


@dataclass(slots=True)
class Body:
    """The clause being checked: its record so far."""

    names: Names
    source: Source
    actions: list[Action] = field(default_factory=list)
    size: int = RECORD_HEADER_SIZE
    order: Order = field(default_factory=Order)
    depth: int = 0
    """How many branches the statement is in."""
    in_branches: int = 0
    """Recording actions in branches so far."""

    def bit(self, span: Span) -> int:
        """Return the next action's bit in the record's word of performed actions: outside branches all have one."""
        if not self.depth:
            return ALWAYS_PERFORMED
        if self.in_branches == _MOST_IN_BRANCHES:
            words = f"a clause may hold at most {_MOST_IN_BRANCHES} recording actions in branches"
            fail("D_UNKNOWN", span, words, "use two clauses")
        self.in_branches += 1
        return self.in_branches

    def place(self, value: Value) -> RecordField:
        """Give a value its place in the record. What the consumer knows already takes no room there."""
        value = _own_bytes(value)
        placed = RecordField(self.size, value)
        self.size += 0 if is_known_text(value) else stored_size(value.type, self.names.string_size)
        return placed

    def add(self, action: Action) -> Action:
        self.actions.append(action)
        return action


def check_statements(statements: Sequence[ast.Statement], body: Body) -> tuple[Statement, ...]:
    """Return the typed statements of a clause, in order."""
    found = []
    for statement in statements:
        body.names.misplaced.clear()
        found.append(_statement(statement, body))
        body.names.check_misplaced()
    return tuple(found)


def _statement(statement: ast.Statement, body: Body) -> Statement:
    match statement:
        case ast.If(condition=condition, then=then, otherwise=otherwise):
            value = check_expression(condition, body.names)
            if not is_scalar(value):
                fail("D_PRED_SCALAR", condition.span, "condition of if must be of scalar type")
            body.depth += 1
            branches = check_statements(then, body), check_statements(otherwise, body)
            body.depth -= 1
            return Branch(value, *branches)
        case ast.ExpressionStatement(expression=ast.Call() as call) if call.function.name in ACTIONS:
            return _action(call, body)
        case ast.ExpressionStatement(expression=ast.Call() as call) if (
            call.function.name in KNOWN_BUT_NOT_COMPILED
        ):
            body.order.check_destructive(KNOWN_BUT_NOT_COMPILED[call.function.name], call.span)
            refuse_known(call, body.names)
        case ast.ExpressionStatement(expression=expression):
            return _expression(expression, body)


def _expression(node: ast.Expression, body: Body) -> Statement:
    match node:
        case ast.AggregationName(name=name) | ast.Index(base=ast.AggregationName(name=name)):
            if isinstance(node, ast.AggregationName):
                find_aggregation(node, body.names)
            fail("D_AGG_NULL", node.span, f"expression has null effect: @{name}")
        case ast.Assignment(operator="=", target=target, value=value):
            if (found := _aggregation_target(target)) is not None:
                return _aggregate(*found, value, node, body)
    return Evaluate(check_expression(node, body.names))


# --- aggregations -------------------------------------------------------------------------------------------


def _aggregation_target(node: ast.Expression) -> tuple[str, tuple[ast.Expression, ...]] | None:
    match node:
        case ast.AggregationName(name=name):
            return name, ()
        case ast.Index(base=ast.AggregationName(name=name), indices=keys):
            return name, keys
        case ast.Index(base=ast.Index(base=ast.AggregationName(name=name))):
            message = f"improper attempt to reference @{name} as a multi-dimensional array"
            fail("D_AGG_MDIM", node.span, message)
    return None


def _aggregate(
    name: str,
    key_nodes: tuple[ast.Expression, ...],
    node: ast.Expression,
    whole: ast.Expression,
    body: Body,
) -> Statement:
    names = body.names
    body.order.check_aggregation(whole.span)
    if not isinstance(node, ast.Call) or node.function.name not in _AGGREGATING:
        if not isinstance(node, ast.Assignment) or _aggregation_target(node.target) is None:
            check_expression(node, names)
        message = f"@{name} must be assigned the result of an aggregating function"
        # `@` alone is what people write for the one that messages call `@_`.
        shown = "" if name == "_" else name
        fail("D_AGG_FUNC", whole.span, message, f"for example: @{shown} = count()")
    function = _AGGREGATING[node.function.name]
    value, parameters, weight = _function_arguments(function, node, names)
    keys = tuple(_key(key, names) for key in key_nodes)
    for number, (key, key_node) in enumerate(zip(keys, key_nodes, strict=True), 1):
        if isinstance(key.type, VoidType | DynamicType):
            message = f"{key.type} expression may not be used as aggregation index: key #{number}"
            fail("D_KEY_TYPE", key_node.span, message)
    known = names.aggregations.get(name)
    if known is None:
        known = Aggregation(name, function, parameters, tuple(key.type for key in keys))
        names.aggregations[name] = known
        names.aggregation_lines[name] = body.source.line(node.span)
    else:
        _check_same_function(known, function, node.span, names)
        _check_same_parameters(known, parameters, node)
        _check_same_keys(known, keys, key_nodes, whole.span)
    return names.add_aggregate(known, keys, value, weight)


_OF_AGGREGATIONS: Final = frozenset(["clear", "denormalize", "normalize", "trunc"])
"""Actions whose aggregation is looked for before anything else is."""


def _key(node: ast.Expression, names: Names) -> Value:
    """Return a key: an expression, or what ustack() and its like record."""
    if isinstance(node, ast.Call) and node.function.name in RECORDING:
        check_count(ACTIONS[node.function.name], node, names)
        return recorded(node, names, check_expression)
    return _own_bytes(held(check_expression(node, names)))


def _own_bytes(value: Value) -> Value:
    """Return a bit-field as an integer of as many bytes as it needs, as which DTrace records it."""
    match value:
        case Load(place=Part(bits=bits), type=IntegerType() as type_) if bits is not None:
            size = next(size for size in (1, 2, 4, 8) if bits.width <= 8 * size)
            return convert(value, IntegerType(type_.name, size, type_.signed))
    return value


def _check_same_function(known: Aggregation, function: AggregatingFunction, span: Span, names: Names) -> None:
    if known.function is function:
        return
    line = names.aggregation_lines[known.name]
    lines = (
        f"aggregation redefined: @{known.name}",
        f"\t current: @{known.name} = {function.value}( )",
        f"\tprevious: @{known.name} = {known.function.value}( ) : line {line}",
    )
    fail("D_AGG_REDEF", span, "\n".join(lines), "give one of the two another name")


def _check_same_keys(
    known: Aggregation, keys: tuple[Value, ...], nodes: tuple[ast.Expression, ...], span: Span
) -> None:
    expected = len(known.key_types)
    if len(keys) != expected:
        argument_count(f"@{known.name}[ ]", len(keys), expected, expected, span, "key")
    for number, (key, wanted, node) in enumerate(zip(keys, known.key_types, nodes, strict=True), 1):
        if not same_kind(key.type, wanted):
            prototype_mismatch(f"@{known.name}[ ]", number, str(wanted), key.type, node.span, "key")


def _function_arguments(
    function: AggregatingFunction, node: ast.Call, names: Names
) -> tuple[Value | None, tuple[int, ...], Value | None]:
    """Return the value, the constant parameters and the weight of an aggregating function's call."""
    given = len(node.arguments)
    shown = f"{function.value}( )"
    if function is AggregatingFunction.COUNT:
        if given:
            check_each_argument(node, names)
            argument_count(shown, given, 0, 0, node.span)
        return None, (), None
    least = 1 + _PARAMETERS.get(function, 0) - (function is AggregatingFunction.LQUANTIZE)
    most = 1 + _PARAMETERS.get(function, 0) + (function in _WEIGHTED)
    if given < least or given > most:
        check_each_argument(node, names)
        argument_count(shown, given, least, most, node.span)
    arguments = [check_expression(argument, names) for argument in node.arguments]
    if not is_scalar(arguments[0]):
        message = f"{shown} argument #1 must be of scalar type"
        fail("D_AGG_SCALAR", node.arguments[0].span, message)
    parameters = {
        AggregatingFunction.LQUANTIZE: _lquantize_parameters,
        AggregatingFunction.LLQUANTIZE: _llquantize_parameters,
    }.get(function)
    constants = parameters(arguments[1:], node) if parameters else ()
    place = 1 + _PARAMETERS.get(function, 0)
    weight = arguments[place] if given > place else None
    if weight is not None and not is_scalar(weight):
        message = f"{shown} increment value (argument #{place + 1}) must be of scalar type"
        # DTrace's code generator finds it, which knows of no place.
        raise CompileError(Diagnostic("D_PROTO_ARG", node.arguments[place].span, message, place=""))
    return arguments[0], constants, weight


def _number(value: Value) -> int | None:
    return value.value if isinstance(value, Constant) else None


def _lquantize_parameters(values: Sequence[Value], node: ast.Call) -> tuple[int, ...]:
    """Return low, high and step of lquantize(), checked by the rules of d-language.md §9."""
    shown = "lquantize( )"
    spans = [argument.span for argument in node.arguments[1:]]
    limits = []
    for number, kind in ((1, "BASE"), (2, "LIM")):
        limit = _number(values[number - 1])
        if limit is None:
            fail(
                f"D_LQUANT_{kind}TYPE",
                spans[number - 1],
                f"{shown} argument #{number} must be an integer constant",
            )
        if not -(1 << 31) <= limit < 1 << 31:
            fail(
                f"D_LQUANT_{kind}VAL",
                spans[number - 1],
                f"{shown} argument #{number} must be a 32-bit quantity",
            )
        limits.append(limit)
    low, high = limits
    if low >= high:
        fail(
            "D_LQUANT_MISMATCH", spans[0], f"{shown} base (argument #1) must be less than limit (argument #2)"
        )
    step = _number(values[2]) if len(values) > 2 else 1
    span = spans[2] if len(spans) > 2 else node.span
    if step is None or step <= 0:
        fail("D_LQUANT_STEPTYPE", span, f"{shown} argument #3 must be a non-zero positive integer constant")
    if step > 0xFFFF:
        fail("D_LQUANT_STEPVAL", span, f"{shown} argument #3 must be a 16-bit quantity")
    levels = (high - low) // step
    if levels == 0:
        words = "too large: must have at least one quantization level"
        fail("D_LQUANT_STEPLARGE", span, f"{shown} step (argument #3) {words}")
    if levels > 0xFFFF:
        words = "too small: number of quantization levels must be a 16-bit quantity"
        fail("D_LQUANT_STEPSMALL", span, f"{shown} step (argument #3) {words}")
    return low, high, step


def _llquantize_parameters(values: Sequence[Value], node: ast.Call) -> tuple[int, ...]:
    """Return factor, low and high magnitude and steps of llquantize(), checked by d-language.md §9."""
    shown = "llquantize( )"
    spans = [argument.span for argument in node.arguments[1:]]
    numbers = []
    for number, (kind, least) in enumerate((("FACTOR", 2), ("LMAG", 0), ("HMAG", 0), ("STEP", 1)), 1):
        value, span = _number(values[number - 1]), spans[number - 1]
        if value is None or (kind == "STEP" and value <= 0):
            words = "a non-zero positive integer constant" if kind == "STEP" else "an integer constant"
            fail(f"D_LLQUANT_{kind}TYPE", span, f"{shown} argument #{number} must be {words}")
        if not least <= value <= 0xFFFF:
            more = " greater than or equal to 2" if kind == "FACTOR" else ""
            words = f"{shown} argument #{number} must be an unsigned 16-bit quantity{more}"
            fail(f"D_LLQUANT_{kind}VAL", span, words)
        numbers.append(value)
    factor, low, high, steps = numbers
    if high < low:
        words = f"{shown} argument #3 (high magnitude) must be at least argument #2 (low magnitude)"
        fail("D_LLQUANT_HMAGVAL", spans[2], words)
    if high >= 64 or factor ** (high + 1) >= 1 << 64:
        fail(
            "D_LLQUANT_HMAGVAL",
            spans[2],
            f"{shown} argument #3 (high magnitude) will cause overflow of 64 bits",
        )
    power = "the square of argument #1 (factor) when steps>factor and lmag==0"
    if low:
        power = "pow(argument #1 (factor), lmag (argument #2) + 1) when steps>factor and lmag>0"
    broken = ""
    if steps < factor and factor % steps:
        broken = "evenly divide argument #1 (factor) when steps<factor"
    elif steps > factor and steps % factor:
        broken = "be a multiple of argument #1 (factor) when steps>factor"
    elif steps > factor and (factor ** (low + 1) if low else factor**2) % steps:
        broken = f"evenly divide {power}"
    if broken:
        fail("D_LLQUANT_STEPVAL", spans[3], f"llquantize() argument #4 (steps) must {broken}")
    return factor, low, high, steps


_PARAMETER_NAMES: Final = {
    AggregatingFunction.LQUANTIZE: (("base", "BASE"), ("limit", "LIM"), ("step", "STEP")),
    AggregatingFunction.LLQUANTIZE: (
        ("factor", "FACTOR"),
        ("lmag", "LMAG"),
        ("hmag", "HMAG"),
        ("steps", "STEPS"),
    ),
}


def _check_same_parameters(known: Aggregation, found: tuple[int, ...], node: ast.Call) -> None:
    """Raise where a distribution is used again with other bounds."""
    if known.parameters == found:
        return
    llquantize = known.function is AggregatingFunction.LLQUANTIZE
    prefix = "LLQUANT" if llquantize else "LQUANT"
    shown = "llquantize()" if llquantize else "lquantize( )"
    rows = zip(_PARAMETER_NAMES[known.function], known.parameters, found, node.arguments[1:], strict=False)
    for number, ((word, tag), expected, given, argument) in enumerate(rows, 1):
        if expected != given:
            words = f"{shown} {word} (argument #{number}) doesn't match previous declaration"
            message = f"{words}: expected {expected}, found {given}"
            fail(f"D_{prefix}_MATCH{tag}", argument.span, message)
    message = f"{shown} step (argument #3) doesn't match previous declaration"
    fail(f"D_{prefix}_MATCHSTEP", node.span, f"{message}: expected {known.parameters[2]}, found {found[2]}")


# --- actions ------------------------------------------------------------------------------------------------


def _action(node: ast.Call, body: Body) -> Statement:
    row = ACTIONS[node.function.name]
    match node.arguments:
        case [ast.AggregationName() as operand, *_] if row.name in _OF_AGGREGATIONS:
            find_aggregation(operand, body.names)
    check_count(row, node, body.names)
    body.order.check(row.name, node.span)
    body.names.destructive |= row.destructive
    unrecorded = _unrecorded(node, body)
    if unrecorded is not None:
        return unrecorded
    bit = body.bit(node.span)
    match node.function.name:
        case "speculate":
            return body.add(SpeculateAction(bit, _speculation(node, body)))
        case "commit":
            return body.add(CommitAction(bit, _speculation(node, body)))
        case "discard":
            return body.add(DiscardAction(bit, _speculation(node, body)))
        case "setopt":
            return body.add(_set_option(node, bit, body))
        case "system":
            return body.add(SystemAction(bit, *_formatted(node, body)))
        case "freopen":
            return body.add(_freopen(node, bit, body))
        case "trace":
            match node.arguments[0]:
                case ast.Call(function=ast.Name(name="ustack")) as call:
                    return body.add(StackAction(bit, body.place(_recorded(call, body))))
            value = _traced(node, body)
            action = StackAction if isinstance(value.type, StackType) else TraceAction
            return body.add(action(bit, body.place(value)))
        case "printf":
            return body.add(PrintfAction(bit, *_formatted(node, body)))
        case "printa":
            return body.add(_printa(node, bit, body))
        case "tracemem":
            bytes_, shown = memory(node, body.names)
            field, most = body.place(bytes_), None if shown is None else body.place(shown)
            return body.add(DumpAction(bit, field, most))
        case "print":
            address, found = printed(node, body.names)
            return body.add(PrintAction(bit, body.place(address), body.place(found)))
        case "ustack":
            return body.add(StackAction(bit, body.place(recorded(node, body.names, check_expression))))
        case name if name in RECORDING:
            return body.add(SymbolAction(bit, body.place(recorded(node, body.names, check_expression))))
        case "exit":
            return body.add(ExitAction(bit, body.place(_integer_argument(node, 1, INT, body))))
        case "clear":
            return body.add(ClearAction(bit, _aggregation_argument(node, body)))
        case "denormalize":
            return body.add(DenormalizeAction(bit, _aggregation_argument(node, body)))
        case "normalize":
            aggregation = _aggregation_argument(node, body)
            placed = body.place(_divisor(node, body))
            return body.add(NormalizeAction(bit, aggregation, placed))
        case "trunc":
            aggregation = _aggregation_argument(node, body)
            keep = body.place(_integer_argument(node, 2, LONG, body)) if len(node.arguments) > 1 else None
            return body.add(TruncateAction(bit, aggregation, keep))
    raise AssertionError(f"{node.function.name} has a row in actions.py but no case here")


def _traced(node: ast.Call, body: Body) -> Value:
    argument = node.arguments[0]
    value = check_expression(argument, body.names)
    if isinstance(value.type, DynamicType):
        words = "trace( ) may not be applied to a dynamic expression"
        fail("D_TRACE_DYN", argument.span, words, "use printa()")
    if isinstance(value.type, VoidType):
        fail("D_TRACE_VOID", argument.span, "trace( ) may not be applied to a void expression")
    return value


def _integer_argument(node: ast.Call, number: int, type_: IntegerType, body: Body) -> Value:
    argument = node.arguments[number - 1]
    value = check_expression(argument, body.names)
    if not isinstance(value.type, IntegerType):
        wanted = ACTIONS[node.function.name].parameters[number - 1].text
        prototype_mismatch(f"{node.function.name}( )", number, wanted, value.type, argument.span)
    return convert(value, type_)


def _divisor(node: ast.Call, body: Body) -> Value:
    """Return what normalize() divides by: DTrace takes no more of it than the bytes of its type."""
    argument = node.arguments[1]
    value = check_expression(argument, body.names)
    if not isinstance(value.type, IntegerType):
        prototype_mismatch("normalize( )", 2, "uint64_t", value.type, argument.span)
    unsigned = IntegerType(f"unsigned {value.type}", value.type.size, signed=False)
    return convert(convert(value, unsigned), UNSIGNED_LONG)


def _aggregation_argument(node: ast.Call, body: Body) -> Aggregation:
    argument = node.arguments[0]
    if not isinstance(argument, ast.AggregationName):
        type_ = check_expression(argument, body.names).type
        name = node.function.name.removeprefix("de").upper()
        _not_an_aggregation(f"D_{name}_AGGARG", node, 1, type_)
    return find_aggregation(argument, body.names)


def _not_an_aggregation(tag: str, node: ast.Call, number: int, given: Type) -> NoReturn:
    shown = f"{node.function.name}( ) argument #{number} is incompatible with prototype:"
    message = f"{shown}\n\tprototype: aggregation\n\t argument: {given}"
    fail(tag, node.arguments[number - 1].span, message)


def _format_argument(node: ast.Call, body: Body) -> Format:
    argument = node.arguments[0]
    function = node.function.name
    if not isinstance(argument, ast.String):
        given = check_expression(argument, body.names).type
        if function == "printf" and not is_text(given):
            prototype_mismatch("printf( )", 1, "string", given, argument.span)
        lines = f"{function}( ) argument #1 is incompatible with prototype:\n\tprototype: string constant"
        fail("D_PRINTF_ARG_FMT", argument.span, f"{lines}\n\t argument: {given}")
    # A text ends at its first zero, as everywhere.
    text = argument.value.partition(b"\0")[0].decode("utf-8", "surrogateescape")
    parsed = parse_format(text, function)
    if isinstance(parsed, Problem):
        raise CompileError(Diagnostic(parsed.tag, argument.span, parsed.message, place=""))
    return parsed


def _report(problem: Problem | None, node: ast.Call) -> None:
    if problem is not None:
        span = node.span
        if problem.argument is not None and problem.argument + 1 < len(node.arguments):
            span = node.arguments[problem.argument + 1].span
        fail(problem.tag, span, problem.message)


def _formatted(node: ast.Call, body: Body) -> tuple[Format, tuple[RecordField, ...]]:
    """Return the format of printf(), or of an action like it, and its values in the record."""
    format_ = _format_argument(node, body)
    values = [_format_value(argument, body) for argument in node.arguments[1:]]
    _report(check_arguments(format_, node.function.name, [value.type for value in values]), node)
    return format_, tuple(body.place(value) for value in values)


def _format_value(argument: ast.Expression, body: Body) -> Value:
    """Return a value for a format, which may be what ustack() and its like record."""
    if isinstance(argument, ast.Call) and argument.function.name in RECORDING:
        return _recorded(argument, body)
    return check_expression(argument, body.names)


def _recorded(node: ast.Call, body: Body) -> Value:
    """Return what ustack() or one of its like records."""
    check_count(ACTIONS[node.function.name], node, body.names)
    return recorded(node, body.names, check_expression)


def _freopen(node: ast.Call, bit: int, body: Body) -> FreopenAction:
    match node.arguments:
        case (ast.String(value=b""),):
            return FreopenAction(bit, None, ())
        case (ast.String(value=b".") as name, *_):
            fail("D_FREOPEN_INVALID", name.span, 'freopen( ) argument #1 cannot be "."')
    return FreopenAction(bit, *_formatted(node, body))


def _set_option(node: ast.Call, bit: int, body: Body) -> SetOptionAction:
    return SetOptionAction(
        bit,
        tuple(body.place(_text_argument(node, number, body)) for number, _ in enumerate(node.arguments, 1)),
    )


def _speculation(node: ast.Call, body: Body) -> RecordField:
    """Return the number that speculate() and its like are given, as far as it is one of a speculation."""
    body.names.speculates = True
    operand = _integer_argument(node, 1, INT, body)
    return body.place(SpeculationNumber(INT, operand, node.function.name != "speculate", node.span))


def _unrecorded(node: ast.Call, body: Body) -> Statement | None:
    """Return the statement of an action that leaves nothing in the record."""
    match node.function.name:
        case "raise":
            return Signal(_integer_argument(node, 1, INT, body))
        case "stop":
            return Signal(Constant(INT, signal.SIGSTOP))
        case "copyout":
            source = decayed(check_expression(node.arguments[0], body.names))
            if not isinstance(source.type, PointerType):
                prototype_mismatch("copyout( )", 1, "void *", source.type, node.arguments[0].span)
            return CopyOut(source, *_place_and_size(node, body), node.span)
        case "copyoutstr":
            return CopyOutString(_text_argument(node, 1, body), *_place_and_size(node, body), node.span)
    return None


def _place_and_size(node: ast.Call, body: Body) -> tuple[Value, Value]:
    """Return where in the process to write, and how many bytes."""
    body.names.copies_out = True
    address = check_expression(node.arguments[1], body.names)
    if not is_scalar(address):
        prototype_mismatch(f"{node.function.name}( )", 2, "uintptr_t", address.type, node.arguments[1].span)
    return address, _integer_argument(node, 3, UNSIGNED_LONG, body)


def _text_argument(node: ast.Call, number: int, body: Body) -> Value:
    argument = node.arguments[number - 1]
    value = check_expression(argument, body.names)
    if not is_text(value.type):
        prototype_mismatch(f"{node.function.name}( )", number, "char *", value.type, argument.span)
    return to_string(value, argument)


def _printa(node: ast.Call, bit: int, body: Body) -> PrintaAction:
    format_ = None
    first = 0
    if isinstance(node.arguments[0], ast.String):
        format_ = _format_argument(node, body)
        first = 1
        if len(node.arguments) == 1:
            fail("D_PRINTA_PROTO", node.span, "printa( ) prototype mismatch: 1 args passed, 2 expected")
    aggregations = tuple(_printed_aggregations(node, first, body))
    _report(check_joined(aggregations), node)
    if format_ is not None:
        _report(check_arguments(format_, "printa", aggregations[0].key_types, aggregations), node)
    return PrintaAction(bit, format_, aggregations)


def _printed_aggregations(node: ast.Call, first: int, body: Body) -> Iterator[Aggregation]:
    for number, argument in enumerate(node.arguments[first:], first + 1):
        match argument:
            case ast.AggregationName():
                yield find_aggregation(argument, body.names)
            case ast.Index(base=ast.AggregationName() as whole, indices=keys):
                # DTrace reads the keys, and prints all the same.
                for key in keys:
                    check_expression(key, body.names)
                yield find_aggregation(whole, body.names)
            case _:
                given = check_expression(argument, body.names).type
                _not_an_aggregation("D_PRINTA_AGGARG", node, number, given)
