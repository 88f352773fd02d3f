"""Names of code made at run time: the file of perf's form, and what may not be believed in it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.perf_map import PerfMap, Row, parse, supersede


@pytest.fixture
def written() -> Iterator[Path]:
    path = Path(f"/tmp/perf-{os.getpid()}.map")
    path.write_text("1000 20 first\n2000 10 py::second:/a file.py\n")
    yield path
    path.unlink()


def own_map() -> PerfMap:
    return PerfMap(os.getpid(), os.getpid(), os.getuid())


def test_an_address_is_named_by_the_piece_that_it_is_in(written: Path) -> None:
    found = own_map()
    assert found.name == written.name
    assert found.at(0x1000) == found.at(0x101F) == (0x1000, 0x20, "first")
    assert found.at(0x2001) == (0x2000, 0x10, "py::second:/a file.py")
    for address in (0, 0xFFF, 0x1020, 0x2010, 1 << 63):
        assert found.at(address) is None


def test_what_is_written_later_is_read_when_it_is_asked_for(written: Path) -> None:
    found = own_map()
    assert found.at(0x3000) is None
    with written.open("a") as file:
        file.write("3000 8 third\n")
    assert found.at(0x3007) == (0x3000, 8, "third")


def test_a_link_or_a_file_of_another_user_is_not_read(written: Path, tmp_path: Path) -> None:
    real = tmp_path / "map"
    written.rename(real)
    written.symlink_to(real)
    assert own_map().at(0x1000) is None
    written.unlink()
    real.rename(written)
    os.chown(written, 12345, -1)
    assert own_map().at(0x1000) is None


def test_lines_of_another_form_are_left_out() -> None:
    lines = [
        b"",
        b"10",
        b"10 10",
        b"x 10 a",
        b"10 -1 a",
        b"-10 1 a",
        b"10 0 a",
        b"10 4 \xff\x1b",
        b"10 4  b c",
        b"10 4 a\0b",
    ]
    assert parse(b"\n".join(lines)) == [
        (0x10, 4, "\\xff\x1b"),
        (0x10, 4, " b c"),
        (0x10, 4, "a\\x00b"),
    ]
    assert parse(b"7fffffffffff 1 a\n800000000000 1 a\n%x 1 a" % (1 << 70)) == [(0x7FFF_FFFF_FFFF, 1, "a")]


def test_a_newer_piece_takes_the_place_of_all_that_it_overlaps() -> None:
    rows: list[Row] = []
    supersede(rows, [(0x10, 4, "a"), (0x18, 8, "b"), (0x20, 8, "c"), (0x28, 4, "d")])
    supersede(rows, [(0x12, 1, "inside a"), (0x1F, 2, "over b and c"), (0x28, 4, "d again")])
    assert rows == [(0x12, 1, "inside a"), (0x1F, 2, "over b and c"), (0x28, 4, "d again")]
    supersede(rows, [(0, 0x1000, "over all")])
    assert rows == [(0, 0x1000, "over all")]


def test_only_what_has_been_written_since_is_read(written: Path) -> None:
    found = own_map()
    assert [name for _, _, name in found.grow()] == ["first", "py::second:/a file.py"]
    with written.open("a") as file:
        file.write("3000 8 thi")
        file.flush()
        assert found.grow() == []
        file.write("rd\n1008 8 in the first\n")
        file.flush()
        assert found.grow() == [(0x3000, 8, "third"), (0x1008, 8, "in the first")]
    assert [start for start, _, _ in found.rows] == [0x1008, 0x2000, 0x3000]


def test_another_file_in_its_place_is_read_from_its_beginning(written: Path) -> None:
    found = own_map()
    assert found.at(0x1000)
    written.unlink()
    written.write_text("5000 10 of another program, with a name that makes it longer\n")
    assert found.at(0x5000)
    assert found.at(0x1000) is None
    written.write_text("6000 10 short\n")
    assert found.at(0x6000) == (0x6000, 0x10, "short")
    assert found.at(0x5000) is None
