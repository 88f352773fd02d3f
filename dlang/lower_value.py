"""Code for expressions: `word` for those whose value is a 64-bit word, `string_into` and `string_at` for strings,
`bytes_into` for structures.

Strings are emitted into the place where they are wanted (a variable, a record, a key), so that most are copied
once. What works on characters in memory is string_code.py's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, assert_never

import llvmlite.ir as ir

from dlang.emit_ir import (
    I8,
    I64,
    as_word,
    at,
    constant,
    copy_words,
    is_null,
    load,
    opaque,
    store,
    zero_words,
)
from dlang.frame import Frame, merge_words
from dlang.layout import CLAUSE_POINTER, GLOBAL_POINTER, SCRATCH_POINTER, array_key_size
from dlang.lower_place import (
    Entry,
    Fixed,
    InMemory,
    Spot,
    bounded_size,
    convert,
    is_null_string,
    load_bytes,
    load_text,
    load_word,
    moved,
    null_string_into,
    own_memory,
    own_range,
    step_word,
    store_bytes,
    store_text,
    store_word,
    text_in_place,
    variable_spot,
)
from dlang.lower_speculation import active_speculation, ended_speculation
from dlang.lower_stack import caller, depth, stack_into
from dlang.lower_subroutine import string_result, word_result
from dlang.notices import Fault
from dlang.program import (
    AddressOf,
    Allocate,
    Argument,
    Arithmetic,
    ArrayText,
    CharacterAt,
    Choice,
    CommandName,
    Comparison,
    Constant,
    Convert,
    CopyBytes,
    CopyIn,
    CopyInString,
    CopyInto,
    CopyOut,
    CopyOutString,
    Current,
    Element,
    Fact,
    FactValue,
    Load,
    Logical,
    Memory,
    NullString,
    Part,
    Place,
    PointedString,
    ProbeText,
    Register,
    Scope,
    Sequence,
    SpeculationNumber,
    Step,
    Store,
    StringConstant,
    StringLength,
    StringSuffix,
    SubroutineCall,
    Temporary,
    UnaryValue,
    Update,
    UserCaller,
    UserStack,
    UserStackDepth,
    UserSymbol,
    Value,
    Variable,
)
from dlang.source import Span
from dlang.string_code import are_equal, length, order
from dlang.types import StringType, Type, is_bytes, is_signed, is_word, size_of, stored_size


def word(value: Value, frame: Frame) -> ir.Value:
    """Emit an integer or pointer expression; returns it as an i64, extended by its type's sign."""
    b = frame.b
    match value:
        case Constant(value=number):
            return constant(number)
        case FactValue(fact=Fact.ENABLING_ID):
            return b.or_(b.shl(frame.site(), constant(32)), constant(frame.enabling))
        case FactValue(fact=fact):
            return frame.fact(fact)
        case Argument(number=number):
            return frame.argument(number)
        case Register(number=number):
            return frame.target.register(b, number)
        case Load():
            return _load(value, frame)
        case Store():
            return _store(value, frame)
        case Current(number=number):
            return frame.current[number]
        case Update():
            return _update(value, frame)
        case Step():
            return _step(value, frame)
        case Arithmetic():
            return _arithmetic(value, frame)
        case Comparison():
            return _comparison(value, frame)
        case Logical():
            return _logical(value, frame)
        case UnaryValue(operator=operator, operand=operand):
            return _unary(operator, word(operand, frame), b)
        case Choice(condition=condition, then=then, otherwise=otherwise):
            return choose(condition, lambda: word(then, frame), lambda: word(otherwise, frame), frame)
        case Convert(type=type_, operand=operand):
            return convert(b, word(operand, frame), type_)
        case Sequence(left=left, right=right):
            evaluate(left, frame)
            return word(right, frame)
        case AddressOf(place=place):
            return _address(place, frame)
        case CopyIn():
            return _copy_in(value, frame)
        case UserSymbol(address=address):
            return word(address, frame)
        case UserCaller():
            return caller(frame)
        case UserStackDepth():
            return depth(frame)
        case Allocate():
            return _allocate(value, frame)
        case CopyInto():
            return _copy_into(value, frame)
        case CopyBytes():
            return _copy_bytes(value, frame)
        case CharacterAt():
            return _character(value, frame)
        case StringLength(operand=operand, span=span):
            with frame.temporaries():
                return length(b, text_at(operand, span, frame), frame.program.string_size)
        case SpeculationNumber(operand=operand, ends=ends, span=span):
            number = word(operand, frame)
            return ended_speculation(number, span, frame) if ends else active_speculation(number, frame)
        case SubroutineCall():
            with frame.temporaries():
                return word_result(value, _arguments(value, frame), frame)
        case (
            StringConstant()
            | ProbeText()
            | CommandName()
            | CopyInString()
            | PointedString()
            | NullString()
            | ArrayText()
            | StringSuffix()
        ):
            raise AssertionError(f"a string where a word is wanted: {value}")
        case UserStack():
            raise AssertionError(f"a stack where a word is wanted: {value}")
    assert_never(value)


