"""The jumps of one address space: the windows of text that they take, and the trampolines that they lead to.

`prepare` makes trampolines while the process is held and says of each site why it can't have one; `insert` writes
the jumps, `restore` takes them away. In between `where` tells where a thread is as seen from the program. What a
window may be is planned by `scratch.windows`, what a trampoline does by `scratch.trampoline`; what can only be
known of a held process is looked at here: that the text is what the plan was made from, and that no thread is in a
window, or may return into one.
"""

import errno
from array import array
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from backend.columns import ascending
from backend.errors import CannotInject
from backend.fasttrap.inject import Gate
from backend.fasttrap.jump_record import NO_DETOUR, Detour, Patch, Region, packed, recorded, retire
from backend.fasttrap.jump_space import Need, Room, map_regions
from backend.fasttrap.text import INT3, PAGE_SIZE, by_page
from backend.fasttrap.tracee import Memory
from backend.linux.scattered import MOST, read_bytes
from scratch.displaced import jump, leads_on
from scratch.instruction import Instruction, decode
from scratch.overlaid import First, pins, survives, traps
from scratch.trampoline import LOCK, UNLOCKED, ClauseCall, Place, build
from scratch.trampolines import Trampolines
from scratch.window_table import WindowTable
from scratch.windows import JUMP_SIZE, Window

CHANGED = "its code is not what its file has"
IN_USE = "a thread was in the middle of its first instructions"
NO_ROOM = "no memory is left that a jump could reach"


_GAP = 256
"""Bytes between trampolines that are written with them; no page is touched for that."""
_MOST_LEAD = 32
"""More than a window's start is before its site."""
_PREPARED, _IN_PLACE, _GONE = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Wanted:
    """A jump to be made: where, what the trampoline calls, and the number by which the clauses know the site."""

    window: Window
    call: ClauseCall
    identifier: int


@dataclass(frozen=True, slots=True)
class Overlaid:
    """What a thread has met that has executed an int3 in the middle of the jump of `site`: another tool's uprobe is
    over it, or was (`scratch.overlaid`). It goes on at `home` when the text is back. `goes_to` is where a trap serves
    the site from then on: at it, or, if that is where the uprobe is, behind its instruction.
    """

    site: int
    home: int
    goes_to: int


