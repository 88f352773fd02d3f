"""Int3s made ready in a held process: copies judged, what must come to the engine, what stands for our death.

Called by `engine` when sites are armed; the int3s themselves are written by `tracepoints`.
"""

from collections.abc import Sequence, Set

from backend.columns import Coded
from backend.fasttrap import trap_mask, upkeep
from backend.fasttrap.process import Process
from backend.fasttrap.site_batch import UNCOUNTED, SiteBatch
from backend.fasttrap.watched import watched_sites
from backend.linux import procfs
from scratch.displaced import Refuse, Way


def prepare_traps(process: Process, sites: SiteBatch, tid: int) -> Sequence[Way | Refuse]:
    """Make everything ready for int3s at sites; return how each will be served, or why it won't be, in the order given.
    System calls are made in the name of the held thread `tid`. Raises ProcessGone, CannotInject.
    """
    points = process.tracepoints
    if not sites and not process.loads:
        return []
    is_first = not points.table
    if is_first:
        process.watched = watched_sites(process.pid)
    wanted = process.brought | process.watched.returns | process.watched.tracing
    extra = [
        address
        for address in wanted.difference(wanted.intersection(sites.addresses))
        if points.table.index(address) is None
    ]
    shadow_stack = "shstk" in procfs.status(process.pid).thread_features
    again = {
        place
        for place, address in enumerate(sites.addresses)
        if points.table and points.table.index(address) is not None
    }
    fresh = sites.without_windows(place for place in range(len(sites)) if place not in again)
    for address in extra:
        fresh.add(address, UNCOUNTED)
    outcomes = points.prepare(fresh, tid, process.gate, shadow_stack=shadow_stack)
    renewed: dict[int, Way | Refuse] = {}
    if sites.made:
        renewed = _take_made(process, sites, again, shadow_stack=shadow_stack)
        for address, outcome in zip(fresh.addresses, outcomes, strict=True):
            if isinstance(outcome, Refuse):
                process.made.forget(address)
    process.bring_all()
    process.made.tell(points.table)
    process.secure(tid)
    if is_first:
        upkeep.secure_guests(process)
        trap_mask.unblock_in_handlers(process, tid)
        trap_mask.take_over_held(process)
    ways = iter(outcomes)
    found: Coded[Way | Refuse] = Coded()
    for place in range(len(sites)):
        if place in renewed:
            found.append(renewed[place])
        else:
            found.append(points.come_again(sites[place]) if place in again else next(ways))
    return found


def _take_made(
    process: Process, sites: SiteBatch, again: Set[int], *, shadow_stack: bool
) -> dict[int, Way | Refuse]:
    """Note what stands at the sites in code that the process has made; return how those that were there before,
    `again` by place, are served where their code is another one now.
    """
    places = [place for place, address in enumerate(sites.addresses) if sites.made_of(address) is not None]
    for place in places:
        made = sites.made_of(sites.addresses[place])
        assert made is not None
        process.made.take(made, sites.addresses[place])
    old = [place for place in places if place in again]
    if not old:
        return {}
    answers = process.tracepoints.renew(
        [sites[place] for place in old], process.occupied(), shadow_stack=shadow_stack
    )
    for place, answer in zip(old, answers, strict=True):
        if isinstance(answer, Refuse):
            process.made.forget(sites.addresses[place])
    return dict(zip(old, answers, strict=True))
