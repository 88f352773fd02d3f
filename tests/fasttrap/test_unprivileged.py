"""An ordinary user traces his own processes, and nobody else's."""

import os
import select
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.errors import NotPermitted, TracerDied
from backend.fasttrap.site_batch import Site
from backend.linux import prctl, procfs
from tests.fasttrap.tracing import (
    TIMEOUT_S,
    Tracing,
    function_offsets,
    libc_of,
    load_address,
    output,
    tell_go,
    traced,
    trigger,
)
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


def trace_children(program: Path, _: int, *, jumps: bool = False) -> str:
    with trigger(program, "children") as process, Tracing(jumps=jumps) as tracing:
        tracing.tracer.attach(process.pid)
        tracing.arm(program, ["work"])
        tracing.arm_all(libc_of(process.pid))
        tracing.tracer.go()
        tell_go(process)
        tracing.wait_end()
        return f"{{'work': {tracing.hits['work']}}}\n{process.communicate()[0]}"


def trace_children_with_jumps(program: Path, pid: int) -> str:
    return trace_children(program, pid, jumps=True)


def hold_in_vfork(program: Path, _: int) -> str:
    with traced(program, ["work"], "vfork") as run:
        assert output(run.process).readline() == "ready\n"
        run.tracing.tracer.hold()
        run.tracing.tracer.go()
        tell_go(run.process)
        printed = run.finish()
        return f"{dict(run.tracing.hits)}\n{printed}"


def arm_once_more(program: Path, _: int) -> str:
    with trigger(program) as process, Tracing() as tracing:
        rest = load_address(process.pid, program) + function_offsets(program)["rest"]
        tracing.tracer.attach(process.pid)
        tracing.arm(program, ["work"])
        tracing.tracer.go()
        tell_go(process)
        assert output(process).readline() == "ready\n"
        tracing.tracer.hold()
        tracing.tracer.arm([Site(rest, 1)])
        tracing.tracer.go()
        tell_go(process)
        tracing.wait_end()
        return f"{tracing.tracer.hits()}\n{process.communicate()[0]}"


def kill_tracer(program: Path, _: int) -> str:
    with traced(program, ["work", "rest"]) as run:
        assert output(run.process).readline() == "ready\n"
        os.kill(procfs.status(run.process.pid).tracer_pid, signal.SIGKILL)
        with pytest.raises(TracerDied):
            run.tracing.next()
        tell_go(run.process)
        printed, errors = run.process.communicate(timeout=TIMEOUT_S)
        assert (run.process.returncode, errors) == (0, "")
        return printed


def execute_unreadable(program: Path, _: int) -> str:
    with traced(program, ["work"], "executes", str(program.parent / "unreadable")) as run:
        printed = run.finish()
        return f"{dict(run.tracing.hits)}\n{printed}"


TASKS = {
    "own": trace_own_program,
    "other": trace_other_program,
    "children": trace_children,
    "jumps": trace_children_with_jumps,
    "vfork": hold_in_vfork,
    "again": arm_once_more,
    "killed": kill_tracer,
    "executes": execute_unreadable,
}


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A folder where an ordinary user can reach what is in it."""
    folder = Path(f"/tmp/dtrap-test-{os.getpid()}")
    folder.mkdir(mode=0o755, exist_ok=True)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def announce(triggers: Triggers, reachable: Path) -> Path:
    return Path(shutil.copy(triggers.path("announce"), reachable))


@pytest.fixture
def undumpable(triggers: Triggers, reachable: Path) -> Path:
    return Path(shutil.copy(triggers.path("undumpable"), reachable))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become an ordinary user")
def test_ordinary_user_traces_own_program(announce: Path) -> None:
    assert as_nobody("own", announce, 0) == "{'main': 1}"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become an ordinary user")
def test_ordinary_user_is_told_whose_the_process_is(announce: Path, triggers: Triggers) -> None:
    with trigger(triggers.path("endless")) as process:
        assert as_nobody("other", announce, process.pid) == "root|it belongs to another user"
        tell_go(process)
        process.send_signal(10)
        assert select.select([output(process)], [], [], TIMEOUT_S)[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become an ordinary user")
@pytest.mark.parametrize("task", ["children", "jumps"])
def test_children_of_a_process_that_may_not_be_looked_into_any_more(undumpable: Path, task: str) -> None:
    kinds = "fork 3\nvfork 4\nclone 5\nclone of all 5\nspawn 7\nas it was: 1\n"
    assert as_nobody(task, undumpable, 0) == f"{{'work': 3}}\n{kinds * 3}"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become an ordinary user")
def test_process_that_may_not_be_looked_into_is_held_while_it_waits_for_its_child(undumpable: Path) -> None:
    assert as_nobody("vfork", undumpable, 0) == "{'work': 3}\n7 0\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become an ordinary user")
def test_process_that_may_not_be_looked_into_is_armed_once_more(undumpable: Path) -> None:
    assert as_nobody("again", undumpable, 0) == "{0: 3, 1: 1}\n7 0\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become an ordinary user")
def test_process_that_may_not_be_looked_into_outlives_its_tracer(undumpable: Path) -> None:
    assert as_nobody("killed", undumpable, 0) == "7 0\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become an ordinary user")
def test_program_that_may_be_executed_and_not_read_goes_on_untraced(undumpable: Path) -> None:
    unreadable = Path(shutil.copy("/bin/echo", undumpable.parent / "unreadable"))
    unreadable.chmod(0o711)
    assert as_nobody("executes", undumpable, 0) == "{'work': 1}\ndone\n"
