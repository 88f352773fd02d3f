"""How much of real code is planned: every instruction of this machine's libraries, not only entries."""

import struct
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scratch.displaced import Refuse, plan
from scratch.instruction import Undecodable, sweep
from tests.scratch.elf import section
from tests.scratch.forms import text_of

WANTED = 0.9999
KNOWN_REASONS = {
    "inside a transaction, which a trap aborts for ever",
    "already a breakpoint",
}
"""Every refusal in these files; a new one fails the test, so that it is looked at and named here."""


def of_whole_text(path: str) -> Iterator[tuple[bytes, int]]:
    yield text_of(path)


def of_described_functions(path: str) -> Iterator[tuple[bytes, int]]:
    """Yield the functions that .eh_frame describes: libcrypto's text holds tables between them."""
    text, address = text_of(path)
    for start, end in sorted(set(frames(path))):
        yield text[start - address : end - address], start


def frames(path: str) -> Iterator[tuple[int, int]]:
    """Yield [start, end) of each frame description inside .text (pc-relative 32-bit addresses, as compilers
    write them).
    """
    frames = section(path, ".eh_frame")
    data, base = frames.content, frames.address
    text = section(path, ".text")
    low, high = text.address, text.address + len(text.content)
    at = 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("<II", data, at) if at + 8 <= len(data) else (0, 0)
        if length == 0:
            break
        if kind != 0:
            begin, size = struct.unpack_from("<iI", data, at + 8)
            start = base + at + 8 + begin
            if low <= start and start + size <= high:
                yield start, start + size
        at += 4 + length


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("/lib/x86_64-linux-gnu/libc.so.6", of_whole_text),
        ("/lib64/ld-linux-x86-64.so.2", of_whole_text),
        ("/usr/lib/x86_64-linux-gnu/libstdc++.so.6", of_whole_text),
        ("/usr/lib/x86_64-linux-gnu/libcrypto.so.3", of_described_functions),
        ("/usr/bin/python3", of_whole_text),
    ],
    ids=lambda value: Path(value).name if isinstance(value, str) else value.__name__,
)
def test_nearly_every_instruction_is_planned(
    path: str, parts: Callable[[str], Iterator[tuple[bytes, int]]]
) -> None:
    total = 0
    refused: Counter[str] = Counter()
    for code, address in parts(path):
        for _, answer in sweep(code, address):
            total += 1
            if isinstance(answer, Undecodable):
                refused[answer.reason] += 1
            elif isinstance(planned := plan(answer), Refuse):
                refused[planned.reason] += 1
    assert total > 30_000
    assert sum(refused.values()) / total <= 1 - WANTED, refused
    assert set(refused) <= KNOWN_REASONS, refused
