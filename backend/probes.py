"""Probe descriptions matched with providers: `dtrace` (BEGIN, END, ERROR), `profile` (tick-N) and `pidN`.

A probe's ID is its number among all that a run can fire; code and records know a site by the same number. The
functions of processes are matched in process_probes.py; what serves a site is the engine's choice.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from dlang.diagnostics import did_you_mean, fail, unsupported
from dlang.items import ProbeName
from dlang.probe_description import ProbeDescription, matcher
from dlang.source import Span

if TYPE_CHECKING:
    from backend.process_symbols import Symbols
    from backend.sites import Site

BEGIN_ID, END_ID, ERROR_ID = 1, 2, 3
_FIXED: Final = {"BEGIN": BEGIN_ID, "END": END_ID, "ERROR": ERROR_ID}
_LISTED_TICKS: Final = (1, 10, 100, 500, 1000, 5000)
_SHORTEST_PERIOD_NS: Final = 200_000

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
class Fixed:
    """BEGIN, END or ERROR."""


@dataclass(frozen=True, slots=True)
class Probe:
    id: int
    name: ProbeName
    event: Tick | Fixed | Site

    @property
    def is_site(self) -> bool:
        """Whether it is a place in a process, not an event of the consumer's."""
        return not isinstance(self.event, Tick | Fixed)


@dataclass(slots=True)
class Probes:
    """All probes of a run, each once, in the order in which descriptions first matched them.

    `symbols_of` gives the symbols of process `pid`, grabbing it where that has not been done; it raises
    CompileError (D_PROC_GRAB) with the span of the description that wants it. `left_out` are the functions that
    matched and that no probe can be placed on, with their reasons.
    """

    symbols_of: Callable[[int, Span], Symbols]
    by_id: dict[int, Probe] = field(default_factory=dict)
    left_out: list[Site] = field(default_factory=list)
    _ids: dict[tuple[str, str, int] | str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, number in _FIXED.items():
            self.by_id[number] = Probe(number, ProbeName("dtrace", "", "", name), Fixed())

    @property
    def names(self) -> list[ProbeName]:
        """Each probe's name by its ID; ID 0 is nobody's."""
        nobody = ProbeName("", "", "", "")
        return [self.by_id[number].name if number else nobody for number in range(len(self.by_id) + 1)]

    def match(self, description: ProbeDescription, span: Span) -> list[Probe]:
        """Return the probes that a description matches; raises CompileError with the provider's own errors.

        None is a result; whether it is an error is the caller's business.
        """
        numbered = _PID_PROVIDER.match(description.provider)
        if numbered:
            return self._match_process(int(numbered[1]), description, span)
        if description.provider == "pid":
            message = "'pid' is not a valid provider"
            fail("D_PROC_BADPROV", span, message, "pid$target, with -p or -c, or a process number behind it")
        if description.name.isdecimal() and not (
            description.provider or description.module or description.function
        ):
            return self._numbered(int(description.name), span)
        found = list(self._match_fixed(description))
        timed = _TIMED.match(description.name)
        if (
            timed
            and not description.module
            and not description.function
            and matcher(description.provider)("profile")
        ):
            found.extend(self._match_timed(timed, description.name, span))
        return found

    def _numbered(self, number: int, span: Span) -> list[Probe]:
        """Return the probe of an ID: one of the fixed ones, or one that an earlier description of the run matched."""
        if number not in self.by_id:
            message = f"invalid probe identifier {number}: Unknown probe identifier"
            fail("D_PDESC_INVAL", span, message, "-l shows the numbers")
        return [self.by_id[number]]

    def hint(self, description: ProbeDescription, span: Span) -> str:
        """Return what may have been meant by a description that matches nothing."""
        numbered = _PID_PROVIDER.match(description.provider)
        if numbered:
            modules = [loaded.name for loaded in self.symbols_of(int(numbered[1]), span).objects]
            # `libc` means libc.so.6.
            return did_you_mean(description.module, [*modules, *(name.split(".")[0] for name in modules)])
        if description.provider in _OTHER_PROVIDERS:
            return f"provider {description.provider} is not supported by this version of dtrap"
        if description.module or description.function:
            functions = "functions of a process are pid$target:library:function:entry"
            return did_you_mean(description.provider, ("dtrace", "profile")) or functions
        return did_you_mean(description.name, (*_FIXED, "tick-1s"))

    def _match_fixed(self, description: ProbeDescription) -> Iterator[Probe]:
        if (
            matcher(description.provider)("dtrace")
            and matcher(description.module)("")
            and matcher(description.function)("")
        ):
            accepts = matcher(description.name)
            for name, number in _FIXED.items():
                if accepts(name):
                    yield self.by_id[number]

    def _match_timed(self, match: re.Match[str], name: str, span: Span) -> Iterator[Probe]:
        period = period_ns(int(match[2]), match[3])
        if period is None:
            return
        if match[1] == "profile":
            unsupported(span, "profile-N probes")
        yield self._add(f"profile:::{name}", ProbeName("profile", "", "", name), Tick(period))

    def _match_process(self, pid: int, description: ProbeDescription, span: Span) -> list[Probe]:
        if pid == 0:
            fail("D_PROC_BADPID", span, "pid0 does not contain a valid pid")
        # Symbols cost what a program without them need not pay.
        from backend.process_probes import match_functions

        matched = match_functions(description, self.symbols_of(pid, span), span)
        self.left_out.extend(matched.refused)
        return [
            self._add(
                (site.object.path, site.name, site.address),
                ProbeName(f"pid{pid}", site.object.name, site.function, site.name),
                site,
            )
            for site in matched.sites
        ]

    def _add(self, key: tuple[str, str, int] | str, name: ProbeName, event: Tick | Fixed | Site) -> Probe:
        number = self._ids.setdefault(key, len(self.by_id) + 1)
        if number not in self.by_id:
            self.by_id[number] = Probe(number, name, event)
        return self.by_id[number]


def listed_by_default(probes: Probes) -> list[Probe]:
    """Return what `-l` lists without a description: the fixed probes and the customary ticks."""
    nowhere = Span(0, 0)
    ticks = [ProbeDescription("profile", "", "", f"tick-{rate}") for rate in _LISTED_TICKS]
    return [*probes.by_id.values(), *(probe for tick in ticks for probe in probes.match(tick, nowhere))]


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
