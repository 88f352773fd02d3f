"""What tells an int3 of ours in memory that the program changes, and where none is to be written."""

import pytest

from backend.fasttrap.made_sites import CHANGED, DATA, NOT_EXECUTABLE, MadeSites, Verdict, witness
from backend.fasttrap.site_batch import MadeText
from backend.fasttrap.tracee import Memory
from backend.linux.procfs import MappedRange, parse_mappings

START = 0x10_0000
CODE = bytes.fromhex("55 48 89 e5 48 8d 87 11 22 33 44 5d c3")
"""push %rbp; mov %rsp,%rbp; lea 0x44332211(%rdi),%rax; pop %rbp; ret"""
LEA = 4
ARMED_LEA = "cc 8d 87 11 22 33 44 5d"


class Content(Memory):
    """The memory of a process: some bytes at START."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def read(self, address: int, size: int) -> bytes:
        return self.content[address - START :][:size]


def armed(content: bytes, *offsets: int) -> bytes:
    return bytes(0xCC if place in offsets else byte for place, byte in enumerate(content))


@pytest.mark.parametrize(
    ("now", "is_ours"),
    [
        (ARMED_LEA, True),
        ("cc 8d 87 99 99 99 99 5d", True),  # another operand
        ("cc 8d 87 11 22 33 44 cc", True),  # another int3, which says nothing
        ("48 8d 87 11 22 33 44 5d", False),
        ("cc 48 83 11 22 33 44 c3", False),  # other code
        ("cc 8d 87", True),  # where the mapping ends
        ("", False),
    ],
)
def test_an_int3_is_ours_while_the_instructions_behind_it_are_the_same(now: str, is_ours: bool) -> None:
    assert witness(CODE, LEA).says_ours(bytes.fromhex(now)) is is_ours


@pytest.mark.parametrize(
    ("now", "verdict"),
    [
        (armed(CODE, LEA), Verdict.OURS),
        (armed(CODE.replace(b"\x11", b"\x12"), LEA), Verdict.OPERAND_CHANGED),
        (CODE, Verdict.REPLACED),
        (b"", Verdict.REPLACED),
        (armed(bytes(range(0x50, 0x60)), LEA), Verdict.NOT_OURS),
    ],
)
def test_what_a_thread_has_met(now: bytes, verdict: Verdict) -> None:
    sites = MadeSites()
    sites.take(MadeText(START, CODE), START + LEA)
    assert sites.verdict(START + LEA, Content(now)) is verdict
    assert (START + LEA in sites.strangers(Content(now))) is (verdict in (Verdict.REPLACED, Verdict.NOT_OURS))


def test_where_a_site_was_given_up_an_int3_is_the_program_s() -> None:
    sites = MadeSites()
    sites.take(MadeText(START, CODE), START)
    sites.give_up(START)
    assert sites.verdict(START, Content(armed(CODE, 0))) is Verdict.NOT_OURS
    assert sites.strangers(Content(armed(CODE, 0))) == {START}


def test_code_that_was_copied_with_our_int3_is_known_by_what_follows_it() -> None:
    sites = MadeSites()
    sites.take(MadeText(START, CODE), START)
    assert sites.copied(START + 64, Content(bytes(64) + armed(CODE, 0))) == CODE[0]
    assert sites.copied(START + 64, Content(bytes(64) + armed(CODE[:2], 0))) is None
    assert sites.copied(START + 64, Content(bytes(64) + CODE)) is None


def mapped(*lines: str) -> list[MappedRange]:
    return list(parse_mappings("\n".join(lines).encode()))


@pytest.mark.parametrize(
    ("mappings", "own", "now", "reason"),
    [
        (["100000-101000 rwxp 0 0:0 0"], [], armed(CODE, 0), None),
        (["100000-100008 r-xp 0 0:0 0", "100008-101000 rwxp 0 0:0 0"], [], CODE, None),
        (["100000-101000 rwxp 0 0:0 0"], [], CODE[:-1] + b"\x90", CHANGED),
        (["100000-101000 rw-p 0 0:0 0"], [], CODE, NOT_EXECUTABLE),
        (["100000-101000 r-xp 0 fe:00 7 /a"], [], CODE, NOT_EXECUTABLE),
        (["100000-100008 rwxp 0 0:0 0"], [], CODE, NOT_EXECUTABLE),
        (["100000-101000 r-xp 0 0:0 0"], [(START + 8, START + 0x1000)], CODE, NOT_EXECUTABLE),
    ],
)
def test_what_is_armed_is_what_was_looked_at(
    mappings: list[str], own: list[tuple[int, int]], now: bytes, reason: str | None
) -> None:
    sites = MadeSites()
    made = MadeText(START, CODE)
    sites.take(made, START)
    found = sites.unfit([made], mapped(*mappings), own, Content(now))
    assert found == ({} if reason is None else {START: reason})


@pytest.mark.parametrize(
    ("content", "offset", "reason"),
    [
        (CODE, 0, None),
        (CODE, LEA, None),
        (bytes.fromhex("01 0b c0 a5 58 2e 00 00") + CODE, 0, DATA),  # a pointer
        (bytes.fromhex("00 00 00 00 60 10 00 00") + CODE, 4, DATA),  # a size
        (bytes(8) + CODE, 0, DATA),
        (bytes(8) + CODE, 8, None),
    ],
)
def test_no_int3_goes_into_what_looks_like_data(content: bytes, offset: int, reason: str | None) -> None:
    assert MadeSites().unfit_site(MadeText(START, content), START + offset) == reason
