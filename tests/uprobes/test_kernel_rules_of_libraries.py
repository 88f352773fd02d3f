"""The rules against the kernel for every function entry, and for every form of instruction, of this machine's
libraries.

Here only acceptance is compared: nothing of what is probed is executed. The files are mapped by a child that
does nothing, since the kernel refuses an instruction only where it sees it mapped.
"""

import mmap
import os
import random
import signal
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from backend.linux.bpf import AttachType, ProgramKind, prog_load, uprobe_multi_link
from backend.uprobes.kernel_rules import Refused, rule_at_entry
from scratch.encoding import Scheme
from scratch.instruction import Instruction, decode
from tests.scratch.elf import executable_segment, symbols
from tests.scratch.forms import LIBRARIES, distinct_forms

SLOT = 16
MOV_R0_0_EXIT = struct.pack("<BBhi", 0xB7, 0, 0, 0) + struct.pack("<BBhi", 0x95, 0, 0, 0)


@contextmanager
def mapped_by_a_child(path: str) -> Iterator[int]:
    """Map the file executable in a child that waits to be killed; yield its pid."""
    ready_read, ready_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        with Path(path).open("rb") as file:
            mapping = mmap.mmap(
                file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_EXEC
            )
            os.write(ready_write, mapping[:1])
            signal.pause()
        os._exit(0)
    try:
        os.read(ready_read, 1)
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(ready_read)
        os.close(ready_write)


@pytest.fixture(scope="module")
def program() -> Iterator[int]:
    fd = prog_load(ProgramKind.KPROBE, MOV_R0_0_EXIT, "rules", AttachType.TRACE_UPROBE_MULTI)
    yield fd
    os.close(fd)


def refused(program: int, path: str, pid: int, offsets: Sequence[int]) -> list[int]:
    """Return those offsets at which the kernel refuses a uprobe, by halving."""
    if not offsets:
        return []
    try:
        os.close(uprobe_multi_link(program, path, offsets, [0] * len(offsets), pid))
    except OSError:
        if len(offsets) == 1:
            return list(offsets)
        half = len(offsets) // 2
        return refused(program, path, pid, offsets[:half]) + refused(program, path, pid, offsets[half:])
    return []


def entries(path: str) -> dict[int, bytes]:
    """Return the file offset of each function, with the code there."""
    content = Path(path).read_bytes()
    segment = executable_segment(path)
    delta = segment.offset - segment.address
    functions = (symbol for symbol in symbols(path, ".dynsym") if symbol.kind in ("STT_FUNC", "STT_LOOS"))
    values = {function.address + delta for function in functions}
    return {offset: content[offset : offset + 16] for offset in sorted(values)}


@pytest.mark.parametrize("path", [LIBRARIES[0], *LIBRARIES[2:]], ids=lambda path: Path(path).name)
def test_kernel_refuses_the_entries_that_the_rules_refuse(program: int, path: str) -> None:
    path = str(Path(path).resolve())
    codes = entries(path)
    assert len(codes) > 1000
    expected = [offset for offset, code in codes.items() if isinstance(rule_at_entry(code), Refused)]
    with mapped_by_a_child(path) as pid:
        assert refused(program, path, pid, sorted(set(codes) - set(expected))) == []
        assert [at for at in expected if refused(program, path, pid, [at]) == []] == []


def test_kernel_refuses_the_forms_that_the_rules_refuse(program: int, tmp_path: Path) -> None:
    """One form of each opcode and set of prefixes, all over the libraries' text: those accepted in one go,
    and some refused ones.

    Some, because each failing attempt costs the kernel 50 ms.
    """
    codes = [code.ljust(SLOT, b"\x90") for code in one_of_each_opcode()]
    path = str(tmp_path / "forms.bin")
    Path(path).write_bytes(b"".join(codes))
    rules = [rule_at_entry(code) for code in codes]
    taken = [SLOT * number for number, rule in enumerate(rules) if not isinstance(rule, Refused)]
    expected = [SLOT * number for number, rule in enumerate(rules) if isinstance(rule, Refused)]
    assert len(taken) > 1000
    assert len(expected) > 200
    with mapped_by_a_child(path) as pid:
        assert [
            (codes[at // SLOT].hex(), rules[at // SLOT]) for at in refused(program, path, pid, taken)
        ] == []
        for at in random.Random(1).sample(expected, 40):
            assert refused(program, path, pid, [at]) == [at], (codes[at // SLOT].hex(), rules[at // SLOT])


def one_of_each_opcode() -> Iterator[bytes]:
    """Yield one instruction of each opcode and set of prefixes that two decoders agree on (libcrypto's data
    holds others).
    """
    seen = set()
    for code in distinct_forms((LIBRARIES[0], LIBRARIES[3])):
        instruction = decode(code, 0)
        if isinstance(instruction, Instruction):
            encoding = instruction.encoding
            if encoding.scheme is Scheme.XOP:
                continue  # some are refused, the others taken for pop
            if any(byte & 0xF0 == 0x40 for byte in code[: max(encoding.scheme_offset - 1, 0)]):
                continue  # REX before another prefix, which is found in data only
            key = (encoding.scheme, encoding.opcode_map, encoding.opcode, frozenset(encoding.prefixes))
            if key not in seen:
                seen.add(key)
                yield code
