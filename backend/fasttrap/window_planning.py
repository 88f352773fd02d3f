"""Windows for the sites of a process, planned before anybody holds it: from the files of its objects.

Hands its result to the tracer, which sees whether the process has that text (`jumps`).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Final

from backend.errors import MalformedElf
from backend.fasttrap.scratch_space import taken
from backend.object_code import ObjectCode
from backend.object_windows import windows
from backend.objects import LoadedObject
from backend.process_symbols import Symbols
from scratch.placement import PAGE, candidates_within
from scratch.window_table import WindowTable
from scratch.windows import NoWindow, Window

GO: Final = "its code runs on the small stacks of goroutines"
SMALL_STACKS: Final = "its code runs on small stacks"
NO_FILE: Final = "its code is in no file"
_GO_SECTIONS: Final = frozenset((".gopclntab", ".note.go.buildid"))
_SPLIT_STACK: Final = tuple(map(bytes.fromhex, ("64483b242570000000", "644c3b142570000000")))
"""cmp %fs:0x70,%rsp, or with %r10 for it: how a function begins that was compiled with -fsplit-stack."""
_OCAML: Final = "caml_start_program"
"""A function of every OCaml program's runtime; OCaml 5 has its fibers on the heap."""
_CHUNK: Final = 1 << 20
_ROOM: Final = 4 * PAGE
"""What a region for few trampolines takes, at least."""


@dataclass(frozen=True, slots=True)
class Place:
    """An object of the process, how far above its file's addresses it lies now, and the sites in it."""

    object: LoadedObject
    bias: int
    sites: Sequence[int]


def plan_windows(
    pid: int, symbols: Symbols, place: Place, avoided: Iterable[int], tell: Callable[[str], object]
) -> WindowTable:
    """Return for each site, in the order given, the window for its jump, or why it has none.

    `avoided` are addresses that others, the kernel say, change. Whoever waits is told by `tell` what takes long. Raises
    ProcessGone.
    """
    occupied = taken(pid)

    @cache
    def room_in(low: int, high: int) -> bool:
        return next(candidates_within(occupied, (low - PAGE, high + _ROOM), _ROOM), None) is not None

    def placeable(low: int, high: int) -> bool:
        return room_in(low // PAGE * PAGE, -(-high // PAGE) * PAGE)

    planned = WindowTable()
    with suppress(MalformedElf):
        for site, window in _plan(symbols, place, avoided, placeable, tell):
            planned.add(site, window)
    for site in place.sites[len(planned) :]:
        planned.add(site, NoWindow(NO_FILE))
    return planned


def _plan(
    symbols: Symbols,
    place: Place,
    avoided: Iterable[int],
    placeable: Callable[[int, int], bool],
    tell: Callable[[str], object],
) -> Iterator[tuple[int, Window | NoWindow]]:
    code = symbols.code(place.object)
    if code is None:
        return
    if any(section.name in _GO_SECTIONS for section in code.file.sections):
        yield from ((site, NoWindow(GO)) for site in place.sites)
        return
    if symbols.functions(place.object).table.named(_OCAML) or _splits_stacks(code):
        yield from ((site, NoWindow(SMALL_STACKS)) for site in place.sites)
        return

    def takes_long() -> None:
        size_mib = sum(end - start for start, end in code.text) >> 20
        often = ", once for all runs" if code.file.build_id else ""
        what = f"looking where jumps may be in {size_mib} MiB of code of {place.object.name}"
        tell(f"{what}{often} (-x tier=trap does without)")

    planner = windows(code, place.bias, chain(place.sites, avoided), placeable, takes_long)
    yield from ((site, planner.plan(site)) for site in place.sites)


def _splits_stacks(code: ObjectCode) -> bool:
    """Tell whether some function of an object looks how much is left of its stack, since that may be little."""
    longest = max(map(len, _SPLIT_STACK))
    for start, end in code.text:
        for at in range(start, end, _CHUNK):
            part = code.read(at, _CHUNK + longest)
            if any(beginning in part for beginning in _SPLIT_STACK):
                return True
    return False
