"""The words for run-time faults and losses.

ASSERTION: messages are DTrace's, with its plural rules and tags. SECTION: d-language.md §12.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from dlang.items import ProbeName
from dlang.notices import (
    Drop,
    Fault,
    Loss,
    drop_notice,
    fault_text,
    internal_error,
    runtime_error,
    tagged_drop_notice,
)

REFERENCE = Path(__file__).parents[1] / "reference"
BEGIN = ProbeName("dtrace", "", "", "BEGIN")


def test_errors_are_those_of_the_reference() -> None:
    division = (REFERENCE / "err-div-zero.err").read_text()
    assert division == f"dtrace: {runtime_error(0, 1, BEGIN, Fault.DIVZERO, 0, 184)}\n"
    unset = (REFERENCE / "err-unset-string.err").read_text().splitlines()
    assert unset == [
        f"dtrace: {runtime_error(clause, 1, BEGIN, Fault.BADADDR, 0, place)}"
        for clause, place in ((1, 886), (2, 1137))
    ]


@pytest.mark.parametrize(
    ("fault", "address", "text"),
    [
        (1, 0xFFFF, "invalid address (0xffff)"),
        (1, (1 << 64) - 1, "invalid address"),
        (2, 3, "invalid alignment (0x3)"),
        (3, 3, "illegal operation"),
        (9, 3, "bad stack (0x3)"),
        (10, 3, "invalid size (0x3)"),
        (11, 3, "index out of bounds (3)"),
        (1000, 3, "library-level fault"),
        (77, 3, "unknown fault"),
    ],
)
def test_addresses_are_shown_for_the_faults_that_have_one(fault: int, address: int, text: str) -> None:
    shown = runtime_error(2, 9, ProbeName("pid1", "m", "f", "entry"), fault, address)
    assert shown == f"error in dt_clause_2 for probe ID 9 (pid1:m:f:entry): {text}"


def test_every_fault_has_words_of_its_own() -> None:
    assert len({fault_text(fault) for fault in Fault}) == len(Fault)


def test_drops_are_plural_above_one_and_name_the_processor() -> None:
    assert drop_notice(Loss(Drop.PRINCIPAL, 0), 1) == "1 drop on CPU 0"
    assert drop_notice(Loss(Drop.AGGREGATION, 3), 12) == "12 aggregation drops on CPU 3"
    assert drop_notice(Loss(Drop.DYNAMIC), 2) == "2 dynamic variable drops"
    assert drop_notice(Loss(Drop.DYNDIRTY), 1) == "1 dynamic variable drop with non-empty dirty list"
    assert drop_notice(Loss(Drop.SPECUNAVAIL), 2) == "2 failed speculations (no speculative buffer available)"
    assert (
        tagged_drop_notice(Loss(Drop.DBLERROR), 1) == "[DTRACEDROP_DBLERROR] 1 error in ERROR probe enabling"
    )
    expected = (REFERENCE / "lang-speculate.err").read_text()
    assert expected == f"dtrace: {drop_notice(Loss(Drop.SPECBUSY), 1)}\n"


def test_internal_error_names_what_and_where() -> None:
    with pytest.raises(ValueError, match="five") as found:
        int("five")
    line = internal_error(found.value)
    assert line.startswith("internal error (test_notices.py, line ")
    assert line.endswith("): ValueError: invalid literal for int() with base 10: 'five'; please report it")
