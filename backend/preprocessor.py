"""The system's C preprocessor for `-C`: a script's text in, the text that is compiled out.

DTrace's macros are defined first (DTrace guide, "Scripting", option -C). Which lines of the result come from
where is in its `#` lines, read by dlang/pragmas.py.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_DEFINED: Final = (
    "__linux",
    "__unix",
    "__SVR4",
    "__SUNW_D=1",
    "__SUNW_D_VERSION=0x02000007",
    "__SUNW_D_64",
    f"__{platform.system()}",
    f"__{platform.machine()}",
)
"""0xMMmmmuuu: the version of the DTrace whose language this is."""
_C_WITHOUT_EXTENSIONS: Final = ("-U__GNUC__", "-std=c99")
"""So the system's headers leave out what is GNU's alone, attributes for example, as with DTrace for Linux."""

_INTERPRETER_LINE: Final = re.compile(rb"\A[ \t]*#![^\n]*")


class PreprocessorFailed(Exception):
    """The preprocessor is missing, or doesn't take the script; the text says so in DTrace's words.

    `hint` is what helps, or empty. What the preprocessor itself has to say is on standard error.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def preprocess(content: bytes, path: str, program: str, arguments: Sequence[str]) -> bytes:
    """Return a script's content as `program` makes it; files that it includes are looked for beside it, at `path`."""
    command = [
        program,
        *(f"-D{macro}" for macro in _DEFINED),
        *_C_WITHOUT_EXTENSIONS,
        "-iquote",
        os.fspath(Path(path).parent),
        *arguments,
        "/dev/stdin",
    ]
    try:
        run = subprocess.run(
            command, input=_INTERPRETER_LINE.sub(b"", content), stdout=subprocess.PIPE, check=False
        )
    except FileNotFoundError:
        raise PreprocessorFailed(f"Preprocessor not found: {program}", "sudo apt-get install cpp") from None
    except OSError as error:
        raise PreprocessorFailed(f"Failed to exec preprocessor: {error.strerror}") from None
    if run.returncode != 0:
        raise PreprocessorFailed("Preprocessor failed to process input program")
    return run.stdout
