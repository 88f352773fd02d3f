"""Where an indirect jump leads: the entries of a jump table, or out of the function.

Compilers make switches, and gotos to computed labels, as

    lea table(%rip),%b    movslq (%b,%i,4),%r    add %b,%r    jmp *%r       distances from the table
    jmp *table(,%i,8)     or     mov (%b,%i,8),%r    jmp *%r                addresses

and what else jumps through memory or a pointer is a call at the end of a function. To tell them apart, the
definitions that reach the jump are followed backwards through the function. flow.py asks; the object's data
are read through a callable of its caller.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from scratch.encoding import Encoding, Scheme, Undecodable, parse
from scratch.instruction import registers_written
from scratch.sweep import DIRECT, LEAVING, Flow, Swept

Read = Callable[[int, int], bytes]
"""`read(address, size)`: constant data of the object, at addresses as its file has them. What the loader makes
a pointer holds the address that it will, less the load bias. Fewer bytes where the data end, none where there
are none."""

MOST_ENTRIES: Final = 1 << 16
"""A jump table has fewer."""

_BLOCK: Final = 256
_FURTHEST: Final = 5000
"""Instructions looked at for the definitions of one register."""

_MOST_COPIES: Final = 8
"""Moves from register to register that are followed."""


def table_targets(table: int, entry_size: int, read: Read, allowed: Callable[[int], bool]) -> set[int]:
    """Return where the entries of the table at an address lead, up to the first that leads nowhere allowed.

    Entries of 4 bytes are signed distances from the table, those of 8 bytes are addresses.
    """
    found: set[int] = set()
    base = table if entry_size == 4 else 0
    for first in range(0, MOST_ENTRIES, _BLOCK):
        data = read(table + first * entry_size, _BLOCK * entry_size)
        for at in range(0, len(data) - entry_size + 1, entry_size):
            entry = int.from_bytes(data[at : at + entry_size], "little", signed=True)
            if not allowed(base + entry):
                return found
            found.add(base + entry)
        if len(data) < _BLOCK * entry_size:
            break
    return found


@dataclass(frozen=True, slots=True)
class Leads:
    """What an indirect jump does: it goes to one of `targets`, or out of the function where `leaves`."""

    targets: frozenset[int]
    leaves: bool


_OUT: Final = Leads(frozenset(), True)


@dataclass(frozen=True, slots=True)
class _Memory:
    """A memory operand: register numbers, -1 for none; `base` of _RIP counts from the next instruction."""

    base: int
    index: int
    scale: int
    displacement: int


_NONE: Final = -1
_NAMING: Final = frozenset((Flow.RIP_RELATIVE,))
_RIP: Final = 16


class Function:
    """The parts of a function, made ready for questions about its indirect jumps.

    `entries` are where it is entered from elsewhere besides at its beginning: landing pads. `allows` says whether
    a table may lead to an address: an instruction of the function begins there, as far as is known.
    """

    def __init__(
        self, parts: Sequence[Swept], entries: Collection[int], read: Read, allows: Callable[[int], bool]
    ) -> None:
        self._parts = parts
        self._entries = entries
        self._read = read
        self._allows = allows
        self._read_before: dict[tuple[int, int], set[int]] = {}

    def leads(self, address: int) -> Leads | None:
        """Return where the indirect jump at an address leads; None if that can't be told."""
        code = self._code(address)
        encoding = _parsed(code)
        memory = _memory(code, encoding)
        if memory is None:
            return self._register(_rm(encoding), address, 0)
        return self._pointer(memory, address)

    @cached_property
    def _sources(self) -> dict[int, list[int]]:
        """The direct jumps to each of their targets."""
        found: dict[int, list[int]] = {}
        for part in self._parts:
            for address, target in part.jumps():
                found.setdefault(target, []).append(address)
        return found

    @cached_property
    def _tables(self) -> set[int]:
        """What the function names that could be a table."""
        named = (self._constant(at) for part in self._parts for at in part.of(_NAMING))
        return {table for table in named if table is not None}

    def _register(self, register: int, at: int, depth: int) -> Leads | None:
        """Return where a jump to what `register` holds at an instruction leads."""
        if depth > _MOST_COPIES:
            return None
        targets: set[int] = set()
        leaves = False
        for defined in self._definitions(register, at):
            leads = _OUT if defined is None else self._value(register, defined, depth)
            if leads is None:
                return None
            targets |= leads.targets
            leaves |= leads.leaves
        return Leads(frozenset(targets), leaves) if targets or leaves else None

    def _value(self, register: int, at: int, depth: int) -> Leads | None:
        """Return likewise for the value that the instruction at an address gives `register`."""
        code = self._code(at)
        if self._flow(at) in (Flow.CALL, Flow.INDIRECT_CALL, Flow.SYSCALL):
            return _OUT
        if (constant := self._constant(at)) is not None:
            inside = self._allows(constant)
            return Leads(frozenset((constant,)) if inside else frozenset(), not inside)
        encoding = _parsed(code)
        memory = _memory(code, encoding)
        opcode = encoding.opcode if encoding.scheme is Scheme.LEGACY else _NONE
        match encoding.opcode_map, opcode:
            case 0, 0x8B if memory is not None:
                return self._pointer(memory, at)
            case 0, 0x8B:
                return self._register(_rm(encoding), at, depth + 1)
            case 0, 0x89:
                return self._register(_reg(encoding), at, depth + 1)
            case 0, 0x01 | 0x03 if memory is None:
                return self._sum(_rm(encoding), _reg(encoding), at)
            case 1, move if 0x40 <= move <= 0x4F:
                # Moved or not: the new value or the old one.
                before = self._register(register, at, depth + 1)
                moved = self._pointer(memory, at) if memory else self._register(_rm(encoding), at, depth + 1)
                if before is None or moved is None:
                    return None
                return Leads(before.targets | moved.targets, before.leaves or moved.leaves)
            case 0, 0x33 | 0xC1 | 0xD1:
                return _OUT  # a pointer that was stored in disguise, as glibc's setjmp does
            case 0, pop if 0x58 <= pop <= 0x5F:
                return _OUT
            case _:
                return None

    def _sum(self, one: int, other: int, at: int) -> Leads | None:
        """Return where a jump to the sum of two registers leads: one is a table, the other an entry of it."""
        for register in (one, other):
            for defined in self._definitions(register, at):
                if defined is None:
                    continue
                code = self._code(defined)
                encoding = _parsed(code)
                memory = _memory(code, encoding)
                if encoding.opcode == 0x63 and encoding.opcode_map == 0 and memory is not None:
                    return self._table(memory, 4, defined)
        return None

    def _pointer(self, memory: _Memory, at: int) -> Leads | None:
        """Return where a jump to an address from memory leads: that of a table only where there's an index."""
        if memory.index == _NONE or memory.scale != 8:
            return _OUT
        return self._table(memory, 8, at) or _OUT

    def _table(self, memory: _Memory, entry_size: int, at: int) -> Leads | None:
        """Return where the entries of the table lead; None if the table isn't found.

        Where it isn't plain which it is, because the register was kept on the stack say, it is one of those
        that the function names, and the answer is all of them.
        """
        if memory.base == _NONE:
            tables = {memory.displacement}
        else:
            known = [None if at is None else self._constant(at) for at in self._definitions(memory.base, at)]
            tables = {table + memory.displacement for table in known if table is not None}
            if None in known or not known:
                tables |= self._tables
        targets = set[int]().union(*(self._targets(table, entry_size) for table in tables))
        return Leads(frozenset(targets), False) if targets else None

    def _targets(self, table: int, entry_size: int) -> set[int]:
        key = table, entry_size
        if key not in self._read_before:
            self._read_before[key] = table_targets(table, entry_size, self._read, self._allows)
        return self._read_before[key]

    def _definitions(self, register: int, at: int) -> list[int | None]:
        """Return the instructions whose value `register` may have in front of the one at an address.

        None among them: it has the value that it had where the function was entered.
        """
        found: list[int | None] = []
        seen: set[int] = set()
        todo = [at]
        while todo:
            here = todo.pop()
            entered = here == self._parts[0].address or here in self._entries
            if entered and None not in found:
                found.append(None)
            for before in self._before(here):
                if before in seen or len(seen) > _FURTHEST:
                    continue
                seen.add(before)
                if register in self._written(before):
                    found.append(before)
                else:
                    todo.append(before)
        return found

    def _written(self, address: int) -> frozenset[int]:
        flow = self._flow(address)
        if flow in (Flow.CALL, Flow.INDIRECT_CALL):
            return _CALL_CHANGES
        if flow in DIRECT or flow is Flow.NOP:
            return frozenset()
        return registers_written(self._code(address))

    def _before(self, address: int) -> Iterator[int]:
        """Yield the instructions after which this one may be executed, as far as they aren't indirect jumps."""
        yield from self._sources.get(address, ())
        for part in self._parts:
            if part.address < address < part.end:
                at = address - part.address - 1
                while at and not part.info[at]:
                    at -= 1
                if part.flow_at(part.address + at) not in LEAVING:
                    yield part.address + at

    def _constant(self, address: int) -> int | None:
        """Return the address that the instruction gives its register, if it is one that does so: lea, mov."""
        code = self._code(address)
        encoding = parse(code)
        if isinstance(encoding, Undecodable) or encoding.scheme is not Scheme.LEGACY or encoding.opcode_map:
            return None
        if encoding.opcode == 0x8D and encoding.rip_relative:
            displacement = code[encoding.displacement_offset :][:4]
            return address + len(code) + int.from_bytes(displacement, "little", signed=True)
        is_constant = 0xB8 <= encoding.opcode <= 0xBF or (encoding.opcode == 0xC7 and encoding.modrm >= 0xC0)
        if is_constant and encoding.immediate_size >= 4:
            return int.from_bytes(code[encoding.immediate_offset :], "little")
        return None

    def _code(self, address: int) -> bytes:
        return next(part.bytes_at(address) for part in self._parts if address in part)

    def _flow(self, address: int) -> Flow:
        return next(part.flow_at(address) for part in self._parts if address in part)


