"""The table of out-of-line-step coverage: how many sites are served in which way, for each module, with their hits.

Sites as engines describe them (backend.engine.SiteCoverage) in; the table, and its rendering as text and as JSON, out.
docs/coverage.md says what it means to a user, and is the schema of the JSON. Pure.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from backend.engine import SiteCoverage, Trapped, Unserved, Way
from backend.function_probes import LeftOut
from dlang.escape import printable_name

VERSION: Final = 2
"""Of the JSON: grows when a reader of the older one would go wrong."""


@dataclass(frozen=True, slots=True)
class Row:
    """The sites of one module, or of all: how many each way serves, how many each reason refuses, and the hits.

    `trapped` are those, among the served, that were to be served by jumps and are not, by reason.
    """

    name: str
    served: Mapping[Way, int]
    refused: Mapping[str, int]
    trapped: Mapping[str, int]
    hits: Mapping[Way, int]

    @property
    def sites(self) -> int:
        return sum(self.served.values()) + sum(self.refused.values())


@dataclass(frozen=True, slots=True)
class Coverage:
    """The table. With `traced` unset nothing was run: how sites would be served is known, hits there are none of."""

    modules: tuple[Row, ...]
    traced: bool

    @property
    def total(self) -> Row:
        served, refused, trapped, hits = Counter[Way](), Counter[str](), Counter[str](), Counter[Way]()
        for row in self.modules:
            served.update(row.served)
            refused.update(row.refused)
            trapped.update(row.trapped)
            hits.update(row.hits)
        return Row("total", served, refused, trapped, hits)


_Counts = tuple[Counter[Way], Counter[str], Counter[str], Counter[Way]]


def tabulate(sites: Iterable[SiteCoverage], left_out: Iterable[LeftOut], *, traced: bool) -> Coverage:
    """Return the table of the sites that engines know and of those that no probe can be placed on.

    Modules come in the order of their first site. `left_out` may name a place several times: it counts once.
    """
    rows: dict[str, _Counts] = {}

    def row(module: str) -> _Counts:
        return rows.setdefault(module, (Counter(), Counter(), Counter(), Counter()))

    for site in sites:
        served, refused, trapped, hits = row(site.module)
        match site.answer:
            case Way() as way:
                served[way] += 1
                hits[way] += site.hits
            case Trapped(way=way, reason=reason):
                served[way] += 1
                trapped[reason] += 1
                hits[way] += site.hits
            case Unserved(reason=reason):
                refused[reason] += 1
    places = {(each.function.object.path, each.function.address, each.name): each for each in left_out}
    for each in places.values():
        row(each.function.object.name)[1][each.reason] += 1
    return Coverage(tuple(Row(name, *counts) for name, counts in rows.items()), traced)


# --- as text ------------------------------------------------------------------------------------------------


def render_text(coverage: Coverage) -> str:
    """Return the table: for each module, and for all where there are several, a line for each way and reason."""
    rows = list(coverage.modules)
    if len(rows) != 1:
        rows.append(coverage.total)
    lines = [line for row in rows for line in _lines(row)]
    width = max(len(label) for label, _, _ in lines)
    heading = f"{'':{width}} {'sites':>8}" + (f" {'hits':>12}" if coverage.traced else "")
    body = [
        f"{label:{width}} {sites:>8}" + (f" {hits:>12}" if coverage.traced and hits is not None else "")
        for label, sites, hits in lines
    ]
    return "".join(f"{line}\n" for line in (heading, *body))


def _lines(row: Row) -> list[tuple[str, int, int | None]]:
    """Return label, sites and hits of a row's lines; refused sites have no hits."""
    lines: list[tuple[str, int, int | None]] = [(printable_name(row.name), row.sites, sum(row.hits.values()))]
    lines.extend(
        (f"  {way.value}", row.served[way], row.hits.get(way, 0)) for way in Way if row.served.get(way)
    )
    if row.trapped:
        lines.append(("  of these not by jumps", sum(row.trapped.values()), None))
        lines.extend((f"    {reason}", count, None) for reason, count in _by_count(row.trapped))
    if row.refused:
        lines.append(("  refused", sum(row.refused.values()), None))
        lines.extend((f"    {reason}", count, None) for reason, count in _by_count(row.refused))
    return lines


def _by_count(refused: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(refused.items(), key=lambda item: (-item[1], item[0]))


# --- as JSON ------------------------------------------------------------------------------------------------


def render_json(coverage: Coverage) -> str:
    """Return the table as one JSON object; docs/coverage.md has its schema."""
    document = {
        "version": VERSION,
        "traced": coverage.traced,
        "modules": [{"name": row.name} | _members(row, coverage) for row in coverage.modules],
        "total": _members(coverage.total, coverage),
    }
    return json.dumps(document, indent=2) + "\n"


def _members(row: Row, coverage: Coverage) -> dict[str, object]:
    return {
        "sites": row.sites,
        "served": {way.value: row.served.get(way, 0) for way in Way},
        "refused": dict(_by_count(row.refused)),
        "trapped": dict(_by_count(row.trapped)),
        "hits": {way.value: row.hits.get(way, 0) for way in Way} if coverage.traced else None,
    }
