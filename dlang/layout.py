"""Where things lie in the memory that compiled clauses and the consumer share. Pure numbers.

One *state block* for the run: flags, clocks, drop counters, then D's global variables. One *cell store* for
each aggregation: a table, where the keys are known from statement and site, else a hash. Records are laid out
by check_action.py; what they begin with is here.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from dlang.aggregations import Aggregation, Key, KeyValue, cell_words
from dlang.items import ProbeName
from dlang.notices import Drop, Loss
from dlang.program import (
    Aggregate,
    AssociativeArray,
    Constant,
    ProbeField,
    ProbeText,
    Scope,
    StringConstant,
    TypedProgram,
    Value,
    is_known_from_site,
)
from dlang.types import IntegerType, StackType, StringType, is_bytes, size_of, stored_size, wrap

# --- the state block ----------------------------------------------------------------------------------------

STATE_STOPPED: Final = 0
"""Nonzero once exit() was called: later clauses do not run."""
STATE_WALL_OFFSET: Final = 8
"""Nanoseconds to add to the monotonic clock for the time since 1970."""
STATE_RANDOM: Final = 16
"""The state of rand(); the engine begins with a number nobody can guess."""
STATE_DYNAMIC: Final = 24
"""Bytes that thread-local variables and elements of associative arrays take together; option dynvarsize bounds them."""
ANCESTORS: Final = 32
STATE_TARGET_ANCESTORS: Final = 32
STATE_CONSUMER_ANCESTORS: Final = STATE_TARGET_ANCESTORS + 8 * ANCESTORS
"""Process ids of the parent and whom it descends from, of the traced process and of the consumer; zeros behind."""
STATE_DROPS: Final = STATE_CONSUMER_ANCESTORS + 8 * ANCESTORS
DROPS: Final = (Drop.DYNAMIC, Drop.DBLERROR, Drop.SPECBUSY, Drop.SPECUNAVAIL)
"""The kinds of loss that clauses count, 8 bytes each from STATE_DROPS on."""
DROPS_BY_CPU: Final = (Drop.PRINCIPAL, Drop.AGGREGATION)
"""Those that they count by processor, DROP_CPUS times 8 bytes for each kind, behind the others."""
DROP_CPUS: Final = 1024
"""A power of two; a machine with more has several processors share a count."""
STATE_DROPS_BY_CPU: Final = STATE_DROPS + 8 * len(DROPS)
STATE_VARIABLES: Final = STATE_DROPS_BY_CPU + 8 * DROP_CPUS * len(DROPS_BY_CPU)


def state_size(program: TypedProgram) -> int:
    """Return the size of the state block in bytes."""
    # A text that a pointer leads to is read as far as texts go.
    behind = program.string_size if Scope.GLOBAL in program.pointed else 0
    return STATE_VARIABLES + program.globals_size + 8 * program.speculations + behind


SPECULATION_FREE: Final = 0
SPECULATION_ACTIVE: Final = 1
SPECULATION_ENDING: Final = 2
"""A speculation's word: what commit() or discard() have ended is not free before the consumer has seen to it."""


def speculation_offset(program: TypedProgram, number: int) -> int:
    """Return the place of a speculation's word in the state block; numbers begin with 1."""
    return STATE_VARIABLES + program.globals_size + 8 * (number - 1)


def thread_cost(program: TypedProgram) -> int:
    """Return the bytes of the dynamic variables' room that the variables of a thread take."""
    return program.thread_size + 16


def element_cost(array: AssociativeArray, string_size: int) -> int:
    """Return the bytes of the dynamic variables' room that an element takes, its key included."""
    return array_key_size(array, string_size) + stored_size(array.type, string_size)


def drop_offset(drop: Drop) -> int:
    """Return the place of a kind's count in the state block, or of the first of its counts by processor."""
    if drop in DROPS_BY_CPU:
        return STATE_DROPS_BY_CPU + 8 * DROP_CPUS * DROPS_BY_CPU.index(drop)
    return STATE_DROPS + 8 * DROPS.index(drop)


