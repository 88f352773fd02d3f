"""DTrace's options: one row for each, what its value may be, and what dtrap makes of it.

`Options` is what a run looks at. An option comes from the environment, from `-x` on the command line, or from
`#pragma D option` (pragmas.py), in this order; the last one wins. Not here: the flags that are short for
options (command_line.py), and what an option does. Sources: d-language.md §14; the names and the values that
DTrace for Linux 2.0 takes, and those of illumos where it has more.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from dlang.diagnostics import did_you_mean

INVALID_NAME: Final = "Invalid option name"
INVALID_VALUE: Final = "Invalid value for specified option"
ENVIRONMENT_PREFIX: Final = "DTRACE_OPT_"

Engine = Literal["auto", "uprobes", "fasttrap"]
Evaltime = Literal["exec", "preinit", "postinit", "main"]
Returns = Literal["instructions", "uretprobe"]
Tier = Literal["auto", "trap", "jump"]
Value = bool | int | str


class OptionError(Exception):
    """An option that can't be set. `message` is DTrace's where it has one, `hint` dtrap's or empty.

    `value` is None where none was given. The text of the exception is the message.
    """

    def __init__(self, name: str, value: str | None, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.name = name
        self.value = value
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Options:
    """The options that have an effect, with DTrace's defaults.

    Sizes are in bytes (`strsize` counts the end of a string), rates are periods in nanoseconds, where 0 is
    "as data comes". `cpp_arguments` are those of the preprocessor, in their order. `engine`, `returns`, `tier`
    and `singly` are dtrap's own.
    """

    quiet: bool = False
    flowindent: bool = False
    destructive: bool = False
    strsize: int = 256
    scratchsize: int = 4096
    nspec: int = 1
    specsize: int = 4 << 20
    bufsize: int = 4 << 20
    aggsize: int = 4 << 20
    dynvarsize: int = 1 << 20
    aggsortkey: bool = False
    aggsortrev: bool = False
    aggsortkeypos: int = 0
    aggsortpos: int = 0
    agghist: bool = False
    aggpack: bool = False
    aggzoom: bool = False
    encoding: str = ""
    aggrate_ns: int = 0
    switchrate_ns: int = 0
    statusrate_ns: int = 1_000_000_000
    zdefs: bool = False
    cpp: bool = False
    cpppath: str = "cpp"
    cpp_arguments: tuple[str, ...] = ()
    errtags: bool = False
    defaultargs: bool = False
    argref: bool = False
    droptags: bool = False
    empty: bool = False
    stackindent: int = 14
    rawbytes: bool = False
    printsize: int = 1024
    ustackframes: int = 100
    maxframes: int = 127
    noresolve: bool = False
    demangle: bool = False
    evaltime: Evaltime = "postinit"
    engine: Engine = "auto"
    returns: Returns = "instructions"
    tier: Tier = "auto"
    singly: bool = False


# --- values -------------------------------------------------------------------------------------------------

_NUMBER: Final = re.compile(r"[ \t]*\+?(0[xX][0-9a-fA-F]{1,20}|[0-9]{1,30})(.*)", re.DOTALL | re.ASCII)
_LARGEST: Final = (1 << 63) - 1
_STRSIZE: Final = range(2, 1 << 32)
_SIZE_UNITS: Final = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_ON: Final = frozenset(["yes", "true", "on", "set", "enable", "enabled"])
_OFF: Final = frozenset(["", "no", "false", "off", "unset", "disable", "disabled"])
_SECOND_NS: Final = 1_000_000_000
_RATE_UNITS_NS: Final = {
    "": 1,
    "ns": 1,
    "nsec": 1,
    "us": 1_000,
    "usec": 1_000,
    "ms": 1_000_000,
    "msec": 1_000_000,
    "s": _SECOND_NS,
    "sec": _SECOND_NS,
    "m": 60 * _SECOND_NS,
    "min": 60 * _SECOND_NS,
    "h": 3600 * _SECOND_NS,
    "hour": 3600 * _SECOND_NS,
    "d": 86400 * _SECOND_NS,
    "day": 86400 * _SECOND_NS,
}


def _number(text: str | None) -> tuple[int, str] | None:
    """Return the number that `text` starts with, in C's notation (0x16, 020), and the rest in lower case."""
    match = _NUMBER.fullmatch(text or "")
    if match is None:
        return None
    digits = match[1]
    is_octal = len(digits) > 1 and digits[0] == "0" and digits[1] not in "xX"
    if is_octal and not set(digits) <= set("01234567"):
        return None
    return int(digits, 8 if is_octal else 0), match[2].lower()


