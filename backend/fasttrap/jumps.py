"""The jumps of one address space: the windows of text that they take, and the trampolines that they lead to.

`prepare` makes trampolines while the process is held and says of each site why it can't have one; `insert` writes
the jumps, `restore` takes them away. In between `where` tells where a thread is as seen from the program. What a
window may be is planned by `scratch.windows`, what a trampoline does by `scratch.trampoline`; what can only be
known of a held process is looked at here: that the text is what the plan was made from, and that no thread is in a
window, or may return into one.
"""

import errno
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from backend.errors import CannotInject
from backend.fasttrap.inject import Gate
from backend.fasttrap.jump_space import ALIGNMENT, Need, Patch, Region, map_regions, recorded, retire
from backend.fasttrap.tracee import Memory
from scratch.trampoline import ClauseCall, Place, Trampoline, build, reach
from scratch.windows import Window

CHANGED = "its code is not what its file has"
IN_USE = "a thread was in the middle of its first instructions"
NO_ROOM = "no memory is left that a jump could reach"


TRAMPOLINE_LIMIT: Final = 512
"""More bytes than any trampoline takes."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A jump to be made: where, what the trampoline calls, and the number by which the clauses know the site."""

    window: Window
    call: ClauseCall
    identifier: int

    @property
    def reach(self) -> tuple[int, int]:
        """Where the trampoline may be: [low, high)."""
        low, high = reach(self.window.instructions)
        return max(low, self.window.reach[0]), min(high, self.window.reach[1])


@dataclass(frozen=True, slots=True)
class _Placed:
    wanted: Wanted
    at: int

    def trampoline(self) -> Trampoline:
        return build(self.wanted.window.instructions, self.at, self.wanted.call)


class Jumps:
    """What is in place, and what is prepared."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self.regions: list[Region] = []
        self.patches: dict[int, tuple[Patch, ...]] = {}
        """By site, of the jumps that are in place."""
        self._prepared: dict[int, tuple[Patch, ...]] = {}
        self._placed: list[_Placed] = []
        self._starts = array("Q")
        self.identifiers: dict[int, int] = {}
        """By site, of the jumps that are in place or prepared."""

    # --- making them

    def prepare(
        self, wanted: Sequence[Wanted], occupied: Sequence[int], tid: int, gate: Gate
    ) -> list[str | None]:
        """Make a trampoline for each window that can have one; return why the others can't, in the order given.

        `occupied` are the addresses, ascending, at which threads of the held process are or may go on. `tid` is one
        of them. Raises ProcessGone.
        """
        answers = [self._objection(one, occupied) for one in wanted]
        able = [place for place, reason in enumerate(answers) if reason is None]
        needs = [
            Need(wanted[place].reach, TRAMPOLINE_LIMIT, len(wanted[place].window.used)) for place in able
        ]
        try:
            regions = map_regions(needs, tid, gate)
        except CannotInject as error:
            for place in able:
                answers[place] = str(error)
            return answers
        of_region: dict[int, tuple[Region, list[int]]] = {}
        for place, region in zip(able, regions, strict=True):
            if region is None:
                answers[place] = NO_ROOM
            else:
                of_region.setdefault(region.start, (region, []))[1].append(place)
        placed: list[_Placed] = []
        for region, places in of_region.values():
            placed += self._fill(region, [wanted[place] for place in places])
        self._placed = sorted((*self._placed, *placed), key=lambda one: one.at)
        self._starts = array("Q", [one.at for one in self._placed])
        return answers

    def _objection(self, wanted: Wanted, occupied: Sequence[int]) -> str | None:
        for start, end in wanted.window.used:
            behind = bisect_right(occupied, start)
            if behind < len(occupied) and occupied[behind] < end:
                return IN_USE
        for address, expected in wanted.window.expected:
            try:
                if self._memory.read(address, len(expected)) != expected:
                    return CHANGED
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                return CHANGED
        return None

    def _fill(self, region: Region, members: Sequence[Wanted]) -> list[_Placed]:
        """Write the trampolines of a new region, and its record."""
        placed: list[_Placed] = []
        code = bytearray()
        patches: list[Patch] = []
        for wanted in members:
            code += b"\xcc" * (-len(code) % ALIGNMENT)
            one = _Placed(wanted, region.code + len(code))
            code += one.trampoline().code
            own = tuple(
                Patch(address, self._memory.read(address, len(written)), written)
                for address, written in wanted.window.patches(one.at)
            )
            self._prepared[wanted.window.site] = own
            self.identifiers[wanted.window.site] = wanted.identifier
            patches += own
            placed.append(one)
        self._memory.write(region.code, bytes(code))
        self._memory.write(region.start, region.record(patches))
        self.regions.append(region)
        return placed

    def insert(self) -> None:
        """Write the jumps that were prepared. All threads are held."""
        for own in self._prepared.values():
            for patch in reversed(own):  # what a short jump leads to comes before it
                self._memory.write(patch.address, patch.written)
        self.patches |= self._prepared
        self._prepared = {}

    # --- taking them away

    def withdraw(self, site: int) -> int:
        """Put the text of one window back; return the site's number. All threads are held; one in the trampoline goes
        on from there.
        """
        restore(self._memory, self.patches.pop(site))
        return self.identifiers.pop(site)

    def restore(self) -> None:
        """Put all text back. All threads are held."""
        self.restore_copy(self._memory)
        self.patches.clear()
        for region in self.regions:
            retire(self._memory, region.start)

    def restore_copy(self, memory: Memory) -> None:
        """Put all text back in a forked child's copy of the memory."""
        for own in self.patches.values():
            restore(memory, own)

    # --- asking

    def original(self) -> dict[int, int]:
        """Return the program's bytes by address, wherever a jump has displaced them."""
        return {
            patch.address + offset: byte
            for own in self.patches.values()
            for patch in own
            for offset, byte in enumerate(patch.original)
        }

    def sites_over(self, addresses: Iterable[int]) -> list[int]:
        """Return the sites whose window one of these addresses is in, other than at its beginning."""
        within = {
            patch.address + offset: site
            for site, own in self.patches.items()
            for patch in own
            for offset in range(len(patch.original))
        }
        return sorted({within[address] for address in addresses if within.get(address, address) != address})

    def contains(self, pc: int) -> bool:
        """Tell whether a thread with this pc is in a region of trampolines."""
        return any(region.holds(pc) for region in self.regions)

    def place_at(self, pc: int) -> tuple[int, Place] | None:
        """Return the site in whose trampoline a thread with this pc is, and where it is as seen from the program."""
        number = bisect_right(self._starts, pc) - 1
        if number < 0 or not self.contains(pc):
            return None
        placed = self._placed[number]
        place = placed.trampoline().translate(pc)
        return None if place is None else (placed.wanted.window.site, place)


def restore(memory: Memory, patches: Iterable[Patch]) -> None:
    """Put displaced bytes back wherever the jump still stands, or a part of it.

    Other bytes are the program's own change (a library unloaded, another in its place), and stay.
    """
    for patch in patches:
        try:
            now = memory.read(patch.address, len(patch.original))
            both = zip(now, patch.original, patch.written, strict=False)
            if len(now) == len(patch.original) and all(byte in (old, new) for byte, old, new in both):
                memory.write(patch.address, patch.original)
        except OSError as error:
            if error.errno != errno.EIO:
                raise


def undo_others(pid: int, memory: Memory) -> None:
    """Take away the jumps that a tracer left in the held process when it was killed. Threads in its trampolines go
    on from there.
    """
    for region, patches in recorded(pid, memory).items():
        if patches:
            restore(memory, patches)
            retire(memory, region)
