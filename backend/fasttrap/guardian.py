"""What dtrap does when its tracer has been killed: it seizes the process itself, and leaves it at once, in order.

Threads that were stopped at an int3, or meet one meanwhile, are in the safety handler (`safety`). Those in scratch
memory go on from there; it stays mapped for ever. All that is done in a thread which ends then: with it the kernel lets
go of whoever could not be stopped, since it waited for its child of vfork.
"""

import contextlib
from concurrent.futures import ThreadPoolExecutor

from backend.errors import ProcessGone
from backend.fasttrap.engine import Engine
from backend.fasttrap.loop import HotLoop


def rescue(pid: int) -> None:
    """Undo what a tracer that is dead did to process `pid`. A process that has ended needs nothing; one that somebody
    else traces by now, or that has forbidden it (`dumpable`), is left to its safety handler.
    """
    with ThreadPoolExecutor(1) as thread:
        thread.submit(_seize_and_leave, pid).result()


def _seize_and_leave(pid: int) -> None:
    engine = Engine(HotLoop())
    with contextlib.suppress(ProcessGone, PermissionError):
        engine.attach(pid)
        engine.detach()
