"""The tracer: a process of its own that runs the engine, and dtrap's handle on it.

Why a process: whoever kills dtrap (SIGKILL, out of memory, Ctrl-C twice) kills the process that the user
started, and not this one. It notices at once (its end of the connection reads end of file), takes the int3s
away, and lets the target go: no moment of an attachment, a system call being injected, or a hit is left
half done. The other way round, dtrap looks after the target when the tracer is killed (`guardian`). It is
forked, not executed anew, so that compiled clauses are at the same addresses in both; what they write must
lie in memory shared before the fork.

The connection carries requests (a method's name and arguments), their replies in order, and in between what
has happened to the target. The tracer is in a process group of its own, so that the terminal's signals
reach dtrap and the target only, as if it were not there.
"""

import contextlib
import gc
import os
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from multiprocessing.connection import Connection, Pipe
from typing import Any, NoReturn, TypeVar

from backend.command_start import create
from backend.errors import CannotGrab, NoSuchProcess, ProcessGone, TraceeEnded, TracerDied
from backend.fasttrap import guardian
from backend.fasttrap.engine import Called, Ended, Engine, Executed, Happening, Loaded, NativeClauses
from backend.fasttrap.loop import HotLoop
from backend.fasttrap.process import Installed, Loads
from backend.fasttrap.site_batch import Site, SiteBatch
from backend.fasttrap.tracepoints import Outcome
from backend.linux import heap, interruption, pidfd, prctl
from backend.target_process import Created, not_permitted
from dlang.notices import internal_error

T = TypeVar("T")

LOOK_UP_S = 0.05
"""How often the tracer looks at its connection even if the signal that calls it was lost between two
instructions.
"""


class Tracer:
    """dtrap's end: every method is a request to the tracer's process, done when it returns.

    Raises TracerDied if that process is gone, after doing what was left to be done for the target
    (`guardian`).
    """

    def __init__(self) -> None:
        """Start the process."""
        self._connection, other = Pipe()
        self.pid = 0
        self._group = os.getpgrp()
        self.has_created = False
        self._happenings: list[Happening] = []
        self._has_process = False
        self.killed_by: int | None = None
        """The signal that the process has died of, once that is known."""
        self.changed: list[int] = []
        """Identifiers of sites that were given up, since the program, or another tool, has changed the code there;
        whoever looks takes them.
        """
        self.disarmed = False
        """Whether traps have been lost to a child of the process; whoever looks takes it back."""
        self.moved: Callable[[str], None] = _stay
        """Called with the path of the file that the clauses' memory is in from then on."""
        # What there is now stays, and both processes have it in common as long as nobody writes to it: not even a
        # collector of garbage.
        gc.freeze()
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _TERMINAL_SIGNALS)
        self._process = os.fork()
        if self._process == 0:
            _run(self._connection, other, mask)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        other.close()

    def __enter__(self) -> "Tracer":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def fileno(self) -> int:
        """Return a descriptor that polls readable when something has happened, or the tracer has died."""
        return self._connection.fileno()

    def create(self, command: str, ignored_signals: frozenset[int] = frozenset()) -> int:
        """Start a program and hold it at its entry point; return its pid. Raises CommandNotStarted.

        It is the tracer's child, in our process group. See target_process.create.
        """
        self.pid = self._request("create", command, ignored_signals, self._group)
        self.has_created = self._has_process = True
        return self.pid

    def attach(self, pid: int) -> None:
        """Seize and hold a running process. Raises NoSuchProcess, NotPermitted."""
        self.pid = pid
        self._has_process = True
        try:
            self._request("attach", pid)
        except CannotGrab:
            self._has_process = False
            raise

    def look_after(self, pid: int) -> None:
        """End a process that we have started and stopped, should we end before we let it `go`: nobody else would."""
        self._request("look_after", pid)

    def load(self, loader: Callable[[T], NativeClauses], image: T) -> None:
        """Have `loader(image)` called there, and every hit call the clauses that it returns. Due before
        `arm`.

        `loader` is a module's function and `image` can be pickled; both sides' memory is shared by what it
        says.
        """
        self._request("load", loader, image)

    def process(self) -> "TracedProcess":
        """Return the created or attached process as the session knows processes; the caller closes it."""
        return TracedProcess(self, self.pid)

    def hold(self) -> None:
        """Stop every thread of the process, to arm more sites."""
        self._request("hold")

    def watch_loads(self, breakpoint_: int, state: int) -> None:
        """From the next `arm` on tell (Loaded) when the process has loaded libraries; see backend.link_map."""
        self._request("watch_loads", breakpoint_, state)

    def arm(self, sites: Iterable[Site], *, traps: bool = True) -> Sequence[Outcome]:
        """Arm sites in the held process; see Engine.arm. Raises CannotInject; and ProcessGone if it is killed, or
        executes another program: `go`, and it is told which.
        """
        outcomes: Sequence[Outcome] = self._request(
            "arm", sites if isinstance(sites, SiteBatch) else SiteBatch(sites), traps
        )
        return outcomes

    def go(self) -> None:
        """Let the held process run."""
        self._request("go")

    def hits(self) -> dict[int, int]:
        """Return how often each site was hit, by identifier; sites never hit are left out."""
        hits: dict[int, int] = self._request("hits")
        return hits

    @property
    def has_gone(self) -> bool:
        """Whether the process has ended, or is held at the beginning of another program: `happening` tells it."""
        return any(isinstance(happening, Ended | Executed) for happening in self._happenings)

    def happening(self) -> Happening:
        """Return what has happened next, waiting for it: Ended, Executed (held at its new entry point,
        disarmed) or Loaded (held).
        """
        while not self._happenings:
            self._receive()
        return self._happenings.pop(0)

    def look(self) -> Happening | None:
        """Take the next thing that the tracer says, waiting for it; return what has happened, if it says so."""
        if not self._happenings:
            self._receive()
        return self._happenings.pop(0) if self._happenings else None

    def detach(self) -> None:
        """Disarm everything and let the process go."""
        self._request("detach")
        self._has_process = False

    def close(self) -> None:
        """End the tracer's process, which detaches first if need be, and wait for it."""
        self._connection.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._process, 0)

    def _rescue(self) -> None:
        """The tracer is dead: do for the process what it can't do any more."""
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._process, 0)
        if self._has_process:
            self._has_process = False
            guardian.rescue(self.pid)

    def _request(self, name: str, *arguments: object) -> Any:
        try:
            self._connection.send((name, arguments))
        except OSError:
            self._rescue()
            raise TracerDied(self.pid) from None
        while True:
            reply = self._receive()
            if reply is not None:
                return reply[0]

    def _receive(self) -> tuple[Any] | None:
        """Take one message: return a reply's value in a tuple, or queue what has happened and return None."""
        try:
            message = self._connection.recv()
        except (EOFError, OSError):
            self._rescue()
            raise TracerDied(self.pid) from None
        match message:
            case ("reply", value):
                return (value,)
            case ("error", kind, arguments, fields):
                error: Exception = kind.__new__(kind, *arguments)
                error.__dict__.update(fields)
                raise error
            case ("moved", path):
                try:
                    self.moved(path)
                except FileNotFoundError:  # it is a file of the tracer's
                    self._rescue()
                    raise TracerDied(self.pid) from None
            case ("disarmed",):
                self.disarmed = True
            case ("changed", identifiers):
                self.changed += identifiers
            case ("happening", happening):
                if isinstance(happening, Ended):
                    self.killed_by = happening.signal
                self._has_process = isinstance(happening, Executed | Loaded)
                self._happenings.append(happening)
        return None


