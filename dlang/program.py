"""The typed program: what check.py makes of a syntax tree, and all that code generation and the consumer need.

Every value is 64 bits wide, a string, or bytes (a structure); names are resolved, types checked, constants folded.
This is the seam between the language and the engines: `lower.py` turns the clauses into code, `records.py` reads what
that code writes by the layouts given here.
"""

from __future__ import annotations

import enum

from dlang.aggregations import Aggregation
from dlang.ast import Description
from dlang.node import Node
from dlang.printf_format import Format
from dlang.source import Span
from dlang.types import BitField, StackType, SymbolType, Type

# --- variables ----------------------------------------------------------------------------------------------


class Scope(enum.Enum):
    """Where a variable lives: for the run, for a thread, or for one firing of a probe."""

    GLOBAL = ""
    THREAD = "self->"
    CLAUSE = "this->"


class Variable(Node):
    """`offset` is in bytes inside its scope's block, where it takes `types.stored_size`: an integer 8."""

    scope: Scope
    name: str
    type: Type
    offset: int


class AssociativeArray(Node):
    """`name[keys]`, global or thread-local; `type` is that of its elements, `number` counts the program's."""

    scope: Scope
    name: str
    type: Type
    key_types: tuple[Type, ...]
    number: int


# --- places: what can be assigned to ------------------------------------------------------------------------


class Element(Node):
    """`array[keys]`. An element that was never assigned, or was assigned zero, is not stored anywhere."""

    type: Type
    array: AssociativeArray
    keys: tuple[Value, ...]
    span: Span


class Memory(Node):
    """`*pointer`: in the firing's own memory, which copyin() and alloca() return pointers into."""

    type: Type
    pointer: Value
    span: Span


class Part(Node):
    """A member of a structure, or an element of an array, inside of `base`: `offset` bytes from its start, and
    `index * stride` more. `index` is below `length`, else a fault."""

    type: Type
    base: Place
    offset: int
    span: Span
    bits: BitField | None = None
    index: Value | None = None
    length: int = 0
    stride: int = 0


class Temporary(Node):
    """A structure that no variable holds, such as that of `?:`."""

    type: Type
    value: Value


Place = Variable | Element | Memory | Part | Temporary


def root(place: Place) -> Place:
    """Return the place that one is a part of, or a part of a part; itself if it is whole."""
    while isinstance(place, Part):
        place = place.base
    return place


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
    """`uregs[number]`."""

    type: Type
    number: int


class Load(Node):
    """The value at a place."""

    type: Type
    place: Place


class Store(Node):
    """Assigns, and is the value that the place has then. A structure's value may be the constant 0: all its bytes."""

    type: Type
    place: Place
    value: Value


class Current(Node):
    """Inside of an Update: what the place held before. `number` tells the updates of a program apart."""

    type: Type
    number: int


class Update(Node):
    """`place += value` and its like, where finding the place has effects or costs: it is found once.

    `value` contains `current`."""

    type: Type
    place: Place
    current: Current
    value: Value


class Step(Node):
    """`x++` and its like: adds `amount`; is the value before (postfix) or after (prefix)."""

    type: Type
    place: Place
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


class AddressOf(Node):
    """Where a place begins that is a Memory or a Part of one, a global or clause-local variable that is an array, or a
    Part of one: `&place`, or what an array there decays to."""

    type: Type
    place: Place


class CopyIn(Node):
    """`copyin(address, size)`: a pointer to a copy of the process's memory, good until the firing ends."""

    type: Type
    address: Value
    size: Value
    span: Span


class Allocate(Node):
    """`alloca(size)`: a pointer to zeroed memory, good until the firing ends."""

    type: Type
    size: Value
    span: Span


class CopyInto(Node):
    """`copyinto(address, size, destination)`: copies the process's memory to a pointer of the firing's own."""

    type: Type
    address: Value
    size: Value
    destination: Value
    span: Span


class CopyBytes(Node):
    """`bcopy(source, destination, size)`: copies within the firing's own memory."""

    type: Type
    source: Value
    destination: Value
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


class NullString(Node):
    """NULL where a string is wanted: below every other, and printed as nothing."""

    type: Type


class ArrayText(Node):
    """The characters of an array of char, up to the first zero."""

    type: Type
    place: Place


class StringSuffix(Node):
    """`string + amount`: the characters from the given one on; past the end it is empty."""

    type: Type
    operand: Value
    amount: Value


class CharacterAt(Node):
    """`string[index]`: a character, 0 behind the end."""

    type: Type
    operand: Value
    index: Value
    span: Span


class StringLength(Node):
    type: Type
    operand: Value
    span: Span


class SpeculationNumber(Node):
    """The operand where it is the number of a speculation that is under way, else 0. With `ends` it is so no more."""

    type: Type
    operand: Value
    ends: bool
    span: Span


class SubroutineCall(Node):
    """A subroutine that computes with its arguments alone; `name` is that of its row in actions.py.

    `rest` is where strtok() keeps what it has not looked at yet; its text is left out where that goes on with it.
    """

    type: Type
    name: str
    arguments: tuple[Value, ...]
    rest: Variable | None
    span: Span


class UserStack(Node):
    """`ustack()`: where the thread is and who called it, at most `frames` of them."""

    type: StackType
    frames: int


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
    | Current
    | Update
    | Step
    | Arithmetic
    | Comparison
    | Logical
    | UnaryValue
    | Choice
    | Convert
    | Sequence
    | AddressOf
    | CopyIn
    | Allocate
    | CopyInto
    | CopyBytes
    | CopyInString
    | PointedString
    | NullString
    | ArrayText
    | StringSuffix
    | CharacterAt
    | StringLength
    | SubroutineCall
    | UserStack
    | UserSymbol
    | UserCaller
    | UserStackDepth
    | SpeculationNumber
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


