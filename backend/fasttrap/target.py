"""The native machine: D's intrinsics as x86-64 code over shared memory: for the tracer and dtrap, and for the traced
process itself.

There is a module for each of the two places, over one memory (`Layout`). What clauses know of a firing, and by
what signature a unit is called, differs: firing.py. Nothing in the code says where the memory is: one pointer
does, set when the code is loaded. What takes more than a few instructions is in runtime.py. Hands the IR to
emit.py and the regions to program.py.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import llvmlite.ir as ir

from backend.fasttrap.firing import ARGUMENT_REGISTERS, Firing, InsideFiring, OutsideFiring
from backend.fasttrap.regions import (
    CONSTANTS,
    HEADER_FIRINGS,
    HITS,
    NAMES,
    NEXT,
    PLACES,
    POOL,
    POOL_SLOTS,
    RECORD_DISCARDED,
    RECORDS,
    STATE,
    THREADS,
    TIDS,
    TIDS_BITS,
    UNITS,
    UNWIND,
    HashShape,
    Regions,
    lay_out,
)
from backend.fasttrap.runtime import VOID, Where, runtime_function, stack_copy_size
from dlang.aggregations import cell_words, identity
from dlang.branch_condition import CONDITIONS, is_taken
from dlang.builtins import REGISTER_NUMBER, RESULT_REGISTERS
from dlang.constants import Constants
from dlang.emit_ir import I32, I64, POINTER, add_atomically, at, constant, load, stack_words, store
from dlang.layout import (
    ARRAY_PREFIX,
    PLACE_CONDITION_SHIFT,
    PLACE_OFFSET_SHIFT,
    PLACE_PROBE,
    STATE_CONSUMER_ANCESTORS,
    STATE_DYNAMIC,
    STATE_TARGET_ANCESTORS,
    HashStore,
    Store,
    TableStore,
    array_key_size,
    array_name,
    element_cost,
    named_array,
    state_size,
    thread_cost,
)
from dlang.lower import Unit
from dlang.program import AssociativeArray, Fact, ProbeField, TypedProgram
from dlang.target import Target, UnitKind
from dlang.types import stored_size
from dlang.unwind_format import SMALLEST_POOL_BITS, memory_size

HIT: Final = "hit"
"""The function of a hit: `void hit(site, context, pid, tid)` runs the unit of the site."""

MEMORY_POINTER: Final = "memory"
"""The variable of native code that says where the shared memory is."""
_PLACE: Final = "place."
_SCRATCH_LIMIT: Final = 1 << 20
"""Bytes of a firing's own memory, which outside is on the stack: a thread's is 8 MiB."""
_LAST_REGISTER: Final = 20
"""user_regs_struct begins in the order of `uregs[]`. What it has beyond the kernel's pt_regs is 0 here as there."""
_RETURNING: Final = frozenset((UnitKind.RETURN, UnitKind.BRANCH))


@dataclass(frozen=True, slots=True)
class NativeSizes:
    """What a run decides, in bytes (`ring` a power of two, whole pages), and how many IDs of probes and how many
    numbers of sites there are. `shared`: several sites of the run have one address. `shard_bits`: there are
    1 << shard_bits copies of all counters.
    """

    probe_count: int
    number_count: int
    shared: bool
    ring: int
    aggregations: int
    dynamic: int
    shard_bits: int = 0


