"""Engines made for a run: choice.py says which serve it, this module makes them, or foresees what they would do.

Each engine is imported by the runs that use it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from backend.choice import Choice, choose, restricted
from backend.combined_engine import CombinedEngine
from backend.engine import Engine, Plan, SiteCoverage, without_samples
from backend.errors import SeveralProcesses
from backend.linux.bpf_features import missing_privilege
from backend.probes import Probes
from backend.site_table import Sites
from backend.traced import Traced
from dlang.probe_description import ProbeDescription

if TYPE_CHECKING:
    from backend.fasttrap.trap_engine import Jumping, TrapEngine
    from backend.growth import Growth


class NoEngine(Exception):
    """The engine that was asked for can't be used; `reason` says what is missing and what to do about it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """`wanted` is the engine asked for; sizes are in bytes. `singly`: uprobes one by one, as before Linux 6.6.

    `tier` is how fasttrap is to serve its sites: by jumps where that is safe, by traps only, by jumps only. `tell` is
    told, a line each, what takes so long that somebody may wonder.
    """

    tell: Callable[[str], object]
    wanted: Literal["auto", "uprobes", "fasttrap"] = "auto"
    buffer_size: int = 4 << 20
    aggregation_size: int = 4 << 20
    dynamic_size: int = 1 << 20
    singly: bool = False
    tier: Literal["auto", "trap", "jump"] = "auto"


_NO_WRITING: Final = (
    "no program in a locked-down kernel writes to a process: copyout() and copyoutstr() are fasttrap's"
)
"""Whether the kernel is locked down or not: bpf_probe_write_user() is for experiments (include/uapi/linux/bpf.h)."""


def _of_several(plan: Plan, traced: Traced, options: EngineOptions, missing: str | None) -> Choice:
    """Return the choice for a run with several processes: their clauses share variables, which only the kernel can
    have them do. Raises NoEngine."""
    for process in traced.processes:
        if missing is None and _would_be_everywhere(process.pid):
            missing = f"of process {process.pid} {_EVERYWHERE}"
    if options.wanted == "fasttrap" or missing is not None:
        because = "" if missing is None else f" ({missing})"
        raise NoEngine(str(SeveralProcesses(f"uprobes have to serve all sites{because}")))
    reasons = ("uprobes serve all sites, since there are several processes",)
    return Choice(plan.sites, Sites(), kernel_runs=True, reasons=reasons)


def chosen(plan: Plan, traced: Traced, options: EngineOptions, refused: str | None = None) -> Choice:
    """Return which engines serve the plan here; `refused` is why the kernel doesn't take its clauses, where it has been
    asked. Raises NoEngine.
    """
    missing = _NO_WRITING if plan.program.copies_out else refused or missing_privilege()
    if missing is not None and options.wanted == "uprobes":
        raise NoEngine(missing)
    if len(traced.processes) > 1 and plan.sites:
        return _of_several(plan, traced, options, missing)
    trap_unusable = None
    if traced.process is not None and plan.sites:
        from backend.target_process import why_not_traceable

        trap_unusable = why_not_traceable(traced.process.pid)
        if missing is None and trap_unusable is None and _would_be_everywhere(traced.process.pid):
            missing = _EVERYWHERE
    return choose(plan, options.wanted, missing, trap_unusable)


_EVERYWHERE: Final = (
    "its main thread has exited, by which the kernel knows it: every process with the same files would trap"
)


def _would_be_everywhere(pid: int) -> bool:
    from backend.uprobes.process_filter import main_thread_has_exited

    with suppress(FileNotFoundError, ProcessLookupError):
        return main_thread_has_exited(pid)
    return False


def engine_for(plan: Plan, choice: Choice, traced: Traced, options: EngineOptions) -> Engine:
    """Return the engine, or both as one, that serves the plan; the run's stack closes it.

    Raises VerifierRejected, ProgramTooLarge, MissingPackage, ProcessGone, OSError.
    """
    engines: list[Engine] = []
    if choice.kernel:
        _clear_what_was_left(traced)
    if choice.kernel_runs:
        engines.append(_kernel_engine(restricted(plan, choice.kernel), traced, options))
    if choice.trap or not choice.kernel_runs:
        avoided = [site.address for site in choice.kernel]
        alone = not engines
        trap = _trap_engine(restricted(plan, choice.trap), traced, options, avoided, alone=alone)
        if alone:
            return trap
        return traced.stack.enter_context(CombinedEngine(engines[0], trap))
    return engines[0]


def _clear_what_was_left(traced: Traced) -> None:
    for process in traced.processes:
        from backend.others_jumps import clear

        clear(process.pid)


def _kernel_engine(plan: Plan, traced: Traced, options: EngineOptions) -> Engine:
    from backend.uprobes.engine import KernelEngine, KernelOptions, KernelProcess

    sizes = KernelOptions(options.buffer_size, options.aggregation_size, options.dynamic_size, options.singly)
    processes = [
        KernelProcess(process.pid, traced.symbols[process.pid])
        for process in (traced.processes if plan.sites or plan.may_grow else ())
        if process.pid in traced.symbols
    ]
    return traced.stack.enter_context(KernelEngine(plan, processes, sizes, traced.rows()))


def _trap_engine(
    plan: Plan, traced: Traced, options: EngineOptions, avoided: Sequence[int], *, alone: bool
) -> TrapEngine:
    from backend.fasttrap.program import NativeOptions
    from backend.fasttrap.trap_engine import TrapEngine

    pid = _pid(plan, traced)
    jumping = _jumping(pid, traced, options, avoided, alone=alone)
    inside = jumping is not None
    sizes = NativeOptions(options.buffer_size, options.aggregation_size, options.dynamic_size, inside=inside)
    created = traced.process if pid is not None and traced.process and traced.process.created else None
    return traced.stack.enter_context(
        TrapEngine(without_samples(plan), pid, sizes, traced.rows(), jumping, created=created)
    )


def _jumping(
    pid: int | None, traced: Traced, options: EngineOptions, avoided: Sequence[int], *, alone: bool
) -> Jumping | None:
    from backend.fasttrap.trap_engine import Jumping

    if pid is None or options.tier == "trap":
        return None
    or_trap = options.tier == "auto"
    return Jumping(traced.symbols[pid], avoided, or_trap=or_trap, alone=alone, tell=options.tell)


def growth_of(
    plan: Plan, descriptions: Sequence[ProbeDescription], probes: Probes, traced: Traced
) -> Growth | None:
    """Return what looks after libraries that the process loads later; None where no description would match them."""
    if traced.process is None or not plan.may_grow or traced.process.pid not in traced.symbols:
        return None
    from backend.growth import Growth

    symbols = traced.symbols[traced.process.pid]
    made = traced.made if plan.later_made else None
    return Growth(plan, descriptions, probes, traced.process.pid, symbols.objects, traced.stack, made)


def _pid(plan: Plan, traced: Traced) -> int | None:
    return traced.process.pid if traced.process is not None and (plan.sites or plan.may_grow) else None


def foreseen(plan: Plan, choice: Choice, traced: Traced, options: EngineOptions) -> Iterable[SiteCoverage]:
    """Return how the plan's sites would be served; nothing is attached, stopped or run."""
    if traced.process is None or not plan.sites:
        return ()
    from backend.engine import covered
    from backend.fasttrap.trap_engine import foresee as foresee_traps
    from backend.uprobes.arming import foresee as foresee_uprobes

    pid = traced.process.pid
    kernel, trap = restricted(plan, choice.kernel), restricted(plan, choice.trap)
    jumping = _jumping(pid, traced, options, [site.address for site in choice.kernel], alone=not kernel.sites)
    return (
        *covered(kernel, foresee_uprobes(kernel, traced.symbols[pid]), {}),
        *covered(trap, foresee_traps(trap, pid, jumping), {}),
    )
