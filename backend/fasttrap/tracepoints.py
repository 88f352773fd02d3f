"""The armed sites of one address space: which bytes were displaced, which copy serves each site, which site
a pc belongs to.

Sites are judged when they are armed, so that one that can't be served never gets an int3; copies are made
at a site's first hit, so that the thousands that are never hit cost nothing but their row in the table.
"""

from collections.abc import Sequence, Set
from dataclasses import dataclass

from backend.fasttrap import text
from backend.fasttrap.loop import Control, SiteTable
from backend.fasttrap.scratch_space import HEADER_SIZE, REACH, SPARE_OFFSET, ScratchSpace
from backend.fasttrap.tracee import Memory
from backend.linux.procfs import RemoteAddr
from scratch.displaced import (
    SLOT_SIZE,
    Copy,
    Lifetime,
    OutOfLine,
    Refuse,
    State,
    Way,
    jump,
    plan,
)
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
    """A copy that serves a site, and the plan that it was made from."""

    site: int
    plan: OutOfLine
    copy: Copy

    @property
    def may_sleep(self) -> bool:
        """Whether a thread may stay in the copy for any time: it holds a system call."""
        return self.plan.lifetime is Lifetime.SITE

    def stopping_at(self, slot: int) -> "Route | None":
        """Return the same copy for another slot, with an int3 where the displaced instruction has completed.

        The jump back follows the int3, for a thread that has no tracer any more. None if the copy doesn't
        complete in one place (branches), or may sleep (system calls).
        """
        completions = [boundary for boundary in self.copy.boundaries if boundary[1].state is State.COMPLETED]
        moved = self.plan.at(slot)
        if len(completions) != 1 or completions[0] != self.copy.boundaries[-1] or moved.borrowed is not None:
            return None
        if self.plan.lifetime is Lifetime.SITE:
            return None
        end, resume = moved.boundaries[-1]
        code = moved.code[:end] + bytes([text.INT3]) + jump(slot + end + 1, resume.address)
        return Route(self.site, self.plan, Copy(slot, code, moved.boundaries, None))

    @property
    def end(self) -> int:
        """The address of the last instruction of the copy: of the int3 of one that stops."""
        return self.copy.slot + self.copy.boundaries[-1][0]


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
        self._spare: dict[int, Route] = {}
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
        plans = [judge(code.at(site.address), site.address, shadow_stack=shadow_stack) for site in sites]
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
            judged = judge(text.Code(self.memory, self.displaced).at(site), site, shadow_stack=False)
            assert isinstance(judged, OutOfLine), (hex(site), judged)
            copy = judged.at(self.space.slot(site))
            assert copy.borrowed is None, copy
            self.memory.write(copy.slot, copy.code)
            self._routes[site] = Route(site, judged, copy)
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

    def route_at(self, pc: int) -> Route | None:
        """Return the route in whose copy a thread with this pc is."""
        spare = self._spare.get(pc // SLOT_SIZE * SLOT_SIZE)
        site = self.space.owner(pc)
        return spare or (None if site is None else self._routes.get(site))

    def stopping(self, route: Route, used: Set[int]) -> Route | None:
        """Return a copy like `route`'s that stops when it has completed, in a spare slot none of whose
        addresses is `used`.

        None if there can be none, or no slot is free.
        """
        for slot in self.space.region_of(route.site).spare_slots():
            made = self._spare.get(slot)
            if made is not None and made.site == route.site:
                return made
        for slot in self.space.region_of(route.site).spare_slots():
            if slot not in used and (stopping := route.stopping_at(slot)) is not None:
                code = stopping.copy.code.ljust(SLOT_SIZE - 1, bytes(1))
                self.memory.write(slot, code + bytes([stopping.end - slot]))
                self._spare[slot] = stopping
                return stopping
        return None

    def defuse(self, region_start: int) -> None:
        """In a region that another tracer mapped, let no copy stop any more: each int3 becomes a nop.

        The last byte of a spare slot says where the int3 is. Threads may be on their way to it.
        """
        header = bytearray(self.memory.read(region_start, HEADER_SIZE))
        for slot in range(SPARE_OFFSET, HEADER_SIZE, SLOT_SIZE):
            end = slot + header[slot + SLOT_SIZE - 1]
            if header[end] == text.INT3:
                header[end] = _NOP
        self.memory.write(region_start, bytes(header))

    def ends_copy(self, address: int) -> bool:
        """Tell whether the int3 of a copy that stops is at this address."""
        spare = self._spare.get(address // SLOT_SIZE * SLOT_SIZE)
        return spare is not None and spare.end == address


_NOP = 0x90


def judge(code: bytes, address: int, *, shadow_stack: bool) -> OutOfLine | Refuse:
    """Return how a site with this code can be served, or why it can't, as far as that can be told before
    there is scratch memory. With `shadow_stack` on, calls are refused.
    """
    instruction = decode_instruction(code, address)
    if isinstance(instruction, Undecodable):
        return Refuse(instruction.reason)
    judged = plan(instruction)
    if isinstance(judged, OutOfLine) and judged.calls and shadow_stack:
        return Refuse("a call, in a process with shadow stacks")
    return judged
