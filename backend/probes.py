"""Probe descriptions matched with providers: `dtrace` (BEGIN, END, ERROR), `profile` (tick-N) and `pidN`.

A probe's ID is its number among all that a run can fire; records know it by this number. The functions of
processes are sites.py's and function_probes.py's, which are imported by the runs that have some; what serves a site
is the engine's choice.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Final, overload

from backend.errors import ProcessGone, ProcessNotPermitted
from backend.site_table import SiteKind
from dlang.diagnostics import did_you_mean, fail
from dlang.items import ProbeName
from dlang.layout import ERROR_SITE
from dlang.probe_description import ProbeDescription, is_glob, matcher, names_made_code
from dlang.source import Span

if TYPE_CHECKING:
    from backend.decoding import Decoded
    from backend.function_probes import LeftOut, ObjectProbes
    from backend.function_table import FunctionTable
    from backend.process_symbols import Symbols
    from backend.sites import PlacedFunction, PlacedFunctions

BEGIN_ID, END_ID, ERROR_ID = 1, 2, ERROR_SITE
_FIXED: Final = {"BEGIN": BEGIN_ID, "END": END_ID, "ERROR": ERROR_ID}
_LISTED_TICKS: Final = (1, 10, 100, 500, 1000, 5000)
_LISTED_PROFILES: Final = (97, 199, 499, 997, 1999, 4001, 4999)
"""The rates of the timed probes that DTrace has from the start, which globs match."""
_SHORTEST_PERIOD_NS: Final = 200_000
_MOST_ID: Final = (1 << 32) - 1

_UNITS_NS: Final = {
    "ns": 1, "nsec": 1, "us": 1000, "usec": 1000, "ms": 10**6, "msec": 10**6, "s": 10**9, "sec": 10**9,
    "m": 60 * 10**9, "min": 60 * 10**9, "h": 3600 * 10**9, "hour": 3600 * 10**9,
    "d": 86400 * 10**9, "day": 86400 * 10**9,
}  # fmt: skip
_OTHER_PROVIDERS: Final = frozenset(
    [
        "cpc",
        "fbt",
        "io",
        "ip",
        "lockstat",
        "lwp",
        "proc",
        "rawtp",
        "sched",
        "sdt",
        "syscall",
        "tcp",
        "udp",
        "vminfo",
    ]
)
_TIMED: Final = re.compile(r"(tick|profile)-([0-9]+)([A-Za-z]*)\Z")
_PID_PROVIDER: Final = re.compile(r"pid([0-9]+)\Z")


@dataclass(frozen=True, slots=True)
class Tick:
    """A tick-N probe's event: fires every `period_ns` nanoseconds, on one processor."""

    period_ns: int


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile-N probe's event: fires every `period_ns` nanoseconds, on every processor."""

    period_ns: int


@dataclass(frozen=True, slots=True)
class Fixed:
    """BEGIN, END or ERROR."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A probe of the consumer's own."""

    id: int
    name: ProbeName
    event: Tick | Profile | Fixed


_NOBODY: Final = ProbeName("", "", "", "")
_NO_OBJECT: Final = 0xFFFFFFFF


