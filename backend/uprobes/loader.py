"""Compiled code in, loaded programs and maps out: reads the BPF object, creates the maps, patches references,
loads.

The object is what LLVM's bpfel target emits: each program is a section of its own named `prog/…`, without
relocations. A program names a map by its index in the list of MapSpecs, in the imm of an ld_imm64 with
src_reg 1 (the map) or 2 (the address of its only value, plus the second imm as an offset); `relocate` puts
file descriptors there. The result goes to `backend.uprobes.attach` and to the session.

Not here: the code generator (`dlang`), bpf(2) itself (`backend.linux.bpf`).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType

from backend.errors import BadObject
from backend.linux import bpf
from backend.uprobes.process_filter import ProcessFilter, with_process_filter

PROGRAM_PREFIX = "prog/"
INSTRUCTION_BYTES = 8

_ELF_IDENT = b"\x7fELF\x02\x01\x01"  # 64-bit, little-endian, version 1
_EM_BPF = 247
_SHT_PROGBITS, _SHT_RELA, _SHT_REL = 1, 4, 9
_SECTION = struct.Struct("<IIQQQQIIQQ")
_MAX_SECTIONS = 1 << 16

_LD_IMM64 = 0x18
_PSEUDO_MAP_FD, _PSEUDO_MAP_VALUE = 1, 2
_CALL_ATTACH_COOKIE = struct.pack("<BBhi", 0x85, 0, 0, 174)  # call bpf_get_attach_cookie


@dataclass(frozen=True, slots=True)
class MapSpec:
    """A map that a program needs. Sizes in bytes; `contents`, if any, is stored as the value of key 0 before
    programs are loaded.

    A map with RDONLY_PROG is frozen then, so that the verifier may take its contents for constants.
    """

    kind: bpf.MapKind
    key_size: int
    value_size: int
    max_entries: int
    flags: bpf.MapFlag = bpf.MapFlag.NONE
    name: str = ""
    contents: bytes | None = None

    @property
    def user_value_size(self) -> int:
        """How many bytes one lookup yields: all CPUs' values for a per-CPU map."""
        return bpf.user_value_size(self.kind, self.value_size)


@dataclass(frozen=True, slots=True)
class ProgramSpec:
    """A program in the object: its section, as what it is to be loaded, and the only process that it runs for."""

    section: str
    kind: bpf.ProgramKind
    attach_type: bpf.AttachType = bpf.AttachType.NONE
    flags: bpf.ProgramFlag = bpf.ProgramFlag.NONE
    process: ProcessFilter | None = None


@dataclass(frozen=True, slots=True)
class Loaded:
    """Maps and programs in the kernel, until exit of the context.

    `maps`: fds in the order of the specs. `programs`: fd by section. `code`: relocated instructions by
    section, for `attach_singly`.
    """

    maps: tuple[int, ...]
    programs: Mapping[str, int]
    code: Mapping[str, bytes]

    def __enter__(self) -> Loaded:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for fd in (*self.programs.values(), *self.maps):
            os.close(fd)


def load(
    elf: bytes,
    maps: Sequence[MapSpec],
    programs: Sequence[ProgramSpec],
) -> Loaded:
    """Create `maps`, load `programs` from the object. All or nothing: what was made is closed when an error
    is raised.

    Raises BadObject, VerifierRejected, OSError.
    """
    sections = extract_programs(elf)
    map_fds: list[int] = []
    program_fds: dict[str, int] = {}
    code: dict[str, bytes] = {}
    try:
        for spec in maps:
            map_fds.append(create_map(spec))  # noqa: PERF401  # each fd must be known when the next one fails
        for program in programs:
            if program.section not in sections:
                raise BadObject(f"no section {program.section}")
            instructions = relocate(sections[program.section], map_fds)
            if program.process is not None:
                instructions = with_process_filter(instructions, program.process)
            name = program.section.removeprefix(PROGRAM_PREFIX)
            program_fds[program.section] = bpf.prog_load(
                program.kind, instructions, f"dtrap_{name}", program.attach_type, flags=program.flags
            )
            code[program.section] = instructions
    except BaseException:
        for fd in (*program_fds.values(), *map_fds):
            os.close(fd)
        raise
    return Loaded(tuple(map_fds), program_fds, code)


