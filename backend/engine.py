"""What a run asks of an engine, whichever executes the clauses; and the clauses as an engine takes them."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from backend.probes import END_ID, Probe
from dlang.aggregation_store import EngineRequest
from dlang.aggregations import Aggregation, Cell, Key
from dlang.items import ProbeName
from dlang.lower import Unit
from dlang.notices import Drop
from dlang.program import Enabling, TypedProgram
from dlang.target import UnitKind


@dataclass(frozen=True, slots=True)
class Plan:
    """A program and where it goes: `unit_of` leads from a probe's ID to the place in `units` of what it fires.

    `names` holds each probe's name by ID. Probes that no clause wants are in none of it but `names`.
    """

    program: TypedProgram
    enablings: tuple[Enabling, ...]
    names: tuple[ProbeName, ...]
    probes: tuple[Probe, ...]
    units: tuple[Unit, ...]
    unit_of: Mapping[int, int]

    @property
    def sites(self) -> list[Probe]:
        """The probes that are places in a process."""
        return [probe for probe in self.probes if probe.is_site]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A probe that is not traced, and why."""

    probe: ProbeName
    reason: str


class Way(enum.Enum):
    """How a site's displaced instruction is executed at each hit, in the words of the coverage table.

    By uprobes: the kernel produces its effect, or steps a copy of it under the trap flag. By fasttrap: a copy in the
    process's own scratch memory, unchanged or rewritten.
    """

    UPROBE_EMULATED = "uprobe emulated"
    UPROBE_STEPPED = "uprobe stepped"
    OUT_OF_LINE = "out-of-line copy"
    REWRITTEN = "rewritten copy"


@dataclass(frozen=True, slots=True)
class Unserved:
    """A site is not served, and why."""

    reason: str


Answer = Way | Unserved


@dataclass(frozen=True, slots=True)
class SiteCoverage:
    """One site of a plan: how it is served, and how often it was hit, whatever predicates then said."""

    probe: Probe
    answer: Answer
    hits: int = 0


class Engine(Protocol):
    """Executes a plan's clauses. A context manager: leaving it takes every probe away."""

    def fire(self, probe: Probe, arguments: Sequence[int] = ()) -> None:
        """Run the clauses of BEGIN, END, ERROR or a tick, in this process; `arguments` are arg0 and following."""

    def attach(self) -> tuple[Refusal, ...]:
        """Place all probes; returns those that could not be."""

    def detach(self) -> None:
        """Take all probes away; counts and records stay."""

    def fileno(self) -> int:
        """A descriptor that polls readable when there are records."""

    def drain(self, limit: int) -> Sequence[bytes]:
        """Take at most `limit` records, oldest first."""

    def snapshot(self, aggregation: Aggregation) -> dict[Key, Cell]:
        """Return all cells of an aggregation as they are now, those of all processors merged."""

    def carry_out(self, request: EngineRequest) -> None:
        """Reset or delete cells."""

    def dropped(self) -> Mapping[Drop, int]:
        """Return what was lost so far, by kind."""

    def refresh(self) -> None:
        """Bring clocks and process ids that clauses read up to date."""

    def coverage(self) -> Sequence[SiteCoverage]:
        """Return, for each site of the plan, how it is or was served, and its hits if the plan counts them.

        Where `attach` was never reached: how it would have been.
        """


def plan(
    program: TypedProgram,
    enablings: Sequence[tuple[Enabling, Sequence[Probe]]],
    names: Sequence[ProbeName],
) -> Plan:
    """Return the plan: each probe's clauses in program order, and one unit for each distinct set of them."""
    wanted: dict[int, list[Enabling]] = {}
    probes: dict[int, Probe] = {}
    for enabling, matched in enablings:
        for probe in matched:
            probes[probe.id] = probe
            wanted.setdefault(probe.id, []).append(enabling)
    units: dict[tuple[tuple[int, ...], UnitKind, bool], Unit] = {}
    places: dict[tuple[tuple[int, ...], UnitKind, bool], int] = {}
    unit_of: dict[int, int] = {}
    for number, own in wanted.items():
        kind = UnitKind.PROCESS if probes[number].is_site else UnitKind.CONSUMER
        key = (tuple(enabling.number for enabling in own), kind, number == END_ID)
        if key not in units:
            places[key] = len(units)
            units[key] = Unit(f"u{len(units)}", kind, tuple(own), after_exit=number == END_ID)
        unit_of[number] = places[key]
    return Plan(
        program=program,
        enablings=tuple(enabling for enabling, _ in enablings),
        names=tuple(names),
        probes=tuple(probes.values()),
        units=tuple(units.values()),
        unit_of=unit_of,
    )


def counting_hits(plan: Plan) -> Plan:
    """Return the plan with code in it that counts the hits of each site, for Engine.coverage."""
    units = (replace(unit, counts_hits=unit.kind is UnitKind.PROCESS) for unit in plan.units)
    return replace(plan, units=tuple(units))


def refusals(plan: Plan, answers: Mapping[int, Answer]) -> tuple[Refusal, ...]:
    """Return the sites of the plan that are not served; `answers` are by probe ID."""
    judged = ((probe.name, answers[probe.id]) for probe in plan.sites)
    return tuple(Refusal(name, answer.reason) for name, answer in judged if isinstance(answer, Unserved))


def covered(plan: Plan, answers: Mapping[int, Answer], hits: Mapping[int, int]) -> list[SiteCoverage]:
    """Return the coverage of the plan's sites; `answers` and `hits` are by probe ID, hits of none left out."""
    return [SiteCoverage(probe, answers[probe.id], hits.get(probe.id, 0)) for probe in plan.sites]
