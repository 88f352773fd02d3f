"""Rust's names of the newer kind (`_R…`) as their source has them.

Lives here: the grammar of RFC 2603, "Rust Symbol Name Mangling v0", written out in one descent. Hashes of crates are
left out, as rustc's own short form leaves them out. Hostile names are refused where they nest or grow too far.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

_MOST_NESTED: Final = 100
_LONGEST: Final = 1 << 14

_BASIC_TYPES: Final = {
    "a": "i8", "b": "bool", "c": "char", "d": "f64", "e": "str", "f": "f32", "h": "u8", "i": "isize", "j": "usize",
    "l": "i32", "m": "u32", "n": "i128", "o": "u128", "p": "_", "s": "i16", "t": "u16", "u": "()", "v": "...",
    "x": "i64", "y": "u64", "z": "!",
}  # fmt: skip
_SIGNED: Final = frozenset("ailnsx")
_UNSIGNED: Final = frozenset("hjmoty")


class _NotAName(Exception):
    """The text does not follow the grammar, or goes too far."""


def rust_name(mangled: str) -> str | None:
    """Return what `_R…` stands for; None where it is no such name."""
    body = mangled.removeprefix("_R")
    if body == mangled or not body.isascii() or not body[:1].isupper():
        return None
    parser = _Parser(body)
    try:
        return parser.symbol()
    except (_NotAName, IndexError, ValueError):
        return None


class _Parser:
    """The place in a name; `text` begins behind `_R`, which is what back-references count from."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._nested = 0
        self._written = 0
        self._lifetimes = 0

    # --- tokens

    def _next(self) -> str:
        letter = self._text[self._at]
        self._at += 1
        return letter

    def _take(self, letter: str) -> bool:
        if self._text[self._at : self._at + 1] != letter:
            return False
        self._at += 1
        return True

    def _base_62(self) -> int:
        """A number in digits, lower and upper case letters, then `_`; `_` alone is 0."""
        if self._take("_"):
            return 0
        value = 0
        while not self._take("_"):
            letter = self._next()
            if letter.isdigit():
                digit = ord(letter) - ord("0")
            elif letter.islower():
                digit = ord(letter) - ord("a") + 10
            else:
                digit = ord(letter) - ord("A") + 36
            value = value * 62 + digit
            if value >> 64:
                raise _NotAName
        return value + 1

    def _disambiguator(self) -> int:
        return self._base_62() + 1 if self._take("s") else 0

    def _identifier(self) -> tuple[str, int]:
        """An identifier and its disambiguator; `u` says that it is written in Punycode."""
        number = self._disambiguator()
        punycode = self._take("u")
        digits = self._next()
        if not digits.isdigit():
            raise _NotAName
        while digits != "0" and self._text[self._at : self._at + 1].isdigit():
            digits += self._next()
        self._take("_")
        length = int(digits)
        name = self._text[self._at : self._at + length]
        if len(name) != length:
            raise _NotAName
        self._at += length
        if punycode:
            # An underscore stands for Punycode's hyphen.
            head, separator, tail = name.rpartition("_")
            name = (f"{head}-{tail}" if separator else tail).encode().decode("punycode")
        self._written += length
        if self._written > _LONGEST:
            raise _NotAName
        return name, number

    def _back_reference(self) -> int:
        place = self._at - 1
        target = self._base_62()
        if target >= place:
            raise _NotAName
        return target

    def _elsewhere(self, target: int, what: str) -> str:
        """What a back-reference leads to, parsed again there."""
        back, self._at = self._at, target
        found = self._type() if what == "type" else self.path() if what == "path" else self._constant()
        self._at = back
        return found

    # --- the grammar

    def symbol(self) -> str:
        """The whole name: a path, and perhaps another one, of the crate that a generic function was made for."""
        found = self.path(in_value=True)
        if self._at < len(self._text):
            self.path()
        if self._at < len(self._text):
            raise _NotAName
        return found

    def path(self, *, in_value: bool = False) -> str:
        """A path; `in_value` writes generic arguments with `::` before them, as expressions do."""
        self._nested += 1
        self._written += 1
        if self._nested > _MOST_NESTED or self._written > _LONGEST:
            raise _NotAName
        found = self._path(in_value=in_value)
        self._nested -= 1
        return found

    def _path(self, *, in_value: bool) -> str:
        match self._next():
            case "C":
                return self._identifier()[0]
            case "M":
                self._disambiguator()
                self.path()
                return f"<{self._type()}>"
            case "X":
                self._disambiguator()
                self.path()
                return f"<{self._type()} as {self.path()}>"
            case "Y":
                return f"<{self._type()} as {self.path()}>"
            case "N":
                return self._nested_name(self._next(), in_value=in_value)
            case "I":
                base = self.path(in_value=in_value)
                arguments = self._list(self._argument)
                return f"{base}{'::' if in_value else ''}<{', '.join(arguments)}>"
            case "B":
                return self._elsewhere(self._back_reference(), "path")
        raise _NotAName

    def _nested_name(self, kind: str, *, in_value: bool) -> str:
        base = self.path(in_value=in_value)
        name, number = self._identifier()
        if kind.isupper():
            shown = {"C": "closure", "S": "shim"}.get(kind, kind)
            return f"{base}::{{{shown}{':' if name else ''}{name}#{number}}}"
        return f"{base}::{name}" if name else base

    def _list(self, item: Callable[[], str]) -> list[str]:
        found = []
        while not self._take("E"):
            found.append(item())
        return found

    def _argument(self) -> str:
        if self._take("L"):
            return self._lifetime()
        return self._constant() if self._take("K") else self._type()

    def _lifetime(self) -> str:
        index = self._base_62()
        if index == 0:
            return "'_"
        depth = self._lifetimes - index
        if depth < 0:
            raise _NotAName
        return f"'{chr(ord('a') + depth)}" if depth < 26 else f"'_{depth}"

    def _binder(self) -> tuple[str, int]:
        """`for<'a, 'b> ` where lifetimes are bound, and how many are."""
        count = self._base_62() + 1 if self._take("G") else 0
        if count > 64:
            raise _NotAName
        self._lifetimes += count
        names = [f"'{chr(ord('a') + depth)}" for depth in range(self._lifetimes - count, self._lifetimes)]
        return (f"for<{', '.join(names)}> " if count else ""), count

    def _type(self) -> str:
        self._nested += 1
        self._written += 1
        if self._nested > _MOST_NESTED or self._written > _LONGEST:
            raise _NotAName
        found = self._type_of(self._next())
        self._nested -= 1
        return found

    def _type_of(self, tag: str) -> str:
        if tag in _BASIC_TYPES:
            return _BASIC_TYPES[tag]
        match tag:
            case "A":
                return f"[{self._type()}; {self._constant()}]"
            case "S":
                return f"[{self._type()}]"
            case "T":
                items = self._list(self._type)
                return f"({items[0]},)" if len(items) == 1 else f"({', '.join(items)})"
            case "R" | "Q":
                lifetime = self._lifetime() if self._take("L") else "'_"
                named = "" if lifetime == "'_" else f"{lifetime} "
                return f"&{named}{'mut ' if tag == 'Q' else ''}{self._type()}"
            case "P":
                return f"*const {self._type()}"
            case "O":
                return f"*mut {self._type()}"
            case "F":
                return self._function()
            case "D":
                return self._object()
            case "B":
                return self._elsewhere(self._back_reference(), "type")
        self._at -= 1
        return self.path()

    def _function(self) -> str:
        bound, count = self._binder()
        unsafe = "unsafe " if self._take("U") else ""
        abi = ""
        if self._take("K"):
            name = "C" if self._take("C") else self._identifier()[0].replace("_", "-")
            abi = f'extern "{name}" '
        parameters = ", ".join(self._list(self._type))
        returned = self._type()
        self._lifetimes -= count
        result = "" if returned == "()" else f" -> {returned}"
        return f"{bound}{unsafe}{abi}fn({parameters}){result}"

    def _object(self) -> str:
        bound, count = self._binder()
        traits = self._list(self._trait)
        self._lifetimes -= count
        if not self._take("L"):
            raise _NotAName
        lifetime = self._lifetime()
        outlives = "" if lifetime == "'_" else f" + {lifetime}"
        return f"dyn {bound}{' + '.join(traits)}{outlives}"

    def _trait(self) -> str:
        found = self.path()
        bindings = []
        while self._take("p"):
            name = self._identifier()[0]
            bindings.append(f"{name} = {self._type()}")
        if not bindings:
            return found
        inside = ", ".join(bindings)
        return f"{found[:-1]}, {inside}>" if found.endswith(">") else f"{found}<{inside}>"

    def _constant(self) -> str:
        if self._take("B"):
            return self._elsewhere(self._back_reference(), "constant")
        kind = self._next()
        if kind == "p":
            return "_"
        negative = kind in _SIGNED and self._take("n")
        digits = ""
        while not self._take("_"):
            digits += self._next()
        value = int(digits or "0", 16)
        if kind in _SIGNED or kind in _UNSIGNED:
            return f"-{value}" if negative else str(value)
        if kind == "b":
            return "true" if value else "false"
        if kind == "c" and value < 0x110000:
            return repr(chr(value))
        raise _NotAName
