"""Sites in code that the program has made and may change: what stood there, and whether it still does.

A runtime writes into memory of its own without asking us. It throws functions away and puts others in their place, so
that our int3 is overwritten; it changes operands of instructions, also of one whose first byte is our int3. So at each
hit of such a site it is looked at what stands there, by the loop, which knows it as a word (`MadeSites.tell`), or by
the engine, to which everything else comes (`MadeSites.verdict`): a copy of what is no longer there is never executed.
What the operands of the next few instructions are may change, what the instructions are may not: that is how an int3
is known to be ours (`Witness`), here, when the process is left, and by those who come after us (`safety`).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from backend.fasttrap.loop import SiteTable
from backend.fasttrap.site_batch import MadeText
from backend.fasttrap.text import INT3, LONGEST_INSTRUCTION
from backend.fasttrap.tracee import Memory
from backend.linux.procfs import MappedRange
from backend.objects import is_made
from scratch.instruction import Undecodable, decode

WITNESS_BYTES: Final = 8
_OPERAND_BYTES: Final = 4
"""Operands of so many bytes, or more, are such as runtimes change: addresses, objects, distances."""

_WORD_BYTES, _POINTER_BYTES = 8, 6
_TELLING: Final = 3

_NO_ADDRESS: Final = 1 << 64

CHANGED: Final = "its code has changed since it was looked at"
DATA: Final = "it may be data by now, of a runtime that has thrown the function away"
NOT_EXECUTABLE: Final = "its code is not in memory that is executable now and in no file"


@dataclass(frozen=True, slots=True)
class Witness:
    """The bytes from a site on, while our int3 stands there, as a little-endian word; `mask` has the bits that
    count."""

    word: int
    mask: int

    def without(self, places: Iterable[int]) -> Witness:
        """Return the witness for which the bytes at these places do not count."""
        mask = self.mask
        for place in places:
            mask &= ~(0xFF << 8 * place)
        return Witness(self.word, mask)

    def says_ours(self, now: bytes) -> bool:
        """Tell whether an int3 stands there, and at least half of what counts behind it is as it was. Further int3s,
        which may be ours as well, say nothing.

        One of ours that stays would kill the program; the byte of another's that we put in its place is an operand's
        or padding, in code that has been made since and just there: so what is likely is enough.
        """
        if now[:1] != _INT3_BYTE:
            return False
        same, counting = self._compare(now)
        return 2 * same >= counting

    def is_copied(self, now: bytes) -> bool:
        """Tell whether this is code that was copied from there, our int3 with it: all that counts is the same, and that
        is more than a byte or two.
        """
        same, counting = self._compare(now)
        return now[:1] == _INT3_BYTE and same == counting >= _TELLING

    def _compare(self, now: bytes) -> tuple[int, int]:
        """Return how many bytes behind the int3 are as they were, and how many say something."""
        word, mask = (number.to_bytes(WITNESS_BYTES, "little") for number in (self.word, self.mask))
        counting = [place for place in range(1, min(len(now), WITNESS_BYTES)) if mask[place]]
        counting = [place for place in counting if now[place] != INT3]
        return sum(now[place] == word[place] for place in counting), len(counting)


_INT3_BYTE: Final = bytes((INT3,))
PLAIN: Final = Witness(INT3, 0xFF)
"""Of a site in text that nobody changes: the int3 alone counts."""


def witness(content: bytes, offset: int) -> Witness:
    """Return the witness of a site so many bytes from the start of a function with this content."""
    word, mask = bytearray(content[offset : offset + WITNESS_BYTES]), bytearray()
    while len(mask) < len(word):
        instruction = decode(content[offset + len(mask) :][:LONGEST_INSTRUCTION], 0)
        if isinstance(instruction, Undecodable):
            break
        encoding, counts = instruction.encoding, bytearray(b"\xff" * instruction.size)
        for start, size in (
            (encoding.displacement_offset, encoding.displacement_size),
            (encoding.immediate_offset, encoding.immediate_size),
        ):
            if size >= _OPERAND_BYTES:
                counts[start : start + size] = bytes(size)
        mask += counts
    word[0], mask = INT3, mask[: len(word)] or bytearray(b"\xff")
    return Witness(int.from_bytes(word, "little"), int.from_bytes(mask, "little"))


class Verdict(Enum):
    """What a thread that has executed an int3 at a site has met."""

    OURS = auto()
    """The instruction that was displaced."""
    OPERAND_CHANGED = auto()
    """Our int3, but in front of another operand."""
    REPLACED = auto()
    """The int3 is gone already, and so is our business here."""
    NOT_OURS = auto()
    """An int3 of other code."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A site whose int3 stands, as far as is known, over the first byte of the instruction `code`."""

    code: bytes
    witness: Witness


