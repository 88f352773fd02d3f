"""Symbol tables -> functions: which symbols count, their names and sizes, hostile files."""

import os
import random
import struct
import subprocess
from pathlib import Path

import pytest

from backend.errors import MalformedElf
from backend.function_table import Function, FunctionTable
from backend.symbols import read_functions
from backend.symbols_elf import Image, bytes_image, file_image, read_elf
from tests.harness.triggers import Triggers
from tests.symbols.elf_builder import (
    ABSOLUTE,
    IFUNC,
    LOCAL,
    OBJECT,
    TEXT_ADDRESS,
    TEXT_BYTES,
    UNDEFINED,
    WEAK,
    RawSection,
    Symbol,
    elf_with_sections,
    elf_with_symbols,
)

AT = TEXT_ADDRESS + 0x10
LIBC = "/lib/x86_64-linux-gnu/libc.so.6"


def functions_of(*symbols: Symbol) -> tuple[Function, ...]:
    return tuple(read_functions(read_elf(bytes_image(elf_with_symbols(symbols)))))


def names_of(*symbols: Symbol) -> tuple[str, ...]:
    """The names of the one function that these symbols of one address are, the canonical one first."""
    (function,) = functions_of(*symbols)
    return function.names


def table_of(path: str) -> FunctionTable:
    fd = os.open(path, os.O_RDONLY)
    try:
        return read_functions(read_elf(file_image(fd)))
    finally:
        os.close(fd)


def test_only_defined_functions_in_text_count() -> None:
    found = functions_of(
        Symbol(b"defined", AT),
        Symbol(b"imported", 0, section=UNDEFINED),
        Symbol(b"data", AT + 8, kind=OBJECT),
        Symbol(b"absolute", AT + 16, section=ABSOLUTE),
        Symbol(b"elsewhere", TEXT_ADDRESS + TEXT_BYTES),
        Symbol(b"before", TEXT_ADDRESS - 1),
        Symbol(b"", AT + 24),
    )
    assert [function.name for function in found] == ["defined"]


def test_names_of_one_address_are_one_function() -> None:
    assert functions_of(
        Symbol(b"b", AT), Symbol(b"c", AT + 4), Symbol(b"a", AT), Symbol(b"a", AT, binding=LOCAL)
    ) == (
        Function(AT, 4, "a", ("b",)),
        Function(AT + 4, 4, "c"),
    )


@pytest.mark.parametrize(
    ("symbols", "canonical"),
    [
        ((Symbol(b"__write", AT), Symbol(b"write", AT, binding=WEAK)), "write"),
        ((Symbol(b"free", AT), Symbol(b"cfree", AT, old_version=True)), "free"),
        ((Symbol(b"index", AT, binding=WEAK), Symbol(b"strchr", AT)), "strchr"),
        ((Symbol(b"open", AT), Symbol(b"open64", AT)), "open"),
        ((Symbol(b"short", AT, binding=LOCAL), Symbol(b"__exported_name", AT)), "__exported_name"),
        ((Symbol(b"f.cold", AT), Symbol(b"longer_f", AT)), "longer_f"),
        ((Symbol(b"$d", AT), Symbol(b"longer_f", AT)), "longer_f"),
        ((Symbol(b"_x", AT), Symbol(b"__x", AT)), "_x"),
    ],
)
def test_the_name_a_user_would_use_is_canonical(symbols: tuple[Symbol, ...], canonical: str) -> None:
    assert names_of(*symbols)[0] == canonical
    assert names_of(*reversed(symbols))[0] == canonical


def test_symbol_versions_do_not_show() -> None:
    assert names_of(Symbol(b"memcpy@@GLIBC_2.14", AT), Symbol(b"memmove@GLIBC_2.2.5", AT)) == (
        "memcpy",
        "memmove",
    )


def test_an_ifunc_is_marked() -> None:
    (function,) = functions_of(Symbol(b"resolved", AT, kind=IFUNC), Symbol(b"resolver", AT, binding=LOCAL))
    assert (function.name, function.aliases, function.ifunc) == ("resolved", ("resolver",), True)


def test_a_size_of_zero_means_up_to_the_next_function_or_the_end_of_the_section() -> None:
    last = TEXT_ADDRESS + TEXT_BYTES - 6
    first, second, third = functions_of(
        Symbol(b"assembled", AT, size=0), Symbol(b"next", AT + 12), Symbol(b"last", last, size=0)
    )
    assert (first.size, second.size, third.size) == (12, 4, 6)


