"""What native clauses know of the firing that they run for, by where they run. Two answers to one protocol.

Outside: in the tracer, for a stopped thread, whose registers the caller has; or in dtrap, for probes of its own.
Inside: in the traced process, called by a site's trampoline (scratch/trampoline.py), which says where the registers
are. target.py, which needs to know no difference, asks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Protocol

import llvmlite.ir as ir

from backend.fasttrap.regions import HEADER_GATE, HEADER_PROCESS, POOL, STATE, TIDS
from backend.fasttrap.runtime import CLOCK_MONOTONIC, CLOCK_THREAD, GID_LINE, UID_LINE, runtime_function
from dlang.builtins import REGISTER_NUMBER
from dlang.emit_ir import I32, I64, POINTER, at, constant, load
from dlang.layout import STATE_WALL_OFFSET
from dlang.program import Fact
from scratch.trampoline import SHARD_STACK_FOLD, SHARD_STACK_SHIFT, UNIT_REGISTERS, UNIT_SITE

ARGUMENT_REGISTERS: Final = tuple(REGISTER_NUMBER[name] for name in ("RDI", "RSI", "RDX", "RCX", "R8", "R9"))
"""The `uregs[]` numbers of arg0 to arg5. Source: System V ABI, AMD64 supplement, 3.2.3."""


class Memory(Protocol):
    """What a firing asks of the machine that it is compiled for."""

    module: ir.Module

    def header(self, b: ir.IRBuilder) -> ir.Value:
        """Pointer to the beginning of the shared memory."""

    def region(self, b: ir.IRBuilder, name: str) -> ir.Value:
        """Pointer to a region of it."""

    def number(self, b: ir.IRBuilder, name: str) -> ir.Value:
        """A number that is settled when all code is emitted: `scratch_bits`, `shard_mask` or `shard_bits`."""

    def stack_scratch(self, b: ir.IRBuilder) -> ir.Value:
        """Pointer to a firing's own memory on the stack of the function that `b` is at the beginning of."""


class Firing(Protocol):
    """One function's view of the firing. Unless it says otherwise a method emits code and returns an i64."""

    whole_registers: bool
    """Whether it has asked for more registers than arguments come in."""
    uses: set[str]
    """The functions of the runtime that it calls for facts."""

    def site_number(self, b: ir.IRBuilder) -> ir.Value:
        """Number of the site that fired."""

    def consumer_argument(self, b: ir.IRBuilder, number: int) -> ir.Value:
        """`argN` of a probe of the consumer's."""

    def register(self, b: ir.IRBuilder, index: int) -> ir.Value:
        """A register of the thread by its `uregs[]` number, at most 20."""

    def process(self, b: ir.IRBuilder) -> ir.Value:
        """ID of the process, as dtrap has it."""

    def thread(self, b: ir.IRBuilder) -> ir.Value:
        """ID of the thread, likewise."""

    def process_to_read(self, b: ir.IRBuilder) -> ir.Value:
        """ID of the process as process_vm_readv(2) takes it where the code runs."""

    def fact(self, b: ir.IRBuilder, fact: Fact) -> ir.Value:
        """A fact other than PPID, PROBE_ID and ENABLING_ID."""

    def command_name(self, b: ir.IRBuilder, destination: ir.Value) -> None:
        """Write the thread's name, 16 bytes, zero-padded."""

    def counters(self, b: ir.IRBuilder, place: ir.Value) -> ir.Value:
        """Pointer to the thread's copy of a counter, given that to the first copy."""

    def scratch(self, b: ir.IRBuilder) -> ir.Value:
        """Pointer to memory for this firing alone. May be null."""

    def release_scratch(self, b: ir.IRBuilder, scratch: ir.Value) -> None:
        """Give it back."""


@dataclass(slots=True)
class OutsideFiring:
    """`unit(site, context, pid, tid)`: for a hit the context is the stopped thread's struct user_regs_struct with
    rip at the site, for the consumer (`own`) the words of its arguments.
    """

    memory: Memory
    own: bool
    number: ir.Value
    context: ir.Value
    pid: ir.Value
    tid: ir.Value
    whole_registers: bool = False
    uses: set[str] = field(default_factory=set)

    def _call(self, b: ir.IRBuilder, name: str, *arguments: ir.Value) -> ir.Value:
        self.uses.add(name)
        return b.call(runtime_function(self.memory.module, name), arguments)

    def site_number(self, b: ir.IRBuilder) -> ir.Value:  # noqa: ARG002 - it needs no code
        return self.number

    def consumer_argument(self, b: ir.IRBuilder, number: int) -> ir.Value:
        return load(b, self.context, 8 * number)

    def register(self, b: ir.IRBuilder, index: int) -> ir.Value:
        self.whole_registers = True
        return load(b, self.context, 8 * index)

    def process(self, b: ir.IRBuilder) -> ir.Value:
        return b.zext(self.pid, I64)

    def thread(self, b: ir.IRBuilder) -> ir.Value:
        return b.zext(self.tid, I64)

    def process_to_read(self, b: ir.IRBuilder) -> ir.Value:
        # The first thread may have exited, and memory is not to be had by its ID then.
        return self.process(b) if self.own else self.thread(b)

    def fact(self, b: ir.IRBuilder, fact: Fact) -> ir.Value:
        match fact:
            case Fact.PID:
                return self.process(b)
            case Fact.TID:
                return self.thread(b)
            case Fact.UID:
                return self._call(b, "credential", self.thread(b), constant(UID_LINE))
            case Fact.GID:
                return self._call(b, "credential", self.thread(b), constant(GID_LINE))
            case Fact.CPU if self.own:
                return self._call(b, "own_processor")
            case Fact.CPU:
                # Not where this code runs: the tracer follows the process, but not from hit to hit.
                return self._call(b, "thread_processor", self.thread(b))
            case Fact.TIMESTAMP:
                return self._call(b, "clock", constant(CLOCK_MONOTONIC))
            case Fact.WALLTIMESTAMP:
                offset = load(b, self.memory.region(b, STATE), STATE_WALL_OFFSET)
                return b.add(self._call(b, "clock", constant(CLOCK_MONOTONIC)), offset)
            case Fact.VTIMESTAMP if self.own:
                return self._call(b, "clock", constant(CLOCK_THREAD))
            case Fact.VTIMESTAMP:
                return self._call(b, "thread_time", self.thread(b))
            case Fact.PPID | Fact.PROBE_ID | Fact.ENABLING_ID:
                raise AssertionError(fact)

    def command_name(self, b: ir.IRBuilder, destination: ir.Value) -> None:
        self._call(b, "thread_name", self.thread(b), destination)

    def counters(self, b: ir.IRBuilder, place: ir.Value) -> ir.Value:  # noqa: ARG002 - it needs no code
        """Return the first copy: what runs outside are single threads."""
        return place

    def scratch(self, b: ir.IRBuilder) -> ir.Value:
        with b.goto_entry_block():
            return self.memory.stack_scratch(b)

    def release_scratch(self, b: ir.IRBuilder, scratch: ir.Value) -> None:
        """Do nothing: it goes with the function's stack."""


