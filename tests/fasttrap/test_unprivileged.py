"""An ordinary user traces his own processes, and nobody else's."""

import os
import select
import shutil
from pathlib import Path

import pytest

from backend.errors import NotPermitted
from backend.linux import prctl
from tests.fasttrap.tracing import TIMEOUT_S, Tracing, output, tell_go, trigger
from tests.harness.triggers import Triggers

NOBODY = 65534


def as_nobody(task: str, program: Path, pid: int) -> str:
    """Do one of the tasks below in a child that has become an ordinary user; return what it reports."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            prctl.set_dumpable()
            os.write(writing, TASKS[task](program, pid).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as file:
        report = file.read()
    os.waitpid(child, 0)
    return report


def trace_own_program(program: Path, _: int) -> str:
    with Tracing() as tracing:
        tracing.tracer.create(f"{program} 1")
        tracing.arm(program, ["main"])
        tracing.tracer.go()
        tracing.wait_end()
        return str(dict(tracing.hits))


def trace_other_program(_: Path, pid: int) -> str:
    with Tracing() as tracing:
        try:
            tracing.tracer.attach(pid)
        except NotPermitted as error:
            return f"{error.whose}|{error.why}"
        return "attached"


TASKS = {"own": trace_own_program, "other": trace_other_program}


@pytest.fixture
def announce(triggers: Triggers, tmp_path: Path) -> Path:
    """The trigger where an ordinary user can reach it."""
    folder = Path(f"/tmp/dtrap-test-{os.getpid()}")
    folder.mkdir(mode=0o755, exist_ok=True)
    return Path(shutil.copy(triggers.path("announce"), folder / "announce"))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become an ordinary user")
def test_ordinary_user_traces_own_program(announce: Path) -> None:
    assert as_nobody("own", announce, 0) == "{'main': 1}"
    shutil.rmtree(announce.parent)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become an ordinary user")
def test_ordinary_user_is_told_whose_the_process_is(announce: Path, triggers: Triggers) -> None:
    with trigger(triggers.path("endless")) as process:
        assert as_nobody("other", announce, process.pid) == "root|it belongs to another user"
        tell_go(process)
        process.send_signal(10)
        assert select.select([output(process)], [], [], TIMEOUT_S)[0]
    shutil.rmtree(announce.parent)
