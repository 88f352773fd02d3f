"""Windows for the sites of one object in a process: scratch/windows.py with the object's code at hand.

The code is the file's. Whether the process has the same bytes there is for whoever writes to it to see.
"""

from collections.abc import Callable, Iterable
from typing import Final

from backend.entered import entered
from backend.object_code import ObjectCode
from scratch.sweep import Swept
from scratch.windows import AROUND, Windows

_BLOCK: Final = 1 << 16
_SWEPT: Final = 1 << 15
"""Bytes that are swept before and behind a site at once, since its neighbours are asked for next."""
_LONGEST_READ: Final = 64


def windows(
    code: ObjectCode,
    bias: int,
    sites: Iterable[int],
    placeable: Callable[[int, int], bool],
    takes_long: Callable[[], object] = lambda: None,
) -> Windows:
    """Return the planner for an object that lies `bias` bytes higher than its file says.

    `sites` and the windows are addresses of the process, `placeable(low, high)` says whether a trampoline may
    find a place there. `takes_long` is called before what takes seconds. Raises MalformedElf.
    """
    block, start = b"", 0
    swept, middle = Swept(0, b"", b""), 0

    def read(address: int, size: int) -> bytes:
        nonlocal block, start
        at = address - bias
        if size > _LONGEST_READ:
            return code.read(at, size)
        if not start <= at <= start + len(block) - size:
            start, block = at, code.read(at, _BLOCK)
        return block[at - start : at - start + size]

    def around(address: int) -> Swept:
        nonlocal swept, middle
        if address not in swept or abs(address - middle) > _SWEPT - AROUND:
            found = code.near(address - bias, _SWEPT)
            swept, middle = Swept(found.address + bias, found.code, found.info), address
        return swept

    return Windows(entered(code, takes_long).moved(bias), sites, read, around, placeable)
