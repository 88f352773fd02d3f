"""Windows for the sites of one object in a process: scratch/windows.py with the object's code at hand.

The code is the file's. Whether the process has the same bytes there is for whoever writes to it to see.
"""

from collections.abc import Callable, Iterable

from backend.entered import entered
from backend.object_code import ObjectCode
from scratch.sweep import Swept
from scratch.windows import AROUND, Windows


def windows(
    code: ObjectCode, bias: int, sites: Iterable[int], placeable: Callable[[int, int], bool]
) -> Windows:
    """Return the planner for an object that lies `bias` bytes higher than its file says.

    `sites` and the windows are addresses of the process, `placeable(low, high)` says whether a trampoline may
    find a place there. Raises MalformedElf.
    """

    def read(address: int, size: int) -> bytes:
        return code.read(address - bias, size)

    def around(address: int) -> Swept:
        swept = code.near(address - bias, AROUND)
        return Swept(swept.address + bias, swept.code, swept.info)

    return Windows(entered(code).moved(bias), sites, read, around, placeable)
