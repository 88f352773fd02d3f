"""The typed program: what check.py makes of a syntax tree, and all that code generation and the consumer need.

Every value is 64 bits wide or a string; names are resolved, types checked, constants folded. This is the seam
between the language and the engines: `lower.py` turns the clauses into code, `records.py` reads what that code
writes by the layouts given here.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from dlang.aggregations import Aggregation
from dlang.ast import Description
from dlang.printf_format import Format
from dlang.source import Span
from dlang.types import Type

# --- variables ----------------------------------------------------------------------------------------------


class Scope(enum.Enum):
    """Where a variable lives: for the run, for a thread, or for one firing of a probe."""

    GLOBAL = ""
    THREAD = "self->"
    CLAUSE = "this->"


@dataclass(frozen=True, slots=True)
class Variable:
    """`offset` is in bytes inside its scope's block; an integer takes 8, a string `strsize` rounded up to 8."""

    scope: Scope
    name: str
    type: Type
    offset: int


# --- values -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Constant:
    """An integer known when the program is compiled."""

    type: Type
    value: int


@dataclass(frozen=True, slots=True)
class StringConstant:
    type: Type
    value: bytes


class ProbeField(enum.Enum):
    """A part of the firing probe's name: known when the site is, a number at run time."""

    PROVIDER = "probeprov"
    MODULE = "probemod"
    FUNCTION = "probefunc"
    NAME = "probename"


@dataclass(frozen=True, slots=True)
class ProbeText:
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


@dataclass(frozen=True, slots=True)
class FactValue:
    type: Type
    fact: Fact


@dataclass(frozen=True, slots=True)
class CommandName:
    """`execname`."""

    type: Type


@dataclass(frozen=True, slots=True)
class Argument:
    """`arg0` … `arg9`."""

    type: Type
    number: int


@dataclass(frozen=True, slots=True)
class Register:
    """`uregs[index]`; the numbers are those of `builtins.REGISTERS`."""

    type: Type
    index: Value
    span: Span


@dataclass(frozen=True, slots=True)
class Load:
    """The value of a variable."""

    type: Type
    variable: Variable


@dataclass(frozen=True, slots=True)
class Store:
    """Assigns, and is the value that the variable has then."""

    type: Type
    variable: Variable
    value: Value


@dataclass(frozen=True, slots=True)
class Step:
    """`x++` and its like: adds `amount`; is the value before (postfix) or after (prefix)."""

    type: Type
    variable: Variable
    amount: int
    prefix: bool


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """`+ - * / % & | ^ << >>` on 64 bits; `type` decides the sign of division, remainder and right shift."""

    type: Type
    operator: str
    left: Value
    right: Value
    span: Span


@dataclass(frozen=True, slots=True)
class Comparison:
    """`== != < <= > >=`; `signed` says how integers compare. Strings compare as strcmp does."""

    type: Type
    operator: str
    left: Value
    right: Value
    signed: bool


@dataclass(frozen=True, slots=True)
class Logical:
    """`&& || ^^`: 0 or 1; `&&` and `||` evaluate the right side only where it matters."""

    type: Type
    operator: str
    left: Value
    right: Value


@dataclass(frozen=True, slots=True)
class UnaryValue:
    """`- ~ !`."""

    type: Type
    operator: str
    operand: Value


@dataclass(frozen=True, slots=True)
class Choice:
    """`condition ? then : otherwise`."""

    type: Type
    condition: Value
    then: Value
    otherwise: Value


@dataclass(frozen=True, slots=True)
class Convert:
    """The operand as an integer or pointer of `type` holds it."""

    type: Type
    operand: Value


@dataclass(frozen=True, slots=True)
class Sequence:
    """`left, right`."""

    type: Type
    left: Value
    right: Value


@dataclass(frozen=True, slots=True)
class Dereference:
    """`*pointer`: an integer or pointer of `type` in the firing's own memory (what copyin returned)."""

    type: Type
    pointer: Value
    span: Span


@dataclass(frozen=True, slots=True)
class CopyIn:
    """`copyin(address, size)`: a pointer to a copy of the process's memory, good until the firing ends."""

    type: Type
    address: Value
    size: Value
    span: Span


@dataclass(frozen=True, slots=True)
class CopyInString:
    """`copyinstr(address[, limit])`: at most `limit` bytes, terminator included."""

    type: Type
    address: Value
    limit: Value | None
    span: Span


@dataclass(frozen=True, slots=True)
class PointedString:
    """`stringof(p)`, `(string)p`: the characters that a pointer into the firing's own memory points to."""

    type: Type
    pointer: Value
    span: Span


@dataclass(frozen=True, slots=True)
class StringSuffix:
    """`string + amount`: the characters from the given one on; past the end it is empty."""

    type: Type
    operand: Value
    amount: Value


@dataclass(frozen=True, slots=True)
class StringLength:
    type: Type
    operand: Value


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
)

# --- statements ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Evaluate:
    value: Value


@dataclass(frozen=True, slots=True)
class Aggregate:
    """`@name[keys] = function(value, weight)`.

    `number` counts the program's Aggregate statements: an engine's key begins with it, and the rest of the
    key needs only what is not known from the statement and the site.
    """

    number: int
    aggregation: Aggregation
    keys: tuple[Value, ...]
    value: Value | None
    weight: Value | None


@dataclass(frozen=True, slots=True)
class Branch:
    condition: Value
    then: tuple[Statement, ...]
    otherwise: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class RecordField:
    """A value in a record: `offset` in bytes from the record's start; 8 bytes, or a zero-padded string."""

    offset: int
    value: Value


@dataclass(frozen=True, slots=True)
class TraceAction:
    """`bit`, here and below, is the action's place in the record's word of performed actions."""

    bit: int
    field: RecordField


@dataclass(frozen=True, slots=True)
class PrintfAction:
    bit: int
    format: Format
    fields: tuple[RecordField, ...]


@dataclass(frozen=True, slots=True)
class PrintaAction:
    bit: int
    format: Format | None
    aggregations: tuple[Aggregation, ...]


@dataclass(frozen=True, slots=True)
class ExitAction:
    bit: int
    field: RecordField


@dataclass(frozen=True, slots=True)
class ClearAction:
    bit: int
    aggregation: Aggregation


@dataclass(frozen=True, slots=True)
class TruncateAction:
    """`field` is None for `trunc(@)`, which keeps nothing."""

    bit: int
    aggregation: Aggregation
    field: RecordField | None


@dataclass(frozen=True, slots=True)
class NormalizeAction:
    bit: int
    aggregation: Aggregation
    field: RecordField


@dataclass(frozen=True, slots=True)
class DenormalizeAction:
    bit: int
    aggregation: Aggregation


Action = (
    TraceAction
    | PrintfAction
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


@dataclass(frozen=True, slots=True)
class Clause:
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


@dataclass(frozen=True, slots=True)
class Enabling:
    """A clause enabled by one of its descriptions; `number` is N in DTrace's `dt_clause_N`."""

    number: int
    clause: Clause


@dataclass(frozen=True, slots=True)
class TypedProgram:
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
