"""The command: arguments and errors to text and exit status. The only file of `dlang` that imports `backend`."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn, TextIO

from backend.choice import Choice
from backend.compilation import Compiled, FailedText, ProgramText, compile_texts
from backend.engine import Engine, Plan, Refusal, SiteCoverage, counting_hits
from backend.errors import (
    CannotGrab,
    CannotInject,
    CommandNotStarted,
    MissingPackage,
    ProcessGone,
    ProcessNotPermitted,
    ProgramTooLarge,
    SeveralProcesses,
    TracerDied,
    VerifierRejected,
)
from backend.probes import Probes, listed_by_default
from backend.serving import EngineOptions, NoEngine, chosen, engine_for, foreseen, growth_of
from backend.session import Session, SessionOptions
from backend.traced import Traced
from dlang.aggregation_store import SortOptions
from dlang.bars import Bars
from dlang.command_line import (
    USAGE,
    VERSION,
    BadPid,
    CommandLine,
    Mode,
    OneLiner,
    OneModeOnly,
    Script,
    TargetCommand,
    TargetPid,
    UsageError,
    parse,
)
from dlang.diagnostics import CompileError, render
from dlang.escape import printable_name
from dlang.items import ProbeName
from dlang.layout import exceeds_buffers
from dlang.names import Macros, Names
from dlang.notices import internal_error
from dlang.options import OptionError, Options, from_environment, set_option, set_while_tracing
from dlang.output import OutputOptions, SetOptions, detailed_listing, listing
from dlang.pragmas import apply_control_lines, line_marks
from dlang.probe_description import Level
from dlang.source import Source, Span
from dlang.symbol_text import AddressNames

if TYPE_CHECKING:
    from backend.growth import Grown

EXIT_ERROR = 1
EXIT_USAGE = 2


class OutputError(Exception):
    """What the program prints could not be written; `reason` is the system's."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Failure(Exception):
    """The run can't go on: `message` is printed behind our name, and the exit status is EXIT_ERROR."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def command() -> NoReturn:
    """Run the command and leave at once: an eighth of a short run's time would go into taking the interpreter apart."""
    if not sys.flags.dev_mode:
        sys.excepthook = _end_by_mistake
    status = main()
    with suppress(OSError):
        sys.stdout.flush()
    os._exit(status)


def main() -> int:
    """Run the command with the process's arguments; returns its exit status."""
    ignored = _ignored_signals()
    try:
        return _run(parse(sys.argv[1:]), ignored)
    except UsageError as error:
        _complain(f"{error}")
        sys.stderr.write("" if isinstance(error, OneModeOnly) else USAGE)
        return EXIT_USAGE
    except BadPid as error:
        _complain(f"{error}")
    except (ProcessGone, ProcessNotPermitted) as error:
        # It has ended while we were still looking at it.
        _discard_output()
        _complain(f"failed to grab process: {error}")
    except Failure as failure:
        _discard_output()
        _complain(failure.message)
    except BrokenPipeError:
        # Whoever read our output has gone.
        _discard_output()
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return EXIT_ERROR


def _end_by_mistake(_kind: type[BaseException], error: BaseException, _trace: TracebackType | None) -> None:
    """Say what has gone wrong with us in a line. For a traceback, set PYTHONDEVMODE=1."""
    _complain(internal_error(error))


def _discard_output() -> None:
    """Give what is still buffered nowhere to go, or Python would fail once more when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _ignored_signals() -> frozenset[int]:
    """Return the signals that we were started with as ignored: a command's process ignores them again."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
    return frozenset(number for number in numbers if signal.getsignal(number) is signal.SIG_IGN)


def _complain(message: str) -> None:
    # Programs, commands and symbols are quoted in messages, and may hold what a terminal would obey.
    sys.stderr.write(f"{_name()}: {printable_name(message)}\n")


def _say_nothing(message: str) -> None:
    """For a quiet run."""


def _name() -> str:
    name = Path(sys.argv[0]).name
    return "dtrap" if name in ("cli.py", "__main__.py") else name