def value_into(value: Value, place: ir.Value, frame: Frame) -> None:
    """Emit an expression of any type into the bytes at `place` that types.stored_size() says it takes."""
    match value:
        case _ if isinstance(value.type, StringType):
            string_into(value, place, frame)
        case _ if is_bytes(value.type):
            bytes_into(value, place, frame)
        case _:
            store(frame.b, word(value, frame), place)


def evaluate(value: Value, frame: Frame) -> None:
    """Emit an expression for its effects."""
    with frame.temporaries():
        if isinstance(value.type, StringType):
            string_at(value, frame)
        elif is_bytes(value.type):
            bytes_at(value, frame)
        else:
            word(value, frame)


def truth(value: Value, frame: Frame) -> ir.Value:
    """Emit a condition; returns an i1."""
    return frame.b.icmp_unsigned("!=", word(value, frame), constant(0))


def choose(
    condition: Value, then: Callable[[], ir.Value], otherwise: Callable[[], ir.Value], frame: Frame
) -> ir.Value:
    """Emit `condition ? then : otherwise`, evaluating one side only."""
    b = frame.b
    sources = []
    with b.if_else(truth(condition, frame)) as (yes, no):
        for side, emit in ((yes, then), (no, otherwise)):
            with side:
                result = emit()
                sources.append((b.block, result))
    return merge_words(b, sources)


# --- places -------------------------------------------------------------------------------------------------


def locate(place: Place, frame: Frame) -> Spot:
    """Emit the operands of a place: keys, indices, pointers. What is there is looked for when it is used."""
    match place:
        case Variable():
            return variable_spot(place, frame)
        case Element():
            return _entry(place, frame)
        case Memory(pointer=pointer, span=span):
            return Spot(InMemory(word(pointer, frame), span))
        case Part(base=base, offset=offset):
            return moved(locate(base, frame), _part_offset(place, frame), offset, frame)
        case Temporary(value=value):
            return Spot(Fixed(bytes_at(value, frame)))
    assert_never(place)


def _part_offset(part: Part, frame: Frame) -> ir.Value | None:
    """Return where an index leads, bounded so that the kernel's verifier sees it."""
    if part.index is None:
        return None
    b = frame.b
    number = opaque(b, word(part.index, frame))
    outside = b.icmp_unsigned(">=", number, constant(part.length))
    frame.fault_when(outside, Fault.BADINDEX, number, part.span)
    return b.mul(number, constant(part.stride))


def _entry(place: Element, frame: Frame) -> Spot:
    array = place.array
    size = array_key_size(array, frame.program.string_size)
    parts: list[tuple[ir.Value, Type | None]] = []
    if array.scope is Scope.THREAD:
        parts.append((frame.fact(Fact.TID), None))
    for key in place.keys:
        if is_word(key.type):
            parts.append((word(key, frame), None))
        else:
            text = frame.temporary(stored_size(key.type, frame.program.string_size))
            recorded_into(key, text, frame)
            parts.append((text, key.type))
    return Spot(Entry(array, size, tuple(parts)))


