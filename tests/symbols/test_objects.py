"""The loaded objects of a process: order, names, load bias, files that are gone, module patterns."""

import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from backend.linux.procfs import read_memory
from backend.objects import loaded_objects, matches_module
from backend.sites import match_functions
from dlang.probe_description import parse
from tests.harness.triggers import Triggers
from tests.symbols.target import compiled, copied, objects_of, symbols_of, waiting


def test_the_main_program_comes_first_and_the_others_by_address(triggers: Triggers) -> None:
    with waiting(triggers.path("aliases")) as pid:
        main, *others = objects_of(pid)
    assert (main.name, main.path, main.main) == ("aliases", str(triggers.path("aliases")), True)
    assert {"libc.so.6", "ld-linux-x86-64.so.2", "[vdso]"} <= {loaded.name for loaded in others}
    assert not any(loaded.main for loaded in others)
    starts = [loaded.text[0].start for loaded in others]
    assert starts == sorted(starts)


@pytest.mark.parametrize("flags", [(), ("-no-pie",), ("-static",), ("-static-pie",)])
def test_addresses_lead_to_the_same_bytes_in_the_file_and_in_memory(
    tmp_path: Path, flags: tuple[str, ...]
) -> None:
    program = compiled("aliases", tmp_path / "program", *flags)
    with waiting(program) as pid, symbols_of(pid) as symbols:
        (function,) = match_functions(parse("a.out:work:entry"), symbols).functions
        content, code = program.read_bytes(), function.code(0, 32)
        assert code == read_memory(pid, function.address, 32)
        assert code == content[function.file_offset : function.file_offset + 32]


def test_a_deleted_program_can_still_be_opened_by_path(triggers: Triggers, tmp_path: Path) -> None:
    program = copied(triggers, tmp_path / "program")
    content = program.read_bytes()
    with waiting(program) as pid:
        program.unlink()
        program.write_bytes(b"another")
        with ExitStack() as files:
            main = loaded_objects(pid, files)[0]
            assert (main.name, main.path, main.deleted) == ("program", str(program), True)
            assert Path(main.open_path).read_bytes() == content


def test_a_name_that_ends_as_if_deleted_is_kept(triggers: Triggers, tmp_path: Path) -> None:
    program = copied(triggers, tmp_path / "program (deleted)")
    with waiting(program) as pid:
        main = objects_of(pid)[0]
    assert (main.name, main.deleted) == ("program (deleted)", False)


def test_files_are_closed_with_the_stack(triggers: Triggers) -> None:
    with waiting(triggers.path("aliases")) as pid:
        before = set(os.listdir("/proc/self/fd"))
        with ExitStack() as files:
            main = loaded_objects(pid, files)[0]
            assert os.path.samefile(main.open_path, triggers.path("aliases"))
        assert set(os.listdir("/proc/self/fd")) == before


def test_a_library_loaded_twice_is_two_objects(triggers: Triggers) -> None:
    with waiting(triggers.path("loaded_twice")) as pid:
        twice = [loaded for loaded in objects_of(pid) if loaded.name == "libm.so.6"]
    assert len({loaded.bias for loaded in twice}) == 2
    assert len({loaded.inode for loaded in twice}) == 1


def test_the_vdso_is_listed_without_a_file(triggers: Triggers) -> None:
    with waiting(triggers.path("aliases")) as pid:
        (vdso,) = [loaded for loaded in objects_of(pid) if loaded.name == "[vdso]"]
    assert not vdso.has_file


def test_writable_text_is_marked(triggers: Triggers) -> None:
    with waiting(triggers.path("writable_text")) as pid:
        main = objects_of(pid)[0]
    assert [part.writable for part in main.text].count(True) == 1


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("libc.so.6", {"libc.so.6"}),
        ("libc.so", {"libc.so.6"}),
        ("libc", {"libc.so.6"}),
        ("lib", set()),
        ("libc.", set()),
        ("a.out", {"aliases"}),
        ("aliases", {"aliases"}),
        ("lib*", {"libc.so.6"}),
        ("*.so.[0-9]", {"libc.so.6", "ld-linux-x86-64.so.2"}),
        ("", {"aliases", "libc.so.6", "ld-linux-x86-64.so.2", "[vdso]"}),
    ],
)
def test_module_patterns_name_objects(triggers: Triggers, pattern: str, names: set[str]) -> None:
    with waiting(triggers.path("aliases")) as pid:
        objects = objects_of(pid)
    assert {loaded.name for loaded in objects if matches_module(pattern, loaded)} == names
