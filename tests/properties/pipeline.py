"""The compile pipeline as a run goes through it, without processes: texts to a plan, to code, into the kernel.

Hands plans and loaded programs to the property tests beside it. Descriptions match the probes of `dtrace` and
`profile` only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

from backend import emit
from backend.compilation import FailedText, ProgramText, compile_texts
from backend.engine import Plan
from backend.linux import bpf
from backend.probes import Probes
from backend.uprobes.loader import PROGRAM_PREFIX, Loaded, ProgramSpec, load
from backend.uprobes.target import BpfMachine, BpfOptions
from dlang.diagnostics import CompileError, Diagnostic, fail
from dlang.layout import stores
from dlang.lower import Unit, lower
from dlang.names import Macros, Names
from dlang.options import Options
from dlang.pragmas import apply_control_lines
from dlang.source import Source, Span
from dlang.target import UnitKind

MACROS = Macros({"pid": 1, "target": 1}, ("dtrap", "7", "word", "two words"), unused_allowed=True)


@dataclass(frozen=True, slots=True)
class Code:
    """A plan's units as BPF: the machine with their maps, and the object."""

    plan: Plan
    machine: BpfMachine
    object: bytes


def _no_process(pid: int, span: Span) -> NoReturn:
    fail("D_PROC_GRAB", span, f"failed to grab process {pid}")


def compiled(source: Source, string_limit: int = 256) -> Plan | Diagnostic:
    """Compile a program as the command does, up to what an engine is handed, or return what is wrong with it."""
    return compiled_with(source, Names(MACROS, string_limit))


def compiled_with(source: Source, names: Names) -> Plan | Diagnostic:
    """Compile likewise; `names` then knows the program's variables and aggregations."""
    try:
        apply_control_lines(Options(), source)
        probes = Probes(_no_process)
        return compile_texts(
            [ProgramText(source)], names, probes, empty_allowed=False, zero_allowed=False
        ).plan
    except CompileError as error:
        return error.diagnostic
    except FailedText as error:
        return error.diagnostic


def generated(plan: Plan) -> Code:
    """Generate the code of a plan's units, each once for its own kind and once as if a process fired it."""
    units: list[Unit] = []
    for unit in plan.units:
        units.append(unit)
        if unit.kind is UnitKind.CONSUMER:
            units.append(replace(unit, name=f"{unit.name}p", kind=UnitKind.PROCESS))
    plan = replace(plan, units=tuple(units))
    layout = stores(plan.program, len(plan.names))
    machine = BpfMachine(plan.program, layout, BpfOptions(len(plan.names), plan.numbers, may_sleep=True))
    lower(plan.program, plan.units, layout, machine)
    return Code(plan, machine, emit.bpf_object(machine.module))


def loaded(code: Code, units: Sequence[Unit] | None = None) -> Loaded:
    """Load the units, all of them if none are given. Raises VerifierRejected, OSError."""
    programs = []
    for unit in code.plan.units if units is None else units:
        consumer = unit.kind is UnitKind.CONSUMER
        kind = bpf.ProgramKind.RAW_TRACEPOINT if consumer else bpf.ProgramKind.KPROBE
        attach = bpf.AttachType.NONE if consumer else bpf.AttachType.TRACE_UPROBE_MULTI
        sleeps = unit.name in code.machine.sleeping
        flags = bpf.ProgramFlag.SLEEPABLE if sleeps else bpf.ProgramFlag.NONE
        programs.append(ProgramSpec(PROGRAM_PREFIX + unit.name, kind, attach, flags))
    return load(code.object, code.machine.maps(), programs)
