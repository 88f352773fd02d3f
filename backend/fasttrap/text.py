"""Writing int3s over a process's text and taking them away again.

A page is read at once and written byte by byte, a microsecond each: whoever writes back what he has read
undoes what a uprobe of the kernel has done to the page in between, and leaves a breakpoint that nobody
knows. Whoever calls stops the threads that execute the text first.
"""

import errno
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from backend.fasttrap.tracee import Memory

INT3 = 0xCC
_INT3_BYTE = bytes((INT3,))
PAGE_SIZE = 4096
LONGEST_INSTRUCTION = 15


def displaced_by(memory: Memory, addresses: Iterable[int]) -> dict[int, int]:
    """Return the byte that stands at each address, and that an int3 there would displace.

    Raises OSError(EIO) for an address where nothing is mapped.
    """
    displaced: dict[int, int] = {}
    for first, run in _by_page(sorted(addresses)):
        code = memory.read(first, run[-1] + 1 - first)
        if len(code) <= run[-1] - first:
            raise OSError(errno.EIO, f"no memory at {run[-1]:#x}")
        displaced |= {address: code[address - first] for address in run}
    return displaced


def insert(memory: Memory, addresses: Iterable[int]) -> None:
    """Write an int3 at each address, and nothing between them: the kernel's uprobes come and go there meanwhile."""
    for address in addresses:
        memory.write(address, _INT3_BYTE)


def restore(memory: Memory, displaced: Mapping[int, int]) -> None:
    """Put the displaced bytes back wherever our int3 still stands; a page that was unmapped meanwhile is
    passed over.

    A byte that is no int3 any more is the program's own change (a library unloaded, another in its place),
    and stays. Bytes between are not written, as in `insert`.
    """
    for first, run in _by_page(sorted(displaced)):
        try:
            code = memory.read(first, run[-1] + 1 - first)
            for address in run:
                if code[address - first : address - first + 1] == _INT3_BYTE:
                    memory.write(address, bytes((displaced[address],)))
        except OSError as error:
            if error.errno != errno.EIO:
                raise


def _by_page(addresses: Sequence[int]) -> Iterable[tuple[int, list[int]]]:
    for _, run in groupby(addresses, key=lambda address: address // PAGE_SIZE):
        page = list(run)
        yield page[0], page


class Code:
    """The text as the program wrote it, in small reads through a cache of pages: without the int3s that are
    in place.
    """

    def __init__(self, memory: Memory, displaced: Mapping[int, int]) -> None:
        self._memory = memory
        self._displaced = displaced
        self._ordered = sorted(displaced)
        self._pages: dict[int, bytes] = {}

    def at(self, address: int) -> bytes:
        """Return the bytes of one instruction and perhaps more; fewer, or none, where the mapping ends."""
        code = bytearray()
        for page in range(address // PAGE_SIZE, (address + LONGEST_INSTRUCTION - 1) // PAGE_SIZE + 1):
            start = max(address, page * PAGE_SIZE)
            code += self._page(page)[start % PAGE_SIZE :][: address + LONGEST_INSTRUCTION - start]
        for place in range(bisect_left(self._ordered, address), len(self._ordered)):
            site = self._ordered[place]
            if site >= address + len(code):
                break
            code[site - address] = self._displaced[site]
        return bytes(code)

    def _page(self, page: int) -> bytes:
        if page not in self._pages:
            try:
                self._pages[page] = self._memory.read(page * PAGE_SIZE, PAGE_SIZE)
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                self._pages[page] = b""
        return self._pages[page]
