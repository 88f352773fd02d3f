"""Language cases: programs that must compile, and programs that must not, with the exact diagnostic.

tests/lang/TOPIC/tst.NAME.d compiles (`dtrap -e`) and prints nothing, or exactly NAME.r.
tests/lang/TOPIC/err.TAG.NAME.d fails with that tag (`dtrap -x errtags -e`), exit status 1, and prints exactly
NAME.r on standard error: DTrace's words, the source line, the caret, the hints. Nothing is traced. `@@flags:`
adds flags before -s, `@@args:` operands behind the file.
"""

from pathlib import Path

import pytest

from tests.harness import case_file
from tests.harness.command import run_dtrap

HERE = Path(__file__).parent
KEYS = ("flags", "args")


@pytest.mark.parametrize("path", case_file.collect(HERE), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_case(path: Path, accept: bool) -> None:
    case = case_file.read(path, KEYS)
    tags = ["-x", "errtags"] if case.tag else []
    run = run_dtrap(
        ["-e", *tags, *case.words("flags"), "-s", path.name, *case.words("args")], path.parent, timeout_s=20
    )
    if case.tag is None:
        assert run.stderr == ""
        case_file.compare(run.stdout, case.expectation(".r"), accept=accept)
    else:
        assert f"[{case.tag}]" in run.stderr
        assert run.stdout == ""
        case_file.compare(run.stderr, case.expectation(".r"), accept=accept)
    assert run.status == (1 if case.tag else 0)
