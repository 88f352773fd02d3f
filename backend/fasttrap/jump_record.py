"""What a region of trampolines begins with: the record of what its jumps displaced, and the *detour*.

Whoever finds the record, a tracer that comes after another was killed, knows from it what to put back into the text.

The detour is for the time when nobody is there to do that, and another tool's uprobe comes to lie over a jump
(`scratch.overlaid`): a thread meets an int3 in the middle of it, and so does it in the safety handler (`safety`). That
calls the detour of the region that was made last, which knows of each int3 where in the trampoline it goes on. If the
int3 is in none of its jumps it leads to the detour of the region before, the last of all back to the handler.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from backend.fasttrap.text import PAGE_SIZE
from backend.fasttrap.tracee import Memory
from backend.linux import procfs
from backend.linux.procfs import MappedRange
from scratch.placement import whole_pages
from scratch.windows import JUMP_SIZE

MAGIC: Final = b"dtrap: jumps, 3\0"
"""The first bytes of a region; the number is the version of the record."""
PATCH_LIMIT: Final = JUMP_SIZE
"""Bytes of text that one patch may displace."""

_HEAD: Final = struct.Struct("<16s4Q")
"""MAGIC, the region's size, how many of its patches are in place, how many of them there are (COUNT), and the address
of the NEXT region's detour, or 0. Detours stay: a thread may have met an int3 and not know it yet.
"""
_ENTRY: Final = struct.Struct(f"<QB{PATCH_LIMIT}s{PATCH_LIMIT}sBBii")
"""A patch, and the detour around it."""
_RAW_ENTRY: Final = struct.Struct(f"{_ENTRY.size}s")
_DETOUR: Final = bytes.fromhex(
    # rax is the address of an int3 that a thread has met, r15 its ucontext; rsi, r14 and these stay.
    "488d3d59000000"  #            lea    entries,%rdi
    "488b0de2ffffff"  #            mov    COUNT,%rcx
    "e33c"  # entry:     jrcxz  others
    "4889c2"  #            mov    %rax,%rdx
    "482b17"  #            sub    (%rdi),%rdx                  how far from the jump's start?
    "741c"  #            je     on
    "488d5f15"  #            lea    BEHIND(%rdi),%rbx
    "440fb64713"  #            movzbl BEHIND_AT(%rdi),%r8d
    "4c39c2"  #            cmp    %r8,%rdx
    "7417"  #            je     met
    "488d5f19"  #            lea    BEFORE(%rdi),%rbx
    "440fb64714"  #            movzbl BEFORE_AT(%rdi),%r8d
    "4c39c2"  #            cmp    %r8,%rdx
    "7409"  #            je     met
    "4883c71d"  # on:        add    $0x1d,%rdi
    "48ffc9"  #            dec    %rcx
    "ebd1"  #            jmp    entry
    "48631b"  # met:       movslq (%rbx),%rbx
    "48031f"  #            add    (%rdi),%rbx
    "49899fa8000000"  #            mov    %rbx,RIP(%r15)
    "f9"  #            stc                                 it goes on there
    "c3"  #            ret
    "488b15a5ffffff"  # others:    mov    NEXT,%rdx
    "4885d2"  #            test   %rdx,%rdx                    clears the carry flag
    "7402"  #            je     none
    "ffe2"  #            jmp    *%rdx
    "c3"  # none:      ret
    "0f1f440000"  # entries:
)
_PREFACE: Final = _HEAD.size + len(_DETOUR)


@dataclass(frozen=True, slots=True)
class Patch:
    """Bytes of the program's text that a jump takes, as they were and as they are: as many."""

    address: int
    original: bytes
    written: bytes


@dataclass(frozen=True, slots=True)
class Detour:
    """Where a thread goes on that has met an int3 in the middle of a jump, `behind_at` or `before_at` bytes from its
    start, 0 if there is no such: at `behind` or `before`, distances from there.
    """

    behind_at: int
    before_at: int
    behind: int
    before: int


NO_DETOUR: Final = Detour(0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Region:
    """`size` bytes at `start`: the record, with room for `capacity` patches, then trampolines from `code` on."""

    start: int
    size: int
    capacity: int
    code: int

    @property
    def detour(self) -> int:
        return self.start + _HEAD.size

    def holds(self, pc: int) -> bool:
        return self.start <= pc < self.start + self.size

    def record(self, patches: bytes | bytearray, following: int) -> bytes:
        """Return the record that says that these patches, packed, are in place; `following` is the address of the next
        region's detour, or 0.
        """
        count = len(patches) // _ENTRY.size
        assert count <= self.capacity, (count, self)
        return _HEAD.pack(MAGIC, self.size, count, count, following) + _DETOUR + patches


def size_of(capacity: int) -> int:
    """Return how many bytes a record of so many patches takes."""
    return _PREFACE + capacity * _ENTRY.size


def packed(patch: Patch, detour: Detour) -> bytes:
    """Return a patch as the record has it."""
    ways = detour.behind_at, detour.before_at, detour.behind, detour.before
    return _ENTRY.pack(patch.address, len(patch.original), patch.original, patch.written, *ways)


def _unpacked(raw: bytes) -> Patch:
    address, size, original, written, *_ = _ENTRY.unpack(raw)
    return Patch(address, original[:size], written[:size])


def recorded(pid: int, memory: Memory) -> dict[int, list[Patch]]:
    """Return the patches that records in a process say are in place, by the address of their region."""
    found: dict[int, list[Patch]] = {}
    for mapping in procfs.mappings(pid):
        if mapping.is_anonymous_code:
            found |= dict(_records_in(mapping, memory))
    return found


def _records_in(mapping: MappedRange, memory: Memory) -> Iterator[tuple[int, list[Patch]]]:
    """Yield those of one mapping, at the beginning of any of its pages: the kernel merges neighbours."""
    at = int(mapping.start)
    while at < mapping.end:
        magic, size, count, *_ = _HEAD.unpack(memory.read(at, _HEAD.size))
        if magic == MAGIC and PAGE_SIZE <= size <= mapping.end - at and size_of(count) <= size:
            raw = memory.read(at + _PREFACE, count * _ENTRY.size) if count else b""
            yield at, [_unpacked(entry) for (entry,) in _RAW_ENTRY.iter_unpack(raw)]
            at += whole_pages(size)
        else:
            at += PAGE_SIZE


def retire(memory: Memory, region_start: int) -> None:
    """Let the record of a region say that nothing is in place any more."""
    magic, size, _, *detours = _HEAD.unpack(memory.read(region_start, _HEAD.size))
    memory.write(region_start, _HEAD.pack(magic, size, 0, *detours))
