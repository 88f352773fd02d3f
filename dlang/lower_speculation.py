"""Code for speculations: a word of the state block each says whether its number is free, in use, or at its end.

Who holds a number holds it for all threads. What is recorded under it goes to the consumer like everything else, and is
held back there (speculations.py), in the order of the stream. Source: DTrace guide, "Speculative Tracing".
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import llvmlite.ir as ir

from dlang.emit_ir import at, constant, load
from dlang.frame import Frame, drop
from dlang.layout import SPECULATION_ACTIVE, SPECULATION_ENDING, SPECULATION_FREE, speculation_offset
from dlang.notices import Drop, Fault
from dlang.source import Span
from dlang.string_scan import bounded, cell, counted_loop


def new_speculation(frame: Frame) -> ir.Value:
    """Return the first free number, which is taken now; 0, counted as a failure, where there is none."""
    b = frame.b
    with frame.temporaries():
        number, ending = cell(frame), cell(frame)
        with counted_loop(frame, frame.program.speculations) as (index, done):
            place = _place(index, frame)
            taken = b.cmpxchg(
                place, constant(SPECULATION_FREE), constant(SPECULATION_ACTIVE), "monotonic", "monotonic"
            )
            before = b.extract_value(taken, 0)
            with b.if_then(b.icmp_unsigned("==", before, constant(SPECULATION_FREE))):
                number.set(b.add(index, constant(1)))
                b.branch(done)
            with b.if_then(b.icmp_unsigned("==", before, constant(SPECULATION_ENDING))):
                ending.set(1)
        missing = b.icmp_unsigned("==", number.get(), constant(0))
        none_ends = b.icmp_unsigned("==", ending.get(), constant(0))
        with b.if_then(missing, likely=False), b.if_else(none_ends) as (unavailable, busy):
            with unavailable:
                drop(frame, Drop.SPECUNAVAIL)
            with busy:
                drop(frame, Drop.SPECBUSY)
        return number.get()


def active_speculation(number: ir.Value, frame: Frame) -> ir.Value:
    """Return a number where it is one of a speculation in use, else 0."""
    b = frame.b
    with frame.temporaries():
        result = cell(frame)
        with _if_one(number, frame) as place:
            in_use = b.icmp_unsigned("==", load(b, place), constant(SPECULATION_ACTIVE))
            with b.if_then(in_use):
                result.set(number)
        return result.get()


def ended_speculation(number: ir.Value, span: Span, frame: Frame) -> ir.Value:
    """Return a number where it was one of a speculation in use, which it is no more, else 0.

    The clause is given up where there can't be such a number; 0 is nobody's, which speculation() gives as well.
    """
    b = frame.b
    beyond = b.icmp_unsigned(">", number, constant(frame.program.speculations))
    frame.fault_when(beyond, Fault.ILLOP, None, span)
    with frame.temporaries():
        result = cell(frame)
        with _if_one(number, frame) as place:
            active, ending = constant(SPECULATION_ACTIVE), constant(SPECULATION_ENDING)
            before = b.extract_value(b.cmpxchg(place, active, ending, "monotonic", "monotonic"), 0)
            with b.if_then(b.icmp_unsigned("==", before, active)):
                result.set(number)
        return result.get()


@contextmanager
def _if_one(number: ir.Value, frame: Frame) -> Iterator[ir.Value]:
    """Emit what is to be done where there is a speculation of that number: yields the place of its word."""
    b = frame.b
    index = b.sub(number, constant(1))
    with b.if_then(b.icmp_unsigned("<", index, constant(frame.program.speculations))):
        yield _place(bounded(b, index, frame.program.speculations - 1), frame)


def _place(index: ir.Value, frame: Frame) -> ir.Value:
    b = frame.b
    first = at(b, frame.target.state(b), speculation_offset(frame.program, 1))
    return at(b, first, b.shl(index, constant(3)))
