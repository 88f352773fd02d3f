"""Cases kept as files: NAME.d, a D program with a header comment, and NAME.r, exactly what it must print.

The header is the first comment of the file. ASSERTION says in one sentence what must hold, SECTION which part
of the language or of the command it belongs to; both are required. `@@key: value` lines say how to run the
case; the keys a kind of case knows are given by its test module, and an unknown one is an error, so that a
misspelt key never hides. `pytest --accept` rewrites the expectation instead of comparing. Hands Case values
to tests/lang and tests/runtime.
"""

import difflib
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

_COMMENT: Final = re.compile(r"\A(?:#![^\n]*\n)?\s*/\*(.*?)\*/", re.DOTALL)
_SETTING: Final = re.compile(r"^[ *]*@@(\w+):[ \t]*(.*?)[ \t]*$", re.MULTILINE)
_TITLE: Final = re.compile(r"^[ *]*(ASSERTION|SECTION):[ \t]*\S", re.MULTILINE)
_TAG: Final = re.compile(r"err\.(D_[A-Z0-9_]+)\.")


class BadCase(Exception):
    """A case file that does not follow the form above: which file, and what is wrong with it."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Case:
    """One case: the program's file, the error tag in its name if it must not compile, its `@@` settings."""

    path: Path
    tag: str | None
    settings: dict[str, str]

    def words(self, key: str) -> list[str]:
        """The value of a setting, split at blanks; empty where it is not set."""
        return self.settings.get(key, "").split()

    def expectation(self, suffix: str) -> Path:
        """The file beside the program that holds what it must print: suffix `.r` or `.r.err`."""
        return self.path.with_suffix(suffix)


def read(path: Path, keys: Collection[str]) -> Case:
    """Read a case's header.

    Raises BadCase: no header, no ASSERTION or SECTION in it, a key that is not in `keys` or given twice.
    """
    text = path.read_text(encoding="utf-8")
    comment = _COMMENT.match(text)
    if comment is None:
        raise BadCase(path, "does not begin with a header comment")
    missing = {"ASSERTION", "SECTION"} - {title[1] for title in _TITLE.finditer(comment[1])}
    if missing:
        raise BadCase(path, f"no {' and no '.join(sorted(missing))} in the header")
    settings: dict[str, str] = {}
    for setting in _SETTING.finditer(comment[1]):
        if setting[1] not in keys or setting[1] in settings:
            raise BadCase(path, f"unknown or repeated @@{setting[1]}")
        settings[setting[1]] = setting[2]
    tag = _TAG.match(path.name)
    if tag is None and not path.name.startswith("tst."):
        raise BadCase(path, "is named neither tst.NAME.d nor err.TAG.NAME.d")
    return Case(path, tag[1] if tag else None, settings)


def collect(folder: Path) -> list[Path]:
    """The programs of all cases below a folder, in a fixed order."""
    return sorted(folder.glob("*/*.d"))


def compare(printed: str, expectation: Path, *, accept: bool) -> None:
    """Fail the test unless `printed` is exactly the expectation's text; no such file: nothing is printed.

    With `accept`, make it so: write the file, or remove it where nothing was printed.
    """
    expected = expectation.read_text(encoding="utf-8") if expectation.exists() else ""
    if printed == expected:
        return
    if not accept:
        pytest.fail(
            f"{expectation.name} differs (--accept rewrites it)\n{difference(expected, printed)}",
            pytrace=False,
        )
    if printed:
        expectation.write_text(printed, encoding="utf-8")
    else:
        expectation.unlink()


def difference(expected: str, printed: str) -> str:
    """Both texts line by line, `-` expected, `+` printed; blanks at line ends made visible."""
    lines = difflib.ndiff(_visible(expected), _visible(printed))
    return "\n".join(line for line in lines if not line.startswith("?"))


def _visible(text: str) -> list[str]:
    ended = [
        line if line.endswith("\n") else line + "<no newline>" for line in text.splitlines(keepends=True)
    ]
    return [
        re.sub(r"[ \t]+$", lambda blanks: blanks[0].replace(" ", "␣").replace("\t", "⇥"), line.rstrip("\n"))
        for line in ended
    ]
