"""Stripped files get their functions back from debug files, if these belong to them."""

import lzma
import os
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from backend.debug_files import completing_files
from backend.symbols import read_functions
from backend.symbols_elf import file_image, read_elf
from tests.symbols.target import compiled


def names(path: Path, roots: tuple[str, ...] = ("",)) -> set[str]:
    """The names of all functions that are found for a file."""
    with ExitStack() as files:
        fd = os.open(path, os.O_RDONLY)
        files.callback(os.close, fd)
        elf = read_elf(file_image(fd))
        table = read_functions(elf, completing_files(elf, str(path), files, roots))
    return {name for function in table for name in function.names}


def objcopy(*arguments: str | Path) -> None:
    subprocess.run(["objcopy", *arguments], check=True)


@pytest.fixture
def stripped(tmp_path: Path) -> tuple[Path, Path]:
    """A stripped program, and beside it the file of what was taken away."""
    program = compiled("aliases", tmp_path / "program", "-Wl,--build-id=sha1")
    debug = tmp_path / "program.debug"
    objcopy("--only-keep-debug", program, debug)
    objcopy("--strip-all", program)
    assert "hidden" not in names(program)
    return program, debug


def build_id(path: Path) -> str:
    with path.open("rb") as file:
        return read_elf(file_image(file.fileno())).build_id.hex()


def test_the_build_id_is_that_which_readelf_shows(stripped: tuple[Path, Path]) -> None:
    shown = subprocess.run(["readelf", "-n", stripped[0]], capture_output=True, text=True, check=True).stdout
    assert f"Build ID: {build_id(stripped[0])}" in shown
    assert build_id(stripped[1]) == build_id(stripped[0])


def test_a_debug_file_is_found_by_build_id_under_a_root(stripped: tuple[Path, Path], tmp_path: Path) -> None:
    program, debug = stripped
    name = build_id(program)
    folder = tmp_path / f"root/usr/lib/debug/.build-id/{name[:2]}"
    folder.mkdir(parents=True)
    debug.rename(folder / f"{name[2:]}.debug")
    assert {"hidden", "main"} <= names(program, (str(tmp_path / "root"),))
    assert "hidden" not in names(program)


@pytest.mark.parametrize("folder", [".", ".debug"])
def test_a_debug_file_is_found_by_link(stripped: tuple[Path, Path], folder: str) -> None:
    program, debug = stripped
    objcopy(f"--add-gnu-debuglink={debug}", program)
    (program.parent / folder).mkdir(exist_ok=True)
    debug.rename(program.parent / folder / debug.name)
    assert "hidden" in names(program)


def test_a_linked_file_of_another_build_is_not_used(stripped: tuple[Path, Path], tmp_path: Path) -> None:
    program, debug = stripped
    objcopy(f"--add-gnu-debuglink={debug}", program)
    other = compiled("own_ifunc", tmp_path / "other", "-Wl,--build-id=sha1")
    objcopy("--only-keep-debug", other, debug)
    assert names(program) == set()


def test_without_build_ids_the_checksum_decides(tmp_path: Path) -> None:
    program = compiled("aliases", tmp_path / "program", "-Wl,--build-id=none")
    debug = tmp_path / "program.debug"
    objcopy("--only-keep-debug", program, debug)
    objcopy("--strip-all", program)
    objcopy(f"--add-gnu-debuglink={debug}", program)
    assert "hidden" in names(program)
    with debug.open("ab") as file:
        file.write(b"changed")
    assert names(program) == set()


def test_a_compressed_symbol_table_inside_the_file_is_read(
    stripped: tuple[Path, Path], tmp_path: Path
) -> None:
    program, debug = stripped
    packed = tmp_path / "packed.xz"
    packed.write_bytes(lzma.compress(debug.read_bytes()))
    debug.unlink()
    objcopy("--add-section", f".gnu_debugdata={packed}", program)
    assert "hidden" in names(program)


@pytest.mark.parametrize("content", [b"no xz", lzma.compress(b"no ELF"), lzma.compress(bytes(1 << 20))[:100]])
def test_a_broken_compressed_table_is_as_none(
    stripped: tuple[Path, Path], tmp_path: Path, content: bytes
) -> None:
    packed = tmp_path / "packed.xz"
    packed.write_bytes(content)
    objcopy("--add-section", f".gnu_debugdata={packed}", stripped[0])
    assert names(stripped[0]) == set()


def test_a_pipe_in_place_of_a_debug_file_stops_nothing(stripped: tuple[Path, Path]) -> None:
    program, debug = stripped
    objcopy(f"--add-gnu-debuglink={debug}", program)
    debug.unlink()
    os.mkfifo(debug)
    assert names(program) == set()


def test_a_file_with_its_own_symbols_needs_no_other(tmp_path: Path) -> None:
    program = compiled("aliases", tmp_path / "program")
    with ExitStack() as files, program.open("rb") as file:
        assert completing_files(read_elf(file_image(file.fileno())), str(program), files, ("",)) == ()
