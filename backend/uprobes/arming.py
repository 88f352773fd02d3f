"""Uprobes placed: each site of a plan where the kernel serves it rightly, and as cheaply as it can.

kernel_rules.py says which sites are left out, moving.py which go to a later instruction, attach.py attaches: one link
for each object, set of clauses and kind of site. Hands links and, for each site, how the kernel serves it to
engine.py.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from backend.engine import Answer, Plan, Unserved, Way
from backend.linux import bpf
from backend.objects import LoadedObject
from backend.others_jumps import OVER_JUMP
from backend.process_symbols import Symbols
from backend.site_table import Site, SiteKind
from backend.uprobes.attach import Attached, Point, attach_singly, attach_together
from backend.uprobes.kernel_rules import Accepted
from backend.uprobes.loader import PROGRAM_PREFIX, Loaded
from backend.uprobes.moving import moves, reads_of
from backend.uprobes.site_rules import SiteRules


@dataclass(frozen=True, slots=True)
class Armed:
    """`links` are descriptors that keep the probes in place; `answers` say of each site of the plan how it
    is served."""

    links: tuple[int, ...]
    answers: Sequence[Answer]


@dataclass(frozen=True, slots=True)
class _Group:
    """The sites that one link takes: those of one kind, in one object, that fire the same unit. `sites` are places
    in the plan's table.

    A file that is loaded twice (dlmopen) has one set of uprobes: sites of the other object are `copies` of those at
    the same offsets of the file, and have their answers.
    """

    unit: int
    kind: SiteKind
    object: LoadedObject
    sites: array[int] = field(default_factory=lambda: array("I"))
    copies: array[int] = field(default_factory=lambda: array("I"))


def arm(
    plan: Plan,
    loaded: Loaded,
    symbols: Symbols,
    pid: int | None,
    jumps: Sequence[tuple[int, int]],
    *,
    singly: bool,
) -> Armed:
    """Place every probe of a plan's sites; `pid` is the process to attach to, None where the programs look
    themselves. `jumps` are ranges of text that are somebody else's. Raises OSError where it is no single place that
    is at fault."""
    links: list[int] = []
    judged = _Judged(plan, jumps)
    # The kernel runs what was attached last first, and of one address the entry comes before the return, and one
    # clause before those behind it.
    for group in sorted(_groups(plan), key=lambda group: (-group.kind, -group.unit)):
        points = judged.points(group, symbols)
        section = PROGRAM_PREFIX + plan.units[group.unit].name
        if group.object.is_made:
            continue
        path = group.object.open_path
        attached = _attach(loaded, section, path, points, pid, group.kind, singly=singly)
        links.extend(attached.links)
        judged.refuse({point.point.cookie: _error(point.errno) for point in attached.refused}, group)
    return Armed(tuple(links), judged.answers())


def foresee(plan: Plan, symbols: Symbols) -> list[Answer]:
    """Return what `arm` would answer, as far as the kernel need not be asked."""
    judged = _Judged(plan)
    for group in _groups(plan):
        judged.points(group, symbols)
    return judged.answers()


def _groups(plan: Plan) -> list[_Group]:
    found: dict[tuple[tuple[int, int], int, int, SiteKind], _Group] = {}
    for place, site in enumerate(plan.sites):
        file, unit = site.object, plan.unit_of[site.number]
        key = file.device, file.inode, unit, site.kind
        if key not in found:
            found[key] = _Group(unit, site.kind, file)
        group = found[key]
        (group.sites if group.object is file else group.copies).append(place)
    return [_with_own(group, plan) if group.copies else group for group in found.values()]


def _with_own(group: _Group, plan: Plan) -> _Group:
    """Return the group with those of its copies among its sites that are copies of none (IFUNCs bound otherwise)."""
    known = {plan.sites[place].file_offset for place in group.sites}
    copies = array("I")
    for place in group.copies:
        offset = plan.sites[place].file_offset
        (copies if offset in known else group.sites).append(place)
        known.add(offset)
    return replace(group, copies=copies)


class _Judged:
    """How each site of a plan is served, as far as it is known."""

    def __init__(self, plan: Plan, jumps: Sequence[tuple[int, int]] = ()) -> None:
        self._plan = plan
        self._jumped = {address for start, end in jumps for address in range(start, end)}
        self._answers: list[Answer | None] = [None] * len(plan.sites)
        self._rules = SiteRules(plan.sites)

    def points(self, group: _Group, symbols: Symbols) -> list[Point]:
        """Return where in the file the probes of a group go, without those that the kernel must not get."""
        points: list[Point] = []
        for place, site, offset in zip(
            group.sites, self._sites(group), self._moves(group, symbols), strict=True
        ):
            rule = self._rules.of(site, offset)
            if site.address + offset in self._jumped:
                self._answers[place] = Unserved(OVER_JUMP)
            elif isinstance(rule, Accepted):
                points.append(Point(site.file_offset + offset, site.number))
                self._answers[place] = Way.UPROBE_EMULATED if rule.emulated else Way.UPROBE_STEPPED
            else:
                self._answers[place] = Unserved(rule.reason)
        self._answer_copies(group)
        return points

    def _sites(self, group: _Group) -> Iterator[Site]:
        return map(self._plan.sites.__getitem__, group.sites)

    def _moves(self, group: _Group, symbols: Symbols) -> Sequence[int]:
        """Return how far behind its site each probe goes. Where single instructions are probed none is moved: it
        would fire after theirs."""
        if group.kind is not SiteKind.ENTRY or group.object.is_made:
            return bytes(len(group.sites))
        sites = list(self._sites(group))
        own = [site for site in sites if site.object is group.object]
        found = moves(group.object, own, reads_of(self._plan.units[group.unit].every_enabling), symbols)
        dissected = self._plan.sites.dissected
        moved = [0 if dissected(site.function) else offset for site, offset in zip(own, found, strict=True)]
        return moved + [0] * (len(sites) - len(own))

    def refuse(self, refused: dict[int, str], group: _Group) -> None:
        """Take in which sites of a group the kernel has refused, by number, and why."""
        if not refused:
            return
        for place, site in zip(group.sites, self._sites(group), strict=True):
            if site.number in refused:
                self._answers[place] = Unserved(f"the kernel refuses it ({refused[site.number]})")
        self._answer_copies(group)

    def _answer_copies(self, group: _Group) -> None:
        if not group.copies:
            return
        sites = self._plan.sites
        by_offset = {sites[place].file_offset: self._answers[place] for place in group.sites}
        for place in group.copies:
            self._answers[place] = by_offset[sites[place].file_offset]

    def answers(self) -> list[Answer]:
        """Return the answers to all sites."""
        return [answer for answer in self._answers if answer is not None]


def _attach(
    loaded: Loaded,
    section: str,
    path: str,
    points: Sequence[Point],
    pid: int | None,
    kind: SiteKind,
    *,
    singly: bool,
) -> Attached:
    returns = kind is SiteKind.URETPROBE
    if singly:
        return attach_singly(loaded.code[section], "dtrap", path, points, pid, returns=returns)
    return attach_together(loaded.programs[section], path, points, pid, returns=returns)


def _error(number: int) -> str:
    return "ENOTSUPP" if number == bpf.ENOTSUPP else os.strerror(number)