class MadeSites:
    """Those of one address space, by address: `standing`, and those that were given up since (`gone`)."""

    def __init__(self) -> None:
        self.standing: dict[int, Standing] = {}
        self.gone: set[int] = set()

    def __contains__(self, site: int) -> bool:
        return site in self.standing or site in self.gone

    @property
    def brought(self) -> Iterable[int]:
        """The sites whose every hit comes to the engine: the loop compares a word."""
        longer = (site for site, known in self.standing.items() if len(known.code) > WITNESS_BYTES)
        return (*longer, *self.gone)

    def tell(self, table: SiteTable) -> None:
        """Tell the loop what must stand at each site for a hit to be one: the whole instruction, and what its witness
        says; but for what our other int3s displace.
        """
        for site, known in self.standing.items():
            place = table.index(site)
            assert place is not None, hex(site)
            code = bytes((INT3,)) + known.code[1:WITNESS_BYTES]
            whole = (1 << 8 * len(code)) - 1
            nearest = place + 1
            while nearest < len(table) and table.addresses[nearest] < site + WITNESS_BYTES:
                nearest += 1
            others = [address - site for address in table.addresses[place + 1 : nearest]]
            word = known.witness.word & ~whole | int.from_bytes(code, "little")
            found = Witness(word, known.witness.mask | whole).without(others)
            table.expected[place], table.checked[place] = found.word, found.mask

    def unfit(
        self,
        functions: Iterable[MadeText],
        mappings: Iterable[MappedRange],
        own: Iterable[tuple[int, int]],
        memory: Memory,
    ) -> dict[int, str]:
        """Return the functions in which nothing may be armed, by where they start, with the reason; the process is
        held.

        What is to be armed was found by decoding their content, so that must be what is there, but for int3s of ours.
        `own` are ranges of memory that we have mapped ourselves.
        """
        ranges = _joined(mappings)
        kept, standing = tuple(own), sorted(self.standing)
        reasons: dict[int, str] = {}
        for made in functions:
            place = bisect_right(ranges, (made.start, _NO_ADDRESS)) - 1
            is_within = place >= 0 and made.end <= ranges[place][1]
            if not is_within or any(made.start < end and start < made.end for start, end in kept):
                reasons[made.start] = NOT_EXECUTABLE
            elif self._without_ours(made, standing, memory) != made.content:
                reasons[made.start] = CHANGED
        return reasons

    def unfit_site(self, made: MadeText, site: int) -> str | None:
        """Return why no int3 is to be written at a site in a function that is as it was when it was looked at, if so.

        It may have been thrown away before that, and nobody has said so. What runtimes write where code was and no code
        is (V8's lists of free memory) are pointers and sizes, in words whose upper bytes are zero. Code at the
        beginning of a function doesn't look like that, and elsewhere seldom.
        """
        offset = site - made.start
        word = site // _WORD_BYTES * _WORD_BYTES - made.start
        upper = made.content[max(word + _POINTER_BYTES, 0) : max(word + _WORD_BYTES, 0)]
        is_zero = made.content[offset : offset + 2] == bytes(2)
        return DATA if is_zero or upper == bytes(_WORD_BYTES - _POINTER_BYTES) else None

    def _without_ours(self, made: MadeText, standing: Sequence[int], memory: Memory) -> bytes:
        """Return what is in a function's place now, as it would be without us."""
        content = bytearray(_read(memory, made.start, len(made.content)))
        first, last = bisect_left(standing, made.start), bisect_left(standing, made.start + len(content))
        for site in standing[first:last]:
            known, offset = self.standing[site], site - made.start
            if known.witness.says_ours(bytes(content[offset : offset + WITNESS_BYTES])):
                content[offset] = known.code[0]
        return bytes(content)

    def take(self, made: MadeText, site: int) -> None:
        """Take in a site that is to be armed in a function, if an instruction is there."""
        offset = site - made.start
        instruction = decode(made.content[offset:][:LONGEST_INSTRUCTION], site)
        if not isinstance(instruction, Undecodable):
            self.standing[site] = Standing(instruction.code, witness(made.content, offset))
            self.gone.discard(site)

    def give_up(self, site: int) -> None:
        """From now on whatever stands there is the program's."""
        del self.standing[site]
        self.gone.add(site)

    def forget(self, site: int) -> None:
        """A site was never armed."""
        self.standing.pop(site, None)

    def verdict(self, site: int, memory: Memory) -> Verdict:
        """Return what stands at a site now, of which a thread says that it has executed an int3 there."""
        known = self.standing.get(site)
        now = _read(memory, site, LONGEST_INSTRUCTION)
        if now[:1] != _INT3_BYTE:
            return Verdict.REPLACED
        if known is None or not known.witness.says_ours(now):
            return Verdict.NOT_OURS
        return Verdict.OURS if now[1 : len(known.code)] == known.code[1:] else Verdict.OPERAND_CHANGED

    def copied(self, address: int, memory: Memory) -> int | None:
        """Return the byte that an int3 at an address which is no site of ours stands for: that of the site from which
        the program has copied it. None if it is none of ours.
        """
        now = _read(memory, address, WITNESS_BYTES)
        found = (known.code[0] for known in self.standing.values() if known.witness.is_copied(now))
        return next(found, None)

    def strangers(self, memory: Memory) -> Set[int]:
        """Return the sites at which no int3 of ours stands any more, in this memory."""
        return self.gone | {
            site
            for site, known in self.standing.items()
            if not known.witness.says_ours(standing(memory, site))
        }

    def witness(self, site: int) -> Witness:
        """Return the witness of a site."""
        known = self.standing.get(site)
        return PLAIN if known is None else known.witness


def standing(memory: Memory, site: int) -> bytes:
    """Return what stands at a site, as far as its witness goes; nothing where nothing is mapped."""
    return _read(memory, site, WITNESS_BYTES)


def _read(memory: Memory, address: int, size: int) -> bytes:
    try:
        return memory.read(address, size)
    except OSError:
        return b""


def _joined(mappings: Iterable[MappedRange]) -> list[tuple[int, int]]:
    """Return the ranges of executable memory that no file is behind, neighbours as one."""
    ranges: list[tuple[int, int]] = []
    for mapping in filter(is_made, mappings):
        is_next = ranges and ranges[-1][1] == mapping.start
        start = ranges.pop()[0] if is_next else mapping.start
        ranges.append((start, mapping.end))
    return ranges