def _bounded(number: int) -> int | None:
    return number if number <= _LARGEST else None


def _switch(text: str | None) -> bool | None:
    """Return on or off. A number is on, as in DTrace; 0, which is on there too, is refused as ambiguous."""
    word = "yes" if text is None else text.lower()
    if word in _ON or word in _OFF:
        return word in _ON
    return True if _integer(text) else None


def _integer(text: str | None) -> int | None:
    """Return a number from 0; 0 where no value is given, as in DTrace."""
    if text is None:
        return 0
    number = _number(text)
    return _bounded(number[0]) if number is not None and not number[1] else None


def _size(text: str | None) -> int | None:
    number = _number(text)
    if number is None or number[1] not in _SIZE_UNITS:
        return None
    return _bounded(number[0] * _SIZE_UNITS[number[1]])


def _string_size(text: str | None) -> int | None:
    size = _size(text)
    return size if size is not None and size in _STRSIZE else None


def _locked_memory(text: str | None) -> int | None:
    return _LARGEST if text == "unlimited" else _size(text)


def _rate(text: str | None) -> int | None:
    """Return the period in nanoseconds; `10hz` is 100 ms, and no unit means nanoseconds."""
    number = _number(text)
    if number is None:
        return None
    count, unit = number
    if unit == "hz":
        return _SECOND_NS // count if count else 0
    return _bounded(count * _RATE_UNITS_NS[unit]) if unit in _RATE_UNITS_NS else None


_STABILITY: Final = frozenset(
    ["internal", "private", "obsolete", "external", "unstable", "evolving", "stable", "standard"]
)
_CLASSES: Final = frozenset(["unknown", "cpu", "platform", "group", "isa", "common"])


def _attributes(text: str | None) -> str | None:
    """Return a stability of names, one of data and a class of dependencies, of which the last ones may be missing."""
    parts = (text or "").lower().split("/")
    known = (_STABILITY, _STABILITY, _CLASSES)
    fits = len(parts) <= len(known) and all(part in words for part, words in zip(parts, known, strict=False))
    return text if fits else None


