"""What a firing of a clause leaves to be printed or done: plain values between the engines and the printing.

The decoder makes a `Row` of a record; `output.Printer` turns rows into text, in the order of the data stream.
Nothing here computes anything.
"""

from __future__ import annotations

from dataclasses import dataclass

from dlang.aggregations import Aggregation
from dlang.printf_format import Format
from dlang.printf_render import TypedValue
from dlang.types import SymbolPart, Type


@dataclass(frozen=True, slots=True)
class ProbeName:
    """A probe's four names."""

    provider: str
    module: str
    function: str
    name: str

    def __str__(self) -> str:
        return f"{self.provider}:{self.module}:{self.function}:{self.name}"


@dataclass(frozen=True, slots=True)
class Printf:
    """printf(): a checked format and a value for each star and conversion, in order."""

    format: Format
    values: tuple[TypedValue, ...]


@dataclass(frozen=True, slots=True)
class Trace:
    """trace() of an integer, pointer or string."""

    value: TypedValue


@dataclass(frozen=True, slots=True)
class Dump:
    """tracemem(): the bytes to be shown."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Print:
    """print(): a value of a type, and where it is."""

    address: int
    type: Type
    data: bytes


@dataclass(frozen=True, slots=True)
class Stack:
    """ustack(): frames of 8 bytes."""

    frames: bytes


@dataclass(frozen=True, slots=True)
class Symbol:
    """usym() and its like."""

    address: int
    part: SymbolPart


@dataclass(frozen=True, slots=True)
class Printa:
    """printa(): without a format the default text. Several aggregations are joined on their keys."""

    format: Format | None
    aggregations: tuple[Aggregation, ...]


@dataclass(frozen=True, slots=True)
class Clear:
    """clear(@)."""

    aggregation: Aggregation


@dataclass(frozen=True, slots=True)
class Truncate:
    """trunc(@, n); trunc(@) is n = 0. Negative n keeps the smallest."""

    aggregation: Aggregation
    keep: int


@dataclass(frozen=True, slots=True)
class Normalize:
    """normalize(@, n)."""

    aggregation: Aggregation
    normal: int


@dataclass(frozen=True, slots=True)
class Denormalize:
    """denormalize(@)."""

    aggregation: Aggregation


@dataclass(frozen=True, slots=True)
class Exit:
    """exit(status)."""

    status: int


@dataclass(frozen=True, slots=True)
class Speculate:
    """speculate(): the row is held back under this number; under 0 it is nobody's."""

    number: int


@dataclass(frozen=True, slots=True)
class Commit:
    """commit(): what is held back under the number is printed; 0 is none."""

    number: int


@dataclass(frozen=True, slots=True)
class Discard:
    """discard(): what is held back under the number is forgotten; 0 is none."""

    number: int


@dataclass(frozen=True, slots=True)
class System:
    """system(): run what the format makes of the values."""

    format: Format
    values: tuple[TypedValue, ...]


@dataclass(frozen=True, slots=True)
class Freopen:
    """freopen(): print to the file that the format makes of the values; back to the first output without one."""

    format: Format | None
    values: tuple[TypedValue, ...]


@dataclass(frozen=True, slots=True)
class SetOption:
    """setopt(): `value` is None for a name alone."""

    name: str
    value: str | None


Item = (
    Printf
    | Trace
    | Dump
    | Print
    | Stack
    | Symbol
    | Printa
    | Clear
    | Truncate
    | Normalize
    | Denormalize
    | Exit
    | Speculate
    | Commit
    | Discard
    | System
    | Freopen
    | SetOption
)
_OF_NO_AGGREGATION = (
    Printf | Trace | Dump | Print | Stack | Symbol | Exit | Speculate | Discard | System | Freopen | SetOption
)


@dataclass(frozen=True, slots=True)
class Row:
    """One firing of one clause that records something (or has an empty body).

    `clause` is its number in the program and `tid` the thread it fired in: with -F they tell a second clause
    on the same firing from a recursion, and keep the threads' calls apart. `size` is what the record took, in bytes.
    """

    cpu: int
    probe_id: int
    probe: ProbeName
    clause: int
    tid: int
    items: tuple[Item, ...] = ()
    size: int = 0

    @property
    def touches_aggregations(self) -> bool:
        """Whether a fresh snapshot of the aggregations is wanted before this row is consumed."""
        return any(not isinstance(item, _OF_NO_AGGREGATION) for item in self.items)
