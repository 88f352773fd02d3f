"""The BPF machine: D's intrinsics as kernel helpers and maps. Hands the IR to emit.py and the maps to loader.py.

Programs name maps by their place in `BpfMachine.maps`; loader.py puts file descriptors there. Functions fired by
the traced process are KPROBE programs on uprobes (context: struct pt_regs); those fired by the consumer are
RAW_TRACEPOINT programs under BPF_PROG_TEST_RUN (context: eleven words, arg0 to arg9 and the site's number).
Helper numbers: include/uapi/linux/bpf.h.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from typing import Final

import llvmlite.ir as ir

from backend.errors import ProgramTooLarge
from backend.linux.bpf import MapFlag, MapKind, Update
from backend.uprobes.loader import PROGRAM_PREFIX, MapSpec
from dlang.aggregations import cell_words, identity
from dlang.branch_condition import CONDITIONS, is_taken
from dlang.builtins import REGISTER_NUMBER, RESULT_REGISTERS
from dlang.constants import Constants
from dlang.emit_ir import (
    I32,
    I64,
    POINTER,
    add_atomically,
    at,
    constant,
    extend,
    fetch_and_add,
    is_null,
    load,
    stack_words,
    store,
)
from dlang.frame import merge_words
from dlang.layout import (
    ARRAY_PREFIX,
    PLACE_CONDITION_SHIFT,
    PLACE_OFFSET_SHIFT,
    PLACE_PROBE,
    STATE_CONSUMER_ANCESTORS,
    STATE_DYNAMIC,
    STATE_TARGET_ANCESTORS,
    STATE_WALL_OFFSET,
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
from dlang.program import AssociativeArray, Fact, ProbeField, TypedProgram
from dlang.target import Target, UnitKind
from dlang.types import stored_size
from dlang.unwind_format import MISSED, SMALLEST_POOL_BITS, Missed, memory_size

CONTEXT_WORDS: Final = 11
"""Words that the consumer gives a program: arg0 to arg9, then the site's number."""
SCHED_SWITCH: Final = "sched_switch"
"""Section and raw tracepoint of the program that keeps threads' time on processors, for vtimestamp."""
EXECUTED: Final = "sched_process_exec"
"""Section and raw tracepoint of the program that says when the process has executed another one."""

_SCRATCH_SLOTS: Final = 8
"""Firings that can be under way on one processor at once: a thread that is preempted or sleeps inside a program
keeps its slot."""
_MOST_PER_PROCESSOR: Final = 32 << 10
"""Bytes of a value that each processor can have one of (PCPU_MIN_UNIT_SIZE: include/linux/percpu.h); cells of wide
distributions are larger, and shared."""
_LAST_SAVED_REGISTER: Final = 20
"""pt_regs holds the registers in the order of `uregs[]` up to SS; what follows there it does not have."""
_FORCE_WAKEUP: Final = 2
"""BPF_RB_FORCE_WAKEUP: include/uapi/linux/bpf.h."""
_RETURNING: Final = frozenset((UnitKind.RETURN, UnitKind.BRANCH))
_ARGUMENT_REGISTERS: Final = tuple(REGISTER_NUMBER[name] for name in ("RDI", "RSI", "RDX", "RCX", "R8", "R9"))


class Helper(IntEnum):
    """Kernel helper functions by number."""

    MAP_LOOKUP_ELEM = 1
    MAP_UPDATE_ELEM = 2
    MAP_DELETE_ELEM = 3
    KTIME_GET_NS = 5
    GET_SMP_PROCESSOR_ID = 8
    GET_CURRENT_PID_TGID = 14
    GET_CURRENT_UID_GID = 15
    GET_CURRENT_COMM = 16
    GET_CURRENT_TASK = 35
    PROBE_READ_USER = 112
    PROBE_READ_USER_STR = 114
    PROBE_READ_KERNEL = 113
    PROBE_READ_KERNEL_STR = 115
    SEND_SIGNAL_THREAD = 117
    GET_NS_CURRENT_PID_TGID = 120
    RINGBUF_RESERVE = 131
    RINGBUF_SUBMIT = 132
    RINGBUF_DISCARD = 133
    COPY_FROM_USER = 148
    GET_ATTACH_COOKIE = 174


