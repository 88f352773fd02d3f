"""Assembled instructions for tables of cases, in AT&T syntax."""

import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from elftools.elf.elffile import ELFFile


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
        with path.open("rb") as file:
            elf = ELFFile(file)
            text = elf.get_section_by_name(".text").data()
            at = {
                symbol.name: symbol["st_value"]
                for symbol in elf.get_section_by_name(".symtab").iter_symbols()
            }
    return {name: text[at[f"start_{n}"] : at[f"end_{n}"]] for n, name in enumerate(sources)}
