"""The loaded objects of a process: its program and libraries, where they are, how to open their files.

Lives here: mappings -> LoadedObject, and matching one with the module part of a probe description. Not here:
their symbols (backend/symbols.py). backend/sites.py takes the result.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace

from backend.errors import MalformedElf, MappedFileUnavailable
from backend.linux.procfs import (
    DELETED,
    AuxiliaryKey,
    MappedRange,
    RemoteAddr,
    auxiliary_vector,
    mappings,
    open_mapped_file,
)
from backend.symbols_elf import Segment, file_image, read_segments
from dlang.probe_description import MADE, is_glob, matcher

MAIN_PROGRAM = "a.out"
_KERNELS_OWN = frozenset(("[vdso]", "[vsyscall]"))
_PAGE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class TextRange:
    """Runtime addresses `[start, end)` mapped executable; `writable` where the process may change it."""

    start: RemoteAddr
    end: RemoteAddr
    writable: bool


@dataclass(frozen=True, slots=True)
class LoadedObject:
    """One ELF file mapped into a process. (A file mapped twice, as dlmopen does, is two objects.) Or all the code
    that the process has made at run time (`made_object`).

    `name` is the base name, DTrace's module; `path` is for people: as the process's mount namespace names it,
    without ` (deleted)`. `fd` is open for reading as long as the ExitStack given to `loaded_objects`; -1 for
    the vdso and for what the process has made, which have no file. `bias` is what is added to an address of the
    file. `device` and `inode` are those of /proc/PID/maps.
    """

    name: str
    path: str
    fd: int
    bias: int
    segments: tuple[Segment, ...]
    text: tuple[TextRange, ...]
    main: bool
    deleted: bool
    device: tuple[int, int]
    inode: int

    @property
    def has_file(self) -> bool:
        return self.fd >= 0

    @property
    def is_made(self) -> bool:
        """Whether the process has made it at run time."""
        return not self.has_file and self.path not in _KERNELS_OWN

    @property
    def open_path(self) -> str:
        """A path to the very file, deleted, replaced or in another mount namespace, while `fd` is open.

        For this process, since it names its descriptor.
        """
        assert self.has_file, self.name
        return f"/proc/self/fd/{self.fd}"

    def runtime_address(self, address: int) -> RemoteAddr:
        """Return where the process has the byte at virtual address `address` of the file."""
        return RemoteAddr(address + self.bias)

    def segment_at(self, address: int) -> Segment | None:
        """Return the segment whose bytes in the file hold virtual address `address`."""
        return next((segment for segment in self.segments if address in segment), None)

    def text_at(self, address: RemoteAddr) -> TextRange | None:
        """Return the executable mapping of this object that holds runtime address `address`."""
        return next((part for part in self.text if part.start <= address < part.end), None)


def loaded_objects(pid: int, files: ExitStack) -> tuple[LoadedObject, ...]:
    """Return the objects of process `pid`: the main program first, the others by address.

    `files` closes the files it opens. An executable mapping of a file that is no ELF file for x86-64 (a
    JIT's, a 32-bit one's) or that can't be opened is no object. Raises ProcessGone or ProcessNotPermitted.
    """
    by_file: dict[tuple[tuple[int, int], int], list[MappedRange]] = {}
    vdso = []
    for mapping in mappings(pid):
        if mapping.executable and mapping.inode:
            by_file.setdefault((mapping.device, mapping.inode), []).append(mapping)
        elif mapping.executable and mapping.path == "[vdso]":
            vdso.append(_vdso(mapping))
    found = [part for group in by_file.values() for part in _objects_of_file(pid, group, files)]
    program_headers = auxiliary_vector(pid).get(AuxiliaryKey.PHDR, 0)
    found = [_with_main(part, program_headers) for part in (*found, *vdso)]
    return tuple(sorted(found, key=lambda part: (not part.main, part.text[0].start)))


def made_object(ranges: Iterable[MappedRange], map_name: str) -> LoadedObject:
    """Return the code that a process has made at run time as one object, at home at address 0; `map_name` is the base
    name of the file in which its runtime says what it is.
    """
    text: list[TextRange] = []
    for mapping in filter(is_made, ranges):
        start, writable = mapping.start, mapping.writable
        # What runtimes protect page by page is one heap of code all the same.
        if text and text[-1].end == start:
            start, writable = text[-1].start, writable or text[-1].writable
            text.pop()
        text.append(TextRange(start, mapping.end, writable))
    return LoadedObject(
        name=MADE,
        path=map_name,
        fd=-1,
        bias=0,
        segments=(),
        text=tuple(text),
        main=False,
        deleted=False,
        device=(0, 0),
        inode=0,
    )


def is_made(mapping: MappedRange) -> bool:
    """Tell whether a mapping is executable memory that no file is behind."""
    return mapping.executable and not mapping.inode and mapping.path not in _KERNELS_OWN


def matches_module(pattern: str, loaded: LoadedObject) -> bool:
    """Whether the module part of a description names this object.

    What the process has made goes by `jit`, or by the name of the runtime's file, alone. Of others the empty pattern
    and globs are matched with the base name; `libc.so.6`, `libc.so` and `libc` all name
    libc.so.6 (the name, or what is before a dot of it); `a.out` names the main program, whatever it is
    called.
    """
    if loaded.is_made:
        return pattern in (loaded.name, loaded.path)
    if is_glob(pattern):
        return matcher(pattern)(loaded.name)
    if pattern == MAIN_PROGRAM and loaded.main:
        return True
    return loaded.name == pattern or loaded.name.startswith(f"{pattern}.")


def _objects_of_file(pid: int, executable: list[MappedRange], files: ExitStack) -> Iterator[LoadedObject]:
    """Yield the object, or the objects, that the executable mappings of one file belong to."""
    first = executable[0]
    try:
        fd = open_mapped_file(pid, first)
    except MappedFileUnavailable:
        return
    files.callback(os.close, fd)
    try:
        segments = read_segments(file_image(fd))
    except MalformedElf:
        return
    text_of: dict[int, list[TextRange]] = {}
    for mapping in executable:
        bias = _bias(mapping, segments)
        if bias is not None:
            text_of.setdefault(bias, []).append(TextRange(mapping.start, mapping.end, mapping.writable))
    path, deleted = _path(first, fd)
    for bias, text in text_of.items():
        yield LoadedObject(
            name=os.path.basename(path),
            path=path,
            fd=fd,
            bias=bias,
            segments=segments,
            text=tuple(text),
            main=False,
            deleted=deleted,
            device=first.device,
            inode=first.inode,
        )


def _bias(mapping: MappedRange, segments: tuple[Segment, ...]) -> int | None:
    """Return what the loader added to the addresses of the segment that `mapping` shows, if it shows one.

    Two segments can share a page of the file; an executable mapping belongs to the executable one.
    """
    for segment in sorted(segments, key=lambda segment: not segment.executable):
        start = segment.offset // _PAGE_BYTES * _PAGE_BYTES
        if start <= mapping.offset < segment.offset + segment.file_bytes:
            return mapping.start - (mapping.offset - segment.offset + segment.address)
    return None


def _path(mapping: MappedRange, fd: int) -> tuple[str, bool]:
    """Return the path without the kernel's ` (deleted)`, and whether the file is gone from it."""
    # A file with links left may really have such a name, or have been unlinked under one of two.
    deleted = mapping.path.endswith(DELETED) and os.fstat(fd).st_nlink == 0
    return (mapping.path.removesuffix(DELETED) if deleted else mapping.path), deleted


def _vdso(mapping: MappedRange) -> LoadedObject:
    return LoadedObject(
        name=mapping.path,
        path=mapping.path,
        fd=-1,
        bias=mapping.start,
        segments=(),
        text=(TextRange(mapping.start, mapping.end, mapping.writable),),
        main=False,
        deleted=False,
        device=mapping.device,
        inode=mapping.inode,
    )


def _with_main(loaded: LoadedObject, program_headers: int) -> LoadedObject:
    """Return the object, marked as the main program where it holds the program headers."""
    main = any(
        0 <= program_headers - loaded.bias - segment.address < segment.memory_bytes
        for segment in loaded.segments
    )
    return replace(loaded, main=True) if main else loaded