@dataclass(frozen=True, slots=True)
class BpfOptions:
    """What a run decides: sizes in bytes (`buffer_size` a power of two pages), how many IDs of probes and how many
    numbers of sites there are, the pid
    namespace (device and inode) that `pid` and `tid` are told in, or None for the initial one, and whether programs
    on uprobes may sleep, which they need to read memory that is not there yet."""

    probe_count: int
    number_count: int
    buffer_size: int = 4 << 20
    aggregation_size: int = 4 << 20
    dynamic_size: int = 1 << 20
    pid_namespace: tuple[int, int] | None = None
    may_sleep: bool = False


class BpfMachine:
    """One module and the maps that its programs use. The first three maps are always there.

    `pool_bits` is asked when code unwinds stacks: how large the tables for it are.
    """

    STATE, CONSTANTS, RECORDS = range(3)

    def __init__(
        self,
        program: TypedProgram,
        stores: Mapping[str, Store],
        options: BpfOptions,
        pool_bits: Callable[[], int] = lambda: SMALLEST_POOL_BITS,
    ) -> None:
        self.module = ir.Module(name="dtrap")
        self.program = program
        self.stores = stores
        self.options = options
        self.text_fields: list[ProbeField] = []
        self.scratch_size = 0
        self.sleeping: set[str] = set()
        self.uses_ancestors = False
        self.pool = Constants()
        self._indices: dict[str, int] = {}
        self._ask_pool_bits = pool_bits

    @cached_property
    def pool_bits(self) -> int:
        """The size of the pool that stacks are unwound by, asked for when code needs it first."""
        return self._ask_pool_bits()

    def begin(self, name: str, kind: UnitKind) -> tuple[ir.Function, Target]:
        """Add a program in section `prog/NAME`."""
        function = ir.Function(self.module, ir.FunctionType(I64, [POINTER]), name)
        function.section = PROGRAM_PREFIX + name
        return function, _BpfTarget(self, kind, name, function.args[0])

    def need_scratch(self, size: int) -> None:
        self.scratch_size = max(self.scratch_size, size)

    def index(self, name: str) -> int:
        """Return the place of a map in `maps`, which it gets with its first use."""
        return self._indices.setdefault(name, self.RECORDS + 1 + len(self._indices))

    def text_field(self, field: ProbeField) -> int:
        """Return the place of a field in the table of site names, which it gets with its first use."""
        if field not in self.text_fields:
            self.text_fields.append(field)
        return self.text_fields.index(field)

    @property
    def uses_virtual_time(self) -> bool:
        return "on_cpu" in self._indices

    def map_index(self, name: str) -> int | None:
        """Return the place of a map that some program uses, else None."""
        return self._indices.get(name)

    def maps(self) -> tuple[MapSpec, ...]:
        """Return the maps that the programs emitted so far use, in their places."""
        constants = self.pool.contents()
        fixed = (
            MapSpec(MapKind.ARRAY, 4, state_size(self.program), 1, MapFlag.MMAPABLE, "state"),
            MapSpec(
                MapKind.ARRAY, 4, len(constants), 1, MapFlag.RDONLY_PROG, "constants", contents=constants
            ),
            MapSpec(MapKind.RINGBUF, 0, 0, self.options.buffer_size, name="records"),
        )
        return fixed + tuple(self._spec(name) for name in self._indices)

    def _spec(self, name: str) -> MapSpec:
        sparse = MapFlag.NO_PREALLOC
        size = self.program.string_size
        match name:
            case "scratch":
                if 8 + self.scratch_size > _MOST_PER_PROCESSOR:
                    strings = f"strings of {self.program.string_limit} bytes (option strsize)"
                    memory = f"{self.program.scratch_limit} bytes for copyin() (option scratchsize)"
                    raise ProgramTooLarge(f"{strings} and {memory} are more than a firing has memory for")
                return MapSpec(MapKind.PERCPU_ARRAY, 4, 8 + self.scratch_size, _SCRATCH_SLOTS, name=name)
            case "threads":
                entries = max(self.options.dynamic_size // thread_cost(self.program), 1)
                return MapSpec(MapKind.HASH, 8, self.program.thread_size, entries, sparse, name)
            case "hits":
                return MapSpec(MapKind.PERCPU_ARRAY, 4, 8, self.options.number_count, name=name)
            case "places":
                return MapSpec(MapKind.ARRAY, 4, 8, self.options.number_count, name=name)
            case "on_cpu":
                return MapSpec(MapKind.HASH, 8, 16, max(self.options.dynamic_size // 32, 1), sparse, name)
            case "unwind":
                return MapSpec(MapKind.ARRAY, 4, memory_size(self.pool_bits), 1, MapFlag.MMAPABLE, name)
            case "names":
                value_size = size * len(self.text_fields)
                return MapSpec(MapKind.ARRAY, 4, value_size, self.options.probe_count, name=name)
        if name.startswith(ARRAY_PREFIX):
            array = named_array(name, self.program)
            key_size, value_size = array_key_size(array, size), stored_size(array.type, size)
            entries = max(self.options.dynamic_size // element_cost(array, size), 1)
            return MapSpec(MapKind.HASH, key_size, value_size, entries, sparse, "array")
        match self.stores[name.removeprefix("@")]:
            case TableStore(aggregation=aggregation, slots=slots):
                value_size = 8 * cell_words(aggregation)
                kind = MapKind.PERCPU_ARRAY if value_size <= _MOST_PER_PROCESSOR else MapKind.ARRAY
                return MapSpec(kind, 4, value_size, slots, name="table")
            case HashStore(aggregation=aggregation, key_size=key_size):
                value_size = 8 * cell_words(aggregation)
                entries = max(self.options.aggregation_size // (key_size + value_size), 1)
                return MapSpec(MapKind.HASH, key_size, value_size, entries, sparse, "hash")


# --- calls --------------------------------------------------------------------------------------------------


def _call(b: ir.IRBuilder, helper: Helper, arguments: Sequence[ir.Value], result: ir.Type = I64) -> ir.Value:
    """Call a kernel helper: to LLVM a function at a small address."""
    function = constant(helper).inttoptr(POINTER)
    function.function_type = ir.FunctionType(result, [argument.type for argument in arguments])
    return b.call(function, arguments)


def _pseudo(b: ir.IRBuilder, kind: int, number: int) -> ir.Value:
    """Return LLVM's stand-in for a map (kind 1) or for the address of its only value (kind 2)."""
    intrinsic = b.module.globals.get("llvm.bpf.pseudo")
    if intrinsic is None:
        intrinsic = ir.Function(b.module, ir.FunctionType(I64, [I64, I64]), "llvm.bpf.pseudo")
    return b.inttoptr(b.call(intrinsic, [constant(kind), constant(number)]), POINTER)


@dataclass(slots=True)
class _BpfTarget:
    """dlang.target.Target for one BPF program."""

    machine: BpfMachine
    kind: UnitKind
    name: str
    context: ir.Value
    _slots: dict[str, ir.Value] = field(default_factory=dict)

    def _map(self, b: ir.IRBuilder, index: int) -> ir.Value:
        return _pseudo(b, 1, index)

    def _slot(self, b: ir.IRBuilder, name: str, words: int = 1) -> ir.Value:
        """Return room on the stack for an argument that a helper takes by address."""
        if name not in self._slots:
            with b.goto_entry_block():
                self._slots[name] = stack_words(b, words)
        return self._slots[name]

    def _lookup(self, b: ir.IRBuilder, index: int, key: ir.Value) -> ir.Value:
        return _call(b, Helper.MAP_LOOKUP_ELEM, [self._map(b, index), key], POINTER)

    def _lookup_number(self, b: ir.IRBuilder, index: int, number: ir.Value) -> ir.Value:
        """Look up an element of an array map."""
        key = self._slot(b, "index")
        b.store(b.trunc(number, I32), key)
        return self._lookup(b, index, key)

    # --- the firing

    def site(self, b: ir.IRBuilder) -> ir.Value:
        if self.kind is UnitKind.CONSUMER:
            return load(b, self.context, 8 * (CONTEXT_WORDS - 1))
        if self.kind in _RETURNING:
            return b.and_(self._place(b), constant(PLACE_PROBE))
        return self._number(b)

    def _number(self, b: ir.IRBuilder) -> ir.Value:
        """Return the number of the site, which was given with it when it was attached."""
        return _call(b, Helper.GET_ATTACH_COOKIE, [self.context])

    def _place(self, b: ir.IRBuilder) -> ir.Value:
        """Return what the table of places has for the site."""
        entry = self._lookup_number(b, self.machine.index("places"), self._number(b))
        before = b.block
        with b.if_then(b.not_(is_null(b, entry)), likely=True):
            word = load(b, entry)
            inside = b.block
        return merge_words(b, [(before, constant(0)), (inside, word)])

    def leaves(self, b: ir.IRBuilder) -> ir.Value:
        condition = b.and_(b.lshr(self._place(b), constant(PLACE_CONDITION_SHIFT)), constant(CONDITIONS - 1))
        return is_taken(b, self.register(b, REGISTER_NUMBER["RFL"]), condition)

    def argument(self, b: ir.IRBuilder, number: int) -> ir.Value:
        if self.kind is UnitKind.CONSUMER:
            return load(b, self.context, 8 * number)
        if self.kind is UnitKind.SAMPLE:
            return self._sampled(b, number)
        if self.kind in _RETURNING:
            if number == 0:
                return b.ashr(self._place(b), constant(PLACE_OFFSET_SHIFT))
            return self.register(b, RESULT_REGISTERS[number]) if number in RESULT_REGISTERS else constant(0)
        if number < len(_ARGUMENT_REGISTERS):
            return self.register(b, _ARGUMENT_REGISTERS[number])
        # Behind the return address: System V ABI, AMD64 supplement, 3.2.3.
        place = self._slot(b, "argument")
        store(b, 0, place)
        stack = self.register(b, REGISTER_NUMBER["RSP"])
        offset = 8 * (1 + number - len(_ARGUMENT_REGISTERS))
        # The stack's top is in memory: the caller has just written to it.
        _call(b, Helper.PROBE_READ_USER, [place, constant(8), b.add(stack, constant(offset))])
        return load(b, place)

    def _sampled(self, b: ir.IRBuilder, number: int) -> ir.Value:
        """Return where the processor was: arg0 in the kernel, arg1 in a process; the other one is 0."""
        if number > 1:
            return constant(0)
        place = load(b, self.context, 8 * REGISTER_NUMBER["RIP"])
        in_process = self._is_in_process(b)
        return b.select(in_process if number else b.not_(in_process), place, constant(0))

    def _is_in_process(self, b: ir.IRBuilder) -> ir.Value:
        """Say whether a sample's registers are a process's: by the privilege level in CS."""
        level = b.and_(load(b, self.context, 8 * REGISTER_NUMBER["CS"]), constant(3))
        return b.icmp_unsigned("!=", level, constant(0))

    def register(self, b: ir.IRBuilder, index: int) -> ir.Value:
        if self.kind is UnitKind.CONSUMER or index > _LAST_SAVED_REGISTER:
            return constant(0)
        if self.kind is UnitKind.SAMPLE:
            # The kernel's are nobody's business.
            return b.select(self._is_in_process(b), load(b, self.context, 8 * index), constant(0))
        return load(b, self.context, 8 * index)

    def fact(self, b: ir.IRBuilder, fact: Fact) -> ir.Value:
        match fact:
            case Fact.PID | Fact.TID:
                return self._process_or_thread(b, fact)
            case Fact.UID:
                return extend(b, _call(b, Helper.GET_CURRENT_UID_GID, []), 4, signed=False)
            case Fact.GID:
                return b.lshr(_call(b, Helper.GET_CURRENT_UID_GID, []), constant(32))
            case Fact.CPU:
                return extend(b, _call(b, Helper.GET_SMP_PROCESSOR_ID, []), 4, signed=False)
            case Fact.TIMESTAMP:
                return _call(b, Helper.KTIME_GET_NS, [])
            case Fact.WALLTIMESTAMP:
                offset = load(b, self.state(b), STATE_WALL_OFFSET)
                return b.add(_call(b, Helper.KTIME_GET_NS, []), offset)
            case Fact.VTIMESTAMP:
                return self._virtual_time(b)
            case Fact.PPID | Fact.PROBE_ID | Fact.ENABLING_ID:
                raise AssertionError(fact)

    def ancestors(self, b: ir.IRBuilder) -> ir.Value:
        self.machine.uses_ancestors |= self.kind is not UnitKind.CONSUMER
        own = self.kind is UnitKind.CONSUMER
        return at(b, self.state(b), STATE_CONSUMER_ANCESTORS if own else STATE_TARGET_ANCESTORS)

    def _process_or_thread(self, b: ir.IRBuilder, fact: Fact) -> ir.Value:
        namespace = self.machine.options.pid_namespace
        if namespace is None:
            both = _call(b, Helper.GET_CURRENT_PID_TGID, [])
            thread, process = extend(b, both, 4, signed=True), b.ashr(both, constant(32))
        else:
            place = self._slot(b, "pid")
            store(b, 0, place)
            device, inode = namespace
            arguments = [constant(device), constant(inode), place, ir.Constant(I32, 8)]
            _call(b, Helper.GET_NS_CURRENT_PID_TGID, arguments)
            both = load(b, place)
            thread, process = extend(b, both, 4, signed=True), b.ashr(both, constant(32))
        return process if fact is Fact.PID else thread

    def _virtual_time(self, b: ir.IRBuilder) -> ir.Value:
        """Time on processors since the thread's first look at this clock, which shows 1: 0 would be no time to the
        predicates of scripts (`self->start`). See `emit_sched_switch`.
        """
        now = _call(b, Helper.KTIME_GET_NS, [])
        key = self._slot(b, "task")
        store(b, _call(b, Helper.GET_CURRENT_TASK, []), key)
        index = self.machine.index("on_cpu")
        found = self._lookup(b, index, key)
        sources = []
        with b.if_else(is_null(b, found), likely=False) as (new, known):
            with new:
                value = self._slot(b, "on_cpu", 2)
                store(b, 1, value)
                store(b, now, value, 8)
                _call(b, Helper.MAP_UPDATE_ELEM, [self._map(b, index), key, value, constant(0)])
                sources.append((b.block, constant(1)))
            with known:
                total = b.add(load(b, found), b.sub(now, load(b, found, 8)))
                sources.append((b.block, total))
        return merge_words(b, sources)

    def command_name(self, b: ir.IRBuilder, destination: ir.Value) -> None:
        _call(b, Helper.GET_CURRENT_COMM, [destination, ir.Constant(I32, 16)])

    # --- memory

    def read_user(
        self, b: ir.IRBuilder, destination: ir.Value, size: ir.Value, address: ir.Value
    ) -> ir.Value:
        arguments = [destination, size, address]
        first = _call(b, Helper.PROBE_READ_USER, arguments)
        if not self._sleeps():
            return first
        before = b.block
        with b.if_then(b.icmp_signed("<", first, constant(0)), likely=False):
            again = _call(b, Helper.COPY_FROM_USER, arguments)
            inside = b.block
        return merge_words(b, [(before, first), (inside, again)])

    def read_user_string(
        self, b: ir.IRBuilder, destination: ir.Value, size: ir.Value, address: ir.Value
    ) -> ir.Value:
        arguments = [destination, size, address]
        first = _call(b, Helper.PROBE_READ_USER_STR, arguments)
        if not self._sleeps():
            return first
        before = b.block
        with b.if_then(b.icmp_signed("<", first, constant(0)), likely=False):
            # Touching the string's first and last page brings both in; the last need not exist.
            byte = self._slot(b, "touched")
            for place in (address, b.add(address, size)):
                _call(b, Helper.COPY_FROM_USER, [byte, constant(1), place])
            again = _call(b, Helper.PROBE_READ_USER_STR, arguments)
            inside = b.block
        return merge_words(b, [(before, first), (inside, again)])

    def read_stack(self, b: ir.IRBuilder, place: ir.Value, address: ir.Value) -> ir.Value:
        # The stack is in memory: nobody needs to sleep for it.
        return _call(b, Helper.PROBE_READ_USER, [place, constant(8), address])

    def unwind_tables(self, b: ir.IRBuilder) -> tuple[ir.Value, int]:
        return _pseudo(b, 2, self.machine.index("unwind")), self.machine.pool_bits

    def _sleeps(self) -> bool:
        """Say whether this program may sleep, and note that it wants to.

        The helpers that don't sleep can't read a page that the process has not touched yet: the string constant
        that it is just about to use, for one.
        """
        sleeps = self.kind not in (UnitKind.CONSUMER, UnitKind.SAMPLE) and self.machine.options.may_sleep
        if sleeps:
            self.machine.sleeping.add(self.name)
        return sleeps

    def write_user(
        self,
        b: ir.IRBuilder,  # noqa: ARG002 - nothing comes of it
        address: ir.Value,  # noqa: ARG002
        size: ir.Value,  # noqa: ARG002
        source: ir.Value,  # noqa: ARG002
    ) -> ir.Value:
        raise AssertionError("serving.py gives programs that write to the process to fasttrap")

    def send_signal(self, b: ir.IRBuilder, number: ir.Value) -> None:
        _call(b, Helper.SEND_SIGNAL_THREAD, [b.trunc(number, I32)])

    def copy_string(self, b: ir.IRBuilder, destination: ir.Value, size: int, source: ir.Value) -> None:
        _call(b, Helper.PROBE_READ_KERNEL_STR, [destination, constant(size), source])

    def copy_memory(self, b: ir.IRBuilder, destination: ir.Value, size: ir.Value, source: ir.Value) -> None:
        _call(b, Helper.PROBE_READ_KERNEL, [destination, size, source])

    def constants(self, b: ir.IRBuilder) -> ir.Value:
        return _pseudo(b, 2, BpfMachine.CONSTANTS)

    def state(self, b: ir.IRBuilder) -> ir.Value:
        return _pseudo(b, 2, BpfMachine.STATE)

    def site_text(self, b: ir.IRBuilder, site: ir.Value, field: ProbeField) -> ir.Value:
        entry = self._lookup_number(b, self.machine.index("names"), site)
        offset = self.machine.text_field(field) * self.machine.program.string_size
        before = b.block
        with b.if_then(b.not_(is_null(b, entry)), likely=True):
            text = at(b, entry, offset)
            inside = b.block
        return _merge_pointers(b, [(before, ir.Constant(POINTER, None)), (inside, text)])

    def _thread_key(self, b: ir.IRBuilder) -> ir.Value:
        key = self._slot(b, "thread")
        store(b, _call(b, Helper.GET_CURRENT_PID_TGID, []), key)
        return key

    def thread_block(self, b: ir.IRBuilder) -> ir.Value:
        return self._lookup(b, self.machine.index("threads"), self._thread_key(b))

    def new_thread_block(self, b: ir.IRBuilder) -> ir.Value:
        program = self.machine.program
        zeros = bytes(program.thread_size)
        index = self.machine.index("threads")
        return self._made_dynamic(b, index, self._thread_key(b), zeros, thread_cost(program))

    def _found_or_made(self, b: ir.IRBuilder, index: int, key: ir.Value, new: bytes) -> ir.Value:
        """Return an element of a hash, made with `new` as its value where it is missing; null: no room."""
        found = self._lookup(b, index, key)
        before = b.block
        with b.if_then(is_null(b, found), likely=False):
            value = at(b, self.constants(b), self.machine.pool.place(new))
            arguments = [self._map(b, index), key, value, constant(Update.NOEXIST)]
            _call(b, Helper.MAP_UPDATE_ELEM, arguments)
            made = self._lookup(b, index, key)
            inside = b.block
        return _merge_pointers(b, [(before, found), (inside, made)])

    def _made_dynamic(self, b: ir.IRBuilder, index: int, key: ir.Value, new: bytes, cost: int) -> ir.Value:
        """Return an element likewise; it takes `cost` bytes of the room for dynamic variables."""
        found = self._lookup(b, index, key)
        before = b.block
        with b.if_then(is_null(b, found), likely=False):
            used = fetch_and_add(b, at(b, self.state(b), STATE_DYNAMIC), constant(cost))
            most = constant(max(self.machine.options.dynamic_size - cost, 0))
            with b.if_else(b.icmp_unsigned(">", used, most), likely=False) as (full, room):
                with full:
                    self._give_back(b, cost)
                with room:
                    value = at(b, self.constants(b), self.machine.pool.place(new))
                    arguments = [self._map(b, index), key, value, constant(Update.NOEXIST)]
                    refused = _call(b, Helper.MAP_UPDATE_ELEM, arguments)
                    # By another processor that made it meanwhile, or for want of memory.
                    with b.if_then(b.icmp_unsigned("!=", refused, constant(0)), likely=False):
                        self._give_back(b, cost)
            made = self._lookup(b, index, key)
            inside = b.block
        return _merge_pointers(b, [(before, found), (inside, made)])

    def _free_dynamic(self, b: ir.IRBuilder, index: int, key: ir.Value, cost: int) -> None:
        missing = _call(b, Helper.MAP_DELETE_ELEM, [self._map(b, index), key])
        with b.if_then(b.icmp_unsigned("==", missing, constant(0))):
            self._give_back(b, cost)

    def _give_back(self, b: ir.IRBuilder, cost: int) -> None:
        add_atomically(b, at(b, self.state(b), STATE_DYNAMIC), constant(-cost))

    def free_thread_block(self, b: ir.IRBuilder) -> None:
        index = self.machine.index("threads")
        self._free_dynamic(b, index, self._thread_key(b), thread_cost(self.machine.program))

    def find_element(self, b: ir.IRBuilder, array: AssociativeArray, key: ir.Value) -> ir.Value:
        return self._lookup(b, self.machine.index(array_name(array)), key)

    def make_element(self, b: ir.IRBuilder, array: AssociativeArray, key: ir.Value) -> ir.Value:
        string_size = self.machine.program.string_size
        zeros = bytes(stored_size(array.type, string_size))
        index = self.machine.index(array_name(array))
        return self._made_dynamic(b, index, key, zeros, element_cost(array, string_size))

    def free_element(self, b: ir.IRBuilder, array: AssociativeArray, key: ir.Value) -> None:
        cost = element_cost(array, self.machine.program.string_size)
        self._free_dynamic(b, self.machine.index(array_name(array)), key, cost)

    # --- aggregations, records, scratch

    def table_cell(self, b: ir.IRBuilder, aggregation: str, slot: ir.Value) -> ir.Value:
        return self._lookup_number(b, self.machine.index(f"@{aggregation}"), slot)

    def hash_cell(self, b: ir.IRBuilder, aggregation: str, key: ir.Value) -> ir.Value:
        function = self.machine.stores[aggregation].aggregation
        new = struct.pack(f"<{cell_words(function)}Q", *identity(function))
        return self._found_or_made(b, self.machine.index(f"@{aggregation}"), key, new)

    def scratch(self, b: ir.IRBuilder) -> ir.Value:
        """Take the first slot of this processor that nobody has marked as taken; its mark is its first word."""
        index = self.machine.index("scratch")
        taken = b.append_basic_block("scratch_taken")
        sources: list[tuple[ir.Block, ir.Value]] = []
        for number in range(_SCRATCH_SLOTS):
            slot = self._lookup_number(b, index, constant(number))
            there = b.append_basic_block("slot")
            following = b.append_basic_block("next_slot")
            b.cbranch(is_null(b, slot), following, there)
            b.position_at_end(there)
            mark = b.extract_value(b.cmpxchg(slot, constant(0), constant(1), "monotonic", "monotonic"), 0)
            memory = at(b, slot, 8)
            sources.append((b.block, memory))
            b.cbranch(b.icmp_unsigned("==", mark, constant(0)), taken, following)
            b.position_at_end(following)
        sources.append((b.block, ir.Constant(POINTER, None)))
        b.branch(taken)
        b.position_at_end(taken)
        return _merge_pointers(b, sources)

    def release_scratch(self, b: ir.IRBuilder, scratch: ir.Value) -> None:
        store(b, 0, scratch, -8)

    def reserve_record(self, b: ir.IRBuilder, size: int) -> ir.Value:
        records = self._map(b, BpfMachine.RECORDS)
        return _call(b, Helper.RINGBUF_RESERVE, [records, constant(size), constant(0)], POINTER)

    def commit_record(self, b: ir.IRBuilder, record: ir.Value) -> None:
        _call(b, Helper.RINGBUF_SUBMIT, [record, constant(0)])

    def discard_record(self, b: ir.IRBuilder, record: ir.Value) -> None:
        _call(b, Helper.RINGBUF_DISCARD, [record, constant(0)])

    def wake_consumer(self, b: ir.IRBuilder) -> None:
        _wake_consumer(b)

    def count_hit(self, b: ir.IRBuilder) -> None:
        cell = self._lookup_number(b, self.machine.index("hits"), self._number(b))
        with b.if_then(b.not_(is_null(b, cell)), likely=True):
            # A thread may be preempted here, by another one that is hit.
            add_atomically(b, cell, constant(1))


def _wake_consumer(b: ir.IRBuilder) -> None:
    """Emit a record that is taken back at once; even so it wakes."""
    records = _pseudo(b, 1, BpfMachine.RECORDS)
    record = _call(b, Helper.RINGBUF_RESERVE, [records, constant(8), constant(0)], POINTER)
    with b.if_then(b.not_(is_null(b, record)), likely=True):
        _call(b, Helper.RINGBUF_DISCARD, [record, constant(_FORCE_WAKEUP)])


def _merge_pointers(b: ir.IRBuilder, sources: Sequence[tuple[ir.Block, ir.Value]]) -> ir.Value:
    phi = b.phi(POINTER)
    for block, pointer in sources:
        phi.add_incoming(pointer, block)
    return phi


# --- time on processors -------------------------------------------------------------------------------------


def emit_sched_switch(machine: BpfMachine) -> None:
    """Emit the raw tracepoint program that keeps the time of the threads that asked for vtimestamp.

    Its context is (preempt, previous task, next task). An entry, by task, is the time before the thread was last
    put on a processor, and when that was. Tasks that never asked have no entry.
    """
    function, target = machine.begin(SCHED_SWITCH, UnitKind.CONSUMER)
    assert isinstance(target, _BpfTarget)
    b = ir.IRBuilder(function.append_basic_block("entry"))
    index = machine.index("on_cpu")
    now = _call(b, Helper.KTIME_GET_NS, [])
    key = target._slot(b, "task")
    store(b, load(b, function.args[0], 8), key)
    previous = target._lookup(b, index, key)
    with b.if_then(b.not_(is_null(b, previous))):
        store(b, b.add(load(b, previous), b.sub(now, load(b, previous, 8))), previous)
        store(b, now, previous, 8)
    store(b, load(b, function.args[0], 16), key)
    following = target._lookup(b, index, key)
    with b.if_then(b.not_(is_null(b, following))):
        store(b, now, following, 8)
    b.ret(constant(0))


# --- another program ----------------------------------------------------------------------------------------


def emit_executed(machine: BpfMachine) -> None:
    """Emit the raw tracepoint program that says that no table for stacks holds any more, and wakes the consumer.

    It is for one process only: the loader puts a filter in front.
    """
    function, _ = machine.begin(EXECUTED, UnitKind.CONSUMER)
    b = ir.IRBuilder(function.append_basic_block("entry"))
    store(b, Missed.ALL, _pseudo(b, 2, machine.index("unwind")), MISSED)
    _wake_consumer(b)
    b.ret(constant(0))