def _run(line: CommandLine, ignored: frozenset[int]) -> int:
    if line.mode is Mode.HELP:
        sys.stdout.write(USAGE)
        return 0
    if line.mode is Mode.VERSION:
        sys.stdout.write(f"{_name()}: {VERSION}\n")
        return 0
    options = _options(line)
    texts = [_text(program, options) for program in line.programs]
    for text in texts:
        options = _with_control_lines(options, text)
    if not texts and line.mode not in (Mode.LIST, Mode.COMPILE_ONLY):
        raise Failure("no probes specified")
    with ExitStack() as stack:
        run = _Run(line, options, Traced(stack), _opened_for_coverage(line, stack))
        run.take_processes(ignored)
        return run.go(texts)


# --- what was asked for -------------------------------------------------------------------------------------


def _options(line: CommandLine) -> Options:
    try:
        options = from_environment(os.environ)
    except OptionError as error:
        raise Failure(f"failed to set option of the environment: {error.message}{_hint(error)}") from None
    for place, (name, value) in enumerate(line.settings):
        try:
            options = set_option(options, name, value)
        except OptionError as error:
            letter = line.short.get(place)
            flag = f"-{letter} {value}" if letter else f"-x {name}"
            raise Failure(f"failed to set {flag}: {error.message}{_hint(error)}") from None
    return options


def _hint(error: OptionError) -> str:
    return f"\n    hint: {error.hint}" if error.hint else ""


def _text(program: OneLiner | Script, options: Options) -> ProgramText:
    match program:
        case OneLiner(level=level, text=text):
            return ProgramText(Source(text), level)
        case Script(path=path):
            try:
                content = Path(path).read_bytes()
            except OSError as error:
                raise Failure(f"failed to open {path}: {os.strerror(error.errno or errno.EIO)}") from None
            if options.cpp:
                content = _preprocessed(content, path, options)
            text = content.decode("utf-8", "surrogateescape")
            return ProgramText(Source(text, path, line_marks(text)), Level.NAME)


def _preprocessed(content: bytes, path: str, options: Options) -> bytes:
    from backend.preprocessor import PreprocessorFailed, preprocess

    try:
        return preprocess(content, path, options.cpppath, options.cpp_arguments)
    except PreprocessorFailed as error:
        hint = f"\n    hint: {error.hint}" if error.hint else ""
        raise Failure(f"failed to compile script {path}: {error}{hint}") from None


def _with_control_lines(options: Options, text: ProgramText) -> Options:
    try:
        return apply_control_lines(options, text.source)
    except CompileError as error:
        raise Failure(render(error.diagnostic, text.source, with_tag=options.errtags)) from None


def _opened_for_coverage(line: CommandLine, stack: ExitStack) -> TextIO | None:
    """Return the file of --coverage=FILE, open and empty: what can't be written is to be known before anything runs."""
    if line.coverage_file is None:
        return None
    try:
        file = open(line.coverage_file, "w", encoding="utf-8")  # noqa: SIM115
    except OSError as error:
        message = os.strerror(error.errno or errno.EIO)
        raise Failure(f"failed to open {line.coverage_file} for write: {message}") from None
    stack.push(_closing(file))
    return file


