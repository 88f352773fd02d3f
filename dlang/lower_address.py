"""Code for addresses as text: `inet_ntoa()`, `inet_ntoa6()`, `inet_ntop()` and `link_ntop()`.

An address is bytes of the firing's own memory, in the network's order. Nothing here branches on what they are, since
the kernel's verifier would follow each branch both ways: a character that does not count is written over by the next.
lower_subroutine.py calls this for string_result. Source: what DTrace 2.0.7 prints; RFC 5952, but for runs of equal
length, of which the first is left out.
"""

from __future__ import annotations

from typing import Final

import llvmlite.ir as ir

from dlang.builtins import ADDRESS_FAMILIES, HARDWARE_KINDS
from dlang.emit_ir import constant, copy_words, opaque, zero_words
from dlang.frame import Frame
from dlang.lower_place import own_memory
from dlang.notices import Fault
from dlang.program import Constant, SubroutineCall
from dlang.string_scan import (
    Cell,
    byte_at,
    cell,
    counted_loop,
    end_within_limit,
    is_zero_bit,
    mask_of,
    store_byte,
)

_ETHERNET, _INFINIBAND = HARDWARE_KINDS["ARPHRD_ETHER"], HARDWARE_KINDS["ARPHRD_INFINIBAND"]
_HARDWARE_BYTES: Final = {_ETHERNET: 6, _INFINIBAND: 20}
_LONGEST: Final = 63
"""Characters of the longest address, as a mask."""
_DOT, _COLON, _ZERO = (constant(ord(letter)) for letter in ".:0")
_ONE: Final = constant(1)


def internet_address(call: SubroutineCall, address: ir.Value, place: ir.Value, frame: Frame) -> None:
    """Write an IPv4 address, or for inet_ntoa6() one of IPv6; of one that stands for an IPv4 address only that, unless
    a second argument, a constant, says otherwise."""
    writing = _Writing(frame)
    if call.name == "inet_ntoa":
        _ipv4(own_memory(address, 4, call.span, frame), 0, _ONE, writing)
    else:
        whole = any(isinstance(item, Constant) and item.value for item in call.arguments[1:])
        _ipv6(own_memory(address, 16, call.span, frame), writing, ipv4_alone=not whole)
    writing.finish(place)


def address_of_family(
    call: SubroutineCall, family: ir.Value, address: ir.Value, place: ir.Value, frame: Frame
) -> None:
    """Write an address of the family AF_INET6, or of IPv4 whatever else the family is."""
    b, writing = frame.b, _Writing(frame)
    with b.if_else(b.icmp_unsigned("==", opaque(b, family), constant(ADDRESS_FAMILIES["AF_INET6"]))) as (
        new,
        old,
    ):
        with new:
            _ipv6(own_memory(address, 16, call.span, frame), writing, ipv4_alone=False)
        with old:
            _ipv4(own_memory(address, 4, call.span, frame), 0, _ONE, writing)
    writing.finish(place)


def hardware_address(
    call: SubroutineCall, kind: ir.Value, address: ir.Value, place: ir.Value, frame: Frame
) -> None:
    """Write the address of an Ethernet or InfiniBand device; another kind of device is a fault."""
    b, writing = frame.b, _Writing(frame)
    kind = opaque(b, kind)
    ethernet = b.icmp_unsigned("==", kind, constant(_ETHERNET))
    infiniband = b.icmp_unsigned("==", kind, constant(_INFINIBAND))
    frame.fault_when(b.not_(b.or_(ethernet, infiniband)), Fault.ILLOP, kind, call.span)
    with b.if_else(ethernet) as (short, long):
        with short:
            _hardware(address, _ETHERNET, call, writing)
        with long:
            _hardware(address, _INFINIBAND, call, writing)
    writing.finish(place)


