"""Where a program that dtrap starts is held until its probes are in place: option evaltime.

Places are addresses that the program executes, one after the other; backend/command_start.py stops it at each. Source:
dtrace(1) of DTrace for Linux, "evaltime", and what DTrace 2.0.7 does; what the dynamic linker does, glibc's elf/rtld.c.
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
from backend.symbols_elf import file_image, has_symbol, read_elf, symbol_addresses

_START: Final = "__libc_start_main"
"""Of glibc and musl: what a program's entry point calls, with main() as its first argument."""
_ENTRY_IN_HEADER: Final = 24


class HeldAt(enum.Enum):
    """At the first instruction that is executed, the linker's or a static program's; when the libraries are mapped and
    relocated, none of their code having run; at main(), all initialisers having run, the program's own too (two names
    for that); and, where a traced process executes another program, at that one's entry point.
    """

    EXEC = "exec"
    PREINIT = "preinit"
    POSTINIT = "postinit"
    MAIN = "main"
    ENTRY = "entry"


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
        case HeldAt.ENTRY:
            yield _entry(pid)
        case HeldAt.POSTINIT | HeldAt.MAIN:
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
    """main() is what the program's entry point hands to the C library's start.

    A symbol of that name may be something else, which is never called. A place that the program doesn't come to would
    let it run to its end with no probe, so nothing is yielded where it is not certain: of a program that doesn't call
    that start, or has several of them, one of them preloaded.
    """
    with ExitStack() as files:
        objects = [loaded for loaded in loaded_objects(pid, files) if loaded.has_file]
        if not any(loaded.main and _calls_start(loaded) for loaded in objects):
            return
        starts = [address for address in map(_start, objects) if address is not None]
    if len(starts) == 1:
        yield starts[0]
        yield ptrace.registers(pid).rdi


def _calls_start(program: LoadedObject) -> bool:
    try:
        return has_symbol(read_elf(file_image(program.fd)), _START)
    except MalformedElf:
        return False


def _start(loaded: LoadedObject) -> int | None:
    try:
        addresses = symbol_addresses(read_elf(file_image(loaded.fd)), (_START,))
    except MalformedElf:
        return None
    return loaded.runtime_address(addresses[_START]) if _START in addresses else None


def _word(pid: int, address: int) -> int:
    (word,) = struct.unpack("<Q", procfs.read_memory(pid, address, 8))
    return int(word)
