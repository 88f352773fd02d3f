"""The state of generating one function: its builder, machine, scratch memory, and where a fault leads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import llvmlite.ir as ir

from dlang.constants import Constants
from dlang.emit_ir import I64, POINTER, add_atomically, at, constant, load, opaque, stack_words
from dlang.layout import DROP_CPUS, DROPS_BY_CPU, ERROR_SITE, drop_offset, memory_room
from dlang.notices import Drop, Fault
from dlang.program import Fact, TypedProgram
from dlang.source import Span
from dlang.target import Target


@dataclass(slots=True)
class FaultExit:
    """The block that a faulting clause jumps to, and what each jump brings along."""

    block: ir.Block
    sources: list[tuple[ir.Block, int, ir.Value, int]] = field(default_factory=list)


@dataclass(slots=True)
class Frame:
    """See the module.

    `b` emits the clauses. `prologue` emits what runs before all of them: facts that are the same for a whole
    firing, and room that turned out to be needed. `thread_zeroed` is where clauses note that the thread's block may be
    all zero; None where they never do. `scratch_slot` is where the prologue leaves the pointer to the
    firing's own memory; `scratch_size` is how much of that is used, 0 where none is. `copied` is how much copyin() and
    alloca() have taken in the clause, at the beginning of it. `current` is what places held
    that are being updated. `given_up` is where the clause ends when it is given up without a report, None
    where none has asked for that. `failure` is what ERROR's first arguments are while its clauses are emitted, else
    None.
    """

    b: ir.IRBuilder
    prologue: ir.IRBuilder
    target: Target
    program: TypedProgram
    constants: Constants
    scratch_slot: ir.Value
    copied: ir.Value
    facts: dict[Fact, ir.Value] = field(default_factory=dict)
    site_number: ir.Value | None = None
    enabling: int = 0
    keys: dict[int, ir.Value] = field(default_factory=dict)
    clause_block: ir.Value | None = None
    thread_zeroed: ir.Value | None = None
    scratch_next: int = 0
    scratch_size: int = 0
    fault_exit: FaultExit | None = None
    given_up: ir.Block | None = None
    current: dict[int, ir.Value] = field(default_factory=dict)
    failure: tuple[ir.Value, ...] | None = None

    def __post_init__(self) -> None:
        # What lies last there is followed by a word of zeros, so that it is a string as well.
        self.scratch_next = memory_room(self.program) + 8

    def first(self) -> ir.IRBuilder:
        """Return the prologue's builder at its end: others add stack room to the same block."""
        self.prologue.position_at_end(self.prologue.block)
        return self.prologue

    def fact(self, fact: Fact) -> ir.Value:
        """Return a fact of the firing; every use in it sees the same value."""
        if fact is Fact.PROBE_ID:
            return self.site()
        if fact not in self.facts:
            b = self.first()
            is_parent = fact is Fact.PPID
            self.facts[fact] = load(b, self.target.ancestors(b)) if is_parent else self.target.fact(b, fact)
        return self.facts[fact]

    def site(self) -> ir.Value:
        """Return the number of the probe that fired."""
        if self.failure is not None:
            return constant(ERROR_SITE)
        if self.site_number is None:
            self.site_number = self.target.site(self.first())
        return self.site_number

    def argument(self, number: int) -> ir.Value:
        """Return `argN` of the probe that fired; ERROR, which tells of others, has its own in front of theirs."""
        if self.failure is not None and number < len(self.failure):
            return self.failure[number]
        return self.target.argument(self.b, number)

    def thread_was_zeroed(self) -> ir.Value:
        """Return the word on the stack that says whether a firing stored a zero in its thread's block."""
        if self.thread_zeroed is None:
            with self.b.goto_entry_block():
                self.thread_zeroed = stack_words(self.b, 1)
                self.b.store(self.unforeseen(0), self.thread_zeroed)
        return self.thread_zeroed

    def unforeseen(self, number: int) -> ir.Value:
        """Return a constant that the kernel's verifier does not know: else it follows each of its values apart."""
        seed = self.b.load(self.target.state(self.b), typ=I64)
        return self.b.add(self.b.xor(seed, opaque(self.b, seed)), constant(number))

    def key_on_stack(self, size: int) -> ir.Value:
        """Return room for a key of `size` bytes; the next key of that size takes the same."""
        if size not in self.keys:
            # In the entry block, which the prologue may have left by now: elsewhere room would be made at run time.
            with self.b.goto_entry_block():
                self.keys[size] = stack_words(self.b, size // 8)
        return self.keys[size]

    def scratch(self, offset: int, size: int) -> ir.Value:
        """Return a pointer to `size` bytes at `offset` of the firing's own memory."""
        self.scratch_size = max(self.scratch_size, offset + size)
        return at(self.b, self.b.load(self.scratch_slot, typ=POINTER), offset)

    def temporary(self, size: int) -> ir.Value:
        """Return scratch memory that lasts to the end of the innermost `temporaries`."""
        offset = self.scratch_next
        self.scratch_next += size
        return self.scratch(offset, size)

    def copies(self, offset: ir.Value, size: int) -> ir.Value:
        """Return the pointer to an offset in what copyin() and alloca() have taken, which at most `size` bytes are
        asked of from there on. The offset is masked: it needs no proof for the kernel's verifier."""
        most = 2 * memory_room(self.program) - 1
        start = self.scratch(0, most + 1 + size + 8)
        return at(self.b, start, self.b.and_(offset, constant(most)))

    @contextmanager
    def temporaries(self) -> Iterator[None]:
        """Give the temporaries of the block back at its end, when nothing refers to them any more."""
        start = self.scratch_next
        yield
        self.scratch_next = start

    def constant_at(self, data: bytes) -> ir.Value:
        return at(self.b, self.target.constants(self.b), self.constants.place(data))

    def fault_when(self, condition: ir.Value, fault: Fault, address: ir.Value | None, span: Span) -> None:
        """Give the clause up where the condition, an i1, holds."""
        assert self.fault_exit is not None
        go_on = self.b.append_basic_block("no_fault")
        brought = constant(0) if address is None else address
        self.fault_exit.sources.append((self.b.block, int(fault), brought, span.start))
        self.b.cbranch(condition, self.fault_exit.block, go_on)
        self.b.position_at_end(go_on)

    def give_up(self) -> None:
        """End the clause, whose record is taken back, without a report."""
        self.b.branch(self.way_out())

    def way_out(self) -> ir.Block:
        """Return the block where the clause ends so."""
        if self.given_up is None:
            self.given_up = self.b.append_basic_block("given_up")
        return self.given_up


def drop(frame: Frame, kind: Drop) -> None:
    """Count a loss, at the builder's place."""
    b = frame.b
    count = at(b, frame.target.state(b), drop_offset(kind))
    if kind in DROPS_BY_CPU:
        cpu = b.and_(frame.target.fact(b, Fact.CPU), constant(DROP_CPUS - 1))
        count = at(b, count, b.shl(cpu, constant(3)))
    add_atomically(b, count, constant(1))


def merge_words(b: ir.IRBuilder, sources: list[tuple[ir.Block, ir.Value]]) -> ir.Value:
    """Return the i64 that the block just entered brings along from each of its predecessors."""
    phi = b.phi(I64)
    for block, value in sources:
        phi.add_incoming(value, block)
    return phi
