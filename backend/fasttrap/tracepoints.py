"""The armed sites of one address space: which bytes were displaced, which copy serves each site, which site
a pc belongs to.

Sites are judged when they are armed, so that one that can't be served never gets an int3; copies are made
at a site's first hit, so that the thousands that are never hit cost nothing but their row in the table.

A site's copy lies in its own slot, where all threads share it. Only where the operand of an instruction is
relative to rip and out of the slot's reach, every thread that comes by has a copy in its own chunk, with a
register borrowed to stand for rip: what that register held is written into the copy at each hit, and what a
thread finds there when it must leave the copy early. Such hits come to the engine; the loop knows no copy.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace

from backend.columns import Coded
from backend.fasttrap import safety, text
from backend.fasttrap.inject import Gate
from backend.fasttrap.loop import Control, SiteTable
from backend.fasttrap.scratch_space import GATE_OFFSET, HEADER_SIZE, SPARE_OFFSET, ScratchSpace
from backend.fasttrap.site_batch import Site, SiteBatch
from backend.fasttrap.tracee import Memory, Thread
from backend.linux.ptrace import Registers
from scratch import windows
from scratch.displaced import (
    SLOT_SIZE,
    Copy,
    Lifetime,
    OutOfLine,
    Refuse,
    Resume,
    State,
    Way,
    jump,
    plan,
)
from scratch.instruction import Undecodable
from scratch.instruction import decode as decode_instruction
from scratch.slots import SiteAddress, Tid


@dataclass(frozen=True, slots=True)
class Jumped:
    """A site is served by a jump, which gets there in this way."""

    way: windows.Way


@dataclass(frozen=True, slots=True)
class NotJumped:
    """A site that was to be served by a jump is served by a trap, and why."""

    way: Way
    reason: str


Outcome = Jumped | Way | NotJumped | Refuse
"""How a site is served, or why it isn't."""


