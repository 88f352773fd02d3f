"""Uprobes placed: each site of a plan where the kernel serves it rightly, and as cheaply as it can.

kernel_rules.py says which sites are left out, moving.py which go to a later instruction, attach.py attaches: one link
for each object and set of clauses. Hands links and, for each site, how the kernel serves it to engine.py.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from backend.engine import Answer, Plan, Unserved, Way
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
    """`links` are descriptors that keep the probes in place; `answers` say of each site, by probe ID, how it is
    served."""

    links: tuple[int, ...]
    answers: Mapping[int, Answer]


@dataclass(frozen=True, slots=True)
class _Group:
    """The probes that one link takes: those of one file that fire the same unit, by offset in the file.

    A file that is loaded twice (dlmopen) has one set of uprobes: the first of the probes of one offset stands for all.
    """

    unit: int
    by_offset: Mapping[int, Sequence[Probe]]

    @property
    def leaders(self) -> list[Probe]:
        return [probes[0] for probes in self.by_offset.values()]

    def for_all(self, answers: Mapping[int, Answer]) -> dict[int, Answer]:
        """Return the answer to every probe, given the leaders'."""
        return {probe.id: answers[probes[0].id] for probes in self.by_offset.values() for probe in probes}


def arm(plan: Plan, loaded: Loaded, symbols: Symbols, pid: int | None, *, singly: bool) -> Armed:
    """Place every probe of a plan's sites; `pid` is the process to attach to, None where the programs look
    themselves. Raises OSError where it is no single place that is at fault."""
    links: list[int] = []
    answers: dict[int, Answer] = {}
    for group in _groups(plan):
        points, judged = _points(plan, group, symbols)
        section = PROGRAM_PREFIX + plan.units[group.unit].name
        path = _site(group.leaders[0]).object.open_path
        attached = _attach(loaded, section, path, points, pid, singly=singly)
        links.extend(attached.links)
        for point in attached.refused:
            judged[point.point.cookie] = Unserved(f"the kernel refuses it ({_error(point.errno)})")
        answers |= group.for_all(judged)
    return Armed(tuple(links), answers)


def foresee(plan: Plan, symbols: Symbols) -> dict[int, Answer]:
    """Return what `arm` would answer, by probe ID, as far as the kernel need not be asked."""
    answers: dict[int, Answer] = {}
    for group in _groups(plan):
        answers |= group.for_all(_points(plan, group, symbols)[1])
    return answers


def _groups(plan: Plan) -> list[_Group]:
    found: dict[tuple[tuple[int, int], int, int], dict[int, list[Probe]]] = {}
    for probe in plan.sites:
        file, offset = _site(probe).object, _site(probe).file_offset
        key = file.device, file.inode, plan.unit_of[probe.id]
        found.setdefault(key, {}).setdefault(offset, []).append(probe)
    return [_Group(unit, by_offset) for (_, _, unit), by_offset in found.items()]


def _points(plan: Plan, group: _Group, symbols: Symbols) -> tuple[list[Point], dict[int, Answer]]:
    """Return where in the file the probes of a group go, without those that the kernel must not get; and how the
    kernel serves each, by probe ID."""
    probes = group.leaders
    sites = [_site(probe) for probe in probes]
    reads = reads_of(plan.units[group.unit].enablings)
    points: list[Point] = []
    answers: dict[int, Answer] = {}
    for probe, site, offset in zip(probes, sites, moves(sites[0].object, sites, reads, symbols), strict=True):
        rule = rule_at_entry(site.code[offset:])
        if isinstance(rule, Accepted):
            points.append(Point(site.file_offset + offset, probe.id))
            answers[probe.id] = Way.UPROBE_EMULATED if rule.emulated else Way.UPROBE_STEPPED
        else:
            answers[probe.id] = Unserved(rule.reason)
    return points, answers


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
