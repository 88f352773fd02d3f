"""The armed sites of one address space: which bytes were displaced, which copy serves each site, which site
a pc belongs to.

Sites are judged when they are armed, so that one that can't be served never gets an int3; copies are made
at a site's first hit, so that the thousands that are never hit cost nothing but their row in the table.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from backend.fasttrap import text
from backend.fasttrap.loop import Control, SiteTable
from backend.fasttrap.scratch_space import REACH, ScratchSpace
from backend.fasttrap.tracee import Memory
from backend.linux.procfs import RemoteAddr
from scratch.displaced import Copy, Lifetime, OutOfLine, Refuse, State, Way, plan
from scratch.instruction import Undecodable
from scratch.instruction import decode as decode_instruction

Outcome = Way | Refuse
"""How a site is served, or why it isn't."""


@dataclass(frozen=True, slots=True)
class Site:
    """An address to be armed, and the number by which the clauses know it; UNCOUNTED if none does."""

    address: int
    identifier: int


UNCOUNTED = (1 << 64) - 1
"""The identifier of a site that is ours alone: the engine watches it, no clause is called."""


@dataclass(frozen=True, slots=True)
class Route:
    """The copy that serves a site; `lifetime` tells whether a thread may sleep in it."""

    site: int
    copy: Copy
    lifetime: Lifetime

    def completions(self) -> list[int]:
        """Return the addresses in the copy at which the displaced instruction has completed."""
        return [
            self.copy.slot + offset
            for offset, resume in self.copy.boundaries
            if resume.state is State.COMPLETED
        ]


class Tracepoints:
    """What is armed in one address space. `control` is kept in step with `table`."""

    def __init__(self, memory: Memory, control: Control) -> None:
        self.memory = memory
        self.space = ScratchSpace()
        self.displaced: dict[int, int] = {}
        self.table = SiteTable(())
        self._slow: frozenset[int] = frozenset()
        self._routes: dict[int, Route] = {}
        self._prepared: list[int] = []
        self._control = control
        self.table.install(control)

    def prepare(
        self, sites: Sequence[Site], tid: int, gate: RemoteAddr, *, shadow_stack: bool
    ) -> list[Outcome]:
        """Make everything ready for an int3 at each site that can be served; return how each is, in the order
        given.

        No site may be armed already. The process is held; `tid` is one of its threads, in whose name scratch
        space is mapped. With `shadow_stack` on, calls are refused. Afterwards `displaced` says what `insert`
        will displace. Raises ProcessGone, and CannotInject if there can be no scratch space.
        """
        code = text.Code(self.memory, self.displaced)
        plans = [_judge(code.at(site.address), site.address, shadow_stack=shadow_stack) for site in sites]
        planned = zip(sites, plans, strict=True)
        served = sorted(site.address for site, judged in planned if isinstance(judged, OutOfLine))
        if served:
            self.space.map_for(served, tid, gate)
        plans = [judged if isinstance(judged, Refuse) else self._in_reach(judged) for judged in plans]
        rows = [
            (site.address, site.identifier, judged.instruction.size == 1)
            for site, judged in zip(sites, plans, strict=True)
            if isinstance(judged, OutOfLine)
        ]
        self.table = self.table.with_sites(rows)
        self.table.install(self._control)
        self._prepared = [address for address, _, _ in rows]
        self.displaced |= text.displaced_by(self.memory, self._prepared)
        return [judged if isinstance(judged, Refuse) else judged.way for judged in plans]

    def insert(self) -> None:
        """Write the int3s that were prepared."""
        text.insert(self.memory, self._prepared)
        self._prepared = []

    def _in_reach(self, judged: OutOfLine) -> OutOfLine | Refuse:
        operand = judged.instruction.operand
        slot = self.space.slot(judged.instruction.address)
        if operand is not None and abs(operand - slot) >= REACH:
            return Refuse("no room for scratch memory within 2 GiB of its operand")
        return judged

    def route(self, place: int) -> Route:
        """Return the copy for the site at this place of the table, making it at the site's first hit."""
        site = self.table.addresses[place]
        if site not in self._routes:
            judged = _judge(text.Code(self.memory, self.displaced).at(site), site, shadow_stack=False)
            assert isinstance(judged, OutOfLine), (hex(site), judged)
            copy = judged.at(self.space.slot(site))
            assert copy.borrowed is None, copy
            self.memory.write(copy.slot, copy.code)
            self._routes[site] = Route(site, copy, judged.lifetime)
            if site not in self._slow:
                self.table.copies[place] = copy.slot
        return self._routes[site]

    def bring_all(self, sites: frozenset[int]) -> None:
        """Have every hit of these sites, and of no other, come to the engine: the loop is told of no copy for
        them.
        """
        for site in self._slow ^ sites:
            place = self.table.index(site)
            if place is not None:
                known = self._routes.get(site) if site not in sites else None
                self.table.copies[place] = known.copy.slot if known else 0
        self._slow = sites

    def route_of(self, site: int) -> Route:
        """Return the route of a site that has been hit."""
        return self._routes[site]

    def route_at(self, pc: int) -> Route | None:
        """Return the route in whose copy a thread with this pc is."""
        site = self.space.owner(pc)
        return None if site is None else self._routes.get(site)

    def ends_copy(self, address: int) -> bool:
        """Tell whether a copy has completed its displaced instruction at this address."""
        route = self.route_at(address)
        return route is not None and address in route.completions()


def _judge(code: bytes, address: int, *, shadow_stack: bool) -> OutOfLine | Refuse:
    instruction = decode_instruction(code, address)
    if isinstance(instruction, Undecodable):
        return Refuse(instruction.reason)
    judged = plan(instruction)
    if isinstance(judged, OutOfLine) and judged.calls and shadow_stack:
        return Refuse("a call, in a process with shadow stacks")
    return judged
