"""The table of out-of-line-step coverage: how many sites are served in which way, for each module, and for
entries, returns and offsets apart, with their hits.

Sites as engines describe them (backend.engine.SiteCoverage) in; the table, and its rendering as text and as JSON, out.
docs/coverage.md says what it means to a user, and is the schema of the JSON. Pure.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from backend.engine import Answer, SiteCoverage, Trapped, Unserved, Way
from backend.function_probes import ENTRY, RETURN, LeftOut
from backend.site_table import SiteKind
from dlang.escape import printable_name
from dlang.probe_description import matcher

VERSION: Final = 2
"""Of the JSON: grows when a reader of the older one would go wrong."""


class Kind(Enum):
    """What a site belongs to, as people say it."""

    ENTRY = "entry"
    RETURN = "return"
    OFFSET = "offset"


_KINDS: Final = {
    SiteKind.ENTRY: Kind.ENTRY,
    SiteKind.OFFSET: Kind.OFFSET,
    SiteKind.RETURN: Kind.RETURN,
    SiteKind.BRANCH: Kind.RETURN,
    SiteKind.URETPROBE: Kind.RETURN,
}


@dataclass(frozen=True, slots=True)
class Counts:
    """How many sites each way serves, how many each reason refuses, and the hits.

    `trapped` are those, among the served, that were to be served by jumps and are not, by reason.
    """

    served: Counter[Way] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    trapped: Counter[str] = field(default_factory=Counter)
    hits: Counter[Way] = field(default_factory=Counter)

    @property
    def sites(self) -> int:
        return self.served.total() + self.refused.total()

    def add(self, answer: Answer, hits: int) -> None:
        """Count one site."""
        match answer:
            case Way() as way:
                self.served[way] += 1
                self.hits[way] += hits
            case Trapped(way=way, reason=reason):
                self.served[way] += 1
                self.trapped[reason] += 1
                self.hits[way] += hits
            case Unserved(reason=reason):
                self.refused[reason] += 1


def _together(parts: Iterable[Counts]) -> Counts:
    whole = Counts()
    for part in parts:
        whole.served.update(part.served)
        whole.refused.update(part.refused)
        whole.trapped.update(part.trapped)
        whole.hits.update(part.hits)
    return whole


@dataclass(frozen=True, slots=True)
class Row:
    """The sites of one module, or of all, by what they belong to."""

    name: str
    kinds: Mapping[Kind, Counts]

    @property
    def all(self) -> Counts:
        return _together(self.kinds.values())


@dataclass(frozen=True, slots=True)
class Coverage:
    """The table. With `traced` unset nothing was run: how sites would be served is known, hits there are none of."""

    modules: tuple[Row, ...]
    traced: bool

    @property
    def total(self) -> Row:
        own = {kind: [row.kinds[kind] for row in self.modules if kind in row.kinds] for kind in Kind}
        return Row("total", {kind: _together(parts) for kind, parts in own.items() if parts})


def tabulate(sites: Iterable[SiteCoverage], left_out: Iterable[LeftOut], *, traced: bool) -> Coverage:
    """Return the table of the sites that engines know and of those that no probe can be placed on.

    Modules come in the order of their first site. `left_out` may name a place several times: it counts once.
    """
    rows: dict[str, dict[Kind, Counts]] = {}

    def counts(module: str, kind: Kind) -> Counts:
        return rows.setdefault(module, {}).setdefault(kind, Counts())

    for site in sites:
        counts(site.module, _KINDS[site.kind]).add(site.answer, site.hits)
    places = {(each.function.object.path, each.function.address, each.name): each for each in left_out}
    for each in places.values():
        counts(each.function.object.name, _meant(each.name)).add(Unserved(each.reason), 0)
    return Coverage(tuple(Row(name, kinds) for name, kinds in rows.items()), traced)


def _meant(name: str) -> Kind:
    """Return what the name part of a description asks for first; the function that it is asked of has no place."""
    accepts = matcher(name)
    return Kind.ENTRY if accepts(ENTRY) else Kind.RETURN if accepts(RETURN) else Kind.OFFSET


# --- as text ------------------------------------------------------------------------------------------------


def render_text(coverage: Coverage) -> str:
    """Return the table: for each module, and for all where there are several, a line for each way and reason.

    Where there are sites of several kinds, each module has these lines for each kind.
    """
    rows = list(coverage.modules)
    total = coverage.total
    if len(rows) != 1:
        rows.append(total)
    lines = [line for row in rows for line in _lines(row, by_kind=len(total.kinds) > 1)]
    width = max(len(label) for label, _, _ in lines)
    heading = f"{'':{width}} {'sites':>8}" + (f" {'hits':>12}" if coverage.traced else "")
    body = [
        f"{label:{width}} {sites:>8}" + (f" {hits:>12}" if coverage.traced and hits is not None else "")
        for label, sites, hits in lines
    ]
    return "".join(f"{line}\n" for line in (heading, *body))


_Line = tuple[str, int, int | None]
"""Label, sites and hits; refused sites have no hits."""


def _lines(row: Row, *, by_kind: bool) -> list[_Line]:
    whole = row.all
    first = printable_name(row.name), whole.sites, whole.hits.total()
    if not by_kind:
        return [first, *_ways(whole, "  ")]
    lines: list[_Line] = [first]
    for kind in Kind:
        if own := row.kinds.get(kind):
            lines.append((f"  {kind.value}", own.sites, own.hits.total()))
            lines.extend(_ways(own, "    "))
    return lines


def _ways(counts: Counts, indent: str) -> Iterator[_Line]:
    for way in Way:
        if served := counts.served[way]:
            yield f"{indent}{way.value}", served, counts.hits[way]
    for title, reasons in (("of these not by jumps", counts.trapped), ("refused", counts.refused)):
        if reasons:
            yield f"{indent}{title}", reasons.total(), None
            for reason, count in _by_count(reasons):
                yield f"{indent}  {reason}", count, None


def _by_count(refused: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(refused.items(), key=lambda item: (-item[1], item[0]))


# --- as JSON ------------------------------------------------------------------------------------------------


def render_json(coverage: Coverage) -> str:
    """Return the table as one JSON object; docs/coverage.md has its schema."""
    document = {
        "version": VERSION,
        "traced": coverage.traced,
        "modules": [{"name": row.name} | _row(row, coverage) for row in coverage.modules],
        "total": _row(coverage.total, coverage),
    }
    return json.dumps(document, indent=2) + "\n"


def _row(row: Row, coverage: Coverage) -> dict[str, object]:
    kinds = {kind.value: _members(row.kinds[kind], coverage) for kind in Kind if kind in row.kinds}
    return _members(row.all, coverage) | {"kinds": kinds}


def _members(counts: Counts, coverage: Coverage) -> dict[str, object]:
    return {
        "sites": counts.sites,
        "served": {way.value: counts.served[way] for way in Way},
        "refused": dict(_by_count(counts.refused)),
        "trapped": dict(_by_count(counts.trapped)),
        "hits": {way.value: counts.hits[way] for way in Way} if coverage.traced else None,
    }
