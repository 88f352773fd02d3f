"""One plan's clauses as native code over shared memory: compiled in dtrap, run there and in the tracer.

A hit runs its clauses in the tracer's process (`Clauses.hit`), BEGIN, END and ticks run in dtrap's, at the
same time; both see one memory. It is in a memfd, so that it survives whoever else has it: the tracer, killed
at any instruction, leaves nothing in it that dtrap would wait for. This is all that backend.engine.Engine asks
for but placing probes, which is the rest of this folder's. The code is target.py's and runtime.py's.
"""

from __future__ import annotations

import mmap
import os
import select
import threading
import time
from array import array
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import pairwise
from types import TracebackType
from typing import TYPE_CHECKING, Final

from backend import emit
from backend.ancestors import ancestor_words
from backend.engine import NO_HURRY_NS, Plan
from backend.errors import CannotInject
from backend.fasttrap.cells import Atomic, CellStore, NativeCells
from backend.fasttrap.in_target import Installed, install
from backend.fasttrap.inject import Gate
from backend.fasttrap.inside import InsideCode, compile_inside
from backend.fasttrap.records import RecordQueue
from backend.fasttrap.regions import (
    CONSTANTS,
    HEADER_EVENT_FD,
    HEADER_SEED,
    HITS,
    NAMES,
    NEXT,
    PLACES,
    RECORDS,
    STATE,
    UNITS,
    UNWIND,
    Regions,
)
from backend.fasttrap.runtime import EXPORTED, Where, assembly
from backend.fasttrap.target import HIT, Layout, NativeMachine, NativeSizes, emit_hit
from backend.fasttrap.tracee import Memory
from backend.linux.native_call import native_function
from backend.linux.shared_memory import SharedMemory
from backend.linux.timer import Timer
from backend.object_cache import compiled
from backend.probes import Probe
from backend.site_table import Sites
from dlang.aggregation_store import EngineRequest
from dlang.aggregations import WORD_MASK, Aggregation, Cell, Key
from dlang.layout import (
    SPECULATION_FREE,
    STATE_RANDOM,
    STATE_WALL_OFFSET,
    HashStore,
    losses,
    probe_text,
    speculation_offset,
    stores,
)
from dlang.lower import lower
from dlang.notices import Loss
from dlang.target import UnitKind
from dlang.unwind_format import SMALLEST_POOL_BITS
from scratch.trampoline import SHARDS_BITS

if TYPE_CHECKING:
    from backend.stack_tables import ProcessRows, StackTables

_LOOK_EVERY_NS: Final = 20_000_000
_CONTEXT_WORDS: Final = 10
"""arg0 to arg9 of a consumer's probe."""


@dataclass(frozen=True, slots=True)
class NativeOptions:
    """Sizes in bytes, as DTrace's options bufsize, aggsize and dynvarsize give them. `inside`: clauses are compiled
    for the traced process as well as for the tracer.
    """

    buffer_size: int = 4 << 20
    aggregation_size: int = 4 << 20
    dynamic_size: int = 1 << 20
    inside: bool = False


@dataclass(frozen=True, slots=True)
class Descriptors:
    """The files that dtrap and the tracer share by number: made before the tracer is forked, closed on exit.

    `memory` is a memfd, empty at first; `event` the eventfd that says that there are records.
    """

    memory: int
    event: int

    @classmethod
    def open(cls) -> Descriptors:
        """Make both; no program that is started later gets them."""
        memory = os.memfd_create("dtrap", os.MFD_CLOEXEC)
        try:
            event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        except OSError:
            os.close(memory)
            raise
        return cls(memory, event)

    def __enter__(self) -> Descriptors:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self.memory)
        os.close(self.event)


@dataclass(frozen=True, slots=True)
class Image:
    """Compiled clauses on their way to a process that was forked after `descriptors` were opened.

    Plain values. `whole_registers`: clauses read more registers than rip. `inside`: the same clauses for the traced
    process, if they were asked for.
    """

    code: bytes
    descriptors: Descriptors
    regions: Regions
    whole_registers: bool
    inside: InsideCode | None


class Clauses:
    """An image in this process: its memory mapped, its code executable, until exit of the context.

    `whole_registers`: see Image.
    """

    def __init__(self, image: Image) -> None:
        regions = image.regions
        self.memory = SharedMemory(image.descriptors.memory, regions.size, regions.places[RECORDS][1])
        try:
            self.code = emit.NativeCode(image.code)
        except BaseException:
            self.memory.close()
            raise
        self.whole_registers = image.whole_registers
        self._image = image
        native_function(self.code.address("place_memory"), 1)(self.memory.address)

    @property
    def hit(self) -> int:
        """The address of `void hit(uint64_t site, struct user_regs_struct *, uint32_t pid, uint32_t tid)`.

        `site` is the number of the site, of the first one of its address; rip is this address, and thread `tid` of
        process `pid` is stopped there. Also good in processes forked from this one while this context lasts.
        """
        return self.code.address(HIT)

    def install(self, tid: int, gate: Gate, memory: Memory, /) -> Installed:
        """See jump_arming.ClausesForTarget, and in_target.install."""
        if self._image.inside is None:
            raise CannotInject(tid, "these clauses run in the tracer only")
        return install(tid, gate, memory, self._image.inside, self._image.regions, self.memory)

    def __enter__(self) -> Clauses:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.code.close()
        self.memory.close()