class Jumps:
    """What is in place, and what is prepared: a row for each jump that there ever was."""

    def __init__(self, memory: Memory, former: Iterable[Patch] = ()) -> None:
        """`former`: those of tracers before us. Threads may be behind an int3 in them and not know it yet."""
        self._memory = memory
        self._former = dict(_overlaid_formerly(former))
        self._code = Trampolines()
        self.regions: list[Region] = []
        self.alone = False
        """Nobody but one thread executes trampolines: those that are made need not lock. `lock` ends that."""
        self._unlocked: list[tuple[int, array[int]]] = []
        """Where lock prefixes are missing: the start of each region, and distances from it, ascending."""
        self._bounds: list[tuple[int, int, int, int]] = []
        """Start and end of each region, ascending, and its first row and the one behind its last."""
        self._windows = WindowTable()
        self._starts = array("Q")
        """Where the trampolines are: ascending within a region."""
        self._landings = array("i")
        """How far from there their jumps lead: to a stone, or not at all."""
        self._identifiers = array("Q")
        self._states = bytearray()
        self._prepared = 0
        """The first row that has not been inserted yet."""
        self._order: Sequence[int] = ()
        """The rows by site."""
        self._spares: dict[int, int] = {}
        """The rows of short jumps, by the address of the padding that they use."""
        self._calls: Callable[[int], ClauseCall | str] = _nothing
        self._exposed: list[int] = []
        """The rows of jumps that have to be looked at: where another tool's uprobe comes, nobody tells us."""
        self._looked_at = 0

    # --- making them

    def prepare(
        self,
        wanted: Sequence[Wanted],
        occupied: Sequence[int],
        tid: int,
        gate: Gate,
        calls: Callable[[int], ClauseCall | str],
    ) -> list[str | None]:
        """Make a trampoline for each window that can have one; return why the others can't, in the order given.

        `occupied` are the addresses, ascending, at which threads of the held process are or may go on. `tid` is one
        of them. `calls` is what says what trampolines call, by a site's number. Raises ProcessGone.
        """
        self._calls = calls
        text = _Text(self._memory)
        answers = [_objection(one.window, occupied, text) for one in wanted]
        able = [place for place, reason in enumerate(answers) if reason is None]
        try:
            rooms = map_regions([self._need(wanted[place]) for place in able], tid, gate)
        except CannotInject as error:
            for place in able:
                answers[place] = str(error)
            return answers
        of_region: dict[int, list[tuple[Room, int]]] = {}
        for place, room in zip(able, rooms, strict=True):
            if room is None:
                answers[place] = NO_ROOM
            else:
                of_region.setdefault(room.region.start, []).append((room, place))
        for members in of_region.values():
            members.sort(key=_at)
            self._fill([(room, wanted[place]) for room, place in members])
        return answers

    def _need(self, wanted: Wanted) -> Need:
        window = wanted.window
        size = self._code.size(window, wanted.call)
        pinned = pins(window, self._code.first(window))
        return Need(
            self._code.reach(window), size, 2 if window.spare else 1, window.start + JUMP_SIZE, pinned
        )

    def _fill(self, members: Sequence[tuple[Room, Wanted]]) -> None:
        """Write the trampolines of a new region, ascending, and its record."""
        region = members[0][0].region
        first = len(self._starts)
        record = bytearray()
        unlocked = array("I")
        pieces: dict[int, bytes] = {}
        for room, wanted in members:
            window, at = wanted.window, room.at
            code, behind = self._code.code(window, at, wanted.call)
            if self.alone:
                for lock in self._code.locks(window, wanted.call):
                    code[lock : lock + 1] = UNLOCKED
                    unlocked.append(at + lock - region.start)
            pieces[at] = bytes(code)
            if room.landing != at:
                pieces[room.landing] = jump(room.landing, at)
            at_start, *in_padding = _patches(window, room.landing)
            record += packed(at_start, self._detour(window, at_start, at, behind))
            for patch in in_padding:
                record += packed(patch, NO_DETOUR)
            known = self._row(window.site)
            if known is not None:  # of a library that has been unloaded since
                self._states[known] = _GONE
            if window.spare:
                self._spares[window.spare] = len(self._starts)
            self._windows.add(window.site, window)
            self._starts.append(at)
            self._landings.append(room.landing - at)
            self._identifiers.append(wanted.identifier)
            self._states.append(_PREPARED)
        _write(self._memory, pieces)
        self._memory.write(region.start, region.record(record, self.detour))
        self.regions.append(region)
        self._unlocked.append((region.start, unlocked))
        insort(self._bounds, (region.start, region.start + region.size, first, len(self._starts)))

    def _detour(self, window: Window, patch: Patch, at: int, behind: int) -> Detour:
        """Return how a thread in the middle of a jump comes into its trampoline at an address, where what is `behind`
        the first instruction is so many bytes on.
        """
        start = window.start
        found = traps(start, patch.original, patch.written, self._code.first(window))
        behind_at, before_at = (trap - start if trap else 0 for trap in (found.behind, found.before))
        return Detour(behind_at, before_at, at + behind - start, at - start)

    @property
    def detour(self) -> int:
        """The address of the detour around all jumps (`jump_record`); 0 as long as there are no regions."""
        return self.regions[-1].detour if self.regions else 0

    def insert(self) -> None:
        """Write the jumps that were prepared. All threads are held."""
        self._order = ascending(self._windows.sites)
        for row in range(self._prepared, len(self._starts)):
            window = self._windows.window(row)
            patches = _patches(window, self._starts[row] + self._landings[row])
            for patch in reversed(patches):  # what a short jump leads to comes before it
                self._memory.write(patch.address, patch.written)
            self._states[row] = _IN_PLACE
            first, at_start = self._code.first(window), patches[0]
            # Nobody comes out behind what leads elsewhere: only a look tells that it is not counted any more.
            unseen = not first.leads_on and at_start.original[0] != at_start.written[0]
            if unseen or not survives(at_start.original, at_start.written, first):
                self._exposed.append(row)
        self._prepared = len(self._starts)

    def lock(self) -> None:
        """Let all additions lock, since another thread comes; until it runs, the only one so far executes no code."""
        self.alone = False
        for start, offsets in self._unlocked:
            for first, run in by_page(start + offset for offset in offsets):
                code = bytearray(self._memory.read(first, run[-1] + 1 - first))
                for address in run:
                    code[address - first : address - first + 1] = LOCK
                self._memory.write(first, bytes(code))
        self._unlocked.clear()

    # --- taking them away

    def withdraw(self, site: int) -> int:
        """Put the text of one window back; return the site's number. All threads are held; one in the trampoline goes
        on from there.
        """
        row = self._row(site)
        assert row is not None, hex(site)
        restore(self._memory, self._patches_of(row))
        self._states[row] = _GONE
        return self._identifiers[row]

    def restore(self) -> None:
        """Put all text back. All threads are held."""
        self.restore_copy(self._memory)
        self._states = bytearray((_GONE,)) * len(self._states)
        for region in self.regions:
            retire(self._memory, region.start)

    def restore_copy(self, memory: Memory) -> None:
        """Put all text back in a forked child's copy of the memory."""
        restore(memory, self._all_patches())

    def _all_patches(self) -> Iterator[Patch]:
        for row in self._order:
            if self._states[row] == _IN_PLACE:
                yield from self._patches_of(row)

    def _patches_of(self, row: int) -> tuple[Patch, ...]:
        return _patches(self._windows.window(row), self._starts[row] + self._landings[row])

    # --- asking

    def stands_at(self, site: int) -> bool:
        """Tell whether the jump of a site is in place."""
        row = self._row(site)
        return row is not None and self._states[row] == _IN_PLACE

    def code_at(self, site: int) -> bytes:
        """Return the text over which the jump of a site is."""
        row = self._row(site)
        assert row is not None, hex(site)
        return self._windows.window(row).text

    def sites_over(self, addresses: Iterable[int]) -> list[int]:
        """Return the sites whose window one of these addresses is in, other than where its jump is."""
        if not self._order:
            return []
        found: set[int] = set()
        for address in addresses:
            near = self._next_to(address)
            near += [self._spares[at] for at in range(address - 4, address + 1) if at in self._spares]
            for row in near:
                if self._states[row] == _IN_PLACE:
                    window = self._windows.window(row)
                    taken = (window.start, window.resume), *window.used
                    if address != window.start and any(start <= address < end for start, end in taken):
                        found.add(window.site)
        return sorted(found)

    def overlaid(self, address: int) -> Overlaid | None:
        """Return what a thread has met that has executed an int3 at this address in the middle of a jump, which may
        have been withdrawn since.
        """
        sites = self._windows.sites
        place = bisect_left(self._order, address - JUMP_SIZE, key=sites.__getitem__)
        while place < len(self._order) and sites[self._order[place]] < address + _MOST_LEAD:
            row = self._order[place]
            window = self._windows.window(row)
            if window.start < address < window.start + JUMP_SIZE:
                patch, first = self._patches_of(row)[0], self._code.first(window)
                found = traps(window.start, patch.original, patch.written, first)
                if address == found.behind:
                    return Overlaid(window.site, address, window.site if window.lead else address)
                if address == found.before:
                    return Overlaid(window.site, window.start, window.site)
            place += 1
        return self._former.get(address)

    def look(self, pid: int) -> list[int]:
        """Return sites over whose jump another tool's uprobe is, or was, where no thread would tell us, or would
        survive it: of MOST jumps at a time. Raises OSError if the process is gone.
        """
        start = self._looked_at if self._looked_at < len(self._exposed) else 0
        rows = [row for row in self._exposed[start : start + MOST] if self._states[row] == _IN_PLACE]
        windows = [self._windows.window(row) for row in rows]
        now = read_bytes(pid, [window.start for window in windows])
        self._looked_at = start + MOST
        found = []
        for window, byte in zip(windows, now, strict=False):
            if byte in (INT3, window.text[0]):
                found.append(window.site)
        if len(now) < len(rows):  # its library has been unloaded
            self._exposed.remove(rows[len(now)])
        return found

    def way_out_of(self, site: int) -> int | None:
        """Return where a trap may serve a site over whose jump another tool's uprobe may be: there, or if that is where
        the uprobe is, behind its instruction, unless something else may come by there.
        """
        row = self._row(site)
        assert row is not None, hex(site)
        window = self._windows.window(row)
        if window.lead or self._memory.read(site, 1)[0] != INT3:
            return site
        first = self._code.first(window)
        return site + first.size if first.leads_on and first.size < window.size else None

    def contains(self, pc: int) -> bool:
        """Tell whether a thread with this pc is in a region of trampolines."""
        return self._rows_around(pc) is not None

    def place_at(self, pc: int) -> tuple[int, Place] | None:
        """Return the site in whose trampoline a thread with this pc is, and where it is as seen from the program."""
        rows = self._rows_around(pc)
        if rows is None:
            return None
        row = bisect_right(self._starts, pc, rows.start, rows.stop) - 1
        if row < rows.start:
            return None
        call = self._calls(self._identifiers[row])
        assert not isinstance(call, str), call
        window = self._windows.window(row)
        place = build(window.instructions, self._starts[row], call, window.leading).translate(pc)
        return None if place is None else (window.site, place)

    def _rows_around(self, pc: int) -> range | None:
        number = bisect_right(self._bounds, pc, key=_start) - 1
        if number < 0 or pc >= self._bounds[number][1]:
            return None
        return range(*self._bounds[number][2:])

    def _row(self, site: int) -> int | None:
        """Return the row of the jump that is in place at a site."""
        place = bisect_left(self._order, site, key=self._windows.sites.__getitem__)
        while place < len(self._order) and self._windows.sites[self._order[place]] == site:
            if self._states[self._order[place]] == _IN_PLACE:
                return self._order[place]
            place += 1
        return None

    def _next_to(self, address: int) -> list[int]:
        """Return the rows in place that have the last site before an address, or there, and the first one behind it."""
        behind = bisect_right(self._order, address, key=self._windows.sites.__getitem__)
        sides = range(behind - 1, -1, -1), range(behind, len(self._order))
        rows = ((self._order[place] for place in side) for side in sides)
        found = (next((row for row in side if self._states[row] == _IN_PLACE), None) for side in rows)
        return [row for row in found if row is not None]


