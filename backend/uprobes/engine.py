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
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Final

from backend import emit
from backend.engine import Plan, Refusal
from backend.errors import ProcessGone
from backend.linux import bpf, bpf_features, procfs
from backend.linux.ring_buffer import RingBuffer
from backend.probes import Probe
from backend.process_symbols import Symbols
from backend.sites import Site
from backend.uprobes import attach
from backend.uprobes.cells import Cells
from backend.uprobes.kernel_rules import Accepted, rule_at_entry
from backend.uprobes.moving import moves, reads_of
from backend.uprobes.loader import PROGRAM_PREFIX, Loaded, ProgramSpec, load
from backend.uprobes.process_filter import narrow
from backend.uprobes.target import (
    CONTEXT_WORDS,
    SCHED_SWITCH,
    BpfMachine,
    BpfOptions,
    emit_sched_switch,
)
from dlang.aggregation_store import EngineRequest
from dlang.aggregations import Aggregation, Cell, Key
from dlang.layout import (
    COUNTED_DROPS,
    STATE_CONSUMER_PARENT,
    STATE_TARGET_PARENT,
    STATE_WALL_OFFSET,
    drop_offset,
    probe_text,
    state_size,
    stores,
)
from dlang.lower import Unit, lower
from dlang.notices import Drop
from dlang.target import UnitKind

_INITIAL_PID_NAMESPACE: Final = 0xEFFFFFFC
"""PROC_PID_INIT_INO: include/linux/proc_ns.h."""


@dataclass(frozen=True, slots=True)
class KernelOptions:
    """Sizes in bytes; `singly` attaches probe by probe even where the kernel can take all at once."""

    buffer_size: int = 4 << 20
    aggregation_size: int = 4 << 20
    dynamic_size: int = 1 << 20
    singly: bool = False


