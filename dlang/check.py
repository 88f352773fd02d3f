"""Names and types of whole programs: syntax trees to one `TypedProgram`.

Statements are check_action.py's, expressions check_expression.py's. All program texts of a run (several -n and
-s) are checked in order into one `Names`, as they share variables and aggregations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from dlang import ast
from dlang.actions import ACTIONS
from dlang.check_action import Body, check_statements
from dlang.check_expression import (
    MOST_INLINED,
    check_expression,
    constant_expression,
    named_type,
    node_count,
    with_keys,
)
from dlang.check_operator import assignable, is_scalar, same_type
from dlang.check_place import declare, declare_array
from dlang.check_type import apply_declarator, key_list, key_types, type_of
from dlang.diagnostics import CompileError, Diagnostic, fail, unsupported
from dlang.names import Inline, KeyedInline, Names
from dlang.program import (
    RECORD_HEADER_SIZE,
    AssociativeArray,
    Clause,
    Constant,
    Load,
    Scope,
    Statement,
    StringConstant,
    TypedProgram,
    Value,
    Variable,
    pointed_scopes,
)
from dlang.source import Source, Span
from dlang.types import (
    INT,
    ArrayType,
    FunctionType,
    IntegerType,
    StringType,
    Type,
    VoidType,
    is_bytes,
    is_incomplete,
    is_text,
)

_STORAGE = {"": Scope.GLOBAL, "self": Scope.THREAD, "this": Scope.CLAUSE}
_WHILE_READING: Final = ("D_MACRO_", "D_INT_", "D_DECL_", "D_FUNC_", "D_OFFSETOF_", "D_DIV_ZERO")
"""How the tags begin of what DTrace's parser notices while it reads."""
_WHILE_GENERATING: Final = (
    "D_TRACE_", "D_CLEAR_", "D_TRUNC_", "D_NORMALIZE_", "D_PRINTF_", "D_PRINTA_", "D_FREOPEN_", "D_TRACEMEM_",
    "D_USTACK_", "D_ALLOCA_", "D_PRINT_", "D_SPEC_", "D_COMM_", "D_DREC_", "D_EXIT_", "D_ACT_",
    "D_AGG_SPEC", "D_AGG_COMM", "D_AGG_SCALAR", "D_LQUANT_", "D_LLQUANT_", "D_CG_EXPR",
)  # fmt: skip
"""And of what its code generator notices, which knows of no place either."""
_UNKNOWN: Final = frozenset(["D_IDENT_UNDEF", "D_VAR_UNDEF"])
"""Tags of what a name that nothing was assigned to so far leads to."""


def check_declarations(program: ast.Program, source: Source, names: Names) -> None:
    """Add to `names` what the declarations and inlines of a text say. They count for all of its clauses, also for those
    in front of them: DTrace has read all of it when it compiles the first clause. Raises CompileError."""
    for item in program.items:
        match item:
            case ast.Inline():
                _inline(item, names)
            case ast.Declaration():
                names.included = source.file(item.span) is not None
                _declaration(item, names)


def assemble(clauses: Sequence[Clause], names: Names) -> TypedProgram:
    """Return the program that the clauses of all texts make together."""
    return TypedProgram(
        clauses=tuple(clauses),
        aggregations=tuple(names.aggregations.values()),
        aggregates=tuple(names.aggregates),
        arrays=tuple(names.arrays.values()),
        string_size=names.string_size,
        string_limit=names.string_limit,
        scratch_limit=(names.scratch_limit + 7) // 8 * 8,
        globals_size=names.sizes[Scope.GLOBAL],
        thread_size=names.sizes[Scope.THREAD],
        clause_size=names.sizes[Scope.CLAUSE],
        clause_words=not any(is_bytes(item.type) for item in names.of_scope(Scope.CLAUSE)),
        pointed=pointed_scopes(tuple(clauses)),
        speculations=names.most_speculations if names.speculates else 0,
        destructive=names.destructive,
        copies_out=names.copies_out,
    )


def check_clause(node: ast.Clause, source: Source, names: Names, probe: str) -> Clause:
    """Return a typed clause; `probe` is its first description, as messages show it. Raises CompileError."""
    names.probe = probe
    body = Body(names, source)
    try:
        predicate = _predicate(node, source, names)
    except CompileError as error:
        # The statements may make the variables that the predicate asks for.
        if error.diagnostic.tag not in _UNKNOWN:
            raise
        statements = _body(node, body, error)
        predicate = _predicate(node, source, names)
    else:
        statements = _body(node, body)
    names.probe = None
    prints_row = bool(body.actions) or not node.body
    size = body.size if prints_row else 0
    assert size == 0 or size >= RECORD_HEADER_SIZE
    return Clause(node.descriptions, predicate, statements, tuple(body.actions), size, prints_row)


