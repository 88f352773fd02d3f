"""Whether an x86 conditional jump is taken, as LLVM IR: for a function that is left by one.

Source: Intel SDM, volume 1, appendix B ("EFLAGS Condition Codes"). lower.py asks before a unit's clauses run.
"""

from __future__ import annotations

from typing import Final

import llvmlite.ir as ir

from dlang.emit_ir import constant

_CARRY, _PARITY, _ZERO, _SIGN, _OVERFLOW = 0, 2, 6, 7, 11

CONDITIONS: Final = 16
"""Condition codes: the low four bits of the opcode of jcc. The lowest one negates."""


def is_taken(b: ir.IRBuilder, flags: ir.Value, condition: ir.Value) -> ir.Value:
    """Return an i1: whether jcc with this condition code (0 to 15) is taken with these flags (rflags)."""

    def flag(bit: int) -> ir.Value:
        return b.and_(b.lshr(flags, constant(bit)), constant(1))

    below_or_equal = b.or_(flag(_CARRY), flag(_ZERO))
    less = b.xor(flag(_SIGN), flag(_OVERFLOW))
    holds = (
        flag(_OVERFLOW),
        flag(_CARRY),
        flag(_ZERO),
        below_or_equal,
        flag(_SIGN),
        flag(_PARITY),
        less,
        b.or_(less, flag(_ZERO)),
    )
    number = b.lshr(condition, constant(1))
    chosen = holds[0]
    for place, value in enumerate(holds[1:], start=1):
        chosen = b.select(b.icmp_unsigned("==", number, constant(place)), value, chosen)
    return b.icmp_unsigned("!=", b.xor(chosen, b.and_(condition, constant(1))), constant(0))
