"""Code for expressions: `word` for those whose value is a 64-bit word, `string_into` and `string_at` for strings.

Strings are emitted into the place where they are wanted (a variable, a record, a key), so that most are copied
once. What works on characters in memory is string_code.py's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

import llvmlite.ir as ir

from dlang.builtins import REGISTER_COUNT
from dlang.emit_ir import (
    I64,
    add_atomically,
    as_word,
    at,
    constant,
    copy_words,
    extend,
    fetch_and_add,
    is_null,
    load,
    opaque,
    store,
    zero_words,
)
from dlang.frame import Frame, merge_words
from dlang.layout import COPY_LIMIT, SCRATCH_POINTER, STATE_VARIABLES, drop_offset
from dlang.lower_stack import caller, depth, stack_into
from dlang.notices import Drop, Fault
from dlang.program import (
    Argument,
    Arithmetic,
    Choice,
    CommandName,
    Comparison,
    Constant,
    Convert,
    CopyIn,
    CopyInString,
    Dereference,
    Fact,
    FactValue,
    Load,
    Logical,
    PointedString,
    ProbeText,
    Register,
    Scope,
    Sequence,
    Step,
    Store,
    StringConstant,
    StringLength,
    StringSuffix,
    UnaryValue,
    UserCaller,
    UserStack,
    UserStackDepth,
    UserSymbol,
    Value,
    Variable,
)
from dlang.string_code import are_equal, length, order
from dlang.types import IntegerType, PointerType, StringType, Type, is_signed


def word(value: Value, frame: Frame) -> ir.Value:
    """Emit an integer or pointer expression; returns it as an i64, extended by its type's sign."""
    b = frame.b
    match value:
        case Constant(value=number):
            return constant(number)
        case FactValue(fact=Fact.ENABLING_ID):
            return constant(frame.enabling)
        case FactValue(fact=fact):
            return frame.fact(fact)
        case Argument(number=number):
            return frame.target.argument(b, number)
        case Register():
            return _register(value, frame)
        case Load(variable=variable):
            return _load(variable, frame)
        case Store(variable=variable):
            return _store(value, frame)
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
        case Dereference():
            return _dereference(value, frame)
        case CopyIn():
            return _copy_in(value, frame)
        case UserSymbol(address=address):
            return word(address, frame)
        case UserCaller():
            return caller(frame)
        case UserStackDepth():
            return depth(frame)
        case StringLength(operand=operand):
            with frame.temporaries():
                return length(b, string_at(operand, frame), frame.program.string_size)
        case (
            StringConstant() | ProbeText() | CommandName() | CopyInString() | PointedString() | StringSuffix()
        ):
            raise AssertionError(f"a string where a word is wanted: {value}")
        case UserStack():
            raise AssertionError(f"a stack where a word is wanted: {value}")
    assert_never(value)


def value_into(value: Value, place: ir.Value, frame: Frame) -> None:
    """Emit an expression of any type into the bytes at `place` that layout.value_size() says it takes."""
    match value:
        case UserStack(type=type_):
            stack_into(type_.frames, place, frame)
        case _ if isinstance(value.type, StringType):
            string_into(value, place, frame)
        case _:
            store(frame.b, word(value, frame), place)


def evaluate(value: Value, frame: Frame) -> None:
    """Emit an expression for its effects."""
    with frame.temporaries():
        if isinstance(value.type, StringType):
            string_at(value, frame)
        else:
            word(value, frame)


def truth(value: Value, frame: Frame) -> ir.Value:
    """Emit a condition; returns an i1."""
    return frame.b.icmp_unsigned("!=", word(value, frame), constant(0))


def convert(b: ir.IRBuilder, value: ir.Value, type_: Type) -> ir.Value:
    """Return a word as a type of fewer bytes holds it."""
    if isinstance(type_, IntegerType):
        return extend(b, value, type_.size, signed=type_.signed)
    return value


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


# --- variables ----------------------------------------------------------------------------------------------


def drop(frame: Frame, kind: Drop) -> None:
    """Count a loss."""
    add_atomically(frame.b, frame.target.state(frame.b), constant(1), drop_offset(kind))


