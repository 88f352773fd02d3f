"""`python -m bench.coverage [FILE…]`: how many of the instructions in files can be executed out of line, and why not.

Counted, not measured: nothing is traced. Firefox's 28 million take about two minutes. Which bytes are instructions is
told by a sweep that begins anew wherever a function is known to begin; int3s that fill the room between functions are
none. Each encoding is judged once. What the object's unwind table doesn't describe is counted apart: most of it is
padding and the linker's tables, in libcrypto also constants that lie among the functions as if they were code.
"""

import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from time import process_time

from backend.fasttrap.tracepoints import judge
from backend.object_code import ObjectCode
from backend.symbols import read_functions
from backend.symbols_elf import file_image, read_elf
from bench.windows import FILES
from scratch.displaced import Refuse
from scratch.sweep import LEAVING, Flow, Swept

_PART = 1 << 22
"""Bytes of code swept at a time."""
_ROOM = 15
"""The longest instruction."""
_INT3 = b"\xcc"
_ENDING = frozenset((*LEAVING, Flow.NOP, Flow.CALL, Flow.INDIRECT_CALL))
"""What may be the last of a function: calls that don't return as well."""


def parts(code: ObjectCode) -> Iterator[Swept]:
    """Yield all code of an object; parts end where a function begins, if one does at about the right place."""
    for start, end in code.text:
        while start < end:
            stop = end if end - start <= 2 * _PART else code.extent(start + _PART)[0]
            stop = stop if stop > start else end
            yield code.sweep(start, stop)
            start = stop


def instructions(swept: Swept) -> Iterator[tuple[int, bytes]]:
    """Yield each instruction's address and bytes; what is none is a byte of its own. No padding."""
    at, info, code = 0, swept.info, swept.code
    behind_the_end = False
    while at < len(info):
        size = info[at] & _ROOM or 1
        found = code[at : at + size]
        if found != _INT3 or not behind_the_end:
            yield swept.address + at, found
            behind_the_end = info[at] >> 4 in _ENDING
        at += size


def show(path: str) -> None:
    """Print what becomes of one file's instructions, with an example for each reason."""
    began = process_time()
    with open(path, "rb") as file:
        elf = read_elf(file_image(file.fileno()))
        code = ObjectCode(elf, read_functions(elf))
        described, others = Seen(), Seen()
        for swept in parts(code):
            for address, found in instructions(swept):
                (others if code.frames.index(address) is None else described).add(address, found)
    print(f"{os.path.basename(path)} ({process_time() - began:.0f} s)")
    judge_all("instructions", described)
    judge_all("outside of functions", others)


@dataclass(frozen=True, slots=True)
class Seen:
    """How often each encoding occurs, and the first place of each."""

    counts: Counter[bytes] = field(default_factory=Counter)
    places: dict[bytes, int] = field(default_factory=dict)

    def add(self, address: int, found: bytes) -> None:
        self.counts[found] += 1
        self.places.setdefault(found, address)


def judge_all(what: str, seen: Seen) -> None:
    """Print how many can be executed out of line, and why others can't."""
    refused: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for found, count in seen.counts.items():
        judged = judge(found, seen.places[found], shadow_stack=False)
        if isinstance(judged, Refuse):
            refused[judged.reason] += count
            examples.setdefault(judged.reason, f"{found.hex(' ')} at {seen.places[found]:#x}")
    total = seen.counts.total()
    served = total - refused.total()
    print(
        f"  {what}: {served} of {total}, {100 * served / max(total, 1):.4f} %, {len(seen.counts)} encodings"
    )
    for reason, count in refused.most_common():
        print(f"{count:10} {reason}: {examples[reason]}")


def main(paths: Sequence[str]) -> None:
    for path in paths:
        show(path)


if __name__ == "__main__":
    main(sys.argv[1:] or [path for path in FILES if os.path.exists(path)])
