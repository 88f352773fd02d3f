"""The probes of a process's functions: `entry`, `return`, and one for each instruction, with their IDs and sites.

Lives here: what the name part of a description means, and the errors of dtrace(1) for names that mean nothing.
Matching functions is sites.py's, their instructions decoding.py's. Hands IDs to probes.py, and the sites of each
to whoever makes a plan.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from backend.decoding import Decoded, decode
from backend.function_table import Function
from backend.linux.procfs import RemoteAddr
from backend.objects import MAIN_PROGRAM, LoadedObject, matches_module
from backend.process_symbols import Symbols
from backend.site_table import SiteKind
from backend.sites import (
    MatchedFunctions,
    PlacedFunction,
    PlacedFunctions,
    function_at,
    match_functions,
    near_names,
)
from dlang.diagnostics import fail
from dlang.items import ProbeName
from dlang.probe_description import ProbeDescription, is_glob, matcher, names_made_code
from dlang.source import Span

ENTRY: Final = "entry"
RETURN: Final = "return"
ABSOLUTE: Final = "-"
"""The function whose offsets are addresses."""

_OFFSET: Final = re.compile(r"[0-9a-fA-F]+\Z")
_HEXADECIMAL: Final = frozenset("0123456789abcdef")
_SET: Final = re.compile(r"\[[^\]]*\]")


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A probe that matched and that can't be: of which process and function, its name, and why."""

    pid: int
    function: PlacedFunction
    name: str
    reason: str


class ObjectProbes:
    """The probes of one object's functions, by the places of these among `functions`, with their IDs in columns.

    `decode` finds the instructions of a function. `address` is what stands for the name where the function is
    ABSOLUTE.
    """

    __slots__ = (
        "_decode",
        "_decoded",
        "_entry_ids",
        "_offset_ids",
        "_return_ids",
        "address",
        "functions",
        "pid",
        "uretprobes",
    )

    def __init__(
        self,
        pid: int,
        functions: PlacedFunctions,
        decode: Callable[[PlacedFunction], Decoded],
        *,
        uretprobes: bool = False,
        address: int = 0,
    ) -> None:
        self.pid = pid
        self.functions = functions
        self.uretprobes = uretprobes
        self.address = address
        self._decode = decode
        self._decoded: dict[int, Decoded] = {}
        # IDs are 0 for what nobody asked for.
        self._entry_ids = array("I", bytes(4 * len(functions)))
        self._return_ids = array("I")
        self._offset_ids: dict[int, array[int]] = {}
        """Of functions that have some, one for each instruction."""

    def decoded(self, place: int) -> Decoded:
        """Return what is known of a function's instructions."""
        if place not in self._decoded:
            self._decoded[place] = self._decode(self.functions[place])
        return self._decoded[place]

    def give(self, place: int, kind: SiteKind, offset: int, new: Callable[[], int]) -> int:
        """Return the ID of a probe, `new()` if it has none; `offset` matters for instructions only."""
        match kind:
            case SiteKind.ENTRY:
                ids = self._entry_ids
            case SiteKind.OFFSET:
                starts = self.decoded(place).starts
                if place not in self._offset_ids:
                    self._offset_ids[place] = array("I", bytes(4 * len(starts)))
                ids = self._offset_ids[place]
                place = bisect_left(starts, offset)
            case _:
                if not self._return_ids:
                    self._return_ids = array("I", bytes(4 * len(self.functions)))
                ids = self._return_ids
        if not ids[place]:
            ids[place] = new()
        return ids[place]

    def name(self, place: int, kind: SiteKind, offset: int) -> ProbeName:
        """Return the names of a probe."""
        match kind:
            case SiteKind.ENTRY:
                name = ENTRY
            case SiteKind.OFFSET:
                name = f"{offset:x}"
            case _:
                name = RETURN
        function = self.functions[place].name
        if function == ABSOLUTE:
            name = f"{self.address:x}"
        return ProbeName(f"pid{self.pid}", self.functions.object.name, function, name)

    def sites(self, place: int, kind: SiteKind, offset: int) -> Iterator[tuple[int, SiteKind]]:
        """Yield offset and kind of each site of a probe."""
        if kind is SiteKind.RETURN:
            decoded = self.decoded(place)
            yield from ((exit_, SiteKind.RETURN) for exit_ in decoded.exits)
            yield from ((branch, SiteKind.BRANCH) for branch in decoded.branches)
        else:
            yield offset, kind

    def forget_instructions(self) -> None:
        """Let go of what is known of instructions, which takes more memory than all else."""
        self._decoded = {}
        self._offset_ids = {}