class ProbeNames(Sequence[ProbeName]):
    """The names of all probes by ID, ID 0 being nobody's: 16 bytes each, put together when asked for."""

    __slots__ = ("_details", "_numbers", "_objects", "_own", "_owners", "_places")

    def __init__(self) -> None:
        self._own: list[ProbeName] = []
        self._objects: list[ObjectProbes] = []
        self._numbers: dict[ObjectProbes, int] = {}
        """Where each is in `_objects`."""
        self._owners = array("I")
        """Of each ID the number of its object, _NO_OBJECT for what is in none."""
        self._places = array("I")
        """The function's among the object's, or the name's in `_own`."""
        self._details = array("Q")
        """Offset and kind."""
        self.add(_NOBODY)

    def add(self, name: ProbeName) -> int:
        """Take in a probe, and return its ID."""
        self._own.append(name)
        return self._append(_NO_OBJECT, len(self._own) - 1, 0)

    def reserve(self, numbers: int) -> None:
        """Give names to nothing until so many numbers have one."""
        while len(self) < numbers:
            self._append(_NO_OBJECT, 0, 0)

    def add_of_function(self, probes: ObjectProbes, place: int, kind: SiteKind, offset: int) -> int:
        """Take in the probe of a function, and return its ID."""
        owner = self._numbers.setdefault(probes, len(self._objects))
        if owner == len(self._objects):
            self._objects.append(probes)
        return self._append(owner, place, offset << 3 | kind)

    def add_again(self, number: int) -> int:
        """Return a new ID with the names of another."""
        return self._append(self._owners[number], self._places[number], self._details[number])

    def _append(self, owner: int, place: int, details: int) -> int:
        self._owners.append(owner)
        self._places.append(place)
        self._details.append(details)
        return len(self) - 1

    def function(self, number: int) -> tuple[ObjectProbes, int, SiteKind, int] | None:
        """Return whose probe an ID is, which function's, its kind and offset; None for one of the consumer's own."""
        owner = self._owners[number]
        if owner == _NO_OBJECT:
            return None
        details = self._details[number]
        return self._objects[owner], self._places[number], SiteKind(details & 7), details >> 3

    def __len__(self) -> int:
        return len(self._owners)

    @overload
    def __getitem__(self, number: int) -> ProbeName: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[ProbeName]: ...
    def __getitem__(self, number: int | slice) -> ProbeName | Sequence[ProbeName]:
        if isinstance(number, slice):
            return [self[each] for each in range(*number.indices(len(self)))]
        found = self.function(number)
        if found is None:
            return self._own[self._places[number]]
        owner, place, kind, offset = found
        return owner.name(place, kind, offset)


_NO_LIMIT: Final = 1 << 32


def _ignored(name: ProbeName) -> None:
    """Told of probes without room where there is always room."""