# --- one run ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Run:
    """What was asked for, and what the run holds on to."""

    line: CommandLine
    options: Options
    traced: Traced
    coverage_file: TextIO | None
    told: set[str] = field(default_factory=set)
    """Why functions that the process has made were left out, as far as it was said."""

    def take_processes(self, ignored: frozenset[int]) -> None:
        """Create or grab the processes that -c and -p name."""
        try:
            for target in self.line.targets:
                match target:
                    case TargetCommand(text=command):
                        self.traced.create(command, ignored, self.options.evaltime)
                    case TargetPid(pid=pid):
                        self.traced.grab(pid)
        except (CommandNotStarted, CannotGrab) as error:
            raise Failure(str(error)) from None

    def go(self, texts: Sequence[ProgramText]) -> int:
        probes = Probes(self.traced.symbols_of, self.options.returns == "uretprobe")
        compiled = self._compile(texts, probes)
        terminal = _Terminal(self._output())
        if self.line.mode is Mode.LIST:
            found = compiled.listed if texts else listed_by_default(probes)
            listed = detailed_listing if self.line.verbose else listing
            terminal.data(listed((number, probes.names[number]) for number in found))
            terminal.flush()
            for description in compiled.unmatched:
                shown = probes.resolved(description, Span(0, 0))
                _complain(f"failed to match {shown}: No probe matches description")
        if self.line.mode in (Mode.LIST, Mode.COMPILE_ONLY):
            if self.line.wants_coverage:
                plan = compiled.plan
                sites = foreseen(plan, self._choice(plan), self.traced, self._engine_options())
                self._report_coverage(sites, probes, traced=False)
            return 0
        if any(compiled.matched) or self.options.zdefs or self.options.empty:
            self._announce(texts, compiled)
        if not any(compiled.matched) and not self.options.zdefs:
            raise Failure("no probes matched")
        if compiled.plan.program.destructive and not self.options.destructive:
            raise Failure("could not enable tracing: Destructive actions not allowed")
        sizes = self.options.bufsize, self.options.aggsize, self.options.dynvarsize
        if exceeds_buffers(compiled.plan.program, *sizes):
            raise Failure("could not enable tracing: Enabling exceeds size of buffer")
        return self._trace(compiled, probes, terminal)

    def _compile(self, texts: Sequence[ProgramText], probes: Probes) -> Compiled:
        options = self.options
        names = Names(
            self._macros(texts),
            options.strsize,
            options.scratchsize,
            stack_frames=options.ustackframes,
            most_frames=options.maxframes,
            most_speculations=options.nspec,
        )
        listing_ = self.line.mode is Mode.LIST
        try:
            compiled = compile_texts(
                texts,
                names,
                probes,
                empty_allowed=self.options.empty,
                zero_allowed=self.options.zdefs or listing_,
            )
            self._read_symbols(names)
            if names.records_addresses and len(self.traced.processes) > 1:
                raise Failure(f"could not enable tracing: {SeveralProcesses(_NO_NAMES)}")
        except FailedText as error:
            raise Failure(
                render(error.diagnostic, error.text.source, with_tag=self.options.errtags)
            ) from None
        return compiled

    def _read_symbols(self, names: Names) -> None:
        """Read the symbols of the process of -p or -c where they are wanted, though no probe of its asked for them."""
        process = self.traced.process
        if names.records_addresses and process is not None and self.line.mode is Mode.RUN:
            # Without them stacks are addresses.
            with suppress(CompileError):
                self.traced.symbols_of(process.pid, Span(0, 0))

    def _macros(self, texts: Sequence[ProgramText]) -> Macros:
        variables = {
            "pid": os.getpid(),
            "ppid": os.getppid(),
            "pgid": os.getpgrp(),
            "sid": os.getsid(0),
            "uid": os.getuid(),
            "euid": os.geteuid(),
            "gid": os.getgid(),
            "egid": os.getegid(),
        }
        if self.traced.process is not None:
            variables["target"] = self.traced.process.pid
        script = next((text.source.name for text in texts if text.source.name is not None), sys.argv[0])
        operands = (script, *self.line.operands)
        return Macros(variables, operands, self.options.defaultargs, self.options.argref)

    def _announce(self, texts: Sequence[ProgramText], compiled: Compiled) -> None:
        if self.options.quiet:
            return
        for text, matched in zip(texts, compiled.matched, strict=True):
            source = text.source
            plural = "" if matched == 1 else "s"
            if source.name is not None:
                shown = f"script '{source.name}'"
            else:
                head = min((i for i in map(source.text.find, "{/;") if i >= 0), default=len(source.text))
                shown = f"description '{source.text[:head]}'"
            _complain(f"{shown} matched {matched} probe{plural}")
        if self.options.destructive:
            _complain("allowing destructive actions")

    # --- tracing

    def _trace(self, compiled: Compiled, probes: Probes, terminal: _Terminal) -> int:
        options = self.options
        session_options = SessionOptions(
            _output_options(options), options.statusrate_ns, options.droptags, _option_setter(options)
        )
        left_out = [
            Refusal(
                ProbeName(f"pid{each.pid}", each.function.object.name, each.function.name, each.name),
                each.reason,
            )
            for each in probes.left_out
        ]
        plan = counting_hits(compiled.plan) if self.line.wants_coverage else compiled.plan
        try:
            engine = self._engine(plan)
            growth = growth_of(plan, compiled.descriptions, probes, self.traced)
            session = Session(plan, engine, session_options, terminal, self._address_names(), growth)
            status = session.run(
                self.traced.processes, lambda refused: self._left_out(left_out, plan, refused), self._grown
            )
        except OutputError as error:
            raise Failure(f"failed to write output: {error.reason}") from None
        except VerifierRejected as error:
            hint = "; split its clauses or expressions (the kernel's words with -v)"
            log = f"\n{error.log}" if self.line.verbose else hint
            raise Failure(f"could not enable tracing: {_REFUSED}{log}") from None
        except BrokenPipeError:
            raise
        except CannotGrab as error:
            raise Failure(str(error)) from None
        except (
            MissingPackage,
            ProcessGone,
            CannotInject,
            ProgramTooLarge,
            SeveralProcesses,
            TracerDied,
        ) as error:
            raise Failure(f"could not enable tracing: {error}") from None
        except OSError as error:
            raise Failure(f"could not enable tracing: {error.strerror or error}") from None
        if self.line.wants_coverage:
            self._report_coverage(engine.coverage(), probes, traced=True)
        return status

    def _address_names(self) -> AddressNames:
        shown = None
        if self.options.demangle:
            from backend.demangling import demangled

            shown = demangled
        return AddressNames(self.traced.names(shown), self.options.noresolve, self.options.stackindent)

    def _engine(self, plan: Plan) -> Engine:
        options = self._engine_options()
        try:
            return engine_for(plan, self._choice(plan), self.traced, options)
        except (VerifierRejected, ProgramTooLarge) as error:
            if options.wanted != "auto":
                raise
            refused = error.reason if isinstance(error, ProgramTooLarge) else _REFUSED
        return engine_for(plan, self._choice(plan, refused), self.traced, options)

    def _choice(self, plan: Plan, refused: str | None = None) -> Choice:
        try:
            choice = chosen(plan, self.traced, self._engine_options(), refused)
        except NoEngine as error:
            raise Failure(f"could not enable tracing: {error.reason}") from None
        if self.line.verbose:
            for reason in choice.reasons:
                _complain(reason)
        return choice

    def _engine_options(self) -> EngineOptions:
        options = self.options
        sizes = options.bufsize, options.aggsize, options.dynvarsize
        tell = _say_nothing if options.quiet else _complain
        return EngineOptions(tell, options.engine, *sizes, singly=options.singly, tier=options.tier)

    def _report_coverage(self, sites: Iterable[SiteCoverage], probes: Probes, *, traced: bool) -> None:
        from backend.coverage import render_json, render_text, tabulate

        table = tabulate(sites, probes.left_out, traced=traced)
        if self.line.coverage_printed:
            sys.stdout.flush()
            _complain(f"coverage\n{render_text(table)}".rstrip("\n"))
        if self.coverage_file is not None:
            try:
                self.coverage_file.write(render_json(table))
                self.coverage_file.flush()
            except OSError as error:
                message = os.strerror(error.errno or errno.EIO)
                raise Failure(f"failed to write {self.line.coverage_file}: {message}") from None

    def _output(self) -> TextIO:
        if self.line.output is None:
            sys.stdout.reconfigure(errors="surrogateescape", line_buffering=False)  # type: ignore[union-attr]
            return sys.stdout
        try:
            file = open(self.line.output, "a", encoding="utf-8", errors="surrogateescape")  # noqa: SIM115
        except OSError as error:
            message = os.strerror(error.errno or errno.EIO)
            raise Failure(f"failed to open output file '{self.line.output}': {message}") from None
        self.traced.stack.push(_closing(file))
        return file

    def _grown(self, grown: Grown, refused: Sequence[Refusal]) -> None:
        """Say what libraries that the process has loaded have brought."""
        if not self.options.quiet and (grown.named or self.line.verbose):
            count = len(grown.sites) - len(refused)
            _complain(f"{', '.join(grown.modules)} loaded: {count} probe{'' if count == 1 else 's'} armed")
        refusals = [*grown.left_out, *refused]
        if not self.line.verbose:
            # A runtime makes functions all the time, and throws many away at once: a reason is worth one line.
            refusals = refusals[:_NAMED] if grown.named else self._untold(refusals)
        for refusal in refusals:
            _complain(f"{printable_name(str(refusal.probe))} left out: {refusal.reason}")

    def _untold(self, refusals: Sequence[Refusal]) -> list[Refusal]:
        """Return one of these for each reason that was not told before."""
        new = {refusal.reason: refusal for refusal in refusals if refusal.reason not in self.told}
        self.told.update(new)
        return list(new.values())

    def _left_out(self, unplaced: Sequence[Refusal], plan: Plan, refused: Sequence[Refusal]) -> None:
        """Say which matched functions are not traced, and why: each by name where they are few, or with -v.

        `unplaced` are in no plan, since there is no place for their probes; `refused` are of the plan's sites.
        """
        refusals = [*unplaced, *refused]
        if not refusals:
            return
        if len(refusals) > _NAMED and not self.line.verbose:
            armed = len(plan.sites) - len(refused)
            _complain(f"{armed} probes armed, {len(refusals)} left out: -v names them and says why")
            return
        for refusal in refusals:
            _complain(f"{printable_name(str(refusal.probe))} left out: {refusal.reason}")


