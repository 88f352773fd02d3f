"""Which engine serves a site, and why. Pure: sites and what is known of kernel and process in, a choice out.

Uprobes serve what the kernel serves rightly. What it would refuse, or execute wrongly, fasttrap serves in the same
run; and everything, where uprobes can't be used at all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from backend.engine import Plan
from backend.site_table import Sites
from dlang.target import UnitKind


@dataclass(frozen=True, slots=True)
class Choice:
    """The sites of each engine, and the reasons in a line each. `kernel_runs` says whether the kernel also runs the
    clauses of BEGIN, END and ticks."""

    kernel: Sites
    trap: Sites
    kernel_runs: bool
    reasons: tuple[str, ...]


def choose(
    plan: Plan,
    wanted: Literal["auto", "uprobes", "fasttrap"],
    kernel_unusable: str | None,
    trap_unusable: str | None,
) -> Choice:
    """Return who serves what. `kernel_unusable` and `trap_unusable` say why an engine is out of the question.

    A program is split only where its clauses do nothing but aggregate: variables live in one engine's memory, the
    rows of two engines would be out of order, and exit() in one would not stop the other's clauses at once.
    """
    sites, none = plan.sites, Sites()
    if wanted == "uprobes":
        return Choice(sites, none, kernel_runs=True, reasons=("uprobes serve all sites, as asked for",))
    if wanted == "fasttrap":
        return Choice(none, sites, kernel_runs=False, reasons=("fasttrap serves all sites, as asked for",))
    if kernel_unusable is not None:
        return Choice(
            none, sites, kernel_runs=False, reasons=(f"fasttrap serves all sites: {kernel_unusable}",)
        )
    refused = refused_by_kernel(sites)
    if plan.later_made and trap_unusable is None and not (refused and _only_aggregates(plan)):
        reason = "fasttrap serves all sites: the process may make code that is asked for"
        return Choice(none, sites, kernel_runs=False, reasons=(reason,))
    if not refused:
        return Choice(sites, none, kernel_runs=True, reasons=("uprobes serve all sites",))
    count = f"{len(refused)} of {len(sites)} sites that the kernel would refuse or execute wrongly"
    in_no_file = sum(sites[place].object.is_made for place in refused)
    if in_no_file:
        others = len(refused) - in_no_file
        count = f"{in_no_file} of {len(sites)} sites, in code that no file holds" + (
            f", and {others} that the kernel would refuse or execute wrongly" if others else ""
        )
    if trap_unusable is not None:
        return Choice(sites, none, kernel_runs=True, reasons=(f"nothing serves {count}: {trap_unusable}",))
    if not _only_aggregates(plan):
        reason = f"fasttrap serves all sites, since clauses do more than aggregate and there are {count}"
        return Choice(none, sites, kernel_runs=False, reasons=(reason,))
    kernel = sites.at(place for place in range(len(sites)) if place not in refused)
    reasons = (f"uprobes serve {len(kernel)} sites", f"fasttrap serves {count}")
    return Choice(kernel, sites.at(sorted(refused)), kernel_runs=True, reasons=reasons)


def _only_aggregates(plan: Plan) -> bool:
    """Say whether no clause of a site keeps a variable or sends a record."""
    own = [unit for unit in plan.units if unit.kind is not UnitKind.CONSUMER]
    records = any(enabling.clause.record_size for unit in own for enabling in unit.every_enabling)
    program = plan.program
    shared = program.globals_size or program.thread_size or program.arrays or program.speculations
    return not (records or shared)


def restricted(plan: Plan, sites: Sites) -> Plan:
    """Return the plan with only these of its sites; all other probes stay."""
    return replace(plan, sites=sites)


def refused_by_kernel(sites: Sites) -> set[int]:
    """Return the places in the table of the sites that are not the kernel's to serve.

    Those are whole addresses: two engines must not write their breakpoints over one instruction.
    """
    # Asked of sites only: a run without any need not import this.
    from backend.uprobes.kernel_rules import Accepted
    from backend.uprobes.site_rules import SiteRules

    rules = SiteRules(sites)
    refused = {site.address for site in sites if not isinstance(rules.of(site), Accepted)}
    return {place for place, site in enumerate(sites) if site.address in refused} if refused else set()