def place_of(variable: Variable, frame: Frame) -> ir.Value:
    """Return the pointer to a global or clause-local variable."""
    if variable.scope is Scope.GLOBAL:
        return at(frame.b, frame.target.state(frame.b), STATE_VARIABLES + variable.offset)
    assert frame.clause_block is not None and variable.scope is Scope.CLAUSE
    return at(frame.b, frame.clause_block, variable.offset)


def _load(variable: Variable, frame: Frame) -> ir.Value:
    b = frame.b
    if variable.scope is not Scope.THREAD:
        return convert(b, load(b, place_of(variable, frame)), variable.type)
    block = frame.target.thread_block(b)
    before = b.block
    with b.if_then(b.not_(is_null(b, block))):
        found = load(b, block, variable.offset)
        inside = b.block
    return convert(b, merge_words(b, [(before, constant(0)), (inside, found)]), variable.type)


def _store(value: Store, frame: Frame) -> ir.Value:
    variable = value.variable
    assert not isinstance(variable.type, StringType)
    new = convert(frame.b, word(value.value, frame), variable.type)
    if variable.scope is Scope.THREAD:
        write_thread_variable(variable, new, frame)
    else:
        store(frame.b, new, place_of(variable, frame))
    return new


def write_thread_variable(variable: Variable, new: ir.Value, frame: Frame) -> None:
    """Store a word in a thread's block, which is made for the first nonzero value.

    Storing 0 frees (DTrace guide, ch. 3): the firing's end looks whether all is zero.
    """
    b = frame.b
    with b.if_else(b.icmp_unsigned("!=", new, constant(0)), likely=True) as (nonzero, zero):
        with nonzero:
            block = frame.target.new_thread_block(b)
            with b.if_else(is_null(b, block), likely=False) as (full, room):
                with full:
                    drop(frame, Drop.DYNAMIC)
                with room:
                    store(b, new, block, variable.offset)
        with zero:
            block = frame.target.thread_block(b)
            with b.if_then(b.not_(is_null(b, block))):
                store(b, 0, block, variable.offset)
                store(b, 1, frame.thread_was_zeroed())


def free_if_zero(frame: Frame) -> None:
    """Give the thread's block back where every variable in it is zero."""
    b = frame.b
    block = frame.target.thread_block(b)
    with b.if_then(b.not_(is_null(b, block))):
        all_words: ir.Value = constant(0)
        for offset in range(0, frame.program.thread_size, 8):
            all_words = b.or_(all_words, load(b, block, offset))
        with b.if_then(b.icmp_unsigned("==", all_words, constant(0))):
            frame.target.free_thread_block(b)


def _step(value: Step, frame: Frame) -> ir.Value:
    b = frame.b
    variable = value.variable
    amount = constant(value.amount)
    if variable.scope is Scope.GLOBAL:
        old = convert(b, fetch_and_add(b, place_of(variable, frame), amount), variable.type)
        new = convert(b, b.add(old, amount), variable.type)
    else:
        old = _load(variable, frame)
        new = convert(b, b.add(old, amount), variable.type)
        if variable.scope is Scope.THREAD:
            write_thread_variable(variable, new, frame)
        else:
            store(b, new, place_of(variable, frame))
    return new if value.prefix else old


def _register(value: Register, frame: Frame) -> ir.Value:
    b = frame.b
    if isinstance(value.index, Constant):
        return frame.target.register(b, value.index.value)
    index = word(value.index, frame)
    outside = b.icmp_unsigned(">=", index, constant(REGISTER_COUNT))
    frame.fault_when(outside, Fault.BADINDEX, index, value.span)
    sources = []
    end = b.append_basic_block("register_read")
    switch = b.switch(index, end)
    sources.append((b.block, constant(0)))
    for number in range(REGISTER_COUNT):
        case = b.append_basic_block(f"register_{number}")
        switch.add_case(constant(number), case)
        b.position_at_end(case)
        sources.append((case, frame.target.register(b, number)))
        b.branch(end)
    b.position_at_end(end)
    return merge_words(b, sources)


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


