"""`python -m bench.windows [FILE…]`: how many functions and returns of libraries could be served by jumps, and why not.

Counted, not measured: nothing is traced. Not part of `bench` proper, whose figures have peers.
"""

import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from time import process_time

from backend.function_table import FunctionTable
from backend.object_code import ObjectCode
from backend.object_windows import windows
from backend.symbols import read_functions
from backend.symbols_elf import file_image, read_elf
from scratch.flow import Function
from scratch.windows import NoWindow, Way

FILES = (
    "/lib/x86_64-linux-gnu/libc.so.6",
    "/usr/lib/x86_64-linux-gnu/libstdc++.so.6",
    "/usr/lib/x86_64-linux-gnu/libcrypto.so.3",
    "/usr/bin/python3",
    "/usr/lib/firefox-esr/libxul.so",
)
BIAS = 0x7F00_0000_0000


def entries(code: ObjectCode, table: FunctionTable) -> Iterator[int]:
    """Yield where functions begin: those with symbols, and those that only the unwind table knows."""
    named = set(table.addresses)
    yield from sorted(named | {start for start in code.frames.starts if not code.is_part(start)})


def returns(code: ObjectCode, table: FunctionTable) -> Iterator[int]:
    """Yield where functions with symbols are left."""
    for function in table:
        found = code.whole(code.sweep(function.address, function.address + function.size))
        if isinstance(found, Function):
            yield from (one.address for one in found.exits)


def show(name: str, code: ObjectCode, sites: Sequence[int]) -> None:
    """Print what becomes of an object's sites, if all of them are probed."""
    began = process_time()
    bias = 0 if code.file.fixed else BIAS
    planner = windows(code, bias, [site + bias for site in sites], lambda _low, _high: True)
    ways: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for site in sites:
        window = planner.plan(site + bias)
        if isinstance(window, NoWindow):
            reasons[window.reason] += 1
        else:
            ways[window.way.value] += 1
    served = sum(ways.values())
    print(f"{name}: {served} of {len(sites)}, {100 * served / max(len(sites), 1):.2f} % ", end="")
    print(f"({process_time() - began:.1f} s)")
    for word, count in (*((way.value, ways[way.value]) for way in Way), *reasons.most_common()):
        print(f"{count:10} {word}")


def main(paths: Sequence[str]) -> None:
    for path in paths:
        with open(path, "rb") as file:
            elf = read_elf(file_image(file.fileno()))
            table = read_functions(elf)
            code = ObjectCode(elf, table)
            show(f"{os.path.basename(path)} entries", code, list(entries(code, table)))
            show(f"{os.path.basename(path)} returns", code, sorted(set(returns(code, table))))


if __name__ == "__main__":
    main(sys.argv[1:] or [path for path in FILES if os.path.exists(path)])