def _predicate(node: ast.Clause, source: Source, names: Names) -> Value | None:
    if node.predicate is None:
        return None
    names.misplaced.clear()
    try:
        acts = isinstance(node.predicate, ast.Call) and node.predicate.function.name in ACTIONS
        predicate = None if acts else check_expression(node.predicate, names)
        names.check_misplaced()
        if predicate is None or not is_scalar(predicate):
            # DTrace has read all of the clause by then.
            lines = source.line(Span(node.span.end, node.span.end)) - source.line(node.predicate.span)
            words = "predicate result must be of scalar type"
            raise CompileError(Diagnostic("D_PRED_SCALAR", node.predicate.span, words, lines_on=lines))
    except CompileError as error:
        found = replace(
            error.diagnostic, lines_on=error.diagnostic.lines_on or _read_on(error.diagnostic, node, source)
        )
        raise CompileError(_placed(found, "in predicate")) from None
    return predicate


def _read_on(diagnostic: Diagnostic, node: ast.Clause, source: Source) -> int:
    """Return how many lines further DTrace is when it has read an operation that ends a predicate: it looks for what
    follows the slash.
    """
    assert node.predicate is not None
    end = diagnostic.span.end
    steps = source.text[:end].rstrip().endswith(("++", "--"))
    if not diagnostic.tag.startswith("D_OP_") or end != node.predicate.span.end or steps:
        return 0
    behind = source.text[source.text.find("/", end) + 1 :]
    return behind[: len(behind) - len(behind.lstrip())].count("\n")


def _body(node: ast.Clause, body: Body, otherwise: CompileError | None = None) -> tuple[Statement, ...]:
    """Return the statements. `otherwise` is what is wrong if a variable is unknown here as well."""
    try:
        return check_statements(node.body or (), body)
    except CompileError as error:
        if otherwise is not None and error.diagnostic.tag in _UNKNOWN:
            raise otherwise from None
        raise CompileError(_placed(error.diagnostic, "in action list")) from None


def _placed(diagnostic: Diagnostic, place: str) -> Diagnostic:
    """Return a diagnostic with its place in the clause, if DTrace finds it while it checks the clause."""
    elsewhere = diagnostic.tag.startswith((*_WHILE_READING, *_WHILE_GENERATING))
    return diagnostic if elsewhere or diagnostic.place is not None else replace(diagnostic, place=place)


# --- declarations -------------------------------------------------------------------------------------------


def _declaration(node: ast.Declaration, names: Names) -> None:
    def constant(expression: ast.Expression) -> int | None:
        return constant_expression(expression, names)

    if isinstance(node.type, ast.NamedType) and not node.declarators:
        last = node.type.words[-1]
        if len(node.type.words) > 1 and last in names.typedefs:
            if names.included and node.storage == "typedef":
                return
            kind = "typedef" if node.storage == "typedef" else "typedef identifier"
            fail("D_DECL_IDRED", node.span, f"{kind} redeclared: {last}")
    if node.type is None:
        base: Type = INT
    else:
        # Once for all declarators: a structure that is defined here is defined once.
        base = type_of(node.type, names, constant)
    if not node.declarators:
        if isinstance(node.type, ast.NamedType) or node.storage:
            fail("D_DECL_USELESS", node.span, "useless declaration")
        return
    if node.storage == "typedef":
        for declarator in node.declarators:
            _typedef(declarator, apply_declarator(base, declarator, names, constant), names)
        return
    if node.storage == "extern":
        # Says of what type something is that is defined elsewhere, as nothing here can be.
        return
    scope = _STORAGE[node.storage]
    for declarator in node.declarators:
        type_ = apply_declarator(base, declarator, names, constant)
        keys = key_list(declarator)
        if keys is None:
            _declare(scope, declarator, type_, None, names)
        elif scope is Scope.CLAUSE:
            words = "associative arrays may not be declared as local variables"
            fail("D_DECL_LOCASSC", declarator.span, f"{words}: {declarator.name}")
        else:
            types = key_types(keys, declarator.span, names, constant)
            _declare(scope, declarator, type_, types, names)


def _typedef(declarator: ast.Declarator, type_: Type, names: Names) -> None:
    name = declarator.name
    if names.included and (name in names.typedefs or names.is_taken(name)):
        # A header's: D has such a type already.
        return
    if name in names.typedefs:
        fail("D_DECL_IDRED", declarator.span, f"typedef redeclared: {name}")
    if names.is_taken(name):
        fail("D_DECL_IDRED", declarator.span, f"global variable identifier redeclared: {name}")
    names.typedefs[name] = replace(type_, name=name) if isinstance(type_, IntegerType) else type_


