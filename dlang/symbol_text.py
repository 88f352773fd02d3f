"""Addresses of the traced process as text: frames of stacks, and what usym() and its like show.

Who knows the process's functions gives a Resolver (backend/naming.py); without one all addresses are numbers. Source:
d-language.md §12. Results go to `output.py` and `printf_render.py`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from dlang.escape import printable_name
from dlang.types import SymbolPart
from dlang.unwind_format import INTERRUPTED

FRAME_INDENT: Final = 14
"""Blanks before a frame, if nothing else is asked for: option stackindent."""


@dataclass(frozen=True, slots=True)
class Location:
    """Where an address is: in an object, by its base name, and in a function of it, if one is known there.

    `address` is what the object's own file calls the place, `offset` how far it is from the function's beginning, 0
    where none is known. `bias` is what the process adds to addresses of the file.
    """

    object: str
    address: int
    function: str | None
    offset: int
    bias: int


class Resolver(Protocol):
    """Who knows where addresses are."""

    def locate(self, address: int, *, returned: bool = False) -> Location | None:
        """Return where an address is, or None. A `returned` one is where a call returns to: it belongs to the function
        that the byte before it is in."""


@dataclass(frozen=True, slots=True)
class AddressNames:
    """How addresses are shown. `numbers` is option noresolve: frames by object and offset; `indent` is stackindent."""

    resolver: Resolver | None = None
    numbers: bool = False
    indent: int = FRAME_INDENT

    def address(self, address: int) -> str:
        """Return ``object`function+0x1a``, or as much of it as is known."""
        return _whole(address, self._locate(address))

    def symbol(self, address: int, part: SymbolPart) -> str:
        """Return that part of an address's name."""
        location = self._locate(address)
        match part:
            case SymbolPart.OBJECT if location is not None:
                return printable_name(location.object)
            case SymbolPart.FUNCTION if location is not None and location.function is not None:
                return printable_name(f"{location.object}`{location.function}")
            case _:
                return _whole(address, location)

    def representative(self, address: int, part: SymbolPart) -> int:
        """Return one address for all that have this part of their names in common."""
        location = self._locate(address)
        match part:
            case SymbolPart.OBJECT if location is not None:
                return location.bias
            case SymbolPart.FUNCTION if location is not None and location.function is not None:
                return address - location.offset
            case _:
                return address

    def stack(self, raw: bytes) -> str:
        """Return a newline, then a line for each frame."""
        return stack_text(self.frames(raw), self.indent)

    def frames(self, raw: bytes) -> list[str]:
        """Return the text of each frame of a stack."""
        shown = []
        for number, (word,) in enumerate(struct.iter_unpack("<Q", raw)):
            address = word & ~INTERRUPTED
            location = self._locate(address, returned=number > 0 and word == address)
            shown.append(_number(address, location) if self.numbers else _whole(address, location))
        return shown

    def _locate(self, address: int, *, returned: bool = False) -> Location | None:
        return None if self.resolver is None else self.resolver.locate(address, returned=returned)


def stack_text(frames: Iterable[str], indent: int) -> str:
    """Return a newline, then a line for each frame behind so many blanks."""
    return "\n" + "".join(f"{' ' * indent}{frame}\n" for frame in frames)


def _whole(address: int, location: Location | None) -> str:
    if location is None:
        return f"{address:#x}"
    if location.function is None:
        return printable_name(f"{location.object}`{location.address:#x}")
    offset = f"+{location.offset:#x}" if location.offset else ""
    return printable_name(f"{location.object}`{location.function}{offset}")


def _number(address: int, location: Location | None) -> str:
    return f"{address:#x}" if location is None else printable_name(f"{location.object}:{location.address:#x}")
