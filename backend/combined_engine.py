"""Two engines as one: each has its own sites, the first also runs BEGIN, END, ERROR and ticks.

They share no variables (choice.py sees to that); aggregations are added up, records taken from both.
"""

from __future__ import annotations

import select
from collections import Counter
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from backend.choice import refused_by_kernel
from backend.engine import Engine, Refusal, SiteCoverage
from backend.probes import Probe
from backend.site_table import Sites
from dlang.aggregation_store import EngineRequest
from dlang.aggregations import Aggregation, Cell, Key, merge
from dlang.notices import Loss

if TYPE_CHECKING:
    from backend.fasttrap.trap_engine import TrapEngine
    from backend.process_symbols import Symbols


class CombinedEngine:
    """backend.engine.Engine made of two; whoever made those closes them."""

    def __init__(self, first: Engine, second: TrapEngine) -> None:
        self._first = first
        self._second = second
        self._poll = select.epoll()
        for engine in (first, second):
            self._poll.register(engine.fileno(), select.EPOLLIN)

    def __enter__(self) -> CombinedEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._poll.close()

    @property
    def samples(self) -> bool:
        return self._first.samples

    def fire(self, probe: Probe, arguments: Sequence[int] = ()) -> None:
        self._first.fire(probe, arguments)

    def attach(self) -> tuple[Refusal, ...]:
        # What takes long comes first: our own calls run slowly where uprobes are in what we share with the process.
        self._second.prepare()
        return (*self._first.attach(), *self._second.attach())

    @property
    def lost(self) -> bool:
        return self._first.lost or self._second.lost

    @property
    def loading(self) -> bool:
        return self._first.loading or self._second.loading

    def extend(self, sites: Sites, symbols: Symbols | None) -> tuple[Refusal, ...]:
        refused = refused_by_kernel(sites)
        kernel = sites.at(place for place in range(len(sites)) if place not in refused)
        trap = sites.at(sorted(refused))
        return (*self._first.extend(kernel, symbols), *self._second.extend(trap, symbols))

    def withdrawn(self) -> tuple[Refusal, ...]:
        return (*self._first.withdrawn(), *self._second.withdrawn())

    def take_disarmed(self) -> bool:
        first, second = self._first.take_disarmed(), self._second.take_disarmed()
        return first or second

    def detach(self) -> None:
        self._first.detach()
        self._second.detach()

    def fileno(self) -> int:
        return self._poll.fileno()

    @property
    def patience_ns(self) -> int:
        return min(self._first.patience_ns, self._second.patience_ns)

    def drain(self, limit: int) -> list[bytes]:
        return [*self._first.drain(limit), *self._second.drain(limit)]

    def snapshot(self, aggregation: Aggregation) -> dict[Key, Cell]:
        cells = dict(self._first.snapshot(aggregation))
        for key, cell in self._second.snapshot(aggregation).items():
            cells[key] = merge(aggregation, cells[key], cell) if key in cells else cell
        return cells

    def carry_out(self, request: EngineRequest) -> None:
        self._first.carry_out(request)
        self._second.carry_out(request)

    def free_speculation(self, number: int) -> None:
        self._first.free_speculation(number)
        self._second.free_speculation(number)

    def dropped(self) -> Mapping[Loss, int]:
        return Counter(self._first.dropped()) + Counter(self._second.dropped())

    def refresh(self) -> None:
        self._first.refresh()
        self._second.refresh()

    def coverage(self) -> list[SiteCoverage]:
        return [*self._first.coverage(), *self._second.coverage()]
