"""The arguments of the command, read as getopt(3) of GNU does: flags may be clustered (`-qs FILE`), may have
their argument attached, and may stand behind operands; `--` ends them.

Says what was asked for and checks nothing outside the arguments: cli.py opens files, sets options, finds
processes. `FLAGS` is the one list of flags; the usage text is made from it. Sources: d-language.md §13 and
dtrace(1).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from dlang.escape import printable_name
from dlang.probe_description import Level

VERSION: Final = "dtrap D 0.1.0"


class UsageError(Exception):
    """Arguments that make no sense: exit status 2, the message behind the command's name, USAGE below it."""


class OneModeOnly(UsageError):
    """Two of the flags that say what to do instead of tracing: exit status 2, and no usage below the message."""

    def __init__(self) -> None:
        super().__init__("only one of the [-GhlV] options can be specified at a time")


class BadPid(Exception):
    """The argument of -p is no process number: exit status 1 and no usage, as in dtrace(1)."""

    def __init__(self, text: str) -> None:
        super().__init__(f"invalid pid: {text}")
        self.text = text


class Mode(Enum):
    """What to do with the programs, or instead of them."""

    RUN = auto()
    LIST = auto()
    COMPILE_ONLY = auto()
    VERSION = auto()
    HELP = auto()


@dataclass(frozen=True, slots=True)
class OneLiner:
    """A program on the command line; `level` is what its first description names if it has one field."""

    level: Level
    text: str


@dataclass(frozen=True, slots=True)
class Script:
    """The file of a program, as written."""

    path: str


@dataclass(frozen=True, slots=True)
class TargetPid:
    """A running process; `pid` is positive."""

    pid: int


@dataclass(frozen=True, slots=True)
class TargetCommand:
    """A command to start, as written: words between blanks."""

    text: str


