"""Where an address of the traced process is: in which object and function, also when the process has ended.

Lives here: the search over all objects that the process has, or had. Not here: reading symbols
(backend/process_symbols.py), keeping the list of objects (backend/process_objects.py), text (dlang/symbol_text.py).
"""

from __future__ import annotations

from collections.abc import Callable

from backend.function_table import Function
from backend.objects import LoadedObject
from backend.perf_map import PerfMap
from backend.process_objects import ProcessObjects
from backend.process_symbols import Symbols
from dlang.symbol_text import Location


class ProcessNames:
    """dlang.symbol_text.Resolver of one process; answers are kept, since stacks have most frames in common.

    `made` knows what the process has made at run time; `shown` makes of a function's name the one to show: see
    backend/demangling.py.
    """

    def __init__(
        self,
        objects: ProcessObjects,
        symbols: Symbols,
        made: PerfMap,
        shown: Callable[[str], str] | None = None,
    ) -> None:
        self._objects = objects
        self._made = made
        self._shown = shown
        self._symbols = symbols
        self._known: dict[tuple[int, bool], Location] = {}

    def locate(self, address: int, *, returned: bool = False) -> Location | None:
        """See dlang.symbol_text.Resolver. Where there were several objects at an address, the last is meant."""
        key = address, returned
        if key not in self._known:
            found = self._locate(address, returned=returned)
            if found is None:
                return None
            self._known[key] = found
        return self._known[key]

    def _locate(self, address: int, *, returned: bool) -> Location | None:
        loaded = self._object_at(address)
        if loaded is None and self._objects.look():
            loaded = self._object_at(address)
        if loaded is None:
            made = self._made.at(address - 1 if returned else address)
            if made is None:
                return None
            start, _, name = made
            return Location(self._made.name, address, name, address - start, 0)
        own = address - loaded.bias
        # Behind a call that doesn't return there may be another function, or none; a signal's handler returns to a
        # function's first byte.
        function = (self._function_at(loaded, own - 1) if returned else None) or self._function_at(
            loaded, own
        )
        if function is None:
            return Location(loaded.name, own, None, 0, loaded.bias)
        name = function.name if self._shown is None else self._shown(function.name)
        return Location(loaded.name, own, name, own - function.address, loaded.bias)

    def _object_at(self, address: int) -> LoadedObject | None:
        for loaded in self._objects.seen:
            if any(part.start <= address < part.end for part in loaded.text):
                return loaded
        # usym() of a variable.
        for loaded in self._objects.seen:
            own = address - loaded.bias
            if any(0 <= own - part.address < part.memory_bytes for part in loaded.segments):
                return loaded
        return None

    def _function_at(self, loaded: LoadedObject, address: int) -> Function | None:
        functions = self._symbols.names(loaded)
        place = functions.place_around(address)
        return None if place is None else functions[place]
