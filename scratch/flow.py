"""A function decoded whole: its instructions, the places where it is left, the targets of its jump tables.

Lives here: `whole`, from sweeps of a function's parts (its range, and those that the compiler split off it).
Not here: where these and the object's data are, which backend/ knows; what an indirect jump does, which
jump_tables.py finds out; which sites follow from the exits. Nothing is guessed: a function of which an
instruction or the meaning of an indirect jump isn't known is `NotWhole`, with the reason.
"""

from array import array
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import compress
from typing import Final

from scratch import jump_tables
from scratch.jump_tables import Read
from scratch.sweep import LEAVING, Flow, Swept


class ExitKind(Enum):
    """How a function is left."""

    RETURN = "ret"
    JUMP = "jump to another function"
    INDIRECT_JUMP = "indirect jump to another function"
    BRANCH = "conditional jump to another function"


@dataclass(frozen=True, slots=True)
class Exit:
    """An instruction that leaves the function; a BRANCH only if its condition holds."""

    address: int
    kind: ExitKind


@dataclass(frozen=True, slots=True)
class Function:
    """A function of which every instruction is known.

    `parts`: where they begin, those that turned out to belong to it last. `starts`: the addresses of all
    instructions, padding included, ascending within each part, in the order of the parts. `exits`: in the same
    order. `targets`: where its jump tables lead, and a few more perhaps. `falls_off`: a part ends in an
    instruction after which control goes on into the next function, as assembly code does. (A call there doesn't
    return.)
    """

    parts: tuple[int, ...]
    starts: Sequence[int]
    exits: tuple[Exit, ...]
    targets: frozenset[int]
    falls_off: bool


@dataclass(frozen=True, slots=True)
class NotWhole:
    """Why a function can't be decoded whole; for users. `address` is the instruction that it's about."""

    reason: str
    address: int


_CONDITIONAL: Final = frozenset((Flow.BRANCH_8, Flow.BRANCH_32))
_OTHER_ENDS: Final = frozenset((Flow.RET, Flow.INDIRECT_JMP, Flow.FAR, Flow.INVALID))
_LOCK: Final = 0xF0


SplitOff = Callable[[int], tuple[Swept, bool] | None]
"""`split_off(address)`: the range of code around an address that may be a part that the compiler split off some
function, and whether it certainly is one; None where it is a function of its own."""


def whole(
    parts: Sequence[Swept],
    read: Read,
    entries: Collection[int] = (),
    split_off: SplitOff = lambda _: None,
    tables: Sequence[int] = (),
) -> Function | NotWhole:
    """Return all there is to know of the function that consists of `parts`, the first one where it begins.

    `entries`: further addresses at which it is entered, landing pads say. `read`: the object's data.
    `split_off`: where the parts that its jumps lead to aren't all known. One that may be a function of its
    own is a part if it leads back. `tables`: see jump_tables.Function.
    """
    known = list(parts)
    while True:
        found = _Whole(known, read, entries, split_off, tables)
        result = found.decode()
        if not found.adopted:
            return result
        known += found.adopted


class _Whole:
    """One attempt to decode a function of which some parts are known. `adopted`: more that it turned out to have,
    which makes the attempt void.
    """

    def __init__(
        self,
        parts: Sequence[Swept],
        read: Read,
        entries: Collection[int],
        split_off: SplitOff,
        tables: Sequence[int],
    ) -> None:
        self._parts = parts
        self._split_off = split_off
        self._tables = jump_tables.Function(parts, entries, read, self._allows, tables)
        self._targets: set[int] = set()
        self.adopted: list[Swept] = []

    def decode(self) -> Function | NotWhole:
        if not self._parts[0].code:
            return NotWhole("no code", self._parts[0].address)
        exits: list[Exit] = []
        for part in self._parts:
            left = self._direct(part)
            if isinstance(left, NotWhole):
                return left
            other = self._other(part)
            if isinstance(other, NotWhole):
                return other
            exits += sorted(left + other, key=lambda one: one.address)
        starts = array("Q")
        for part in self._parts:
            starts.extend(compress(range(part.address, part.end), part.info))
        parts = tuple(part.address for part in self._parts)
        targets = frozenset(self._targets)
        return Function(parts, starts, tuple(exits), targets, any(map(_falls_off, self._parts)))

    def _direct(self, part: Swept) -> list[Exit] | NotWhole:
        """Look at direct jumps: within the function, to a part that wasn't known, or out of it."""
        found: list[Exit] = []
        for address, target in part.jumps():
            if part.starts_at(target):
                continue
            within = next((other for other in self._parts if target in other), None)
            if within is not None:
                if not within.starts_at(target) and not _is_behind_lock(within, target):
                    return NotWhole("a jump into the middle of an instruction", address)
            elif not self._adopts(target):
                conditional = part.flow_at(address) in _CONDITIONAL
                found.append(Exit(address, ExitKind.BRANCH if conditional else ExitKind.JUMP))
        return found

    def _other(self, part: Swept) -> list[Exit] | NotWhole:
        """Look at what else ends a path through the function."""
        found: list[Exit] = []
        for address in part.of(_OTHER_ENDS):
            match part.flow_at(address):
                case Flow.INVALID:
                    return NotWhole("bytes that are no instruction", address)
                case Flow.FAR:
                    return NotWhole("a far transfer of control", address)
                case Flow.RET:
                    found.append(Exit(address, ExitKind.RETURN))
                case _:
                    leads = self._tables.leads(address)
                    if leads is None:
                        return NotWhole("an indirect jump of which it isn't known where it leads", address)
                    self._targets |= leads.targets
                    if leads.leaves:
                        found.append(Exit(address, ExitKind.INDIRECT_JUMP))
        return found

    def _allows(self, target: int) -> bool:
        """Say whether a jump table may lead to an address."""
        for part in self._parts:
            if target in part:
                return part.starts_at(target)
        found = self._split_off(target)
        if found is None or not found[0].starts_at(target):
            return False
        # It may be an entry of the table behind, read as one of this one, so that it says little of the part.
        if self._leads_back(found[0]) or (found[1] and target == found[0].address):
            self._adopts(target)
        return True

    def _adopts(self, target: int) -> bool:
        """Say whether an address outside the parts belongs to one that isn't known yet; note it."""
        if any(target in part for part in self.adopted):
            return True
        found = self._split_off(target)
        if found is None:
            return False
        part, certain = found
        if not certain and not self._leads_back(part):
            return False
        self.adopted.append(part)
        return True

    def _leads_back(self, part: Swept) -> bool:
        """Say whether code jumps into the middle of the function."""
        first = self._parts[0].address
        return any(
            target != first and any(target in other for other in self._parts) for _, target in part.jumps()
        )


def _is_behind_lock(part: Swept, address: int) -> bool:
    """Say whether only a lock prefix lies in front, which glibc jumps over in programs of one thread."""
    return part.starts_at(address - 1) and part.code[address - 1 - part.address] == _LOCK


def _falls_off(part: Swept) -> bool:
    """Say whether control goes on after the last instruction, padding left out of account."""
    at = len(part.info)
    while at > 0:
        at -= 1
        while at > 0 and not part.info[at]:
            at -= 1
        flow = part.flow_at(part.address + at)
        if flow is not Flow.NOP:
            return flow not in LEAVING and flow is not Flow.CALL
    return True
