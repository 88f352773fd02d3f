"""D's actions and subroutines, a row each: name, parameters, one line of what it does (DTrace guide, "Actions
and Subroutines"; d-language.md §8). Aggregating functions are in aggregations.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NoReturn

from dlang.diagnostics import fail
from dlang.source import Span
from dlang.types import (
    CHAR,
    INT,
    STRING,
    TYPEDEFS,
    VOID,
    VOID_POINTER,
    IntegerType,
    PointerType,
    RecordType,
    StringType,
    Type,
    VoidType,
    is_text,
)


@dataclass(frozen=True, slots=True)
class Parameter:
    """`text` is the parameter's type as DTrace's prototypes write it; `type` what the argument is converted to."""

    text: str
    accepts: Callable[[Type], bool]
    type: Type | None = None

    @property
    def is_pointer(self) -> bool:
        """Whether a pointer is taken, so that 0 is one as well."""
        return self.accepts(VOID_POINTER) and not isinstance(self.type, StringType)


@dataclass(frozen=True, slots=True)
class Function:
    """An action or subroutine; `required` of its parameters must be given. `summary` is for the reference.

    `result` is a subroutine's type; None for an action. `destructive` ones need option destructive.
    """

    name: str
    parameters: tuple[Parameter, ...]
    required: int
    summary: str
    variadic: bool = False
    result: Type | None = None
    destructive: bool = False

    def check_count(self, given: int, span: Span) -> None:
        """Raise D_PROTO_LEN where the number of arguments doesn't fit."""
        most = len(self.parameters)
        if given < self.required or (given > most and not self.variadic):
            argument_count(f"{self.name}( )", given, self.required, None if self.variadic else most, span)


def argument_count(
    name: str, given: int, least: int, most: int | None, span: Span, word: str = "arg"
) -> NoReturn:
    """Raise D_PROTO_LEN in DTrace's words; `most` is None where there is no upper limit."""
    bound = "" if least == most else "at least " if given < least else "at most "
    expected = least if given < least or most is None else most
    plural = "" if given == 1 else "s"
    message = f"{name} prototype mismatch: {given} {word}{plural} passed, {bound}{expected} expected"
    fail("D_PROTO_LEN", span, message)


def prototype_mismatch(
    name: str, number: int, wanted: str, given: Type, span: Span, word: str = "argument"
) -> NoReturn:
    """Raise D_PROTO_ARG in DTrace's three lines."""
    lines = f"{name} {word} #{number} is incompatible with prototype:\n\tprototype: {wanted}\n\t{word:>9}: {given}"
    fail("D_PROTO_ARG", span, lines)


def _is_integer(type_: Type) -> bool:
    return isinstance(type_, IntegerType)


def _is_address(type_: Type) -> bool:
    return isinstance(type_, IntegerType | PointerType)


def _is_pointer(type_: Type) -> bool:
    return isinstance(type_, PointerType)


def _anything(_: Type) -> bool:
    return True


_ADDRESS: Final = Parameter("uintptr_t", _is_address)
_SIZE: Final = Parameter("size_t", _is_integer)
_INT: Final = Parameter("int", _is_integer, INT)
_POINTER: Final = Parameter("void *", _is_pointer)
_SOURCE: Final = Parameter("void *", lambda type_: _is_pointer(type_) or isinstance(type_, StringType))
_TEXT: Final = Parameter("char *", is_text, STRING)
_AGGREGATION: Final = Parameter("@", _anything)
_CHARACTER: Final = Parameter("char", _is_integer, CHAR)
_FRAMES: Final = Parameter("uint32_t", _is_integer)
_PROCESS: Final = Parameter("pid_t", _is_integer, TYPEDEFS["pid_t"])
_DEVICE: Final = Parameter("dev_t", _is_integer, TYPEDEFS["dev_t"])
_USER_ADDRESS: Final = Parameter("uintptr_t", _is_address)
_UINT16, _UINT32, _UINT64, _INT64 = (
    Parameter(name, _is_integer, TYPEDEFS[name]) for name in ("uint16_t", "uint32_t", "uint64_t", "int64_t")
)


def _pointer(text: str) -> Parameter:
    """Return a parameter that points to memory of the firing's own, whatever its type."""
    return Parameter(text, _is_pointer, VOID_POINTER)


def _is_ipv6_address(type_: Type) -> bool:
    target = type_.target if isinstance(type_, PointerType) else None
    return isinstance(target, VoidType) or (isinstance(target, RecordType) and target.tag == "in6_addr")


_IPV6_ADDRESS: Final = Parameter("struct in6_addr *", _is_ipv6_address, VOID_POINTER)