_NO_NAMES = "there are no stacks and no names of addresses"
_REFUSED = "the kernel's verifier refuses the program"
_NAMED = 3
"""Probes left out that are named without being asked for."""


def _output_options(options: Options) -> OutputOptions:
    sort = SortOptions(
        by_key=options.aggsortkey,
        reverse=options.aggsortrev,
        key_position=options.aggsortkeypos,
        aggregation_position=options.aggsortpos,
        bars=_bars(options),
    )
    return OutputOptions(
        options.quiet,
        options.flowindent,
        "_DTRACE_TESTING" in os.environ,
        options.rawbytes,
        options.strsize,
        options.printsize,
        sort,
        options.specsize,
        options.switchrate_ns,
        options.aggrate_ns,
        options.stackindent,
    )


def _bars(options: Options) -> Bars:
    primitive = options.encoding == "ascii" or os.environ.get("TERM") in _PRIMITIVE_TERMINALS
    blocks = options.encoding == "utf8"
    return Bars(options.aggzoom, options.agghist, options.aggpack, blocks, blocks or not primitive)


_PRIMITIVE_TERMINALS = frozenset(["sun", "sun-color", "dumb"])
"""Values of TERM that have illumos draw with letters, if option encoding says nothing."""


def _option_setter(options: Options) -> SetOptions:
    """Return what sets options for setopt(), each on top of the last."""

    def set_one(name: str, value: str | None) -> OutputOptions:
        nonlocal options
        options = set_while_tracing(options, name, value)
        return _output_options(options)

    return set_one


