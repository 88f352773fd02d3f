"""Names of C++ and Rust functions as their source has them, for option demangle.

C++ is the C++ runtime's business (backend/linux/cxa_demangle.py); so are Rust's older names, which are C++ names with a
hash behind and punctuation spelled out. Rust's newer ones are rust_names.py's. What is no mangled name stays as it is.
"""

from __future__ import annotations

import re
from typing import Final

from backend.linux.cxa_demangle import cxa_demangle
from backend.rust_names import rust_name

_LONGEST: Final = 4096
"""Bytes of a name that is looked at: demanglers recurse, and a hostile name could nest as deep as it is long."""
_HASH: Final = re.compile(r"::h[0-9a-f]{16}(?= \[|\Z)")
_LLVM_CLONE: Final = re.compile(r" \[clone \.llvm\.[0-9]+\]")
_SPELLED: Final = re.compile(r"\$(SP|BP|RF|LT|GT|LP|RP|C|u[0-9a-f]{1,6})\$|\.\.")
_PUNCTUATION: Final = {"SP": "@", "BP": "*", "RF": "&", "LT": "<", "GT": ">", "LP": "(", "RP": ")", "C": ","}


def demangled(name: str) -> str:
    """Return a symbol's name as its source has it."""
    if len(name) > _LONGEST:
        return name
    whole = _cxx(name)
    if whole is not None:
        return whole
    # What a compiler appends to a clone of a function (`.cold`) is not part of the mangled name.
    stem, dot, suffix = name.partition(".")
    found = rust_name(stem) or (_cxx(stem) if dot else None)
    if found is None:
        return name
    return _LLVM_CLONE.sub("", f"{found} [clone .{suffix}]") if dot else found


def _cxx(name: str) -> str | None:
    if not name.startswith("_Z"):
        return None
    found = cxa_demangle(name.encode("utf-8", "surrogateescape"))
    if found is None:
        return None
    text = found.decode("utf-8", "surrogateescape")
    without_hash = _HASH.sub("", text)
    return text if without_hash == text else _LLVM_CLONE.sub("", _older_rust(without_hash))


def _older_rust(text: str) -> str:
    """Return a Rust name of the older kind with its punctuation: `_$LT$T$u20$as$u20$U$GT$` is `<T as U>`."""
    parts = (part[1:] if part.startswith("_$") else part for part in text.split("::"))
    return _SPELLED.sub(_punctuation, "::".join(parts))


def _punctuation(found: re.Match[str]) -> str:
    word = found[1]
    if word is None:
        return "::"
    if word in _PUNCTUATION:
        return _PUNCTUATION[word]
    code = int(word[1:], 16)
    return chr(code) if code < 0x110000 and not 0xD800 <= code < 0xE000 else found[0]
