"""In which order a clause's actions may stand around speculate() and commit(): DTrace guide, "Speculative Tracing".

check_action.py asks before it makes each action. The words are DTrace's (libdtrace/dt_cg.c).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from dlang.actions import ACTIONS, Function
from dlang.diagnostics import fail
from dlang.source import Span

_SILENT: Final = frozenset(
    ["speculate", "commit", "discard", "raise", "stop", "copyout", "copyoutstr", "exit"]
)
"""Actions that record no data."""


@dataclass(slots=True)
class Order:
    """What has stood in the clause so far."""

    speculated: bool = False
    committed: bool = False
    recorded: bool = False

    def check(self, name: str, span: Span) -> None:
        """Raise where the action of that name may not come now, and note that it did."""
        match name:
            case "speculate":
                for before, word, tag in (
                    (self.speculated, "speculate( )", "SPEC"),
                    (self.committed, "commit( )", "COMM"),
                    (self.recorded, "data-recording action(s)", "DREC"),
                ):
                    if before:
                        fail(f"D_SPEC_{tag}", span, f"speculate( ) may not follow {word}")
                self.speculated = True
            case "commit":
                if self.recorded:
                    fail("D_COMM_DREC", span, "commit( ) may not follow data-recording action(s)")
                self.committed = True
            case "exit" if self.speculated:
                fail("D_EXIT_SPEC", span, "exit( ) may not follow speculate( )")
            case "exit" if self.committed:
                fail("D_DREC_COMM", span, "data-recording actions may not follow commit( )")
        self.check_destructive(ACTIONS[name], span)
        if name not in _SILENT:
            if self.committed:
                fail("D_DREC_COMM", span, "data-recording actions may not follow commit( )")
            self.recorded = True

    def check_destructive(self, row: Function, span: Span) -> None:
        """Raise where an action is destructive and what the clause records is held back."""
        if row.destructive and self.speculated:
            fail("D_ACT_SPEC", span, "destructive actions may not follow speculate( )")

    def check_aggregation(self, span: Span) -> None:
        """Raise where an aggregation may not come now, and note that it did."""
        if self.committed:
            fail("D_AGG_COMM", span, "aggregating actions may not follow commit( )")
        if self.speculated:
            fail("D_AGG_SPEC", span, "aggregating actions may not follow speculate( )")
        self.recorded = True
