"""Structures and associative arrays, changed at random, hold on both engines what they hold by D's rules."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from backend.fasttrap.program import Descriptors, NativeOptions, NativeProgram
from backend.uprobes.engine import KernelEngine, KernelOptions
from tests.fasttrap.plans import consumer_plan, decoded, traced
from tests.properties.evaluation import TYPES, Term, binary, stored, terms

pytestmark = [pytest.mark.requires_uprobes, pytest.mark.timeout(120)]

_ASSIGNMENTS: Final = ("+=", "-=", "*=", "&=", "|=", "^=", "<<=", ">>=", "/=", "%=")
_KEYS: Final = {1: ("1", "(char)1", "3 - 2"), -1: ("-1", "~0L"), 300: ("300", "0x12cU")}
"""Numbers that are keys, with ways to write them."""
_WORDS: Final = ("", "a longer key")


@dataclass(slots=True)
class _Cell:
    """An integer somewhere: ways to write it, its type and, of a bit-field, its width; and what it holds."""

    texts: tuple[str, ...]
    kind: str
    width: int | None = None
    value: int = 0

    def term(self, draw: DrawFn) -> Term:
        return Term(draw(st.sampled_from(self.texts)), self.value, *TYPES[self.kind])

    def store(self, value: int) -> None:
        size, signed = TYPES[self.kind]
        if self.width is None:
            self.value = stored(value, size, signed)
        else:
            rest = value % (1 << self.width)
            self.value = rest - (1 << self.width) if signed and rest >> (self.width - 1) else rest


@dataclass(slots=True)
class _Model:
    """A program being written, and what its variables hold after each statement."""

    draw: DrawFn
    structures: list[tuple[str, list[_Cell]]] = field(default_factory=list)
    """Ways to write the structure, joined by a blank; its members."""
    cells: list[_Cell] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def declare(self) -> str:
        members: list[tuple[str, str, int | None]] = []
        declared = []
        for number in range(self.draw(st.integers(1, 4))):
            name, kind = f"m{number}", self.draw(st.sampled_from(tuple(TYPES)))
            match self.draw(st.sampled_from(["plain", "plain", "bits", "array", "inner"])):
                case "bits":
                    width = self.draw(st.integers(1, 8 * TYPES[kind][0]))
                    declared.append(f"{kind} {name} : {width};")
                    members.append((f".{name}", kind, width))
                case "array":
                    declared.append(f"{kind} {name}[3];")
                    members += [(f".{name}[{index}]", kind, None) for index in range(3)]
                case "inner":
                    declared.append(f"struct {{ char c; {kind} n; }} {name};")
                    members += [(f".{name}.c", "char", None), (f".{name}.n", kind, None)]
                case _:
                    declared.append(f"{kind} {name};")
                    members.append((f".{name}", kind, None))
        wholes: list[tuple[str, ...]] = [("g",), ("self->t",), ("this->c",)]
        for array in ("a", "self->b"):
            wholes += [tuple(f"{array}[{text}]" for text in texts) for texts in _KEYS.values()]
        for texts in wholes:
            cells = [_Cell(tuple(t + m for t in texts), kind, width) for m, kind, width in members]
            self.structures.append((" ".join(text.replace(" ", "") for text in texts), cells))
            self.cells += cells
        counter = self.draw(st.sampled_from(tuple(TYPES)))
        for word in _WORDS:
            for texts in _KEYS.values():
                self.cells.append(_Cell(tuple(f'n["{word}", {text}]' for text in texts), counter))
        return (
            f"struct s {{ {' '.join(declared)} }};\nstruct s g; self struct s t; this struct s c;\n"
            f"struct s a[long]; self struct s b[int]; {counter} n[string, long];"
        )

    def statement(self) -> None:
        draw = self.draw
        match draw(st.integers(0, 7)):
            case 0:
                (to_texts, to), (from_texts, cells) = (
                    draw(st.sampled_from(self.structures)) for _ in range(2)
                )
                to_text, from_text = (
                    draw(st.sampled_from(texts.split())) for texts in (to_texts, from_texts)
                )
                self.lines.append(f"{to_text} = {from_text};")
                for cell, value in zip(to, [cell.value for cell in cells], strict=True):
                    cell.value = value
            case 1:
                texts, cells = draw(st.sampled_from(self.structures[3:]))
                self.lines.append(f"{draw(st.sampled_from(texts.split()))} = 0;")
                for cell in cells:
                    cell.value = 0
            case 2:
                cell = draw(st.sampled_from(self.cells))
                step = draw(st.sampled_from([1, -1]))
                self.lines.append(f"{cell.term(draw).text}{'++' if step > 0 else '--'};")
                cell.store(cell.value + step)
            case 3 | 4:
                cell = draw(st.sampled_from(self.cells))
                operator = draw(st.sampled_from(_ASSIGNMENTS))
                place, operand = cell.term(draw), self.term()
                result = binary(operator[:-1], place, operand)
                if result is not None:
                    self.lines.append(f"{place.text} {operator} {operand.text};")
                    cell.store(result.value)
            case _:
                cell, operand = draw(st.sampled_from(self.cells)), self.term()
                self.lines.append(f"{cell.term(draw).text} = {operand.text};")
                cell.store(operand.value)

    def term(self) -> Term:
        known = tuple(self.draw(st.sampled_from(self.cells)).term(self.draw) for _ in range(3))
        arguments = tuple(Term(f"arg{n}", value, 8, True) for n, value in enumerate(ARGUMENTS))
        return self.draw(terms((*known, *arguments), depth=2))


ARGUMENTS: Final = (5, -(1 << 63), 1 << 32)


@st.composite
def models(draw: DrawFn) -> tuple[str, list[_Cell]]:
    """A program that traces all its cells in the end, and the cells."""
    model = _Model(draw)
    declared = model.declare()
    for _ in range(draw(st.integers(3, 12))):
        model.statement()
    traces = [f"trace({cell.texts[0]});" for cell in model.cells]
    body = "\n".join([*model.lines, *traces])
    return f"{declared}\nBEGIN {{\n{body}\n}}", model.cells


def both(text: str, arguments: Sequence[int]) -> list[list[int | bytes]]:
    """What the clause traces when BEGIN fires with these arguments, in the kernel and in native code."""
    plan = consumer_plan(text)
    with ExitStack() as stack:
        kernel = stack.enter_context(KernelEngine(plan, (), KernelOptions()))
        descriptors = stack.enter_context(Descriptors.open())
        native = stack.enter_context(NativeProgram(plan, None, NativeOptions(), descriptors))
        found = []
        for engine in (kernel, native):
            engine.fire(plan.probes[0], [value % (1 << 64) for value in arguments])
            (row,) = decoded(plan, engine.drain(10))
            found.append(traced(row))
        return found


@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(models())
def test_structures_and_arrays(model: tuple[str, list[_Cell]]) -> None:
    text, cells = model
    wanted = [cell.value for cell in cells]
    kernel, native = both(text, ARGUMENTS)
    assert kernel == wanted, text
    assert native == wanted, text
