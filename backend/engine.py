"""What a run asks of an engine, whichever executes the clauses; and the clauses as an engine takes them."""

from __future__ import annotations

import enum
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol

from backend.probes import END_ID, ERROR_ID, Probe, Probes, Profile
from backend.site_table import Site, SiteKind, Sites, branch_condition
from dlang.aggregation_store import EngineRequest
from dlang.aggregations import Aggregation, Cell, Key, cell_words
from dlang.items import ProbeName
from dlang.layout import TableStore, place_word, stores
from dlang.lower import Unit
from dlang.notices import Loss
from dlang.program import Enabling, TypedProgram
from dlang.target import UnitKind

if TYPE_CHECKING:
    from backend.process_symbols import Symbols

NO_UNIT: Final = 0xFFFFFFFF
"""In place of a unit's: of a number that nobody wants."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A program and where it goes: `probes` are the consumer's own, `sites` the places in processes that fire others.

    `names` holds each probe's name by ID. `unit_of` leads from a number (a site's, or the ID of one of the
    consumer's probes) to the place in `units` of what it fires, NO_UNIT where nobody wants it.

    `later_made`: code that the process has yet to make may have functions for it.

    A plan that may grow (`growth`) has `room` for so many numbers, and in `alone` the unit of each single enabling
    (its place) that may match functions of libraries loaded later. `names`, `sites` and `unit_of` then get longer.
    """

    program: TypedProgram
    enablings: tuple[Enabling, ...]
    names: Sequence[ProbeName]
    probes: tuple[Probe, ...]
    sites: Sites
    units: tuple[Unit, ...]
    unit_of: array[int]
    room: int
    alone: Mapping[tuple[int, UnitKind], int]
    later_made: bool = False

    @property
    def may_grow(self) -> bool:
        """Whether libraries that are loaded later may have functions for it."""
        return bool(self.alone)

    @property
    def name_room(self) -> int:
        """How many names there may be."""
        return max(self.room, len(self.names))

    @property
    def number_room(self) -> int:
        """How many numbers there may be."""
        return max(self.room, self.numbers)

    @property
    def numbers(self) -> int:
        """How many numbers there are: the IDs of all probes, and what their further sites are known by."""
        return len(self.unit_of)

    def places(self, sites: Iterable[Site]) -> Iterator[tuple[int, int]]:
        """Yield number and word of each of these sites that is a return's, for the table that its clauses look into:
        `place_word`.
        """
        for site in sites:
            if site.kind in RETURNING:
                condition = branch_condition(site.code) if site.kind is SiteKind.BRANCH else None
                yield site.number, place_word(site.probe, site.offset, condition or 0)

    def unit(self, number: int) -> Unit | None:
        """Return what a number fires."""
        place = self.unit_of[number]
        return None if place == NO_UNIT else self.units[place]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A probe that is not traced, and why."""

    probe: ProbeName
    reason: str


class Way(enum.Enum):
    """How a site's displaced instruction is executed at each hit, in the words of the coverage table.

    By uprobes: the kernel produces its effect, or steps a copy of it under the trap flag. By fasttrap: a copy in the
    process's own scratch memory, unchanged or rewritten, to which a trap leads; or a trampoline, to which a jump does:
    by itself, by a short one and padding, or by one that shares its last bytes with what follows.
    """

    UPROBE_EMULATED = "uprobe emulated"
    UPROBE_STEPPED = "uprobe stepped"
    OUT_OF_LINE = "out-of-line copy"
    REWRITTEN = "rewritten copy"
    JUMP = "jump"
    SHORT_JUMP = "short jump"
    PUNNED_JUMP = "punned jump"


@dataclass(frozen=True, slots=True)
class Unserved:
    """A site is not served, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Trapped:
    """A site is served in this way, and why not by a jump, which would be a hundred times cheaper."""

    way: Way
    reason: str


Answer = Way | Trapped | Unserved


@dataclass(frozen=True, slots=True)
class SiteCoverage:
    """One site of a plan: whose it is, how it is served, and how often it was hit, whatever predicates then said."""

    module: str
    kind: SiteKind
    answer: Answer
    hits: int = 0


NO_HURRY_NS: Final = 1_000_000_000
"""How long an engine waits that has nothing to look after."""