class KernelEngine:
    """backend.engine.Engine on the kernel; `pid` is the traced process and `symbols` are its, both None where the
    plan has no sites.

    Making one compiles and loads the clauses: raises OSError, VerifierRejected, MissingPackage.
    """

    def __init__(self, plan: Plan, pid: int | None, symbols: Symbols | None, options: KernelOptions) -> None:
        self._plan = plan
        self._symbols = symbols
        self._pid = pid
        self._singly = options.singly
        self._stack = ExitStack()
        self._attached: list[attach.Attached] = []
        self._support = bpf_features.uprobe_multi_support() if pid is not None else None
        self._narrowing = narrow(pid, self._support) if pid is not None and self._support else None
        self._stores = stores(plan.program, len(plan.names))
        may_sleep = self._attach_type() is bpf.AttachType.TRACE_UPROBE_MULTI
        self._machine = BpfMachine(
            plan.program, self._stores, _bpf_options(plan, options, may_sleep=may_sleep)
        )
        try:
            self._loaded = self._stack.enter_context(self._load())
            self._fill_names()
            self._state = self._stack.enter_context(
                mmap.mmap(self._loaded.maps[BpfMachine.STATE], _pages(state_size(plan.program)))
            )
            ring = RingBuffer(self._loaded.maps[BpfMachine.RECORDS], _ring_size(options.buffer_size))
            self._records = self._stack.enter_context(ring)
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
            UnitKind.CONSUMER: (bpf.ProgramKind.RAW_TRACEPOINT, bpf.AttachType.NONE),
        }
        programs = [
            ProgramSpec(PROGRAM_PREFIX + unit.name, *kinds[unit.kind], self._flags(unit))
            for unit in plan.units
        ]
        if self._machine.uses_virtual_time:
            emit_sched_switch(self._machine)
            programs.append(ProgramSpec(PROGRAM_PREFIX + SCHED_SWITCH, bpf.ProgramKind.RAW_TRACEPOINT))
        process = self._narrowing.process if self._narrowing else None
        return load(emit.bpf_object(self._machine.module), self._machine.maps(), programs, process)

    def _flags(self, unit: Unit) -> bpf.ProgramFlag:
        sleeps = unit.name in self._machine.sleeping
        return bpf.ProgramFlag.SLEEPABLE if sleeps else bpf.ProgramFlag.NONE

    def _attach_type(self) -> bpf.AttachType:
        if self._singly or self._support is bpf_features.UprobeMulti.ABSENT:
            return bpf.AttachType.NONE
        return bpf.AttachType.TRACE_UPROBE_MULTI

    def _fill_names(self) -> None:
        """Write the names that clauses read as strings, for each site."""
        index = self._machine.map_index("names")
        if index is None:
            return
        size, limit = self._plan.program.string_size, self._plan.program.string_limit
        for number, name in enumerate(self._plan.names):
            texts = (
                probe_text(name, field).encode("utf-8", "surrogateescape")
                for field in self._machine.text_fields
            )
            entry = b"".join(text[: limit - 1].ljust(size, b"\0") for text in texts)
            bpf.map_update(self._loaded.maps[index], struct.pack("<I", number), entry)

    # --- firing

    def fire(self, probe: Probe) -> None:
        unit = self._plan.unit_of.get(probe.id)
        if unit is not None:
            program = self._loaded.programs[PROGRAM_PREFIX + self._plan.units[unit].name]
            bpf.prog_test_run(program, [0] * (CONTEXT_WORDS - 1) + [probe.id])

    def attach(self) -> tuple[Refusal, ...]:
        if self._machine.uses_virtual_time:
            program = self._loaded.programs[PROGRAM_PREFIX + SCHED_SWITCH]
            self._stack.callback(os.close, bpf.raw_tracepoint_open(SCHED_SWITCH, program))
        refusals: list[Refusal] = []
        groups: dict[tuple[str, int], list[Probe]] = {}
        for probe in self._plan.sites:
            site = _site(probe)
            groups.setdefault((site.object.open_path, self._plan.unit_of[probe.id]), []).append(probe)
        for (path, unit), probes in groups.items():
            refusals.extend(self._attach_group(path, unit, probes))
        return tuple(refusals)

    def _attach_group(self, path: str, unit: int, probes: Sequence[Probe]) -> list[Refusal]:
        """Attach one program to its sites in one object."""
        assert self._narrowing is not None and self._symbols is not None
        sites = [_site(probe) for probe in probes]
        reads = reads_of(self._plan.units[unit].enablings)
        points: list[attach.Point] = []
        refusals: list[Refusal] = []
        offsets = moves(sites[0].object, sites, reads, self._symbols)
        for probe, site, offset in zip(probes, sites, offsets, strict=True):
            rule = rule_at_entry(site.code[offset:])
            if isinstance(rule, Accepted):
                points.append(attach.Point(site.file_offset + offset, probe.id))
            else:
                refusals.append(Refusal(probe.name, rule.reason))
        attached = self._attach_points(path, unit, points)
        self._attached.append(attached)
        by_id = {probe.id: probe.name for probe in probes}
        for refused in attached.refused:
            reason = f"the kernel refuses it ({_error(refused.errno)})"
            refusals.append(Refusal(by_id[refused.point.cookie], reason))
        return refusals

    def _attach_points(self, path: str, unit: int, points: Sequence[attach.Point]) -> attach.Attached:
        assert self._narrowing is not None
        section = PROGRAM_PREFIX + self._plan.units[unit].name
        pid = self._narrowing.attach_pid
        if self._attach_type() is bpf.AttachType.NONE:
            return attach.attach_singly(self._loaded.code[section], f"dtrap_u{unit}", path, points, pid)
        return attach.attach_together(self._loaded.programs[section], path, points, pid)

    def detach(self) -> None:
        links = [link for attached in self._attached for link in attached.links]
        self._attached.clear()
        attach.detach(links)

    # --- results

    def fileno(self) -> int:
        return self._records.fileno()

    def drain(self, limit: int) -> list[bytes]:
        return self._records.drain(limit)

    def snapshot(self, aggregation: Aggregation) -> dict[Key, Cell]:
        return self._cells.snapshot(aggregation)

    def carry_out(self, request: EngineRequest) -> None:
        self._cells.carry_out(request)

    def dropped(self) -> Mapping[Drop, int]:
        return {drop: self._word(drop_offset(drop)) for drop in COUNTED_DROPS}

    def refresh(self) -> None:
        self._set_word(STATE_WALL_OFFSET, time.time_ns() - time.monotonic_ns())
        self._set_word(STATE_CONSUMER_PARENT, os.getppid())
        if self._pid is not None:
            # A process that has ended has no more hits to tell its parent in.
            with suppress(ProcessGone):
                self._set_word(STATE_TARGET_PARENT, procfs.status(self._pid).ppid)

    def _word(self, offset: int) -> int:
        (value,) = struct.unpack_from("<Q", self._state, offset)
        return int(value)

    def _set_word(self, offset: int, value: int) -> None:
        struct.pack_into("<q", self._state, offset, value)


def _site(probe: Probe) -> Site:
    assert isinstance(probe.event, Site), probe
    return probe.event


def _error(number: int) -> str:
    return "ENOTSUPP" if number == bpf.ENOTSUPP else os.strerror(number)


def _pages(size: int) -> int:
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE


def _ring_size(wanted: int) -> int:
    """Return the power of two of pages that holds `wanted` bytes, which the kernel asks of a ring buffer."""
    return max(mmap.PAGESIZE, 1 << (wanted - 1).bit_length())


def _bpf_options(plan: Plan, options: KernelOptions, *, may_sleep: bool) -> BpfOptions:
    namespace = os.stat("/proc/self/ns/pid")
    inside = namespace.st_ino != _INITIAL_PID_NAMESPACE
    return BpfOptions(
        site_count=len(plan.names),
        buffer_size=_ring_size(options.buffer_size),
        aggregation_size=options.aggregation_size,
        dynamic_size=options.dynamic_size,
        pid_namespace=(namespace.st_dev, namespace.st_ino) if inside else None,
        may_sleep=may_sleep,
    )
