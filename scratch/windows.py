"""Which bytes at a site may become a jump, and what jump: the plan of a window, or why there is none.

A jump to a trampoline has five bytes, and so destroys the instructions at the site and behind it that have a byte
among them: the window. They are executed from the trampoline, so nothing may come to where the second one or a
later one was:

- Nothing enters there from elsewhere: an AddressSet of the object says what may (backend/entered.py).
- A call is the last instruction of the window, so that its return address lies behind it; and there is no
  system call, which the kernel may restart by going back to it.
- Each instruction can be executed elsewhere (displaced.py).
- Behind an instruction that never goes on, only padding is destroyed.
- No other site is destroyed, no byte of another window used.

Where this leaves fewer than five bytes behind the site, as behind most returns, the window begins before it, by the
same rules: at instructions that can only lead on to the site, and leave the code otherwise. They are executed from the
trampoline as well, and then the clauses run.

Where that leaves fewer than five bytes too, the jump is made

- short: two bytes, to five bytes of padding not far away, which hold the jump to the trampoline;
- or punned: its last bytes are those that are there, which something else may execute as what they are (no system
  calls, some of which a tracer watches by traps). They fix the high bytes of the distance, so the trampoline has to
  lie within 16 MiB, 64 KiB, or 256 bytes of some place, or at one address. Prefixes that mean nothing shift which
  bytes are fixed.

Lives here: planning, for all sites of an object, so that no two use the same bytes. Not here: writing anything.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from scratch.address_set import AddressSet
from scratch.displaced import Refuse
from scratch.displaced import plan as plan_displaced
from scratch.instruction import Instruction, Kind, Undecodable, decode
from scratch.placement import HIGHEST, LOWEST, REACH
from scratch.sweep import LEAVING, Flow, Swept

JUMP_SIZE: Final = 5
SHORT_JUMP_SIZE: Final = 2


AROUND: Final = 160
"""Farther from a site than any padding that a short jump reaches."""


class Way(Enum):
    """How a site comes to its trampoline."""

    NEAR = "jump"
    SHORT = "short jump, and a jump from padding"
    PUNNED = "jump that shares bytes"


@dataclass(frozen=True, slots=True)
class Window:
    """What becomes of a site: the instructions in `size` bytes from there on are displaced, and those in `lead` bytes
    before it.

    `text` must be at `start`, since all this was concluded from it; `written` bytes of it change. `spare` is the
    address of the five bytes of padding of a SHORT one, where `spare_text` must be; else 0. Of a PUNNED one `prefixes`
    bytes come before the jump, and its last bytes are those that are there, `kept`.
    """

    site: int
    size: int
    text: bytes
    written: int = JUMP_SIZE
    way: Way = Way.NEAR
    spare: int = 0
    spare_text: bytes = b""
    prefixes: int = 0
    lead: int = 0

    @property
    def start(self) -> int:
        """The address of the first displaced instruction, where the jump is."""
        return self.site - self.lead

    @property
    def resume(self) -> int:
        """The address behind the last displaced instruction."""
        return self.site + self.size

    @property
    def instructions(self) -> tuple[Instruction, ...]:
        """What is displaced from the site on."""
        return _decoded(self.text[self.lead : self.lead + self.size], self.site)

    @property
    def leading(self) -> tuple[Instruction, ...]:
        """What is displaced before the site."""
        return _decoded(self.text[: self.lead], self.start)

    @property
    def kept(self) -> bytes:
        """The last bytes of the jump, where these are fixed."""
        return self.text[self.written : self.prefixes + JUMP_SIZE] if self.way is Way.PUNNED else b""

    @property
    def reach(self) -> tuple[int, int]:
        """Where the trampoline may be, [low, high), as far as the jump is concerned."""
        match self.way:
            case Way.NEAR:
                start = self.start
                return start - REACH, start + REACH
            case Way.SHORT:
                return self.spare - REACH, self.spare + REACH
            case Way.PUNNED:
                return _reach_of_pun(self.start + self.prefixes + JUMP_SIZE, self.kept)

    @property
    def expected(self) -> tuple[tuple[int, bytes], ...]:
        """Text by address: what must be there, and what `patches` may change."""
        if self.spare:
            return (self.start, self.text), (self.spare, self.spare_text)
        return ((self.start, self.text),)

    @property
    def originals(self) -> tuple[tuple[int, bytes], ...]:
        """The bytes that are there, by address, where `patches` writes."""
        if self.spare:
            return (self.start, self.text[: self.written]), (self.spare, self.spare_text)
        return ((self.start, self.text[: self.written]),)

    @property
    def used(self) -> tuple[tuple[int, int], ...]:
        """Ranges [start, end) of bytes that are destroyed, or have to stay as they are; in the first are the site, and
        all instructions that lead to it.
        """
        size = SHORT_JUMP_SIZE if self.way is Way.SHORT else self.prefixes + JUMP_SIZE
        at_site = self.start, max(self.start + size, self.site + 1)
        return (at_site, (self.spare, self.spare + JUMP_SIZE)) if self.spare else (at_site,)

    def patches(self, trampoline: int) -> tuple[tuple[int, bytes], ...]:
        """Return the bytes to be written, by address, for a trampoline within reach: those at `start` first.

        Those of `spare` must be there before these lead to them.
        """
        assert self.reach[0] <= trampoline < self.reach[1], (self, hex(trampoline))
        match self.way:
            case Way.NEAR:
                return ((self.start, _near(self.start, trampoline)),)
            case Way.SHORT:
                distance = self.spare - (self.start + SHORT_JUMP_SIZE)
                short = b"\xeb" + distance.to_bytes(1, "little", signed=True)
                return (self.start, short), (self.spare, _near(self.spare, trampoline))
            case Way.PUNNED:
                code = _PREFIX * self.prefixes + _near(self.start + self.prefixes, trampoline)
                assert code.endswith(self.kept), (self, hex(trampoline))
                return ((self.start, code[: self.written]),)


@dataclass(frozen=True, slots=True)
class NoWindow:
    """Why a site can't have a jump; for the coverage table."""

    reason: str


