"""An object's code: functions of stripped libraries decoded whole, with their split-off parts and landing pads."""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from backend.function_table import FunctionTable
from backend.object_code import ObjectCode
from backend.symbols import read_functions
from backend.symbols_elf import file_image, read_elf
from scratch.flow import ExitKind, Function, NotWhole

LIBC = "/lib/x86_64-linux-gnu/libc.so.6"
LIBSTDCXX = "/usr/lib/x86_64-linux-gnu/libstdc++.so.6"
PYTHON = "/usr/bin/python3"


@contextmanager
def opened(path: str) -> Iterator[tuple[ObjectCode, FunctionTable]]:
    fd = os.open(path, os.O_RDONLY)
    try:
        file = read_elf(file_image(fd))
        table = read_functions(file)
        yield ObjectCode(file, table), table
    finally:
        os.close(fd)


@pytest.mark.parametrize(
    ("path", "most_conditional"),
    [(LIBC, 5), (LIBSTDCXX, 5), (PYTHON, 100)],
    ids=["libc", "libstdc++", "python3"],
)
def test_every_function_of_a_library_is_decoded_whole(path: str, most_conditional: int) -> None:
    """Without symbols for split-off parts, hundreds of conditional jumps would seem to leave their function."""
    kinds: Counter[ExitKind] = Counter()
    with opened(path) as (code, table):
        for function in table:
            found = code.whole(code.sweep(function.address, function.address + function.size))
            assert isinstance(found, Function), (function, found)
            kinds.update(one.kind for one in found.exits)
    assert kinds[ExitKind.RETURN] > len(table) / 2
    assert kinds[ExitKind.BRANCH] <= most_conditional


def test_landing_pads_begin_instructions() -> None:
    with opened(LIBSTDCXX) as (code, _):
        assert len(code.landing_pads) > 2000
        for pad in sorted(code.landing_pads)[::10]:
            number = code.frames.index(pad)
            assert number is not None, hex(pad)
            assert code.sweep(code.frames.starts[number], code.frames.ends[number]).starts_at(pad), hex(pad)


def test_parts_split_off_begin_with_a_frame() -> None:
    with opened(PYTHON) as (code, _):
        assert sum(code.frames.framed) > 1000
    with opened(LIBC) as (code, table):
        framed = {
            start
            for start, is_framed in zip(code.frames.starts, code.frames.framed, strict=True)
            if is_framed
        }
        # The linker's tables, and code that is entered by other ways than a call.
        assert len(framed & {function.address for function in table}) < 10


def test_constant_data_hold_the_pointers_that_the_loader_will_make() -> None:
    with opened(LIBSTDCXX) as (code, _):
        place = sorted(code.pointers)[len(code.pointers) // 2]
        pointer = code.pointers[place]
        assert code.read(place, 8) == pointer.to_bytes(8, "little")
        assert code.read(place - 4, 16)[4:12] == pointer.to_bytes(8, "little")
        assert code.read(0, 4) == b""


def test_extent_ends_at_the_next_function() -> None:
    with opened(LIBC) as (code, table):
        function = next(one for one in table if one.name == "malloc")
        start, end = code.extent(function.address + 5)
        assert start == function.address
        assert function.address + function.size <= end <= function.address + function.size + 16
        assert code.extent(16) == (16, 16)


def test_code_that_the_file_has_not_got_is_not_whole() -> None:
    with opened(LIBC) as (code, _):
        assert not code.sweep(16, 32).code
        assert isinstance(code.whole(code.sweep(16, 32)), NotWhole)
