"""D's arithmetic once more, written for the tests and apart from the compiler: expressions with the values they have.

A `Term` is an expression's text together with its value and C type, reduced to what decides results: the width of the
type in bytes and whether it is signed. Values are computed on 64 bits; a type matters for the sign of division, shift
and comparison, and where a variable or a cast stores fewer bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

TYPES: Final = {
    "char": (1, True), "unsigned char": (1, False), "short": (2, True), "unsigned short": (2, False),
    "int": (4, True), "unsigned int": (4, False), "long": (8, True), "unsigned long": (8, False),
}  # fmt: skip
OPERATORS: Final = (
    "+", "-", "*", "/", "%", "&", "|", "^", "<<", ">>", "<", "<=", ">", ">=", "==", "!=", "&&", "||", "^^",
)  # fmt: skip
EDGES: Final = (
    0, 1, -1, 2, -2, 7, 10, 63, 64, 65, 127, 128, 255, 256, 1 << 31, (1 << 31) - 1, -(1 << 31), 1 << 32,
    (1 << 63) - 1, -(1 << 63), -(1 << 63) + 1, 0xFFFFFFFF, 1234567890123,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Term:
    """`fixed`: made of constants alone, so that the compiler works it out."""

    text: str
    value: int
    size: int
    signed: bool
    fixed: bool = False


def stored(value: int, size: int, signed: bool) -> int:
    """What `size` bytes of that sign hold of a value."""
    rest = value % (1 << 8 * size)
    return rest - (1 << 8 * size) if signed and rest >= 1 << (8 * size - 1) else rest


def as_word(value: int) -> int:
    """The value as a record or an aggregation shows it: an int64."""
    return stored(value, 8, True)


def _read(term: Term, signed: bool) -> int:
    """The operand as 64-bit arithmetic of that sign sees it."""
    return stored(term.value, 8, signed)


def _common(left: Term, right: Term) -> tuple[int, bool]:
    if left.size != right.size:
        return max((left.size, left.signed), (right.size, right.signed))
    return left.size, left.signed and right.signed


def binary(operator: str, left: Term, right: Term) -> Term | None:
    """The term of two operands, or None where D has no result for them (division by zero)."""
    text = f"({left.text} {operator} {right.text})"
    fixed = left.fixed and right.fixed
    size, signed = _common(left, right)
    a, b = _read(left, signed), _read(right, signed)
    match operator:
        case "<" | "<=" | ">" | ">=" | "==" | "!=":
            order = (a > b) - (a < b)
            held = {"<": order < 0, "<=": order <= 0, ">": order > 0, ">=": order >= 0, "==": order == 0}
            return Term(text, int(held.get(operator, order != 0)), 4, True, fixed)
        case "&&" | "||" | "^^":
            x, y = left.value != 0, right.value != 0
            return Term(text, int({"&&": x and y, "||": x or y, "^^": x != y}[operator]), 4, True, fixed)
        case "<<" | ">>":
            size, signed = left.size, left.signed
            # The compiler shifts the sign to the right like any other bit, the code that it makes does not.
            a, count = _read(left, signed and not fixed), right.value % 64
            result = a << count if operator == "<<" else a >> count
        case "/" | "%":
            if b == 0:
                return None
            quotient = abs(a) // abs(b) * (-1 if (a < 0) != (b < 0) else 1)
            result = quotient if operator == "/" else a - quotient * b
        case "+":
            result = a + b
        case "-":
            result = a - b
        case "*":
            result = a * b
        case "&":
            result = a & b
        case "|":
            result = a | b
        case _:
            result = a ^ b
    return Term(text, stored(result, 8, signed), size, signed, fixed)


def unary(operator: str, operand: Term) -> Term:
    text = f"{operator}({operand.text})"
    if operator == "!":
        return Term(text, int(operand.value == 0), 4, True, operand.fixed)
    size, signed = operand.size, operand.signed
    value = _read(operand, signed)
    result = {"-": -value, "~": ~value, "+": value}[operator]
    return Term(text, stored(result, 8, signed), size, signed, operand.fixed)


def choice(condition: Term, then: Term, otherwise: Term) -> Term:
    size, signed = _common(then, otherwise)
    chosen = then if condition.value else otherwise
    value = chosen.value
    text = f"({condition.text} ? {then.text} : {otherwise.text})"
    if condition.fixed:  # the compiler takes one, and forgets the other
        return Term(text, value, chosen.size, chosen.signed, chosen.fixed)
    return Term(text, stored(value, 8, signed), size, signed)


def cast(name: str, operand: Term) -> Term:
    size, signed = TYPES[name]
    text = f"({name})({operand.text})"
    return Term(text, stored(operand.value, size, signed), size, signed, operand.fixed)


def constant(value: int) -> Term:
    """A constant of type long, written so that every value can be: the smallest has no literal of its own."""
    if value == -(1 << 63):
        return Term("(-0x7fffffffffffffffL - 1)", value, 8, True, fixed=True)
    text = f"{value}" if value >= 0 else f"({value})"
    return Term(text, value, 4 if -(1 << 31) < value < 1 << 31 else 8, True, fixed=True)


values = st.one_of(st.sampled_from(EDGES), st.integers(-(1 << 63), (1 << 63) - 1)).map(as_word)


@st.composite
def terms(draw: DrawFn, variables: tuple[Term, ...], depth: int = 3) -> Term:
    """An expression over `variables` and constants whose value is defined."""
    if depth == 0 or draw(st.integers(0, 4)) == 0:
        return draw(st.one_of(st.sampled_from(variables), values.map(constant)))
    inner = terms(variables, depth - 1)
    match draw(st.integers(0, 7)):
        case 0:
            return unary(draw(st.sampled_from("-~!+")), draw(inner))
        case 1:
            return choice(draw(inner), draw(inner), draw(inner))
        case 2:
            return cast(draw(st.sampled_from(tuple(TYPES))), draw(inner))
        case _:
            operator = draw(st.sampled_from(OPERATORS))
            left, right = draw(inner), draw(inner)
            return binary(operator, left, right) or binary("+", left, right) or left