def _overlaid_formerly(patches: Iterable[Patch]) -> Iterator[tuple[int, Overlaid]]:
    """Yield where jumps of others have int3s, and what it means to a thread to have met them."""
    for patch in patches:
        first = decode(patch.original, patch.address)
        if isinstance(first, Instruction):
            found = traps(patch.address, patch.original, patch.written, First(first.size, leads_on(first)))
            for trap, home in ((found.behind, found.behind), (found.before, patch.address)):
                yield trap, Overlaid(patch.address, home, home)


def _nothing(number: int) -> str:
    return f"nothing is known of site {number}"


def _at(member: tuple[Room, int]) -> int:
    return member[0].at


def _write(memory: Memory, pieces: dict[int, bytes]) -> None:
    """Write pieces of code, by address, together with what lies between neighbours."""
    first, *others = sorted(pieces)
    begin, code = first, bytearray(pieces[first])
    for at in others:
        gap = at - (begin + len(code))
        if gap <= _GAP:
            code += b"\xcc" * gap
        else:
            memory.write(begin, bytes(code))
            begin, code = at, bytearray()
        code += pieces[at]
    memory.write(begin, bytes(code))


def _start(bounds: tuple[int, int, int, int]) -> int:
    return bounds[0]


def _patches(window: Window, landing: int) -> tuple[Patch, ...]:
    """Return what a window's jump to an address displaces, the bytes at its start first."""
    return tuple(
        Patch(address, original, written)
        for (address, original), (_, written) in zip(window.originals, window.patches(landing), strict=True)
    )


