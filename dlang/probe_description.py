"""Probe descriptions: `provider:module:function:name`, each field a shell glob.

Lives here: splitting a description into its fields, and matching one field with one text. Not here: where
descriptions stand in a program (parse.py), what a provider makes of its fields (backend/sites.py matches
functions, `a.out` and `libc` for `libc.so.6` included).
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

OVERSPECIFIED = "Overspecified probe description"

# A character that makes a field a pattern rather than a name. A backslash counts: `\*` names a star, but only
# a pattern can say so.
_GLOB_CHARACTERS = frozenset("*?[\\")


MADE = "jit"
"""The module of code that a process has made at run time, which no file holds."""
_MAP_NAME = re.compile(r"perf-[0-9]+\.map")


class Level(IntEnum):
    """Which field the last one written is: the options -P, -m, -f and -n, in this order."""

    PROVIDER = 1
    MODULE = 2
    FUNCTION = 3
    NAME = 4


class ProbeDescriptionError(ValueError):
    """A text that is no probe description. `message` is DTrace's wording (tag D_PDESC_INVAL)."""

    def __init__(self, text: str, message: str) -> None:
        super().__init__(f"{message}: {text}")
        self.text = text
        self.message = message


@dataclass(frozen=True, slots=True)
class ProbeDescription:
    """The four fields as written; an empty one matches everything."""

    provider: str
    module: str
    function: str
    name: str

    def __str__(self) -> str:
        return f"{self.provider}:{self.module}:{self.function}:{self.name}"


def parse(text: str, level: Level = Level.NAME) -> ProbeDescription:
    """Return the description written in `text`, whose last field is that of `level`.

    Missing leading fields are empty. `malloc` at Level.FUNCTION is `::malloc:`. Raises ProbeDescriptionError
    when there are more fields than `level` has room for.
    """
    fields = text.split(":")
    if len(fields) > level:
        raise ProbeDescriptionError(text, OVERSPECIFIED)
    leading = [""] * (level - len(fields))
    trailing = [""] * (Level.NAME - level)
    return ProbeDescription(*leading, *fields, *trailing)


def is_glob(pattern: str) -> bool:
    """Whether `pattern` can match a text other than itself; the empty pattern does."""
    return not pattern or not _GLOB_CHARACTERS.isdisjoint(pattern)


def names_made_code(module: str) -> bool:
    """Whether a description's module is what a process makes at run time: `jit`, or as other tools call it. A glob is
    not.
    """
    return module == MADE or _MAP_NAME.fullmatch(module) is not None


def matches(pattern: str, text: str) -> bool:
    """Whether the whole of `text` matches the glob `pattern`; the empty pattern matches every text."""
    return matcher(pattern)(text)


def matching(pattern: str, texts: Iterable[str]) -> list[str]:
    """Return the texts that `pattern` matches, in their order; half a million take a fraction of a second."""
    accepts = matcher(pattern)
    return [text for text in texts if accepts(text)]


@lru_cache(maxsize=256)
def matcher(pattern: str) -> Callable[[str], bool]:
    """Return the precompiled test of one pattern: `matcher(p)(text)` is `matches(p, text)`.

    `*` any text, `?` one character, `[a-z]` one of a set, `[!a-z]` one outside it, `\\` takes the next
    character literally (in a set too). A bracket never closed stands for itself, as in the shell; so does a
    backslash at the end. Matching takes time proportional to the text for each star, whatever the pattern: a
    pattern may be hostile, and so may a symbol's name.
    """
    if not is_glob(pattern):
        return pattern.__eq__
    if not pattern.strip("*"):
        return _anything
    fullmatch = re.compile(_regular_expression(pattern), re.DOTALL).fullmatch
    return lambda text: fullmatch(text) is not None


def _anything(_text: str) -> bool:
    return True


def _regular_expression(pattern: str) -> str:
    """Translate a glob into a regular expression.

    What stands between two stars is matched at its first occurrence and never reconsidered (an atomic group):
    right, since the star after it can absorb the rest, and what keeps many stars from multiplying the work.
    """
    pieces: list[list[str]] = [[]]
    at = 0
    while at < len(pattern):
        character = pattern[at]
        at += 1
        match character:
            case "*":
                pieces.append([])
            case "?":
                pieces[-1].append(".")
            case "[":
                expression, at = _character_set(pattern, at)
                pieces[-1].append(expression)
            case "\\" if at < len(pattern):
                pieces[-1].append(re.escape(pattern[at]))
                at += 1
            case _:
                pieces[-1].append(re.escape(character))
    first, *rest = ["".join(piece) for piece in pieces]
    if not rest:
        return first
    *middle, last = rest
    return first + "".join(f"(?>.*?{piece})" for piece in middle if piece) + f".*{last}"


def _character_set(pattern: str, start: int) -> tuple[str, int]:
    """Translate the set whose opening bracket stands before `start`; also return where it ends."""
    at = start
    negated = pattern[at : at + 1] == "!"
    at += negated
    members: list[tuple[str, str]] = []
    first = True
    while at < len(pattern):
        if pattern[at] == "]" and not first:
            return _set_expression(members, "^" if negated else ""), at + 1
        first = False
        low, at = _set_member(pattern, at)
        high = low
        if pattern[at : at + 1] == "-" and pattern[at + 1 : at + 2] not in ("", "]"):
            high, at = _set_member(pattern, at + 1)
        members.append((low, high))
    return re.escape("["), start


def _set_member(pattern: str, at: int) -> tuple[str, int]:
    if pattern[at] == "\\" and at + 1 < len(pattern):
        at += 1
    return pattern[at], at + 1


def _set_expression(members: list[tuple[str, str]], negation: str) -> str:
    ranges = "".join(f"\\U{ord(low):08x}-\\U{ord(high):08x}" for low, high in members if low <= high)
    if ranges:
        return f"[{negation}{ranges}]"
    return "." if negation else "(?!)"