def _text(text: str | None) -> str | None:
    return text or None


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of value: `read` returns it, or None for a wrong text; `values` says in words what it takes."""

    read: Callable[[str | None], Value | None]
    values: str


def _one_of(*words: str) -> Kind:
    return Kind(lambda text: text if text in words else None, " or ".join(words))


_SWITCH: Final = Kind(_switch, "no value, yes or no")
_INTEGER: Final = Kind(_integer, "a number from 0")
_SIZE: Final = Kind(_size, "a number of bytes, or one with k, m, g or t")
_STRING_SIZE: Final = Kind(_string_size, "a number of bytes from 2 to 4294967295")
_RATE: Final = Kind(_rate, "a time as 100ms (ns, us, ms, s, m, h, d) or a frequency as 10hz")
_TEXT: Final = Kind(_text, "a value")
_REGISTERS: Final = Kind(
    lambda text: _integer(text) if (_integer(text) or 0) <= 8 else None, "a number from 0 to 8"
)
_ATTRIBUTES: Final = Kind(_attributes, "attributes as Stable/Stable/Common")
_ANY: Final = Kind(lambda text: text or "", "any value")
_FLAG: Final = Kind(lambda text: text is None or None, "no value")


# --- the options --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Effective:
    """An option that dtrap follows: its value becomes `field` of Options."""

    name: str
    kind: Kind
    field: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """An option of the preprocessor: `argument` with the value in it is one more of `cpp_arguments`."""

    name: str
    kind: Kind
    argument: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """An option that changes no result: its value is checked, and nothing comes of it. `reason` says why."""

    name: str
    kind: Kind
    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """An option that would change results, or print something, and is not built; `reason` says what.

    `kind` are the values that DTrace takes; `words` are its own, where it refuses the option as well.
    """

    name: str
    kind: Kind
    reason: str
    words: str = ""


_LIBRARIES: Final = "dtrap reads no D libraries"
_LINKING: Final = "dtrap links no provider definitions (-G is refused)"
_STACKS: Final = "it is for stacks of the kernel or of Java, and a program that records them is refused"
_KERNEL_TYPES: Final = "dtrap knows no types of the kernel"
_OWN_CODE: Final = "DTrace's own intermediate code has it, dtrap's has not"
_PROCESSES: Final = "it bounds what DTrace keeps of processes that come and go"

OPTIONS: Final[tuple[Effective | Preprocessing | Accepted | Refused, ...]] = (
    Effective("agghist", _SWITCH, "agghist", "draw a bar beside each count and sum"),
    Effective("aggpack", _SWITCH, "aggpack", "show distributions in one line"),
    Effective("aggrate", _RATE, "aggrate_ns", "how often aggregations are read"),
    Effective("aggsize", _SIZE, "aggsize", "memory for aggregations"),
    Effective("aggsortkey", _SWITCH, "aggsortkey", "sort aggregations by key"),
    Effective("aggsortkeypos", _INTEGER, "aggsortkeypos", "which part of a key sorts first"),
    Effective("aggsortpos", _INTEGER, "aggsortpos", "which aggregation of a printa() sorts"),
    Effective("aggsortrev", _SWITCH, "aggsortrev", "sort aggregations in reverse"),
    Effective("aggzoom", _SWITCH, "aggzoom", "draw bars in proportion to the longest"),
    Effective("argref", _SWITCH, "argref", "operands may stay unused"),
    Effective("cpp", _SWITCH, "cpp", "scripts go through the C preprocessor"),
    Effective("cpppath", _TEXT, "cpppath", "the preprocessor's program"),
    Effective("bufsize", _SIZE, "bufsize", "memory for records, for each processor"),
    Effective("defaultargs", _SWITCH, "defaultargs", "a missing operand is 0 or an empty string"),
    Effective("demangle", _SWITCH, "demangle", "show functions of C++ and Rust as their source names them"),
    Effective("destructive", _SWITCH, "destructive", "allow destructive actions"),
    Effective("droptags", _SWITCH, "droptags", "show the tags of drops"),
    Effective("dynvarsize", _SIZE, "dynvarsize", "memory for thread-local variables and associative arrays"),
    Effective("empty", _SWITCH, "empty", "a program may be empty"),
    Effective("encoding", _one_of("ascii", "utf8"), "encoding", "characters that bars are drawn with"),
    Effective("engine", _one_of("auto", "uprobes", "fasttrap"), "engine", "what serves the probes"),
    Effective("errtags", _SWITCH, "errtags", "show the tags of errors"),
    Effective(
        "evaltime",
        _one_of("exec", "preinit", "postinit", "main"),
        "evaltime",
        "where the command of -c is held until its probes are in place",
    ),
    Effective("flowindent", _SWITCH, "flowindent", "indent by calls"),
    Effective("maxframes", _INTEGER, "maxframes", "the most frames that a stack can have"),
    Effective("noresolve", _SWITCH, "noresolve", "show stacks as objects and offsets"),
    Effective("nspec", _INTEGER, "nspec", "speculations at one time"),
    Effective("printsize", _SIZE, "printsize", "bytes that print() shows of a value"),
    Effective("quiet", _SWITCH, "quiet", "print only what the program prints"),
    Effective("rawbytes", _SWITCH, "rawbytes", "have trace() show the bytes of a value as a dump"),
    Effective(
        "returns", _one_of("instructions", "uretprobe"), "returns", "where the return of a function is probed"
    ),
    Effective("scratchsize", _SIZE, "scratchsize", "memory for copyin() and alloca() in a clause"),
    Effective("singly", _SWITCH, "singly", "attach uprobes one by one, as on kernels before 6.6"),
    Effective("specsize", _SIZE, "specsize", "memory for what a speculation holds back"),
    Effective("stackindent", _INTEGER, "stackindent", "blanks before a frame of a stack"),
    Effective("statusrate", _RATE, "statusrate_ns", "how often drops are reported"),
    Effective("strsize", _STRING_SIZE, "strsize", "bytes of a string, its end included"),
    Effective("switchrate", _RATE, "switchrate_ns", "how often records are printed"),
    Effective("tier", _one_of("auto", "trap", "jump"), "tier", "how fasttrap serves its probes"),
    Effective("ustackframes", _INTEGER, "ustackframes", "frames of a stack for which no number is given"),
    Effective("zdefs", _SWITCH, "zdefs", "descriptions may match nothing"),
    Preprocessing("cppargs", _TEXT, "{}", "one more argument for the preprocessor"),
    Preprocessing("cpphdrs", _FLAG, "-H", "list the files that the preprocessor includes"),
    Preprocessing("define", _TEXT, "-D{}", "a macro NAME or NAME=TEXT for the preprocessor"),
    Preprocessing("incdir", _TEXT, "-I{}", "a folder where the preprocessor looks for files"),
    Preprocessing("undef", _TEXT, "-U{}", "a macro that the preprocessor forgets"),
    Accepted("aggpercpu", _SWITCH, "dtrap has no interface that shows aggregations by processor"),
    Accepted("amin", _ATTRIBUTES, "dtrap's names have no stability"),
    Accepted("bpflogsize", _SIZE, "the verifier's log is shown whole where it is needed"),
    Accepted(
        "bufpolicy",
        _one_of("switch", "ring", "fill"),
        "whichever is named, dtrap does what switch does, as DTrace 2.0 for Linux",
    ),
    Accepted("bufresize", _one_of("auto", "manual"), "dtrap makes the buffer that was asked for"),
    Accepted("cleanrate", _RATE, "dtrap's variables need no cleaning"),
    Accepted("ctfpath", _TEXT, _KERNEL_TYPES),
    Accepted("debugassert", _TEXT, "it checks DTrace's own code"),
    Accepted("disasm", _INTEGER, "it selects listings of option -S, which is refused"),
    Accepted("iregs", _REGISTERS, _OWN_CODE),
    Accepted("jstackframes", _INTEGER, _STACKS),
    Accepted("jstackstrsize", _SIZE, _STACKS),
    Accepted("kdefs", _SWITCH, _KERNEL_TYPES),
    Accepted("knodefs", _SWITCH, _KERNEL_TYPES),
    Accepted("late", _one_of("dynamic", "static"), "a program with translators is refused"),
    Accepted("lazyload", _SWITCH, _LINKING),
    Accepted("ldpath", _TEXT, _LINKING),
    Accepted("libdir", _TEXT, _LIBRARIES),
    Accepted("linkmode", _one_of("kernel", "dynamic", "static"), _LINKING),
    Accepted("linknommap", _SWITCH, _LINKING),
    Accepted("linktype", _one_of("elf", "dof"), _LINKING),
    Accepted("lockmem", Kind(_locked_memory, f"unlimited, or {_SIZE.values}"), "dtrap locks what it needs"),
    Accepted("modpath", _TEXT, _KERNEL_TYPES),
    Accepted("nolibs", _SWITCH, _LIBRARIES),
    Accepted("pcapsize", _SIZE, "a program that captures packets is refused"),
    Accepted("pgmax", _INTEGER, _PROCESSES),
    Accepted("preallocate", _SIZE, "it is for tests of DTrace itself"),
    Accepted("quietresize", _SWITCH, "dtrap makes the buffer that was asked for"),
    Accepted("stackframes", _INTEGER, _STACKS),
    Accepted("stdc", _one_of("a", "c", "s", "t"), "it chooses a dialect of a preprocessor other than GNU's"),
    Accepted("strip", _SWITCH, _LINKING),
    Accepted("syslibdir", _TEXT, _LIBRARIES),
    Accepted("sysslice", _TEXT, _PROCESSES),
    Accepted("temporal", _SWITCH, "dtrap prints in the order of time"),
    Accepted("tregs", _INTEGER, _OWN_CODE),
    Accepted("udefs", _SWITCH, _KERNEL_TYPES),
    Accepted("unodefs", _SWITCH, _KERNEL_TYPES),
    Accepted("useruid", _INTEGER, _PROCESSES),
    Refused("bpflog", _ANY, "the log of the kernel's verifier"),
    Refused("core", _FLAG, "a core dump at exit"),
    Refused("cpu", _INTEGER, "tracing on one processor"),
    Refused("ctypes", _TEXT, "writing the C types of a program"),
    Refused("debug", _FLAG, "debugging output"),
    Refused("dtypes", _TEXT, "writing the D types of a program"),
    Refused("grabanon", _ANY, "anonymous tracing"),
    Refused("procfspath", _ANY, "another place for /proc"),
    Refused("pspec", _ANY, "names of types as probe descriptions"),
    Refused("setenv", _ANY, "the environment of the command"),
    Refused("tree", _INTEGER, "printing the syntax tree"),
    Refused("unsetenv", _ANY, "the environment of the command"),
    Refused("version", _ANY, "the choice of D's version", "Operation not supported"),
    Refused("verbose", _FLAG, "printing intermediate code"),
)
_BY_NAME: Final = {row.name: row for row in OPTIONS}
_WHILE_TRACING: Final = frozenset(
    [
        "agghist",
        "aggpack",
        "aggrate",
        "aggsortkey",
        "aggsortkeypos",
        "aggsortpos",
        "aggsortrev",
        "aggzoom",
        "flowindent",
        "printsize",
        "quiet",
        "quietresize",
        "rawbytes",
        "stackindent",
        "switchrate",
    ]
)
"""Options that setopt() can set."""


def set_option(options: Options, name: str, value: str | None) -> Options:
    """Return `options` with one more set; `value` is None for a name alone.

    Raises OptionError for an unknown name, a value that the option does not take, and an option that would
    change results but that this version does not have.
    """
    row = _BY_NAME.get(name)
    if row is None:
        raise OptionError(name, value, INVALID_NAME, did_you_mean(name, _BY_NAME))
    read = row.kind.read(value)
    if read is None:
        raise OptionError(name, value, INVALID_VALUE, f"{name} takes {row.kind.values}")
    if isinstance(row, Refused):
        raise OptionError(name, value, row.words or f"not supported by this version of dtrap: {row.reason}")
    if isinstance(row, Accepted):
        return options
    if isinstance(row, Preprocessing):
        return replace(options, cpp_arguments=(*options.cpp_arguments, row.argument.format(value)))
    change: dict[str, Any] = {row.field: read}
    return replace(options, **change)


_BEFORE_PROGRAMS: Final = frozenset(["cpppath", "ctfpath", "ldpath", "modpath", "procfspath", "stdc"])


def refuse_in_program(name: str, value: str | None) -> None:
    """Raise OptionError where a program may not set the option: what it is about has been done by then."""
    if name in _BEFORE_PROGRAMS or isinstance(_BY_NAME.get(name), Preprocessing):
        raise OptionError(name, value, "Option cannot be used from within a D program")


def set_while_tracing(options: Options, name: str, value: str | None) -> Options:
    """Return `options` as setopt() changes them; raises OptionError as `set_option` does, and where it is too late."""
    if name in _BY_NAME and name not in _WHILE_TRACING:
        raise OptionError(name, value, "Operation illegal when tracing is active")
    return set_option(options, name, value)


def from_environment(environ: Mapping[str, str]) -> Options:
    """Return the defaults with the options that DTRACE_OPT_NAME variables set, NAME in upper case.

    An empty value turns a switch off. Raises OptionError as `set_option` does, with the variable before the
    message: DTrace passes over what it can't set there, and so leaves its user in the dark.
    """
    options = Options()
    for variable in sorted(environ):
        if variable.startswith(ENVIRONMENT_PREFIX):
            name = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
            try:
                options = set_option(options, name, environ[variable])
            except OptionError as error:
                message = f"{variable}: {error.message}"
                raise OptionError(name, error.value, message, error.hint) from None
    return options
