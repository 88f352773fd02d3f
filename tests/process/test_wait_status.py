"""Every kind of wait status that a seized tracee reports is told apart."""

import signal

import pytest

from backend.linux.wait_status import (
    Event,
    EventStop,
    Exited,
    GroupStop,
    Interrupted,
    Killed,
    SignalStop,
    WaitStatus,
    decode,
)

STOPPED = 0x7F
CORE_DUMPED = 0x80


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        (0, Exited(0)),
        (255 << 8, Exited(255)),
        (signal.SIGKILL, Killed(signal.SIGKILL)),
        (signal.SIGSEGV | CORE_DUMPED, Killed(signal.SIGSEGV)),
        (signal.SIGTRAP << 8 | STOPPED, SignalStop(signal.SIGTRAP)),
        (signal.SIGSTOP << 8 | STOPPED, SignalStop(signal.SIGSTOP)),
        (128 << 16 | signal.SIGTRAP << 8 | STOPPED, Interrupted()),
        (128 << 16 | signal.SIGTSTP << 8 | STOPPED, GroupStop(signal.SIGTSTP)),
        (1 << 16 | signal.SIGTRAP << 8 | STOPPED, EventStop(Event.FORK)),
        (4 << 16 | signal.SIGTRAP << 8 | STOPPED, EventStop(Event.EXEC)),
        (6 << 16 | signal.SIGTRAP << 8 | STOPPED, EventStop(Event.EXIT)),
    ],
)
def test_status_is_decoded(status: int, meaning: WaitStatus) -> None:
    assert decode(status) == meaning


def test_continued_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="0xffff"):
        decode(0xFFFF)
