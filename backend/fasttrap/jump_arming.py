"""Jumps made ready in a held process: which sites get one, the clauses brought there, where threads may go on.

Called by `engine` when sites are armed; the jumps themselves are in `jumps`, the clauses in `in_target`.
"""

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from typing import Final, Protocol

from backend.errors import CannotInject
from backend.fasttrap.inject import Gate
from backend.fasttrap.jumps import Wanted
from backend.fasttrap.process import Installed, Process
from backend.fasttrap.tracee import Memory
from backend.fasttrap.tracepoints import Site
from backend.linux import ptrace

STACK_SEARCHED: Final = 1 << 16
"""How far above a thread's stack pointer, in bytes, addresses are looked for at which it may go on."""

SHARED = "a child that shares the process's memory is running"
"""It is in the same text, and can't be stopped."""
CROWDED = "another probe is within reach of its jump"


class ClausesForTarget(Protocol):
    """Clauses that can be brought into the traced process."""

    def install(self, tid: int, gate: Gate, memory: Memory, /) -> Installed:
        """Bring them there by calls injected into the held thread `tid`. Raises CannotInject, ProcessGone."""


def prepare_jumps(
    process: Process, clauses: ClausesForTarget, sites: Sequence[Site], tid: int
) -> list[str | None]:
    """Make everything ready for a jump at each site with a window; return why some can have none, in the order given.

    The process is held; system calls are made in the name of its thread `tid`. Raises ProcessGone.
    """
    reasons: list[str | None] = [None] * len(sites)
    places = [place for place, site in enumerate(sites) if site.window is not None]
    if not places:
        return reasons

    def all_for(reason: str) -> list[str | None]:
        return [reason if site.window is not None else None for site in sites]

    if any(known not in process.threads.held for known in process.threads.known):
        return all_for(SHARED)
    if process.installed is None:
        try:
            process.installed = clauses.install(tid, process.gate, process.tracepoints.memory)
        except CannotInject as error:
            return all_for(str(error))
    wanted: list[Wanted] = []
    chosen: list[int] = []
    others = array("Q", sorted(site.address for site in sites))
    for place in places:
        site = sites[place]
        assert site.window is not None
        call = process.installed.unit_call(site.identifier)
        next_site = bisect_right(others, site.address)
        if next_site < len(others) and others[next_site] < max(
            end for start, end in site.window.used if start == site.address
        ):
            reasons[place] = CROWDED
        elif isinstance(call, str):
            reasons[place] = call
        else:
            wanted.append(Wanted(site.window, call, site.identifier))
            chosen.append(place)
    occupied = _occupied(process)
    answers = process.jumps.prepare(wanted, occupied, tid, process.gate)
    for place, answer in zip(chosen, answers, strict=True):
        reasons[place] = answer
    process.set_gate()
    return reasons


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
