"""One program on one engine: what it counted, what the traced command printed meanwhile, what was left out.

Through the command, as a user asks. Hands Counted values to the test modules of this folder, which compare them.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.harness.command import DTRAP, SERVED_BY, environment
from tests.integration.running import counts, run

ENGINES: Final = tuple(SERVED_BY)
FIXED_ADDRESSES: Final = ("setarch", "-R", str(DTRAP))
"""dtrap and what it starts without randomised addresses: some programs call more or less by where they lie."""

SAME_CALLS: Final = {"PYTHONHASHSEED": "0", "PYTHONMALLOC": "malloc"}
"""What Python needs to call the same functions in every run. Its method cache goes by the addresses of names, which
are mapped beside our scratch memory unless they come from malloc."""

_LEFT_OUT: Final = re.compile(r"^dtrap: pid\d+:[^:]*:([^:]*):entry left out: ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Counted:
    """The counts by key, the command's own output, and the functions that were left out."""

    counts: dict[str, int]
    printed: str
    left_out: frozenset[str]


def counted(
    engine: str,
    program: str,
    command: Sequence[str | Path],
    folder: Path,
    executable: Sequence[str] = (str(DTRAP),),
) -> Counted:
    """Start `command` under dtrap with this engine; the program must leave nothing but one aggregation of counts.

    The counts go through a file in `folder`, since the command prints where dtrap prints.
    """
    report = folder / f"counts.{engine}.{os.urandom(8).hex()}"
    words = " ".join(str(word) for word in command)
    options: tuple[str | Path, ...] = (*SERVED_BY[engine], "-q", "-v", "-o", report)
    result = run(*options, "-n", program, "-c", words, executable=executable, env=environment(**SAME_CALLS))
    assert result.status == 0, result
    return Counted(counts(report.read_text()), result.stdout, frozenset(_LEFT_OUT.findall(result.stderr)))


def every(program: str, command: Sequence[str | Path], folder: Path) -> dict[str, Counted]:
    """The same on each engine."""
    return {engine: counted(engine, program, command, folder) for engine in ENGINES}
