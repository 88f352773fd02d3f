"""The typed program: what check.py makes of a syntax tree, and all that code generation and the consumer need.

Every value is 64 bits wide or a string; names are resolved, types checked, constants folded. This is the seam
between the language and the engines: `lower.py` turns the clauses into code, `records.py` reads what that code
writes by the layouts given here.
"""

from __future__ import annotations

import enum

from dlang.aggregations import Aggregation
from dlang.ast import Description
from dlang.node import Node
from dlang.printf_format import Format
from dlang.source import Span
from dlang.types import StackType, SymbolType, Type

# --- variables ----------------------------------------------------------------------------------------------


class Scope(enum.Enum):
    """Where a variable lives: for the run, for a thread, or for one firing of a probe."""

    GLOBAL = ""
    THREAD = "self->"
    CLAUSE = "this->"


class Variable(Node):
    """`offset` is in bytes inside its scope's block; an integer takes 8, a string `strsize` rounded up to 8."""

    scope: Scope
    name: str
    type: Type
    offset: int


# --- values -------------------------------------------------------------------------------------------------


class Constant(Node):
    """An integer known when the program is compiled."""

    type: Type
    value: int


class StringConstant(Node):
    type: Type
    value: bytes


class ProbeField(enum.Enum):
    """A part of the firing probe's name: known when the site is, a number at run time."""

    PROVIDER = "probeprov"
    MODULE = "probemod"
    FUNCTION = "probefunc"
    NAME = "probename"


class ProbeText(Node):
    """`probefunc` and its like: a string that the site determines."""

    type: Type
    field: ProbeField


class Fact(enum.Enum):
    """What the machine knows about a firing, named as the D variable is."""

    PID = "pid"
    PPID = "ppid"
    TID = "tid"
    UID = "uid"
    GID = "gid"
    CPU = "cpu"
    TIMESTAMP = "timestamp"
    WALLTIMESTAMP = "walltimestamp"
    VTIMESTAMP = "vtimestamp"
    PROBE_ID = "id"
    ENABLING_ID = "epid"


class FactValue(Node):
    type: Type
    fact: Fact


class CommandName(Node):
    """`execname`."""

    type: Type


class Argument(Node):
    """`arg0` … `arg9`."""

    type: Type
    number: int


class Register(Node):
    """`uregs[index]`; the numbers are those of `builtins.REGISTERS`."""

    type: Type
    index: Value
    span: Span


class Load(Node):
    """The value of a variable."""

    type: Type
    variable: Variable


class Store(Node):
    """Assigns, and is the value that the variable has then."""

    type: Type
    variable: Variable
    value: Value


class Step(Node):
    """`x++` and its like: adds `amount`; is the value before (postfix) or after (prefix)."""

    type: Type
    variable: Variable
    amount: int
    prefix: bool


class Arithmetic(Node):
    """`+ - * / % & | ^ << >>` on 64 bits; `type` decides the sign of division, remainder and right shift."""

    type: Type
    operator: str
    left: Value
    right: Value
    span: Span


class Comparison(Node):
    """`== != < <= > >=`; `signed` says how integers compare. Strings compare as strcmp does."""

    type: Type
    operator: str
    left: Value
    right: Value
    signed: bool


class Logical(Node):
    """`&& || ^^`: 0 or 1; `&&` and `||` evaluate the right side only where it matters."""

    type: Type
    operator: str
    left: Value
    right: Value


class UnaryValue(Node):
    """`- ~ !`."""

    type: Type
    operator: str
    operand: Value


class Choice(Node):
    """`condition ? then : otherwise`."""

    type: Type
    condition: Value
    then: Value
    otherwise: Value


class Convert(Node):
    """The operand as an integer or pointer of `type` holds it."""

    type: Type
    operand: Value


class Sequence(Node):
    """`left, right`."""

    type: Type
    left: Value
    right: Value


class Dereference(Node):
    """`*pointer`: an integer or pointer of `type` in the firing's own memory (what copyin returned)."""

    type: Type
    pointer: Value
    span: Span


class CopyIn(Node):
    """`copyin(address, size)`: a pointer to a copy of the process's memory, good until the firing ends."""

    type: Type
    address: Value
    size: Value
    span: Span


class CopyInString(Node):
    """`copyinstr(address[, limit])`: at most `limit` bytes, terminator included."""

    type: Type
    address: Value
    limit: Value | None
    span: Span


class PointedString(Node):
    """`stringof(p)`, `(string)p`: the characters that a pointer into the firing's own memory points to."""

    type: Type
    pointer: Value
    span: Span


class StringSuffix(Node):
    """`string + amount`: the characters from the given one on; past the end it is empty."""

    type: Type
    operand: Value
    amount: Value


class StringLength(Node):
    type: Type
    operand: Value


class UserStack(Node):
    """`ustack()`: where the thread is and who called it, as an action's record or an aggregation's key."""

    type: StackType


class UserSymbol(Node):
    """`usym()` and its like: an address, named by the consumer."""

    type: SymbolType
    address: Value


