"""What the kernel engine says to a site of a plan: kernel_rules.py asked with the site's code, by what the site is; and
how many sites of one file are too many.
"""

from __future__ import annotations

from typing import Final

from backend.site_table import CODE_BYTES, Site, SiteKind, Sites
from backend.uprobes.kernel_rules import KernelRule, Refused, rule_at_entry, rule_inside

MOST_IN_FILE: Final = 20_000
"""Sites of one file that the kernel gets. It walks all uprobes of a file whenever any process maps it, and takes them
away one by one: with all instructions of libc every exec on the machine took a second."""

TOO_MANY: Final = (
    f"too many for the kernel: more than {MOST_IN_FILE} sites in one file slow down whoever maps it"
)


NO_FILE: Final = "no file holds this code: uprobes are tied to files"


class SiteRules:
    """The rules for the sites of a plan."""

    def __init__(self, sites: Sites) -> None:
        self._crowded = {file for file, count in sites.counts().items() if count > MOST_IN_FILE}

    def of(self, site: Site, moved: int = 0) -> KernelRule:
        """Return how the kernel treats a uprobe at this site, or so many bytes behind it, where it does as well."""
        if site.object.is_made:
            return Refused(NO_FILE)
        if self._crowded and (site.object.device, site.object.inode) in self._crowded:
            return Refused(TOO_MANY)
        if moved:
            return rule_at_entry(site.function.code(site.offset + moved, CODE_BYTES))
        at_entry = site.kind in (SiteKind.ENTRY, SiteKind.URETPROBE)
        return (rule_at_entry if at_entry else rule_inside)(site.code)
