"""Which sites the kernel gets: no more of one file than it bears, and none at instructions that it executes wrongly."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from backend.choice import refused_by_kernel
from backend.function_table import Function, table_of
from backend.linux.procfs import Memory
from backend.objects import LoadedObject, loaded_objects
from backend.site_table import SiteKind, Sites
from backend.sites import PlacedFunction, PlacedFunctions
from backend.symbols_elf import Segment
from backend.uprobes.site_rules import MOST_IN_FILE


@pytest.fixture
def objects() -> Iterator[dict[str, LoadedObject]]:
    with ExitStack() as files:
        yield {loaded.name: loaded for loaded in loaded_objects(os.getpid(), files)}


def push_of(loaded: LoadedObject) -> PlacedFunction:
    """Something in a library that begins with `push %rbx`, which the kernel emulates."""
    part = loaded.text[0]
    with Memory(os.getpid()) as memory:
        code = memory.read(part.start, part.end - part.start)
    return function_at(loaded, part.start + code.index(b"\x53") - loaded.bias, 16)


def function_at(loaded: LoadedObject, address: int, size: int) -> PlacedFunction:
    """A function of a library, at an address of its file."""
    table = table_of([Function(address, size, "f")], ((address, address + size),))
    return PlacedFunctions(loaded, table)[0]


def with_sites(functions: list[tuple[PlacedFunction, int]]) -> Sites:
    """A table with so many sites of each function; where they are doesn't matter, only how many."""
    sites = Sites()
    for function, count in functions:
        for _ in range(count):
            sites.add(function, SiteKind.ENTRY, 0, 4, 4)
    return sites


def test_all_sites_of_a_file_with_too_many_are_not_the_kernels_and_those_of_others_are(
    objects: dict[str, LoadedObject],
) -> None:
    libc, linker = push_of(objects["libc.so.6"]), push_of(objects["ld-linux-x86-64.so.2"])
    assert refused_by_kernel(with_sites([(libc, MOST_IN_FILE), (linker, 5)])) == set()
    crowded = with_sites([(linker, 3), (libc, MOST_IN_FILE + 1), (linker, 2)])
    assert refused_by_kernel(crowded) == set(range(3, 3 + MOST_IN_FILE + 1))


WRONGLY = {
    "vmovdqu (skipped)": "c5fe7f07",
    "vzeroupper (skipped)": "c5f877",
    "vcmpps (taken for ret)": "c5f8c2c100",
    "xchg with r8 (skipped)": "4990",
    "pushf (trap flag)": "9c",
    "rep movsb (many hits)": "f3a4",
    "syscall (rcx and r11)": "0f05",
    "xbegin (aborted)": "c7f800000000",
    "eip-relative": "678b0500000000",
    "lock (refused)": "f0ff07",
}


@pytest.mark.parametrize("code", WRONGLY.values(), ids=WRONGLY.keys())
@pytest.mark.parametrize("kind", [SiteKind.ENTRY, SiteKind.OFFSET], ids=lambda kind: kind.name)
def test_sites_that_the_kernel_executes_wrongly_are_left_to_fasttrap(
    code: str, kind: SiteKind, objects: dict[str, LoadedObject], tmp_path: Path
) -> None:
    assert is_refused(code, kind, objects, tmp_path)


def test_nops_that_the_kernel_makes_calls_of_are_its_own_at_entries_only(
    objects: dict[str, LoadedObject], tmp_path: Path
) -> None:
    # A call writes below the stack pointer, where a function without calls may keep what it needs: the red zone.
    nop = "0f1f440000"
    assert not is_refused(nop, SiteKind.ENTRY, objects, tmp_path)
    assert is_refused(nop, SiteKind.OFFSET, objects, tmp_path)
    assert is_refused(nop, SiteKind.RETURN, objects, tmp_path)


def is_refused(code: str, kind: SiteKind, objects: dict[str, LoadedObject], folder: Path) -> bool:
    """Whether a site at this code is not the kernel's; but for the code its object is libc."""
    file = folder / "code"
    file.write_bytes(bytes.fromhex(code).ljust(32, b"\x90"))
    with file.open("rb") as opened:
        segment = Segment(1 << 20, 0, 32, 32, writable=False, executable=True)
        loaded = replace(objects["libc.so.6"], fd=opened.fileno(), segments=(segment,))
        sites = Sites()
        sites.add(function_at(loaded, segment.address, segment.file_bytes), kind, 0, 4, 4)
        return refused_by_kernel(sites) == {0}