GENERAL = ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi")
"""Names in `Registers` of the registers that copies set or borrow, by x86 number."""


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
        complete in one place (branches), may sleep (system calls), or borrows a register.
        """
        completions = [boundary for boundary in self.copy.boundaries if boundary[1].state is State.COMPLETED]
        moved = self.plan.at(slot)
        if len(completions) != 1 or completions[0] != self.copy.boundaries[-1]:
            return None
        if self.copy.borrowed is not None or moved.borrowed is not None:
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

    def __init__(
        self,
        memory: Memory,
        control: Control,
        former: Sequence[Sequence[int]] = (),
        former_regions: Sequence[int] = (),
    ) -> None:
        """`former`: the sites of tracers before us, each in ascending order, and where their regions begin. Threads may
        be behind an int3 of theirs and not know it yet.
        """
        self.memory = memory
        self.space = ScratchSpace()
        self.displaced = text.Displaced()
        self._former = former
        self._former_spares = [range(start + SPARE_OFFSET, start + GATE_OFFSET) for start in former_regions]
        self.table = SiteTable()
        self._slow: frozenset[int] = frozenset()
        self._routes: dict[int, Route] = {}
        self._prepared = array("Q")
        self._spare: dict[int, Route] = {}
        self._of_threads: dict[int, Route] = {}
        self._waiting: list[safety.Waiting] = []
        self._control = control
        self.table.install(control)

    def prepare(
        self, sites: SiteBatch, tid: int, gate: Gate, *, shadow_stack: bool
    ) -> Sequence[Way | Refuse]:
        """Make everything ready for an int3 at each site that can be served; return how each is, in the order
        given.

        No site may be armed already. The process is held; `tid` is one of its threads, in whose name scratch
        space is mapped. With `shadow_stack` on, calls are refused. Afterwards `displaced` says what `insert`
        will displace. Raises ProcessGone, and CannotInject if there can be no scratch space.
        """
        code = text.Code(self.memory, self.displaced)
        answers: Coded[Way | Refuse] = Coded()
        addresses, identifiers, ambiguous = array("Q"), array("Q"), bytearray()
        operands: list[tuple[int, int]] = []
        for address, identifier in zip(sites.addresses, sites.identifiers, strict=True):
            judged = judge(code.at(address), address, shadow_stack=shadow_stack)
            if isinstance(judged, Refuse):
                answers.append(judged)
                continue
            answers.append(judged.way)
            addresses.append(address)
            identifiers.append(identifier)
            ambiguous.append(judged.instruction.size == 1)
            if judged.instruction.operand is not None:
                operands.append((address, judged.instruction.operand))
        prepared = SiteTable(addresses, identifiers, ambiguous)
        if prepared:
            self.space.map_for(prepared.addresses, tid, gate)
        if not all(self.space.in_reach(site, operand) for site, operand in operands):
            self.space.map_chunks(tid, gate)
        self.table = self.table.with_sites(prepared)
        self.table.install(self._control)
        self.displaced = self.displaced.with_more(text.displaced_by(self.memory, prepared.addresses))
        self._prepared = prepared.addresses
        return answers

    def insert(self, first: Sequence[int] = ()) -> None:
        """Write the int3s that were prepared, those at `first` before all others, in that order."""
        prepared = set(self._prepared) if first else set()
        text.insert(self.memory, [address for address in first if address in prepared])
        text.insert(self.memory, self._prepared)
        self._prepared = array("Q")

    def put_back(self, addresses: "array[int]") -> None:
        """Have the next `insert` write the int3s at these addresses, which stood there before, again."""
        self._prepared = array("Q", sorted({*self._prepared, *addresses}))

    def come_again(self, site: Site) -> Way | Refuse:
        """Write the int3 at a site that was armed before its library was unloaded; it must have the same code now."""
        place = self.table.index(site.address)
        assert place is not None, hex(site.address)
        code = text.Code(self.memory, text.Displaced()).at(site.address)
        judged = judge(code, site.address, shadow_stack=False)
        route = self._routes.get(site.address)
        known = route.plan.instruction.code if route else bytes([self.displaced[site.address]])
        if not code.startswith(known):
            return Refuse("another library's code was at its address before")
        self.table.identifiers[place] = site.identifier
        text.insert(self.memory, [site.address])
        return judged if isinstance(judged, Refuse) else judged.way

    def renew(self, sites: Sequence[Site], occupied: Set[int], *, shadow_stack: bool) -> list[Way | Refuse]:
        """Write int3s at sites that were armed before and given up since, in memory that has other code now; return how
        each is served. No thread may be in a copy of what was there: `occupied` are the addresses of all.
        """
        answers: list[Way | Refuse] = []
        renewed: dict[int, int] = {}
        raw = text.Code(self.memory, text.Displaced())
        for site in sites:
            address, code = site.address, raw.at(site.address)
            judged = judge(code, address, shadow_stack=shadow_stack)
            if isinstance(judged, OutOfLine) and not self._forget(address, judged, occupied):
                judged = Refuse("a copy of what was at its address before may still be in use")
            answers.append(judged.way if isinstance(judged, OutOfLine) else judged)
            if isinstance(judged, OutOfLine):
                place = self.table.index(address)
                assert place is not None, hex(address)
                self.table.identifiers[place] = site.identifier
                self.table.ambiguous[place] = judged.instruction.size == 1
                renewed[address] = code[0]
        self.displaced = self.displaced.with_more(
            text.Displaced(sorted(renewed), bytes(renewed[address] for address in sorted(renewed)))
        )
        self._prepared = array("Q", sorted({*self._prepared, *renewed}))
        return answers

    def _forget(self, site: int, plan: OutOfLine, occupied: Set[int]) -> bool:
        """Forget the copies of a site that is to have another plan; tell whether that can be."""
        slot, known = self.space.slot(site), self._routes.get(site)
        spare = [address for address, route in self._spare.items() if route.site == site]
        used = {pc // SLOT_SIZE * SLOT_SIZE for pc in occupied}
        # Copies in threads' chunks are kept by what stood at the site for good.
        borrows = plan.at(slot).borrowed is not None or (
            known is not None and known.copy.borrowed is not None
        )
        if borrows or not used.isdisjoint((slot, *spare)):
            return False
        self._routes.pop(site, None)
        place = self.table.index(site)
        assert place is not None, hex(site)
        self.table.copies[place] = 0
        for address in spare:
            del self._spare[address]
        return True

    def withdraw(self, site: int) -> None:
        """Take the int3 of a site away, which some threads may have executed already."""
        text.restore(self.memory, {site: self.displaced[site]})

    def route(self, place: int, tid: int) -> Route:
        """Return the copy for a thread's hit of the site at this place of the table, making it at the first.

        Raises NoFreeSpace if the thread needs a chunk and there is none: call `space.map_chunks`, and ask again.
        """
        site = self.table.addresses[place]
        if site not in self._routes:
            judged = judge(text.Code(self.memory, self.displaced).at(site), site, shadow_stack=False)
            assert isinstance(judged, OutOfLine), (hex(site), judged)
            copy = judged.at(self.space.slot(site))
            self._routes[site] = Route(site, judged, copy)
            if copy.borrowed is None:
                self.memory.write(copy.slot, copy.code)
                if site not in self._slow:
                    self.table.copies[place] = copy.slot
        route = self._routes[site]
        return route if route.copy.borrowed is None else self._in_chunk(route, tid)

    def _in_chunk(self, route: Route, tid: int) -> Route:
        slot = self.space.chunks.slot_for(Tid(tid), SiteAddress(route.site))
        if slot.fresh:
            copy = route.plan.at(slot.address)
            self.memory.write(slot.address, copy.code)
            self._of_threads[slot.address] = replace(route, copy=copy)
        return self._of_threads[slot.address]

    def enter(self, route: Route, registers: Registers) -> Registers:
        """Return the registers with which a thread at the site goes to its copy, which is told what a register
        that it borrows held.
        """
        borrowed, slot = route.copy.borrowed, route.copy.slot
        if borrowed is None:
            return replace(registers, rip=slot)
        name = GENERAL[borrowed.register]
        self.memory.write(slot + borrowed.restore_offset, getattr(registers, name).to_bytes(8, "little"))
        return replace(registers, rip=slot, **{name: borrowed.value})

    def translate(self, route: Route, pc: int) -> Resume | None:
        """Return where a thread with this pc in the copy is as seen from the program, a borrowed register among
        those to be set. None if it is not at a boundary of the copy.
        """
        resume = route.copy.translate(pc)
        if resume is None or not resume.restore_borrowed:
            return resume
        borrowed = route.copy.borrowed
        assert borrowed is not None, route
        held = int.from_bytes(self.memory.read(route.copy.slot + borrowed.restore_offset, 8), "little")
        return replace(
            resume,
            restore_borrowed=False,
            set_registers=(*resume.set_registers, (borrowed.register, held)),
        )

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
        slot = pc // SLOT_SIZE * SLOT_SIZE
        site = self.space.owner(pc)
        known = None if site is None else self._routes.get(site)
        return known or self._spare.get(slot) or self._of_threads.get(slot)

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

    def note_waiting(self, thread: Thread) -> None:
        """Note in the process which signals a thread's being out of line keeps back, for those who come after us."""
        kept = thread.waiting if thread.finishing is not None or thread.late else []
        rest = [each for each in self._waiting if each.tid != thread.tid]
        now = [
            *rest,
            *(safety.Waiting(thread.tid, info.signal, at_stop=not thread.late) for info in kept),
        ]
        if now != self._waiting and self.space.regions:
            self._waiting = now
            safety.note_waiting(self.memory, self.space.home, now)

    def take_over(self, regions: Iterable[int], displaced: Mapping[int, int], last: Sequence[int]) -> None:
        """Take away the int3s that another tracer, gone by now, has noted in regions of its own, which begin there;
        those at `last` after all others.
        """
        text.restore(self.memory, displaced, last)
        for start in regions:
            safety.forget(self.memory, start)

    def was_int3(self, address: int) -> bool:
        """Tell whether an int3 of ours, or of a tracer before us, is at this address or was."""
        return (
            address in self.displaced
            or any(_has(sites, address) for sites in self._former)
            or any(address in spares for spares in self._former_spares)
        )

    def defuse(self, region_start: int) -> None:
        """In a region of another tracer, gone by now, let no copy stop any more: each int3 becomes a nop.

        The last byte of a spare slot says where the int3 is. Threads may be on their way to it, or behind it.
        """
        header = self.memory.read(region_start, HEADER_SIZE)
        for slot in range(SPARE_OFFSET, GATE_OFFSET, SLOT_SIZE):
            end = slot + header[slot + SLOT_SIZE - 1]
            if header[end] == text.INT3:
                self.memory.write(region_start + end, bytes([_NOP]))

    def ends_copy(self, address: int) -> bool:
        """Tell whether the int3 of a copy that stops is at this address."""
        spare = self._spare.get(address // SLOT_SIZE * SLOT_SIZE)
        return spare is not None and spare.end == address


def _has(ascending: Sequence[int], address: int) -> bool:
    place = bisect_left(ascending, address)
    return place < len(ascending) and ascending[place] == address


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