def create_map(spec: MapSpec) -> int:
    """Return the fd of the map that `spec` describes, filled and frozen as it says."""
    fd = bpf.map_create(spec.kind, spec.key_size, spec.value_size, spec.max_entries, spec.flags, spec.name)
    try:
        if spec.contents is not None:
            bpf.map_update(fd, bytes(spec.key_size), spec.contents.ljust(spec.user_value_size, b"\0"))
        if spec.flags & bpf.MapFlag.RDONLY_PROG:
            bpf.map_freeze(fd)
    except BaseException:
        os.close(fd)
        raise
    return fd


def extract_programs(elf: bytes) -> dict[str, bytes]:
    """Return the instructions of each `prog/…` section, by section name.

    Reads section headers only, each bound checked (pyelftools takes longer to import than all of this takes).
    Raises BadObject for anything else than a 64-bit little-endian BPF object, and for a program with
    relocations.
    """
    if elf[:7] != _ELF_IDENT or len(elf) < 64:
        raise BadObject("not a 64-bit little-endian ELF file")
    (machine,) = struct.unpack_from("<H", elf, 0x12)
    if machine != _EM_BPF:
        raise BadObject(f"machine {machine}, not BPF")
    (table,) = struct.unpack_from("<Q", elf, 0x28)
    entry_size, count, names_index = struct.unpack_from("<HHH", elf, 0x3A)
    if entry_size != _SECTION.size or not names_index < count <= _MAX_SECTIONS:
        raise BadObject("bad section table")
    if table + count * entry_size > len(elf):
        raise BadObject("section table outside the file")
    headers = [_SECTION.unpack_from(elf, table + index * entry_size) for index in range(count)]
    names = _contents(elf, headers[names_index][4], headers[names_index][5])
    programs: dict[int, tuple[str, bytes]] = {}
    relocated: set[int] = set()
    for index, (name_at, kind, _flags, _address, offset, size, _link, info, _align, _entry) in enumerate(
        headers
    ):
        if kind in (_SHT_REL, _SHT_RELA):
            relocated.add(info)
        if kind != _SHT_PROGBITS:
            continue
        name = names[name_at:].split(b"\0", 1)[0].decode("ascii", errors="replace")
        if name.startswith(PROGRAM_PREFIX):
            code = _contents(elf, offset, size)
            if not code or len(code) % INSTRUCTION_BYTES:
                raise BadObject(f"section {name} of {len(code)} bytes")
            programs[index] = (name, code)
    for index in sorted(relocated & programs.keys()):
        raise BadObject(f"section {programs[index][0]} has relocations")
    return dict(programs.values())


def _contents(elf: bytes, offset: int, size: int) -> bytes:
    if offset + size > len(elf):
        raise BadObject(f"section at {offset:#x} of {size} bytes lies outside the file")
    return elf[offset : offset + size]


def relocate(instructions: bytes, fds: Sequence[int]) -> bytes:
    """Return the instructions with each map index replaced by that map's fd. Raises BadObject for an index
    without a map.
    """
    patched = bytearray(instructions)
    at = 0
    while at < len(patched):
        if patched[at] != _LD_IMM64:
            at += INSTRUCTION_BYTES
            continue
        if patched[at + 1] >> 4 in (_PSEUDO_MAP_FD, _PSEUDO_MAP_VALUE):
            (index,) = struct.unpack_from("<I", patched, at + 4)
            if index >= len(fds):
                raise BadObject(f"instruction {at // INSTRUCTION_BYTES} names map {index} of {len(fds)}")
            struct.pack_into("<i", patched, at + 4, fds[index])
        at += 2 * INSTRUCTION_BYTES
    return bytes(patched)


def with_fixed_cookie(instructions: bytes, cookie: int) -> bytes:
    """Return the program as it would run where bpf_get_attach_cookie gives `cookie`: each such call becomes
    `r0 = cookie`.

    For a probe attached without a cookie, which is all that perf events and libbcc know. `cookie` is below
    2³¹, since the immediate of a move is signed. (A call also forgets r1 to r5, a move does not; so what the
    verifier accepted stays acceptable.)
    """
    if not 0 <= cookie < 1 << 31:
        raise ValueError(f"cookie {cookie:#x} does not fit a 32-bit immediate")
    load_cookie = struct.pack("<BBhi", 0xB7, 0, 0, cookie)
    patched = bytearray(instructions)
    at = 0
    while at < len(patched):
        if patched[at : at + INSTRUCTION_BYTES] == _CALL_ATTACH_COOKIE:
            patched[at : at + INSTRUCTION_BYTES] = load_cookie
        at += 2 * INSTRUCTION_BYTES if patched[at] == _LD_IMM64 else INSTRUCTION_BYTES
    return bytes(patched)
