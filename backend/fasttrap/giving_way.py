"""Jumps that give way to traps while the process runs: a displaced instruction has faulted, or another tool's uprobe is
over the jump, or was.
"""

import contextlib
from collections.abc import Mapping
from itertools import compress
from signal import SIGTRAP
from typing import Final

from backend.errors import CannotInject, ProcessGone, TraceeEnded
from backend.fasttrap import dumpable, free_guests, inject, trap_mask, way_out
from backend.fasttrap.holding import hold, hold_others
from backend.fasttrap.jumps import Overlaid
from backend.fasttrap.process import Process
from backend.fasttrap.site_batch import Site, SiteBatch
from backend.fasttrap.tracee import OPTIONS, Thread
from backend.fasttrap.trap_arming import prepare_traps
from backend.linux import procfs
from scratch.displaced import Refuse
from scratch.instruction import registers_written

_ARGUMENTS: Final = frozenset((7, 6, 2, 1, 8, 9))
"""rdi, rsi, rdx, rcx, r8, r9."""


def at_fault(process: Process, thread: Thread, fault: way_out.Fault) -> None:
    """A displaced instruction of a window faults. The program's handler may return to it, in the middle of the window:
    all threads held, the jump gives way before the signal is delivered.
    """
    process.threads.held[thread.tid] = fault.signal << 8 | 0x7F
    if process.jumps.stands_at(fault.site):  # else another thread's fault has taken it away
        hold_others(process, thread)
        _trap_instead(process, {fault.site: fault.site})


def to_uprobe(process: Process, thread: Thread, overlaid: Overlaid) -> None:
    """A thread has met another tool's uprobe over a jump: the text comes back, so that the uprobe may go when it likes,
    and a trap serves the site from then on, where nobody else is in the way.
    """
    process.threads.held[thread.tid] = SIGTRAP << 8 | 0x7F
    trap_mask.block_again(process, thread.tid)
    hold_others(process, thread)
    if process.jumps.stands_at(overlaid.site):
        _trap_instead(process, {overlaid.site: overlaid.goes_to})


def look(process: Process) -> bool:
    """Look whether another tool's uprobe has come to a jump which that would break, or gone from there; if so the jump
    gives way. Returns whether the process is held then.
    """
    with contextlib.suppress(OSError):
        found = process.jumps.look(procfs.with_memory(process.pid))
        if found:
            hold(process)
            with contextlib.suppress(ProcessGone, TraceeEnded):
                _trap_instead(process, {site: process.jumps.way_out_of(site) for site in found})
            return True
    return False


def _trap_instead(process: Process, places: Mapping[int, int | None]) -> None:
    """Put traps in place of jumps: by site, at which address. All threads are held. Raises ProcessGone.

    If it is not the site, arguments may not be there what they were: where that is, or there is no such address, the
    site is given up.
    """
    tid = process.spare_thread()
    if tid is None:
        raise ProcessGone(process.pid)
    sites: list[Site] = []
    for site, address in places.items():
        first = process.jumps.code_at(site)
        number = process.jumps.withdraw(site)
        moved = address != site and process.control.whole_registers
        if address is None or (moved and not _ARGUMENTS.isdisjoint(registers_written(first))):
            process.changed.append(number)
        else:
            sites.append(Site(address, number))
    if sites and not free_guests.are_gone(process):
        process.changed += [site.identifier for site in sites]
        return
    try:
        with inject.seccomp_suspended(tid, OPTIONS), dumpable.looked_into(tid, process.gate):
            sites.sort(key=lambda site: site.address)
            outcomes = prepare_traps(process, SiteBatch(sites), tid)
            process.tracepoints.insert(process.watched.first)
    except CannotInject:
        process.changed += [site.identifier for site in sites]
        return
    refused = (isinstance(outcome, Refuse) for outcome in outcomes)
    process.changed += [site.identifier for site in compress(sites, refused)]
