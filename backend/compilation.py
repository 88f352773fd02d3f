"""From program texts to a plan: check the clauses, match their descriptions with probes, number the enablings.

The language itself is dlang's; this is where it meets the probes that exist. Hands a Plan to an engine.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final

from backend.engine import Plan, plan
from backend.probes import Probes
from dlang import ast, probe_description
from dlang.check import assemble, check_clause, check_declarations
from dlang.diagnostics import CompileError, Diagnostic, fail
from dlang.names import DESCRIPTION_MACRO, Names, check_operands, macro_text
from dlang.parse import parse
from dlang.pragmas import check_modified
from dlang.probe_description import Level, ProbeDescription, ProbeDescriptionError, names_made_code
from dlang.program import Clause, Enabling
from dlang.source import Source, Span
from dlang.target import UnitKind

_LONGEST_DESCRIPTION: Final = 4096
_PID_PROVIDER: Final = re.compile(r"pid[0-9]+\Z")
_ABSOLUTE, _RETURN = "-", "return"
_NUMBER: Final = re.compile(r"[1-9][0-9]*(?!.*:)")
_PLURALS: Final = {Level.PROVIDER: "providers", Level.MODULE: "modules", Level.FUNCTION: "functions"}
"""What -P, -m and -f specify: no probe by its number."""


@dataclass(frozen=True, slots=True)
class ProgramText:
    """A program as it was given. `level` is the field that a command-line description ends with."""

    source: Source
    level: Level = Level.NAME


@dataclass(frozen=True, slots=True)
class Compiled:
    """`matched` is how many probes the descriptions of each text matched, in the order of the texts; `listed` are
    the IDs of all, in the order in which they were matched first. `descriptions` are those of the plan's enablings;
    `unmatched` those that match nothing."""

    plan: Plan
    matched: tuple[int, ...]
    listed: Sequence[int]
    descriptions: tuple[ProbeDescription, ...]
    unmatched: tuple[ProbeDescription, ...] = ()


Match = tuple[ProbeDescription, Sequence[int]]
"""A description of a program, and the IDs of the probes that it matches."""


class FailedText(Exception):
    """A program text that does not compile: which, and why."""

    def __init__(self, text: ProgramText, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic.message)
        self.text = text
        self.diagnostic = diagnostic


def compile_texts(
    texts: Sequence[ProgramText], names: Names, probes: Probes, *, empty_allowed: bool, zero_allowed: bool
) -> Compiled:
    """Compile all texts of a run in order; raises FailedText at the first error, as dtrace(1) does."""
    enablings: list[tuple[Enabling, Sequence[int]]] = []
    clauses: list[Clause] = []
    matched = []
    descriptions: list[ProbeDescription] = []
    for text in texts:
        try:
            program = parse(text.source, names.macros.operands)
            names.operands_used |= program.operands_used
            found = _checked(program, text, names, probes, zero_allowed=zero_allowed)
            end = len(text.source.text)
            if not found and not empty_allowed:
                fail("D_EMPTY", Span(end, end), "empty D program translation unit")
            check_modified(text.source, program)
            check_operands(names, end)
        except CompileError as error:
            raise FailedText(text, error.diagnostic) from None
        clauses.extend(clause for clause, _ in found)
        for clause, matches in found:
            for description, probe_list in matches:
                descriptions.append(description)
                enablings.append((Enabling(len(enablings), clause), probe_list))
        matched.append(sum(len(probe_list) for _, matches in found for _, probe_list in matches))
    listed = _each_once(chain.from_iterable(numbers for _, numbers in enablings), len(probes.names))
    later = [
        _kinds_later(description, numbers)
        for description, (_, numbers) in zip(descriptions, enablings, strict=True)
    ]
    later_made = any(
        names_made_code(description.module) and kinds
        for description, kinds in zip(descriptions, later, strict=True)
    )
    made = plan(assemble(clauses, names), enablings, probes, later, later_made=later_made)
    probes.forget_instructions()
    unmatched = [
        probes.resolved(description, Span(0, 0))
        for description, (_, numbers) in zip(descriptions, enablings, strict=True)
        if not numbers
    ]
    return Compiled(made, tuple(matched), listed, tuple(descriptions), tuple(unmatched))


def _each_once(numbers: Iterable[int], end: int) -> Sequence[int]:
    """Return numbers below `end` in the order in which they come first."""
    known = bytearray(end)
    found = array("I")
    for number in numbers:
        if not known[number]:
            known[number] = True
            found.append(number)
    return found


def _checked(
    program: ast.Program, text: ProgramText, names: Names, probes: Probes, *, zero_allowed: bool
) -> list[tuple[Clause, list[Match]]]:
    """Return the typed clauses with what their descriptions match. As DTrace compiles a clause once for each of its
    descriptions, the first is looked for before the clause is looked at."""
    found = []
    check_declarations(program, text.source, names)
    for item in program.items:
        if not isinstance(item, ast.Clause):
            continue
        first, *others = item.descriptions
        matches = _match([first], text, names, probes, zero_allowed=zero_allowed)
        probe = str(probes.resolved(matches[0][0], first.span))
        clause = check_clause(item, text.source, names, probe)
        found.append((clause, matches + _match(others, text, names, probes, zero_allowed=zero_allowed)))
    return found


def _match(
    descriptions: Sequence[ast.Description],
    text: ProgramText,
    names: Names,
    probes: Probes,
    *,
    zero_allowed: bool,
) -> list[Match]:
    """Return each of the descriptions, with the IDs of its probes."""
    found: list[Match] = []
    for node in descriptions:
        description = _description(node.text, node.span, text.level, names)
        matched = probes.match(description, node.span)
        if not matched and not zero_allowed:
            message = f"probe description {probes.resolved(description, node.span)} does not match any probes"
            fail("D_PDESC_ZERO", node.span, message, probes.hint(description, node.span))
        found.append((description, matched))
    return found


def _kinds_later(description: ProbeDescription, matched: Sequence[int]) -> frozenset[UnitKind]:
    """Return of which kinds the probes are that a description may match in a library not loaded yet; `matched` are
    those that it matches now.
    """
    of_process = _PID_PROVIDER.match(description.provider) and description.function != _ABSOLUTE
    may_come = probe_description.is_glob(description.module) or names_made_code(description.module)
    if not of_process or (matched and not may_come):
        return frozenset()
    kinds = set()
    if description.name != _RETURN:
        kinds.add(UnitKind.PROCESS)
    if probe_description.matches(description.name, _RETURN):
        kinds |= {UnitKind.RETURN, UnitKind.BRANCH}
    return frozenset(kinds)


def _description(text: str, span: Span, level: Level, names: Names) -> ProbeDescription:
    def expanded(macro: re.Match[str]) -> str:
        if not macro[2]:
            fail("D_PDESC_INVAL", span, undefined)
        return macro_text(macro[2], as_string=len(macro[1]) == 2, span=span, names=names)

    undefined = f'invalid probe description "{text}": Undefined macro variable in probe description'
    try:
        whole = DESCRIPTION_MACRO.sub(expanded, text)
        if len(whole) > _LONGEST_DESCRIPTION:
            fail("D_PDESC_INVAL", span, f'invalid probe description "{text}": Invalid probe specification')
        number = _NUMBER.match(whole) if level in _PLURALS else None
        if number is not None:
            message = f"probe identifier {number[0]} not permitted when specifying {_PLURALS[level]}"
            fail("D_PDESC_INVAL", span, message)
        return probe_description.parse(whole, level)
    except CompileError as error:
        if error.diagnostic.tag != "D_MACRO_UNDEF":
            raise
        raise CompileError(replace(error.diagnostic, tag="D_PDESC_INVAL", message=undefined)) from None
    except ProbeDescriptionError as error:
        fail("D_PDESC_INVAL", span, f'invalid probe description "{text}": {error.message}')