def test_a_size_that_leaves_the_section_is_cut() -> None:
    (function,) = functions_of(Symbol(b"endless", AT, size=1 << 63))
    assert function.address + function.size == TEXT_ADDRESS + TEXT_BYTES


def test_aliases_of_different_sizes_have_the_smallest_that_is_given() -> None:
    (function,) = functions_of(Symbol(b"a", AT, size=9), Symbol(b"b", AT, size=0), Symbol(b"c", AT, size=5))
    assert function.size == 5


def test_names_that_are_no_utf8_or_hold_control_characters_are_kept_apart() -> None:
    found = functions_of(
        Symbol(b"caf\xc3\xa9", AT), Symbol(b"bad\xff", AT + 4), Symbol(b"bell\x07\x1b[2J", AT + 8)
    )
    assert [function.name for function in found] == ["café", "bad\\xff", "bell\x07\x1b[2J"]


def test_the_tail_of_another_name_is_a_name() -> None:
    data = bytearray(elf_with_symbols([Symbol(b"xmemcpy", AT), Symbol(b"y", AT + 4)]))
    table = data.index(struct.pack("<IBBHQQ", 1, 0x12, 0, 1, AT, 4))
    struct.pack_into("<I", data, table + 24, 2)  # the second symbol's name starts inside the first one's
    assert [f.name for f in read_functions(read_elf(bytes_image(bytes(data))))] == [
        "xmemcpy",
        "memcpy",
    ]


def test_the_function_at_an_address_is_found() -> None:
    table = read_functions(read_elf(bytes_image(elf_with_symbols([Symbol(b"f", AT), Symbol(b"g", AT + 16)]))))
    found = table.at(AT + 16)
    assert found is not None
    assert found.name == "g"
    assert table.at(AT + 1) is None
    assert table.extent(AT + 4) == 12
    assert table.extent(TEXT_ADDRESS + TEXT_BYTES - 3) == 3
    assert table.extent(0) == 0


@pytest.mark.parametrize("path", [LIBC, "/lib/x86_64-linux-gnu/libstdc++.so.6", "/usr/bin/bash"])
def test_functions_of_real_files_are_those_that_readelf_lists(path: str) -> None:
    listing = subprocess.run(["readelf", "-sW", path], capture_output=True, text=True, check=True).stdout
    expected = set()
    for line in listing.splitlines():
        fields = line.split()
        if len(fields) >= 8 and fields[3] in ("FUNC", "IFUNC") and fields[6].isdigit():
            expected.add((fields[7].partition("@")[0], int(fields[1], 16)))
    found = {(name, function.address) for function in table_of(path) for name in function.names}
    assert len(found) > 500
    assert found == expected


def test_assembled_functions_end_where_the_next_one_starts(triggers: Triggers) -> None:
    functions = {f.name: f for f in table_of(str(triggers.path("aliases")))}
    assert functions["assembled"].address + functions["assembled"].size == functions["follower"].address
    assert functions["work"].aliases == ("__work", "work_again")
    assert "hidden" in functions


def test_error_a_file_that_is_not_elf_is_named_so() -> None:
    for data in (b"", b"\x7fELF", b"#!/bin/sh\n" * 20, b"\x7fELF\x01\x01" + bytes(100), bytes(64)):
        with pytest.raises(MalformedElf):
            read_elf(bytes_image(data))


def test_error_another_machine_is_named() -> None:
    data = bytearray(elf_with_symbols([]))
    struct.pack_into("<H", data, 18, 183)
    with pytest.raises(MalformedElf, match="AARCH64"):
        read_elf(bytes_image(bytes(data)))


def test_error_a_file_that_shrinks_while_it_is_read() -> None:
    data = elf_with_symbols([Symbol(b"f", AT)])
    file = read_elf(Image(lambda size, offset: data[offset : offset + size], len(data)))
    shrunk = Image(lambda size, offset: data[offset : min(offset + size, 0x1800)], len(data))
    with pytest.raises(MalformedElf, match="cut short"):
        shrunk.read(0x1000, 0x1000)
    assert read_functions(file)


def test_error_names_that_overlap_without_end_are_refused() -> None:
    strings = b"\0" + b"a" * 40_000 + b"\0"
    rows = [
        struct.pack("<IBBHQQ", 1 + at, 0x12, 0, 1, TEXT_ADDRESS + at % TEXT_BYTES, 1) for at in range(30_000)
    ]
    data = elf_with_sections(
        [RawSection(b".symtab", 2, 0, 0, b"".join(rows), link=3), RawSection(b".strtab", 3, 0, 0, strings)]
    )
    with pytest.raises(MalformedElf, match="overlap"):
        read_functions(read_elf(bytes_image(data)))


