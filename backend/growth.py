"""Libraries that a process loads while it is traced, and code that it makes: descriptions that match functions of
theirs take effect then.

A plan that may grow has room for more numbers (`Plan.room`), and a unit for each single enabling that may match later
(`Plan.alone`): what an engine has compiled before stays. The first enabling of a new probe goes by the probe's ID, each
further one by a number and a name of its own. Hands the new sites to the session, which has the engine place them.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from backend.engine import NO_UNIT, RETURNING, Plan, Refusal
from backend.errors import ProcessGone, ProcessNotPermitted
from backend.function_table import Function, table_of
from backend.link_map import LoaderState, loader_state
from backend.linux.procfs import Memory
from backend.objects import LoadedObject, loaded_objects
from backend.probes import Probes
from backend.process_symbols import Symbols
from backend.site_table import Sites
from backend.sites import PlacedFunction
from dlang.diagnostics import CompileError
from dlang.items import ProbeName
from dlang.probe_description import MADE, ProbeDescription
from dlang.target import UnitKind

if TYPE_CHECKING:
    from backend.made_code import Made, MadeCode

_INT3: Final = 0xCC
_ROOTS: Final = "/proc/{pid}/root"


@dataclass(frozen=True, slots=True)
class Grown:
    """What libraries that were loaded, or code that was made, have brought: their names, the new sites, and probes that
    there is no room for. `symbols` are theirs."""

    modules: tuple[str, ...]
    sites: Sites
    symbols: Symbols
    left_out: tuple[Refusal, ...]

    @property
    def named(self) -> bool:
        """Whether it is worth a line: a library is, what a runtime makes all the time is not."""
        return self.modules != (MADE,)


class Growth:
    """The objects of process `pid` that are known, and what becomes of new ones. `stack` closes their files; `made` is
    the code that it makes, where the plan wants some.

    `descriptions` are those of the plan's enablings. Adds to the plan's tables. Raises ProcessGone.
    """

    def __init__(
        self,
        plan: Plan,
        descriptions: Sequence[ProbeDescription],
        probes: Probes,
        pid: int,
        known: Sequence[LoadedObject],
        stack: ExitStack,
        made: MadeCode | None = None,
    ) -> None:
        self._plan = plan
        self._descriptions = descriptions
        self._probes = probes
        self._pid = pid
        self._stack = stack
        self._known = {_file(loaded) for loaded in known}
        self._made = made
        self._standing: dict[int, PlacedFunction] = {}
        """What the process has made and is probed, by address."""
        self._displaced: dict[int, int] = {}
        """The bytes that int3s may stand for there."""
        self._note(plan.sites)
        self._list: tuple[int, ...] | None = None
        self._loader: LoaderState | None = None
        self._memory: Memory | None = None

    def look(self) -> Grown | None:
        """Return what has been loaded since the last time, None if nothing that any description matches."""
        with suppress(ProcessGone, ProcessNotPermitted):
            if self._has_changed() and (grown := self._grow()):
                return grown
            if self._made is not None and (made := self._made.grown()):
                return self._take_made(made)
        return None

    def _has_changed(self) -> bool:
        """Tell whether the linker's list is another than it was. After exec it is looked for anew."""
        try:
            if self._memory is None:
                self._memory = self._stack.enter_context(Memory(self._pid))
                self._loader = loader_state(self._pid, self._memory.read)
            listed = self._loader.objects(self._memory.read) if self._loader else None
        except ProcessGone:
            self._memory = self._loader = None
            return False
        if listed is None or listed == self._list:
            return False
        self._list = listed
        return True

    def _grow(self) -> Grown | None:
        files = ExitStack()
        new = [loaded for loaded in loaded_objects(self._pid, files) if _file(loaded) not in self._known]
        self._known |= {_file(loaded) for loaded in new}
        if not new:
            files.close()
            return None
        self._stack.push(files)
        memory = self._stack.enter_context(Memory(self._pid))
        roots = (_ROOTS.format(pid=self._pid), "")
        symbols = self._stack.enter_context(Symbols(new, memory.read, roots))
        sites, left_out = self._take_in(symbols)
        self._probes.forget_instructions()
        modules = tuple(loaded.name for loaded in new)
        return Grown(modules, sites, symbols, left_out) if sites or left_out else None

    def _take_made(self, made: Made) -> Grown | None:
        """Match what the process has made since; what it lists once more and is the same is armed already."""
        with Memory(self._pid) as memory:

            def read(address: int, size: int) -> bytes:
                return self._without_int3s(address, memory.read(address, size))

            def is_new(function: Function) -> bool:
                known = self._standing.get(function.address)
                if known is None or (known.name, known.size) != (function.name, function.size):
                    return True
                return read(function.address, function.size) != known.code(0, known.size)

            new = table_of(filter(is_new, made.table), made.table.text)
            symbols = Symbols((), read, made=replace(made, table=new))
            sites, left_out = self._take_in(symbols)
        self._note(sites)
        return Grown((made.object.name,), sites, symbols, left_out) if sites or left_out else None

    def _without_int3s(self, address: int, content: bytes) -> bytes:
        """Return code of the process as it would be without us."""
        clean = bytearray(content)
        for place, byte in enumerate(content):
            if byte == _INT3 and address + place in self._displaced:
                clean[place] = self._displaced[address + place]
        return bytes(clean)

    def _note(self, sites: Sites) -> None:
        """Note which functions that the process has made have sites, and what is there."""
        for site in sites:
            if site.object.is_made:
                self._standing[site.function.address] = site.function
                self._displaced[site.address] = site.code[0]

    def _take_in(self, symbols: Symbols) -> tuple[Sites, tuple[Refusal, ...]]:
        """Match the descriptions with the functions of new objects; return their sites."""
        plan, names = self._plan, self._probes.names
        sites, unnumbered = Sites(), list[ProbeName]()
        names.reserve(len(plan.unit_of))
        for place, description in enumerate(self._descriptions):
            units = {kind: unit for (of, kind), unit in plan.alone.items() if of == place}
            if not units:
                continue
            with suppress(CompileError):
                for number in self._probes.match_within(
                    description, self._pid, symbols, plan.room, unnumbered.append
                ):
                    owner = names.function(number)
                    assert owner is not None, number
                    functions, function, kind, offset = owner
                    own = [
                        (where, how, RETURNING.get(how, UnitKind.PROCESS))
                        for where, how in functions.sites(function, kind, offset)
                    ]
                    plan.unit_of.extend([NO_UNIT] * (len(names) - len(plan.unit_of)))
                    taken = plan.unit_of[number] != NO_UNIT
                    if len(names) + len(own) - (not taken) > plan.room:
                        unnumbered.append(names[number])
                        continue
                    probe = self._number(number) if taken else number
                    for nth, (where, how, unit) in enumerate(own):
                        known_as = self._number(number) if nth else probe
                        plan.unit_of[known_as] = units[unit]
                        sites.add(functions.functions[function], how, where, probe, known_as)
        return sites, tuple(Refusal(name, _NO_ROOM) for name in unnumbered)

    def _number(self, like: int) -> int:
        """Return a new number, with the name of probe `like`."""
        number = self._probes.names.add_again(like)
        self._plan.unit_of.append(NO_UNIT)
        return number


_NO_ROOM: Final = "there is no room for so many probes of libraries that are loaded while they are traced"


def _file(loaded: LoadedObject) -> tuple[tuple[int, int], int]:
    return loaded.device, loaded.inode