def _load(value: Load, frame: Frame) -> ir.Value:
    return load_word(locate(value.place, frame), value.place, frame)


def _store(value: Store, frame: Frame) -> ir.Value:
    new = convert(frame.b, word(value.value, frame), value.place.type)
    store_word(locate(value.place, frame), value.place, new, frame)
    return new


def _update(value: Update, frame: Frame) -> ir.Value:
    spot = locate(value.place, frame)
    frame.current[value.current.number] = load_word(spot, value.place, frame)
    new = convert(frame.b, word(value.value, frame), value.place.type)
    store_word(spot, value.place, new, frame)
    return new


def _step(value: Step, frame: Frame) -> ir.Value:
    old, new = step_word(locate(value.place, frame), value.place, value.amount, frame)
    return new if value.prefix else old


def _address(place: Place, frame: Frame) -> ir.Value:
    """Return a D pointer to a place in the firing's own memory, or in a variable."""
    match place:
        case Variable(scope=Scope.GLOBAL, offset=offset):
            return constant(GLOBAL_POINTER + offset)
        case Variable(scope=Scope.CLAUSE, offset=offset):
            return constant(CLAUSE_POINTER + offset)
        case Memory(pointer=pointer):
            return word(pointer, frame)
        case Part(base=base, offset=offset):
            address = frame.b.add(_address(base, frame), constant(offset))
            moving = _part_offset(place, frame)
            return address if moving is None else frame.b.add(address, moving)
    raise AssertionError(f"the address of {place}")


# --- structures and other bytes -----------------------------------------------------------------------------


def bytes_into(value: Value, place: ir.Value, frame: Frame) -> None:
    """Emit a structure, an array, a stack or a floating-point number into memory that is its size, rounded up to 8."""
    size = stored_size(value.type, frame.program.string_size)
    with frame.temporaries():
        match value:
            case Constant(value=0):
                zero_words(frame.b, place, size)
            case UserStack(frames=frames):
                zero_words(frame.b, at(frame.b, place, 8 * frames), size - 8 * frames)
                stack_into(frames, place, frame)
            case Load(place=source):
                if size_of(value.type, frame.program.string_size) != size:
                    store(frame.b, 0, place, size - 8)
                load_bytes(locate(source, frame), source, place, frame)
            case Choice(condition=condition, then=then, otherwise=otherwise):
                with frame.b.if_else(truth(condition, frame)) as (yes, no):
                    with yes:
                        bytes_into(then, place, frame)
                    with no:
                        bytes_into(otherwise, place, frame)
            case Store(place=target, value=new):
                bytes_into(new, place, frame)
                store_bytes(locate(target, frame), target, place, frame)
            case Sequence(left=left, right=right):
                evaluate(left, frame)
                bytes_into(right, place, frame)
            case _:
                raise AssertionError(f"bytes of {value}")


def bytes_at(value: Value, frame: Frame) -> ir.Value:
    """Emit a structure, and return the pointer to it, good to the end of `temporaries`."""
    place = frame.temporary(stored_size(value.type, frame.program.string_size))
    bytes_into(value, place, frame)
    return place


# --- operators ----------------------------------------------------------------------------------------------


def _unary(operator: str, operand: ir.Value, b: ir.IRBuilder) -> ir.Value:
    match operator:
        case "-":
            return b.sub(constant(0), operand)
        case "~":
            return b.xor(operand, constant(-1))
        case _:
            return as_word(b, b.icmp_unsigned("==", operand, constant(0)))


