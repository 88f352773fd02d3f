"""The text of aggregations: an entry's keys and values in the default form, and with options agghist and aggpack a bar
beside each, or a distribution in one line.

Entries in, text out; which entries, and in what order, is `aggregation_store.py`'s. Formats of printa() are
`printf_render.py`'s. Sources: d-language.md §9; the options are illumos' (libdtrace, dt_consume.c).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import groupby
from typing import Final

from dlang.aggregation_store import Entry, Value
from dlang.aggregations import (
    DISTRIBUTIONS,
    AggregatingFunction,
    KeyValue,
    signed_result,
    to_signed,
    unsigned_result,
)
from dlang.bars import proportion
from dlang.distribution import bar_line, distribution_text, heading, packing
from dlang.dump import bytes_text
from dlang.escape import padded, printable, until_zero
from dlang.printf_render import NO_NAMES
from dlang.symbol_text import AddressNames
from dlang.types import (
    IntegerType,
    PointerType,
    StackType,
    StringType,
    SymbolPart,
    SymbolType,
    Type,
    as_integer,
    is_text,
    wrap,
)

_F: Final = AggregatingFunction
_WITH_BARS: Final = frozenset({_F.COUNT, _F.SUM, _F.AVG, _F.STDDEV})
_PACKED: Final = frozenset({_F.QUANTIZE, _F.LQUANTIZE})
_KEY_COLUMNS: Final = {8: 16, 4: 8, 2: 5, 1: 3}
"""Columns of an integer key, by its bytes."""


def entries_text(entries: Sequence[Entry], names: AddressNames = NO_NAMES) -> str:
    """Return entries in the default form: those of one aggregation after the other, or of several joined."""
    groups = groupby(entries, key=lambda entry: entry.values[0].aggregation.name)
    return "".join(_group_text(tuple(group), names) for _, group in groups)


def _group_text(entries: Sequence[Entry], names: AddressNames) -> str:
    """Return the entries of one aggregation. illumos draws no bars and packs nothing where several are joined."""
    value = entries[0].values[0]
    if len(entries[0].values) == 1 and value.bars.beside and value.aggregation.function in _WITH_BARS:
        return _with_bars(entries, names)
    if len(entries[0].values) == 1 and value.bars.packed and value.aggregation.function in _PACKED:
        return _packed(entries, names)
    return "".join(entry_text(entry, names) for entry in entries)


def _with_bars(entries: Sequence[Entry], names: AddressNames) -> str:
    """Return a heading and a line for each entry, with a bar in proportion to the others."""
    first = entries[0].values[0]
    results = [signed_result(first.aggregation, entry.values[0].cell, 1) for entry in entries]
    among = proportion(results, first.bars.zoomed, first.bars.blocks)
    among = replace(among, total=Fraction(int(among.total)))
    columns = _narrow_columns(first)
    lines = [heading("key", columns) if columns else heading()]
    for entry, result in zip(entries, results, strict=True):
        lines.append(f"{_narrow_keys(entry, names)} {bar_line(among.bar(result), result, first.normal)}")
    return "\n" + "\n".join(lines) + "\n"


def _packed(entries: Sequence[Entry], names: AddressNames) -> str:
    """Return a heading and a line for each entry, with all of its distribution."""
    first = entries[0].values[0]
    packed = packing(first.aggregation, [entry.values[0].cell for entry in entries])
    lines = [packed.heading(_narrow_columns(first))]
    lines += [_narrow_keys(entry, names) + packed.line(entry.values[0].cell, first.bars) for entry in entries]
    return "\n" + "\n".join(lines) + "\n"


def _narrow_columns(value: Value) -> int:
    """Return how many columns keys take before bars: strings and names no more than addresses."""
    return sum(1 + _KEY_COLUMNS.get(_key_size(type_), 16) for type_ in value.aggregation.key_types)


def _key_size(type_: Type) -> int:
    return as_integer(type_).size if isinstance(type_, IntegerType | PointerType) else 0


def _narrow_keys(entry: Entry, names: AddressNames) -> str:
    types = entry.values[0].aggregation.key_types
    return "".join(
        f" {printable(until_zero(key)):>16}"
        if isinstance(key, bytes) and isinstance(type_, StringType)
        else key_text(type_, key, names)
        for type_, key in zip(types, entry.key, strict=True)
    )


def entry_text(entry: Entry, names: AddressNames = NO_NAMES) -> str:
    """Return one entry in the default form: the keys, the values, a newline."""
    types = entry.values[0].aggregation.key_types
    keys = "".join(key_text(type_, key, names) for type_, key in zip(types, entry.key, strict=True))
    return f"{keys}{''.join(map(_value_text, entry.values))}\n"


def key_text(type_: Type, key: KeyValue, names: AddressNames = NO_NAMES) -> str:
    """Return a key in the default form: columns by its size, also of a structure that has the size of a number."""
    if isinstance(key, bytes):
        if isinstance(type_, StackType):
            return names.stack(key)
        if not isinstance(type_, StringType):
            if len(key) in _KEY_COLUMNS and not is_text(type_):
                return _number_text(int.from_bytes(key, "little"), len(key))
            return bytes_text(key, 50)
        return f"  {padded(printable(until_zero(key)), 50)}"
    if isinstance(type_, SymbolType):
        return symbol_text(key, type_.part, names)
    return _number_text(key, as_integer(type_).size)


def _number_text(number: int, size: int) -> str:
    """Return a number of a size in its columns; sizes 1 and 2 print unsigned."""
    return f" {wrap(number, IntegerType('', size, size >= 4)):{_KEY_COLUMNS[size]}d}"


def symbol_text(address: int, part: SymbolPart, names: AddressNames) -> str:
    """Return what usym() and its like print, as an action or as a key."""
    return f"  {padded(names.symbol(address, part), 50)}"


def _value_text(value: Value) -> str:
    if value.aggregation.function in DISTRIBUTIONS:
        return distribution_text(value.aggregation, value.cell, value.normal, value.bars)
    return f" {to_signed(unsigned_result(value.aggregation, value.cell, value.normal)):16d}"