class Engine(Protocol):
    """Executes a plan's clauses. A context manager: leaving it takes every probe away.

    `samples`: the engine fires profile-N probes itself, in whatever each processor is at; else the session does.
    """

    @property
    def samples(self) -> bool: ...

    def fire(self, probe: Probe, arguments: Sequence[int] = ()) -> None:
        """Run the clauses of BEGIN, END or a tick, in this process; `arguments` are arg0 and following."""

    def attach(self) -> tuple[Refusal, ...]:
        """Place all probes; returns those that could not be."""

    @property
    def lost(self) -> bool:
        """Whether nothing is traced any more because who did it has died. The process may live."""

    @property
    def loading(self) -> bool:
        """Whether the process has just loaded libraries, and is held until `extend`."""

    def extend(self, sites: Sites, symbols: Symbols | None) -> tuple[Refusal, ...]:
        """Place the probes of libraries loaded later, which have `symbols`; returns those that could not be.

        The plan's tables have the sites' numbers by now; its `sites` get longer by them here.
        """

    def withdrawn(self) -> tuple[Refusal, ...]:
        """Return the probes that are traced no more since the last call, because the program has changed its code."""

    def take_disarmed(self) -> bool:
        """Tell whether, since the last call, traps have been lost to a child that runs in the memory of the process."""

    def detach(self) -> None:
        """Take all probes away; counts and records stay."""

    def fileno(self) -> int:
        """A descriptor that polls readable when there are records."""

    @property
    def patience_ns(self) -> int:
        """How long `drain` may be put off, in nanoseconds, where there are no records."""

    def drain(self, limit: int) -> Sequence[bytes]:
        """Take at most `limit` records, oldest first."""

    def snapshot(self, aggregation: Aggregation) -> dict[Key, Cell]:
        """Return all cells of an aggregation as they are now, those of all processors merged."""

    def carry_out(self, request: EngineRequest) -> None:
        """Reset or delete cells."""

    def free_speculation(self, number: int) -> None:
        """Let speculation() give out a number again that commit() or discard() has ended."""

    def dropped(self) -> Mapping[Loss, int]:
        """Return what was lost so far."""

    def refresh(self) -> None:
        """Bring clocks and process ids that clauses read up to date."""

    def coverage(self) -> Iterable[SiteCoverage]:
        """Return, for each site of the plan, how it is or was served, and its hits if the plan counts them.

        Where `attach` was never reached: how it would have been.
        """


def plan(
    program: TypedProgram,
    enablings: Sequence[tuple[Enabling, Iterable[int]]],
    probes: Probes,
    later: Sequence[frozenset[UnitKind]] = (),
    *,
    later_made: bool = False,
) -> Plan:
    """Return the plan: each probe's clauses in program order, and one unit for each distinct set of them.

    `enablings` come with the IDs of the probes that they match; `later` says of which kinds those are that each may
    match in libraries loaded later, `later_made` whether some of that is code that the process makes itself.
    """
    fired = _Fired(len(probes.names))
    for place, (_, numbers) in enumerate(enablings):
        fired.add(place, numbers)
    units: dict[tuple[int, UnitKind, bool], int] = {}
    unit_of = array("I", (NO_UNIT,)) * len(probes.names)
    events: list[Probe] = []
    sites = Sites()
    made: list[Unit] = []

    def unit_for(set_: int, kind: UnitKind, *, after_exit: bool) -> int:
        key = set_, kind, after_exit
        if key not in units:
            units[key] = len(made)
            own = tuple(enablings[place][0] for place in fired.sets[set_])
            made.append(Unit(f"u{len(made)}", kind, own, errors, after_exit=after_exit))
        return units[key]

    def unit(number: int, kind: UnitKind) -> int:
        # END comes after exit().
        return unit_for(fired.set_of[number], kind, after_exit=number == END_ID)

    errors = tuple(enablings[place][0] for place in fired.sets[fired.set_of[ERROR_ID]])
    for number in fired.order:
        if number == ERROR_ID:
            continue
        owner = probes.names.function(number)
        if owner is None:
            events.append(probes.events[number])
            sampled = isinstance(probes.events[number].event, Profile)
            unit_of[number] = unit(number, UnitKind.SAMPLE if sampled else UnitKind.CONSUMER)
            continue
        functions, function, kind, offset = owner
        known_as = number
        for place, how in functions.sites(function, kind, offset):
            sites.add(functions.functions[function], how, place, number, known_as)
            unit_of[known_as] = unit(number, RETURNING.get(how, UnitKind.PROCESS))
            # Of the next one, which is nobody's ID.
            known_as = len(unit_of)
            unit_of.append(NO_UNIT)
        unit_of.pop()
    alone = {
        (place, kind): unit_for(fired.set_alone(place), kind, after_exit=False)
        for place, kinds in enumerate(later)
        for kind in sorted(kinds, key=lambda kind: kind.value)
    }
    return Plan(
        program=program,
        enablings=tuple(enabling for enabling, _ in enablings),
        names=probes.names,
        probes=tuple(events),
        sites=sites,
        units=tuple(made),
        unit_of=unit_of,
        room=len(unit_of) + _later_numbers(program) if alone else 0,
        alone=alone,
        later_made=later_made,
    )


