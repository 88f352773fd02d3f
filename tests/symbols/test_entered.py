"""What may be entered of an object is known, and leaves windows for nearly all functions of real libraries."""

from collections import Counter
from pathlib import Path

import pytest

from backend.entered import entered
from backend.object_windows import windows
from scratch.address_set import AddressSet
from scratch.flow import Function
from scratch.sweep import Flow
from scratch.windows import NoWindow, Way
from tests.symbols.test_object_code import LIBC, LIBSTDCXX, PYTHON, opened

BIAS = 0x7F00_0000_0000


def test_all_that_leads_into_code_is_in_the_set() -> None:
    with opened(LIBSTDCXX) as (code, table):
        found = entered(code)
        assert all(pad in found for pad in code.landing_pads)
        assert all(start in found for start in code.beginnings)
        for function in table[::7]:
            decoded = code.whole(code.sweep(function.address, function.address + function.size))
            assert isinstance(decoded, Function)
            assert all(target in found for target in decoded.targets)
            swept = code.sweep(function.address, function.address + function.size)
            assert all(target in found for _, target in swept.jumps() if target in swept)
        calls = {swept.target_at(call) for call in swept.of(frozenset((Flow.CALL,)))}
        assert all(target in found for target in calls if target is not None)


def test_pointers_in_data_lead_into_code() -> None:
    """CPython's interpreter jumps to computed labels, by tables of addresses."""
    with opened(PYTHON) as (code, _):
        found = entered(code)
        section = next(part for part in code.file.sections if part.name == ".rodata")
        low, high = code.text[0][0], code.text[-1][1]
        words = [word for word in _words(code.file.section_bytes(section)) if low <= word < high]
        assert len(words) > 500
        assert all(word in found for word in words)
        assert code.file.fixed


def _words(data: bytes) -> list[int]:
    return [int.from_bytes(data[at : at + 8], "little") for at in range(0, len(data) - 7, 8)]


def test_most_of_the_code_is_entered_from_the_instruction_before() -> None:
    """A set that held everything would be right, and useless."""
    with opened(LIBC) as (code, _):
        found = entered(code)
        members = sum(byte.bit_count() for byte in found.bits)
        starts = sum(1 for start, end in code.text for byte in code.sweep(start, end).info if byte)
        assert 0.1 < members / starts < 0.25


@pytest.mark.parametrize(
    ("path", "bias", "share", "plain"),
    [(LIBC, BIAS, 0.999, 0.99), (PYTHON, 0, 0.99, 0.98)],
    ids=["libc", "python3"],
)
def test_nearly_every_function_has_a_window(path: str, bias: int, share: float, plain: float) -> None:
    """`share`: of the functions that can have a jump; `plain`: that can have one of the first two kinds."""
    with opened(path) as (code, table):
        sites = [function.address + bias for function in table]
        planner = windows(code, bias, sites, lambda _low, _high: True)
        planned = [planner.plan(site) for site in sites]
    ways = Counter("none" if isinstance(window, NoWindow) else window.way.name for window in planned)
    assert ways["none"] <= (1 - share) * len(sites), ways
    assert ways[Way.NEAR.name] + ways[Way.SHORT.name] >= plain * len(sites), ways


def test_set_of_a_large_object_is_kept_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("backend.entered._WORTH_KEEPING", 0)
    with opened(LIBC) as (code, _):
        first = entered(code)
        monkeypatch.setattr("backend.entered._Finder", None)
        assert entered(code) == first


def test_what_takes_long_is_told_before_unless_it_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("backend.entered._WORTH_KEEPING", 0)
    monkeypatch.setattr("backend.entered._LONG", 0)
    told: list[str] = []
    with opened(LIBC) as (code, _):
        for _ in range(2):
            entered(code, lambda: told.append("it takes long"))
    assert told == ["it takes long"]


def test_sets_of_addresses() -> None:
    found = AddressSet(0x1000, b"\x01\x00\x80")
    assert 0x1000 in found
    assert 0x1017 in found
    assert not any(address in found for address in (0xFFF, 0x1001, 0x1016, 0x1018, 0))
    assert found.first(0x1000, 0x1018) == 0x1000
    assert found.first(0x1001, 0x1018) == 0x1017
    assert found.first(0x1001, 0x1017) is None
    assert found.first(0, 0x1000) is None
    assert found.first(0x1017, 0x2000) == 0x1017
    assert 0x2017 in found.moved(0x1000)