class Signal(Node):
    """`raise(number)`; `stop()` is SIGSTOP. Records nothing."""

    number: Value


class CopyOut(Node):
    """`copyout(source, address, size)`: from the firing's own memory to the process's. Records nothing."""

    source: Value
    address: Value
    size: Value
    span: Span


class CopyOutString(Node):
    """`copyoutstr(text, address, limit)`: the text and its end, at most `limit` bytes. Records nothing."""

    text: Value
    address: Value
    limit: Value
    span: Span


class RecordField(Node):
    """A value in a record: `offset` in bytes from the record's start; it takes `types.stored_size` there."""

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


class SpeculateAction(Node):
    """The rest of the clause's record is held back under the field's number; nothing is recorded under 0."""

    bit: int
    field: RecordField


class CommitAction(Node):
    """The field is a speculation's number, or 0 where there is nothing to do."""

    bit: int
    field: RecordField


class DiscardAction(Node):
    """See CommitAction."""

    bit: int
    field: RecordField


class SystemAction(Node):
    bit: int
    format: Format
    fields: tuple[RecordField, ...]


class FreopenAction(Node):
    """`format` is None for `freopen("")`."""

    bit: int
    format: Format | None
    fields: tuple[RecordField, ...]


class SetOptionAction(Node):
    """`fields` are the name and, where it is given, the value."""

    bit: int
    fields: tuple[RecordField, ...]


class DumpAction(Node):
    """tracemem(): `field` has the bytes, `shown` how many of them are to be shown, None for all."""

    bit: int
    field: RecordField
    shown: RecordField | None


class PrintAction(Node):
    """print(): where the value is, and the value."""

    bit: int
    address: RecordField
    field: RecordField


Action = (
    TraceAction
    | DumpAction
    | PrintAction
    | PrintfAction
    | StackAction
    | SymbolAction
    | PrintaAction
    | ExitAction
    | ClearAction
    | TruncateAction
    | NormalizeAction
    | DenormalizeAction
    | SpeculateAction
    | CommitAction
    | DiscardAction
    | SystemAction
    | FreopenAction
    | SetOptionAction
)


def fields_of(action: Action) -> tuple[RecordField, ...]:
    """Return the values that an action writes into its record."""
    match action:
        case (
            PrintfAction(fields=fields)
            | SystemAction(fields=fields)
            | FreopenAction(fields=fields)
            | SetOptionAction(fields=fields)
        ):
            return fields
        case SpeculateAction(field=field) | CommitAction(field=field) | DiscardAction(field=field):
            return (field,)
        case TraceAction(field=field) | ExitAction(field=field) | NormalizeAction(field=field):
            return (field,)
        case StackAction(field=field) | SymbolAction(field=field):
            return (field,)
        case DumpAction(field=field, shown=shown):
            return (field,) if shown is None else (field, shown)
        case PrintAction(address=address, field=field):
            return (address, field)
        case TruncateAction(field=RecordField() as field):
            return (field,)
        case _:
            return ()


Unrecorded = Evaluate | Aggregate | Branch | Signal | CopyOut | CopyOutString
"""Statements that leave nothing in their clause's record, but for what a branch holds."""
Statement = Unrecorded | Action


def pointed_scopes(node: object) -> frozenset[Scope]:
    """Return the scopes of the variables of which a node, or a tuple of them, takes an address."""
    if isinstance(node, tuple):
        return frozenset().union(*map(pointed_scopes, node))
    if not isinstance(node, Node):
        return frozenset()
    found = frozenset().union(*map(pointed_scopes, vars(node).values()))
    if isinstance(node, AddressOf):
        place = root(node.place)
        if isinstance(place, Variable):
            found |= {place.scope}
    return found


def is_known_from_site(value: Value) -> bool:
    """Say whether the statement and the site alone give a key's value, without running anything."""
    return isinstance(value, Constant | StringConstant | ProbeText)


def is_known_text(value: Value) -> bool:
    """Say whether the consumer knows a recorded string without being sent it."""
    return isinstance(value, StringConstant | ProbeText)


RECORD_HEADER_SIZE = 24
"""Bytes before a record's fields: site, enabling, processor and thread, 4 bytes each; then 8 whose bits say
which of the clause's actions were performed."""
ALWAYS_PERFORMED = 0
"""The bit, in that word, of all actions that are in no branch."""

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

    `*_size` are the sizes in bytes of the blocks of global, thread-local and clause-local variables; `clause_words`
    says whether all of the latter are words or strings; `pointed` are the scopes to whose variables pointers are made.
    `string_size` is option strsize rounded up to 8: strings are zero-padded to it in memory. `scratch_limit` is option
    scratchsize rounded up to 8. `speculations` is
    option nspec, or 0 where nothing speculates; `destructive` says whether some action needs that option, `copies_out`
    whether one writes to the process.
    """

    clauses: tuple[Clause, ...]
    aggregations: tuple[Aggregation, ...]
    aggregates: tuple[Aggregate, ...]
    arrays: tuple[AssociativeArray, ...]
    string_size: int
    string_limit: int
    scratch_limit: int
    globals_size: int
    thread_size: int
    clause_size: int
    clause_words: bool
    pointed: frozenset[Scope] = frozenset()
    speculations: int = 0
    destructive: bool = False
    copies_out: bool = False
