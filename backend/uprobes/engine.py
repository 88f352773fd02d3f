"""The kernel engine: a plan's clauses as BPF programs, on uprobes and under BPF_PROG_TEST_RUN.

Ties the parts of this folder together: target.py makes the code, loader.py loads it, kernel_rules.py says which
sites the kernel serves rightly, placement.py moves some to where it serves them cheaply, attach.py attaches. What
comes back are records, cells and counts of losses; the session prints them.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Final

from backend.ancestors import ancestor_words
from backend.engine import NO_HURRY_NS, Answer, Plan, Refusal, SiteCoverage, covered, refusals
from backend.errors import SeveralProcesses
from backend.linux import bpf, bpf_features, perf_event
from backend.linux.ring_buffer import RingBuffer
from backend.object_cache import compiled
from backend.probes import Probe, Profile
from backend.site_table import Sites
from backend.uprobes.cells import Cells
from backend.uprobes.loader import PROGRAM_PREFIX, Loaded, ProgramSpec, load
from backend.uprobes.target import (
    CONTEXT_WORDS,
    EXECUTED,
    SCHED_SWITCH,
    BpfMachine,
    BpfOptions,
    emit_executed,
    emit_sched_switch,
)
from dlang.aggregation_store import EngineRequest
from dlang.aggregations import Aggregation, Cell, Key
from dlang.layout import (
    SPECULATION_FREE,
    STATE_RANDOM,
    STATE_WALL_OFFSET,
    losses,
    probe_text,
    speculation_offset,
    state_size,
    stores,
)
from dlang.lower import Unit, lower
from dlang.notices import Loss
from dlang.target import UnitKind
from dlang.unwind_format import SMALLEST_POOL_BITS, memory_size

if TYPE_CHECKING:
    from backend.process_symbols import Symbols
    from backend.stack_tables import ProcessRows, StackTables
    from backend.uprobes.arming import Armed
    from backend.uprobes.process_filter import Narrowing, ProcessFilter

_INITIAL_PID_NAMESPACE: Final = 0xEFFFFFFC
"""PROC_PID_INIT_INO: include/linux/proc_ns.h."""


@dataclass(frozen=True, slots=True)
class KernelOptions:
    """Sizes in bytes; `singly` attaches probe by probe even where the kernel can take all at once."""

    buffer_size: int = 4 << 20
    aggregation_size: int = 4 << 20
    dynamic_size: int = 1 << 20
    singly: bool = False


@dataclass(frozen=True, slots=True)
class KernelProcess:
    """A traced process, and its symbols."""

    pid: int
    symbols: Symbols


class KernelEngine:
    """backend.engine.Engine on the kernel; `processes` are the traced ones, none where the plan has no sites. `rows`
    are what stacks of the first are unwound by; with several, the plan must ask for none, nor for ancestors.

    Making one compiles and loads the clauses: raises OSError, VerifierRejected, MissingPackage.
    """

    def __init__(
        self,
        plan: Plan,
        processes: Sequence[KernelProcess],
        options: KernelOptions,
        rows: ProcessRows | None = None,
    ) -> None:
        self._plan = plan
        self._processes = processes
        self._pid = pid = processes[0].pid if processes else None
        self._stack = ExitStack()
        self._links: list[int] = []
        self._samplers: list[int] = []
        self._named = len(plan.names)
        self._answers: Sequence[Answer] | None = None
        self._singly = options.singly
        self._narrowings: dict[int, Narrowing] = {}
        if pid is not None:
            from backend.uprobes.process_filter import narrow

            absent = bpf_features.UprobeMulti.ABSENT
            support = absent if self._singly else bpf_features.uprobe_multi_support()
            self._singly = support is absent
            self._narrowings = {process.pid: narrow(process.pid, support) for process in processes}
        self._stores = stores(plan.program, plan.name_room)
        bpf_options = _bpf_options(plan, options, may_sleep=not self._singly)
        pool_bits = (lambda: SMALLEST_POOL_BITS) if rows is None else rows.pool_bits
        self._machine = BpfMachine(plan.program, self._stores, bpf_options, pool_bits)
        self._tables: StackTables | None = None
        try:
            self._loaded = self._stack.enter_context(self._load())
            self._fill_names(0)
            self._fill_places(plan.sites)
            self._state = self._stack.enter_context(
                mmap.mmap(self._loaded.maps[BpfMachine.STATE], _pages(state_size(plan.program)))
            )
            ring = RingBuffer(self._loaded.maps[BpfMachine.RECORDS], _ring_size(options.buffer_size))
            self._records = self._stack.enter_context(ring)
            self._set_word(STATE_RANDOM, int.from_bytes(os.urandom(7), "little"))
            self._make_tables(rows)
            self.refresh()
        except BaseException:
            self._stack.close()
            raise
        self._cells = Cells(plan, self._stores, self._machine, self._loaded.maps)

    def __enter__(self) -> KernelEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.detach()
        self._stack.close()

    # --- making the programs

    def _load(self) -> Loaded:
        plan = self._plan
        lower(plan.program, plan.units, self._stores, self._machine)
        kinds = {
            UnitKind.PROCESS: (bpf.ProgramKind.KPROBE, self._attach_type()),
            UnitKind.RETURN: (bpf.ProgramKind.KPROBE, self._attach_type()),
            UnitKind.BRANCH: (bpf.ProgramKind.KPROBE, self._attach_type()),
            UnitKind.SAMPLE: (bpf.ProgramKind.PERF_EVENT, bpf.AttachType.NONE),
            UnitKind.CONSUMER: (bpf.ProgramKind.RAW_TRACEPOINT, bpf.AttachType.NONE),
        }
        process = self._filter()
        programs = []
        for unit in plan.units:
            kind, attach_type = kinds[unit.kind]
            only = process if kind is bpf.ProgramKind.KPROBE else None
            programs.append(
                ProgramSpec(PROGRAM_PREFIX + unit.name, kind, attach_type, self._flags(unit), only)
            )
        if self._machine.uses_virtual_time:
            emit_sched_switch(self._machine)
            programs.append(ProgramSpec(PROGRAM_PREFIX + SCHED_SWITCH, bpf.ProgramKind.RAW_TRACEPOINT))
        if self._follows_exec:
            assert self._pid is not None
            from backend.uprobes.process_filter import filter_for

            emit_executed(self._machine)
            section = PROGRAM_PREFIX + EXECUTED
            only = filter_for(self._pid)
            programs.append(ProgramSpec(section, bpf.ProgramKind.RAW_TRACEPOINT, process=only))
        code = compiled("bpf", str(self._machine.module), self._compile)
        return load(code, self._machine.maps(), programs)

    def _filter(self) -> ProcessFilter | None:
        """Return what the programs have to filter by, where the kernel does not. Raises SeveralProcesses where there is
        no way to."""
        if len(self._processes) > 1 and self._machine.map_index("unwind") is not None:
            raise SeveralProcesses("there are no stacks and no callers")
        if len(self._processes) > 1 and self._machine.uses_ancestors:
            raise SeveralProcesses("there are no ppid and no progenyof()")
        filters = [narrowing.process for narrowing in self._narrowings.values()]
        if len(filters) > 1 and any(filters):
            raise SeveralProcesses("there must be the kernel's own filter, since Linux 6.6")
        return filters[0] if filters else None

    @property
    def _follows_exec(self) -> bool:
        """Whether the run must know when the process executes another program: stacks are unwound by its tables."""
        return self._pid is not None and self._machine.map_index("unwind") is not None

    def _compile(self) -> bytes:
        # LLVM is loaded only where a program was not compiled before.
        from backend.emit import bpf_object

        return bpf_object(self._machine.module)

    def _flags(self, unit: Unit) -> bpf.ProgramFlag:
        sleeps = unit.name in self._machine.sleeping
        return bpf.ProgramFlag.SLEEPABLE if sleeps else bpf.ProgramFlag.NONE

    def _attach_type(self) -> bpf.AttachType:
        return bpf.AttachType.NONE if self._singly else bpf.AttachType.TRACE_UPROBE_MULTI

    def _make_tables(self, rows: ProcessRows | None) -> None:
        """Write the tables that stacks are unwound by, where clauses ask for stacks."""
        index = self._machine.map_index("unwind")
        if index is None or rows is None:
            return
        from backend.stack_tables import StackTables

        size = _pages(memory_size(self._machine.pool_bits))
        memory = self._stack.enter_context(mmap.mmap(self._loaded.maps[index], size))
        self._tables = StackTables(rows, memory, self._machine.pool_bits)
        self._stack.callback(self._tables.close)

    def _fill_names(self, first: int) -> None:
        """Write the names that clauses read as strings, for each site from a number on."""
        index = self._machine.map_index("names")
        if index is None:
            return
        size, limit = self._plan.program.string_size, self._plan.program.string_limit
        for number, name in enumerate(self._plan.names[first:], first):
            texts = (
                probe_text(name, field).encode("utf-8", "surrogateescape")
                for field in self._machine.text_fields
            )
            entry = b"".join(text[: limit - 1].ljust(size, b"\0") for text in texts)
            bpf.map_update(self._loaded.maps[index], struct.pack("<I", number), entry)

    def _fill_places(self, sites: Sites) -> None:
        """Write what clauses of returns find by the number of a site: the probe's ID, and the offset of the exit."""
        index = self._machine.map_index("places")
        if index is not None:
            for number, word in self._plan.places(sites):
                bpf.map_update(self._loaded.maps[index], struct.pack("<I", number), struct.pack("<Q", word))

    # --- firing

    def fire(self, probe: Probe, arguments: Sequence[int] = ()) -> None:
        unit = self._plan.unit(probe.id)
        if unit is not None:
            program = self._loaded.programs[PROGRAM_PREFIX + unit.name]
            context = [*arguments, *[0] * (CONTEXT_WORDS - 1 - len(arguments)), probe.id]
            bpf.prog_test_run(program, context)

    @property
    def samples(self) -> bool:
        return True

    def attach(self) -> tuple[Refusal, ...]:
        self._sample()
        if self._machine.uses_virtual_time:
            program = self._loaded.programs[PROGRAM_PREFIX + SCHED_SWITCH]
            self._stack.callback(os.close, bpf.raw_tracepoint_open(SCHED_SWITCH, program))
        if self._follows_exec:
            program = self._loaded.programs[PROGRAM_PREFIX + EXECUTED]
            self._stack.callback(os.close, bpf.raw_tracepoint_open(EXECUTED, program))
        if not self._plan.sites:
            return ()
        answers: dict[int, Answer] = {}
        for process, places in self._by_process():
            armed = self._arm(replace(self._plan, sites=self._plan.sites.at(places)), process)
            self._links.extend(armed.links)
            answers.update(zip(places, armed.answers, strict=True))
        self._answers = [answers[place] for place in range(len(self._plan.sites))]
        return refusals(self._plan, self._answers)

    def _by_process(self) -> Iterator[tuple[KernelProcess, Sequence[int]]]:
        """Yield each process with the places of its sites in the plan's table."""
        if len(self._processes) == 1:
            yield self._processes[0], range(len(self._plan.sites))
            return
        for process in self._processes:
            own = {id(loaded) for loaded in process.symbols.objects}
            yield process, [place for place, site in enumerate(self._plan.sites) if id(site.object) in own]

    def _arm(self, plan: Plan, process: KernelProcess) -> Armed:
        # Imported only here, since a program without sites can do without it.
        from backend.others_jumps import in_place
        from backend.uprobes.arming import arm

        jumps = in_place(process.pid)
        attach_pid = self._narrowings[process.pid].attach_pid
        return arm(plan, self._loaded, process.symbols, attach_pid, jumps, singly=self._singly)

    def _sample(self) -> None:
        """Set up a timer on every processor for each profile-N probe."""
        for probe in self._plan.probes:
            if isinstance(probe.event, Profile):
                unit = self._plan.units[self._plan.unit_of[probe.id]]
                program = self._loaded.programs[PROGRAM_PREFIX + unit.name]
                for processor in perf_event.online_processors():
                    timer = perf_event.open_timer(probe.event.period_ns, processor)
                    self._samplers.append(timer)
                    self._samplers.append(bpf.perf_event_link(program, timer, probe.id))

    @property
    def lost(self) -> bool:
        return False

    @property
    def loading(self) -> bool:
        return False

    def extend(self, sites: Sites, symbols: Symbols | None) -> tuple[Refusal, ...]:
        if not sites:
            return ()
        assert symbols is not None
        self._cells.make_room()
        self._fill_names(self._named)
        self._named = len(self._plan.names)
        self._fill_places(sites)
        further = replace(self._plan, sites=sites)
        assert self._pid is not None
        armed = self._arm(further, KernelProcess(self._pid, symbols))
        self._links.extend(armed.links)
        self._answers = [*(self._answers or ()), *armed.answers]
        self._plan.sites.extend(sites)
        return refusals(further, armed.answers)

    def withdrawn(self) -> tuple[Refusal, ...]:
        return ()

    def take_disarmed(self) -> bool:
        return False

    def detach(self) -> None:
        while self._samplers:
            os.close(self._samplers.pop())
        if self._links:
            from backend.uprobes.attach import detach

            detach(self._links)
            self._links.clear()

    # --- results

    def fileno(self) -> int:
        return self._records.fileno()

    @property
    def patience_ns(self) -> int:
        return NO_HURRY_NS if self._tables is None else self._tables.patience_ns

    def drain(self, limit: int) -> list[bytes]:
        if self._tables is not None:
            self._tables.refresh_if_missed()
        return self._records.drain(limit)

    def snapshot(self, aggregation: Aggregation) -> dict[Key, Cell]:
        return self._cells.snapshot(aggregation)

    def carry_out(self, request: EngineRequest) -> None:
        self._cells.carry_out(request)

    def free_speculation(self, number: int) -> None:
        self._set_word(speculation_offset(self._plan.program, number), SPECULATION_FREE)

    def dropped(self) -> Mapping[Loss, int]:
        with memoryview(self._state) as state, state.cast("Q") as words:
            return losses(words)

    def refresh(self) -> None:
        if self._tables is not None:
            self._tables.refresh()
        self._set_word(STATE_WALL_OFFSET, time.time_ns() - time.monotonic_ns())
        for offset, ancestor in ancestor_words(self._pid):
            self._set_word(offset, ancestor)

    def coverage(self) -> Iterable[SiteCoverage]:
        if not self._plan.sites:
            return []
        if self._answers is None:
            from backend.uprobes.arming import foresee

            found: dict[int, Answer] = {}
            for process, places in self._by_process():
                own = replace(self._plan, sites=self._plan.sites.at(places))
                found.update(zip(places, foresee(own, process.symbols), strict=True))
            self._answers = [found[place] for place in range(len(self._plan.sites))]
        return covered(self._plan, self._answers, self._hits())

    def _hits(self) -> dict[int, int]:
        """Return the hits of each site that was hit, by its number; none where the plan doesn't count them."""
        index = self._machine.map_index("hits")
        if index is None:
            return {}
        spec = self._machine.maps()[index]
        items = bpf.map_items(self._loaded.maps[index], spec.key_size, spec.user_value_size, spec.max_entries)
        hits = (
            (struct.unpack("<I", key)[0], sum(struct.unpack(f"<{len(raw) // 8}Q", raw)))
            for key, raw in islice(items, self._plan.numbers)
        )
        return {number: count for number, count in hits if count}

    def _word(self, offset: int) -> int:
        (value,) = struct.unpack_from("<Q", self._state, offset)
        return int(value)

    def _set_word(self, offset: int, value: int) -> None:
        struct.pack_into("<q", self._state, offset, value)


def _pages(size: int) -> int:
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE


def _ring_size(wanted: int) -> int:
    """Return the power of two of pages that holds `wanted` bytes, which the kernel asks of a ring buffer."""
    return max(mmap.PAGESIZE, 1 << (wanted - 1).bit_length())


def _bpf_options(plan: Plan, options: KernelOptions, *, may_sleep: bool) -> BpfOptions:
    namespace = os.stat("/proc/self/ns/pid")
    inside = namespace.st_ino != _INITIAL_PID_NAMESPACE
    return BpfOptions(
        probe_count=plan.name_room,
        number_count=plan.number_room,
        buffer_size=_ring_size(options.buffer_size),
        aggregation_size=options.aggregation_size,
        dynamic_size=options.dynamic_size,
        pid_namespace=(namespace.st_dev, namespace.st_ino) if inside else None,
        may_sleep=may_sleep,
    )
