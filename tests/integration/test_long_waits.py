"""Whoever waits for seconds before anything is traced is told for what."""

import subprocess
from pathlib import Path

from tests.harness.command import environment
from tests.integration.running import run

MIB = 9
PROGRAM = f"""
.globl main
.type main,@function
main: xor %eax,%eax
 ret
.size main,.-main
.type filling,@function
filling: .fill {MIB << 20},1,0x90
 ret
.size filling,.-filling
.section .note.GNU-stack
"""


def test_long_search_for_jumps_is_told_once(tmp_path: Path) -> None:
    source, program = tmp_path / "large.s", tmp_path / "large"
    source.write_text(PROGRAM, encoding="ascii")
    subprocess.run(["gcc", "-Wl,--build-id", "-o", str(program), str(source)], check=True)
    clause = "pid$target:a.out:main:entry { @ = count(); }"
    arguments = ("-x", "engine=fasttrap", "-n", clause, "-c", str(program))
    kept, unknown = (environment(XDG_CACHE_HOME=str(tmp_path / name)) for name in ("kept", "unknown"))
    first, second = (run(*arguments, env=kept) for _ in range(2))
    quiet = run("-q", *arguments, env=unknown)
    told = "dtrap: looking where jumps may be in 9 MiB of code of large, once for all runs (-x tier=trap does without)"
    assert told in first.stderr.splitlines()
    assert "looking" not in second.stderr
    assert quiet.stderr == ""
    assert [each.stdout.split() for each in (first, second, quiet)] == [["1"]] * 3