_PREFIX: Final = b"\x48"
"""REX.W, which says nothing to a jump by a 32-bit distance."""

_MOST_SEEN: Final = 14
"""Bytes of a window that may be taken as seen at another site."""

_LEAVES, _PADS = b"L", b"P"
_PADDING_CLASSES: Final = bytes(
    0
    if not info
    else _PADS[0]
    if info >> 4 == Flow.NOP or info == 1 | Flow.STOP << 4
    else _LEAVES[0]
    if info >> 4 in LEAVING
    else 1
    for info in range(256)
)
"""For each byte of Swept.info: may it be padding, does control never go on behind it?"""
_RUN: Final = re.compile(rb"L\0*((?:P\0*)+)")

_NEAR_OPCODE: Final = b"\xe9"
_SHORT_REACH: Final = 128
_SYSTEM_CALLS: Final = frozenset((Kind.SYSCALL, Kind.INTERRUPT))
_CALLS: Final = frozenset((Kind.CALL, Kind.INDIRECT_CALL))
_LEAVING_KINDS: Final = frozenset((Kind.JMP, Kind.RET, Kind.INDIRECT_JMP))
_INT3: Final = 0xCC
_SYSCALL: Final = b"\x0f\x05"


def _bits(bits: bytes | bytearray, at: int) -> int:
    """Return whether any of the four bits from bit `at` on is set."""
    return int.from_bytes(bits[at >> 3 : (at >> 3) + 2], "little") >> (at & 7) & 15


def _near(address: int, target: int) -> bytes:
    return _NEAR_OPCODE + (target - (address + JUMP_SIZE)).to_bytes(4, "little", signed=True)


@dataclass(frozen=True, slots=True)
class _Room:
    """What may be destroyed at a site: `displaced` bytes of instructions, and padding behind them, `size` bytes in all.

    `why` says what ended it where that is fewer than was wanted.
    """

    displaced: int
    size: int
    why: str


@dataclass(frozen=True, slots=True)
class _Seen:
    """An instruction that may be displaced, wherever it is."""

    size: int
    calls: bool
    leaves: bool


