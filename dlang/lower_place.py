"""Code for places: reading and writing variables, elements of associative arrays, and the firing's own memory.

A `Spot` is a place whose operands have been evaluated (lower_value.locate does that). Thread-local variables and
elements are *dynamic*: there may be no memory for them. Reading then gives zero; writing anything else makes the
memory, or counts a drop and ends the clause where there is none left, as DTrace 2.0.7 does; writing zero gives it back
(DTrace guide, ch. 3).

A string that is whole in such memory is stored with the mark of NULL turned round, so that memory of zeros is NULL.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import llvmlite.ir as ir

from dlang.emit_ir import (
    I8,
    I64,
    POINTER,
    at,
    constant,
    continue_when,
    copy_words,
    extend,
    fetch_and_add,
    is_null,
    load,
    opaque,
    store,
    zero_words,
)
from dlang.frame import Frame, drop, merge_words
from dlang.layout import CLAUSE_POINTER, GLOBAL_POINTER, SCRATCH_POINTER, STATE_VARIABLES
from dlang.notices import Drop, Fault
from dlang.program import AssociativeArray, Element, Memory, Part, Place, Scope, Variable
from dlang.source import Span
from dlang.string_code import NULL_MARK, length
from dlang.types import IntegerType, Type, is_signed, size_of, stored_size

_COPIED_BY_WORDS: Final = 512
"""Bytes that are copied by loads and stores; more by the machine."""
_KEY_ON_STACK: Final = 64
"""Bytes of key that go on the stack (BPF's holds 512); longer keys are made in scratch."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """Memory that is always there."""

    pointer: ir.Value


@dataclass(frozen=True, slots=True)
class ThreadBlock:
    """The thread's variables."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An element: its keys' values, words or (with their type) pointers to bytes."""

    array: AssociativeArray
    key_size: int
    parts: tuple[tuple[ir.Value, Type | None], ...]


@dataclass(frozen=True, slots=True)
class InMemory:
    """What a D pointer points to: the firing's own memory, or a fault."""

    address: ir.Value
    span: Span


@dataclass(frozen=True, slots=True)
class Spot:
    """A place: `offset` bytes from where `root` begins, and `moving` more where an index decides."""

    root: Fixed | ThreadBlock | Entry | InMemory
    offset: int = 0
    moving: ir.Value | None = None


def variable_spot(variable: Variable, frame: Frame) -> Spot:
    """Return the spot of a variable."""
    match variable.scope:
        case Scope.GLOBAL:
            return Spot(Fixed(at(frame.b, frame.target.state(frame.b), STATE_VARIABLES)), variable.offset)
        case Scope.CLAUSE:
            assert frame.clause_block is not None
            return Spot(Fixed(frame.clause_block), variable.offset)
        case Scope.THREAD:
            return Spot(ThreadBlock(), variable.offset)


def moved(spot: Spot, moving: ir.Value | None, offset: int, frame: Frame) -> Spot:
    """Return the spot that many bytes further on."""
    if moving is None:
        moving = spot.moving
    elif spot.moving is not None:
        moving = frame.b.add(spot.moving, moving)
    return Spot(spot.root, spot.offset + offset, moving)


def is_dynamic(place: Place) -> bool:
    """Say whether a place is a whole thread-local variable or element, which may not be there."""
    return isinstance(place, Element) or (isinstance(place, Variable) and place.scope is Scope.THREAD)


def _is_whole(place: Place) -> bool:
    return isinstance(place, Variable | Element)


# --- where it is --------------------------------------------------------------------------------------------


def own_memory(address: ir.Value, size: int, span: Span, frame: Frame) -> ir.Value:
    """Return the machine's pointer for a D pointer to `size` bytes of the firing's own memory, or fault."""

    def in_scratch() -> ir.Value:
        return frame.copies(_own_offset(address, constant(size), span, frame), size)

    return _in_any_region(address, size, in_scratch, frame)


def own_range(address: ir.Value, size: ir.Value, span: Span, frame: Frame) -> ir.Value:
    """Return it for a size, at most option scratchsize, that is known at run time only."""

    def in_scratch() -> ir.Value:
        return frame.copies(_own_offset(address, size, span, frame), frame.program.scratch_limit)

    return _in_any_region(address, size, in_scratch, frame)


def _own_offset(address: ir.Value, size: ir.Value, span: Span, frame: Frame) -> ir.Value:
    b = frame.b
    offset = opaque(b, b.sub(address, constant(SCRATCH_POINTER)))
    taken = load(b, frame.copied)
    frame.fault_when(b.icmp_unsigned(">=", offset, taken), Fault.BADADDR, address, span)
    frame.fault_when(b.icmp_unsigned(">", b.add(offset, size), taken), Fault.BADSIZE, size, span)
    return offset


def _in_any_region(
    address: ir.Value, size: int | ir.Value, in_scratch: Callable[[], ir.Value], frame: Frame
) -> ir.Value:
    """Return the pointer where variables are pointed to as well: which memory it is turns out at run time."""
    b, pointed = frame.b, frame.program.pointed
    if not pointed:
        return in_scratch()
    found: list[tuple[ir.Block, ir.Value]] = []
    done = b.append_basic_block("pointer_found")
    for scope in sorted(pointed, key=lambda scope: scope.value):
        first, block, most = _variables(scope, frame)
        offset = opaque(b, b.sub(address, constant(first)))
        elsewhere = b.append_basic_block("pointer_elsewhere")
        if isinstance(size, int):
            continue_when(b, b.icmp_unsigned("<=", offset, constant(max(most - size, 0))), elsewhere)
        else:
            continue_when(b, b.icmp_unsigned("<=", offset, constant(most)), elsewhere)
            continue_when(b, b.icmp_unsigned("<=", size, b.sub(constant(most), offset)), elsewhere)
        found.append((b.block, at(b, block, offset)))
        b.branch(done)
        b.position_at_end(elsewhere)
    pointer = in_scratch()
    found.append((b.block, pointer))
    b.branch(done)
    b.position_at_end(done)
    merged = b.phi(POINTER)
    for source, pointer in found:
        merged.add_incoming(pointer, source)
    return merged


def _variables(scope: Scope, frame: Frame) -> tuple[int, ir.Value, int]:
    """Return what D pointers to a scope's variables start at, where these are, and the bytes that they take."""
    b, program = frame.b, frame.program
    if scope is Scope.GLOBAL:
        return GLOBAL_POINTER, at(b, frame.target.state(b), STATE_VARIABLES), program.globals_size
    assert scope is Scope.CLAUSE and frame.clause_block is not None
    return CLAUSE_POINTER, frame.clause_block, program.clause_size


def bounded_size(size: ir.Value, span: Span, frame: Frame) -> ir.Value:
    """Return a number of bytes as one that the kernel's verifier sees to be in bounds."""
    size = opaque(frame.b, size)
    most = constant(frame.program.scratch_limit)
    frame.fault_when(frame.b.icmp_unsigned(">", size, most), Fault.BADSIZE, size, span)
    return size


def _offset(pointer: ir.Value, spot: Spot, frame: Frame) -> ir.Value:
    pointer = at(frame.b, pointer, spot.offset)
    return pointer if spot.moving is None else at(frame.b, pointer, spot.moving)


def _found(spot: Spot, size: int, frame: Frame) -> tuple[ir.Value, bool]:
    """Return a pointer to `size` bytes at a spot, and whether it may be null; then it is not offset yet."""
    b = frame.b
    match spot.root:
        case Fixed(pointer=pointer):
            return _offset(pointer, spot, frame), False
        case InMemory(address=address, span=span):
            whole = b.add(address, constant(spot.offset))
            if spot.moving is not None:
                whole = b.add(whole, spot.moving)
            return own_memory(whole, size, span, frame), False
        case ThreadBlock():
            return frame.target.thread_block(b), True
        case Entry() as entry:
            return frame.target.find_element(b, entry.array, _key(entry, frame)), True


def _made(root: ThreadBlock | Entry, frame: Frame) -> ir.Value:
    """Return the pointer to dynamic memory, made where there was none. The clause ends where there is no room."""
    if isinstance(root, ThreadBlock):
        block = frame.target.new_thread_block(frame.b)
    else:
        block = frame.target.make_element(frame.b, root.array, _key(root, frame))
    with frame.b.if_then(is_null(frame.b, block), likely=False):
        drop(frame, Drop.DYNAMIC)
        frame.give_up()
    return block


def _key(entry: Entry, frame: Frame) -> ir.Value:
    """Write an element's key. Anew for each use: other keys have been in the same place on the stack since."""
    b = frame.b
    on_stack = entry.key_size <= _KEY_ON_STACK
    key = frame.key_on_stack(entry.key_size) if on_stack else frame.temporary(entry.key_size)
    position = 0
    for part, type_ in entry.parts:
        if type_ is None:
            store(b, part, key, position)
            position += 8
        else:
            size = stored_size(type_, frame.program.string_size)
            copy_words(b, at(b, key, position), part, size)
            position += size
    return key


# --- words --------------------------------------------------------------------------------------------------


def convert(b: ir.IRBuilder, value: ir.Value, type_: Type) -> ir.Value:
    """Return a word as a type of fewer bytes holds it."""
    if isinstance(type_, IntegerType):
        return extend(b, value, type_.size, signed=type_.signed)
    return value


def _width(place: Place, frame: Frame) -> int:
    """Return the bytes that a word takes at a place: 8 in a variable of its own."""
    return 8 if _is_whole(place) else size_of(place.type, frame.program.string_size)


def _read(pointer: ir.Value, place: Place, frame: Frame) -> ir.Value:
    b = frame.b
    width = _width(place, frame)
    value = load(b, pointer) if width == 8 else b.zext(b.load(pointer, typ=ir.IntType(8 * width)), I64)
    bits = place.bits if isinstance(place, Part) else None
    if bits is None:
        return convert(b, value, place.type)
    value = b.shl(value, constant(64 - bits.shift - bits.width))
    shift = b.ashr if is_signed(place.type) else b.lshr
    return shift(value, constant(64 - bits.width))


def _write(pointer: ir.Value, place: Place, new: ir.Value, frame: Frame) -> None:
    b = frame.b
    width = _width(place, frame)
    narrow = ir.IntType(8 * width)
    bits = place.bits if isinstance(place, Part) else None
    if bits is not None:
        mask = ((1 << bits.width) - 1) << bits.shift
        old = b.load(pointer, typ=narrow)
        old = old if width == 8 else b.zext(old, I64)
        moved_in = b.and_(b.shl(new, constant(bits.shift)), constant(mask))
        new = b.or_(b.and_(old, constant(~mask)), moved_in)
    b.store(new if width == 8 else b.trunc(new, narrow), pointer)


def load_word(spot: Spot, place: Place, frame: Frame) -> ir.Value:
    """Return the integer or pointer at a spot."""
    b = frame.b
    pointer, maybe_null = _found(spot, _width(place, frame), frame)
    if not maybe_null:
        return _read(pointer, place, frame)
    before = b.block
    with b.if_then(b.not_(is_null(b, pointer))):
        found = _read(_offset(pointer, spot, frame), place, frame)
        inside = b.block
    return merge_words(b, [(before, constant(0)), (inside, found)])


def store_word(spot: Spot, place: Place, new: ir.Value, frame: Frame) -> None:
    """Store an integer or pointer, converted to the place's type."""
    b = frame.b
    root = spot.root
    if isinstance(root, Fixed | InMemory):
        pointer, _ = _found(spot, _width(place, frame), frame)
        _write(pointer, place, new, frame)
        return
    bits = place.bits if isinstance(place, Part) else None
    stored = new if bits is None else b.and_(new, constant((1 << bits.width) - 1))
    with b.if_else(b.icmp_unsigned("!=", stored, constant(0)), likely=True) as (nonzero, zero):
        with nonzero:
            _fill(spot, root, frame, lambda pointer: _write(pointer, place, new, frame))
        with zero:
            if isinstance(root, Entry) and _is_whole(place):
                frame.target.free_element(b, root.array, _key(root, frame))
            else:
                _zero(spot, root, frame, lambda pointer: _write(pointer, place, constant(0), frame))


def _fill(spot: Spot, root: ThreadBlock | Entry, frame: Frame, write: Callable[[ir.Value], None]) -> None:
    """Write what is not zero into dynamic memory, which is made where there is none."""
    write(_offset(_made(root, frame), spot, frame))


def _zero(spot: Spot, root: ThreadBlock | Entry, frame: Frame, clear: Callable[[ir.Value], None]) -> None:
    """Write zeros into dynamic memory if there is any, and give it back where all of it is zero now."""
    b = frame.b
    block, _ = _found(Spot(root), 0, frame)
    with b.if_then(b.not_(is_null(b, block))):
        clear(_offset(block, spot, frame))
        if isinstance(root, ThreadBlock):
            # Looked at once, at the end of the firing.
            b.store(frame.unforeseen(1), frame.thread_was_zeroed())
        else:
            size = stored_size(root.array.type, frame.program.string_size)
            with b.if_then(_all_zero(block, size, frame)):
                frame.target.free_element(b, root.array, _key(root, frame))


def step_word(spot: Spot, place: Place, amount: int, frame: Frame) -> tuple[ir.Value, ir.Value]:
    """Add to a word; return what was there before and what is there now. In memory that threads share, without a
    loss where the place is a whole variable or element."""
    b = frame.b
    added = constant(amount)
    if _is_whole(place) and isinstance(spot.root, Fixed):
        pointer, _ = _found(spot, 8, frame)
        old = convert(b, fetch_and_add(b, pointer, added), place.type)
        return old, convert(b, b.add(old, added), place.type)
    if isinstance(spot.root, Entry) and _is_whole(place):
        return _step_element(spot.root, place, added, frame)
    old = load_word(spot, place, frame)
    new = convert(b, b.add(old, added), place.type)
    store_word(spot, place, new, frame)
    return old, new


def _step_element(root: Entry, place: Place, added: ir.Value, frame: Frame) -> tuple[ir.Value, ir.Value]:
    b = frame.b
    old = convert(b, fetch_and_add(b, _made(root, frame), added), place.type)
    new = convert(b, b.add(old, added), place.type)
    with b.if_then(b.icmp_unsigned("==", new, constant(0)), likely=False):
        frame.target.free_element(b, root.array, _key(root, frame))
    return old, new


def free_if_zero(frame: Frame) -> None:
    """Give the thread's block back where every variable in it is zero."""
    b = frame.b
    block = frame.target.thread_block(b)
    with b.if_then(b.not_(is_null(b, block))), b.if_then(_all_zero(block, frame.program.thread_size, frame)):
        frame.target.free_thread_block(b)


def _all_zero(pointer: ir.Value, size: int, frame: Frame) -> ir.Value:
    all_words: ir.Value = constant(0)
    for offset in range(0, size, 8):
        all_words = frame.b.or_(all_words, load(frame.b, pointer, offset))
    return frame.b.icmp_unsigned("==", all_words, constant(0))


# --- bytes --------------------------------------------------------------------------------------------------


def copy_bytes(destination: ir.Value, source: ir.Value, size: int, frame: Frame) -> None:
    """Copy exactly `size` bytes."""
    b = frame.b
    if size > _COPIED_BY_WORDS:
        frame.target.copy_memory(b, destination, constant(size), source)
        return
    copy_words(b, destination, source, size // 8 * 8)
    position = size // 8 * 8
    for width in (4, 2, 1):
        if size - position >= width:
            narrow = ir.IntType(8 * width)
            b.store(b.load(at(b, source, position), typ=narrow), at(b, destination, position))
            position += width


def load_bytes(spot: Spot, place: Place, destination: ir.Value, frame: Frame) -> None:
    """Copy the structure or array at a spot."""
    b = frame.b
    size = size_of(place.type, frame.program.string_size)
    pointer, maybe_null = _found(spot, size, frame)
    if not maybe_null:
        copy_bytes(destination, pointer, size, frame)
        return
    with b.if_else(is_null(b, pointer)) as (missing, there):
        with missing:
            copy_bytes(destination, frame.constant_at(bytes(-(-size // 8) * 8)), size, frame)
        with there:
            copy_bytes(destination, _offset(pointer, spot, frame), size, frame)


def store_bytes(spot: Spot, place: Place, source: ir.Value, frame: Frame) -> None:
    """Store a structure; `source` has its bytes, with zeros up to a multiple of 8."""
    b = frame.b
    size = size_of(place.type, frame.program.string_size)
    root = spot.root
    if isinstance(root, Fixed | InMemory):
        pointer, _ = _found(spot, size, frame)
        copy_bytes(pointer, source, size, frame)
        return
    with b.if_else(_all_zero(source, -(-size // 8) * 8, frame), likely=False) as (zero, nonzero):
        with zero:
            _zero(spot, root, frame, lambda pointer: copy_bytes(pointer, source, size, frame))
        with nonzero:
            _fill(spot, root, frame, lambda pointer: copy_bytes(pointer, source, size, frame))


# --- strings ------------------------------------------------------------------------------------------------


def null_string_into(place: ir.Value, frame: Frame) -> None:
    """Write NULL as a string."""
    size = frame.program.string_size
    zero_words(frame.b, place, size - 8)
    store(frame.b, NULL_MARK, place, size - 8)


def is_null_string(text: ir.Value, frame: Frame) -> ir.Value:
    """Return an i1: whether a string is NULL."""
    b = frame.b
    last = b.load(at(b, text, frame.program.string_size - 1), typ=I8)
    return b.icmp_unsigned("!=", last, ir.Constant(I8, 0))


def text_in_place(place: Place, frame: Frame) -> ir.Value | None:
    """Return the pointer to a string variable that can be used where it is, else None."""
    if not isinstance(place, Variable) or place.scope is Scope.THREAD:
        return None
    return _found(variable_spot(place, frame), 0, frame)[0]


def _copy_turned(destination: ir.Value, source: ir.Value, frame: Frame) -> None:
    """Copy a string into or out of dynamic memory: see the module."""
    last = frame.program.string_size - 8
    copy_words(frame.b, destination, source, last)
    store(frame.b, frame.b.xor(load(frame.b, source, last), constant(NULL_MARK)), destination, last)


def load_text(spot: Spot, place: Place, destination: ir.Value, frame: Frame) -> None:
    """Copy the string at a spot."""
    b = frame.b
    size = frame.program.string_size
    pointer, maybe_null = _found(spot, size, frame)
    if not maybe_null:
        copy_words(b, destination, pointer, size)
        return
    with b.if_else(is_null(b, pointer)) as (missing, there):
        with missing:
            if _is_whole(place):
                null_string_into(destination, frame)
            else:
                zero_words(b, destination, size)
        with there:
            text = _offset(pointer, spot, frame)
            if _is_whole(place):
                _copy_turned(destination, text, frame)
            else:
                copy_words(b, destination, text, size)


def store_text(spot: Spot, place: Place, source: ir.Value, frame: Frame) -> None:
    """Store a string."""
    b = frame.b
    size = frame.program.string_size
    root = spot.root
    if isinstance(place, Memory):
        assert isinstance(root, InMemory)
        _store_pointed(root, source, frame)
        return
    if isinstance(root, Fixed | InMemory):
        pointer, _ = _found(spot, size, frame)
        copy_words(b, pointer, source, size)
        return
    whole = _is_whole(place)
    gone = is_null_string(source, frame) if whole else _all_zero(source, size, frame)
    with b.if_else(gone, likely=False) as (zero, nonzero):
        with zero:
            if whole and isinstance(root, Entry):
                frame.target.free_element(b, root.array, _key(root, frame))
            else:
                _zero(spot, root, frame, lambda pointer: zero_words(b, pointer, size))
        with nonzero:
            if whole:
                _fill(spot, root, frame, lambda pointer: _copy_turned(pointer, source, frame))
            else:
                _fill(spot, root, frame, lambda pointer: copy_words(b, pointer, source, size))


def _store_pointed(root: InMemory, source: ir.Value, frame: Frame) -> None:
    """Store a string where a pointer leads: its characters and their end, if there is room for these."""
    b = frame.b
    size = b.add(length(b, source, frame.program.string_size), constant(1))
    size = bounded_size(size, root.span, frame)
    frame.target.copy_memory(b, own_range(root.address, size, root.span, frame), size, source)
