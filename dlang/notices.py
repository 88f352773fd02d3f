"""Run-time errors and losses in DTrace's words, for standard error.

Each function returns one line without the program's name before it and without a newline; the command prints
`dtrap: ` and the line. Nothing is counted here: engines and session do. Source: d-language.md §12 ("Run-time
errors", "Drops") and tests/reference `err-*`, `lang-speculate`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from pathlib import Path
from signal import Signals
from typing import Final

from dlang.items import ProbeName


class Fault(IntEnum):
    """Why a clause was given up: the numbers of DTRACEFLT_*, which ERROR's arg4 shows."""

    UNKNOWN = 0
    BADADDR = 1
    BADALIGN = 2
    ILLOP = 3
    DIVZERO = 4
    NOSCRATCH = 5
    KPRIV = 6
    UPRIV = 7
    TUPOFLOW = 8
    BADSTACK = 9
    BADSIZE = 10
    BADINDEX = 11
    LIBRARY = 1000


_FAULT_TEXT: Final = {
    Fault.UNKNOWN: "unknown fault",
    Fault.BADADDR: "invalid address",
    Fault.BADALIGN: "invalid alignment",
    Fault.ILLOP: "illegal operation",
    Fault.DIVZERO: "divide-by-zero",
    Fault.NOSCRATCH: "out of scratch space",
    Fault.KPRIV: "invalid kernel access",
    Fault.UPRIV: "invalid user access",
    Fault.TUPOFLOW: "tuple stack overflow",
    Fault.BADSTACK: "bad stack",
    Fault.BADSIZE: "invalid size",
    Fault.BADINDEX: "index out of bounds",
    Fault.LIBRARY: "library-level fault",
}
_FAULTS_WITH_ADDRESS: Final = frozenset({Fault.BADADDR, Fault.BADALIGN, Fault.BADSTACK, Fault.BADSIZE})
_NO_ADDRESS: Final = (1 << 64) - 1


def fault_text(fault: int) -> str:
    """Return the words for a fault; a number that DTrace does not know is an unknown fault."""
    return _FAULT_TEXT[Fault(fault) if fault in _FAULT_TEXT else Fault.UNKNOWN]


def runtime_error(
    clause: int, probe_id: int, probe: ProbeName, fault: int, address: int, where: int | None = None
) -> str:
    """Return the line for a clause that faulted. `address` is ERROR's arg5, 64 bits; an index for BADINDEX.

    `where` is the place in the engine's own code, shown as DTrace for Linux does, or None where there is
    none.
    """
    detail = ""
    if fault in _FAULTS_WITH_ADDRESS and address != _NO_ADDRESS:
        detail = f" ({address:#x})"
    elif fault == Fault.BADINDEX:
        detail = f" ({address})"
    place = "" if where is None else f" at BPF pc {where}"
    subject = f"error in dt_clause_{clause} for probe ID {probe_id} ({probe})"
    return f"{subject}: {fault_text(fault)}{detail}{place}"


def tracer_lost(pid: int) -> str:
    """Return the line for a process that goes on untraced, since its tracer is dead."""
    return f"the tracer of process {pid} has died: nothing was traced from then on"


def disarmed() -> str:
    """Return the line for int3s that are gone while the process is traced."""
    return "what needs a trap is not counted any more: a child that dtrap can't trace runs in the memory of the process"


def withdrawn(probe: str, reason: str) -> str:
    """Return the line for a probe that is taken away from a place while it is traced."""
    return f"{probe} withdrawn: {reason}"


def internal_error(error: BaseException) -> str:
    """Return the line for a mistake of our own that has ended something: what, and where in our code."""
    trace, where = error.__traceback__, ""
    while trace is not None:
        where = f" ({Path(trace.tb_frame.f_code.co_filename).name}, line {trace.tb_lineno})"
        trace = trace.tb_next
    return f"internal error{where}: {type(error).__name__}: {error}; please report it"


def terminated(pid: int, number: int) -> str:
    """Return the line for a process that has died of a signal (illumos's words; DTrace for Linux says nothing)."""
    try:
        name = Signals(number).name
    except ValueError:
        name = f"SIG#{number}"
    return f"pid {pid} terminated by {name}"


def library_error(clause: int, probe_id: int, probe: ProbeName, what: str) -> str:
    """Return the line for what the consumer could not do for a clause."""
    return f"error in dt_clause_{clause} for probe ID {probe_id} ({probe}): {what}"


class Drop(StrEnum):
    """What can be lost; the value is DTrace's tag without DTRACEDROP_."""

    PRINCIPAL = "PRINCIPAL"
    AGGREGATION = "AGGREGATION"
    DYNAMIC = "DYNAMIC"
    DYNRINSE = "DYNRINSE"
    DYNDIRTY = "DYNDIRTY"
    SPEC = "SPEC"
    SPECBUSY = "SPECBUSY"
    SPECUNAVAIL = "SPECUNAVAIL"
    DBLERROR = "DBLERROR"
    STKSTROVERFLOW = "STKSTROVERFLOW"


_DROP_TEXT: Final = {
    Drop.PRINCIPAL: ("drop", ""),
    Drop.AGGREGATION: ("aggregation drop", ""),
    Drop.DYNAMIC: ("dynamic variable drop", ""),
    Drop.DYNRINSE: ("dynamic variable drop", " with non-empty rinsing list"),
    Drop.DYNDIRTY: ("dynamic variable drop", " with non-empty dirty list"),
    Drop.SPEC: ("speculative drop", ""),
    Drop.SPECBUSY: ("failed speculation", " (available buffer(s) still busy)"),
    Drop.SPECUNAVAIL: ("failed speculation", " (no speculative buffer available)"),
    Drop.DBLERROR: ("error", " in ERROR probe enabling"),
    Drop.STKSTROVERFLOW: ("jstack()/ustack() string table overflow", ""),
}


@dataclass(frozen=True, slots=True)
class Loss:
    """What is counted by itself: a kind, for some kinds on one processor."""

    drop: Drop
    cpu: int | None = None


def drop_notice(loss: Loss, count: int) -> str:
    """Return the line for `count` losses since the last one."""
    noun, rest = _DROP_TEXT[loss.drop]
    where = "" if loss.cpu is None else f" on CPU {loss.cpu}"
    return f"{count} {noun}{'s' if count > 1 else ''}{rest}{where}"


def tagged_drop_notice(loss: Loss, count: int) -> str:
    """Return the same line under option droptags."""
    return f"[DTRACEDROP_{loss.drop}] {drop_notice(loss, count)}"
