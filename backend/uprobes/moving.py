"""Probes moved to where the kernel serves them cheaply: what clauses read, and the offsets that placement.py finds.

The kernel emulates a few instructions and single-steps the rest at fifteen times the price. placement.py decides
from code alone; this module gives it a process's functions and what the clauses of their probes can notice.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Final

from backend.objects import LoadedObject
from backend.process_symbols import Symbols
from backend.site_table import Site
from backend.uprobes.placement import LARGEST_TEXT, Function, Reads, place
from dlang.builtins import REGISTER_NUMBER
from dlang.node import Node
from dlang.program import Argument, Enabling, Register, UserStack

_ARGUMENTS: Final = (Reads.RDI, Reads.RSI, Reads.RDX, Reads.RCX, Reads.R8, Reads.R9)
_OTHER_NAMES: Final = {"RFL": "FLAGS"}
_BY_INDEX: Final = {
    index: Reads[_OTHER_NAMES.get(name, name)]
    for name, index in REGISTER_NUMBER.items()
    if _OTHER_NAMES.get(name, name) in Reads.__members__
}


def reads_of(enablings: Sequence[Enabling]) -> Reads:
    """Return what clauses read of the thread's state. Memory is not among it: nothing stores on the way."""
    reads = Reads.NOTHING
    for node in _nodes(enablings):
        match node:
            case Argument(number=number):
                reads |= _ARGUMENTS[number] if number < len(_ARGUMENTS) else Reads.RSP
            case Register(number=number):
                reads |= _BY_INDEX.get(number, Reads.NOTHING)
            case UserStack():
                # Its first frame is where the probe is.
                reads |= Reads.RIP
    return reads


def _nodes(value: object) -> Iterator[object]:
    """Yield a node and all nodes in it."""
    if isinstance(value, tuple | list):
        for item in value:
            yield from _nodes(item)
    elif isinstance(value, Node):
        yield value
        for part in vars(value).values():
            yield from _nodes(part)


def moves(loaded: LoadedObject, sites: Sequence[Site], reads: Reads, symbols: Symbols) -> list[int]:
    """Return, for each site of an object, how many bytes behind the function's entry its probe goes."""
    offsets = [0] * len(sites)
    entries = symbols.functions(loaded).table.addresses
    for segment in loaded.segments:
        if not 0 < segment.file_bytes <= LARGEST_TEXT:
            continue
        chosen = [
            (index, Function(site.address - loaded.bias, site.function.size))
            for index, site in enumerate(sites)
            if site.address - loaded.bias in segment
        ]
        if not chosen:
            continue
        text = os.pread(loaded.fd, segment.file_bytes, segment.offset)
        found = place([function for _, function in chosen], text, segment.address, entries, reads)
        for (index, _), offset in zip(chosen, found, strict=True):
            offsets[index] = offset
    return offsets
