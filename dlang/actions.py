"""D's actions and subroutines, a row each: name, parameters, one line of what it does (DTrace guide, "Actions
and Subroutines"; d-language.md §8). Aggregating functions are in aggregations.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NoReturn

from dlang.diagnostics import fail
from dlang.source import Span
from dlang.types import IntegerType, PointerType, Type, is_text


@dataclass(frozen=True, slots=True)
class Parameter:
    """`text` is the parameter's type as DTrace's prototypes write it."""

    text: str
    accepts: Callable[[Type], bool]


@dataclass(frozen=True, slots=True)
class Function:
    """An action or subroutine; `required` of its parameters must be given. `summary` is for the reference."""

    name: str
    parameters: tuple[Parameter, ...]
    required: int
    summary: str
    variadic: bool = False

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
_INT: Final = Parameter("int", _is_integer)
_POINTER: Final = Parameter("void *", _is_pointer)
_TEXT: Final = Parameter("const char *", is_text)
_AGGREGATION: Final = Parameter("@", _anything)

ACTIONS: Final = {
    row.name: row
    for row in (
        Function("trace", (Parameter("@", _anything),), 1, "prints one value"),
        Function("printf", (Parameter("string", is_text),), 1, "prints values by a format", variadic=True),
        Function("printa", (Parameter("@", _anything),), 1, "prints aggregations", variadic=True),
        Function("exit", (_INT,), 1, "stops tracing with an exit status"),
        Function("clear", (_AGGREGATION,), 1, "sets an aggregation's values to zero, keeping its keys"),
        Function("trunc", (_AGGREGATION, _INT), 1, "removes entries of an aggregation"),
        Function("normalize", (_AGGREGATION, Parameter("uint64_t", _is_integer)), 2, "divides when printing"),
        Function("denormalize", (_AGGREGATION,), 1, "undoes normalize"),
    )
}

SUBROUTINES: Final = {
    row.name: row
    for row in (
        Function("alloca", (_SIZE,), 1, "makes room for a firing"),
        Function("bcopy", (_POINTER, _POINTER, _SIZE), 3, "copies within a firing's own memory"),
        Function("copyinto", (_ADDRESS, _SIZE, _POINTER), 3, "copies memory of the process to a place"),
        Function("copyin", (_ADDRESS, _SIZE), 2, "copies memory of the process"),
        Function("copyinstr", (_ADDRESS, _SIZE), 1, "copies a string of the process"),
        Function("strlen", (_TEXT,), 1, "length of a string"),
    )
}

KNOWN_BUT_NOT_COMPILED: Final = frozenset(
    [
        "basename",
        "breakpoint",
        "chill",
        "cleanpath",
        "commit",
        "copyout",
        "copyoutstr",
        "dirname",
        "discard",
        "ftruncate",
        "freopen",
        "htonl",
        "htonll",
        "htons",
        "index",
        "inet_ntoa",
        "inet_ntoa6",
        "inet_ntop",
        "jstack",
        "link_ntop",
        "lltostr",
        "mod",
        "mutex_owned",
        "mutex_owner",
        "ntohl",
        "ntohll",
        "ntohs",
        "panic",
        "pcap",
        "print",
        "progenyof",
        "raise",
        "rand",
        "rindex",
        "setopt",
        "speculate",
        "speculation",
        "stack",
        "stop",
        "strchr",
        "strjoin",
        "strrchr",
        "strstr",
        "strtok",
        "strtoll",
        "substr",
        "sym",
        "system",
        "tolower",
        "toupper",
        "tracemem",
        "uaddr",
        "ufunc",
        "umod",
        "ustack",
        "usym",
        "func",
        "getmajor",
        "getminor",
        "d_path",
        "mutex_type_adaptive",
        "mutex_type_spin",
        "rw_iswriter",
        "rw_read_held",
        "rw_write_held",
        "msgdsize",
        "msgsize",
        "json",
        "getf",
        "strip",
    ]
)
"""D's functions that this version names in an error instead of compiling them."""