@dataclass(frozen=True, slots=True)
class CommandLine:
    """All that the arguments say.

    `settings` are options by name with their values, in order: those of -x, and those that the flags of
    FLAGS are short for. `targets` are the processes of -p and -c, in order. `operands` are $1 and so on. With Mode.LIST
    descriptions may match nothing.
    `short` has the letters of flags other than -x, by the place of what they set in `settings`.
    `coverage_printed` and `coverage_file` are for --coverage and --coverage=FILE.
    """

    mode: Mode
    programs: tuple[OneLiner | Script, ...]
    settings: tuple[tuple[str, str | None], ...]
    targets: tuple[TargetPid | TargetCommand, ...]
    operands: tuple[str, ...]
    output: str | None
    verbose: bool
    coverage_printed: bool = False
    coverage_file: str | None = None
    short: Mapping[int, str] = field(default_factory=dict)

    @property
    def wants_coverage(self) -> bool:
        return self.coverage_printed or self.coverage_file is not None


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag: its letter, the name of its argument (empty: it takes none), what it does in a few words."""

    letter: str
    argument: str
    meaning: str


FLAGS: Final = (
    Flag("b", "SIZE", "memory for records, for each processor (option bufsize)"),
    Flag("c", "COMMAND", "start COMMAND, trace it, end with it; it is $target"),
    Flag("C", "", "run scripts through the C preprocessor (option cpp)"),
    Flag("D", "NAME[=TEXT]", "define a macro for -C (option define)"),
    Flag("e", "", "stop after compiling"),
    Flag("f", "PROGRAM", "trace functions: [[PROVIDER:]MODULE:]FUNCTION [[/PREDICATE/] { ACTIONS }]"),
    Flag("F", "", "indent by calls (option flowindent)"),
    Flag("h", "", "show this text"),
    Flag("H", "", "list the files that -C includes (option cpphdrs)"),
    Flag("i", "PROGRAM", "trace a probe by its number: ID [[/PREDICATE/] { ACTIONS }]"),
    Flag("I", "FOLDER", "look for included files in FOLDER (option incdir)"),
    Flag("l", "", "list the probes that match, instead of tracing them"),
    Flag("m", "PROGRAM", "trace modules: [PROVIDER:]MODULE [[/PREDICATE/] { ACTIONS }]"),
    Flag("n", "PROGRAM", "trace probes: [[[PROVIDER:]MODULE:]FUNCTION:]NAME [[/PREDICATE/] { ACTIONS }]"),
    Flag("o", "FILE", "append what the program prints to FILE"),
    Flag("p", "PID", "trace the running process PID; it is $target; of several the first"),
    Flag("P", "PROGRAM", "trace providers: PROVIDER [[/PREDICATE/] { ACTIONS }]"),
    Flag("q", "", "print only what the program prints (option quiet)"),
    Flag("s", "FILE", "run the script FILE; a script may start with #!/path/to/dtrap -s"),
    Flag("U", "NAME", "forget a macro of -C (option undef)"),
    Flag("v", "", "say more: which functions are left out; with -l, what probes promise"),
    Flag("V", "", "show the version"),
    Flag("w", "", "allow destructive actions (option destructive)"),
    Flag("x", "NAME[=VALUE]", "set an option"),
    Flag("X", "a|c|s|t", "the dialect of C for -C, as dtrace(1) has it (option stdc)"),
    Flag("Z", "", "allow descriptions that match nothing (option zdefs)"),
)
_BY_LETTER: Final = {flag.letter: flag for flag in FLAGS}
# Flags of dtrace(1) that would change what happens: refused, never passed over.
_NOT_SUPPORTED: Final = frozenset("aABGLS")
_PID: Final = re.compile(r"0*[1-9][0-9]{0,9}", re.ASCII)


def _usage() -> str:
    width = max(len(flag.argument) for flag in FLAGS)
    lines = [f"  -{flag.letter} {flag.argument:<{width}}  {flag.meaning}" for flag in FLAGS]
    return "\n".join(
        [
            "Usage: dtrap [-CeFHlqvwZ] [-b SIZE] [-o FILE] [-x NAME[=VALUE]]... [-p PID]... [-c COMMAND]",
            "             [-n PROGRAM | -f PROGRAM | -m PROGRAM | -P PROGRAM | -i PROGRAM | -s FILE]...",
            "             [-D NAME[=TEXT]]... [-U NAME]... [-I FOLDER]... [-X a|c|s|t]",
            "             [--coverage[=FILE]] [OPERAND]...",
            "",
            *lines,
            "  --coverage[=FILE]  say how each site is served and how often it was hit; to FILE, as JSON",
            "",
            "Operands are $1, $2, ... in the programs. For example, count the calls of every libc function:",
            "  dtrap -n 'pid$target:libc.so.6::entry { @[probefunc] = count(); }' -c 'ls -R /usr/share'",
            "",
        ]
    )


USAGE: Final = _usage()


@dataclass(slots=True)
class _Draft:
    """What has been read so far."""

    modes: set[Mode] = field(default_factory=set)
    compile_only: bool = False
    verbose: bool = False
    programs: list[OneLiner | Script] = field(default_factory=list)
    settings: list[tuple[str, str | None]] = field(default_factory=list)
    targets: list[TargetPid | TargetCommand] = field(default_factory=list)
    output: str | None = None
    operands: list[str] = field(default_factory=list)
    coverage_printed: bool = False
    coverage_file: str | None = None
    short: dict[int, str] = field(default_factory=dict)


def parse(argv: Sequence[str]) -> CommandLine:
    """Return what the arguments ask for; `argv` is without the program's name.

    Raises UsageError, and BadPid for a wrong argument of -p.
    """
    if not argv:
        raise UsageError("nothing to trace: give a program with -n or -s")
    draft = _Draft()
    waiting = iter(argv)
    for word in waiting:
        if word == "--":
            draft.operands.extend(waiting)
        elif word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            _long_flag(draft, name, value if equals else None)
        elif word == "-32":
            raise UsageError("option -32 is not supported by this version: only 64-bit processes are traced")
        elif word.startswith("-") and word not in ("-", "-64"):
            _cluster(draft, word, waiting)
        elif word != "-64":
            draft.operands.append(word)
    return _finished(draft)


def _cluster(draft: _Draft, word: str, waiting: Iterator[str]) -> None:
    """Read the flags of one word; the argument of the last one is the rest of the word, or the next word."""
    for position, letter in enumerate(word[1:], 2):
        if letter in _NOT_SUPPORTED:
            raise UsageError(f"option -{letter} is not supported by this version")
        flag = _BY_LETTER.get(letter)
        if flag is None:
            raise UsageError(f"invalid option -- '{printable_name(letter)}'")
        if not flag.argument:
            _switch(draft, letter)
            continue
        argument = word[position:] or next(waiting, None)
        if argument is None:
            raise UsageError(f"option requires an argument -- '{letter}'")
        _with_argument(draft, letter, argument)
        return


def _switch(draft: _Draft, letter: str) -> None:
    match letter:
        case "C":
            draft.settings.append(("cpp", None))
        case "e":
            draft.compile_only = True
        case "F":
            draft.settings.append(("flowindent", None))
        case "H":
            draft.settings.append(("cpphdrs", None))
        case "h":
            draft.modes.add(Mode.HELP)
        case "l":
            draft.modes.add(Mode.LIST)
        case "q":
            draft.settings.append(("quiet", None))
        case "v":
            draft.verbose = True
        case "V":
            draft.modes.add(Mode.VERSION)
        case "w":
            draft.settings.append(("destructive", None))
        case "Z":
            draft.settings.append(("zdefs", None))
        case _:
            raise AssertionError(f"flag -{letter} without a meaning")


def _with_argument(draft: _Draft, letter: str, argument: str) -> None:
    match letter:
        case "b":
            draft.short[len(draft.settings)] = letter
            draft.settings.append(("bufsize", argument))
        case "c":
            draft.targets.append(TargetCommand(argument))
        case "D":
            draft.settings.append(("define", argument))
        case "f":
            draft.programs.append(OneLiner(Level.FUNCTION, argument))
        case "I":
            draft.settings.append(("incdir", argument))
        case "i" | "n":
            # A number alone is a probe ID wherever a name may stand, so -i asks for nothing of its own.
            draft.programs.append(OneLiner(Level.NAME, argument))
        case "m":
            draft.programs.append(OneLiner(Level.MODULE, argument))
        case "o":
            draft.output = argument
        case "p":
            draft.targets.append(_target_pid(argument))
        case "P":
            draft.programs.append(OneLiner(Level.PROVIDER, argument))
        case "s":
            draft.programs.append(Script(argument))
        case "U":
            draft.settings.append(("undef", argument))
        case "X":
            draft.short[len(draft.settings)] = letter
            draft.settings.append(("stdc", argument))
        case "x":
            name, equals, value = argument.partition("=")
            draft.settings.append((name, value if equals else None))
        case _:
            raise AssertionError(f"flag -{letter} without a meaning")


def _long_flag(draft: _Draft, name: str, value: str | None) -> None:
    """Read one `--NAME[=VALUE]`: the only place that knows them."""
    match name:
        case "coverage" if value is None:
            draft.coverage_printed = True
        case "coverage":
            if not value:
                raise UsageError("option '--coverage=' requires a file name behind it")
            draft.coverage_file = value
            return
        case "help":
            draft.modes.add(Mode.HELP)
        case "version":
            draft.modes.add(Mode.VERSION)
        case _:
            raise UsageError(f"unrecognized option '--{printable_name(name)}'")
    if value is not None:
        raise UsageError(f"option '--{name}' doesn't allow an argument")


def _target_pid(text: str) -> TargetPid:
    """Return the process of -p. Blanks around the number are allowed: `pgrep` and `ps` print some."""
    if _PID.fullmatch(text.strip()) is None:
        raise BadPid(printable_name(text))
    return TargetPid(int(text))


def _finished(draft: _Draft) -> CommandLine:
    if len(draft.modes) > 1:
        raise OneModeOnly
    if Mode.HELP in draft.modes and draft.programs:
        raise UsageError("option -h with a program, which writes a header, is not supported by this version")
    if sum(isinstance(target, TargetCommand) for target in draft.targets) > 1:
        raise UsageError("more than one command (-c) is not supported by this version")
    mode = next(iter(draft.modes), Mode.COMPILE_ONLY if draft.compile_only else Mode.RUN)
    return CommandLine(
        mode,
        tuple(draft.programs),
        tuple(draft.settings),
        tuple(draft.targets),
        tuple(draft.operands),
        draft.output,
        draft.verbose,
        draft.coverage_printed,
        draft.coverage_file,
        draft.short,
    )
