"""One round of the soak: a running program is traced, one of its two tracers is killed with SIGKILL, or both are,
and the program is asked how it is.

The tracing side is a fork of this process, without the start-up of the command, so that the kills fall where
they hurt. It attaches, arms every function of libc and the awkward ones of the program, runs, detaches, and
does so again; where it is stands in shared memory. A round waits for the phase that it was told to hit, then
for a random part of that phase's usual length.
"""

import contextlib
import ctypes
import faulthandler
import mmap
import os
import random
import select
import signal
import subprocess
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum, auto
from pathlib import Path
from typing import Final, NoReturn

from backend.errors import TracerDied
from backend.fasttrap.site_batch import Site, SiteBatch
from backend.fasttrap.tracee import signal_set
from backend.fasttrap.tracer import Tracer
from backend.fasttrap.window_planning import Place, plan_windows
from backend.linux import procfs
from backend.linux.procfs import RemoteAddr
from scratch.windows import NoWindow, Window
from tests.fasttrap.tracing import (
    COUNTS_SIZE,
    count_at,
    counts_file,
    function_offsets,
    is_traced,
    libc_of,
    load_address,
    output,
    text_of,
)
from tests.soak.hang import show
from tests.symbols.target import symbols_of

PATIENCE_S: Final = 30.0
"""What takes longer than this hangs."""
RUN_S: Final = 0.03
"""How long the tracing side lets the program run between arming and detaching."""
_LOOK_S: Final = 0.0002


class Phase(IntEnum):
    """What the tracing side is at; its value is the byte in shared memory."""

    STARTING = 0
    ATTACHING = 1
    ARMING = 2
    RUNNING = 3
    DETACHING = 4


class Victim(Enum):
    """Who is killed: the process that the user knows as dtrap, the one that holds the target, or that and then dtrap,
    before it can do anything about it.
    """

    DTRAP = auto()
    TRACER = auto()
    BOTH = auto()


# About how long each phase takes, in seconds: a kill falls anywhere within.
_LENGTH_S: Final = {
    Phase.ATTACHING: 0.01,
    Phase.ARMING: 0.15,
    Phase.RUNNING: RUN_S,
    Phase.DETACHING: 0.02,
}

PLANS: Final = tuple((victim, phase) for victim in Victim for phase in _LENGTH_S)


