"""Names of code made at run time: the file of perf's form, and what may not be believed in it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.perf_map import PerfMap, parse


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
    ]
    assert parse(b"\n".join(lines)) == [(0x10, 4, " b c")]
