"""Processes to look at: triggers that wait until they are killed, by their pids."""

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from backend.linux.procfs import Memory
from backend.objects import LoadedObject, loaded_objects
from backend.process_symbols import Symbols
from backend.sites import MatchedFunctions, match_functions
from dlang.probe_description import parse
from tests.harness.triggers import FLAGS, SOURCES, WAIT, Triggers, compile_c


@contextmanager
def waiting(*command: str | Path) -> Iterator[int]:
    """Run a trigger until it says it is ready; yield its pid."""
    with waiting_process(*command) as process:
        yield process.pid


@contextmanager
def waiting_process(*command: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command, env=WAIT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"ready\n"
            yield process
        finally:
            process.kill()


def compiled(name: str, executable: Path, *flags: str) -> Path:
    """Compile a trigger with flags of the test's own."""
    return compile_c(SOURCES / f"{name}.c", executable, (*FLAGS, *flags))


def copied(triggers: Triggers, path: Path) -> Path:
    """Put a trigger where it can be deleted or replaced."""
    shutil.copy(triggers.path("aliases"), path)
    return path


@contextmanager
def symbols_of(pid: int, roots: Sequence[str] = ()) -> Iterator[Symbols]:
    """The symbols of a process.

    Debug files are looked for only in `roots`, so that results don't depend on what is installed.
    """
    with ExitStack() as files:
        memory = files.enter_context(Memory(pid))
        objects = loaded_objects(pid, files)
        yield files.enter_context(Symbols(objects, memory.read, tuple(roots)))


def matched(pid: int, description: str, roots: Sequence[str] = ()) -> MatchedFunctions:
    """What a description matches in a process. The functions' objects are closed."""
    with symbols_of(pid, roots) as symbols:
        return match_functions(parse(description), symbols)


def objects_of(pid: int) -> tuple[LoadedObject, ...]:
    """The objects of a process, closed."""
    with ExitStack() as files:
        return loaded_objects(pid, files)