def check_name(description: ProbeDescription, span: Span) -> None:
    """Raise CompileError (D_PROC_NAME, D_PROC_LIB) for a probe name that can't be any."""
    name = description.name
    if description.function == ABSOLUTE:
        if is_glob(name):
            message = "only individual addresses may be specified with the '-' function"
            fail("D_PROC_NAME", span, message, "an address of the process, hexadecimal, without 0x")
        if description.module != MAIN_PROGRAM:
            fail("D_PROC_LIB", span, "only the a.out module is valid with the '-' function")
        if not _OFFSET.match(name):
            hint = "an address of the process, hexadecimal, without 0x"
            fail("D_PROC_NAME", span, f"'{name}' is an invalid probe name", hint)
    elif not (name in (ENTRY, RETURN) or is_glob(name) or _OFFSET.match(name)):
        hint = "entry, return, or an offset: hexadecimal digits without 0x"
        fail("D_PROC_NAME", span, f"'{name}' is an invalid probe name", hint)


def functions_of(description: ProbeDescription, symbols: Symbols, span: Span) -> MatchedFunctions:
    """Return the functions that a description matches. Raises CompileError (D_PROC_FUNC)."""
    matched = match_functions(description, symbols)
    if not matched.objects and not matched.refused:
        _explain_no_function(description, symbols, span)
    return matched


def wanted(
    name: str, probes: ObjectProbes, place: int, left_out: Callable[[LeftOut], None]
) -> Iterator[tuple[SiteKind, int]]:
    """Yield kind and offset of the probes of a function that a probe name matches; offsets ascend.

    A name that is one offset matches only where an instruction begins; whoever knows the function's name says
    more of others (`explain_offset`).
    """
    if name == ENTRY:
        yield SiteKind.ENTRY, 0
        return
    accepts = matcher(name)
    if accepts(ENTRY):
        yield SiteKind.ENTRY, 0
    if accepts(RETURN):
        if probes.uretprobes:
            yield SiteKind.URETPROBE, 0
        elif (decoded := probes.decoded(place)).no_exits:
            left_out(LeftOut(probes.pid, probes.functions[place], RETURN, decoded.no_exits))
        elif decoded.exits or decoded.branches:
            yield SiteKind.RETURN, 0
    if not is_glob(name):
        if _OFFSET.match(name) and _begins(probes, place, int(name, 16)):
            yield SiteKind.OFFSET, int(name, 16)
    elif _matches_offsets(name):
        decoded = probes.decoded(place)
        for offset in decoded.starts:
            if accepts(f"{offset:x}"):
                yield SiteKind.OFFSET, offset
        if decoded.unknown:
            left_out(LeftOut(probes.pid, probes.functions[place], "some offsets", decoded.unknown))


def _begins(probes: ObjectProbes, place: int, offset: int) -> bool:
    if offset >= probes.functions[place].size:
        return False
    starts = probes.decoded(place).starts
    found = bisect_left(starts, offset)
    return found < len(starts) and starts[found] == offset


def _matches_offsets(pattern: str) -> bool:
    """Say whether a glob can match hexadecimal digits, as far as its plain characters tell."""
    return _HEXADECIMAL.issuperset(_SET.sub("", pattern).replace("*", "").replace("?", ""))