def _text(name: str, summary: str, *parameters: Parameter, required: int | None = None) -> Function:
    """Return the row of a subroutine whose result is a string."""
    least = len(parameters) if required is None else required
    return Function(name, parameters, least, summary, result=STRING)


def _number(
    name: str, type_: Type, summary: str, *parameters: Parameter, required: int | None = None
) -> Function:
    """Return the row of a subroutine whose result is a number."""
    least = len(parameters) if required is None else required
    return Function(name, parameters, least, summary, result=type_)


def _destructive(name: str, summary: str, *parameters: Parameter, variadic: bool = False) -> Function:
    """Return the row of an action that needs option destructive."""
    return Function(name, parameters, len(parameters), summary, variadic, destructive=True)


RECORDING: Final = frozenset(["ustack", "uaddr", "usym", "ufunc", "umod"])
"""Actions that are also keys of aggregations."""

ACTIONS: Final = {
    row.name: row
    for row in (
        Function("trace", (Parameter("@", _anything),), 1, "prints one value"),
        Function("tracemem", (Parameter("@", _anything), _SIZE, _SIZE), 2, "prints memory in hexadecimal"),
        Function(
            "print", (Parameter("void *", _anything),), 1, "prints what a pointer points to, by its type"
        ),
        Function("printf", (Parameter("string", is_text),), 1, "prints values by a format", variadic=True),
        Function("printa", (Parameter("@", _anything),), 1, "prints aggregations", variadic=True),
        Function("exit", (_INT,), 1, "stops tracing with an exit status"),
        Function("clear", (_AGGREGATION,), 1, "sets an aggregation's values to zero, keeping its keys"),
        Function("trunc", (_AGGREGATION, _INT64), 1, "removes entries of an aggregation"),
        Function("normalize", (_AGGREGATION, _UINT64), 2, "divides when printing"),
        Function("denormalize", (_AGGREGATION,), 1, "undoes normalize"),
        Function("ustack", (_FRAMES, _FRAMES), 0, "prints the stack of the thread"),
        Function("uaddr", (_USER_ADDRESS,), 1, "prints an address of the process as function and offset"),
        Function("usym", (_USER_ADDRESS,), 1, "prints an address of the process as its function"),
        Function("ufunc", (_USER_ADDRESS,), 1, "prints an address of the process as its function"),
        Function("umod", (_USER_ADDRESS,), 1, "prints an address of the process as its object"),
        Function("speculate", (_INT,), 1, "holds what the clause records back"),
        Function("commit", (_INT,), 1, "prints what was held back"),
        Function("discard", (_INT,), 1, "forgets what was held back"),
        Function("setopt", (_TEXT, _TEXT), 1, "sets an option while tracing"),
        _destructive("system", "runs a command", Parameter("@", _anything), variadic=True),
        _destructive("freopen", "sends what is printed to a file", Parameter("@", _anything), variadic=True),
        _destructive("raise", "sends the thread a signal", _INT),
        _destructive("stop", "stops the process"),
        _destructive("copyout", "writes to the process's memory", _POINTER, _ADDRESS, _SIZE),
        _destructive("copyoutstr", "writes a string to the process's memory", _TEXT, _ADDRESS, _SIZE),
    )
}

