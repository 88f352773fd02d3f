"""Well-typed D programs at random, over all that is compiled: text that the checker has to accept.

Each draw makes the next piece from variables that exist by then, so that a failing program shrinks to its cause.
Hands program texts to test_verifier.py and test_any_text.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

INTEGER_TYPES: Final = (
    "char", "unsigned char", "short", "unsigned short", "int", "unsigned int", "long", "unsigned long long",
    "int8_t", "uint16_t", "int32_t", "uint64_t", "pid_t", "size_t",
)  # fmt: skip
_CONSTANTS: Final = (
    "0", "1", "-1", "2", "7", "63", "64", "255", "256", "4096", "2147483647", "2147483648", "0xffffffff",
    "9223372036854775807", "0x8000000000000000", "0xffffffffffffffff", "'a'", "NULL", "$1", "$pid",
)  # fmt: skip
_FACTS: Final = (
    *(f"arg{number}" for number in range(10)),
    "pid", "ppid", "tid", "uid", "gid", "cpu", "timestamp", "walltimestamp", "vtimestamp", "id", "epid",
    "uregs[R_RDI]", "uregs[R_SP]", "uregs[R_TRAPNO]",
)  # fmt: skip
_TEXTS: Final = ('""', '"a"', '"some text"', '"ümläut"', '"%d\\n"', "$$1", "$$3")
_TEXT_VARIABLES: Final = ("execname", "probeprov", "probemod", "probefunc", "probename")
_BINARY: Final = (
    "+", "-", "*", "/", "%", "&", "|", "^", "<<", ">>", "<", "<=", ">", ">=", "==", "!=", "&&", "||", "^^",
)  # fmt: skip
_COMPARISONS: Final = ("==", "!=", "<", "<=", ">", ">=")
_ASSIGNMENTS: Final = ("=", "+=", "-=", "*=", "&=", "|=", "^=", "<<=", ">>=", "/=", "%=")
_PLAIN: Final = ("sum", "avg", "min", "max", "stddev", "quantize")
_SCALED: Final = {
    "lquantize": ("0, 100", "-10, 10, 2", "0, 65535, 1", "-2147483648, 2100000000, 65535"),
    "llquantize": ("10, 0, 6, 20", "2, 0, 62, 2", "16, 1, 3, 16", "10, 3, 5, 5"),
}
_CONVERSIONS: Final = ("d", "u", "x", "5d", "-8d", "c", "#x", "lld", "o")


@dataclass(slots=True)
class _Writer:
    """A program being written: variables by whether they hold integers, and each aggregation's form."""

    draw: DrawFn
    integers: list[str] = field(default_factory=list)
    strings: list[str] = field(default_factory=list)
    aggregations: dict[str, tuple[str, str, tuple[bool, ...]]] = field(default_factory=dict)

    def pick(self, *choices: str) -> str:
        return self.draw(st.sampled_from(choices))

    def small(self, most: int) -> int:
        return self.draw(st.integers(0, most))

    # --- expressions

    def integer(self, depth: int) -> str:
        if depth <= 0:
            return self.pick(*_CONSTANTS, *_FACTS, *self.integers)
        depth -= 1
        match self.small(13):
            case 0 | 1 | 2 | 3:
                return f"({self.integer(depth)} {self.pick(*_BINARY)} {self.integer(depth)})"
            case 4:
                return f"{self.pick('-', '~', '!', '+')}({self.integer(depth)})"
            case 5:
                return f"({self.integer(depth)} ? {self.integer(depth)} : {self.integer(depth)})"
            case 6:
                return f"({self.pick(*INTEGER_TYPES)})({self.integer(depth)})"
            case 7:
                return f"strlen({self.string(depth)})"
            case 8:
                return f"({self.string(depth)} {self.pick(*_COMPARISONS)} {self.string(depth)})"
            case 9:
                size = self.pick("1", "2", "4", "8", self.integer(depth))
                return f"*({self.pick(*INTEGER_TYPES)} *)copyin({self.integer(depth)}, {size})"
            case 10:
                return f"uregs[{self.small(25)}]"
            case 11 if self.integers:
                return f"({self.pick(*self.integers)} {self.pick(*_ASSIGNMENTS)} {self.integer(depth)})"
            case 12 if self.integers:
                variable, step = self.pick(*self.integers), self.pick("++", "--")
                return self.pick(f"{step}{variable}", f"{variable}{step}")
            case _:
                return f"({self.integer(depth)}, {self.integer(depth)})"

    def string(self, depth: int) -> str:
        if depth <= 0:
            return self.pick(*_TEXTS, *_TEXT_VARIABLES, *self.strings)
        depth -= 1
        match self.small(6):
            case 0:
                limit = self.pick("", f", {self.integer(depth)}")
                return f"copyinstr({self.integer(depth)}{limit})"
            case 1:
                return f"stringof(copyin({self.integer(depth)}, {self.integer(depth)}))"
            case 2:
                return f"({self.integer(depth)} ? {self.string(depth)} : {self.string(depth)})"
            case 3:
                return f"({self.string(depth)} + {self.integer(depth)})"
            case 4 if self.strings:
                return f"({self.pick(*self.strings)} = {self.string(depth)})"
            case 5:
                return f"({self.integer(depth)}, {self.string(depth)})"
            case _:
                return self.string(0)

    # --- statements

    def statement(self, depth: int) -> str:
        match self.small(9):
            case 0:
                return f"trace({self.pick(self.integer(depth), self.string(depth))});"
            case 1:
                return self.printf(depth)
            case 2 | 3 | 4:
                return self.aggregate(depth)
            case 5 if depth > 0:
                return f"if ({self.integer(depth)}) {self.block(depth - 1)} else {self.block(depth - 1)}"
            case 6 if self.aggregations:
                return self.on_aggregation(depth)
            case 7:
                return f"exit({self.integer(depth)});"
            case 8:
                return f"{self.string(depth)};"
            case _:
                return f"{self.integer(depth)};"

    def block(self, depth: int) -> str:
        return "{ " + " ".join(self.statement(depth) for _ in range(1 + self.small(2))) + " }"

    def printf(self, depth: int) -> str:
        parts, values = [], []
        for _ in range(self.small(3)):
            if self.draw(st.booleans()):
                parts.append(f"%{self.pick(*_CONVERSIONS)}")
                values.append(f"(int){self.integer(depth)}")
                if parts[-1] == "%lld":
                    values[-1] = f"(long long){self.integer(depth)}"
            else:
                parts.append(self.pick("%s", "%10s", "%-5.3s", "%S"))
                values.append(self.string(depth))
        return f'printf("{" ".join(parts)} end\\n"{"".join(f", {value}" for value in values)});'

    def aggregate(self, depth: int) -> str:
        name = self.pick("@", "@a", "@b", "@c")
        if name not in self.aggregations:
            function = self.pick("count", *_PLAIN, *_SCALED)
            scale = self.pick(*_SCALED[function]) if function in _SCALED else ""
            kinds = tuple(self.draw(st.lists(st.booleans(), max_size=3)))
            self.aggregations[name] = (function, scale, kinds)
        function, scale, kinds = self.aggregations[name]
        keys = ", ".join(self.string(depth) if text else self.integer(depth) for text in kinds)
        arguments = "" if function == "count" else self.integer(depth)
        if scale:
            arguments += f", {scale}"
        if function == "quantize" and self.draw(st.booleans()):
            arguments += f", {self.integer(depth)}"
        return f"{name}{f'[{keys}]' if kinds else ''} = {function}({arguments});"

    def on_aggregation(self, depth: int) -> str:
        name = self.pick(*self.aggregations)
        return self.pick(
            f"printa({name});", f'printa("%@u\\n", {name});', f"clear({name});", f"trunc({name});",
            f"trunc({name}, {self.integer(depth)});", f"normalize({name}, {self.integer(depth)});",
            f"denormalize({name});",
        )  # fmt: skip

    def declarations(self) -> list[str]:
        lines = []
        for prefix, shown in (("", ""), ("self ", "self->"), ("this ", "this->")):
            letter = prefix[:1] or "g"
            for number in range(self.small(2)):
                lines.append(f"{prefix}{self.pick(*INTEGER_TYPES)} {letter}{number};")
                self.integers.append(f"{shown}{letter}{number}")
            if self.draw(st.booleans()):
                lines.append(f"{prefix}string {letter}s;")
                self.strings.append(f"{shown}{letter}s")
        return lines

    def clause(self, probe: str, depth: int) -> str:
        predicate = f" / {self.integer(depth)} /" if self.draw(st.booleans()) else ""
        return f"{probe}{predicate}\n{self.block(depth)}"


@st.composite
def programs(draw: DrawFn, most_clauses: int = 3, depth: int = 2) -> str:
    """A program of declarations and up to `most_clauses` clauses, with expressions `depth` operators deep."""
    writer = _Writer(draw)
    lines = writer.declarations()
    for _ in range(1 + writer.small(most_clauses - 1)):
        probe = writer.pick("BEGIN", "BEGIN", "tick-1s", "BEGIN, END")
        lines.append(writer.clause(probe, depth))
    return "\n".join(lines)
