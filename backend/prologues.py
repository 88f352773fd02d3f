"""How the callers of functions without unwind tables are found, where these keep frame pointers.

Lives here: a function's first and last instructions -> rules, for Go and for C compiled without tables. Not here:
functions that have tables (backend/unwind_rows.py, which takes the result). Between prologue and epilogue rbp is the
frame pointer; at the entry and at a return the caller is where rsp points to.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Final

from backend.function_table import Function
from backend.symbols_elf import ElfFile
from dlang.unwind_format import FRAME_POINTER_RULE, RSP, Way, rule

Entry = tuple[int, int, tuple[tuple[int, int], ...]]
"""The start and the length of a function, and its rows: from where in it which rule holds."""

_PROLOGUES: Final = (bytes.fromhex("554889e5"), bytes.fromhex("55488bec"))
"""`push %rbp; mov %rsp, %rbp`, in both encodings."""
_PUSH_BYTES: Final = 1
_LATEST_PROLOGUE: Final = 48
"""Bytes of a function in which it sets up its frame: Go first looks whether its stack is large enough."""
_EPILOGUES: Final = (bytes.fromhex("5dc3"), bytes.fromhex("c9c3"))
"""`pop %rbp; ret` and `leave; ret`: one byte, then the return."""
_LARGEST_FUNCTION: Final = 1 << 20


def _rule(offset: int, saved: int) -> int:
    found = rule(Way.OFFSET, RSP, offset, saved)
    assert found is not None
    return found


_ENTERED: Final = _rule(8, 0)
_PUSHED: Final = _rule(16, 2)


def guessed_entries(file: ElfFile, functions: Sequence[Function], known: Iterable[Entry]) -> list[Entry]:
    """Return entries for those functions that set up a frame pointer and are in none of the entries `known`."""
    starts = sorted((start, start + length) for start, length, _ in known)
    found: list[Entry] = []
    for section in file.sections:
        if not section.executable:
            continue
        data = file.section_bytes(section)
        first = bisect_right(functions, (section.address,))
        for function in functions[max(first - 1, 0) :]:
            begins = function.address - section.address
            if begins >= section.size_bytes:
                break
            place = bisect_right(starts, (function.address, 1 << 64)) - 1
            if begins < 0 or (place >= 0 and function.address < starts[place][1]):
                continue
            rows = _rows(data[begins : begins + min(function.size, _LARGEST_FUNCTION)])
            if rows:
                found.append((function.address, function.size, rows))
    return found


def _rows(code: bytes) -> tuple[tuple[int, int], ...]:
    """Return the rows of a function's code; none where it keeps no frame pointer."""
    places = [place for prologue in _PROLOGUES if (place := code.find(prologue, 0, _LATEST_PROLOGUE)) >= 0]
    if not places:
        return ()
    push = min(places)
    rows = {0: _ENTERED, push + _PUSH_BYTES: _PUSHED, push + len(_PROLOGUES[0]): FRAME_POINTER_RULE}
    for epilogue in _EPILOGUES:
        place = code.find(epilogue, push)
        while place >= 0:
            rows[place + 1] = _ENTERED
            rows[place + 2] = FRAME_POINTER_RULE
            place = code.find(epilogue, place + 1)
    return tuple(sorted(rows.items()))