def test_error_a_table_larger_than_any_real_one_is_not_read() -> None:
    data = bytearray(elf_with_symbols([Symbol(b"f", AT)]))
    headers = struct.unpack_from("<Q", data, 40)[0]
    struct.pack_into("<Q", data, headers + 2 * 64 + 32, 1 << 40)
    sparse = Image(lambda size, offset: bytes(data[offset : offset + size]), 1 << 50)
    with pytest.raises(MalformedElf, match="too large"):
        read_functions(read_elf(sparse))


def test_a_table_listed_a_thousand_times_is_read_once() -> None:
    rows = b"".join(struct.pack("<IBBHQQ", 1, 0x12, 0, 1, AT + at, 1) for at in range(500))
    again = [RawSection(b".symtab", 2, 0, 0, b"", link=3)] * 1000
    data = bytearray(
        elf_with_sections(
            [
                RawSection(b".symtab", 2, 0, 0, rows, link=3),
                RawSection(b".strtab", 3, 0, 0, b"\0f\0"),
                *again,
            ]
        )
    )
    headers = struct.unpack_from("<Q", data, 40)[0]
    table = struct.unpack_from("<QQ", data, headers + 2 * 64 + 24)
    for index in range(4, 1004):
        struct.pack_into("<QQ", data, headers + index * 64 + 24, *table)
    reads: list[int] = []

    def pread(size: int, offset: int) -> bytes:
        reads.append(size)
        return bytes(data[offset : offset + size])

    assert len(read_functions(read_elf(Image(pread, len(data))))) == 500
    assert reads.count(len(rows)) == 1


@pytest.mark.parametrize("seed", range(20))
def test_damaged_files_give_functions_or_a_typed_error(seed: int) -> None:
    source = random.Random(seed)
    symbols = [
        Symbol(b"f%d" % number, TEXT_ADDRESS + 8 * number, size=source.choice((0, 4, 8, 99)))
        for number in range(40)
    ]
    whole = elf_with_symbols(symbols, sections=[RawSection(b".note", 7, 2, 0, b"\4\0\0\0" * 5)])
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(source.randrange(1, 6)):
            # Headers are where a byte matters most: the file's, the sections', the symbols'.
            at = source.choice(
                (source.randrange(120), -source.randrange(1, 500), source.randrange(len(data)))
            )
            width = source.choice((1, 2, 4, 8))
            value = source.choice(
                (0, 1, (1 << 8 * width) - 1, 1 << 8 * width - 1, source.getrandbits(8 * width))
            )
            piece = value.to_bytes(width, "little")
            start = at % (len(data) - width)
            data[start : start + width] = piece
        if source.random() < 0.2:
            del data[source.randrange(len(data)) :]
        try:
            table = read_functions(read_elf(bytes_image(bytes(data))))
        except MalformedElf:
            continue
        for function in table:
            assert function.size > 0, function
            assert any(
                start <= function.address and function.address + function.size <= end
                for start, end in table.text
            )


def test_half_a_million_symbols_are_one_table(tmp_path: Path) -> None:
    count = 500_000
    names = [b"_ZN7library5Class%dE6methodEv" % number for number in range(count)]
    strings = b"\0" + b"\0".join(names) + b"\0"
    rows = bytearray()
    start = 1
    for number, name in enumerate(names):
        rows += struct.pack("<IBBHQQ", start, 0x12, 0, 1, TEXT_ADDRESS + 16 + number, 1)
        start += len(name) + 1
    text = RawSection(b".text.large", 1, 6, TEXT_ADDRESS + TEXT_BYTES, b"")
    data = bytearray(
        elf_with_sections(
            [
                RawSection(b".symtab", 2, 0, 0, bytes(rows), link=3),
                RawSection(b".strtab", 3, 0, 0, strings),
                text,
            ]
        )
    )
    headers = struct.unpack_from("<Q", data, 40)[0]
    struct.pack_into("<Q", data, headers + 64 + 32, count + 16)  # .text is said to be large enough for all
    table = read_functions(read_elf(bytes_image(bytes(data))))
    assert len(table) == count
    assert table[-1].name == names[-1].decode()