def _arithmetic(value: Arithmetic, frame: Frame) -> ir.Value:
    b = frame.b
    left, right = word(value.left, frame), word(value.right, frame)
    signed = is_signed(value.type)
    match value.operator:
        case "+":
            return b.add(left, right)
        case "-":
            return b.sub(left, right)
        case "*":
            return b.mul(left, right)
        case "&":
            return b.and_(left, right)
        case "|":
            return b.or_(left, right)
        case "^":
            return b.xor(left, right)
        case "<<":
            return b.shl(left, b.and_(right, constant(63)))
        case ">>":
            shift = b.ashr if signed else b.lshr
            return shift(left, b.and_(right, constant(63)))
    if not isinstance(value.right, Constant):
        zero = b.icmp_unsigned("==", right, constant(0))
        frame.fault_when(zero, Fault.DIVZERO, None, value.span)
    return divide(b, value.operator, left, right, signed=signed)


def divide(b: ir.IRBuilder, operator: str, left: ir.Value, right: ir.Value, *, signed: bool) -> ir.Value:
    """Return quotient ("/") or remainder ("%"), truncated toward zero. `right` is not 0.

    BPF before its fourth instruction set divides unsigned only, and native signed division traps on
    INT64_MIN / -1: both machines divide magnitudes and put the sign back.
    """
    if not signed:
        return b.udiv(left, right) if operator == "/" else b.urem(left, right)
    left_sign, right_sign = b.ashr(left, constant(63)), b.ashr(right, constant(63))
    magnitude = _negate_if(b, left, left_sign)
    divisor = _negate_if(b, right, right_sign)
    if operator == "/":
        return _negate_if(b, b.udiv(magnitude, divisor), b.xor(left_sign, right_sign))
    return _negate_if(b, b.urem(magnitude, divisor), left_sign)


def _negate_if(b: ir.IRBuilder, value: ir.Value, sign: ir.Value) -> ir.Value:
    """Return -value where sign is -1 and value where it is 0."""
    return b.sub(b.xor(value, sign), sign)


def _comparison(value: Comparison, frame: Frame) -> ir.Value:
    b = frame.b
    if isinstance(value.left.type, StringType):
        return _compare_strings(value, frame)
    left, right = word(value.left, frame), word(value.right, frame)
    compare = b.icmp_signed if value.signed else b.icmp_unsigned
    return as_word(b, compare(value.operator, left, right))


def _compare_strings(value: Comparison, frame: Frame) -> ir.Value:
    b = frame.b
    size = frame.program.string_size
    with frame.temporaries():
        left, right = string_at(value.left, frame), string_at(value.right, frame)
        match value.operator:
            case "==":
                return are_equal(b, left, right, size)
            case "!=":
                return b.xor(are_equal(b, left, right, size), constant(1))
            case operator:
                return as_word(b, b.icmp_unsigned(operator, *order(b, left, right, size)))


def _logical(value: Logical, frame: Frame) -> ir.Value:
    b = frame.b
    left = truth(value.left, frame)
    if value.operator == "^^":
        return as_word(b, b.xor(left, truth(value.right, frame)))
    # `&&` is decided by a false left side, `||` by a true one.
    decided = as_word(b, left)
    before = b.block
    with b.if_then(left if value.operator == "&&" else b.not_(left)):
        right = as_word(b, truth(value.right, frame))
        inside = b.block
    return merge_words(b, [(before, decided), (inside, right)])


# --- the firing's own memory --------------------------------------------------------------------------------


def _taken(size: ir.Value, span: Span, frame: Frame) -> ir.Value:
    """Take bytes of the firing's own memory, of which there are enough for so many; return their offset in it, a
    multiple of 8."""
    b = frame.b
    offset = load(b, frame.copied)
    end = b.add(offset, size)
    beyond = b.icmp_unsigned(">", end, constant(frame.program.scratch_limit))
    frame.fault_when(beyond, Fault.NOSCRATCH, None, span)
    store(b, b.and_(b.add(end, constant(7)), constant(-8)), frame.copied)
    return offset


