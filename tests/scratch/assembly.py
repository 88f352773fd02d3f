"""Assembled instructions for tables of cases, in AT&T syntax."""

import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.scratch.elf import section, symbols


def assemble(sources: Mapping[str, str]) -> dict[str, bytes]:
    """Return the machine code of each source, by its name. Operands relative to rip are given as numbers:
    `1234(%rip)`.
    """
    lines = [".text"]
    for number, source in enumerate(sources.values()):
        lines += [f"start_{number}:", source, f"end_{number}:"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "code.o"
        subprocess.run(["as", "-o", path, "-"], input="\n".join([*lines, ""]), text=True, check=True)
        text = section(path, ".text").content
        at = {symbol.name: symbol.address for symbol in symbols(path)}
    return {name: text[at[f"start_{n}"] : at[f"end_{n}"]] for n, name in enumerate(sources)}