def _objection(window: Window, occupied: Sequence[int], text: "_Text") -> str | None:
    """Return why a window can't be used in the held process."""
    for start, end in window.used:
        behind = bisect_right(occupied, start)
        if behind < len(occupied) and occupied[behind] < end:
            return IN_USE
    for address, expected in window.expected:
        if text.read(address, len(expected)) != expected:
            return CHANGED
    return None


class _Text:
    """Memory that doesn't change meanwhile, read a page at a time."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._page = -1
        self._content = b""

    def read(self, address: int, size: int) -> bytes:
        """Return `size` bytes, or fewer where there is no more memory."""
        page, at = divmod(address, PAGE_SIZE)
        if page != self._page:
            self._page, self._content = page, self._read(page * PAGE_SIZE, PAGE_SIZE)
        found = self._content[at : at + size]
        return (
            found if at + size <= PAGE_SIZE else found + self._read((page + 1) * PAGE_SIZE, size - len(found))
        )

    def _read(self, address: int, size: int) -> bytes:
        try:
            return self._memory.read(address, size)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return b""


def restore(memory: Memory, patches: Iterable[Patch]) -> None:
    """Put displaced bytes back wherever the jump still stands, or a part of it.

    Other bytes are the program's own change (a library unloaded, another in its place), and stay; so does an int3 over
    the first one, a uprobe of the kernel's, which puts back what it has displaced by itself.
    """
    text = _Text(memory)
    for patch in patches:
        now = text.read(patch.address, len(patch.original))
        overlaid = now[:1] == bytes((INT3,)) != patch.written[:1]
        both = list(zip(now, patch.original, patch.written, strict=False))[overlaid:]
        if len(now) == len(patch.original) and all(byte in (old, new) for byte, old, new in both):
            memory.write(patch.address + overlaid, patch.original[overlaid:])


def undo_others(pid: int, memory: Memory) -> None:
    """Take away the jumps that a tracer left in the held process when it was killed. Threads in its trampolines go
    on from there.
    """
    for region, patches in recorded(pid, memory).items():
        if patches:
            restore(memory, patches)
            retire(memory, region)