class UserCaller(Node):
    """`ucaller`: the address that the function returns to; 0 where that can't be told."""

    type: Type


class UserStackDepth(Node):
    """`ustackdepth`: the frames of the stack, as far as a stack is followed."""

    type: Type


Value = (
    Constant
    | StringConstant
    | ProbeText
    | FactValue
    | CommandName
    | Argument
    | Register
    | Load
    | Store
    | Step
    | Arithmetic
    | Comparison
    | Logical
    | UnaryValue
    | Choice
    | Convert
    | Sequence
    | Dereference
    | CopyIn
    | CopyInString
    | PointedString
    | StringSuffix
    | StringLength
    | UserStack
    | UserSymbol
    | UserCaller
    | UserStackDepth
)

# --- statements ---------------------------------------------------------------------------------------------


class Evaluate(Node):
    value: Value


class Aggregate(Node):
    """`@name[keys] = function(value, weight)`.

    `number` counts the program's Aggregate statements: an engine's key begins with it, and the rest of the
    key needs only what is not known from the statement and the site.
    """

    number: int
    aggregation: Aggregation
    keys: tuple[Value, ...]
    value: Value | None
    weight: Value | None


class Branch(Node):
    condition: Value
    then: tuple[Statement, ...]
    otherwise: tuple[Statement, ...]


class RecordField(Node):
    """A value in a record: `offset` in bytes from the record's start; layout.value_size() says how many it takes."""

    offset: int
    value: Value


class TraceAction(Node):
    """`bit`, here and below, is the action's place in the record's word of performed actions."""

    bit: int
    field: RecordField


class StackAction(Node):
    """`ustack()` as a statement."""

    bit: int
    field: RecordField


class SymbolAction(Node):
    """`usym()` and its like as a statement."""

    bit: int
    field: RecordField


class PrintfAction(Node):
    bit: int
    format: Format
    fields: tuple[RecordField, ...]


class PrintaAction(Node):
    bit: int
    format: Format | None
    aggregations: tuple[Aggregation, ...]


class ExitAction(Node):
    bit: int
    field: RecordField


class ClearAction(Node):
    bit: int
    aggregation: Aggregation


class TruncateAction(Node):
    """`field` is None for `trunc(@)`, which keeps nothing."""

    bit: int
    aggregation: Aggregation
    field: RecordField | None


class NormalizeAction(Node):
    bit: int
    aggregation: Aggregation
    field: RecordField


class DenormalizeAction(Node):
    bit: int
    aggregation: Aggregation


Action = (
    TraceAction
    | PrintfAction
    | StackAction
    | SymbolAction
    | PrintaAction
    | ExitAction
    | ClearAction
    | TruncateAction
    | NormalizeAction
    | DenormalizeAction
)


def fields_of(action: Action) -> tuple[RecordField, ...]:
    """Return the values that an action writes into its record."""
    match action:
        case PrintfAction(fields=fields):
            return fields
        case TraceAction(field=field) | ExitAction(field=field) | NormalizeAction(field=field):
            return (field,)
        case StackAction(field=field) | SymbolAction(field=field):
            return (field,)
        case TruncateAction(field=RecordField() as field):
            return (field,)
        case _:
            return ()


Statement = Evaluate | Aggregate | Branch | Action


def is_known_from_site(value: Value) -> bool:
    """Say whether the statement and the site alone give a key's value, without running anything."""
    return isinstance(value, Constant | StringConstant | ProbeText)


def is_known_text(value: Value) -> bool:
    """Say whether the consumer knows a recorded string without being sent it."""
    return isinstance(value, StringConstant | ProbeText)


RECORD_HEADER_SIZE = 24
"""Bytes before a record's fields: site, enabling, processor and thread, 4 bytes each; then 8 whose bits say
which of the clause's actions were performed."""

# --- the program --------------------------------------------------------------------------------------------


class Clause(Node):
    """`actions` lists the recording actions of the body in order, those inside branches included.

    `record_size` is in bytes, header included; 0 where the clause records nothing. `prints_row` is true for
    a clause whose firing shows a row in the output: one that records, or whose body is empty.
    """

    descriptions: tuple[Description, ...]
    predicate: Value | None
    statements: tuple[Statement, ...]
    actions: tuple[Action, ...]
    record_size: int
    prints_row: bool


class Enabling(Node):
    """A clause enabled by one of its descriptions; `number` is N in DTrace's `dt_clause_N`."""

    number: int
    clause: Clause


class TypedProgram(Node):
    """All clauses of all program texts of a run, in order, with what they share.

    `*_size` are the sizes in bytes of the blocks of global, thread-local and clause-local variables.
    `string_size` is option strsize rounded up to 8: strings are zero-padded to it in memory.
    """

    clauses: tuple[Clause, ...]
    aggregations: tuple[Aggregation, ...]
    aggregates: tuple[Aggregate, ...]
    string_size: int
    string_limit: int
    globals_size: int
    thread_size: int
    clause_size: int