def _closing(file: TextIO) -> Callable[[object, object, object], None]:
    """Return what closes a file whose last write may have failed, which was said when it did."""

    def close(*_: object) -> None:
        with suppress(OSError):
            file.close()

    return close


class _Terminal:
    """backend.session.Terminal on the standard streams, or on the file of -o.

    Keeps data until it is flushed, whatever Python's own buffering: a line of output may be somebody's signal that
    the probes are in place.
    """

    def __init__(self, output: TextIO) -> None:
        self._first = output
        self._output = output
        self._pending: list[str] = []

    def data(self, text: str) -> None:
        self._pending.append(text)

    def notice(self, text: str) -> None:
        self.flush()
        _complain(text)

    def run(self, command: str) -> None:
        import subprocess

        self.flush()
        # A command that fails says so itself.
        subprocess.run(["/bin/sh", "-c", command], stdout=self._output, check=False)

    def redirect(self, path: str) -> None:
        self.flush()
        following = self._first
        if path:
            # Opened before the other is closed: where it can't be, output goes on.
            following = open(path, "a", encoding="utf-8", errors="surrogateescape")  # noqa: SIM115
        if self._output is not self._first:
            self._output.close()
        self._output = following

    def flush(self) -> None:
        try:
            self._output.write("".join(self._pending))
            self._output.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(error.strerror or str(error)) from None
        finally:
            self._pending.clear()


if __name__ == "__main__":
    command()
