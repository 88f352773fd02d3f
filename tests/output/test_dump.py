"""The texts of memory: hex dumps, bytes that may be text, structures by their types."""

import struct

from dlang.dump import bytes_text, hex_dump, typed_dump
from dlang.types import CHAR, INT, SHORT, ArrayType, RecordType, lay_out

_HEADING = "\n             0  1  2  3  4  5  6  7  8  9  a  b  c  d  e  f  0123456789abcdef\n"


def record(*members: tuple[str, object, int | None]) -> RecordType:
    made = RecordType("struct", "s")
    made.layout = lay_out("struct", members, 256)  # type: ignore[arg-type]
    return made


def lines(text: str) -> list[str]:
    return [line.removeprefix(" " * 44) for line in text.splitlines()]


def test_hex_dump_has_sixteen_bytes_a_line() -> None:
    data = bytes(range(60, 78))
    first = "         0: 3c 3d 3e 3f 40 41 42 43 44 45 46 47 48 49 4a 4b  <=>?@ABCDEFGHIJK\n"
    second = "        10: 4c 4d                                            LM\n"
    assert hex_dump(data) == _HEADING + first + second


def test_bytes_are_text_if_nothing_but_zeros_follows_it() -> None:
    assert bytes_text(b"ok\0\0", 4) == "  ok  "
    assert bytes_text(b"ok\0\0", 4, quiet=True) == "ok"
    assert bytes_text(b"\0\0\0\0", 4, quiet=True) == ""
    for quiet in (False, True):
        assert bytes_text(b"ok", 4, quiet=quiet) == "  ok  "
    for data in (b"ok\0x", b"\x01\0\0\0", b"o\x1b"):
        assert bytes_text(data, 4).startswith(_HEADING)


def test_print_leaves_zeros_out() -> None:
    type_ = record(("a", INT, None), ("b", INT, None), ("c", ArrayType(CHAR, 4, 1), None))
    data = struct.pack("<ii4s", 0, -3, b"x\0y\0")
    shown = ["(struct s) {", " .b = (int)-3,", " .c = (char [4]) [", "  (char)'x',", " ],", "}"]
    assert lines(typed_dump(0x10, type_, data, 1024)) == ["0x10 = *", *shown]


def test_print_ends_at_its_limit() -> None:
    inner = record(("x", INT, None), ("y", INT, None))
    type_ = record(("a", SHORT, None), ("in", inner, None), ("z", INT, None))
    data = struct.pack("<hxxiii", 1, 2, 3, 4)
    shown = [
        "(struct s) {",
        " .a = (short)1,",
        " .in = (struct s) {",
        "  .x = (int)2,",
        "  ...",
        " },",
        " ...",
        "}",
    ]
    assert lines(typed_dump(0, type_, data, 8))[1:] == shown


def test_bit_fields_have_their_own_sign() -> None:
    type_ = record(("a", INT, 3), ("", INT, 2), ("b", INT, 4))
    assert lines(typed_dump(0, type_, struct.pack("<I", 0b1010_11_101), 99))[2:4] == [
        " .a = (int)-3,",
        " .b = (int)-6,",
    ]