def _stay(path: str) -> None:
    """Where nothing shares the clauses' memory."""


class TracedProcess:
    """A TargetProcess in the tracer's hands: what releases it is the tracer's `go`."""

    def __init__(self, tracer: Tracer, pid: int) -> None:
        self._tracer = tracer
        self.pid = pid
        self._descriptor = pidfd.open_process(pid)

    def fileno(self) -> int:
        return self._descriptor

    def alive(self) -> bool:
        return not pidfd.ended(self._descriptor)

    def killed_by(self) -> int | None:
        """What the tracer was told, which is its parent or stands before it."""
        return self._tracer.killed_by or pidfd.killed_by(self._descriptor)

    def release(self) -> None:
        """Let it run."""
        self._tracer.go()

    def finish(self) -> None:
        """End it if it was created for this run."""
        if self._tracer.has_created:
            pidfd.kill(self._descriptor)

    def close(self) -> None:
        """Let go of it; the tracer has its own hold on it."""
        os.close(self._descriptor)


# --- the other side ------------------------------------------------------------------------------------


def _run(mine: Connection, connection: Connection, mask: set[signal.Signals | int]) -> NoReturn:
    """Be the tracer: serve requests and hits until dtrap closes its end of the connection, by will or by
    death. `mask` is what was blocked before the terminal's signals were.
    """
    try:
        mine.close()
        os.setpgid(0, 0)
        prctl.set_name("fasttrap")
        ignored = _settle_signals(mask)
        # Kept until the end: signal handlers are in its memory.
        service = _Service(connection, ignored)
        service.run()
    except BaseException as error:
        # Nobody is left to raise it to: dtrap learns of our end, the user of the reason.
        sys.stderr.write(f"dtrap: {internal_error(error)}\n")
        raise
    finally:
        os._exit(0)


_TERMINAL_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def _settle_signals(mask: set[signal.Signals | int]) -> frozenset[int]:
    """Let no signal but SIGKILL end us before the target is whole; return those that were ignored. Those that call us
    come, whether dtrap was started with them blocked or not.
    """
    ignored = frozenset(number for number in _TERMINAL_SIGNALS if signal.getsignal(number) is signal.SIG_IGN)
    for number in _TERMINAL_SIGNALS:
        signal.signal(number, _pass)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask - {signal.SIGALRM, signal.SIGIO})
    return ignored


def _pass(number: int, frame: object) -> None:
    """Do nothing: whoever sends such a signal means dtrap, which gets it as well and ends us by closing."""


