"""What is kept between runs, and for how long."""

from collections.abc import Callable
from pathlib import Path

import pytest

from backend import object_cache
from backend.object_cache import compiled, kept


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(object_cache, "MOST_PROGRAMS", 4)
    monkeypatch.setattr(object_cache, "MOST_FILES", 3)
    return tmp_path / "dtrap"


def never() -> bytes:
    pytest.fail("made once more")


def giving(content: bytes) -> Callable[[], bytes]:
    return lambda: content


def test_what_is_kept_is_not_made_again(folder: Path) -> None:
    assert kept("library", (), giving(b"bits")) == b"bits"
    assert compiled("x86-64", "library", giving(b"code")) == b"code"
    assert kept("library", (), never) == b"bits"
    assert compiled("x86-64", "library", never) == b"code"


def test_many_programs_do_not_displace_what_is_known_of_files(folder: Path) -> None:
    kept("library", (), giving(b"bits"))
    for number in range(20):
        compiled("x86-64", f"program {number}", giving(b"code"))
    assert kept("library", (), never) == b"bits"
    assert len(list(folder.iterdir())) == 5


def test_what_is_known_of_files_is_bounded_by_number_and_by_bytes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):
        kept(f"library {number}", (), giving(b"bits"))
    assert len(list(folder.iterdir())) == 3
    monkeypatch.setattr(object_cache, "MOST_BYTES", 200)
    kept("large library", (), giving(bytes(100)))
    assert sum(entry.stat().st_size for entry in folder.iterdir()) <= 200
    kept("too large a library", (), giving(bytes(1000)))
    assert list(folder.iterdir()) == []
