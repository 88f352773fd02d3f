"""Text from a traced process, made safe to print.

Strings come from a process that is not trusted: one that writes an escape sequence into a file name must
not be able to drive the terminal of whoever traces it. `printable` is what every `%s`, `%c`, `trace()`, key
and symbol name passes through; `c_escaped` is the stricter form of `%S` and `%C`. The program's own format
text is the user's and never comes here. Results go to `printf_render` and `output`.
"""

from __future__ import annotations

from typing import Final

_SHORT: Final = {0x00: "\\0", 0x07: "\\a", 0x08: "\\b", 0x0B: "\\v", 0x0C: "\\f", 0x0D: "\\r"}
"""C's names for the control characters that have one; newline and tab are left alone by `printable`."""

_SHOWN: Final = {
    code: _SHORT.get(code, f"\\x{code:02x}")
    for code in (*range(0x20), 0x7F)
    if code not in (ord("\n"), ord("\t"))
} | {code: f"\\u{code:04x}" for code in range(0x80, 0xA0)}
"""C0 and DEL, and C1 (U+009B starts a terminal sequence as well as ESC does)."""

_C_ESCAPES: Final = _SHORT | {0x09: "\\t", 0x0A: "\\n", ord('"'): '\\"', ord("\\"): "\\\\"}


def until_zero(data: bytes) -> bytes:
    """Return `data` up to its first zero byte, as C reads a string from a buffer."""
    return data.partition(b"\0")[0]


def printable(data: bytes) -> str:
    r"""Return `data` as text that cannot drive a terminal.

    Valid UTF-8 stays as it is, newline and tab too. Other control characters (C0, DEL, C1) become `\r`,
    `\x1b`, `\u009b`, and bytes that are not UTF-8 become `\xNN`. A backslash is not doubled: this is for
    reading, not for reading back.
    """
    if data.isascii() and (text := data.decode()).isprintable():
        return text
    return data.decode("utf-8", "backslashreplace").translate(_SHOWN)


def printable_name(name: str) -> str:
    """Return a function's or object's name as safe text; bytes that were not UTF-8 are surrogates in it."""
    return printable(name.encode(errors="surrogateescape"))


def c_escaped(data: bytes) -> str:
    r"""Return `data` as `%S` shows it: C's escapes, and three octal digits for all else outside `!` to `~`.

    A blank stays a blank; quotes and backslashes are escaped. Source: DTrace's `%S`, d-language.md §10.
    """
    return "".join(
        _C_ESCAPES[byte] if byte in _C_ESCAPES else chr(byte) if 0x20 <= byte <= 0x7E else f"\\{byte:03o}"
        for byte in data
    )


def padded(text: str, width: int) -> str:
    """Return `text` with blanks behind it to `width` bytes of UTF-8: DTrace's columns count bytes."""
    return text + " " * (width - (len(text) if text.isascii() else len(text.encode())))