@dataclass(slots=True)
class InsideFiring:
    """`unit(arg0, …, arg5)` on the thread's own stack, where the trampoline put what it should know above its return
    address.
    """

    memory: Memory
    arguments: tuple[ir.Value, ...]
    whole_registers: bool = False
    uses: set[str] = field(default_factory=set)
    _stack: ir.Value | None = None
    """The address of the unit's return address."""

    def _call(self, b: ir.IRBuilder, name: str, *arguments: ir.Value) -> ir.Value:
        self.uses.add(name)
        return b.call(runtime_function(self.memory.module, name), arguments)

    def _above(self, b: ir.IRBuilder) -> ir.Value:
        """Return the pointer to the unit's return address."""
        if self._stack is None:
            name, module = "llvm.addressofreturnaddress.p0", self.memory.module
            known = module.globals.get(name) or ir.Function(module, ir.FunctionType(POINTER, []), name)
            with b.goto_entry_block():
                b.position_at_start(b.block)  # what asks for it next may come before what asked first
                self._stack = b.call(known, [])
        return self._stack

    def site_number(self, b: ir.IRBuilder) -> ir.Value:
        return load(b, self._above(b), UNIT_SITE)

    def consumer_argument(self, b: ir.IRBuilder, number: int) -> ir.Value:
        raise AssertionError((b, number))

    def register(self, b: ir.IRBuilder, index: int) -> ir.Value:
        if index in ARGUMENT_REGISTERS:
            return self.arguments[ARGUMENT_REGISTERS.index(index)]
        self.whole_registers = True
        return load(b, self._above(b), UNIT_REGISTERS + 8 * index)

    def process(self, b: ir.IRBuilder) -> ir.Value:
        return load(b, self.memory.header(b), HEADER_PROCESS)

    def thread(self, b: ir.IRBuilder) -> ir.Value:
        return self._call(b, "own_thread", self.memory.region(b, TIDS), self.memory.header(b))

    def process_to_read(self, b: ir.IRBuilder) -> ir.Value:
        return b.zext(b.load(at(b, self.memory.header(b), HEADER_GATE + 4), typ=I32), I64)

    def fact(self, b: ir.IRBuilder, fact: Fact) -> ir.Value:
        match fact:
            case Fact.PID:
                return self.process(b)
            case Fact.TID:
                return self.thread(b)
            case Fact.UID:
                return self._call(b, "credential", constant(0), constant(UID_LINE))
            case Fact.GID:
                return self._call(b, "credential", constant(0), constant(GID_LINE))
            case Fact.CPU:
                return self._call(b, "own_processor")
            case Fact.TIMESTAMP:
                return self._call(b, "clock", constant(CLOCK_MONOTONIC))
            case Fact.WALLTIMESTAMP:
                offset = load(b, self.memory.region(b, STATE), STATE_WALL_OFFSET)
                return b.add(self._call(b, "clock", constant(CLOCK_MONOTONIC)), offset)
            case Fact.VTIMESTAMP:
                return self._call(b, "thread_time", constant(0))
            case Fact.PPID | Fact.PROBE_ID | Fact.ENABLING_ID:
                raise AssertionError(fact)

    def command_name(self, b: ir.IRBuilder, destination: ir.Value) -> None:
        self._call(b, "thread_name", constant(0), destination)

    def counters(self, b: ir.IRBuilder, place: ir.Value) -> ir.Value:
        stack = b.ptrtoint(self._above(b), I64)
        folded = b.xor(stack, b.lshr(stack, constant(SHARD_STACK_FOLD)))
        number = b.and_(b.lshr(folded, constant(SHARD_STACK_SHIFT)), self.memory.number(b, "shard_mask"))
        return at(b, place, b.shl(number, self.memory.number(b, "shard_bits")))

    def scratch(self, b: ir.IRBuilder) -> ir.Value:
        return self._call(b, "claim_scratch", *self._pool(b))

    def release_scratch(self, b: ir.IRBuilder, scratch: ir.Value) -> None:
        self._call(b, "release_scratch", *self._pool(b), scratch)

    def _pool(self, b: ir.IRBuilder) -> list[ir.Value]:
        memory = self.memory
        return [memory.header(b), memory.region(b, POOL), memory.number(b, "scratch_bits")]