SUBROUTINES: Final = {
    row.name: row
    for row in (
        Function("alloca", (_SIZE,), 1, "makes room for a firing", result=VOID_POINTER),
        Function("bcopy", (_SOURCE, _POINTER, _SIZE), 3, "copies within a firing's own memory", result=VOID),
        Function(
            "copyinto",
            (_ADDRESS, _SIZE, _POINTER),
            3,
            "copies memory of the process to a place",
            result=VOID,
        ),
        Function("copyin", (_ADDRESS, _SIZE), 2, "copies memory of the process", result=VOID_POINTER),
        _text("copyinstr", "copies a string of the process", _ADDRESS, _SIZE, required=1),
        _number("strlen", TYPEDEFS["size_t"], "length of a string", _TEXT),
        _text("basename", "the last component of a path", _TEXT),
        _text("cleanpath", "a path without empty components, . and ..", _TEXT),
        _text("dirname", "a path without its last component", _TEXT),
        _number("getmajor", TYPEDEFS["dev_t"], "the major number of a device", _DEVICE),
        _number("getminor", TYPEDEFS["dev_t"], "the minor number of a device", _DEVICE),
        _number("htonl", TYPEDEFS["uint32_t"], "a 32-bit number in the network's order of bytes", _UINT32),
        _number("htonll", TYPEDEFS["uint64_t"], "a 64-bit number in the network's order of bytes", _UINT64),
        _number("htons", TYPEDEFS["uint16_t"], "a 16-bit number in the network's order of bytes", _UINT16),
        _text("inet_ntoa", "an IPv4 address as text", _pointer("ipaddr_t *")),
        _text("inet_ntoa6", "an IPv6 address as text", _IPV6_ADDRESS, _INT, required=1),
        _text("inet_ntop", "an address of a family as text", _INT, _pointer("void *")),
        _number("index", INT, "where a string occurs in another", _TEXT, _TEXT, _INT, required=2),
        _text("link_ntop", "a hardware address as text", _INT, _pointer("void *")),
        _text("lltostr", "a number as a string", _INT64, _INT, required=1),
        _number("ntohl", TYPEDEFS["uint32_t"], "a 32-bit number in this machine's order of bytes", _UINT32),
        _number("ntohll", TYPEDEFS["uint64_t"], "a 64-bit number in this machine's order of bytes", _UINT64),
        _number("ntohs", TYPEDEFS["uint16_t"], "a 16-bit number in this machine's order of bytes", _UINT16),
        _number("progenyof", INT, "whether a process is this one or an ancestor", _PROCESS),
        _number("rand", INT, "a random number"),
        _number("speculation", INT, "a number to hold records back with"),
        _number("rindex", INT, "where a string occurs last in another", _TEXT, _TEXT, _INT, required=2),
        _text("strchr", "a string from a character on", _TEXT, _CHARACTER),
        _text("strjoin", "two strings as one", _TEXT, _TEXT),
        _text("strrchr", "a string from the last occurrence of a character on", _TEXT, _CHARACTER),
        _text("strstr", "a string from another string on", _TEXT, _TEXT),
        _text("strtok", "the next token of a string", _TEXT, _TEXT),
        _number(
            "strtoll", TYPEDEFS["int64_t"], "the number that a string begins with", _TEXT, _INT, required=1
        ),
        _text("substr", "a part of a string", _TEXT, _INT, _INT, required=2),
        _text("tolower", "a string in lower case", _TEXT),
        _text("toupper", "a string in upper case", _TEXT),
    )
}


def _kernels(text: str) -> Parameter:
    """Return a parameter that points to something of the kernel's."""
    return Parameter(text, _is_pointer)


def _locks(kind: str, *names: str) -> tuple[Function, ...]:
    summary = "tells of a lock of the kernel"
    return tuple(Function(name, (_kernels(kind),), 1, summary, result=INT) for name in names)


KNOWN_BUT_NOT_COMPILED: Final = {
    row.name: row
    for row in (
        _destructive("breakpoint", "stops the kernel in its debugger"),
        _destructive("chill", "keeps the processor busy", _INT),
        _destructive("panic", "stops the kernel"),
        Function("stack", (_FRAMES,), 0, "prints the kernel's stack"),
        Function("jstack", (_FRAMES, _FRAMES), 0, "prints a stack with Java's names"),
        Function("sym", (_ADDRESS,), 1, "prints an address of the kernel as its function"),
        Function("func", (_ADDRESS,), 1, "prints an address of the kernel as its function"),
        Function("mod", (_ADDRESS,), 1, "prints an address of the kernel as its module"),
        Function("ftruncate", (), 0, "cuts the file that is printed to"),
        Function("return", (_INT,), 1, "ends a probed system call"),
        Function("pcap", (_POINTER, _INT), 2, "records a packet"),
        Function("d_path", (_kernels("struct path *"),), 1, "a path of the kernel's as text", result=STRING),
        Function("getf", (_INT,), 1, "the kernel's file of a descriptor", result=VOID_POINTER),
        Function("json", (_TEXT, _TEXT), 2, "an element of JSON text", result=STRING),
        Function("strip", (_TEXT,), 1, "a text without blanks at its ends", result=STRING),
        Function("msgsize", (_kernels("mblk_t *"),), 1, "the size of a message", result=INT),
        Function("msgdsize", (_kernels("mblk_t *"),), 1, "the size of a message's data", result=INT),
        *_locks("struct mutex *", "mutex_owned", "mutex_owner", "mutex_type_adaptive", "mutex_type_spin"),
        *_locks("rwlock_t *", "rw_iswriter", "rw_read_held", "rw_write_held"),
    )
}
"""D's functions that this version names in an error instead of compiling them."""

NOT_IMPLEMENTED: Final = frozenset(["breakpoint", "chill", "panic", "jstack"])
"""Those of them that DTrace for Linux doesn't have either, in its own words."""
