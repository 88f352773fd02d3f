"""D's built-in variables and constants, a row each (DTrace guide, "Variables"; d-language.md §7)."""

from __future__ import annotations

import errno
import signal
from typing import Final

from dlang.program import (
    Argument,
    CommandName,
    Constant,
    Fact,
    FactValue,
    ProbeField,
    ProbeText,
    UserCaller,
    UserStackDepth,
    Value,
)
from dlang.types import INT, STRING, TYPEDEFS, UNSIGNED_LONG, IntegerType

_INT64: Final = TYPEDEFS["int64_t"]
_UINT64: Final = TYPEDEFS["uint64_t"]

_FACT_TYPES: Final[dict[Fact, IntegerType]] = {
    Fact.PID: TYPEDEFS["pid_t"],
    Fact.PPID: TYPEDEFS["pid_t"],
    Fact.TID: TYPEDEFS["id_t"],
    Fact.UID: TYPEDEFS["uid_t"],
    Fact.GID: TYPEDEFS["gid_t"],
    Fact.CPU: INT,
    Fact.TIMESTAMP: _UINT64,
    Fact.WALLTIMESTAMP: _INT64,
    Fact.VTIMESTAMP: _UINT64,
    Fact.PROBE_ID: TYPEDEFS["uint_t"],
    Fact.ENABLING_ID: UNSIGNED_LONG,
}

VARIABLES: Final[dict[str, Value]] = {
    **{f"arg{number}": Argument(_INT64, number) for number in range(10)},
    **{fact.value: FactValue(type_, fact) for fact, type_ in _FACT_TYPES.items()},
    **{field.value: ProbeText(STRING, field) for field in ProbeField},
    "execname": CommandName(STRING),
    "ucaller": UserCaller(_UINT64),
    "ustackdepth": UserStackDepth(TYPEDEFS["uint32_t"]),
    # Of the system call that fires a probe: the probes here are fired by none.
    "errno": Constant(INT, 0),
}
"""Each variable's value node."""

NOT_COMPILED: Final = frozenset(
    [
        "caller",
        "curcpu",
        "curlwpsinfo",
        "curpsinfo",
        "curthread",
        "ipl",
        "stackdepth",
    ]
)
"""Variables that D has and this version does not compile."""

_REGISTER_NAMES: Final = [
    "R15",
    "R14",
    "R13",
    "R12",
    "RBP",
    "RBX",
    "R11",
    "R10",
    "R9",
    "R8",
    "RAX",
    "RCX",
    "RDX",
    "RSI",
    "RDI",
    "ERR",
    "RIP",
    "CS",
    "RFL",
    "RSP",
    "SS",
    "DS",
    "ES",
    "FS",
    "GS",
    "TRAPNO",
]
_REGISTER_ALIASES: Final = {
    "PC": "RIP", "SP": "RSP", "FP": "RBP", "PS": "RFL", "R0": "RAX", "R1": "RBX",
    "EIP": "RIP", "UESP": "RSP", "ESP": "RSP", "EBP": "RBP", "EAX": "RAX", "EBX": "RBX",
    "ECX": "RCX", "EDX": "RDX", "ESI": "RSI", "EDI": "RDI", "EFL": "RFL",
}  # fmt: skip

REGISTERS: Final = {f"R_{name}": number for number, name in enumerate(_REGISTER_NAMES)}
"""Index of `uregs[]` by its constant's name: sys/regset.h numbers for x86-64."""

REGISTER_COUNT: Final = len(REGISTERS)
REGISTER_NUMBER: Final = {name: REGISTERS[f"R_{name}"] for name in _REGISTER_NAMES}
RESULT_REGISTERS: Final = {1: REGISTER_NUMBER["RAX"], 2: REGISTER_NUMBER["RDX"]}
"""Where a function leaves its result, by the argN that it is where it returns: System V ABI, 3.2.3. arg0 is the
offset in the function, the others are 0."""

_FAULTS: Final = [
    "UNKNOWN",
    "BADADDR",
    "BADALIGN",
    "ILLOP",
    "DIVZERO",
    "NOSCRATCH",
    "KPRIV",
    "UPRIV",
    "TUPOFLOW",
    "BADSTACK",
    "BADSIZE",
    "BADINDEX",
]
FAULT_NUMBER: Final = {name: number for number, name in enumerate(_FAULTS)}

ADDRESS_FAMILIES: Final = {"AF_INET": 2, "AF_INET6": 10}
"""Families of inet_ntop(): include/linux/socket.h."""
HARDWARE_KINDS: Final = {"ARPHRD_ETHER": 1, "ARPHRD_INFINIBAND": 32}
"""Kinds of devices of link_ntop(): include/uapi/linux/if_arp.h."""

_SIGNALS: Final = {
    name: number.value for name, number in signal.Signals.__members__.items() if "RT" not in name
}
CONSTANTS: Final[dict[str, Constant]] = {
    "NULL": Constant(INT, 0),
    **{name: Constant(INT, number) for name, number in REGISTERS.items()},
    **{f"R_{alias}": Constant(INT, REGISTERS[f"R_{name}"]) for alias, name in _REGISTER_ALIASES.items()},
    **{f"DTRACEFLT_{name}": Constant(INT, number) for name, number in FAULT_NUMBER.items()},
    "DTRACEFLT_LIBRARY": Constant(INT, 1000),
    **{name: Constant(INT, number) for name, number in (ADDRESS_FAMILIES | HARDWARE_KINDS).items()},
    **{name: Constant(INT, number) for name, number in _SIGNALS.items()},
    **{name: Constant(INT, getattr(errno, name)) for name in dir(errno) if name.startswith("E")},
    "EHWPOISON": Constant(INT, 133),
}
