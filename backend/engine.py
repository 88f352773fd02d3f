"""What a run asks of an engine, whichever executes the clauses; and the clauses as an engine takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
