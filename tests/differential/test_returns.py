"""Returns of real libraries under real programs: nearly all by jumps, counted as traps count them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.differential.engines import FIXED_ADDRESSES, counted

pytestmark = pytest.mark.requires_uprobes

GOAL: Final = 0.9
"""Of the returns that have probes, in each library: what jumps must serve. More than this, at the time of writing."""

WORDS: Final = """
#include <iostream>
#include <map>
#include <sstream>
int main() {
    std::map<std::string, int> words;
    for (int i = 0; i < 60; i++) { std::stringstream word; word << i % 97 << "x"; words[word.str()]++; }
    for (auto &[word, count] : words) std::cout << word << " " << count << "\\n";
}
"""
PYTHON: Final = str(Path(sys.executable).resolve())
COMMANDS: Final = {
    "libc.so.6": ("ls", "-l", "/usr"),
    "libcrypto*": ("openssl", "dgst", "-sha256", PYTHON),
    "libstdc*": ("words",),
    "a.out": (PYTHON, "-S", "-c", "import json; print(len(json.dumps(list(range(99)))))"),
}


@pytest.mark.parametrize("module", COMMANDS)
def test_nearly_all_returns_are_served_by_jumps_and_counted_as_by_traps(module: str, tmp_path: Path) -> None:
    (tmp_path / "words.cc").write_text(WORDS)
    words = tmp_path / "words"
    subprocess.run(["g++", "-std=c++17", "-O1", "-o", words, tmp_path / "words.cc"], check=True)
    command = [str(words) if word == "words" else word for word in COMMANDS[module]]
    program = f"pid$target:{module}::return {{ @[probefunc] = count(); }}"
    file = tmp_path / "coverage.json"
    found = {
        engine: counted(engine, program, command, tmp_path, [*FIXED_ADDRESSES, f"--coverage={file}.{engine}"])
        for engine in ("traps", "jumps")
    }
    assert sum(found["traps"].counts.values()) > 100
    assert found["jumps"] == found["traps"]
    served = json.loads(Path(f"{file}.jumps").read_text())["total"]["served"]
    by_jumps = sum(sites for way, sites in served.items() if way.endswith("jump"))
    assert by_jumps >= GOAL * sum(served.values()), served