def _copy_in(value: CopyIn, frame: Frame) -> ir.Value:
    b = frame.b
    address, size = word(value.address, frame), opaque(b, word(value.size, frame))
    used = load(b, frame.copied)
    # The two comparisons bound both numbers, as the kernel's verifier has to see.
    frame.fault_when(b.icmp_unsigned(">", size, constant(COPY_LIMIT)), Fault.NOSCRATCH, None, value.span)
    end = b.add(used, size)
    frame.fault_when(b.icmp_unsigned(">", end, constant(COPY_LIMIT)), Fault.NOSCRATCH, None, value.span)
    offset = b.and_(used, constant(COPY_LIMIT - 1))
    destination = at(b, frame.copies(), offset)
    failed = b.icmp_signed("<", frame.target.read_user(b, destination, size, address), constant(0))
    frame.fault_when(failed, Fault.BADADDR, address, value.span)
    store(b, b.and_(b.add(end, constant(7)), constant(-8)), frame.copied)
    return b.add(offset, constant(SCRATCH_POINTER))


def own_memory(pointer: ir.Value, size: int, value: Dereference | PointedString, frame: Frame) -> ir.Value:
    """Return the machine's pointer for a D pointer to `size` bytes of the firing's own memory, or fault."""
    b = frame.b
    offset = opaque(b, b.sub(pointer, constant(SCRATCH_POINTER)))
    outside = b.icmp_unsigned(">", offset, constant(COPY_LIMIT - size))
    frame.fault_when(outside, Fault.BADADDR, pointer, value.span)
    return at(b, frame.copies(), offset)


def _dereference(value: Dereference, frame: Frame) -> ir.Value:
    b = frame.b
    assert isinstance(value.type, IntegerType | PointerType)
    pointer = own_memory(word(value.pointer, frame), value.type.size, value, frame)
    if value.type.size == 8:
        return load(b, pointer)
    narrow = b.load(pointer, typ=ir.IntType(8 * value.type.size))
    return b.sext(narrow, I64) if is_signed(value.type) else b.zext(narrow, I64)


# --- strings ------------------------------------------------------------------------------------------------


def string_at(value: Value, frame: Frame) -> ir.Value:
    """Emit a string expression; returns a pointer to its zero-padded characters, good to the end of `temporaries`."""
    match value:
        case StringConstant(value=text):
            return _constant_string(text, frame)
        case Load(variable=variable) if variable.scope is not Scope.THREAD:
            return place_of(variable, frame)
        case Sequence(left=left, right=right):
            evaluate(left, frame)
            return string_at(right, frame)
        case StringSuffix():
            return _suffix(value, frame)
    place = frame.temporary(frame.program.string_size)
    string_into(value, place, frame)
    return place


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
        case Load(variable=variable) if variable.scope is Scope.THREAD:
            block = target.thread_block(b)
            _copy_or_zero(block, place, frame, variable.offset)
        case Load(variable=variable):
            copy_words(b, place, place_of(variable, frame), size)
        case Store():
            copy_words(b, place, _store_string(value, frame), size)
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
        case PointedString(pointer=pointer):
            source = own_memory(word(pointer, frame), 1, value, frame)
            zero_words(b, place, size)
            target.copy_string(b, place, frame.program.string_limit, source)
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


def _suffix(value: StringSuffix, frame: Frame) -> ir.Value:
    """Return a pointer into a copy that is followed by as many zeros; every offset out of range is the end."""
    b = frame.b
    size = frame.program.string_size
    place = frame.temporary(2 * size)
    string_into(value.operand, place, frame)
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


def _store_string(value: Store, frame: Frame) -> ir.Value:
    """Assign a string; returns a pointer to what the variable holds then."""
    b = frame.b
    variable = value.variable
    if variable.scope is not Scope.THREAD:
        place = place_of(variable, frame)
        string_into(value.value, place, frame)
        return place
    text = frame.temporary(frame.program.string_size)
    string_into(value.value, text, frame)
    block = frame.target.new_thread_block(b)
    with b.if_else(is_null(b, block), likely=False) as (full, room):
        with full:
            drop(frame, Drop.DYNAMIC)
        with room:
            copy_words(b, at(b, block, variable.offset), text, frame.program.string_size)
            store(b, 1, frame.thread_was_zeroed())
    return text