class TargetHarmed(Exception):
    """The traced program is not what it was before: `what` says how."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


@dataclass(frozen=True, slots=True)
class Target:
    """The traced program (tests/triggers/endless.c), which runs, and what was its own before the first round: its text,
    and which signals it has handlers for (a bit each).
    """

    process: subprocess.Popen[str]
    sites: Sequence[Site]
    files: tuple[Path, ...]
    text: tuple[bytes, ...]
    caught: int


def target_of(process: subprocess.Popen[str], program: Path, *, jumps: bool = False) -> Target:
    """Look at a running program before anything is done to it. With `jumps` sites have them wherever that is safe."""
    libc = libc_of(process.pid)
    addresses = {
        load_address(process.pid, file) + offset
        for file in (libc, program)
        for name, offset in function_offsets(file).items()
        if file == libc or name.startswith("first_")
    }
    files = (program, libc)
    windows = _windows(process.pid, sorted(addresses)) if jumps else {}
    sites = SiteBatch()
    for number, address in enumerate(sorted(addresses)):
        sites.add(address, number, windows.get(address))
    text = tuple(text_of(process.pid, file) for file in files)
    return Target(process, sites, files, text, signal_set(process.pid, "SigCgt:"))


def _windows(pid: int, addresses: Sequence[int]) -> dict[int, Window | NoWindow]:
    found: dict[int, Window | NoWindow] = {}
    with symbols_of(pid) as symbols:
        for loaded in symbols.objects:
            own = [address for address in addresses if loaded.text_at(RemoteAddr(address)) is not None]
            found |= zip(
                own, plan_windows(pid, symbols, Place(loaded, loaded.bias, own), (), print), strict=True
            )
    return found


def survive(target: Target, victim: Victim, phase: Phase, chance: random.Random) -> Phase:
    """Do one round, and return the phase in which the kill really fell. Raises TargetHarmed."""
    shared = mmap.mmap(-1, mmap.PAGESIZE)
    dtrap = os.fork()
    if dtrap == 0:
        _trace_again_and_again(target, shared)
    try:
        _await_phase(shared, phase, dtrap, target.process.pid)
    except TargetHarmed as harmed:
        os.kill(dtrap, signal.SIGKILL)
        os.waitpid(dtrap, 0)
        status = target.process.poll()
        raise harmed if status is None else TargetHarmed(f"it has ended with status {status}") from None
    try:
        time.sleep(chance.uniform(0, _LENGTH_S[phase]))
        hit, tracers = Phase(shared[0]), _tracers(dtrap)
        for pid in {Victim.DTRAP: [dtrap], Victim.TRACER: tracers, Victim.BOTH: [*tracers, dtrap]}[victim]:
            os.kill(pid, signal.SIGKILL)
    finally:
        _end(dtrap, victim, target.process.pid)
    _await_end(tracers, target.process.pid)
    if victim is Victim.BOTH:
        _check_lives(target)
        with Tracer() as next_one:
            next_one.attach(target.process.pid)
            next_one.detach()
    _check_lives(target)
    _check_is_clean(target)
    return hit


# --- the tracing side


def _trace_again_and_again(target: Target, shared: mmap.mmap) -> NoReturn:
    """Attach, arm, run, detach, until killed, or until the tracer is; its death is dealt with as dtrap does."""
    faulthandler.register(signal.SIGUSR2)
    try:
        os.ftruncate(counts_file(), COUNTS_SIZE)
        counts = ctypes.c_uint64.from_buffer(mmap.mmap(counts_file(), COUNTS_SIZE))
        with contextlib.suppress(TracerDied), Tracer() as tracer:
            tracer.load(count_at, ctypes.addressof(counts))
            while True:
                shared[0] = Phase.ATTACHING
                tracer.attach(target.process.pid)
                shared[0] = Phase.ARMING
                tracer.arm(target.sites)
                shared[0] = Phase.RUNNING
                tracer.go()
                if select.select([tracer], [], [], RUN_S)[0]:
                    tracer.look()
                shared[0] = Phase.DETACHING
                tracer.detach()
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        os._exit(0)


# --- the killing side


def _await_phase(shared: mmap.mmap, phase: Phase, dtrap: int, target: int) -> None:
    """Wait until the tracing side enters a phase, or as good as."""
    deadline = time.monotonic() + PATIENCE_S
    while shared[0] != phase:
        if time.monotonic() > deadline:
            show((dtrap, *_tracers(dtrap)), target)
            raise TargetHarmed(f"it is never {phase.name}: stuck {Phase(shared[0]).name}")
        time.sleep(_LOOK_S)


def _tracers(dtrap: int) -> list[int]:
    try:
        return [int(pid) for pid in Path(f"/proc/{dtrap}/task/{dtrap}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def _await_end(tracers: Sequence[int], target: int) -> None:
    """Wait until tracers whose dtrap was killed have ended: one that has not seized the target yet still does."""
    deadline = time.monotonic() + PATIENCE_S
    while any(_runs(tracer) for tracer in tracers):
        if time.monotonic() > deadline:
            show(tracers, target)
            raise TargetHarmed("the tracer does not end")
        time.sleep(_LOOK_S)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _end(dtrap: int, victim: Victim, target: int) -> None:
    """Wait until the tracing side is no more: killed, or after it has looked after the target itself."""
    deadline = time.monotonic() + PATIENCE_S
    while os.waitpid(dtrap, os.WNOHANG)[0] == 0:
        if time.monotonic() > deadline:
            show((dtrap, *_tracers(dtrap)), target)
            os.kill(dtrap, signal.SIGKILL)
            os.waitpid(dtrap, 0)
            raise TargetHarmed(f"after the end of the {victim.name.lower()}, dtrap does not end")
        time.sleep(_LOOK_S)


def _check_lives(target: Target) -> None:
    """Raise TargetHarmed unless the program is untraced, runs, and has computed right so far."""
    deadline = time.monotonic() + PATIENCE_S
    while any(map(is_traced, procfs.threads(target.process.pid))):
        if time.monotonic() > deadline:
            raise TargetHarmed("it is still traced")
        time.sleep(_LOOK_S)
    target.process.send_signal(signal.SIGUSR1)
    if not select.select([output(target.process)], [], [], PATIENCE_S)[0]:
        raise TargetHarmed("it does not answer")
    if not output(target.process).readline().startswith("well "):
        raise TargetHarmed(f"it has ended with status {target.process.wait()}")


def _check_is_clean(target: Target) -> None:
    """Raise TargetHarmed unless the program has its own text and the disposition of SIGTRAP that it has set."""
    # Not at once: uprobes that others set in every process of the machine come and go in libc's text.
    deadline = time.monotonic() + PATIENCE_S
    for file, before in zip(target.files, target.text, strict=True):
        while (now := text_of(target.process.pid, file)) != before:
            if len(now) != len(before):
                raise TargetHarmed(f"it has ended with status {target.process.poll()}")
            if time.monotonic() > deadline:
                changed = [at for at, (old, new) in enumerate(zip(before, now, strict=True)) if old != new]
                raise TargetHarmed(f"{len(changed)} bytes of {file}'s text differ, first at {changed[0]:#x}")
            time.sleep(_LOOK_S)
    if signal_set(target.process.pid, "SigCgt:") != target.caught:
        raise TargetHarmed("it has not the handlers that it has set")