@dataclass(slots=True)
class Probes:
    """All probes of a run, each once, in the order in which descriptions first matched them.

    `symbols_of` gives the symbols of process `pid`, grabbing it where that has not been done; it raises
    CompileError (D_PROC_GRAB) with the span of the description that wants it. `left_out` are those that matched
    and that can't be placed, with their reasons. With `uretprobes` a function's return is the kernel's to find.
    """

    symbols_of: Callable[[int, Span], Symbols]
    uretprobes: bool = False
    events: dict[int, Probe] = field(default_factory=dict)
    names: ProbeNames = field(default_factory=ProbeNames)
    left_out: list[LeftOut] = field(default_factory=list)
    _ids: dict[str, int] = field(default_factory=dict)
    _objects: dict[tuple[int, FunctionTable], ObjectProbes] = field(default_factory=dict)
    _decoding: tuple[Symbols, Callable[[PlacedFunction], Decoded]] | None = None
    """What decodes the functions of the symbols that were asked for last."""

    def __post_init__(self) -> None:
        for name in _FIXED:
            self._add(name, ProbeName("dtrace", "", "", name), Fixed())

    def match(self, description: ProbeDescription, span: Span) -> Sequence[int]:
        """Return the IDs of the probes that a description matches; raises CompileError with the provider's own
        errors.

        None is a result; whether it is an error is the caller's business.
        """
        numbered = _PID_PROVIDER.match(description.provider)
        if numbered:
            return self._match_process(int(numbered[1]), description, span)
        if description.name.isdecimal() and not (
            description.provider or description.module or description.function
        ):
            return self._numbered(int(description.name), span)
        found = list(self._match_fixed(description))
        if (
            not description.module
            and not description.function
            and (description.provider or description.name)
            and matcher(description.provider)("profile")
        ):
            found.extend(self._match_timed(description.name))
        return found

    def _numbered(self, number: int, span: Span) -> list[int]:
        """Return the probe of an ID: one of the fixed ones, or one that an earlier description of the run matched."""
        if number > _MOST_ID:
            fail("D_PDESC_INVAL", span, f"identifier {number} exceeds maximum probe id")
        if not 0 < number < len(self.names):
            message = f"invalid probe identifier {number}: Unknown probe identifier"
            fail("D_PDESC_INVAL", span, message, "-l shows the numbers")
        return [number]

    def resolved(self, description: ProbeDescription, span: Span) -> ProbeDescription:
        """Return a description of a process as messages show it: with the program's name for `a.out`, and with all
        functions in place of none.
        """
        numbered = _PID_PROVIDER.match(description.provider)
        if numbered is None:
            return description
        module = description.module
        if module == "a.out":
            # The main program comes first.
            module = self.symbols_of(int(numbered[1]), span).objects[0].name
        return replace(description, module=module, function=description.function or "*")

    def hint(self, description: ProbeDescription, span: Span) -> str:
        """Return what may have been meant by a description that matches nothing."""
        numbered = _PID_PROVIDER.match(description.provider)
        if numbered:
            from backend.objects import matches_module
            from backend.sites import match_functions

            symbols = self.symbols_of(int(numbered[1]), span)
            if names_made_code(description.module):
                return _made_hint(symbols)
            objects = symbols.objects
            if any(matches_module(description.module, loaded) for loaded in objects):
                return match_functions(description, symbols).why_none or ""
            modules = [loaded.name for loaded in objects]
            # `libc` means libc.so.6.
            near = did_you_mean(description.module, [*modules, *(name.split(".")[0] for name in modules)])
            return near or f"{description.module} is not loaded; with -Z its probes wait until it is"
        if description.provider == "pid":
            return "pid$target, with -p or -c, or a process number behind it"
        if description.provider in _OTHER_PROVIDERS:
            return f"provider {description.provider} is not supported by this version of dtrap"
        if description.module or description.function:
            functions = "functions of a process are pid$target:library:function:entry"
            return did_you_mean(description.provider, ("dtrace", "profile")) or functions
        return did_you_mean(description.name, (*_FIXED, "tick-1s"))

    def _match_fixed(self, description: ProbeDescription) -> Iterator[int]:
        if (
            matcher(description.provider)("dtrace")
            and matcher(description.module)("")
            and matcher(description.function)("")
        ):
            accepts = matcher(description.name)
            for name, number in _FIXED.items():
                if accepts(name):
                    yield number

    def _match_timed(self, pattern: str) -> Iterator[int]:
        names = [pattern]
        if is_glob(pattern):
            listed = [f"profile-{rate}" for rate in _LISTED_PROFILES] + [
                f"tick-{rate}" for rate in _LISTED_TICKS
            ]
            names = list(filter(matcher(pattern), listed))
        for name in names:
            match = _TIMED.match(name)
            period = period_ns(int(match[2]), match[3]) if match else None
            if match and period is not None:
                event = Profile(period) if match[1] == "profile" else Tick(period)
                yield self._add(f"profile:::{name}", ProbeName("profile", "", "", name), event)

    def _match_process(self, pid: int, description: ProbeDescription, span: Span) -> Sequence[int]:
        if pid == 0:
            hint = "name the process: -p PID or -c COMMAND"
            fail("D_PROC_BADPID", span, "pid0 does not contain a valid pid", hint)
        # Symbols cost what a program without them need not pay.
        from backend import function_probes

        function_probes.check_name(description, span)
        symbols = self.symbols_of(pid, span)
        try:
            if description.function == function_probes.ABSOLUTE:
                return [self._absolute(function_probes.absolute(pid, description, symbols, span))]
            return array("I", self._match_within(pid, description, span, symbols))
        except (ProcessGone, ProcessNotPermitted) as error:
            fail("D_PROC_GRAB", span, f"failed to grab process {pid}", str(error))

    def match_within(
        self,
        description: ProbeDescription,
        pid: int,
        symbols: Symbols,
        room: int,
        no_room: Callable[[ProbeName], None],
    ) -> Iterator[int]:
        """Yield the IDs of the probes that a description of process `pid` matches in objects loaded later. `no_room` is
        told of those that would be new when there are `room` IDs. Raises CompileError."""
        return self._match_within(pid, description, Span(0, 0), symbols, room, no_room)

    def _match_within(
        self,
        pid: int,
        description: ProbeDescription,
        span: Span,
        symbols: Symbols,
        room: int = _NO_LIMIT,
        no_room: Callable[[ProbeName], None] = _ignored,
    ) -> Iterator[int]:
        from backend import function_probes

        matched = function_probes.functions_of(description, symbols, span)
        name = description.name
        self.left_out.extend(
            function_probes.LeftOut(pid, function, name, function.reason or "")
            for function in matched.refused
        )
        has_probes = False
        for functions, places in matched.objects:
            probes = self._of_object(pid, functions, symbols)
            for place in places:
                for kind, offset in function_probes.wanted(name, probes, place, self.left_out.append):
                    has_probes = True
                    new = partial(self._number, probes, place, kind, offset, room)
                    number = probes.give(place, kind, offset, new)
                    if number:
                        yield number
                    else:
                        no_room(probes.name(place, kind, offset))
        if not has_probes and not is_glob(description.function) and len(matched.functions) == 1:
            ((functions, (place,)),) = matched.objects
            probes = self._of_object(pid, functions, symbols)
            function_probes.explain_nothing(description, probes, place, span)

    def _number(self, probes: ObjectProbes, place: int, kind: SiteKind, offset: int, room: int) -> int:
        """Return a new ID for a function's probe; 0, which is nobody's, where there are `room` IDs already."""
        return self.names.add_of_function(probes, place, kind, offset) if len(self.names) < room else 0

    def _of_object(self, pid: int, functions: PlacedFunctions, symbols: Symbols) -> ObjectProbes:
        from backend.function_probes import ObjectProbes

        # What a process makes has a table of its own each time that it is looked at.
        key = pid, functions.table
        if key not in self._objects:
            decode = self._decode(symbols)
            self._objects[key] = ObjectProbes(pid, functions, decode, uretprobes=self.uretprobes)
        return self._objects[key]

    def forget_instructions(self) -> None:
        """Let go of what only matching needs to know of functions' instructions; it can be found out anew."""
        for probes in self._objects.values():
            probes.forget_instructions()

    def _decode(self, symbols: Symbols) -> Callable[[PlacedFunction], Decoded]:
        """Return what decodes a function of these symbols: one for all."""
        from backend.decoding import decode

        if self._decoding is None or self._decoding[0] is not symbols:
            self._decoding = symbols, partial(decode, symbols=symbols)
        return self._decoding[1]

    def _absolute(self, probes: ObjectProbes) -> int:
        """Return the ID of the probe at an address."""
        key = f"{probes.pid}:{probes.address:x}"
        if key not in self._ids:
            self._ids[key] = self.names.add_of_function(probes, 0, SiteKind.OFFSET, 0)
        return self._ids[key]

    def _add(self, key: str, name: ProbeName, event: Tick | Profile | Fixed) -> int:
        if key not in self._ids:
            number = self._ids[key] = self.names.add(name)
            self.events[number] = Probe(number, name, event)
        return self._ids[key]


def _made_hint(symbols: Symbols) -> str:
    """Return what may be the matter where nothing that the process has made matches."""
    made = next(loaded for loaded in symbols.objects if loaded.is_made)
    if symbols.functions(made).table:
        return "with -Z its probes wait until it is made"
    return f"its runtime lists no functions in /tmp/{made.path}; with -Z probes wait until it does"


def listed_by_default(probes: Probes) -> list[int]:
    """Return the IDs that `-l` lists without a description: the fixed probes and the customary ticks."""
    nowhere = Span(0, 0)
    ticks = [ProbeDescription("profile", "", "", f"tick-{rate}") for rate in _LISTED_TICKS]
    return [*_FIXED.values(), *(number for tick in ticks for number in probes.match(tick, nowhere))]


def period_ns(number: int, unit: str) -> int | None:
    """Return the period of `tick-<number><unit>`, or None where there is no such probe. No unit means hz."""
    unit = unit.lower()
    if unit in ("", "hz"):
        period = 10**9 // number if number else 0
    elif unit in _UNITS_NS:
        period = number * _UNITS_NS[unit]
    else:
        return None
    return period if period >= _SHORTEST_PERIOD_NS else None
