"""Who the traced process and dtrap descend from, as words of the state block: what ppid and progenyof() ask."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

from backend.errors import ProcessGone
from backend.linux import procfs
from dlang.layout import ANCESTORS, STATE_CONSUMER_ANCESTORS, STATE_TARGET_ANCESTORS


def ancestor_words(target: int | None) -> Iterator[tuple[int, int]]:
    """Yield offsets in the state block and their values: each list, nearest first, ends with a 0.

    A process that has ended has no more hits to tell its own in.
    """
    yield from _words(STATE_CONSUMER_ANCESTORS, os.getpid())
    if target is not None:
        yield from _words(STATE_TARGET_ANCESTORS, target)


def _words(offset: int, pid: int) -> Iterator[tuple[int, int]]:
    with suppress(ProcessGone):
        for place, ancestor in enumerate([*procfs.ancestors(pid, ANCESTORS - 1), 0]):
            yield offset + 8 * place, ancestor
