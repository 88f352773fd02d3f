"""Uprobes placed: each site of a plan where the kernel serves it rightly, and as cheaply as it can.

kernel_rules.py says which sites are left out, moving.py which go to a later instruction, attach.py attaches: one link
for each object and set of clauses. Hands links and refusals to engine.py.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from backend.engine import Plan, Refusal
from backend.linux import bpf
from backend.probes import Probe
from backend.process_symbols import Symbols
from backend.sites import Site
from backend.uprobes.attach import Attached, Point, attach_singly, attach_together
from backend.uprobes.kernel_rules import Accepted, rule_at_entry
from backend.uprobes.loader import PROGRAM_PREFIX, Loaded
from backend.uprobes.moving import moves, reads_of


@dataclass(frozen=True, slots=True)
class Armed:
    """`links` are descriptors that keep the probes in place; `refusals` the probes that are in none of them."""

    links: tuple[int, ...]
    refusals: tuple[Refusal, ...]


def arm(plan: Plan, loaded: Loaded, symbols: Symbols, pid: int | None, *, singly: bool) -> Armed:
    """Place every probe of a plan's sites; `pid` is the process to attach to, None where the programs look
    themselves. Raises OSError where it is no single place that is at fault."""
    links: list[int] = []
    refusals: list[Refusal] = []
    groups: dict[tuple[tuple[int, int], int, int], dict[int, Probe]] = {}
    for probe in plan.sites:
        # A file that is loaded twice (dlmopen) has one set of uprobes: the first of its probes stands for both.
        file, offset = _site(probe).object, _site(probe).file_offset
        key = file.device, file.inode, plan.unit_of[probe.id]
        groups.setdefault(key, {}).setdefault(offset, probe)
    for (_, _, unit), by_offset in groups.items():
        probes = list(by_offset.values())
        path = _site(probes[0]).object.open_path
        points, refused = _points(plan, unit, probes, symbols)
        refusals.extend(refused)
        section = PROGRAM_PREFIX + plan.units[unit].name
        attached = _attach(loaded, section, path, points, pid, singly=singly)
        links.extend(attached.links)
        by_id = {probe.id: probe for probe in probes}
        for point in attached.refused:
            reason = f"the kernel refuses it ({_error(point.errno)})"
            refusals.append(Refusal(by_id[point.point.cookie].name, reason))
    return Armed(tuple(links), tuple(refusals))


def _points(
    plan: Plan, unit: int, probes: Sequence[Probe], symbols: Symbols
) -> tuple[list[Point], list[Refusal]]:
    """Return where in the file the probes of one object and unit go, and those that the kernel must not get."""
    sites = [_site(probe) for probe in probes]
    reads = reads_of(plan.units[unit].enablings)
    points: list[Point] = []
    refusals: list[Refusal] = []
    for probe, site, offset in zip(probes, sites, moves(sites[0].object, sites, reads, symbols), strict=True):
        rule = rule_at_entry(site.code[offset:])
        if isinstance(rule, Accepted):
            points.append(Point(site.file_offset + offset, probe.id))
        else:
            refusals.append(Refusal(probe.name, rule.reason))
    return points, refusals


def _attach(
    loaded: Loaded, section: str, path: str, points: Sequence[Point], pid: int | None, *, singly: bool
) -> Attached:
    if singly:
        return attach_singly(loaded.code[section], "dtrap", path, points, pid)
    return attach_together(loaded.programs[section], path, points, pid)


def _site(probe: Probe) -> Site:
    assert isinstance(probe.event, Site), probe
    return probe.event


def _error(number: int) -> str:
    return "ENOTSUPP" if number == bpf.ENOTSUPP else os.strerror(number)
