"""Jumps made ready in a held process: which sites get one, the clauses brought there, where threads may go on.

Called by `engine` when sites are armed; the jumps themselves are in `jumps`, the clauses in `in_target`.
"""

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from itertools import repeat
from typing import Final, Protocol

from backend.columns import Coded
from backend.errors import CannotInject
from backend.fasttrap.inject import Gate
from backend.fasttrap.jumps import Wanted
from backend.fasttrap.process import Installed, Process
from backend.fasttrap.site_batch import SiteBatch
from backend.fasttrap.tracee import Memory
from backend.linux import ptrace

STACK_SEARCHED: Final = 1 << 16
"""How far above a thread's stack pointer, in bytes, addresses are looked for at which it may go on."""

SHARED = "a child that shares the process's memory is running"
"""It is in the same text, and can't be stopped."""
CROWDED = "another probe is within reach of its jump"
BROUGHT = "dtrap itself looks who comes by there"
"""Where the dynamic linker says that it has loaded libraries, for one: only a trap can hold a thread."""


class ClausesForTarget(Protocol):
    """Clauses that can be brought into the traced process."""

    def install(self, tid: int, gate: Gate, memory: Memory, /) -> Installed:
        """Bring them there by calls injected into the held thread `tid`. Raises CannotInject, ProcessGone."""


def prepare_jumps(
    process: Process, clauses: ClausesForTarget, sites: SiteBatch, tid: int
) -> Sequence[str | None]:
    """Make everything ready for a jump at each site with a window; return why each site has none, UNASKED for one
    without a window, None for one that has a jump.

    The process is held; system calls are made in the name of its thread `tid`. Raises ProcessGone.
    """
    reasons: Coded[str | None] = Coded(repeat(UNASKED, len(sites)))
    places = sites.with_windows()
    objection = _prepare_process(process, clauses, tid) if places else None
    if objection is not None:
        for place in places:
            reasons[place] = objection
    if not places or process.installed is None or objection is not None:
        return reasons
    if not process.jumps.regions:
        process.jumps.alone = process.own_threads == 1
    occupied = _occupied(process)
    brought = process.brought
    others = array("Q", sorted({*sites.addresses, *brought, *process.tracepoints.table.addresses}))
    for start in range(0, len(places), _AT_ONCE):
        wanted: list[Wanted] = []
        chosen: list[int] = []
        for place in places[start : start + _AT_ONCE]:
            window, number = sites.window(place), sites.identifiers[place]
            assert window is not None
            call = process.installed.unit_call(number)
            low, high = window.used[0]
            if window.site in brought:
                reasons[place] = BROUGHT
            elif bisect_left(others, high) - bisect_left(others, low) > 1:
                reasons[place] = CROWDED
            elif isinstance(call, str):
                reasons[place] = call
            else:
                wanted.append(Wanted(window, call, number))
                chosen.append(place)
        answers = process.jumps.prepare(wanted, occupied, tid, process.gate, process.installed.unit_call)
        for place, answer in zip(chosen, answers, strict=True):
            reasons[place] = answer
    process.set_gate()
    return reasons


def _prepare_process(process: Process, clauses: ClausesForTarget, tid: int) -> str | None:
    """Bring the clauses into the process, if that has not been done; return why it can have no jumps."""
    if any(known not in process.threads.held for known in process.threads.known):
        return SHARED
    if process.installed is None:
        try:
            process.installed = clauses.install(tid, process.gate, process.tracepoints.memory)
        except CannotInject as error:
            return str(error)
    return None


UNASKED: Final = ""
_AT_ONCE: Final = 1 << 10
"""Sites for which there are objects at a time."""


def _occupied(process: Process) -> Sequence[int]:
    """Return the addresses at which threads are, or may go on: what a signal's frame, or a caller's, may hold."""
    words: set[int] = set()
    for tid in process.threads.held:
        registers = ptrace.registers(tid)
        words.add(registers.rip)
        try:
            stack = process.tracepoints.memory.read(registers.rsp & ~7, STACK_SEARCHED)
        except OSError:
            continue
        words.update(array("Q", stack[: len(stack) // 8 * 8]))
    return array("Q", sorted(words))