def _declare(
    scope: Scope, declarator: ast.Declarator, type_: Type, keys: tuple[Type, ...] | None, names: Names
) -> None:
    name, span = declarator.name, declarator.span
    if "`" in name:
        fail("D_DECL_SCOPE", span, f"D scoping operator may not be used in a declaration name ({name})")
    if isinstance(type_, VoidType):
        fail("D_DECL_VOIDOBJ", span, f"cannot have void object: {name}")
    if is_incomplete(type_):
        fail("D_DECL_INCOMPLETE", span, f"incomplete struct/union/enum {type_}: {name}")
    if isinstance(type_, FunctionType):
        # Means what it means with extern: that there is such a function somewhere.
        return
    variable, array = names.find(scope, name), names.arrays.get((scope, name))
    known = variable or array
    if known is not None:
        if keys is not None and array is not None:
            _check_same_keys(array, keys, span)
        if known.type != type_ or (keys is None) != (array is None):
            current = f"{'scalar' if keys is None else 'associative array'} {type_}"
            previous = f"{'scalar' if array is None else 'associative array'} {known.type}"
            lines = f"identifier redeclared: {name}\n\t current: {current}\n\tprevious: {previous}"
            fail("D_DECL_IDRED", span, lines)
        return
    if scope is Scope.GLOBAL and names.is_taken(name):
        message = f"built-in identifier redeclared: {name}"
        fail("D_DECL_IDRED", span, message, f"{name} is part of D, or an inline")
    if keys is None:
        declare(scope, name, type_, names, span)
    else:
        declare_array(scope, name, type_, keys, names, span)


def _check_same_keys(array: AssociativeArray, keys: tuple[Type, ...], span: Span) -> None:
    name, kind = array.name, "associative array"
    if len(array.key_types) != len(keys):
        current = f"{kind} of {array.type}, tuple length {len(keys)}"
        previous = f"{kind} of {array.type}, tuple length {len(array.key_types)}"
        lines = f"identifier redeclared: {name}\n\t current: {current}\n\tprevious: {previous}"
        fail("D_DECL_IDRED", span, lines)
    for number, (new, old) in enumerate(zip(keys, array.key_types, strict=True), 1):
        if not same_type(new, old):
            current, previous = f"{kind}, key #{number} of type {new}", f"{kind}, key #{number} of type {old}"
            lines = f"identifier redeclared: {name}\n\t current: {current}\n\tprevious: {previous}"
            fail("D_DECL_IDRED", span, lines)


def _inline(node: ast.Inline, names: Names) -> None:
    """Let a name stand for an expression. The expression has to be one that means something already."""
    type_ = named_type(node.type, node.declarator, names)
    name, span = node.declarator.name, node.declarator.span
    if isinstance(type_, VoidType):
        fail("D_DECL_VOIDOBJ", span, f"cannot declare void inline: {name}")
    keys = _inline_keys(node.declarator, names)
    if isinstance(type_, ArrayType) and not keys:
        words = "inline declaration cannot be of scalar array type"
        fail("D_DECL_ARRNULL", span, f"{words}: {name}")
    if names.is_taken(name):
        inline = name in names.inlines or name in names.constants
        previous = "scalar inline" if inline else "scalar"
        previous = "associative array inline" if name in names.keyed_inlines else previous
        lines = f"identifier redefined: {name}\n\t current: inline definition\n\tprevious: {previous}"
        fail("D_DECL_IDRED", span, lines)
    unknown = {key: Load(key_type, Variable(Scope.CLAUSE, key, key_type, 0)) for key, key_type in keys}
    value = with_keys(node.value, unknown, names)
    words = f'inline {name} definition uses incompatible types: "{type_}" = "{value.type}"'
    if isinstance(type_, StringType) != is_text(value.type):
        fail("D_OP_INCOMPAT", node.span, words)
    try:
        value = assignable(value, type_, "=", node.value)
    except CompileError:
        fail("D_OP_INCOMPAT", node.span, words)
    if node_count(value) > MOST_INLINED:
        unsupported(node.value.span, f"an inline that stands for more than {MOST_INLINED} operations")
    if keys:
        names.keyed_inlines[name] = KeyedInline(type_, keys, node.value)
    elif isinstance(value, Constant | StringConstant):
        names.constants[name] = value
    else:
        names.inlines[name] = Inline(node.value)


def _inline_keys(declarator: ast.Declarator, names: Names) -> tuple[tuple[str, Type], ...]:
    """Return the names and types of an inline's keys; a key without a name has an empty one."""
    items = key_list(declarator) or ()
    types = key_types(items, declarator.span, names, lambda node: constant_expression(node, names))
    keys: list[tuple[str, Type]] = []
    for number, (item, type_) in enumerate(zip(items, types, strict=True), 1):
        name = item.declarator.name if isinstance(item, ast.TypeName) else ""
        if name and any(name == known for known, _ in keys):
            words = f"parameter is already declared in array prototype: {name}, parameter #{number}"
            fail("D_DECL_PROTO_FORM", item.span, words)
        keys.append((name, type_))
    return tuple(keys)