def _memory_at(offset: ir.Value, size: ir.Value, frame: Frame) -> ir.Value:
    """Return the pointer to memory that was taken. Zeros follow it, so that it is a string as well."""
    b = frame.b
    memory = frame.copies(offset, frame.program.scratch_limit)
    store(b, 0, at(b, memory, size))
    return memory


def _copy_in(value: CopyIn, frame: Frame) -> ir.Value:
    b = frame.b
    address = word(value.address, frame)
    size = bounded_size(word(value.size, frame), value.span, frame)
    offset = _taken(size, value.span, frame)
    destination = _memory_at(offset, size, frame)
    failed = b.icmp_signed("<", frame.target.read_user(b, destination, size, address), constant(0))
    frame.fault_when(failed, Fault.BADADDR, address, value.span)
    return b.add(offset, constant(SCRATCH_POINTER))


def _allocate(value: Allocate, frame: Frame) -> ir.Value:
    b, most = frame.b, frame.program.scratch_limit
    size = opaque(b, word(value.size, frame))
    frame.fault_when(b.icmp_unsigned(">", size, constant(most)), Fault.NOSCRATCH, None, value.span)
    offset = _taken(size, value.span, frame)
    frame.target.copy_memory(b, _memory_at(offset, size, frame), size, frame.constant_at(bytes(max(most, 8))))
    return b.add(offset, constant(SCRATCH_POINTER))


def _copy_into(value: CopyInto, frame: Frame) -> ir.Value:
    b = frame.b
    address = word(value.address, frame)
    size = bounded_size(word(value.size, frame), value.span, frame)
    destination = own_range(word(value.destination, frame), size, value.span, frame)
    failed = b.icmp_signed("<", frame.target.read_user(b, destination, size, address), constant(0))
    frame.fault_when(failed, Fault.BADADDR, address, value.span)
    return constant(0)


def copy_out(statement: CopyOut | CopyOutString, frame: Frame) -> None:
    """Write to the process's memory: bytes of the firing's own, or a text with its end."""
    b = frame.b
    if isinstance(statement, CopyOut):
        source, address = word(statement.source, frame), word(statement.address, frame)
        size = bounded_size(word(statement.size, frame), statement.span, frame)
        start = own_range(source, size, statement.span, frame)
    else:
        start = string_at(statement.text, frame)
        address, limit = word(statement.address, frame), opaque(b, word(statement.limit, frame))
        whole = b.add(length(b, start, frame.program.string_size), constant(1))
        size = opaque(b, b.select(b.icmp_unsigned("<", limit, whole), limit, whole))
        most = constant(frame.program.string_size)
        size = b.select(b.icmp_unsigned("<", size, most), size, most)
    failed = b.icmp_signed("<", frame.target.write_user(b, address, size, start), constant(0))
    frame.fault_when(failed, Fault.BADADDR, address, statement.span)


def _copy_bytes(value: CopyBytes, frame: Frame) -> ir.Value:
    b = frame.b
    if isinstance(value.source.type, StringType):
        with frame.temporaries():
            text = text_at(value.source, value.span, frame)
            target = word(value.destination, frame)
            size = bounded_size(word(value.size, frame), value.span, frame)
            beyond = b.icmp_unsigned(">", size, constant(frame.program.string_size))
            frame.fault_when(beyond, Fault.BADSIZE, size, value.span)
            frame.target.copy_memory(b, own_range(target, size, value.span, frame), size, text)
        return constant(0)
    source, target = word(value.source, frame), word(value.destination, frame)
    size = bounded_size(word(value.size, frame), value.span, frame)
    place = own_range(source, size, value.span, frame)
    frame.target.copy_memory(b, own_range(target, size, value.span, frame), size, place)
    return constant(0)


# --- strings ------------------------------------------------------------------------------------------------


