"""Replace what differs between two good runs of one program, so that the rest compares byte for byte.

Every mask keeps the width of what it covers where the layout is part of the promise (columns), so a shifted
column still shows. What is masked for the reference programs follows tests/reference/README.md, "What to mask
before comparing"; cases of our own name their masks with `@@mask:`. Text in, text out; hands its result to
the comparison in the test modules.
"""

import re
from collections.abc import Callable, Iterable
from itertools import zip_longest
from typing import Final

_ROW: Final = re.compile(r"^[ \d]{2}\d ([ \d]{5}\d) (?= *(\S*) )", re.MULTILINE)
_FLOW_ROW: Final = re.compile(r"^[ \d]{2}\d +(->|<-|\|) (\S+?) *$", re.MULTILINE)
_FLOW_CPU: Final = re.compile(r"^[ \d]{2}\d (?= *(?:->|<-|\|) )", re.MULTILINE)
_FLOW_OFFSET: Final = re.compile(r"^(CPU \| \S+:)[0-9a-f]+$", re.MULTILINE)
_LISTED: Final = re.compile(r"^([ \d]{4}\d) ([ \w]{10}) ", re.MULTILINE)
_CARET: Final = re.compile(r" {4}[ \t]*\^~*")
_OWN_PROBES: Final = frozenset((":BEGIN", ":END", ":ERROR"))


def cpu_and_id(text: str) -> str:
    """Mask CPU and ID in default rows (`%3d %6d %32s `); the IDs of BEGIN, END and ERROR are fixed: kept."""
    if "CPU     ID" not in text:
        return text

    def masked(row: re.Match[str]) -> str:
        return f"CPU {row[1] if row[2] in _OWN_PROBES else '    ID'} "

    return _ROW.sub(masked, text)


def flow(text: str) -> str:
    """Mask the CPU column, the indentation and instruction offsets of `-F` rows (`%3d %-41s `)."""
    if "CPU FUNCTION  " not in text:
        return text
    return _FLOW_OFFSET.sub(r"\1OFFSET", _FLOW_ROW.sub(r"CPU \1 \2", text))


def flow_cpu(text: str) -> str:
    """Mask the CPU column of `-F` rows, and nothing else."""
    return _FLOW_CPU.sub("CPU ", text) if "CPU FUNCTION  " in text else text


def listing(text: str) -> str:
    """Mask IDs above 3 and the process number in the provider column of `-l` (`%5d %10s %17s %33s %s`)."""

    def masked(row: re.Match[str]) -> str:
        number = row[1] if int(row[1]) <= len(_OWN_PROBES) else "   ID"
        return f"{number} {row[2].rstrip('0123456789').strip():>10} "

    return _LISTED.sub(masked, text) if "PROVIDER" in text else text


def addresses(text: str) -> str:
    """Mask hexadecimal addresses: `0x` and six digits or more."""
    return re.sub(r"0x[0-9a-f]{6,16}", "0xADDRESS", text)


def symbol_offsets(text: str) -> str:
    """Mask the offset in object`function+0x1a: it depends on the compiler."""
    return re.sub(r"(`\w+\+0x)[0-9a-f]+", r"\1OFFSET", text)


def bpf_pc(text: str) -> str:
    """Mask N of `at BPF pc N`: an offset into generated code."""
    return re.sub(r"\bat BPF pc \d+", "at BPF pc N", text)


def drop_cpus(text: str) -> str:
    """Mask the processor in notices of drops."""
    return re.sub(r"(?m)( drops? on CPU )\d+$", r"\1N", text)


def process_ids(text: str) -> str:
    """Mask the number in provider names such as pid1234."""
    return re.sub(r"\bpid\d+\b", "pidPID", text)


def command_name(text: str) -> str:
    """Our name for theirs at the start of each message on standard error."""
    return re.sub(r"^dtrap: ", "dtrace: ", text, flags=re.MULTILINE)


def excerpts(text: str) -> str:
    """Drop what we print below DTrace's words: a source line and its caret line (4 columns in), hints."""
    lines = text.splitlines(keepends=True)
    kept: list[str] = []
    for line, following in zip_longest(lines, lines[1:], fillvalue=""):
        caret = _CARET.fullmatch(line.rstrip("\n")) is not None
        source = line.startswith("    ") and _CARET.fullmatch(following.rstrip("\n")) is not None
        if not (caret or source or line.lstrip(" ").startswith("hint: ")):
            kept.append(line)
    return "".join(kept)


MASKS: Final[dict[str, Callable[[str], str]]] = {
    "cpu-id": cpu_and_id,
    "flow": flow,
    "flow-cpu": flow_cpu,
    "listing": listing,
    "address": addresses,
    "offset": symbol_offsets,
    "bpf-pc": bpf_pc,
    "drop-cpu": drop_cpus,
    "pid": process_ids,
}


def apply(names: Iterable[str], text: str) -> str:
    """Apply the masks of these names, in their order. Raises KeyError for a name that is not in MASKS."""
    for name in names:
        text = MASKS[name](text)
    return text
