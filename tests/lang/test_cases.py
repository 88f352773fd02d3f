"""Language cases: programs that must compile, and programs that must not, with the exact diagnostic.

tests/lang/TOPIC/tst.NAME.d compiles (`dtrap -e`) and prints nothing, or exactly NAME.r.
tests/lang/TOPIC/err.TAG.NAME.d fails with that tag (`dtrap -x errtags -e`), exit status 1, and prints exactly
NAME.r on standard error: DTrace's words, the source line, the caret, the hints. Nothing is traced. `@@flags:`
adds flags before -s, `@@args:` operands behind the file.

The command's main() is called in this process: a process for each case would take a minute for all of them.
"""

import os
import sys
from pathlib import Path

import pytest

from dlang import cli
from tests.harness import case_file

HERE = Path(__file__).parent
KEYS = ("flags", "args")


@pytest.mark.parametrize("path", case_file.collect(HERE), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_case(
    path: Path, accept: bool, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    case = case_file.read(path, KEYS)
    tags = ["-x", "errtags"] if case.tag else []
    words = ["dtrap", "-e", *tags, *case.words("flags"), "-s", path.name, *case.words("args")]
    for name in os.environ:
        if name.startswith(("DTRACE_", "_DTRACE")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(path.parent)
    monkeypatch.setattr(sys, "argv", words)
    status = cli.main()
    stdout, stderr = capfd.readouterr()
    if case.tag is None:
        assert stderr == ""
        case_file.compare(stdout, case.expectation(".r"), accept=accept)
    else:
        assert f"[{case.tag}]" in stderr
        assert stdout == ""
        case_file.compare(stderr, case.expectation(".r"), accept=accept)
    assert status == (1 if case.tag else 0)