def string_at(value: Value, frame: Frame) -> ir.Value:
    """Emit a string expression; returns a pointer to its zero-padded characters, good to the end of `temporaries`."""
    match value:
        case StringConstant(value=text):
            return _constant_string(text, frame)
        case Load(place=source) if (found := text_in_place(source, frame)) is not None:
            return found
        case Sequence(left=left, right=right):
            evaluate(left, frame)
            return string_at(right, frame)
        case StringSuffix():
            return _suffix(value, frame)
    place = frame.temporary(frame.program.string_size)
    string_into(value, place, frame)
    return place


def text_at(value: Value, span: Span, frame: Frame) -> ir.Value:
    """Emit a string expression as `string_at` does; NULL is a fault."""
    text = string_at(value, frame)
    _fault_if_null(value, text, constant(0), span, frame)
    return text


def _fault_if_null(value: Value, text: ir.Value, address: ir.Value, span: Span, frame: Frame) -> None:
    """Emit the fault that a use of a string is that is NULL: the address 0, or so far behind it."""
    if _may_be_null(value):
        frame.fault_when(is_null_string(text, frame), Fault.BADADDR, address, span)


def _may_be_null(value: Value) -> bool:
    match value:
        case Load() | NullString():
            return True
        case SubroutineCall(name=name):
            return name in _SEARCHES
        case Store(value=last) | Sequence(right=last):
            return _may_be_null(last)
        case Choice(then=then, otherwise=otherwise):
            return _may_be_null(then) or _may_be_null(otherwise)
    return False


_SEARCHES: Final = frozenset(["strchr", "strrchr", "strstr", "strtok"])
"""Subroutines that give NULL where they find nothing."""


def string_into(value: Value, place: ir.Value, frame: Frame) -> None:
    """Emit a string expression into `string_size` bytes at `place`, zero-padded."""
    with frame.temporaries():
        _string_into(value, place, frame)


def _string_into(value: Value, place: ir.Value, frame: Frame) -> None:
    b, target = frame.b, frame.target
    size = frame.program.string_size
    match value:
        case StringConstant() | StringSuffix():
            copy_words(b, place, string_at(value, frame), size)
        case ProbeText(field=field):
            text = target.site_text(b, frame.site(), field)
            _copy_or_zero(text, place, frame)
        case CommandName():
            zero_words(b, place, size)
            if size >= _COMMAND_NAME_SIZE:
                target.command_name(b, place)
            else:
                whole = frame.temporary(_COMMAND_NAME_SIZE)
                target.command_name(b, whole)
                target.copy_string(b, place, frame.program.string_limit, whole)
        case PointedString(pointer=pointer, span=span) | Load(place=Memory(pointer=pointer, span=span)):
            start = own_memory(word(pointer, frame), 1, span, frame)
            zero_words(b, place, size)
            target.copy_string(b, place, frame.program.string_limit, start)
        case Load(place=source):
            load_text(locate(source, frame), source, place, frame)
        case Store(place=variable, value=new):
            string_into(new, place, frame)
            if isinstance(variable, Memory):
                _fault_if_null(new, place, constant(0), variable.span, frame)
            store_text(locate(variable, frame), variable, place, frame)
        case NullString():
            null_string_into(place, frame)
        case ArrayText(place=array):
            _array_text(array, place, frame)
        case Choice(condition=condition, then=then, otherwise=otherwise):
            with b.if_else(truth(condition, frame)) as (yes, no):
                with yes:
                    string_into(then, place, frame)
                with no:
                    string_into(otherwise, place, frame)
        case Sequence(left=left, right=right):
            evaluate(left, frame)
            string_into(right, place, frame)
        case CopyInString():
            _copy_in_string(value, place, frame)
        case SubroutineCall():
            string_result(value, _arguments(value, frame), place, frame)
        case _:
            raise AssertionError(f"a word where a string is wanted: {value}")


_COMMAND_NAME_SIZE = 16


def _constant_string(text: bytes, frame: Frame) -> ir.Value:
    return frame.constant_at(text.ljust(frame.program.string_size, b"\0"))


