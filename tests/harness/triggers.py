"""The traced programs of the tests: tests/triggers/NAME.c, compiled once in a session.

A trigger is one idea in C. It may include trigger.h and call wait_for_go(): started with TRIGGER_WAIT set it
then prints `ready` and waits for one byte on its standard input, so that a tracer can be attached to it;
otherwise it just goes on.
"""

import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

SOURCES: Final = Path(__file__).parent.parent / "triggers"
WAIT: Final = {"TRIGGER_WAIT": "1"}

# -O1 and no inlining of calls into jumps: functions keep their frames and are called where the source says
# so.
FLAGS: Final = ("-g", "-O1", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls", "-pthread")


@dataclass(slots=True)
class Triggers:
    """Compiles triggers into a folder when they are first asked for."""

    folder: Path
    _built: dict[str, Path] = field(default_factory=dict)

    def path(self, name: str) -> Path:
        """The executable of trigger NAME. Raises CalledProcessError if gcc refuses it."""
        if name not in self._built:
            self._built[name] = compile_c(SOURCES / f"{name}.c", self.folder / name)
        return self._built[name]


def compile_c(source: Path, executable: Path, flags: tuple[str, ...] = FLAGS) -> Path:
    """Compile one C file, and return the executable's path. Raises CalledProcessError."""
    subprocess.run(["gcc", *flags, "-o", str(executable), str(source)], check=True)
    return executable
