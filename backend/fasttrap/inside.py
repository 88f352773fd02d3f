"""Clauses compiled for the traced process itself: the code, and what a trampoline has to know of each unit.

A unit that does nothing but count where its site says is told as the places of its counters, which a trampoline adds
to by itself. Compiled by the same passes as for the tracer (dlang/lower.py); where it is put is in_target.py's
business.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from backend import emit
from backend.engine import Plan
from backend.fasttrap.code_image import CodeImage, code_image
from backend.fasttrap.regions import HITS, Regions
from backend.fasttrap.runtime import WITHOUT_SYSTEM_CALLS, Where, assembly
from backend.fasttrap.runtime_inside import CLOCK_RETURN
from backend.fasttrap.target import MEMORY_POINTER, NativeMachine
from backend.object_cache import compiled
from dlang.aggregations import AggregatingFunction, cell_words
from dlang.layout import Store, TableStore
from dlang.lower import Unit, may_stop
from dlang.program import Aggregate, TypedProgram
from dlang.target import UnitKind

VDSO: Final = "[vdso]"


@dataclass(frozen=True, slots=True)
class Counter:
    """A 64-bit word of the memory: at `first`, and `stride` bytes further for each probe, or with `by_number` for each
    number of a site.
    """

    first: int
    stride: int
    by_number: bool


@dataclass(frozen=True, slots=True)
class InsideUnit:
    """A unit's function, by its name in the image; `counters` is all that it does, if that is counting, else None.

    It makes system calls, sends signals, or asks for the thread's ID, the user's, the time or the processor, as the
    flags say.
    """

    name: str
    whole_registers: bool
    counters: tuple[Counter, ...] | None
    system_calls: bool
    signals: bool
    thread_ids: bool
    credentials: bool
    clock: bool


@dataclass(frozen=True, slots=True)
class InsideCode:
    """The code, and the units by their places in the plan; None for those that the process never fires.

    `vdso_probed`: there are sites in the vdso, so that clauses which call it would come upon themselves.
    """

    image: CodeImage
    units: tuple[InsideUnit | None, ...]
    vdso_probed: bool


def compile_inside(machine: NativeMachine, plan: Plan, regions: Regions) -> InsideCode:
    """Return the code of a machine that all units of the process have been lowered to, and that is settled."""
    layout, units = machine.layout, plan.units
    own = [unit for unit in units if unit.kind is not UnitKind.CONSUMER]
    exported = (MEMORY_POINTER, CLOCK_RETURN, *(unit.name for unit in own))
    support = assembly(Where.INSIDE)
    code = compiled(
        "x86-64 inside",
        f"{machine.module}{support}",
        lambda: emit.native_object(machine.module, support, exported),
    )
    found: list[InsideUnit | None] = []
    ours = _aggregates(unit for unit in units if unit.kind is UnitKind.CONSUMER)
    for unit in units:
        if unit.kind is UnitKind.CONSUMER:
            found.append(None)
            continue
        firing = machine.firings[unit.name]
        found.append(
            InsideUnit(
                unit.name,
                firing.whole_registers,
                _counters(unit, layout.program, layout.stores, regions, ours),
                system_calls=not firing.uses <= WITHOUT_SYSTEM_CALLS,
                signals="send_signal" in firing.uses,
                thread_ids="own_thread" in firing.uses,
                credentials="credential" in firing.uses,
                clock="clock" in firing.uses,
            )
        )
    return InsideCode(code_image(code), tuple(found), plan.sites.touch(VDSO))


def _aggregates(units: Iterable[Unit]) -> frozenset[int]:
    """Return the numbers of the statements in units that do nothing else than aggregate."""
    return frozenset(
        statement.number
        for unit in units
        for enabling in unit.every_enabling
        for statement in enabling.clause.statements
        if isinstance(statement, Aggregate)
    )


def _counters(
    unit: Unit,
    program: TypedProgram,
    stores: Mapping[str, Store],
    regions: Regions,
    ours: frozenset[int],
) -> tuple[Counter, ...] | None:
    """Return the counters that the unit adds one to, if it does nothing else, and nobody but the process adds to them:
    dtrap itself executes the statements `ours`, and a lone thread of the process doesn't lock.
    """
    counters: list[Counter] = []
    if unit.counts_hits:
        counters.append(Counter(regions.offset(HITS), 8, by_number=True))
    if may_stop(program) or unit.kind is UnitKind.BRANCH:
        return None
    for enabling in unit.enablings:
        clause = enabling.clause
        if clause.predicate is not None or clause.record_size:
            return None
        for statement in clause.statements:
            if not isinstance(statement, Aggregate) or statement.number in ours:
                return None
            counter = _counter(statement, stores, regions)
            if counter is None:
                return None
            counters.append(counter)
    return tuple(counters)


def _counter(aggregate: Aggregate, stores: Mapping[str, Store], regions: Regions) -> Counter | None:
    aggregation = aggregate.aggregation
    table = stores[aggregation.name]
    if aggregation.function is not AggregatingFunction.COUNT or not isinstance(table, TableStore):
        return None
    size = 8 * cell_words(aggregation)
    start = regions.offset(f"@{aggregation.name}")
    if aggregate.number in table.fixed:
        return Counter(start + table.fixed[aggregate.number] * size, 0, by_number=False)
    return Counter(start + table.sites[aggregate.number] * size, table.stride * size, by_number=False)