class Windows:
    """Plans windows for the sites of one object; remembers which bytes are used.

    All addresses are those of the process. `entered`: what may be entered in the object. `sites`: all places
    that are probed in whatever way. `read(address, size)`: the object's code, fewer bytes at its end.
    `around(address)`: a sweep that holds at least AROUND bytes on either side, as far as there is code.
    `placeable(low, high)`: whether a trampoline may find a place in [low, high).
    """

    def __init__(
        self,
        entered: AddressSet,
        sites: Iterable[int],
        read: Callable[[int, int], bytes],
        around: Callable[[int], Swept],
        placeable: Callable[[int, int], bool],
    ) -> None:
        self._entered = entered
        self._read = read
        self._around = around
        self._placeable = placeable
        self._bits = bytearray(len(entered.bits))
        self._used = AddressSet(entered.start, self._bits)
        self._swept: Swept | None = None
        self._runs: list[tuple[int, int]] = []
        """Of `_swept`."""
        self._instructions: dict[bytes, _Seen] = {}
        self._seen: dict[bytes, int] = {}
        """By code that has room for a jump: how many bytes of it are instructions to be displaced."""
        for site in sites:
            self._use(site, site + 1)

    def plan(self, site: int) -> Window | NoWindow:
        """Return the window of one of the sites, whose bytes no other will get; or why it has none."""
        usual = self._usual(site)
        if usual is not None:
            return usual
        room = self._room(site, JUMP_SIZE)
        if isinstance(room, NoWindow):
            return room
        if room.size >= JUMP_SIZE:
            self._seen[self._read(site, room.size)] = room.displaced
        window = next(self._ways(site, room), None)
        if window is None:
            return NoWindow(room.why)
        for start, end in window.used:
            self._use(start, end)
        return window

    def _usual(self, site: int) -> Window | None:
        """Return the window of a site whose code has been seen at another that has five bytes, if it has them too.

        Functions begin alike, and no code of whole instructions is the beginning of another.
        """
        at = site + 1 - self._entered.start
        if at < 0 or _bits(self._entered.bits, at) | _bits(self._bits, at):
            return None
        code, seen = self._read(site, _MOST_SEEN), self._seen
        for end in range(JUMP_SIZE, len(code) + 1):
            size = seen.get(code[:end])
            if size is not None:
                self._use(site, site + JUMP_SIZE)
                return Window(site, size, code[: max(size, JUMP_SIZE)])
        return None

    def _ways(self, site: int, room: _Room) -> Iterator[Window]:
        size = room.displaced
        if room.size >= JUMP_SIZE:
            yield Window(site, size, self._read(site, max(size, JUMP_SIZE)))
            return
        leads = (0, *self._leads(site, JUMP_SIZE - room.size))
        lead = leads[-1]
        if lead + room.size >= JUMP_SIZE:
            yield Window(site, size, self._read(site - lead, max(lead + size, JUMP_SIZE)), lead=lead)
            return
        for lead in leads:
            spare = self._spare(site - lead) if lead + room.size >= SHORT_JUMP_SIZE else None
            if spare is not None:
                short = self._room(site, max(SHORT_JUMP_SIZE - lead, 1))
                assert isinstance(short, _Room), (hex(site), short)
                size = short.displaced
                text = self._read(site - lead, max(lead + size, SHORT_JUMP_SIZE))
                there = self._read(spare, JUMP_SIZE)
                yield Window(site, size, text, SHORT_JUMP_SIZE, Way.SHORT, spare, there, lead=lead)
        for lead in reversed(leads):
            yield from self._puns(site, lead, room)

    def _room(self, site: int, wanted: int) -> _Room | NoWindow:
        """Return what may be destroyed at a site to get `wanted` bytes; at least its own instruction."""
        code = self._read(site, JUMP_SIZE + 15)
        size = 0
        while size < wanted:
            at = site + size
            if size and (why := self._barred(at)):
                return _Room(size, size, why)
            instruction = self._instruction(code[size:], at)
            if isinstance(instruction, str):
                return _Room(size, size, instruction) if size else NoWindow(instruction)
            for inside in range(at + 1, min(at + instruction.size, site + wanted)):
                if why := self._barred(inside):
                    # Code that overlaps itself: a jump over a lock prefix, say.
                    return _Room(size, size, why) if size else NoWindow(why)
            size += instruction.size
            if instruction.calls:
                return _Room(size, size, "a call returns into the jump")
            if instruction.leaves:
                padding = self._padding(site + size, wanted - size)
                return _Room(size, size + padding, "too little room before what follows")
        return _Room(size, size, "")

    def _instruction(self, code: bytes, address: int) -> _Seen | str:
        """Return what matters of the instruction that code begins with, or why it can't be part of a window."""
        for size in range(1, len(code) + 1):
            known = self._instructions.get(code[:size])
            if known is not None:
                return known
        instruction = decode(code, address)
        why = _undisplaced(instruction)
        if why:
            return why
        assert isinstance(instruction, Instruction)
        found = _Seen(instruction.size, instruction.kind in _CALLS, instruction.kind in _LEAVING_KINDS)
        self._instructions[instruction.code] = found
        return found

    def _barred(self, address: int) -> str:
        """Return why a byte that isn't the first of a window can't be destroyed; empty if it can."""
        if address in self._entered:
            return "something jumps into the jump"
        if address in self._used:
            return "another probe is too near"
        return ""

    def _leads(self, site: int, wanted: int) -> Iterator[int]:
        """Yield how many bytes of instructions in front of a site could be displaced with it, ascending, up to `wanted`
        or a few more.

        A site at which nothing enters is in a function that was decoded whole, by the same sweep.
        """
        swept = self._around(site)
        lead = 0
        while lead < wanted and site - lead not in self._entered:
            end = site - lead
            size = next((size for size in range(1, 16) if swept.size_at(end - size)), 0)
            start = end - size
            if swept.size_at(start) != size or any(map(self._barred, range(start + 1, end))):
                return
            instruction = self._instruction(self._read(start, size), start)
            if isinstance(instruction, str) or instruction.size != size or start in self._used:
                return
            if instruction.calls or instruction.leaves:
                return
            lead += size
            yield lead

    def _padding(self, address: int, wanted: int) -> int:
        """Return how many bytes of padding, `wanted` or a few more, begin at an address."""
        code = self._read(address, max(wanted, 0) + 15)
        size = 0
        while size < wanted:
            length = _padding_size(code[size:])
            if not length or any(self._barred(address + size + at) for at in range(length)):
                break
            size += length
        return size

    def _spare(self, site: int) -> int | None:
        """Return where five bytes of padding are that a short jump at the site reaches and nothing uses."""
        low = site + SHORT_JUMP_SIZE - _SHORT_REACH
        high = site + SHORT_JUMP_SIZE + _SHORT_REACH - 1
        swept = self._around(site)
        if swept is not self._swept:
            self._swept, self._runs = swept, list(_padding_runs(swept))
        place = bisect_right(self._runs, (low, low))
        for start, end in self._runs[max(place - 1, 0) :]:
            if start > high:
                break
            # From something that jumps into it control falls through the rest.
            entered, used = self._entered.first(start, end), self._used.first(start, end)
            end = min(end, end if entered is None else entered, end if used is None else used)
            if end - max(start, low) >= JUMP_SIZE:
                return max(start, low)
        return None

    def _puns(self, site: int, lead: int, room: _Room) -> Iterator[Window]:
        """Yield windows whose jump ends in bytes that stay as they are."""
        size, start, free = room.displaced, site - lead, lead + room.size
        for prefixes in range(free):
            end = prefixes + JUMP_SIZE
            text = self._read(start, max(lead + size, end + 1))
            if len(text) < end or self._used.first(start + free, start + end) is not None:
                return
            if text.find(_SYSCALL, free, end + 1) >= 0:
                return
            text = text[: max(lead + size, end)]
            low, high = _reach_of_pun(start + end, text[free:end])
            if low < high and self._placeable(low, high):
                yield Window(site, size, text, free, Way.PUNNED, prefixes=prefixes, lead=lead)

    def _use(self, start: int, end: int) -> None:
        for address in range(start, end):
            at = address - self._entered.start
            if 0 <= at < 8 * len(self._bits):
                self._bits[at >> 3] |= 1 << (at & 7)


