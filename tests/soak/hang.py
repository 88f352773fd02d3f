"""What is printed about processes that hang, before they are ended: on standard error, for somebody to find out why."""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

_FIELDS: Final = ("Name:", "State:", "PPid:", "TracerPid:", "SigBlk:", "SigPnd:", "ShdPnd:")
_SHOWN_S: Final = 0.5
"""By then it has printed its stack, before what comes next and before it is killed."""


def show(tracing: Iterable[int], target: int) -> None:
    """Print where the kernel has all threads of the tracing processes and of their target, and have the former print
    their stacks (faulthandler, at SIGUSR2).
    """
    for pid in (*tracing, target):
        print("\n".join(_process(pid)), file=sys.stderr, flush=True)
        if pid != target:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGUSR2)
                time.sleep(_SHOWN_S)


def _process(pid: int) -> Iterator[str]:
    yield f"--- {pid}"
    with contextlib.suppress(OSError):
        for link in sorted(Path(f"/proc/{pid}/fd").iterdir()):
            with contextlib.suppress(OSError):
                yield f"fd {link.name}: {link.readlink()}"
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            fields = _read(thread / "status").replace("\t", " ").split("; ")
            yield " ".join(field for field in fields if field.startswith(_FIELDS))
            yield f"  children {_read(thread / 'children')} in {_read(thread / 'syscall')}"
            yield f"  {_read(thread / 'stack')}"


def _read(path: Path) -> str:
    try:
        return path.read_text().strip().replace("\n", "; ")
    except OSError as error:
        return str(error.strerror)
