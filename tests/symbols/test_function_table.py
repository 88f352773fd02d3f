"""The functions of an object in columns: found by address and by name, and small."""

import tracemalloc
from collections.abc import Iterator

import pytest

from backend.function_table import Function, FunctionTable, table_of

COUNT = 10_000
TEXT = ((0x1000, 0x1000 + 16 * COUNT + 8),)


def functions(count: int = COUNT) -> Iterator[Function]:
    for number in range(count):
        aliases = (f"also{number}", "shared") if number % 5 == 0 else ()
        yield Function(0x1000 + 16 * number, 8, f"f{number}", aliases, ifunc=number % 1000 == 7)


@pytest.fixture(scope="module")
def table() -> FunctionTable:
    return table_of(functions(), TEXT)


def test_functions_are_what_they_were(table: FunctionTable) -> None:
    assert list(table) == list(functions())
    assert table[-1] == table[COUNT - 1]
    assert table[5:7] == list(functions(7))[5:]
    assert table.ifuncs() == [function for function in functions() if function.ifunc]
    with pytest.raises(IndexError):
        table[COUNT]


@pytest.mark.parametrize("count", [0, 1, 4095, 4096, 4097])
def test_all_names_are_there_whatever_their_number(count: int) -> None:
    expected = [name for function in functions(count) for name in function.names]
    assert list(table_of(functions(count), TEXT).all_names()) == expected


def test_a_name_is_found_whole_only(table: FunctionTable) -> None:
    assert table.named("f0") == [0]
    assert table.named("f9999") == [9999]
    assert table.named("also25") == [25]
    assert table.named("shared") == list(range(0, COUNT, 5))
    for absent in ("", "f", "1", "also1", "f0\0also0", "\0"):
        assert table.named(absent) == [], absent


def test_a_function_matches_by_any_of_its_names(table: FunctionTable) -> None:
    assert list(table.matching(lambda name: name in ("f3", "also5", "shared"))) == sorted(
        {3, *range(0, COUNT, 5)}
    )


def test_addresses_are_found_within_functions_only(table: FunctionTable) -> None:
    assert table.place(0x1010) == 1
    assert table.place(0x1011) is None
    assert table.place_around(0x1017) == 1
    assert table.place_around(0x1018) is None
    assert table.place_around(0xFFF) is None
    assert table.extent(0x1018) == 8
    assert table.extent(TEXT[0][1] - 1) == 1


def test_names_that_are_not_ascii_stay_what_they_are() -> None:
    odd = [Function(0x1000, 1, "café", ("\\xff", "ß")), Function(0x1001, 1, "日本")]
    table = table_of(odd, TEXT)
    assert list(table) == odd
    assert table.named("ß") == [0]
    assert table.named("日本") == [1]


def test_a_function_takes_thirty_bytes_beyond_its_names() -> None:
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        table = table_of((Function(0x1000 + place, 1, f"f{place:07}") for place in range(100_000)), TEXT)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (after - before) / len(table) < 8 + 30
