"""Names and types of whole programs: syntax trees to one `TypedProgram`.

Statements are check_action.py's, expressions check_expression.py's. All program texts of a run (several -n and
-s) are checked in order into one `Names`, as they share variables and aggregations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dlang import ast, builtins
from dlang.actions import ACTIONS, SUBROUTINES
from dlang.check_action import Body, check_statements
from dlang.check_expression import check_expression, convert, is_scalar
from dlang.diagnostics import CompileError, fail, unsupported
from dlang.names import Names, declared_type, type_of
from dlang.program import RECORD_HEADER_SIZE, Clause, Constant, Scope, StringConstant, TypedProgram
from dlang.source import Source
from dlang.types import INT, StringType, Type, VoidType

_STORAGE = {"": Scope.GLOBAL, "self": Scope.THREAD, "this": Scope.CLAUSE}


def check(program: ast.Program, source: Source, names: Names) -> tuple[Clause, ...]:
    """Return the typed clauses of one program text; what it declares goes into `names`. Raises CompileError."""
    clauses = []
    for item in program.items:
        match item:
            case ast.Clause():
                clauses.append(_clause(item, source, names))
            case ast.Declaration():
                _declaration(item, names)
            case ast.Inline():
                _inline(item, names)
    return tuple(clauses)


def assemble(clauses: Sequence[Clause], names: Names) -> TypedProgram:
    """Return the program that the clauses of all texts make together."""
    return TypedProgram(
        clauses=tuple(clauses),
        aggregations=tuple(names.aggregations.values()),
        aggregates=tuple(names.aggregates),
        string_size=names.string_size,
        string_limit=names.string_limit,
        globals_size=names.sizes[Scope.GLOBAL],
        thread_size=names.sizes[Scope.THREAD],
        clause_size=names.sizes[Scope.CLAUSE],
    )


def _clause(node: ast.Clause, source: Source, names: Names) -> Clause:
    predicate = None
    if node.predicate is not None:
        try:
            predicate = check_expression(node.predicate, names)
            if not is_scalar(predicate):
                fail("D_PRED_SCALAR", node.predicate.span, "predicate result must be of scalar type")
        except CompileError as error:
            raise CompileError(replace(error.diagnostic, place="in predicate")) from None
    body = Body(names, source)
    try:
        statements = check_statements(node.body or (), body)
    except CompileError as error:
        raise CompileError(replace(error.diagnostic, place="in action list")) from None
    prints_row = bool(body.actions) or not node.body
    size = body.size if prints_row else 0
    assert size == 0 or size >= RECORD_HEADER_SIZE
    return Clause(node.descriptions, predicate, statements, tuple(body.actions), size, prints_row)


# --- declarations -------------------------------------------------------------------------------------------


def _declaration(node: ast.Declaration, names: Names) -> None:
    if node.storage == "extern":
        unsupported(node.span, "extern declarations")
    if node.storage == "typedef":
        assert node.type is not None
        for declarator in node.declarators:
            names.typedefs[declarator.name] = declared_type(node.type, declarator, names)
        return
    if not node.declarators and node.type is not None:
        type_of(node.type, names)
        fail("D_DECL_USELESS", node.span, "useless declaration")
    scope = _STORAGE[node.storage]
    for declarator in node.declarators:
        type_: Type = INT if node.type is None else declared_type(node.type, declarator, names)
        if isinstance(type_, VoidType):
            fail("D_DECL_VOIDOBJ", declarator.span, f"cannot have void object: {declarator.name}")
        _declare(scope, declarator, type_, names)


def _declare(scope: Scope, declarator: ast.Declarator, type_: Type, names: Names) -> None:
    name = declarator.name
    known = names.find(scope, name)
    if known is not None:
        if known.type != type_:
            current = f"\n\t current: scalar {type_}\n\tprevious: scalar {known.type}"
            lines = f"identifier redeclared: {scope.value}{name}{current}"
            fail("D_DECL_IDRED", declarator.span, lines)
        return
    if scope is Scope.GLOBAL and _is_taken(name, names):
        message = f"built-in identifier redeclared: {name}"
        fail("D_DECL_IDRED", declarator.span, message, f"{name} is part of D, or an inline")
    names.declare(scope, name, type_)


def _is_taken(name: str, names: Names) -> bool:
    """Say whether a name is D's own, or an inline's."""
    taken = (builtins.VARIABLES, builtins.NOT_COMPILED, names.constants, ACTIONS, SUBROUTINES)
    return any(name in known for known in taken)


def _inline(node: ast.Inline, names: Names) -> None:
    """Give an inline its value. Inlines of constants are compiled; others are named as not supported."""
    type_ = declared_type(node.type, node.declarator, names)
    name = node.declarator.name
    if _is_taken(name, names) or names.find(Scope.GLOBAL, name) is not None:
        kind = "scalar inline" if name in names.constants else "scalar"
        lines = f"identifier redefined: {name}\n\t current: inline definition\n\tprevious: {kind}"
        fail("D_DECL_IDRED", node.declarator.span, lines)
    value = check_expression(node.value, names)
    if not isinstance(value, Constant | StringConstant):
        unsupported(node.value.span, "an inline of anything but a constant")
    if isinstance(type_, StringType) != isinstance(value, StringConstant):
        words = f'inline {name} definition uses incompatible types: "{type_}" = "{value.type}"'
        fail("D_OP_INCOMPAT", node.span, words)
    names.constants[name] = value if isinstance(value, StringConstant) else convert(value, type_)
