"""The harness itself, with a stand-in for dtrap: a comparison that cannot fail would prove nothing."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from subprocess import TimeoutExpired

import pytest

from tests.harness import attached, case_file, command, masks
from tests.harness.case_file import BadCase
from tests.harness.ordinary_user import as_nobody, reaching
from tests.harness.triggers import Triggers

REFERENCE = Path(__file__).parent.parent / "reference"

ROWS = """\
CPU     ID                    FUNCTION:NAME
  0   5581                        add:entry 0 0
 11      1                           :BEGIN 7
"""


def test_rows_are_masked_in_their_columns_only() -> None:
    assert masks.cpu_and_id(ROWS) == (
        "CPU     ID                    FUNCTION:NAME\n"
        "CPU     ID                        add:entry 0 0\n"
        "CPU      1                           :BEGIN 7\n"
    )


def test_a_shifted_row_is_not_masked() -> None:
    shifted = ROWS.replace("  0   5581", "  0  5581")
    assert "  0  5581" in masks.cpu_and_id(shifted)


def test_quiet_output_is_left_alone() -> None:
    assert masks.cpu_and_id("  0   5581                        add:entry\n") == (
        "  0   5581                        add:entry\n"
    )


@pytest.mark.parametrize("path", sorted(REFERENCE.glob("*.out")), ids=lambda path: path.stem)
def test_masks_leave_nothing_that_varies_in_the_reference(path: Path) -> None:
    text = masks.apply(masks.MASKS, path.read_text())
    assert re.search(r"\b55\d\d\b|\bpid1|\btgt1|^  0 ", text, re.MULTILINE) is None


def test_listing_keeps_its_columns() -> None:
    listed = (REFERENCE / "pid-list.out").read_text()
    assert masks.listing(listed).splitlines()[1] == (
        "   ID        pid            target                               add entry"
    )


def test_listing_keeps_the_fixed_ids() -> None:
    listed = (REFERENCE / "list-begin.out").read_text()
    assert masks.listing(listed) == listed


def test_excerpt_and_hint_are_dropped_and_nothing_else() -> None:
    printed = (
        "dtrap: failed to compile script a.d: line 1: aggregation redefined: @a\n"
        "\t current: @a = sum( )\n"
        "    BEGIN { @a = sum(1); }\n"
        "            ^~~~~~~~~~~\n"
        "hint: give one of them another name\n"
        "    four blanks, but no caret below\n"
    )
    assert masks.command_name(masks.excerpts(printed)) == (
        "dtrace: failed to compile script a.d: line 1: aggregation redefined: @a\n"
        "\t current: @a = sum( )\n"
        "    four blanks, but no caret below\n"
    )


def test_excerpts_of_nothing_is_nothing() -> None:
    assert masks.excerpts("") == ""


def write_case(folder: Path, header: str, name: str = "tst.one.d") -> Path:
    path = folder / name
    path.write_text(f"/*\n{header} */\nBEGIN {{ exit(0); }}\n")
    return path


HEADER = " * ASSERTION: it ends.\n * SECTION: Actions/exit\n"


def test_header_is_read(tmp_path: Path) -> None:
    path = write_case(tmp_path, HEADER + " * @@flags: -q  -x a=1 \n * @@status: 4\n")
    case = case_file.read(path, ("flags", "status"))
    assert case.words("flags") == ["-q", "-x", "a=1"]
    assert case.settings["status"] == "4"
    assert case.words("args") == []
    assert case.tag is None


def test_tag_is_taken_from_the_name(tmp_path: Path) -> None:
    path = write_case(tmp_path, HEADER, "err.D_AGG_REDEF.two.d")
    assert case_file.read(path, ()).tag == "D_AGG_REDEF"


@pytest.mark.parametrize(
    ("header", "name", "reason"),
    [
        (" * SECTION: x\n", "tst.a.d", "no ASSERTION"),
        (HEADER + " * @@flaks: -q\n", "tst.a.d", "unknown or repeated @@flaks"),
        (HEADER + " * @@flags: -q\n * @@flags: -q\n", "tst.a.d", "unknown or repeated @@flags"),
        (HEADER, "misnamed.d", "neither"),
    ],
)
def test_bad_header_is_refused(tmp_path: Path, header: str, name: str, reason: str) -> None:
    path = write_case(tmp_path, header, name)
    with pytest.raises(BadCase, match=reason):
        case_file.read(path, ("flags",))


def test_difference_fails_and_accept_rewrites(tmp_path: Path) -> None:
    expectation = tmp_path / "tst.one.r"
    with pytest.raises(pytest.fail.Exception, match="differs"):
        case_file.compare("new\n", expectation, accept=False)
    case_file.compare("new\n", expectation, accept=True)
    case_file.compare("new\n", expectation, accept=False)
    case_file.compare("", expectation, accept=True)
    assert not expectation.exists()
    case_file.compare("", expectation, accept=False)


def test_difference_shows_blanks_at_line_ends() -> None:
    assert "+ x␣␣" in case_file.difference("x\n", "x  \n")


FAKE_DTRAP = f"""\
#!{sys.executable}
# Print like a tracer that has just armed, wait for the target's end, print like one that has finished.
import os, select, sys
print("armed", flush=True)
target = int(sys.argv[sys.argv.index("-p") + 1])
select.select([os.pidfd_open(target)], [], [])
print("target", sys.argv[-1], "ended", file=sys.stderr)
print("done")
sys.exit(4)
"""

STUCK_DTRAP = """\
#!/bin/sh
# Start a child that holds the streams open, and never end.
echo $3 >pid
tail -f /dev/null
"""


@pytest.fixture
def fake_dtrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    fake = tmp_path / "dtrap"
    fake.write_text(FAKE_DTRAP)
    fake.chmod(0o755)
    monkeypatch.setattr(command, "DTRAP", fake)
    return fake


def test_attached_trigger_goes_on_once_the_tracer_is_armed(
    fake_dtrap: Path, triggers: Triggers, tmp_path: Path
) -> None:
    run = attached.run_attached(["-q"], ["word"], [str(triggers.path("calls")), "2"], tmp_path, timeout_s=30)
    assert (run.status, run.stdout, run.stderr) == (4, "armed\ndone\n", "target word ended\n")


def test_tracer_that_does_not_end_is_killed_and_so_is_its_trigger(
    fake_dtrap: Path, triggers: Triggers, tmp_path: Path
) -> None:
    fake_dtrap.write_text(STUCK_DTRAP)
    with pytest.raises(TimeoutExpired):
        attached.run_attached(["-q"], [], [str(triggers.path("calls")), "2"], tmp_path, timeout_s=1)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGCONT)


def test_an_ordinary_user_reaches_a_folder_inside_one_of_root_s_alone(tmp_path: Path) -> None:
    folder = tmp_path / "closed" / "between" / "checkout"
    folder.mkdir(parents=True)
    (folder / "file").write_text("read")
    (tmp_path / "closed").chmod(0o700)
    words = (*reaching(folder), *as_nobody(), "cat", "file")
    assert subprocess.run(words, cwd=folder, check=True, capture_output=True, text=True).stdout == "read"
    assert (tmp_path / "closed").stat().st_mode & 0o777 == 0o700
