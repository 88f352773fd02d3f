"""The files that complete a stripped ELF file: a separate debug file, or a symbol table packed inside.

Lives here: finding, checking and opening them. Not here: reading their symbols (backend/symbols.py). The
conventions are gdb's ("Debugging Information in Separate Files", "MiniDebugInfo").
"""

import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import ExitStack

from backend.errors import MalformedElf
from backend.symbols_elf import ElfFile, SectionType, bytes_image, file_image, read_elf

DEBUG_ROOT = "/usr/lib/debug"
_MAX_MINI_BYTES = 1 << 28
_CHUNK_BYTES = 1 << 20


def completing_files(
    file: ElfFile, path: str, files: ExitStack, roots: tuple[str, ...]
) -> tuple[ElfFile, ...]:
    """Return the files whose symbol tables complete that of `file`.

    None where it has a `.symtab` of its own, or where nothing is found. `path` is where `file` is as its
    process sees it. `roots` are the roots under which that path and DEBUG_ROOT are looked for: the process's
    (`/proc/PID/root`), then ours (the empty string). `files` closes what is opened here. A separate debug
    file has to have the same build id or, where either has none, the checksum that `.gnu_debuglink` gives;
    one that doesn't, and one that is malformed, counts as missing.
    """
    if any(section.type == SectionType.SYMTAB and section.has_bytes for section in file.sections):
        return ()
    link = _debug_link(file)
    for candidate in _candidates(file, path, link, roots):
        debug = _open_elf(candidate, files)
        if debug is not None and _belongs(debug, file, link):
            return (debug,)
    return _mini_debug_info(file)


def _candidates(
    file: ElfFile, path: str, link: tuple[str, int] | None, roots: tuple[str, ...]
) -> Iterator[str]:
    folder = os.path.dirname(path)
    for root in roots:
        if file.build_id:
            name = file.build_id.hex()
            yield f"{root}{DEBUG_ROOT}/.build-id/{name[:2]}/{name[2:]}.debug"
        if link is not None:
            yield f"{root}{folder}/{link[0]}"
            yield f"{root}{folder}/.debug/{link[0]}"
            yield f"{root}{DEBUG_ROOT}{folder}/{link[0]}"


def _debug_link(file: ElfFile) -> tuple[str, int] | None:
    """Return base name and CRC-32 of `.gnu_debuglink`: a string, padded to 4 bytes, and the checksum."""
    section = file.section(".gnu_debuglink")
    if section is None or not 8 <= section.size_bytes <= _CHUNK_BYTES:
        return None
    try:
        data = file.section_bytes(section)
    except MalformedElf:
        return None
    name = data[:-4].partition(b"\0")[0]
    # A name with a slash would lead out of the folders that are searched.
    if not name or b"/" in name:
        return None
    return os.fsdecode(name), int.from_bytes(data[-4:], "little")


def _open_elf(path: str, files: ExitStack) -> ElfFile | None:
    try:
        # Not blocking: the path may be in a root that the traced process controls, and lead to a pipe.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except (OSError, ValueError):
        return None
    if stat.S_ISREG(os.fstat(fd).st_mode):
        try:
            file = read_elf(file_image(fd))
        except MalformedElf:
            pass
        else:
            files.callback(os.close, fd)
            return file
    os.close(fd)
    return None


def _belongs(debug: ElfFile, file: ElfFile, link: tuple[str, int] | None) -> bool:
    if debug.build_id and file.build_id:
        return debug.build_id == file.build_id
    return link is not None and _crc32(debug) == link[1]


def _crc32(file: ElfFile) -> int:
    image = file.image
    checksum = 0
    for offset in range(0, image.size_bytes, _CHUNK_BYTES):
        checksum = zlib.crc32(image.pread(_CHUNK_BYTES, offset), checksum)
    return checksum


def _mini_debug_info(file: ElfFile) -> tuple[ElfFile, ...]:
    """Return the ELF file that `.gnu_debugdata` holds, packed with xz: functions that `.dynsym` lacks."""
    section = file.section(".gnu_debugdata")
    if section is None:
        return ()
    # Only some distributions make such sections; others need not pay for the import.
    import lzma

    try:
        # At most _MAX_MINI_BYTES come out, however much the section would expand to.
        data = lzma.LZMADecompressor().decompress(file.section_bytes(section), _MAX_MINI_BYTES)
        return (read_elf(bytes_image(data)),)
    except (MalformedElf, lzma.LZMAError):
        return ()
