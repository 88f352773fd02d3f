"""What an IFUNC symbol stands for in one process: the implementation chosen, read from bound relocations.

An STT_GNU_IFUNC symbol (memcpy, strlen) is the address of a resolver, which the dynamic linker calls, mostly
once, to learn which implementation fits the processor. Where the answer is kept: an IRELATIVE relocation of
the defining object names the resolver and its slot holds the implementation once bound, which ld.so does
before it hands over; a JUMP_SLOT, GLOB_DAT or 64 relocation of any object names the symbol, and its slot
holds the implementation too, once bound.

Lives here: finding those slots and reading them. Not here: what becomes of the answer (backend/sites.py).
Source: System V ABI, x86-64 supplement, chapter 4.4; glibc's elf/dl-irel.h.
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain

from backend.errors import MalformedElf
from backend.function_table import Function
from backend.linux.procfs import RemoteAddr
from backend.objects import LoadedObject
from backend.symbols_elf import SYMBOL, ElfFile, Section, SectionType

ReadMemory = Callable[[int, int], bytes]
"""Takes runtime address and size; returns the readable bytes from there, fewer or none where memory ends."""

_RELA = struct.Struct("<QQq")
_R_64, _R_GLOB_DAT, _R_JUMP_SLOT, _R_IRELATIVE = 1, 6, 7, 37
_BY_NAME = frozenset((_R_64, _R_GLOB_DAT, _R_JUMP_SLOT))


@dataclass(frozen=True, slots=True)
class LoadedElf:
    """An object together with the headers of its file."""

    loaded: LoadedObject
    file: ElfFile


def implementations(
    ifuncs: Iterable[Function],
    owner: LoadedElf,
    others: Iterable[LoadedElf],
    read_memory: ReadMemory,
) -> dict[int, RemoteAddr]:
    """Return the runtime address of each IFUNC's implementation, by the resolver's virtual address.

    `ifuncs` are those of `owner`. `others` are the process's other objects, looked at only for what
    `owner` does not tell itself. An IFUNC that is missing in the result is not bound anywhere: its resolver
    has not run, or its user keeps the address elsewhere.
    """
    resolvers = {function.address: function.names for function in ifuncs}
    if not resolvers:
        return {}
    found: dict[int, RemoteAddr] = {}
    # What one file gets wrong costs only what it would have told.
    with suppress(MalformedElf):
        for resolver, slot in _irelative_slots(owner.file):
            if resolver in resolvers and resolver not in found:
                _bind(found, resolver, slot, owner, owner, read_memory)
    for user in chain((owner,), others):
        wanted = _unambiguous_names(resolvers, found)
        if not wanted:
            break
        with suppress(MalformedElf):
            for name, slot in _symbol_slots(user.file, wanted):
                if wanted[name] not in found:
                    _bind(found, wanted[name], slot, user, owner, read_memory)
    return found


def _unambiguous_names(
    resolvers: Mapping[int, tuple[str, ...]], found: Mapping[int, object]
) -> dict[str, int]:
    """Return the resolver still to be found for each name that only one resolver has.

    Two symbol versions of one name (memcpy of GLIBC_2.2.5 and 2.14) can be two resolvers; a relocation by
    name can't tell them apart here.
    """
    by_name: dict[str, int] = {}
    ambiguous = set()
    for resolver, names in resolvers.items():
        for name in names:
            if by_name.setdefault(name, resolver) != resolver:
                ambiguous.add(name)
    return {
        name: resolver
        for name, resolver in by_name.items()
        if name not in ambiguous and resolver not in found
    }


def _bind(
    found: dict[int, RemoteAddr],
    resolver: int,
    slot: int,
    user: LoadedElf,
    owner: LoadedElf,
    read_memory: ReadMemory,
) -> None:
    """Note what `slot`, a virtual address in `user`, holds, if it is bound to code of `owner`."""
    value = int.from_bytes(read_memory(user.loaded.bias + slot, 8), "little")
    address = value - owner.loaded.bias
    if (
        address != resolver
        and owner.loaded.text_at(RemoteAddr(value)) is not None
        and not _is_unbound(user, slot, value)
        and not _in_plt(owner.file, address)
    ):
        found[resolver] = RemoteAddr(value)


def _is_unbound(user: LoadedElf, slot: int, value: int) -> bool:
    """Whether the slot still holds what the file has there: the way back into the procedure linkage table."""
    offset = user.file.file_offset(slot)
    if offset is None or offset + 8 > user.file.image.size_bytes:
        return False
    content = int.from_bytes(user.file.image.read(offset, 8), "little")
    return content != 0 and value in (content, content + user.loaded.bias)


def _in_plt(file: ElfFile, address: int) -> bool:
    return any(
        section.address <= address < section.address + section.size_bytes
        for section in file.sections
        if section.name.startswith((".plt", ".iplt"))
    )


def _relocations(file: ElfFile) -> Iterator[tuple[Section, bytes]]:
    """Yield the relocation sections that the dynamic linker (or a static program's start) works through."""
    unread = file.image.size_bytes
    for section in file.sections:
        if section.type == SectionType.RELA and section.allocated:
            # Sections don't overlap; in a hostile file they could do so without end.
            unread -= section.size_bytes
            if unread < 0:
                raise MalformedElf("its relocation sections overlap")
            data = file.section_bytes(section)
            yield section, data[: len(data) // _RELA.size * _RELA.size]


def _irelative_slots(file: ElfFile) -> Iterator[tuple[int, int]]:
    """Yield resolver and slot of each IRELATIVE relocation, as virtual addresses."""
    for _, data in _relocations(file):
        for slot, info, addend in _RELA.iter_unpack(data):
            if info & 0xFFFFFFFF == _R_IRELATIVE:
                yield addend, slot


def _symbol_slots(file: ElfFile, names: Iterable[str]) -> Iterator[tuple[str, int]]:
    """Yield symbol name and slot (a virtual address) of each relocation by one of these names."""
    wanted = {name.encode("utf-8", "surrogatepass"): name for name in names}
    for section, data in _relocations(file):
        bound = [
            (slot, info >> 32)
            for slot, info, addend in _RELA.iter_unpack(data)
            if addend == 0 and info & 0xFFFFFFFF in _BY_NAME
        ]
        named = _named_symbols(file, section.link, {index for _, index in bound}, wanted)
        yield from ((named[index], slot) for slot, index in bound if index in named)


def _named_symbols(
    file: ElfFile, table: int, indexes: Iterable[int], wanted: Mapping[bytes, str]
) -> dict[int, str]:
    """Return the names of those of the symbols with these indexes of section `table` that have one of these names.

    Few symbols are asked about and looked up, where a program may define half a million.
    """
    if not 0 < table < len(file.sections):
        return {}
    symbols = file.sections[table]
    if symbols.type != SectionType.DYNSYM or symbols.link >= len(file.sections):
        return {}
    strings = file.section_bytes(file.sections[symbols.link])
    data = file.section_bytes(symbols)
    longest = max(map(len, wanted), default=0)
    found: dict[int, str] = {}
    for index in indexes:
        if (index + 1) * SYMBOL.size <= len(data):
            at = SYMBOL.unpack_from(data, index * SYMBOL.size)[0]
            text, end, _ = strings[at : at + longest + 1].partition(b"\0")
            if end and text in wanted:
                found[index] = wanted[text]
    return found
