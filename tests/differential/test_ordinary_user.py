"""Without any privilege fasttrap serves one's own processes, with the same results, and says why it can't otherwise."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend import target_process
from backend.target_process import not_permitted
from tests.differential.engines import counted
from tests.differential.workloads import list_files
from tests.harness.command import DTRAP, environment
from tests.harness.ordinary_user import as_nobody
from tests.harness.triggers import Triggers
from tests.integration.running import run

WITHOUT_CAPABILITIES = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
"""Root in name only."""

ALL_OF_LIBC = "pid$target:libc.so.6::entry { @[probefunc] = count(); }"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")


@pytest.fixture(params=[as_nobody(), WITHOUT_CAPABILITIES], ids=["nobody", "no capabilities"])
def as_user(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """The words before a command that make it an ordinary user's."""
    words: tuple[str, ...] = request.param
    return words


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that anybody may enter and write, unlike pytest's."""
    place = Path(tempfile.mkdtemp(prefix="dtrap-test-", dir="/tmp"))
    place.chmod(0o777)
    yield place
    shutil.rmtree(place)


@pytest.mark.parametrize(
    ("name", "arguments", "probes"),
    [
        ("awkward", ["4", "25"], "first_*"),
        ("eight_threads", ["1000"], "work"),
        ("churn", ["200"], "probed"),
        ("signal_storm", ["2000", "500"], "first_*"),
        ("children", [], "probed"),
    ],
)
def test_counts_are_those_of_the_privileged(
    as_user: tuple[str, ...],
    name: str,
    arguments: list[str],
    probes: str,
    folder: Path,
    triggers: Triggers,
) -> None:
    program = folder / name
    shutil.copy(triggers.path(name), program)
    clause = f"pid$target:a.out:{probes}:entry {{ @[probefunc] = count(); }}"
    theirs = counted("auto", clause, [program, *arguments], folder, executable=(*as_user, str(DTRAP)))
    ours = counted("traps", clause, [program, *arguments], folder)
    if name == "signal_storm":
        # How many signals there were is another number in each run; the program says it.
        from_main, from_handlers, strange = map(int, theirs.printed.split())
        assert strange == 0
        assert set(theirs.counts.values()) == {from_main + from_handlers}
        assert theirs.counts.keys() == ours.counts.keys()
    else:
        assert theirs == ours


def test_all_of_libc_is_counted_in_a_real_program(as_user: tuple[str, ...], folder: Path) -> None:
    command = list_files(folder)
    executable = ("setarch", "-R", *as_user, str(DTRAP))
    found = counted("auto", ALL_OF_LIBC, command, folder, executable=executable)
    assert found.printed == subprocess.run(command, env=environment(), capture_output=True, text=True).stdout
    assert (
        found.counts
        == counted("traps", ALL_OF_LIBC, command, folder, executable=("setarch", "-R", str(DTRAP))).counts
    )


def test_uprobes_asked_for_without_the_right_are_an_error_that_names_what_is_missing(
    as_user: tuple[str, ...],
) -> None:
    result = run("-x", "engine=uprobes", "-n", "BEGIN { exit(0); }", executable=(*as_user, str(DTRAP)))
    assert result.status == 1
    assert "CAP_BPF" in result.stderr


@pytest.mark.parametrize(
    ("scope", "why", "fix"),
    [
        (
            1,
            "kernel.yama.ptrace_scope is 1",
            "run dtrap as root, start the program with -c, or `sudo sysctl kernel.yama.ptrace_scope=0`",
        ),
        (
            2,
            "kernel.yama.ptrace_scope is 2",
            "run dtrap as root, or `sudo sysctl kernel.yama.ptrace_scope=0`",
        ),
        (3, "kernel.yama.ptrace_scope is 3", "it can't be lowered before a reboot"),
    ],
)
def test_what_yama_forbids_is_said_with_the_cure(
    scope: int, why: str, fix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(target_process, "_yama_scope", lambda: scope)
    error = not_permitted(os.getpid())
    assert (error.why, error.fix) == (why, fix)
    assert str(error) == f"failed to grab process {os.getpid()}: {why} (process of root); {fix}"