def _decoded(code: bytes, address: int) -> tuple[Instruction, ...]:
    """Return the instructions that the code at an address consists of."""
    found: list[Instruction] = []
    at = 0
    while at < len(code):
        instruction = decode(code[at:], address + at)
        assert isinstance(instruction, Instruction), (code, hex(address))
        found.append(instruction)
        at += instruction.size
    return tuple(found)


def _padding_runs(swept: Swept) -> Iterator[tuple[int, int]]:
    """Yield the ranges [start, end) of padding behind instructions that never go on, ascending."""
    code, base = swept.code, swept.address
    for run in _RUN.finditer(swept.info.translate(_PADDING_CLASSES)):
        start = at = run.start(1)
        while at < run.end(1):
            size = swept.info[at] & 15
            if swept.info[at] >> 4 == Flow.STOP and code[at] != _INT3:
                break
            at += size
        if at - start >= JUMP_SIZE:
            yield base + start, base + min(at, len(code))


def _reach_of_pun(end: int, kept: bytes) -> tuple[int, int]:
    """Return [low, high) of what a near jump may lead to that ends at `end` with the bytes `kept`; it may be empty."""
    free = 4 - len(kept)
    low = end + (int.from_bytes(kept, "little", signed=True) << 8 * free)
    return max(low, LOWEST), min(low + (1 << 8 * free), HIGHEST)


def _undisplaced(instruction: Instruction | Undecodable) -> str:
    """Return why an instruction can't be part of a window; empty if it can."""
    if isinstance(instruction, Undecodable):
        return f"not sure what an instruction is: {instruction.reason}"
    if instruction.kind in _SYSTEM_CALLS:
        return "a system call, which may be restarted"
    planned = plan_displaced(instruction)
    return planned.reason if isinstance(planned, Refuse) else ""


def _padding_size(code: bytes) -> int:
    """Return the length of the instruction of padding that code begins with; 0 if it is none."""
    if code[:1] == bytes((_INT3,)):
        return 1
    instruction = decode(code, 0)
    if isinstance(instruction, Undecodable) or instruction.encoding.rex:
        return 0
    encoding = instruction.encoding
    is_nop = encoding.opcode_map == 0 and encoding.opcode == 0x90 and 0xF3 not in encoding.prefixes
    is_long = encoding.opcode_map == 1 and encoding.opcode == 0x1F
    return instruction.size if is_nop or is_long else 0
