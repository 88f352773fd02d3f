"""Records, as compiled clauses write them, to rows: bytes in, plain values out. No I/O.

check_action.py lays records out, lower.py writes them, output.py prints what comes out here.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from dlang.items import (
    Clear,
    Commit,
    Denormalize,
    Discard,
    Dump,
    Exit,
    Freopen,
    Item,
    Normalize,
    Print,
    Printa,
    Printf,
    ProbeName,
    Row,
    SetOption,
    Speculate,
    Stack,
    Symbol,
    System,
    Trace,
    Truncate,
)
from dlang.layout import FAULT_MARK, FAULT_RECORD_SIZE, decode_value, probe_text, stack_of
from dlang.printf_render import TypedValue
from dlang.program import (
    RECORD_HEADER_SIZE,
    Action,
    ClearAction,
    CommitAction,
    DenormalizeAction,
    DiscardAction,
    DumpAction,
    Enabling,
    ExitAction,
    FreopenAction,
    NormalizeAction,
    PrintaAction,
    PrintAction,
    PrintfAction,
    ProbeText,
    RecordField,
    SetOptionAction,
    SpeculateAction,
    StackAction,
    StringConstant,
    SymbolAction,
    SystemAction,
    TraceAction,
    TruncateAction,
)
from dlang.types import SymbolType, size_of, stored_size

_HEADER: Final = struct.Struct("<IIIIQ")
_FAULT: Final = struct.Struct("<QQQ")
assert _HEADER.size == RECORD_HEADER_SIZE and _HEADER.size + _FAULT.size == FAULT_RECORD_SIZE


@dataclass(frozen=True, slots=True)
class FaultReport:
    """A clause given up at run time. `where` is the place in the program text of the expression at fault.

    `stopped`: exit() had been called, perhaps by that clause itself.
    """

    enabling: int
    site: int
    cpu: int
    fault: int
    address: int
    where: int
    stopped: bool


def probe_of(record: bytes) -> int:
    """Return the ID of the probe whose clause recorded this, or failed."""
    site, *_ = _HEADER.unpack_from(record)
    return int(site)


def decode(
    record: bytes, enablings: Sequence[Enabling], names: Sequence[ProbeName], string_size: int
) -> Row | FaultReport:
    """Return what a record says. `names` holds each site's probe by the site's number, which is the probe's ID."""
    site, enabling, cpu, tid, performed = _HEADER.unpack_from(record)
    if enabling & FAULT_MARK:
        fault, address, where = _FAULT.unpack_from(record, _HEADER.size)
        return FaultReport(enabling ^ FAULT_MARK, site, cpu, fault, address, where, stopped=performed != 0)
    clause = enablings[enabling].clause
    items = tuple(
        _item(action, record, names[site], string_size)
        for action in clause.actions
        if performed >> action.bit & 1
    )
    return Row(cpu, site, names[site], enabling, tid, items, len(record))


def _item(action: Action, record: bytes, name: ProbeName, string_size: int) -> Item:
    def value(field: RecordField) -> TypedValue:
        return _value(field, record, name, string_size)

    def text(field: RecordField) -> str:
        found = value(field).value
        assert isinstance(found, bytes)
        return found.split(b"\0")[0].decode("utf-8", "surrogateescape")

    def number(field: RecordField) -> int:
        return int(_value(field, record, name, string_size).value)

    match action:
        case TraceAction(field=field):
            return Trace(value(field))
        case PrintfAction(format=format_, fields=fields):
            return Printf(format_, tuple(value(field) for field in fields))
        case DumpAction(field=field, shown=shown):
            data = value(field).value
            assert isinstance(data, bytes)
            most = len(data) if shown is None else number(shown)
            return Dump(data[:most] if 0 <= most <= len(data) else data)
        case PrintAction(address=address, field=field):
            type_ = field.value.type
            data = _raw(field, record, string_size)[: size_of(type_, string_size)]
            return Print(number(address) & (1 << 64) - 1, type_, data)
        case StackAction(field=field):
            return Stack(stack_of(_raw(field, record, string_size)))
        case SymbolAction(field=field):
            assert isinstance(field.value.type, SymbolType)
            return Symbol(number(field), field.value.type.part)
        case PrintaAction(format=format_, aggregations=aggregations):
            return Printa(format_, aggregations)
        case ExitAction(field=field):
            return Exit(number(field))
        case ClearAction(aggregation=aggregation):
            return Clear(aggregation)
        case TruncateAction(aggregation=aggregation, field=keep):
            return Truncate(aggregation, 0 if keep is None else number(keep))
        case NormalizeAction(aggregation=aggregation, field=field):
            return Normalize(aggregation, number(field))
        case DenormalizeAction(aggregation=aggregation):
            return Denormalize(aggregation)
        case SpeculateAction(field=field):
            return Speculate(number(field))
        case CommitAction(field=field):
            return Commit(number(field))
        case DiscardAction(field=field):
            return Discard(number(field))
        case SystemAction(format=format_, fields=fields):
            return System(format_, tuple(value(field) for field in fields))
        case FreopenAction(format=format_, fields=fields):
            return Freopen(format_, tuple(value(field) for field in fields))
        case SetOptionAction(fields=fields):
            words = [text(field) for field in fields]
            return SetOption(words[0], words[1] if len(words) > 1 else None)


def _value(field: RecordField, record: bytes, name: ProbeName, string_size: int) -> TypedValue:
    """Return a field's value; names of probes and string constants are not in the record: they are known here."""
    match field.value:
        case ProbeText(field=part):
            return TypedValue(field.value.type, probe_text(name, part).encode("utf-8", "surrogateescape"))
        case StringConstant(value=text):
            return TypedValue(field.value.type, text)
    return TypedValue(field.value.type, decode_value(field.value, _raw(field, record, string_size)))


def _raw(field: RecordField, record: bytes, string_size: int) -> bytes:
    return record[field.offset : field.offset + stored_size(field.value.type, string_size)]
