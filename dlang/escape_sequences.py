"""C escape sequences in string and character constants (DTrace guide, "Constants")."""

from __future__ import annotations

import re
from typing import Final

_SIMPLE: Final = {"a": 7, "b": 8, "e": 27, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, '"': 34, "\\": 92}
_ESCAPE: Final = re.compile(r"\\(?:x([0-9A-Fa-f]*)|([0-7]{1,3})|(\n)|(.))", re.S)


def unescape(text: str) -> bytes:
    r"""Return the bytes of a constant's inside: `\n`, `\x41` (all digits that follow, of which the last two count),
    `\101`; a backslash before any other character, `\'` too, is one, and one before a newline nothing."""
    out = bytearray()
    position = 0
    for match in _ESCAPE.finditer(text):
        out += text[position : match.start()].encode("utf-8", "surrogateescape")
        hexadecimal, octal, newline, other = match.groups()
        if hexadecimal is not None:
            out.append(int(hexadecimal or "0", 16) & 0xFF)
        elif octal is not None:
            out.append(int(octal, 8) & 0xFF)
        elif newline is None:
            known = _SIMPLE.get(other)
            out += bytes([known]) if known is not None else f"\\{other}".encode("utf-8", "surrogateescape")
        position = match.end()
    return bytes(out + text[position:].encode("utf-8", "surrogateescape"))