def losses(words: memoryview) -> dict[Loss, int]:
    """Return what has been lost, by a state block: its 64-bit words, of which more may follow."""
    found = {Loss(drop): count for drop in DROPS if (count := words[drop_offset(drop) >> 3])}
    for drop in DROPS_BY_CPU:
        first = drop_offset(drop) >> 3
        by_cpu = words[first : first + DROP_CPUS].tolist()
        found |= {Loss(drop, cpu): count for cpu, count in enumerate(by_cpu) if count}
    return found


# --- sites of returns ---------------------------------------------------------------------------------------

PLACE_PROBE: Final = (1 << 28) - 1
PLACE_CONDITION_SHIFT: Final = 28
PLACE_OFFSET_SHIFT: Final = 32
"""In the word that the clauses of a return find by the site's number: the ID of its probe; the condition code of the
jump that it is; and its offset in the function, signed."""


def place_word(probe: int, offset: int, condition: int) -> int:
    """Return that word."""
    assert probe <= PLACE_PROBE, probe
    return (offset & 0xFFFFFFFF) << PLACE_OFFSET_SHIFT | condition << PLACE_CONDITION_SHIFT | probe


# --- faults -------------------------------------------------------------------------------------------------

ERROR_SITE: Final = 3
"""The number of ERROR, which clauses that fail fire themselves."""

FAULT_MARK: Final = 1 << 31
"""Set in a record's enabling number where the record reports a fault: then fault, address and place follow."""
FAULT_RECORD_SIZE: Final = 48

SCRATCH_POINTER: Final = 0xFFFFE800_00000000
"""What D pointers to a firing's own memory start at: no process and no kernel has memory there."""
GLOBAL_POINTER: Final = 0xFFFFEA00_00000000
CLAUSE_POINTER: Final = 0xFFFFEC00_00000000
"""What D pointers to global and clause-local variables start at."""
RECORDED_LIMIT: Final = 4096
"""Bytes of memory that tracemem() or print() can record."""


def memory_room(program: TypedProgram) -> int:
    """Return the bytes of what copyin() and alloca() can take in a clause, as a power of two, which masks them."""
    return 1 << max(program.scratch_limit - 1, 7).bit_length()


# --- associative arrays -------------------------------------------------------------------------------------


def array_key_size(array: AssociativeArray, string_size: int) -> int:
    """Return the bytes of an array's keys, after the thread's number where the array is thread-local."""
    thread = 8 if array.scope is Scope.THREAD else 0
    return thread + sum(stored_size(key, string_size) for key in array.key_types)


ARRAY_PREFIX: Final = "["
"""What the name of an associative array's memory begins with; then comes the array's number."""


def array_name(array: AssociativeArray) -> str:
    return f"{ARRAY_PREFIX}{array.number}"


def named_array(name: str, program: TypedProgram) -> AssociativeArray:
    """Return the array whose memory has that name."""
    return program.arrays[int(name.removeprefix(ARRAY_PREFIX))]


# --- aggregations -------------------------------------------------------------------------------------------

TABLE_LIMIT: Final = 64 << 20
"""Bytes of cells above which an aggregation with constant keys uses a hash all the same."""


@dataclass(frozen=True, slots=True)
class TableStore:
    """Cells in an array. Statement s has the slot `fixed[s]`, or `sites[s] + site * stride`."""

    aggregation: Aggregation
    fixed: Mapping[int, int]
    sites: Mapping[int, int]
    stride: int
    slots: int

    def slots_for(self, site_count: int) -> int:
        """Return how many slots, from the first on, so many sites may have used."""
        return min(self.slots, len(self.fixed) + site_count * self.stride)

    def slot_owner(self, slot: int) -> tuple[int, int | None]:
        """Return the statement and the site (None for a fixed key) that a slot belongs to."""
        for statement, own in self.fixed.items():
            if own == slot:
                return statement, None
        first = len(self.fixed)
        site, place = divmod(slot - first, self.stride)
        return next(number for number, own in self.sites.items() if own == first + place), site


@dataclass(frozen=True, slots=True)
class HashStore:
    """Cells in a hash. A key is the statement's number, the site's where the keys need it (else 0), 8 bytes
    each, then the keys known at run time only: integers of 8 bytes, strings of `string_size`; zeros behind."""

    aggregation: Aggregation
    key_size: int


Store = TableStore | HashStore