class _Service:
    """The requests, each a method, and the loop that they alternate with."""

    def __init__(self, connection: Connection, ignored: frozenset[int]) -> None:
        self._connection = connection
        self._ignored = ignored
        loop = HotLoop()
        self._engine = Engine(loop)
        self._created: Created | None = None
        self._looked_after: int | None = None
        """A descriptor of the process."""
        self._state = "idle"
        self._announced: Installed | None = None
        handler = loop.attention_handler(self._engine.control)
        for number in (signal.SIGALRM, signal.SIGIO):
            interruption.interrupt_calls(number, handler)
        interruption.signal_when_readable(connection.fileno())
        signal.setitimer(signal.ITIMER_REAL, LOOK_UP_S, LOOK_UP_S)

    # What dtrap may ask for.

    def create(self, command: str, ignored: frozenset[int], process_group: int) -> int:
        """See Tracer.create."""
        self._created = create(command, ignored | self._ignored, process_group)
        self._engine.adopt(self._created.hand_over())
        self._state = "held"
        return self._created.pid

    def attach(self, pid: int) -> None:
        """See Tracer.attach."""
        try:
            self._engine.attach(pid)
        except (ProcessGone, TraceeEnded, ProcessLookupError):
            raise NoSuchProcess(pid) from None
        except PermissionError:
            raise not_permitted(pid) from None
        self._state = "held"

    def look_after(self, pid: int) -> None:
        """See Tracer.look_after."""
        self._looked_after = pidfd.open_process(pid)

    def load(self, loader: Callable[[Any], NativeClauses], image: object) -> None:
        """See Tracer.load."""
        self._engine.use(loader(image))

    def hold(self) -> None:
        """See Tracer.hold."""
        if self._state == "running":
            self._engine.hold()
            self._state = "held"

    def watch_loads(self, breakpoint_: int, state: int) -> None:
        """See Tracer.watch_loads."""
        self._engine.process.loads = Loads(breakpoint_, state)

    def arm(self, sites: SiteBatch, traps: bool) -> Sequence[Outcome]:
        """See Tracer.arm. If the clauses' memory has moved, dtrap is told before it goes on."""
        try:
            return self._engine.arm(sites, traps=traps)
        except (TraceeEnded, ProcessLookupError):  # the thread in whose name calls are made has been killed
            raise ProcessGone(self._engine.process.pid) from None
        finally:
            installed = self._engine.process.installed
            if installed is not None and installed is not self._announced:
                if self._announced is not None:  # of the program before, whose counts were needed up to now
                    self._announced.close()
                self._announced = installed
                self._connection.send(("moved", f"/proc/{os.getpid()}/fd/{installed.memory_fd}"))

    def go(self) -> None:
        """See Tracer.go."""
        self._state = "running"
        self._looked_after = None
        happening = self._engine.go()
        self._tell_changed()
        heap.give_back_freed()
        if happening is not None:
            self._tell(happening)

    def hits(self) -> dict[int, int]:
        """See Tracer.hits."""
        table = self._engine.process.tracepoints.table
        return {
            identifier: hits for identifier, hits in zip(table.identifiers, table.hits, strict=True) if hits
        }

    def detach(self) -> None:
        """See Tracer.detach. A program of ours that never ran ends; it would run on without what it was
        started for.
        """
        if self._created is not None and self._state == "held" and not self._engine.released:
            self._created.finish()
        elif self._state != "idle":
            self._engine.detach()
            with contextlib.suppress(OSError):  # dtrap may have ended
                self._tell_changed()
        self._state = "idle"

    def run(self) -> None:
        """Serve until the other end of the connection is closed, then let the process go."""
        try:
            while self._serve_request():
                pass
        finally:
            if self._looked_after is not None:
                pidfd.kill(self._looked_after)
            self.detach()

    def _serve_request(self) -> bool:
        """Serve one request, and hits until it comes; False if there will be none any more."""
        try:
            while self._state == "running" and not self._connection.poll(0):
                self._serve_hits()
            try:
                name, arguments = self._connection.recv()
            except OSError:  # in the middle of a request
                return False
            self._answer(name, arguments)
        except (EOFError, ConnectionError):
            return False
        return True

    def _serve_hits(self) -> None:
        happening = self._engine.serve()
        self._tell_changed()
        if not isinstance(happening, Called):
            self._tell(happening)

    def _tell_changed(self) -> None:
        if changed := self._engine.take_changed():
            self._connection.send(("changed", changed))
        if self._engine.take_disarmed():
            self._connection.send(("disarmed",))

    def _tell(self, happening: Happening) -> None:
        if isinstance(happening, Loaded):
            self._engine.hold()
        self._state = "held" if isinstance(happening, Executed | Loaded) else "idle"
        self._connection.send(("happening", happening))

    def _answer(self, name: str, arguments: Sequence[Any]) -> None:
        try:
            value = getattr(self, name)(*arguments)
        except Exception as error:  # noqa: BLE001 - raised again where the request was made
            self._connection.send(("error", type(error), error.args, getattr(error, "__dict__", {})))
        else:
            self._connection.send(("reply", value))