class Layout:
    """The regions that the modules of one run use, and what else they agree on. Grows as code is emitted.

    `scratch_size`: bytes of its own memory that a firing needs at most. `pool_bits` is asked when code unwinds stacks:
    how large the tables for it are.
    """

    def __init__(
        self,
        program: TypedProgram,
        stores: Mapping[str, Store],
        sizes: NativeSizes,
        pool_bits: Callable[[], int] = lambda: SMALLEST_POOL_BITS,
    ) -> None:
        self.program = program
        self.stores = stores
        self.sizes = sizes
        self.text_fields: list[ProbeField] = []
        self.pool = Constants()
        self._ask_pool_bits = pool_bits
        self.scratch_size = 0
        self.used: dict[str, None] = {}
        """The names of the regions, in the order of first use."""

    @cached_property
    def pool_bits(self) -> int:
        """The size of the pool that stacks are unwound by, asked for when code needs it first."""
        return self._ask_pool_bits()

    @property
    def scratch_bits(self) -> int:
        """A slot of the pool has 1 << scratch_bits bytes."""
        return max(self.scratch_size - 1, 63).bit_length()

    def text_field(self, field: ProbeField) -> int:
        """Return the place of a field in the table of site names, which it gets with its first use."""
        if field not in self.text_fields:
            self.text_fields.append(field)
        return self.text_fields.index(field)

    def shape(self, name: str) -> HashShape:
        """Return the shape of a hash, by its region's name."""
        if name == THREADS:
            size = self.program.thread_size
            return HashShape(max(self.sizes.dynamic // thread_cost(self.program), 1), 8, size)
        if name.startswith(ARRAY_PREFIX):
            array, size = named_array(name, self.program), self.program.string_size
            key_size, value_size = array_key_size(array, size), stored_size(array.type, size)
            return HashShape(max(self.sizes.dynamic // element_cost(array, size), 1), key_size, value_size)
        store_ = self.stores[name.removeprefix("@")]
        assert isinstance(store_, HashStore)
        value_size = 8 * cell_words(store_.aggregation)
        limit = max(self.sizes.aggregations // (store_.key_size + value_size), 1)
        return HashShape(limit, store_.key_size, value_size)

    def regions(self) -> Regions:
        """Lay out the regions. Comes when all code is emitted.

        Raises OSError where clauses need more memory of their own than there is.
        """
        if self.scratch_size > _SCRATCH_LIMIT:
            message = f"clauses need {self.scratch_size} bytes of memory for a firing"
            raise OSError(errno.E2BIG, message)
        sizes = {STATE: state_size(self.program)}
        sizes |= {name: self._region_size(name) for name in self.used if name not in (STATE, RECORDS)}
        sharded = frozenset(name for name in sizes if name == HITS or self._table(name) is not None)
        return lay_out(sizes, self.sizes.ring, sharded, self.sizes.shard_bits)

    def _table(self, name: str) -> TableStore | None:
        store_ = self.stores.get(name.removeprefix("@"))
        return store_ if isinstance(store_, TableStore) else None

    def _region_size(self, name: str) -> int:
        numbers = self.sizes.number_count
        fixed = {
            CONSTANTS: len(self.pool.contents()),
            NAMES: self.program.string_size * len(self.text_fields) * self.sizes.probe_count,
            UNITS: 4 * numbers,
            NEXT: 4 * numbers,
            HITS: 8 * numbers,
            PLACES: 8 * numbers,
            POOL: POOL_SLOTS << self.scratch_bits,
            TIDS: 8 << TIDS_BITS,
        }
        if name == UNWIND:
            return memory_size(self.pool_bits)
        if name in fixed:
            return fixed[name]
        table = self._table(name)
        if table is not None:
            return 8 * cell_words(table.aggregation) * table.slots
        return self.shape(name).size


class NativeMachine:
    """One module, whose code runs in one sort of place. `firings` are those of its functions, by name."""

    def __init__(self, layout: Layout, where: Where) -> None:
        self.module = ir.Module(name="dtrap")
        self.layout = layout
        self.where = where
        self.pool = layout.pool
        self.firings: dict[str, Firing] = {}
        self._numbers: dict[str, ir.GlobalVariable] = {}
        self._memory = ir.GlobalVariable(self.module, POINTER, MEMORY_POINTER)
        self._memory.initializer = ir.Constant(POINTER, None)

    @property
    def whole_registers(self) -> bool:
        """Whether some unit of the process reads more registers than arguments come in."""
        return any(firing.whole_registers for firing in self.firings.values())

    def begin(self, name: str, kind: UnitKind) -> tuple[ir.Function, Target]:
        """Add a unit's function, which returns nothing of interest."""
        firing: Firing
        match self.where:
            case Where.OUTSIDE:
                function = ir.Function(self.module, ir.FunctionType(I64, [I64, POINTER, I32, I32]), name)
                firing = OutsideFiring(self, kind is UnitKind.CONSUMER, *function.args)
            case Where.INSIDE:
                assert kind is not UnitKind.CONSUMER, name
                function = ir.Function(self.module, ir.FunctionType(I64, [I64] * 6), name)
                function.calling_convention = "preserve_mostcc"
                firing = InsideFiring(self, function.args)
        self.firings[name] = firing
        return function, _NativeTarget(self, kind, firing)

    def need_scratch(self, size: int) -> None:
        self.layout.scratch_size = max(self.layout.scratch_size, size)

    def stack_scratch(self, b: ir.IRBuilder) -> ir.Value:
        return stack_words(b, -(-self.layout.scratch_size // 8))

    def header(self, b: ir.IRBuilder) -> ir.Value:
        return b.load(self._memory, typ=POINTER)

    def region(self, b: ir.IRBuilder, name: str) -> ir.Value:
        """Return the pointer to a region. Where it is turns out when all code is emitted: see `settle`."""
        self.layout.used[name] = None
        return at(b, self.header(b), self.number(b, _PLACE + name))

    def number(self, b: ir.IRBuilder, name: str) -> ir.Value:
        if name not in self._numbers:
            place = ir.GlobalVariable(self.module, I64, name)
            place.linkage, place.global_constant = "internal", True
            self._numbers[name] = place
        return b.load(self._numbers[name], typ=I64)

    def settle(self, regions: Regions) -> None:
        """Make the code know where the regions are. Comes last."""
        shards = regions.shards
        known = {
            "scratch_bits": self.layout.scratch_bits,
            "shard_mask": (1 << shards.bits) - 1,
            "shard_bits": shards.stride_bits,
        }
        for name, number in self._numbers.items():
            is_place = name.startswith(_PLACE)
            value = regions.offset(name.removeprefix(_PLACE)) if is_place else known[name]
            number.initializer = constant(value)


def emit_hit(machine: NativeMachine, units: Sequence[Unit]) -> None:
    """Emit the function that a hit calls, which leads to the unit that the table of units has for the site, and to
    those of further sites at its address.

    Before and after it counts up, so that dtrap can tell whether a hit is under way.
    """
    function = ir.Function(machine.module, ir.FunctionType(VOID, [I64, POINTER, I32, I32]), HIT)
    b = ir.IRBuilder(function.append_basic_block("entry"))
    firings = at(b, machine.header(b), HEADER_FIRINGS)
    b.atomic_rmw("add", firings, constant(1), "seq_cst")
    entry, each, next_, done = b.block, *map(function.append_basic_block, ("each", "next", "done"))
    b.branch(each)
    b.position_at_end(each)
    number = b.phi(I64)
    number.add_incoming(function.args[0], entry)
    unit_number = b.load(at(b, machine.region(b, UNITS), b.shl(number, constant(2))), typ=I32)
    switch = b.switch(unit_number, next_)
    for place, unit in enumerate(units):
        if unit.kind is not UnitKind.CONSUMER:
            block = function.append_basic_block(unit.name)
            switch.add_case(ir.Constant(I32, place), block)
            b.position_at_end(block)
            b.call(machine.module.globals[unit.name], (number, *function.args[1:]))
            b.branch(next_)
    b.position_at_end(next_)
    if machine.layout.sizes.shared:
        following = b.load(at(b, machine.region(b, NEXT), b.shl(number, constant(2))), typ=I32)
        number.add_incoming(b.zext(following, I64), next_)
        b.cbranch(b.icmp_unsigned("!=", following, ir.Constant(I32, 0)), each, done)
    else:
        b.branch(done)
    b.position_at_end(done)
    b.atomic_rmw("add", at(b, machine.header(b), HEADER_FIRINGS), constant(1), "seq_cst")
    b.ret_void()


@dataclass(slots=True)
class _NativeTarget:
    """dlang.target.Target for one unit."""

    machine: NativeMachine
    kind: UnitKind
    firing: Firing
    _slots: dict[str, ir.Value] = field(default_factory=dict)
    _stack_copy: ir.Value | None = None

    def _call(self, b: ir.IRBuilder, name: str, *arguments: ir.Value) -> ir.Value:
        self.firing.uses.add(name)
        return b.call(runtime_function(self.machine.module, name), arguments)

    def _slot(self, b: ir.IRBuilder, name: str) -> ir.Value:
        """Return room for one word on the stack."""
        if name not in self._slots:
            with b.goto_entry_block():
                self._slots[name] = stack_words(b, 1)
        return self._slots[name]

    # --- the firing

    def site(self, b: ir.IRBuilder) -> ir.Value:
        if self.kind in _RETURNING:
            return b.and_(self._place(b), constant(PLACE_PROBE))
        return self.firing.site_number(b)

    def _place(self, b: ir.IRBuilder) -> ir.Value:
        """Return what the table of places has for the site."""
        number = self.firing.site_number(b)
        return load(b, at(b, self.machine.region(b, PLACES), b.shl(number, constant(3))))

    def leaves(self, b: ir.IRBuilder) -> ir.Value:
        condition = b.and_(b.lshr(self._place(b), constant(PLACE_CONDITION_SHIFT)), constant(CONDITIONS - 1))
        return is_taken(b, self.register(b, REGISTER_NUMBER["RFL"]), condition)

    def argument(self, b: ir.IRBuilder, number: int) -> ir.Value:
        if self.kind is UnitKind.CONSUMER:
            return self.firing.consumer_argument(b, number)
        if self.kind in _RETURNING:
            if number == 0:
                return b.ashr(self._place(b), constant(PLACE_OFFSET_SHIFT))
            return self.register(b, RESULT_REGISTERS[number]) if number in RESULT_REGISTERS else constant(0)
        if number < len(ARGUMENT_REGISTERS):
            return self.register(b, ARGUMENT_REGISTERS[number])
        # Behind the return address: System V ABI, AMD64 supplement, 3.2.3.
        place = self._slot(b, "argument")
        stack = self.register(b, REGISTER_NUMBER["RSP"])
        offset = 8 * (1 + number - len(ARGUMENT_REGISTERS))
        self.read_user(b, place, constant(8), b.add(stack, constant(offset)))
        return load(b, place)

    def register(self, b: ir.IRBuilder, index: int) -> ir.Value:
        if self.kind is UnitKind.CONSUMER or index > _LAST_REGISTER:
            return constant(0)
        return self.firing.register(b, index)

    def fact(self, b: ir.IRBuilder, fact: Fact) -> ir.Value:
        return self.firing.fact(b, fact)

    def ancestors(self, b: ir.IRBuilder) -> ir.Value:
        own = self.kind is UnitKind.CONSUMER
        return at(b, self.state(b), STATE_CONSUMER_ANCESTORS if own else STATE_TARGET_ANCESTORS)

    def command_name(self, b: ir.IRBuilder, destination: ir.Value) -> None:
        self.firing.command_name(b, destination)

    # --- memory

    def read_user(
        self, b: ir.IRBuilder, destination: ir.Value, size: ir.Value, address: ir.Value
    ) -> ir.Value:
        return self._call(b, "read_user", self.firing.process_to_read(b), destination, size, address)

    def read_user_string(
        self, b: ir.IRBuilder, destination: ir.Value, size: ir.Value, address: ir.Value
    ) -> ir.Value:
        return self._call(b, "read_user_string", self.firing.process_to_read(b), destination, size, address)

    def read_stack(self, b: ir.IRBuilder, place: ir.Value, address: ir.Value) -> ir.Value:
        """Read a word by way of a copy of the stack that lasts as long as the firing: a system call reads a piece."""
        if self._stack_copy is None:
            with b.goto_entry_block():
                self._stack_copy = stack_words(b, stack_copy_size(self.machine.where) // 8)
                store(b, 0, self._stack_copy)
                store(b, 0, self._stack_copy, 8)
        return self._call(b, "read_stack", self.firing.process_to_read(b), self._stack_copy, address, place)

    def unwind_tables(self, b: ir.IRBuilder) -> tuple[ir.Value, int]:
        return self.machine.region(b, UNWIND), self.machine.layout.pool_bits

    def write_user(self, b: ir.IRBuilder, address: ir.Value, size: ir.Value, source: ir.Value) -> ir.Value:
        return self._call(b, "write_user", self.firing.process_to_read(b), source, size, address)

    def send_signal(self, b: ir.IRBuilder, number: ir.Value) -> None:
        self._call(b, "send_signal", self.firing.process(b), self.firing.thread(b), number)

    def wake_consumer(self, b: ir.IRBuilder) -> None:
        """It looks every now and then, and libraries are loaded while it looks on."""

    def copy_string(self, b: ir.IRBuilder, destination: ir.Value, size: int, source: ir.Value) -> None:
        self._call(b, "copy_string", destination, constant(size), source)

    def copy_memory(self, b: ir.IRBuilder, destination: ir.Value, size: ir.Value, source: ir.Value) -> None:
        self._call(b, "copy_memory", destination, size, source)

    def constants(self, b: ir.IRBuilder) -> ir.Value:
        return self.machine.region(b, CONSTANTS)

    def state(self, b: ir.IRBuilder) -> ir.Value:
        return self.machine.region(b, STATE)

    def site_text(self, b: ir.IRBuilder, site: ir.Value, field: ProbeField) -> ir.Value:
        """Return a pointer into the names: for each field, in the order of first use, a table by site."""
        column = self.machine.layout.text_field(field)
        row = b.mul(site, constant(self.machine.layout.program.string_size))
        table = column * self.machine.layout.sizes.probe_count * self.machine.layout.program.string_size
        return at(b, at(b, self.machine.region(b, NAMES), table), row)

    def scratch(self, b: ir.IRBuilder) -> ir.Value:
        return self.firing.scratch(b)

    def release_scratch(self, b: ir.IRBuilder, scratch: ir.Value) -> None:
        self.firing.release_scratch(b, scratch)

    # --- hashes and tables

    def _hash(self, b: ir.IRBuilder, name: str, key: ir.Value) -> list[ir.Value]:
        """Return what every function on hashes wants to know."""
        shape = self.machine.layout.shape(name)
        mask, key_size, entry_size = map(constant, ((1 << shape.bits) - 1, shape.key_size, shape.entry_size))
        return [self.machine.region(b, name), mask, key_size, entry_size, key, self.machine.header(b)]

    def _made_dynamic(self, b: ir.IRBuilder, name: str, key: ir.Value, new: bytes, cost: int) -> ir.Value:
        """Return the value of a key that takes `cost` bytes of the room for dynamic variables; null: there is none."""
        limit = max(self.machine.layout.sizes.dynamic - cost, 0) + 1
        value = at(b, self.constants(b), self.machine.pool.place(new))
        used = at(b, self.state(b), STATE_DYNAMIC)
        return self._call(
            b, "hash_make", *self._hash(b, name, key), used, constant(cost), constant(limit), value
        )

    def _free_dynamic(self, b: ir.IRBuilder, name: str, key: ir.Value, cost: int) -> None:
        self._call(
            b, "hash_free", *self._hash(b, name, key), at(b, self.state(b), STATE_DYNAMIC), constant(cost)
        )

    def _thread_key(self, b: ir.IRBuilder) -> ir.Value:
        key = self._slot(b, "thread")
        store(b, b.or_(b.shl(self.firing.process(b), constant(32)), self.firing.thread(b)), key)
        return key

    def thread_block(self, b: ir.IRBuilder) -> ir.Value:
        return self._call(b, "hash_find", *self._hash(b, THREADS, self._thread_key(b)))

    def new_thread_block(self, b: ir.IRBuilder) -> ir.Value:
        program = self.machine.layout.program
        zeros = bytes(program.thread_size)
        return self._made_dynamic(b, THREADS, self._thread_key(b), zeros, thread_cost(program))

    def free_thread_block(self, b: ir.IRBuilder) -> None:
        self._free_dynamic(b, THREADS, self._thread_key(b), thread_cost(self.machine.layout.program))

    def find_element(self, b: ir.IRBuilder, array: AssociativeArray, key: ir.Value) -> ir.Value:
        return self._call(b, "hash_find", *self._hash(b, array_name(array), key))

    def make_element(self, b: ir.IRBuilder, array: AssociativeArray, key: ir.Value) -> ir.Value:
        string_size = self.machine.layout.program.string_size
        zeros = bytes(stored_size(array.type, string_size))
        return self._made_dynamic(b, array_name(array), key, zeros, element_cost(array, string_size))

    def free_element(self, b: ir.IRBuilder, array: AssociativeArray, key: ir.Value) -> None:
        cost = element_cost(array, self.machine.layout.program.string_size)
        self._free_dynamic(b, array_name(array), key, cost)

    def table_cell(self, b: ir.IRBuilder, aggregation: str, slot: ir.Value) -> ir.Value:
        size = 8 * cell_words(self.machine.layout.stores[aggregation].aggregation)
        first = at(b, self.machine.region(b, f"@{aggregation}"), b.mul(slot, constant(size)))
        return self.firing.counters(b, first)

    def hash_cell(self, b: ir.IRBuilder, aggregation: str, key: ir.Value) -> ir.Value:
        function = self.machine.layout.stores[aggregation].aggregation
        new = struct.pack(f"<{cell_words(function)}Q", *identity(function))
        name = f"@{aggregation}"
        used, limit = self.machine.region(b, name), constant(self.machine.layout.shape(name).limit)
        value = at(b, self.constants(b), self.machine.pool.place(new))
        return self._call(b, "hash_make", *self._hash(b, name, key), used, constant(1), limit, value)

    # --- records

    def _ring(self, b: ir.IRBuilder) -> list[ir.Value]:
        mask = constant(self.machine.layout.sizes.ring - 1)
        return [self.machine.header(b), self.machine.region(b, RECORDS), mask]

    def reserve_record(self, b: ir.IRBuilder, size: int) -> ir.Value:
        return self._call(b, "reserve_record", *self._ring(b), constant(size))

    def commit_record(self, b: ir.IRBuilder, record: ir.Value) -> None:
        self._call(b, "finish_record", *self._ring(b), record, constant(0))

    def discard_record(self, b: ir.IRBuilder, record: ir.Value) -> None:
        self._call(b, "finish_record", *self._ring(b), record, constant(RECORD_DISCARDED))

    def count_hit(self, b: ir.IRBuilder) -> None:
        place = b.shl(self.firing.site_number(b), constant(3))
        first = at(b, self.machine.region(b, HITS), place)
        add_atomically(b, self.firing.counters(b, first), constant(1))