def runtime_keys(aggregate: Aggregate) -> tuple[Value, ...]:
    """Return the keys that are part of a hash key."""
    return tuple(key for key in aggregate.keys if not is_known_from_site(key))


def needs_site(aggregate: Aggregate) -> bool:
    return any(isinstance(key, ProbeText) for key in aggregate.keys)


def stores(program: TypedProgram, site_count: int) -> dict[str, Store]:
    """Return each aggregation's store by the aggregation's name."""
    found: dict[str, Store] = {}
    for aggregation in program.aggregations:
        statements = [item for item in program.aggregates if item.aggregation.name == aggregation.name]
        found[aggregation.name] = _store(aggregation, statements, site_count, program.string_size)
    return found


def _store(
    aggregation: Aggregation, statements: Sequence[Aggregate], site_count: int, string_size: int
) -> Store:
    fixed = [item.number for item in statements if not needs_site(item)]
    by_site = [item.number for item in statements if needs_site(item)]
    slots = len(fixed) + site_count * len(by_site)
    constant = all(not runtime_keys(item) for item in statements)
    if constant and slots * 8 * cell_words(aggregation) <= TABLE_LIMIT:
        return TableStore(
            aggregation,
            fixed={number: slot for slot, number in enumerate(fixed)},
            sites={number: len(fixed) + place for place, number in enumerate(by_site)},
            stride=len(by_site),
            slots=max(slots, 1),
        )
    sizes = [sum(stored_size(key.type, string_size) for key in runtime_keys(item)) for item in statements]
    return HashStore(aggregation, 16 + max(sizes, default=0))


def key_bytes(key: Value, string_size: int) -> int:
    return stored_size(key.type, string_size)


def decode_key(
    aggregate: Aggregate, site: int | None, raw: bytes, names: Sequence[ProbeName], string_size: int
) -> Key:
    """Return the key tuple of an entry; `raw` holds its run-time keys, `names` each site's probe."""
    values: list[KeyValue] = []
    position = 0
    for key in aggregate.keys:
        match key:
            case Constant(value=number, type=type_):
                values.append(wrap(number, type_) if isinstance(type_, IntegerType) else number)
            case StringConstant(value=text):
                values.append(text)
            case ProbeText(field=field):
                assert site is not None
                values.append(probe_text(names[site], field).encode("utf-8", "surrogateescape"))
            case _:
                size = stored_size(key.type, string_size)
                values.append(decode_value(key, raw[position : position + size]))
                position += size
    return tuple(values)


def stack_of(raw: bytes) -> bytes:
    """Return the frames of a stack without the zeros behind the last one."""
    frames = len(raw) // 8
    while frames and raw[8 * frames - 8 : 8 * frames] == bytes(8):
        frames -= 1
    return raw[: 8 * frames]


def decode_value(value: Value, raw: bytes) -> KeyValue:
    """Return what the bytes of a value mean for its type."""
    match value.type:
        case StringType():
            return raw.split(b"\0", 1)[0]
        case StackType():
            return stack_of(raw)
        case type_ if is_bytes(type_):
            return raw[: size_of(type_, 0)]
    (number,) = struct.unpack("<Q", raw)
    return wrap(number, value.type) if isinstance(value.type, IntegerType) else int(number)


def probe_text(name: ProbeName, field: ProbeField) -> str:
    """Return a field of a probe's name."""
    match field:
        case ProbeField.PROVIDER:
            return name.provider
        case ProbeField.MODULE:
            return name.module
        case ProbeField.FUNCTION:
            return name.function
        case ProbeField.NAME:
            return name.name


_LEAST_BUFFER: Final = 60
"""The fewest bytes of option bufsize that DTrace takes: its header of a record, and what exit() records."""
_LEAST_CELL: Final = 16
"""The fewest bytes of an aggregation or an element of an array: a word for its key and one for its value."""


def exceeds_buffers(program: TypedProgram, bufsize: int, aggsize: int, dynvarsize: int) -> bool:
    """Say whether a buffer has no room for a single record, aggregation or variable of the program."""
    return (
        bufsize < max(_LEAST_BUFFER, *(clause.record_size for clause in program.clauses), 0)
        or bool(program.aggregations and aggsize < _LEAST_CELL)
        or bool(program.arrays and dynvarsize < _LEAST_CELL)
    )
