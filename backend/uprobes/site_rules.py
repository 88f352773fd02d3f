"""The kernel's rule for a site of a plan: kernel_rules.py asked with the site's code, by what the site is."""

from __future__ import annotations

from backend.site_table import Site, SiteKind
from backend.uprobes.kernel_rules import KernelRule, rule_at_entry, rule_inside


def rule_for(site: Site) -> KernelRule:
    """Return how the kernel treats a uprobe at this site."""
    at_entry = site.kind in (SiteKind.ENTRY, SiteKind.URETPROBE)
    return (rule_at_entry if at_entry else rule_inside)(site.code)
