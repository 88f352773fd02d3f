"""Descriptions matched with a process's functions: functions, refusals, names that are near."""

import os
import subprocess
from pathlib import Path

import pytest

from backend.linux.procfs import read_memory
from backend.sites import UNBOUND_IFUNC, WRITABLE_TEXT, match_functions, near_names
from dlang.probe_description import parse
from tests.harness.triggers import Triggers
from tests.symbols.target import compiled, matched, symbols_of, waiting


def functions(pid: int, description: str) -> list[str]:
    return [function.name for function in matched(pid, description).functions]


def test_those_of_libc_are_all_its_functions_each_once(triggers: Triggers) -> None:
    with waiting(triggers.path("aliases")) as pid:
        found = matched(pid, "libc.so.6::entry")
        (loaded,) = {function.object for function in found.functions}
    listing = subprocess.run(
        ["nm", "-D", "--defined-only", "--without-symbol-versions", loaded.path],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    rows = [line.split() for line in listing.splitlines()]
    expected = {int(address, 16) for address, kind, _ in rows if kind in "TtWw"}
    plain = {function.address - loaded.bias for function in found.functions} & expected
    assert plain == expected
    assert len(found.functions) > 2000
    assert {function.reason for function in found.refused} <= {UNBOUND_IFUNC}


def test_code_and_address_are_those_of_the_running_process(triggers: Triggers) -> None:
    with waiting(triggers.path("aliases")) as pid, symbols_of(pid) as symbols:
        for function in match_functions(parse("libc.so.6:str*:entry"), symbols).functions:
            code = function.code(0, 32)
            assert code == read_memory(pid, function.address, len(code)), function.name
            assert function.size > 0


def test_functions_are_ordered_by_object_and_address(triggers: Triggers) -> None:
    with waiting(triggers.path("aliases")) as pid:
        functions = matched(pid, ":::entry").functions
    assert functions[0].object.name == "aliases"
    keys = [(not function.object.main, function.address) for function in functions]
    assert keys == sorted(keys)


def test_an_alias_names_its_function_by_the_canonical_name(triggers: Triggers) -> None:
    with waiting(triggers.path("aliases")) as pid:
        for name in ("work", "__work", "work_again"):
            assert functions(pid, f"a.out:{name}:entry") == ["work"]


def test_a_glob_counts_a_function_once_whichever_of_its_names_it_matches(triggers: Triggers) -> None:
    with waiting(triggers.path("aliases")) as pid:
        assert functions(pid, "a.out:*work*:entry") == ["work"]
        assert functions(pid, "a.out:__w*:entry") == ["work"]
        assert functions(pid, "a.out:wor?:entry") == ["work"]


def test_a_compilers_piece_of_a_function_needs_a_dot_in_the_glob(tmp_path: Path) -> None:
    program = compiled("aliases", tmp_path / "program", "-Wl,--defsym=dummy=0")
    subprocess.run(
        ["objcopy", "--redefine-sym", "hidden=hidden.part.0", program],
        check=True,
    )
    with waiting(program) as pid:
        assert functions(pid, "a.out:hid*:entry") == []
        assert functions(pid, "a.out:hid*.part*:entry") == ["hidden.part.0"]
        assert functions(pid, "a.out:hidden.part.0:entry") == ["hidden.part.0"]


def test_several_descriptions_read_a_file_once(triggers: Triggers) -> None:
    with waiting(triggers.path("aliases")) as pid, symbols_of(pid) as symbols:
        first = match_functions(parse("libc.so.6:malloc:entry"), symbols)
        (libc,) = [loaded for loaded in symbols.objects if loaded.name == "libc.so.6"]
        table = symbols.functions(libc)
        second = match_functions(parse("libc.so.6:mal*:entry"), symbols)
        assert symbols.functions(libc) is table
    assert first.functions[0].address in [function.address for function in second.functions]


def test_code_in_writable_memory_is_refused(triggers: Triggers) -> None:
    with waiting(triggers.path("writable_text")) as pid:
        found = matched(pid, "a.out:patched:entry")
    assert [(function.name, function.reason) for function in found.refused] == [("patched", WRITABLE_TEXT)]
    assert found.functions == ()


def test_a_library_loaded_twice_has_a_function_in_each_place(triggers: Triggers) -> None:
    with waiting(triggers.path("loaded_twice")) as pid:
        functions = matched(pid, "libm.so.6:cbrt:entry").functions
    assert len({function.address for function in functions}) == 2
    assert len({function.file_offset for function in functions}) == 1


def test_a_malformed_file_has_no_functions_and_is_named(triggers: Triggers, tmp_path: Path) -> None:
    program = compiled("aliases", tmp_path / "program")
    content = bytearray(program.read_bytes())
    content[58:60] = b"\x01\x00"  # the size of a section header
    program.write_bytes(content)
    with waiting(program) as pid, symbols_of(pid) as symbols:
        assert match_functions(parse("a.out::entry"), symbols).functions == ()
        assert list(symbols.malformed) == [str(program)]
        assert match_functions(parse("libc.so.6:malloc:entry"), symbols).functions


def test_a_cpp_library_is_matched_by_mangled_names() -> None:
    path = "/lib/x86_64-linux-gnu/libstdc++.so.6"
    python = "import ctypes, sys; library = ctypes.CDLL(sys.argv[1]); print('ready', flush=True); input()"
    with waiting("/usr/bin/python3", "-c", python, path) as pid:
        found = functions(pid, "libstdc++:_ZNSt6thread*:entry")
        (loaded,) = {function.object.path for function in matched(pid, "libstdc++::entry").functions}
    assert "_ZNSt6thread4joinEv" in found
    assert os.path.samefile(loaded, path)


@pytest.mark.parametrize(
    ("written", "meant"),
    [("maloc", "malloc"), ("Malloc", "malloc"), ("_malloc", "malloc"), ("mallocc", "malloc")],
)
def test_a_near_name_is_proposed(written: str, meant: str) -> None:
    assert near_names(written, ["free", "malloc", "calloc", "main", "printf"])[0] == meant


def test_nothing_is_proposed_for_a_name_that_is_near_to_none() -> None:
    assert near_names("quux", ["free", "malloc"]) == []


def test_names_are_proposed_out_of_half_a_million() -> None:
    names = [f"_ZN7library5Class{number}6methodEv" for number in range(500_000)]
    assert near_names("malocc", [*names, "malloc"]) == ["malloc"]