def explain_nothing(description: ProbeDescription, probes: ObjectProbes, place: int, span: Span) -> None:
    """Raise for a description that names one function, and a probe that this function doesn't have.

    D_PROC_OFF, or D_PROC_CREATEFAIL where it can't be known. A function that never returns has no `return`: that is
    no error of the provider's.
    """
    name, function, decoded = description.name, probes.functions[place], probes.decoded(place)
    if name == RETURN and decoded.no_exits:
        message = f"failed to create return probe for '{function.name}': {decoded.no_exits}"
        fail("D_PROC_CREATEFAIL", span, message, "-x returns=uretprobe has the kernel find its return")
    if not _OFFSET.match(name):
        return
    offset = int(name, 16)
    if offset >= function.size:
        message = f"offset 0x{offset:x} outside of function '{function.name}'"
        fail("D_PROC_OFF", span, message, f"it has 0x{function.size:x} bytes")
    message = f"no instruction of function '{function.name}' begins at offset 0x{offset:x}"
    fail("D_PROC_OFF", span, message, decoded.unknown or _near(decoded.starts, offset))


def absolute(pid: int, description: ProbeDescription, symbols: Symbols, span: Span) -> ObjectProbes:
    """Return the function `-` whose only instruction is the one at the address that the description names.

    An address of the process, in the program's code or in what it has made at run time; or one of the program's file,
    where the process has neither there. Raises CompileError (D_PROC_CREATEFAIL, D_PROC_OFF).
    """
    address = int(description.name, 16)
    candidates = [loaded for loaded in symbols.objects if loaded.main or loaded.is_made]
    holding = next((loaded for loaded in candidates if loaded.text_at(RemoteAddr(address))), None)
    place = address if holding else address + candidates[0].bias
    function = function_at(holding or candidates[0], place, symbols)
    if function is None:
        words = f"failed to lookup 0x{address:x} in module '{MAIN_PROGRAM}'"
        fail("D_PROC_NAME", span, words, f"no function {_that_is_known(holding)} is there")
    if function.reason:
        message = f"failed to create probes at '-+0x{address:x}': {function.reason}"
        fail("D_PROC_CREATEFAIL", span, message)
    offset = place - function.address
    decoded = decode(function, symbols)
    if offset not in decoded.starts:
        message = f"no instruction of the program begins at 0x{address:x}"
        fail("D_PROC_OFF", span, message, decoded.unknown or _near(decoded.starts, offset, address - offset))
    here = function.among.only(Function(function.own_address + offset, function.size - offset, ABSOLUTE))
    only = Decoded(array("i", (0,)), array("i"), array("i"))
    return ObjectProbes(pid, here, lambda _: only, address=address)


def _that_is_known(loaded: LoadedObject | None) -> str:
    return f"in /tmp/{loaded.path}" if loaded is not None and loaded.is_made else "of the program"


def _near(starts: Sequence[int], offset: int, base: int = 0) -> str:
    """Return where the instructions next to an offset begin, counted from `base`."""
    place = bisect_left(starts, offset)
    near = [f"{base + start:x}" for start in starts[max(place - 1, 0) : place + 1]]
    return f"those next to it begin at {' and '.join(near)}"


def _explain_no_function(description: ProbeDescription, symbols: Symbols, span: Span) -> None:
    """Raise D_PROC_FUNC where a function named without a glob is missing in an object named without one."""
    module, function = description.module, description.function
    if is_glob(function) or is_glob(module) or names_made_code(module):
        return
    objects = [loaded for loaded in symbols.objects if matches_module(module, loaded)]
    if not objects:
        return
    names = [name for loaded in objects for name in symbols.functions(loaded).table.all_names()]
    near = near_names(function, names)
    hint = f"did you mean {', '.join(near)}?" if near else ""
    fail("D_PROC_FUNC", span, f"failed to lookup '{function}' in module '{module}'", hint)
