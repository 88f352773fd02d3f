"""Windows of many sites in little memory: columns, some thirty bytes a site, made objects when asked for.

A process has a hundred thousand functions. What a window is, and which there are, is windows.py's.
"""

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, overload

from scratch.windows import NoWindow, Way, Window

_NONE: Final = 255
_WAYS: Final = tuple(Way)
_NUMBERS: Final = {way: number for number, way in enumerate(_WAYS)}


class WindowTable(Sequence[Window | NoWindow]):
    """Plans of sites, in the order in which they were added."""

    __slots__ = (
        "_details",
        "_ends",
        "_leads",
        "_prefixes",
        "_reasons",
        "_sizes",
        "_text",
        "_ways",
        "_written",
        "sites",
    )

    def __init__(self) -> None:
        self.sites = array("Q")
        self._sizes = bytearray()
        self._written = bytearray()
        self._ways = bytearray()
        self._prefixes = bytearray()
        self._leads = bytearray()
        self._details = array("h")
        """How far the spare bytes are from the site; of a site without a window the number of the reason."""
        self._text = bytearray()
        self._ends = array("I")
        """Where each site's text ends."""
        self._reasons: list[str] = []

    def add(self, site: int, plan: Window | NoWindow) -> None:
        """Append the plan of a site."""
        self.sites.append(site)
        if isinstance(plan, NoWindow):
            if plan.reason not in self._reasons:
                self._reasons.append(plan.reason)
            row = (0, 0, _NONE, 0, 0, self._reasons.index(plan.reason))
        else:
            spare = plan.spare and plan.spare - site
            row = (plan.size, plan.written, _NUMBERS[plan.way], plan.prefixes, plan.lead, spare)
            self._text += plan.text
            self._text += plan.spare_text
        size, written, way, prefixes, lead, detail = row
        self._sizes.append(size)
        self._written.append(written)
        self._ways.append(way)
        self._prefixes.append(prefixes)
        self._leads.append(lead)
        self._details.append(detail)
        self._ends.append(len(self._text))

    def __len__(self) -> int:
        return len(self.sites)

    @overload
    def __getitem__(self, index: int) -> Window | NoWindow: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Window | NoWindow]: ...
    def __getitem__(self, index: int | slice) -> Window | NoWindow | Sequence[Window | NoWindow]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        way, detail, site = self._ways[index], self._details[index], self.sites[index]
        if way == _NONE:
            return NoWindow(self._reasons[detail])
        text = bytes(self._text[self._ends[index - 1] if index else 0 : self._ends[index]])
        size, written, prefixes = self._sizes[index], self._written[index], self._prefixes[index]
        lead = self._leads[index]
        at_start = max(lead + size, written) if detail else len(text)
        return Window(
            site,
            size,
            text[:at_start],
            written,
            _WAYS[way],
            detail and site + detail,
            text[at_start:],
            prefixes,
            lead,
        )

    def window(self, index: int) -> Window:
        """Return the window of a site that has one."""
        found = self[index]
        assert isinstance(found, Window), (index, found)
        return found

    def find(self, site: int) -> Window | NoWindow:
        """Return the plan of a site, where sites were added in ascending order."""
        place = bisect_left(self.sites, site)
        assert place < len(self) and self.sites[place] == site, hex(site)
        return self[place]

    def moved(self, index: int, distance: int) -> Window | NoWindow:
        """Return the plan of a site, as it is where the same code lies `distance` bytes higher."""
        plan = self[index]
        if isinstance(plan, NoWindow) or not distance:
            return plan
        return replace(plan, site=plan.site + distance, spare=plan.spare and plan.spare + distance)

    def way(self, index: int) -> Way:
        """Return the way of such a window."""
        return _WAYS[self._ways[index]]

    def places(self) -> Sequence[int]:
        """Return the places of the sites that have windows."""
        return array("I", (place for place, way in enumerate(self._ways) if way != _NONE))
