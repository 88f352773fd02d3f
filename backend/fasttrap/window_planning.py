"""Windows for the sites of a process, planned before anybody holds it: from the files of its objects.

Hands its result to the tracer, which sees whether the process has that text (`jumps`).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from backend.errors import MalformedElf
from backend.fasttrap.scratch_space import taken
from backend.object_windows import windows
from backend.objects import LoadedObject
from backend.process_symbols import Symbols
from scratch.instruction import Instruction
from scratch.placement import PAGE, candidates_within
from scratch.windows import NoWindow, Window

GO: Final = "its code runs on the small stacks of goroutines"
NO_FILE: Final = "its code is in no file"
_GO_SECTIONS: Final = frozenset((".gopclntab", ".note.go.buildid"))
_ROOM: Final = 4 * PAGE
"""What a region for few trampolines takes, at least."""


@dataclass(frozen=True, slots=True)
class Place:
    """An object of the process, how far above its file's addresses it lies now, and the sites in it."""

    object: LoadedObject
    bias: int
    sites: Sequence[int]


def plan_windows(
    pid: int, symbols: Symbols, places: Iterable[Place], avoided: Iterable[int]
) -> Mapping[int, Window | NoWindow]:
    """Return for each site, by its address, the window for its jump, or why it has none.

    `avoided` are addresses that others, the kernel say, change. Raises ProcessGone.
    """
    occupied = taken(pid)
    avoided = tuple(avoided)

    def placeable(low: int, high: int) -> bool:
        return next(candidates_within(occupied, (low - PAGE, high + _ROOM), _ROOM), None) is not None

    found: dict[int, Window | NoWindow] = {}
    for place in places:
        found |= dict.fromkeys(place.sites, NoWindow(NO_FILE))
        with suppress(MalformedElf):
            found.update(_plan(symbols, place, avoided, placeable))
    return found


def _plan(
    symbols: Symbols, place: Place, avoided: Sequence[int], placeable: Callable[[int, int], bool]
) -> Iterator[tuple[int, Window | NoWindow]]:
    code = symbols.code(place.object)
    if code is None:
        return
    if any(section.name in _GO_SECTIONS for section in code.file.sections):
        yield from ((site, NoWindow(GO)) for site in place.sites)
        return
    planner = windows(code, place.bias, (*place.sites, *avoided), placeable)
    yield from ((site, planner.plan(site)) for site in place.sites)


def moved(window: Window | NoWindow, distance: int) -> Window | NoWindow:
    """Return the window in the same code that lies `distance` bytes higher."""
    if isinstance(window, NoWindow):
        return window
    return replace(
        window,
        site=window.site + distance,
        resume=window.resume + distance,
        instructions=tuple(_moved(instruction, distance) for instruction in window.instructions),
        reach=(window.reach[0] + distance, window.reach[1] + distance),
        expected=tuple((address + distance, text) for address, text in window.expected),
        spare=window.spare and window.spare + distance,
    )


def _moved(instruction: Instruction, distance: int) -> Instruction:
    target, operand = instruction.target, instruction.operand
    return replace(
        instruction,
        address=instruction.address + distance,
        target=None if target is None else target + distance,
        operand=None if operand is None else operand + distance,
    )