RETURNING: Final = {
    SiteKind.RETURN: UnitKind.RETURN,
    SiteKind.URETPROBE: UnitKind.RETURN,
    SiteKind.BRANCH: UnitKind.BRANCH,
}
"""What fires at sites of returns; at all others it is UnitKind.PROCESS."""
_LATER_NUMBERS: Final = 1 << 16
"""How many sites there may be in libraries loaded later: their functions, mostly. A browser loads thirty thousand."""
_LATER_CELLS: Final = 8 << 20
"""Bytes that an aggregation's cells for them may take: the kernel has them at once, and for each processor."""
_FEWEST_LATER: Final = 4096


def _later_numbers(program: TypedProgram) -> int:
    """Return for how many sites of libraries loaded later there is room."""
    tables = [store for store in stores(program, 1).values() if isinstance(store, TableStore)]
    largest = max((8 * cell_words(table.aggregation) * table.stride for table in tables), default=0)
    return max(_FEWEST_LATER, min(_LATER_NUMBERS, _LATER_CELLS // max(largest, 1)))


class _Fired:
    """Which enablings each probe fires: the places of `sets` by ID, and the IDs in the order in which they came."""

    def __init__(self, count: int) -> None:
        self.order = array("I")
        self.sets: list[tuple[int, ...]] = [()]
        self.set_of = array("I", bytes(4 * count))
        self._places: dict[tuple[int, ...], int] = {(): 0}

    def set_alone(self, enabling: int) -> int:
        """Return the place in `sets` of one enabling alone."""
        place = self._places.setdefault((enabling,), len(self.sets))
        if place == len(self.sets):
            self.sets.append((enabling,))
        return place

    def add(self, enabling: int, numbers: Iterable[int]) -> None:
        """Take in the probes of an enabling."""
        larger: dict[int, int] = {}
        for number in numbers:
            before = self.set_of[number]
            if not before:
                self.order.append(number)
            if before not in larger:
                both = (*self.sets[before], enabling)
                larger[before] = self._places.setdefault(both, len(self.sets))
                if larger[before] == len(self.sets):
                    self.sets.append(both)
            self.set_of[number] = larger[before]


def without_samples(plan: Plan) -> Plan:
    """Return the plan for an engine that can't look at what a processor is at: the consumer fires profile-N."""
    units = (
        replace(unit, kind=UnitKind.CONSUMER) if unit.kind is UnitKind.SAMPLE else unit for unit in plan.units
    )
    return replace(plan, units=tuple(units))


def counting_hits(plan: Plan) -> Plan:
    """Return the plan with code in it that counts the hits of each site, for Engine.coverage."""
    units = (
        replace(unit, counts_hits=unit.kind not in (UnitKind.CONSUMER, UnitKind.SAMPLE))
        for unit in plan.units
    )
    return replace(plan, units=tuple(units))


def refusals(plan: Plan, answers: Sequence[Answer]) -> tuple[Refusal, ...]:
    """Return the probes of the plan that are not served, at one site at least; `answers` are those of its sites."""
    refused: dict[int, str] = {}
    for place, answer in enumerate(answers):
        if isinstance(answer, Unserved):
            refused.setdefault(plan.sites[place].probe, answer.reason)
    return tuple(Refusal(plan.names[number], reason) for number, reason in refused.items())


def covered(plan: Plan, answers: Sequence[Answer], hits: Mapping[int, int]) -> Iterator[SiteCoverage]:
    """Yield the coverage of the plan's sites, whose answers these are; `hits` are by number, those of none left out."""
    for site, answer in zip(plan.sites, answers, strict=True):
        yield SiteCoverage(site.object.name, site.kind, answer, hits.get(site.number, 0))
