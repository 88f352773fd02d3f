"""IFUNC symbols stand for the implementation that the process uses, never for their resolver."""

import ctypes
import os
import subprocess
from pathlib import Path

import pytest

from backend.sites import UNBOUND_IFUNC
from tests.harness.triggers import Triggers
from tests.symbols.target import compiled, matched, waiting


def addresses(program: Path) -> dict[str, int]:
    """The virtual address of each symbol, by readelf."""
    listing = subprocess.run(["readelf", "-sW", program], capture_output=True, text=True, check=True).stdout
    rows = (line.split() for line in listing.splitlines())
    return {row[7]: int(row[1], 16) for row in rows if len(row) == 8 and row[6].isdigit()}


@pytest.mark.parametrize(
    "flags", [(), ("-no-pie",), ("-Wl,-z,now",), ("-Wl,-z,lazy", "-fno-plt"), ("-static",), ("-static-pie",)]
)
def test_an_ifunc_is_probed_at_the_implementation_under_its_own_name(
    tmp_path: Path, flags: tuple[str, ...]
) -> None:
    program = compiled("own_ifunc", tmp_path / "program", *flags)
    at = addresses(program)
    with waiting(program) as pid:
        (twice,) = matched(pid, "a.out:twice:entry").functions
        (other,) = matched(pid, "a.out:other:entry").functions
    assert (twice.name, twice.aliases) == ("twice", ("_twice_too", "choose_first", "first_choice"))
    assert twice.address - twice.object.bias == at["first_choice"]
    assert other.address - other.object.bias == at["second_choice"]


def test_every_name_of_the_implementation_leads_to_one_site(triggers: Triggers) -> None:
    with waiting(triggers.path("own_ifunc")) as pid:
        sites = {
            name: [site.address for site in matched(pid, f"a.out:{name}:entry").functions]
            for name in ("twice", "_twice_too", "first_choice")
        }
        counted = [site.name for site in matched(pid, "a.out::entry").functions]
    assert len(sites["twice"]) == 1 and all(each == sites["twice"] for each in sites.values())
    assert counted.count("twice") == 1
    assert "first_choice" not in counted


def test_an_ifunc_that_nothing_is_bound_to_is_refused_with_the_reason(triggers: Triggers) -> None:
    with waiting(triggers.path("own_ifunc")) as pid:
        found = matched(pid, "a.out:unused:entry")
        everything = matched(pid, "a.out::entry")
    assert found.functions == ()
    assert [(site.name, site.reason) for site in found.refused] == [("unused", UNBOUND_IFUNC)]
    assert "unused" not in {site.name for site in everything.functions}


@pytest.mark.parametrize("name", ["memcpy", "strlen", "strchr", "memset", "strcmp"])
def test_libcs_ifuncs_are_where_the_dynamic_linker_says(name: str) -> None:
    said = ctypes.cast(getattr(ctypes.CDLL(None), name), ctypes.c_void_p).value
    sites = matched(os.getpid(), f"libc.so.6:{name}:entry").functions
    # An old version of the name can be another function.
    assert said in {site.address for site in sites}


def test_an_implementation_without_a_symbol_ends_where_the_unwind_table_says() -> None:
    (strlen,) = matched(os.getpid(), "libc.so.6:strlen:entry").functions
    frames = subprocess.run(
        ["readelf", "--debug-dump=frames,no-follow-links", strlen.object.path],
        capture_output=True,
        text=True,
        check=False,  # it complains of the debug link, which it then doesn't follow
    ).stdout
    start = strlen.address - strlen.object.bias
    assert f"pc={start:016x}..{start + strlen.size:016x}" in frames


def test_names_that_share_an_implementation_are_counted_once() -> None:
    sites = matched(os.getpid(), "libc.so.6::entry").functions
    copying = [site for site in sites if {"memcpy", "memmove"} <= {site.name, *site.aliases}]
    assert [site.name for site in copying] == ["memcpy"]
    assert len({site.address for site in sites}) == len(sites)


def test_an_ifunc_bound_lazily_is_unbound_before_its_first_call(tmp_path: Path) -> None:
    lazy = compiled("lazy_ifunc", tmp_path / "lazy", "-Wl,-z,lazy")
    with waiting(lazy) as pid:
        assert matched(pid, "libc.so.6:strstr:entry").functions == ()


def test_a_user_that_is_bound_at_start_tells_the_implementation(tmp_path: Path) -> None:
    now = compiled("lazy_ifunc", tmp_path / "now", "-Wl,-z,now")
    with waiting(now) as pid:
        (site,) = matched(pid, "libc.so.6:strstr:entry").functions
    assert site.name == "strstr"
    assert site.size > 0
