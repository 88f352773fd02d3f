"""Where a program that dtrap starts is held until its probes are in place: option evaltime.

Places are addresses that the program executes, one after the other; backend/command_start.py stops it at each. Source:
dtrace(1) of DTrace for Linux, "evaltime"; what the dynamic linker does, glibc's elf/rtld.c.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final

from backend.errors import MalformedElf
from backend.link_map import CONSISTENT, linker_account
from backend.linux import procfs, ptrace
from backend.linux.procfs import AuxiliaryKey
from backend.objects import LoadedObject, loaded_objects
from backend.symbols_elf import file_image, read_elf, symbol_addresses

_START: Final = "__libc_start_main"
_MAIN: Final = "main"
_ENTRY_IN_HEADER: Final = 24


class HeldAt(enum.Enum):
    """At the first instruction that is executed, the linker's or a static program's; when the libraries are mapped and
    relocated, none of their code having run; when they are initialised, at the program's entry point; at its main().
    """

    EXEC = "exec"
    PREINIT = "preinit"
    POSTINIT = "postinit"
    MAIN = "main"


def way_to(held_at: HeldAt, pid: int) -> Iterator[int]:
    """Yield the addresses where the program has to be stopped, the last one being where it is held. It is asked for the
    next one when process `pid`, of which we are the tracer, is stopped at the last.

    What a program does not have is passed over: a static one has no linker, and one without main() is held at its entry
    point. Raises ProcessGone, ProcessNotPermitted, FileNotFoundError; ProcessLookupError where it has no entry point.
    """
    match held_at:
        case HeldAt.EXEC:
            yield _linker_entry(pid) or _entry(pid)
        case HeldAt.PREINIT:
            yield from _relocated(pid)
        case HeldAt.POSTINIT:
            yield _entry(pid)
        case HeldAt.MAIN:
            yield _entry(pid)
            yield from _main(pid)


def _entry(pid: int) -> int:
    """Return AT_ENTRY, the run-time address of the program's first instruction (not the dynamic linker's)."""
    vector = procfs.auxiliary_vector(pid)
    if AuxiliaryKey.ENTRY not in vector:
        raise ProcessLookupError(pid)
    return vector[AuxiliaryKey.ENTRY]


def _linker_entry(pid: int) -> int | None:
    """Return where the dynamic linker begins, by its ELF header in memory; None of a static program."""
    base = procfs.auxiliary_vector(pid).get(AuxiliaryKey.BASE, 0)
    if not base:
        return None
    return base + int.from_bytes(procfs.read_memory(pid, base + _ENTRY_IN_HEADER, 8), "little")


def _relocated(pid: int) -> Iterator[int]:
    """The linker calls a function of its own, for debuggers, before it maps libraries and when they are relocated."""
    account = linker_account(pid)
    if account is None:
        yield _entry(pid)
        return
    while True:
        yield account.breakpoint
        done = procfs.read_memory(pid, account.state, 4) == CONSISTENT.to_bytes(4, "little")
        yield _word(pid, ptrace.registers(pid).rsp)
        if done:
            return


def _main(pid: int) -> Iterator[int]:
    """main() has a symbol, or is what the program hands to the C library's start."""
    with ExitStack() as files:
        objects = loaded_objects(pid, files)
        own = [_symbol(_MAIN, loaded) for loaded in objects if loaded.main]
        starts = [_symbol(_START, loaded) for loaded in objects if loaded.has_file]
    found = next((address for address in own if address), None)
    if found is not None:
        yield found
        return
    start = next((address for address in starts if address), None)
    if start is not None:
        yield start
        yield ptrace.registers(pid).rdi


def _symbol(name: str, loaded: LoadedObject) -> int | None:
    try:
        addresses = symbol_addresses(read_elf(file_image(loaded.fd)), (name,))
    except MalformedElf:
        return None
    return loaded.runtime_address(addresses[name]) if name in addresses else None


def _word(pid: int, address: int) -> int:
    (word,) = struct.unpack("<Q", procfs.read_memory(pid, address, 8))
    return int(word)
