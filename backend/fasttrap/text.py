"""Writing int3s over a process's text and taking them away again.

A page is read at once and written byte by byte, a microsecond each: whoever writes back what he has read
undoes what a uprobe of the kernel has done to the page in between, and leaves a breakpoint that nobody
knows. Whoever calls stops the threads that execute the text first.
"""

import errno
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from itertools import groupby

from backend.fasttrap.tracee import Memory

INT3 = 0xCC
_INT3_BYTE = bytes((INT3,))
PAGE_SIZE = 4096
LONGEST_INSTRUCTION = 15
_PAGES_KEPT = 16
"""Sites come in the order of their addresses, mostly."""


class Displaced(Mapping[int, int]):
    """Bytes by their addresses, ascending: nine bytes each."""

    __slots__ = ("_addresses", "_content")

    def __init__(self, addresses: Sequence[int] = (), content: bytes = b"") -> None:
        self._addresses = array("Q", addresses)
        self._content = content

    def __len__(self) -> int:
        return len(self._addresses)

    def __iter__(self) -> Iterator[int]:
        return iter(self._addresses)

    def __getitem__(self, address: int) -> int:
        place = self.place(address)
        if place == len(self) or self._addresses[place] != address:
            raise KeyError(address)
        return self._content[place]

    def place(self, address: int) -> int:
        """Return how many addresses come before one."""
        return bisect_left(self._addresses, address)

    def within(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield the addresses in [start, end), each with its byte."""
        place = self.place(start)
        while place < len(self) and self._addresses[place] < end:
            yield self._addresses[place], self._content[place]
            place += 1

    def without(self, addresses: Set[int]) -> "Displaced":
        """Return these bytes but for those at some addresses."""
        kept = [address for address in self if address not in addresses]
        return Displaced(kept, bytes(self[address] for address in kept))

    def with_more(self, others: "Displaced") -> "Displaced":
        """Return these bytes and others, which count where both have one."""
        if not self:
            return others
        both = sorted({**self, **others}.items())
        return Displaced([address for address, _ in both], bytes(byte for _, byte in both))


def displaced_by(memory: Memory, addresses: Sequence[int]) -> Displaced:
    """Return the byte that stands at each address, ascending, and that an int3 there would displace.

    Raises OSError(EIO) for an address where nothing is mapped.
    """
    displaced = bytearray()
    for first, run in by_page(addresses):
        code = memory.read(first, run[-1] + 1 - first)
        if len(code) <= run[-1] - first:
            raise OSError(errno.EIO, f"no memory at {run[-1]:#x}")
        displaced += bytes(code[address - first] for address in run)
    return Displaced(addresses, bytes(displaced))


def insert(memory: Memory, addresses: Iterable[int]) -> None:
    """Write an int3 at each address, and nothing between them: the kernel's uprobes come and go there meanwhile."""
    for address in addresses:
        memory.write(address, _INT3_BYTE)


def restore(memory: Memory, displaced: Mapping[int, int], last: Sequence[int] = ()) -> "array[int]":
    """Put the displaced bytes back wherever our int3 still stands, those at `last` after all others, in that order; a
    page that was unmapped meanwhile is passed over. Return where that was.

    A byte that is no int3 any more is the program's own change (a library unloaded, another in its place),
    and stays. Bytes between are not written, as in `insert`.
    """
    restored = array("Q")
    late = [address for address in last if address in displaced]
    soon = sorted(displaced.keys() - late) if late else sorted(displaced)
    for first, run in (*by_page(soon), *((address, [address]) for address in late)):
        try:
            code = memory.read(first, run[-1] + 1 - first)
            for address in run:
                if code[address - first : address - first + 1] == _INT3_BYTE:
                    memory.write(address, bytes((displaced[address],)))
                    restored.append(address)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
    return restored


def by_page(addresses: Iterable[int]) -> Iterable[tuple[int, list[int]]]:
    """Yield addresses, ascending, by their pages: the first, and all."""
    for _, run in groupby(addresses, key=lambda address: address // PAGE_SIZE):
        page = list(run)
        yield page[0], page


class Code:
    """The text as the program wrote it, in small reads through a cache of pages: without the int3s that are
    in place.
    """

    def __init__(self, memory: Memory, displaced: Displaced) -> None:
        self._memory = memory
        self._displaced = displaced
        self._pages: dict[int, bytes] = {}

    def at(self, address: int) -> bytes:
        """Return the bytes of one instruction and perhaps more; fewer, or none, where the mapping ends."""
        code = bytearray()
        for page in range(address // PAGE_SIZE, (address + LONGEST_INSTRUCTION - 1) // PAGE_SIZE + 1):
            start = max(address, page * PAGE_SIZE)
            code += self._page(page)[start % PAGE_SIZE :][: address + LONGEST_INSTRUCTION - start]
        for site, byte in self._displaced.within(address, address + len(code)):
            # In memory that the program may change something else may stand there by now.
            if code[site - address] == INT3:
                code[site - address] = byte
        return bytes(code)

    def _page(self, page: int) -> bytes:
        if page not in self._pages:
            if len(self._pages) == _PAGES_KEPT:
                self._pages.clear()
            try:
                self._pages[page] = self._memory.read(page * PAGE_SIZE, PAGE_SIZE)
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                self._pages[page] = b""
        return self._pages[page]
