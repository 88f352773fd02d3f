"""`.eh_frame` as rows: against readelf's own interpretation, of signal frames, and of files that lie."""

import os
import random
import re
import subprocess
from bisect import bisect_right
from pathlib import Path

import pytest

from backend.symbols_elf import file_image, read_elf
from backend.unwind_rows import Rows, entries, joined_rows, unwind_rows
from dlang.unwind_format import BLOCK_BITS, SAVED_AT_RBP, Way
from tests.fasttrap.tracing import function_offsets
from tests.harness.triggers import Triggers, compile_c

LIBC = "/lib/x86_64-linux-gnu/libc.so.6"
_FUNCTION = re.compile(r"^[0-9a-f]+ [0-9a-f]+ [0-9a-f]+ FDE cie=\S+ pc=([0-9a-f]+)\.\.([0-9a-f]+)")
_COLUMNS = re.compile(r"^ +LOC")
_ROW = re.compile(r"^([0-9a-f]{16}) (\S+) +(.*)$")


def rows_of(path: str | Path) -> Rows:
    with open(path, "rb") as file:
        rows = unwind_rows(read_elf(file_image(file.fileno())))
    assert rows is not None
    return rows


def rule_at(rows: Rows, address: int) -> int:
    """The rule of an address, by way of the blocks, as clauses find it."""
    offset = address - rows.base
    block = offset >> BLOCK_BITS
    first, last = rows.blocks[block], rows.blocks[block + 1]
    assert 0 <= last - first <= 1 << BLOCK_BITS
    place = bisect_right(rows.rows, offset << 32 | 0xFFFFFFFF, first, last + 1) - 1
    assert place >= first
    return rows.rows[place] & 0xFFFFFFFF


def readelf_rows(path: str | Path) -> dict[int, tuple[str, str]]:
    """By address: the CFA and where rbp is saved, as `readelf` shows them (`rsp+16`, `c-16`, `u`)."""
    text = subprocess.run(
        # It complains where the file's debug file is not there.
        ["readelf", "--debug-dump=frames-interp", str(path)],
        capture_output=True,
        check=False,
        text=True,
    ).stdout
    found: dict[int, tuple[str, str]] = {}
    columns: list[str] = []
    inside = False
    for line in text.splitlines():
        if " FDE " in line or " CIE " in line:
            inside = _FUNCTION.match(line) is not None
        elif _COLUMNS.match(line):
            columns = line.split()[2:]
        elif inside and (row := _ROW.match(line)):
            # Short where a register is said to be in another one, which has a blank in it.
            values = dict(zip(columns, row[3].split(), strict=False))
            found.setdefault(int(row[1], 16), (row[2], values.get("rbp", "u") + values.get("ra", "")))
    return found


def shown(rule: int) -> tuple[str, str]:
    """A rule as readelf shows it."""
    offset = (rule >> 12) - (1 << 20 if rule >> 31 else 0)
    register, saved = rule >> 3 & 15, rule >> 7 & 31
    name = {6: "rbp", 7: "rsp"}.get(register, f"other{register}")
    return f"{name}+{8 * offset}", f"c-{8 * saved}c-8" if saved else "uc-8"


@pytest.mark.parametrize("path", [LIBC, "/usr/bin/readelf"])
def test_rows_say_what_readelf_says(path: str) -> None:
    rows = rows_of(path)
    compared = 0
    for address, (cfa, saved) in readelf_rows(path).items():
        if not re.fullmatch(r"r[sb]p\+\d+", cfa) or not re.fullmatch(r"(u|c-\d+)c-8", saved):
            continue
        assert shown(rule_at(rows, address)) == (cfa, saved), hex(address)
        compared += 1
    assert compared > 1000


def test_a_signal_s_return_and_linkage_table_have_rules_of_their_own() -> None:
    ways = [row & 7 for row in rows_of(LIBC).rows]
    assert ways.count(Way.SIGNAL) == 1
    assert ways.count(Way.PLT) == 1


def test_an_aligned_frame_s_caller_is_found_through_rbp(triggers: Triggers) -> None:
    rules = {row & 0xFFFFFFFF for row in rows_of(triggers.path("stacks")).rows}
    indirect = [rule for rule in rules if rule & 7 == Way.INDIRECT]
    assert [(rule >> 3 & 15, rule >> 7 & 31) for rule in indirect] == [(6, SAVED_AT_RBP)] * len(indirect)
    assert indirect


def test_zeros_at_the_end_of_instructions_may_be_an_operand(tmp_path: Path) -> None:
    source = tmp_path / "ends.c"
    source.write_text(
        'asm(".globl ends; .type ends,@function; ends: .cfi_startproc; push %rbp; .cfi_def_cfa_offset 16;"'
        '    ".cfi_offset 6,-16; nop;"'
        '    ".cfi_escape 0x2e,0; nop; ret; .cfi_endproc");'  # GNU_args_size 0, and nops to fill the entry up
    )
    program = compile_c(source, tmp_path / "ends", ("-shared",))
    assert shown(rule_at(rows_of(program), function_offsets(program)["ends"] + 2)) == ("rsp+16", "c-16c-8")


def test_a_file_that_lies_gives_rows_or_none() -> None:
    generator = random.Random(7)
    with open(LIBC, "rb") as file:
        elf = read_elf(file_image(file.fileno()))
        section = elf.section(".eh_frame")
        assert section is not None
        good = os.pread(file.fileno(), 6000, section.offset)
    for _ in range(40):
        data = bytearray(good)
        for _ in range(200):
            data[generator.randrange(len(data))] = generator.randrange(256)
        rows = list(joined_rows(entries(bytes(data), section.address), 0x1000, 1 << 28))
        assert list(rows) == sorted(rows)
        assert all(row < 1 << 63 for row in rows)