def _copy_or_zero(source: ir.Value, place: ir.Value, frame: Frame, offset: int = 0) -> None:
    """Copy a string from a block that may be null, which means that it is empty."""
    b = frame.b
    with b.if_else(is_null(b, source), likely=False) as (missing, there):
        with missing:
            zero_words(b, place, frame.program.string_size)
        with there:
            copy_words(b, place, at(b, source, offset), frame.program.string_size)


def _arguments(value: SubroutineCall, frame: Frame) -> list[ir.Value]:
    """Emit a subroutine's arguments: strtok()'s memory first, strings as pointers."""
    emitted: list[ir.Value] = []
    if value.rest is not None:
        emitted.append(text_in_place(value.rest, frame))
    for argument in value.arguments:
        is_text = isinstance(argument.type, StringType)
        emitted.append(text_at(argument, value.span, frame) if is_text else word(argument, frame))
    return emitted


def _suffix(value: StringSuffix, frame: Frame) -> ir.Value:
    """Return a pointer into a copy that is followed by as many zeros; every offset out of range is the end."""
    b = frame.b
    size = frame.program.string_size
    place = frame.temporary(2 * size)
    string_into(value.operand, place, frame)
    # The last byte is only ever the mark of NULL.
    b.store(ir.Constant(I8, 0), at(b, place, size - 1))
    zero_words(b, at(b, place, size), size)
    amount = opaque(b, word(value.amount, frame))
    bounded = b.select(b.icmp_unsigned("<", amount, constant(size)), amount, constant(size))
    return at(b, place, bounded)


def _copy_in_string(value: CopyInString, place: ir.Value, frame: Frame) -> None:
    b = frame.b
    limit = frame.program.string_limit
    size: ir.Value = constant(limit)
    if value.limit is not None:
        wanted = opaque(b, word(value.limit, frame))
        size = b.select(b.icmp_unsigned("<", wanted, constant(limit)), wanted, constant(limit))
    address = word(value.address, frame)
    zero_words(b, place, frame.program.string_size)
    failed = b.icmp_signed("<", frame.target.read_user_string(b, place, size, address), constant(0))
    frame.fault_when(failed, Fault.BADADDR, address, value.span)


def _array_text(array: Place, place: ir.Value, frame: Frame) -> None:
    """Copy an array of char up to its first zero: the array itself need not have one."""
    b = frame.b
    size = size_of(array.type, frame.program.string_size)
    zero_words(b, place, frame.program.string_size)
    whole = frame.temporary(-(-size // 8) * 8 + 8)
    store(b, 0, whole, -(-size // 8) * 8)
    store(b, 0, whole, -(-size // 8) * 8 - 8)
    load_bytes(locate(array, frame), array, whole, frame)
    frame.target.copy_string(b, place, min(size + 1, frame.program.string_limit), whole)


def _character(value: CharacterAt, frame: Frame) -> ir.Value:
    """Return a character of a string; a fault where the index is beyond what strings can hold."""
    b = frame.b
    with frame.temporaries():
        text = string_at(value.operand, frame)
        number = opaque(b, word(value.index, frame))
        _fault_if_null(value.operand, text, number, value.span, frame)
        outside = b.icmp_unsigned(">=", number, constant(frame.program.string_limit))
        frame.fault_when(outside, Fault.BADINDEX, number, value.span)
        return b.sext(b.load(at(b, text, number), typ=I8), I64)


def recorded_into(value: Value, place: ir.Value, frame: Frame) -> None:
    """Emit a value that is to be printed. A string that is NULL is a bad address, as in DTrace."""
    value_into(value, place, frame)
    if isinstance(value.type, StringType):
        match value:
            case Load(place=Element(span=span)) | SubroutineCall(span=span):
                pass
            case _:
                span = Span(0, 0)
        _fault_if_null(value, place, constant(0), span, frame)
