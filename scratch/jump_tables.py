"""Where an indirect jump leads: the entries of a jump table, or out of the function.

Compilers make switches, and gotos to computed labels, as

    lea table(%rip),%b    movslq (%b,%i,4),%r    add %b,%r    jmp *%r       distances from the table, or a label
    jmp *table(,%i,8)     or     mov (%b,%i,8),%r    jmp *%r                addresses

and what else jumps through memory or a pointer is a call at the end of a function. To tell them apart, the
definitions that reach the jump are followed backwards through the function. flow.py asks; the object's data
are read through a callable of its caller.
"""

from bisect import bisect_right
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

_ADDRESS_SIZE: Final = 8
_BLOCK: Final = 256
_FURTHEST: Final = 5000
"""Instructions looked at for the definitions of one register."""

_MOST_COPIES: Final = 8
"""Moves from register to register that are followed."""


def table_targets(
    table: int, base: int | None, read: Read, allowed: Callable[[int], bool], most: int = MOST_ENTRIES
) -> set[int]:
    """Return where the entries of the table at an address lead, `most` at most, up to the first that leads nowhere
    allowed.

    Entries are signed distances of 4 bytes from `base`; where that is None, addresses of 8 bytes.
    """
    found: set[int] = set()
    size = 8 if base is None else 4
    for first in range(0, most, _BLOCK):
        block = min(_BLOCK, most - first) * size
        data = read(table + first * size, block)
        for at in range(0, len(data) - size + 1, size):
            target = (base or 0) + int.from_bytes(data[at : at + size], "little", signed=True)
            if not allowed(target):
                return found
            found.add(target)
        if len(data) < block:
            break
    return found


def named_table(code: bytes) -> int | None:
    """Return the table of addresses that an indirect jump names by itself, as `jmp *table(,%rax,8)` does."""
    encoding = parse(code)
    memory = None if isinstance(encoding, Undecodable) else _memory(code, encoding)
    if memory is None or memory.base != _NONE or memory.index == _NONE or memory.scale != _ADDRESS_SIZE:
        return None
    return memory.displacement


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
_RAX: Final = 0
_MOVSLQ, _LOAD, _CLTQ = 0x63, 0x8B, 0x98
_NAMING: Final = frozenset((Flow.RIP_RELATIVE,))
_RIP: Final = 16


class Function:
    """The parts of a function, made ready for questions about its indirect jumps.

    `entries` are where it is entered from elsewhere besides at its beginning: landing pads. `allows` says whether
    a table may lead to an address: an instruction of the function begins there, as far as is known. `tables` are
    where tables of addresses begin that some jump names, ascending: there ends the one before, for what follows is the
    other jump's.
    """

    def __init__(
        self,
        parts: Sequence[Swept],
        entries: Collection[int],
        read: Read,
        allows: Callable[[int], bool],
        tables: Sequence[int],
    ) -> None:
        self._parts = parts
        self._entries = entries
        self._read = read
        self._allows = allows
        self._tables = tables
        self._read_before: dict[tuple[int, int | None], set[int]] = {}

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
    def _named(self) -> set[int]:
        """What the function names by lea: tables and labels among other things."""
        named = (self._constant(at) for part in self._parts for at in part.of(_NAMING))
        return {table for table in named if table is not None}

    @property
    def _labels(self) -> set[int]:
        return {name for name in self._named if any(name in part for part in self._parts)}

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
            case 0, 0x03:
                # A distance that was loaded, and the load bias; or a table whose address was kept on the stack.
                entries = (
                    None if one is None else self._entry(one) for one in self._definitions(register, at)
                )
                loaded = next((one for one in entries if one is not None), None)
                return _OUT if loaded is None else self._table(*loaded, set())
            case 0, 0x8D if memory is not None and memory.index != _NONE and memory.scale == 1:
                return self._sum(memory.base, memory.index, at)
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
        """Return where a jump to the sum of two registers leads: an entry of a table, and what it counts from."""
        for entry, base in ((one, other), (other, one)):
            for defined in self._definitions(entry, at):
                loaded = None if defined is None else self._entry(defined)
                if loaded is not None:
                    memory, place = loaded
                    return self._table(memory, place, self._constants(base, at))
        return None

    def _entry(self, at: int) -> tuple[_Memory, int] | None:
        """Return the place of a table's entry if an instruction loads a register with one, and the instruction.

        It is 4 bytes, made 8 at once (movslq) or by the next instruction (mov, cltq), as without optimization.
        """
        code = self._code(at)
        encoding = _parsed(code)
        memory = _memory(code, encoding)
        if encoding.opcode_map or encoding.scheme is not Scheme.LEGACY:
            return None
        if encoding.opcode == _CLTQ:
            before = self._definitions(_RAX, at)
            return None if None in before or len(before) != 1 else self._entry(before[0] or 0)
        if encoding.opcode not in (_MOVSLQ, _LOAD) or memory is None:
            return None
        return (memory, at) if memory.index != _NONE or memory.base == _RIP else None

    def _pointer(self, memory: _Memory, at: int) -> Leads | None:
        """Return where a jump to an address from memory leads: that of a table only where there's an index."""
        if memory.index == _NONE or memory.scale not in (1, 8):
            return _OUT
        return self._table(memory, at, None) or _OUT

    def _table(self, memory: _Memory, at: int, bases: set[int] | None) -> Leads | None:
        """Return where the entries of the table lead that an instruction addresses; None if it isn't found.

        Entries count from one of `bases`, or from the table if there are none; where that is None they are
        addresses.
        """
        if memory.base == _NONE:
            tables = {memory.displacement}
        elif memory.base == _RIP:
            tables = {at + len(self._code(at)) + memory.displacement}
        else:
            known = self._constants(memory.base, at)
            if not known and memory.scale == 1:
                known = self._constants(memory.index, at)
            tables = {table + memory.displacement for table in known or self._named}
        targets: set[int] = set()
        for table in tables:
            if bases is None:
                targets |= self._targets(table, None)
            else:
                # What isn't plain, because it was kept on the stack say, is the table or a label of the function.
                found = set().union(*(self._targets(table, base) for base in bases or {table}))
                targets |= found or set().union(*(self._targets(table, base) for base in self._labels))
        return Leads(frozenset(targets), False) if targets else None

    def _constants(self, register: int, at: int) -> set[int]:
        """Return the addresses that a register may hold in front of an instruction; none if it may hold others."""
        found: set[int] = set()
        for defined in self._definitions(register, at):
            constant = None if defined is None else self._constant(defined)
            if constant is None:
                return set()
            found.add(constant)
        return found

    def _targets(self, table: int, base: int | None) -> set[int]:
        key = table, base
        if key not in self._read_before:
            most = MOST_ENTRIES if base is not None else self._most_addresses(table)
            self._read_before[key] = table_targets(table, base, self._read, self._allows, most)
        return self._read_before[key]

    def _most_addresses(self, table: int) -> int:
        """Return how many entries a table of addresses may have."""
        behind = bisect_right(self._tables, table)
        if behind == len(self._tables):
            return MOST_ENTRIES
        return min((self._tables[behind] - table) // _ADDRESS_SIZE, MOST_ENTRIES)

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
