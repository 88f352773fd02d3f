"""Programs compiled for tests of the native machine, and made-up hits of sites that no process has.

Every clause is written for BEGIN, which any machine can fire; `process_plan` makes them clauses of functions.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import cast

from backend.compilation import ProgramText, compile_texts
from backend.decoding import Decoded
from backend.engine import Plan, plan
from backend.fasttrap.program import NativeProgram
from backend.function_probes import ObjectProbes
from backend.function_table import Function, table_of
from backend.linux.native_call import native_function
from backend.objects import LoadedObject
from backend.probes import BEGIN_ID, Probes
from backend.process_symbols import Symbols
from backend.site_table import SiteKind
from backend.sites import PlacedFunction, PlacedFunctions
from dlang.builtins import REGISTER_NUMBER
from dlang.items import Printf, Row, Trace
from dlang.names import Macros, Names
from dlang.notices import Drop
from dlang.records import FaultReport, decode
from dlang.source import Source, Span

FIRST_SITE = 4
"""The ID of the first function's probe: BEGIN, END and ERROR come before."""


def _no_symbols(pid: int, span: Span) -> Symbols:
    raise AssertionError(f"process {pid} has no symbols in this test")


def consumer_plan(text: str, string_limit: int = 256) -> Plan:
    """A plan of BEGIN, END and tick probes."""
    names = Names(Macros({"pid": os.getpid()}, ("test",), defaults=True), string_limit)
    texts = [ProgramText(Source(text))]
    return compile_texts(texts, names, Probes(_no_symbols), empty_allowed=True, zero_allowed=False).plan


def process_plan(text: str, sites: int = 1, string_limit: int = 256) -> Plan:
    """The same with functions f0, f1, ... of a process where the text has BEGIN."""
    consumer = consumer_plan(text, string_limit)
    probes = Probes(_no_symbols)
    functions = ObjectProbes(1, _functions(sites), _no_instructions)
    numbers = [probes.names.add_of_function(functions, place, SiteKind.ENTRY, 0) for place in range(sites)]
    enablings = []
    for enabling in consumer.enablings:
        fired_by = [
            probe.id
            for probe in consumer.probes
            if enabling in consumer.units[consumer.unit_of[probe.id]].enablings
        ]
        own = [number for number in fired_by if number != BEGIN_ID]
        enablings.append((enabling, own if own == fired_by else [*own, *numbers]))
    return plan(consumer.program, enablings, probes)


def _no_instructions(function: PlacedFunction) -> Decoded:
    raise AssertionError(f"{function.name} has no instructions")


def _functions(count: int) -> PlacedFunctions:
    nowhere = cast(LoadedObject, SimpleNamespace(name="libexample.so", bias=0))
    table = table_of((Function(number, 1, f"f{number}") for number in range(count)), ((0, count),))
    return PlacedFunctions(nowhere, table)


class Registers:
    """A struct user_regs_struct (27 words) in memory; `values` by number in `uregs[]`, the others 0."""

    def __init__(self, values: Mapping[int, int]) -> None:
        self._words = array("Q", (values.get(number, 0) for number in range(27)))

    @property
    def address(self) -> int:
        return self._words.buffer_info()[0]


@dataclass(frozen=True, slots=True)
class Hit:
    """A stop of thread `tid` of process `pid` at a site; `registers` by their numbers in `uregs[]`."""

    pid: int
    tid: int
    site: int = FIRST_SITE
    registers: Mapping[int, int] = field(default_factory=dict)

    def on(self, program: NativeProgram) -> None:
        """Run the clauses, in this process."""
        registers = Registers(self.registers)
        native_function(program.clauses.hit, 4)(self.site, registers.address, self.pid, self.tid)


def arguments(*values: int) -> dict[int, int]:
    """The registers of a function called with these (at most six) arguments."""
    names = ("RDI", "RSI", "RDX", "RCX", "R8", "R9")
    return {REGISTER_NUMBER[name]: value % (1 << 64) for name, value in zip(names, values, strict=False)}


def decoded(plan_: Plan, records: Sequence[bytes]) -> list[Row | FaultReport]:
    """What records say."""
    return [decode(record, plan_.enablings, plan_.names, plan_.program.string_size) for record in records]


def traced(row: Row | FaultReport) -> list[int | bytes]:
    """The values that a clause traced or printed."""
    assert isinstance(row, Row), row
    values: list[int | bytes] = []
    for item in row.items:
        match item:
            case Trace(value=value):
                values.append(value.value)
            case Printf(values=several):
                values += [value.value for value in several]
    return values


def lost(program: NativeProgram, kind: Drop) -> int:
    """What a program has lost of a kind, on all processors."""
    return sum(count for loss, count in program.dropped().items() if loss.drop is kind)
