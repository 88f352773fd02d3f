"""The dynamic linker's own account of what it has loaded (`struct r_debug`, link.h), read from outside.

It calls the function at `r_brk`, which does nothing, before and after it changes its list of objects: debuggers put a
breakpoint there. After it has loaded some, they are mapped, and none of their code has run. Source: the comments in
glibc's elf/link.h; musl keeps the same structure.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Final

from backend.errors import MalformedElf
from backend.linux import procfs
from backend.linux.procfs import AuxiliaryKey
from backend.objects import loaded_objects
from backend.symbols_elf import file_image, read_elf, symbol_addresses

ReadMemory = Callable[[int, int], bytes]

_PT_DYNAMIC, _PT_PHDR = 2, 6
_DT_NULL, _DT_DEBUG = 0, 21
_PROGRAM_HEADER: Final = struct.Struct("<IIQQQQQQ")
_MOST_HEADERS, _MOST_DYNAMIC, _MOST_OBJECTS = 64, 512, 10_000
_R_MAP, _R_BRK, _R_STATE = 8, 16, 24
_L_NEXT: Final = 24
_ACCOUNT, _BREAKPOINT = "_r_debug", "_dl_debug_state"
CONSISTENT: Final = 0
"""The state in which the list is not being changed."""


@dataclass(frozen=True, slots=True)
class LoaderState:
    """Where a process's dynamic linker keeps its account: address of the structure, and of `r_brk`."""

    address: int
    breakpoint: int

    @property
    def state(self) -> int:
        """Where the word is that is CONSISTENT whenever the list is not being changed."""
        return self.address + _R_STATE

    def objects(self, read: ReadMemory) -> tuple[int, ...] | None:
        """Return the addresses of the list's entries, in order; None while it is being changed."""
        if read(self.state, 4) != CONSISTENT.to_bytes(4, "little"):
            return None
        found: list[int] = []
        entry = _word(read, self.address + _R_MAP)
        while entry and len(found) < _MOST_OBJECTS:
            found.append(entry)
            entry = _word(read, entry + _L_NEXT)
        return tuple(found)


def loader_state(pid: int, read: ReadMemory) -> LoaderState | None:
    """Return where process `pid` keeps it; None in a static program."""
    vector = procfs.auxiliary_vector(pid)
    start, count = vector.get(AuxiliaryKey.PHDR, 0), vector.get(AuxiliaryKey.PHNUM, 0)
    raw = read(start, min(count, _MOST_HEADERS) * _PROGRAM_HEADER.size)
    headers = list(
        _PROGRAM_HEADER.iter_unpack(raw[: len(raw) // _PROGRAM_HEADER.size * _PROGRAM_HEADER.size])
    )
    bias = next((start - header[3] for header in headers if header[0] == _PT_PHDR), 0)
    for header in headers:
        if header[0] == _PT_DYNAMIC:
            address = _debug_pointer(read, header[3] + bias)
            brk = _word(read, address + _R_BRK) if address else 0
            if brk:
                return LoaderState(address, brk)
    return linker_account(pid)


def linker_account(pid: int) -> LoaderState | None:
    """Return where the dynamic linker will keep it, by the linker's symbols: before it has begun nothing else tells.

    None in a static program, or where the linker has no such symbols.
    """
    base = procfs.auxiliary_vector(pid).get(AuxiliaryKey.BASE, 0)
    if not base:
        return None
    with ExitStack() as files:
        for loaded in loaded_objects(pid, files):
            if loaded.has_file and loaded.bias == base:
                with suppress(MalformedElf):
                    found = symbol_addresses(read_elf(file_image(loaded.fd)), (_ACCOUNT, _BREAKPOINT))
                    if len(found) == 2:
                        return LoaderState(base + found[_ACCOUNT], base + found[_BREAKPOINT])
    return None


def _debug_pointer(read: ReadMemory, dynamic: int) -> int:
    for place in range(_MOST_DYNAMIC):
        tag = _word(read, dynamic + 16 * place)
        if tag == _DT_NULL:
            return 0
        if tag == _DT_DEBUG:
            return _word(read, dynamic + 16 * place + 8)
    return 0


def _word(read: ReadMemory, address: int) -> int:
    """Return a word of the process, 0 where there is none."""
    raw = read(address, 8)
    return int.from_bytes(raw, "little") if len(raw) == 8 else 0
