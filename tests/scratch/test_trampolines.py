"""Many trampolines: what is put together from parts is what is built for each, and what is kept of windows is whole."""

import pickle
import random
from functools import cache

from backend.sweeper import sweep
from scratch.displaced import leads_on
from scratch.sweep import Flow
from scratch.trampoline import LOCK, ClauseCall, InlineCount, Shards, Trampoline, UnitCall, build
from scratch.trampolines import Trampolines
from scratch.window_table import WindowTable
from scratch.windows import NoWindow, Way, Window, Windows
from tests.scratch.forms import text_of
from tests.scratch.test_windows import AT, LIBC, address_set

GATE = 0x7FFF_0000_0000
CALLS: tuple[ClauseCall, ...] = (
    InlineCount(GATE, (GATE + 800,), Shards(3, 9)),
    InlineCount(GATE, (GATE - 16, GATE + 8000), Shards(0, 0)),
    UnitCall(GATE, ((GATE + 0x1000, 77),), whole_registers=False),
    UnitCall(GATE, ((GATE + 0x1000, 77), (GATE + 0x2000, 4)), whole_registers=True),
)
SIZE = 200_000


@cache
def plans_of_libc() -> list[tuple[int, Window | NoWindow]]:
    """Windows at some of libc's instructions, returns among them; any fifth of all instructions may be entered."""
    code = text_of(LIBC)[0][:SIZE]
    swept = sweep(code, AT)
    instructions = [address for address, flow in swept.instructions() if flow is not Flow.INVALID]
    chance = random.Random(1)
    returns = list(swept.of(frozenset((Flow.RET,))))
    sites = sorted({*chance.sample(instructions, 900), *chance.sample(returns, 300)})
    entered = address_set(AT, SIZE, chance.sample(instructions, len(instructions) // 5))

    def read(address: int, size: int) -> bytes:
        return code[address - AT : address - AT + size]

    windows = Windows(entered, sites, read, lambda _: swept, lambda _low, _high: True)
    return [(site, windows.plan(site)) for site in sites]


def goes_on_behind_the_first(built: Trampoline, window: Window) -> bool:
    """Tell whether a thread put there is as if it had executed a window's first instruction and nothing else."""
    first = (window.leading + window.instructions)[0]
    if not leads_on(first):
        return True
    place = built.translate(built.address + built.behind_first)
    return place is not None and place.resume is not None and place.resume.address == first.next


def additions(call: ClauseCall) -> int:
    return len(call.cells) if isinstance(call, InlineCount) else 0


def test_trampolines_put_together_are_those_that_are_built() -> None:
    trampolines = Trampolines()
    chance = random.Random(2)
    known = led = 0
    for _, window in plans_of_libc():
        if not isinstance(window, Window):
            continue
        call = chance.choice(CALLS)
        low, high = trampolines.reach(window)
        if low >= high:
            continue
        at = chance.randrange(low, high)
        built = build(window.instructions, at, call, window.leading)
        code = built.code
        assert trampolines.code(window, at, call) == (bytearray(code), built.behind_first), window
        assert goes_on_behind_the_first(built, window), window
        assert trampolines.locks(window, call) == built.locks, window
        assert [code[lock : lock + 1] for lock in built.locks] == [LOCK] * additions(call)
        size = trampolines.size(window, call)
        assert size >= len(code), window
        known += size == len(code)
        led += window.lead > 0 and size == len(code)
    assert known > 300
    assert led > 30


def test_table_keeps_what_windows_are() -> None:
    plans = plans_of_libc()
    table = WindowTable()
    for site, plan in plans:
        table.add(site, plan)
    table = pickle.loads(pickle.dumps(table))
    assert list(table) == [plan for _, plan in plans]
    windows = [place for place, (_, plan) in enumerate(plans) if isinstance(plan, Window)]
    assert list(table.places()) == windows
    assert {table.way(place) for place in windows} == set(Way)
    assert any(isinstance(plan, NoWindow) for _, plan in plans)
    for site, plan in plans:
        assert table.find(site) == plan
    for place in windows:
        there = table.moved(place, 0x1000)
        window = table.window(place)
        assert isinstance(there, Window)
        trampoline = window.reach[0]
        assert there.patches(trampoline + 0x1000) == tuple(
            (address + 0x1000, written) for address, written in window.patches(trampoline)
        )