class NativeProgram:
    """The consumer's side. `pid` is the traced process, None where the plan has no sites; `rows` are what its stacks
    are unwound by. `shared`: see Sites.sharing.

    Making one compiles the clauses; raises OSError where there is no memory for them.
    """

    def __init__(
        self,
        plan: Plan,
        pid: int | None,
        options: NativeOptions,
        descriptors: Descriptors,
        rows: ProcessRows | None = None,
    ) -> None:
        self._plan = plan
        self._pid = pid
        self._tables: StackTables | None = None
        ring_size = max(mmap.PAGESIZE, 1 << (options.buffer_size - 1).bit_length())
        self.shared = plan.sites.sharing()
        sizes = NativeSizes(
            probe_count=plan.name_room,
            number_count=plan.number_room,
            shared=bool(self.shared) or plan.may_grow,
            ring=ring_size,
            aggregations=options.aggregation_size,
            dynamic=options.dynamic_size,
            shard_bits=SHARDS_BITS if options.inside else 0,
        )
        pool_bits = (lambda: SMALLEST_POOL_BITS) if rows is None else rows.pool_bits
        layout = Layout(plan.program, stores(plan.program, plan.name_room), sizes, pool_bits)
        machine = NativeMachine(layout, Where.OUTSIDE)
        lower(plan.program, plan.units, layout.stores, machine)
        emit_hit(machine, plan.units)
        within = NativeMachine(layout, Where.INSIDE) if options.inside else None
        if within is not None:
            own = [unit for unit in plan.units if unit.kind is not UnitKind.CONSUMER]
            lower(plan.program, own, layout.stores, within)
        regions = layout.regions()
        machine.settle(regions)
        inside = None
        if within is not None:
            within.settle(regions)
            inside = compile_inside(within, plan, regions)
        exported = (HIT, *EXPORTED, *(unit.name for unit in plan.units))
        support = assembly(Where.OUTSIDE)
        code = compiled(
            "x86-64",
            f"{machine.module}{support}",
            lambda: emit.native_object(machine.module, support, exported),
        )
        self.image = Image(code, descriptors, regions, machine.whole_registers, inside)
        self._timer: Timer | None = None
        with ExitStack() as stack:
            self.clauses = stack.enter_context(Clauses(self.image))
            self._poll = stack.enter_context(select.epoll())
            self._begin(layout, regions)
            self._make_tables(layout, regions, rows)
            self.refresh()
            self._stack = stack.pop_all()

    def _begin(self, layout: Layout, regions: Regions) -> None:
        """Write what clauses find in the memory, and take up the consumer's part."""
        descriptors = self.image.descriptors
        address = self.clauses.code.address
        atomic = Atomic(native_function(address("exchange"), 2), native_function(address("add"), 2))
        self._state = regions.offset(STATE)
        self._hits = regions.copies(HITS) if HITS in regions.places else range(0)
        self._write_header(descriptors.event)
        self._regions, self._text_fields = regions, tuple(layout.text_fields)
        if CONSTANTS in regions.places:
            self._write(regions, CONSTANTS, layout.pool.contents())
        self._write_names(0)
        self._write_sites(self._plan.sites)
        self._records = RecordQueue(
            self.clauses.memory,
            *regions.places[RECORDS],
            descriptors.event,
            atomic.exchange,
        )
        self._poll.register(self._records.fileno(), select.EPOLLIN)
        self._cells = NativeCells(self._plan, _cell_stores(layout, regions), self.clauses.memory, atomic)
        self._set_word(STATE_RANDOM, int.from_bytes(os.urandom(8), "little"))

    def _make_tables(self, layout: Layout, regions: Regions, rows: ProcessRows | None) -> None:
        """Write the tables that stacks are unwound by, where clauses ask for stacks."""
        if rows is None or UNWIND not in regions.places:
            return
        from backend.stack_tables import StackTables

        offset, size = regions.places[UNWIND]
        memory = self.clauses.memory.bytes[offset : offset + size]
        self._tables = StackTables(rows, memory, layout.pool_bits)

    @property
    def unwinds(self) -> bool:
        """Whether clauses unwind stacks, for which tables must be kept up to date."""
        return self._tables is not None

    def __enter__(self) -> NativeProgram:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._tables is not None:
            self._tables.close()
        self._stack.close()

    # --- what clauses find in the memory

    def _write_header(self, event_fd: int) -> None:
        words = self.clauses.memory.words
        words[HEADER_SEED >> 3] = int.from_bytes(os.urandom(8), "little")
        words[HEADER_EVENT_FD >> 3] = event_fd

    def extend(self, sites: Sites, first_name: int) -> None:
        """Write what is known of sites that the plan has got since, and of names from `first_name` on."""
        # Code that the program has made may be where other code was.
        for place in range(len(sites)):
            self.shared.pop(sites.address(place), None)
        self.shared |= sites.sharing()
        self._cells.make_room()
        self._write_names(first_name)
        self._write_sites(sites)

    def _write_sites(self, sites: Sites) -> None:
        """Write what is known of sites by their numbers."""
        regions, plan = self._regions, self._plan
        self._write(regions, UNITS, plan.unit_of.tobytes())
        if PLACES in regions.places:
            for number, word in plan.places(sites):
                self._write(regions, PLACES, word.to_bytes(8, "little"), 8 * number)
        if NEXT in regions.places:
            for numbers in sites.sharing().values():
                for number, after in pairwise(numbers):
                    self._write(regions, NEXT, after.to_bytes(4, "little"), 4 * number)

    def _write_names(self, first: int) -> None:
        """Write the names that clauses read as strings, from a number on."""
        if NAMES not in self._regions.places:
            return
        size, limit = self._plan.program.string_size, self._plan.program.string_limit
        names = self._plan.names[first:]
        for column, field in enumerate(self._text_fields):
            texts = (probe_text(name, field).encode("utf-8", "surrogateescape") for name in names)
            contents = b"".join(text[: limit - 1].ljust(size, b"\0") for text in texts)
            self._write(self._regions, NAMES, contents, size * (column * self._plan.name_room + first))

    def _write(self, regions: Regions, name: str, contents: bytes, at: int = 0) -> None:
        offset = regions.offset(name) + at
        self.clauses.memory.bytes[offset : offset + len(contents)] = contents

    # --- backend.engine.Engine

    def fire(self, probe: Probe, arguments: Sequence[int] = ()) -> None:
        """Run the clauses of BEGIN, END or a tick, in this process; `arguments` are arg0 and following."""
        unit = self._plan.unit(probe.id)
        if unit is None:
            return
        assert unit.kind is UnitKind.CONSUMER, unit.name
        words = (*arguments, *[0] * (_CONTEXT_WORDS - len(arguments)))
        context = array("Q", (word & WORD_MASK for word in words))
        function = native_function(self.clauses.code.address(unit.name), 4)
        function(probe.id, context.buffer_info()[0], os.getpid(), threading.get_native_id())

    def move_to(self, path: str) -> None:
        """Go over to the memory in this file, in which the traced process runs clauses from now on.

        It tells nobody of records; we look for them by ourselves.
        """
        moved = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self.clauses.memory.move_to(moved)
        os.close(moved)
        self._cells.keeps_entries = True
        if self._timer is None:
            self._timer = self._stack.enter_context(closing(Timer(_LOOK_EVERY_NS)))
            self._poll.register(self._timer.fileno(), select.EPOLLIN)

    def fileno(self) -> int:
        return self._poll.fileno()

    @property
    def patience_ns(self) -> int:
        return NO_HURRY_NS if self._tables is None else self._tables.patience_ns

    def drain(self, limit: int) -> list[bytes]:
        if self._tables is not None:
            self._tables.refresh_if_missed()
        if self._timer is not None:
            self._timer.take()
        return self._records.drain(limit)

    def abandon_unfinished(self) -> None:
        """Give up records that the tracer was writing when it was killed: those behind them wait for them."""
        self._records.abandon_unfinished()

    def snapshot(self, aggregation: Aggregation) -> dict[Key, Cell]:
        return self._cells.snapshot(aggregation)

    def carry_out(self, request: EngineRequest) -> None:
        self._cells.carry_out(request)

    def free_speculation(self, number: int) -> None:
        self._set_word(speculation_offset(self._plan.program, number), SPECULATION_FREE)

    def dropped(self) -> Mapping[Loss, int]:
        return losses(self.clauses.memory.words[self._state >> 3 :])

    def hits(self) -> dict[int, int]:
        """Return the hits of each site that was hit, by its number; none where the plan doesn't count them."""
        found: dict[int, int] = {}
        for offset in self._hits:
            first = offset >> 3
            counts = self.clauses.memory.words[first : first + self._plan.numbers].tolist()
            for number, count in enumerate(counts):
                if count:
                    found[number] = found.get(number, 0) + count
        return found

    def refresh(self) -> None:
        if self._tables is not None:
            self._tables.refresh()
        self._set_word(STATE_WALL_OFFSET, time.time_ns() - time.monotonic_ns())
        for offset, ancestor in ancestor_words(self._pid):
            self._set_word(offset, ancestor)

    def _set_word(self, offset: int, value: int) -> None:
        self.clauses.memory.words[self._state + offset >> 3] = value & WORD_MASK


def _cell_stores(layout: Layout, regions: Regions) -> dict[str, CellStore]:
    """Return the stores of the aggregations that some clause uses."""
    found = {}
    for name, store in layout.stores.items():
        region = f"@{name}"
        if region in regions.places:
            shape = layout.shape(region) if isinstance(store, HashStore) else None
            found[name] = CellStore(store, regions.copies(region), shape)
    return found