class _Writing:
    """A text in the making, in memory of its own: how far it is."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self._room = max(frame.program.string_size, _LONGEST + 9)
        self._text = frame.temporary(self._room)
        zero_words(frame.b, self._text, self._room)
        self._position: Cell = cell(frame)

    def put(self, letter: ir.Value, counts: ir.Value = _ONE) -> None:
        """Write a character; if `counts` is 0 the next one takes its place."""
        b = self.frame.b
        here = self._position.get_bounded(_LONGEST)
        store_byte(b, letter, self._text, here)
        self._position.set(b.add(here, counts))

    def put_digit(self, number: ir.Value, counts: ir.Value = _ONE) -> None:
        """Write a hexadecimal digit."""
        b = self.frame.b
        is_letter = b.lshr(b.add(number, constant(6)), constant(4))
        self.put(b.add(b.add(number, _ZERO), b.mul(is_letter, constant(ord("a") - ord("9") - 1))), counts)

    def finish(self, place: ir.Value) -> None:
        """Write the text, ended and cut to a string, to its place."""
        self.put(constant(0))
        end_within_limit(self._text, self.frame)
        copy_words(self.frame.b, place, self._text, self.frame.program.string_size)


def _ipv4(source: ir.Value, first: int, counts: ir.Value, writing: _Writing) -> None:
    """Write the four bytes from `first` on as numbers with dots between."""
    b = writing.frame.b
    with counted_loop(writing.frame, 4) as (number, _):
        writing.put(_DOT, b.and_(_not(b, is_zero_bit(b, number)), counts))
        byte = byte_at(b, source, b.add(number, constant(first)))
        for unit in (100, 10, 1):
            digit = b.urem(b.udiv(byte, constant(unit)), constant(10))
            # 1 from `unit` on: up to 255 the sum reaches bit 8 then.
            shown = _ONE if unit == 1 else b.lshr(b.add(byte, constant(256 - unit)), constant(8))
            writing.put(b.add(digit, _ZERO), b.and_(shown, counts))


def _ipv6(source: ir.Value, writing: _Writing, *, ipv4_alone: bool) -> None:
    """Write eight groups, of which the longest run of zeros is left out, if it is one of two at least.

    Where the others stand for an IPv4 address (RFC 4291, 2.5.5) the last two are written as that, or it alone.
    """
    b = writing.frame.b
    length, start = _longest_run(source, writing.frame)
    end, is_run = b.add(start, length), _not(b, is_zero_bit(b, length))
    mapped = b.and_(_equals(b, length, 5), _equals(b, _group(b, source, constant(5)), 0xFFFF))
    ipv4 = b.and_(is_zero_bit(b, start), b.or_(_equals(b, length, 6), mapped))
    groups = b.sub(constant(8), b.mul(ipv4, constant(8 if ipv4_alone else 2)))
    with counted_loop(writing.frame, 8) as (number, _):
        group = _group(b, source, number)
        written = _is_less(b, number, groups)
        begins = b.and_(b.and_(is_zero_bit(b, b.xor(number, start)), is_run), written)
        outside = b.or_(_is_less(b, number, start), _not(b, _is_less(b, number, end)))
        shown = b.and_(outside, written)
        writing.put(_COLON, b.or_(begins, b.and_(shown, _not(b, is_zero_bit(b, number)))))
        for shift in (12, 8, 4, 0):
            rest = b.lshr(group, constant(shift))
            counts = shown if shift == 0 else b.and_(shown, _not(b, is_zero_bit(b, rest)))
            writing.put_digit(b.and_(rest, constant(15)), counts)
    ends = b.and_(b.and_(_equals(b, end, 8), is_run), _not(b, ipv4))
    writing.put(_COLON, ends if ipv4_alone else b.or_(ends, ipv4))
    _ipv4(source, 12, ipv4, writing)


def _group(b: ir.IRBuilder, source: ir.Value, number: ir.Value) -> ir.Value:
    first = b.shl(number, _ONE)
    return b.or_(b.shl(byte_at(b, source, first), constant(8)), byte_at(b, source, b.add(first, _ONE)))


def _longest_run(source: ir.Value, frame: Frame) -> tuple[ir.Value, ir.Value]:
    """Return the length of the longest run of zeros, 0 if there is none of two, and where the first of these begins;
    that is where no group is if there is none."""
    b = frame.b
    run, best = cell(frame), cell(frame)
    with counted_loop(frame, 8) as (place, _):
        number = b.sub(constant(7), place)
        zero = is_zero_bit(b, _group(b, source, number))
        length = b.and_(b.add(run.get(), _ONE), mask_of(b, zero))
        run.set(length)
        # The longer wins, of equal ones the one further left, which comes last here.
        known = best.get()
        chosen = mask_of(b, _not(b, _is_less(b, length, b.lshr(known, constant(3)))))
        this = b.or_(b.shl(length, constant(3)), number)
        best.set(b.or_(b.and_(this, chosen), b.and_(known, b.xor(chosen, constant(-1)))))
    found = best.get()
    length, start = b.lshr(found, constant(3)), b.and_(found, constant(7))
    long_enough = mask_of(b, _not(b, is_zero_bit(b, b.lshr(length, _ONE))))
    nowhere = b.and_(b.xor(long_enough, constant(-1)), constant(64))
    return b.and_(length, long_enough), b.or_(start, nowhere)


def _hardware(address: ir.Value, kind: int, call: SubroutineCall, writing: _Writing) -> None:
    """Write each byte as two digits, with colons between."""
    b, size = writing.frame.b, _HARDWARE_BYTES[kind]
    source = own_memory(address, size, call.span, writing.frame)
    with counted_loop(writing.frame, size) as (number, _):
        writing.put(_COLON, _not(b, is_zero_bit(b, number)))
        byte = byte_at(b, source, number)
        writing.put_digit(b.lshr(byte, constant(4)))
        writing.put_digit(b.and_(byte, constant(15)))


def _equals(b: ir.IRBuilder, value: ir.Value, wanted: int) -> ir.Value:
    return is_zero_bit(b, b.xor(value, constant(wanted)))


def _is_less(b: ir.IRBuilder, left: ir.Value, right: ir.Value) -> ir.Value:
    """Return 1 where a small number is below another, else 0."""
    return b.lshr(opaque(b, b.sub(left, right)), constant(63))


def _not(b: ir.IRBuilder, bit: ir.Value) -> ir.Value:
    return b.xor(bit, _ONE)