_CALL_CHANGES: Final = frozenset((0, 1, 2, 6, 7, 8, 9, 10, 11))
"""rax, rcx, rdx, rsi, rdi, r8 to r11: the registers that the ABI lets a function change."""


def _parsed(code: bytes) -> Encoding:
    encoding = parse(code)
    assert isinstance(encoding, Encoding), code
    return encoding


def _reg(encoding: Encoding) -> int:
    return encoding.reg | (encoding.rex & 4) << 1


def _rm(encoding: Encoding) -> int:
    return encoding.modrm & 7 | (encoding.rex & 1) << 3


def _memory(code: bytes, encoding: Encoding) -> _Memory | None:
    """Return the memory operand of an instruction that has one."""
    if not 0 <= encoding.modrm < 0xC0:
        return None
    field = code[encoding.displacement_offset :][: encoding.displacement_size]
    displacement = int.from_bytes(field, "little", signed=True)
    if encoding.rip_relative:
        return _Memory(_RIP, _NONE, 1, displacement)
    if encoding.modrm & 7 != 4:
        return _Memory(_rm(encoding), _NONE, 1, displacement)
    index = encoding.sib >> 3 & 7 | (encoding.rex & 2) << 2
    base = encoding.sib & 7 | (encoding.rex & 1) << 3
    if encoding.sib & 7 == 5 and encoding.modrm < 0x40:
        base = _NONE
    return _Memory(base, _NONE if index == 4 else index, 1 << (encoding.sib >> 6), displacement)
