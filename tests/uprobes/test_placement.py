"""Where entry probes go: which instructions may be stepped over, and who else gets into the window."""

import ctypes
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from backend.uprobes.kernel_rules import Accepted, rule_at_entry
from backend.uprobes.placement import LARGEST_TEXT, Function, Reads, place
from tests.scratch.elf import executable_segment, symbols
from tests.scratch.forms import LIBRARIES
from tests.uprobes.kernel_probe import hits, uprobe

NONE = Reads.NOTHING
ARGS = Reads.ARGUMENTS

# name: what the clauses read, and the function; the probe belongs at PROBE, or at the entry where there is
# none.
FUNCTIONS: dict[str, tuple[Reads, str]] = {
    "push_first": (NONE, "push %rbx; push %rbp; ret"),
    "endbr": (NONE, "endbr64; PROBE push %rbx; ret"),
    "move_of_callee_saved": (ARGS, "mov %rsp,%rax; mov %rbx,%r10; PROBE push %rbp; ret"),
    "argument_changed_but_not_read": (NONE, "mov %rsi,%rdi; PROBE push %rbp; ret"),
    "argument_changed": (ARGS, "mov %rsi,%rdi; push %rbp; ret"),
    "argument_cut_to_32_bits": (ARGS, "mov %edi,%edi; push %rbp; ret"),
    "only_another_argument_is_read": (Reads.RSI, "xor %edi,%edi; PROBE push %rbp; ret"),
    "byte_of_an_argument": (Reads.RDI, "mov $1,%dil; push %rbp; ret"),
    "high_byte_of_rax": (Reads.RAX, "mov $1,%ah; push %rbp; ret"),
    "high_byte_of_rcx_not_rbp": (Reads.RCX, "mov $1,%ch; push %rbp; ret"),
    "new_register_with_rex": (Reads.R8, "mov $1,%r8d; push %rbp; ret"),
    "new_register_without_rex": (Reads.R8, "mov $1,%eax; PROBE push %rbp; ret"),
    "test_and_jump": (ARGS, "test %rdi,%rdi; PROBE je 1f; mov $1,%eax; 1: ret"),
    "flags_are_read": (Reads.FLAGS, "test %rdi,%rdi; je 1f; mov $1,%eax; 1: ret"),
    "stack_moved": (NONE, "sub $24,%rsp; PROBE call 1f; add $24,%rsp; 1: ret"),
    "stack_moved_and_read": (Reads.RSP, "sub $24,%rsp; call 1f; add $24,%rsp; 1: ret"),
    "rip_is_read": (Reads.RIP, "mov %rdi,%rax; push %rbp; ret"),
    "load_off_rip": (ARGS, "mov 0f(%rip),%rax; PROBE push %rbp; ret; 0: .quad 0"),
    "load_off_rsp": (ARGS, "mov 8(%rsp),%rax; PROBE push %rbp; ret"),
    "load_of_the_canary": (ARGS, "mov %fs:0x28,%rax; PROBE push %rbp; ret"),
    "load_that_may_fault": (NONE, "mov (%rdi),%rax; push %rbp; ret"),
    "load_off_rsp_and_index": (NONE, "mov (%rsp,%rdi),%rax; push %rbp; ret"),
    "load_off_r12": (NONE, "mov 8(%r12),%rax; push %rbp; ret"),
    "load_from_fs_and_register": (NONE, "mov %fs:(%rdi),%rax; push %rbp; ret"),
    "address_of_what_may_fault": (ARGS, "lea 8(%rdi,%rsi),%rax; PROBE push %rbp; ret"),
    "store_into_the_red_zone": (NONE, "mov %rbx,-8(%rsp); push %rbp; ret"),
    "add_to_memory": (NONE, "add %rbx,-8(%rsp); push %rbp; ret"),
    "division": (NONE, "mov %rdi,%rax; cqto; div %rcx; push %rbp; ret"),
    "syscall": (NONE, "mov $39,%eax; syscall; push %rbp; ret"),
    "vector_instruction": (NONE, "vmovaps %xmm0,%xmm1; push %rbp; ret"),
    "pxor": (ARGS, "pxor %xmm0,%xmm0; PROBE push %rbp; ret"),
    "nop_at_the_end": (ARGS, "mov %rdi,%rax; PROBE .byte 0x0f,0x1f,0x44,0,0; ret"),
    "return_first": (NONE, "mov %rdi,%rax; ret"),
    "jump_by_8_bits_into_it": (
        NONE,
        "xor %eax,%eax; 1: mov %rdi,%rdx; push %rbp; pop %rbp; inc %eax; jne 1b; ret",
    ),
    "jump_by_32_bits_to_the_probe": (NONE, "xor %eax,%eax; 1: push %rbp; .skip 200,0x90; jne 1b; ret"),
    "jump_to_the_entry": (NONE, "1: xor %eax,%eax; PROBE push %rbp; .skip 200,0x90; jne 1b; ret"),
    "loop_into_it": (NONE, "mov $5,%ecx; 1: xor %eax,%eax; jmp 2f; 2: loop 1b; ret"),
    "indirect_jump_elsewhere_and_nop": (NONE, "xor %eax,%eax; nop; lea 1f(%rip),%rdx; jmp *%rdx; 1: ret"),
    "indirect_jump_elsewhere_and_push": (
        NONE,
        "xor %eax,%eax; PROBE push %rbp; lea 1f(%rip),%rdx; jmp *%rdx; 1: ret",
    ),
    "symbol_inside": (NONE, "xor %eax,%eax; inner_symbol: push %rbp; ret"),
    "symbol_behind": (NONE, "xor %eax,%eax; PROBE push %rbp; behind_symbol: ret"),
    "too_far": (NONE, "movabs $1,%rax; movabs $2,%rcx; mov $3,%edx; push %rbp; ret"),
    "probe_ends_at_the_end": (NONE, "movabs $1,%rax; movabs $2,%rcx; mov %eax,%edx; PROBE push %r12; ret"),
    "longer_than_the_function": (NONE, "xor %eax,%eax"),
}


@dataclass(frozen=True, slots=True)
class Object:
    """The executable section of an assembled object and its symbols."""

    text: bytes
    address: int
    symbols: dict[str, int]
    sizes: dict[str, int]


def assemble(folder: Path, lines: list[str]) -> Object:
    source = folder / "functions.S"
    source.write_text("\n".join([*lines, '.section .note.GNU-stack,"",@progbits', ""]))
    path = folder / "functions.so"
    subprocess.run(["gcc", "-shared", "-nostdlib", "-o", path, source], check=True)
    return read(path)


def read(path: Path) -> Object:
    segment = executable_segment(path)
    found = symbols(path)
    return Object(
        segment.content,
        segment.address,
        {symbol.name: symbol.address for symbol in found},
        {symbol.name: symbol.size for symbol in found},
    )


@pytest.fixture(scope="module")
def functions(tmp_path_factory: pytest.TempPathFactory) -> Object:
    lines = [".text"]
    for name, (_, body) in FUNCTIONS.items():
        body = body.replace("PROBE", f"probe_{name}:")
        lines += [".balign 512", f".type {name},@function", f"{name}:", body, f".size {name},.-{name}"]
    lines += ["push %rbp"]
    return assemble(tmp_path_factory.mktemp("placement"), lines)


def entries(of: Object) -> list[int]:
    """The symbols that are entries: not our own mark on the expected place."""
    return [address for name, address in of.symbols.items() if not name.startswith("probe_")]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_probe_goes_where_the_table_says(functions: Object, name: str) -> None:
    reads, _ = FUNCTIONS[name]
    address = functions.symbols[name]
    function = Function(address, functions.sizes[name])
    expected = functions.symbols.get(f"probe_{name}", address) - address
    assert place([function], functions.text, functions.address, entries(functions), reads) == [expected]


def test_branch_from_another_function_keeps_the_probe_at_the_entry(tmp_path: Path) -> None:
    both = assemble(
        tmp_path,
        [".text", "victim: xor %eax,%eax", "1: push %rbp", "ret", ".skip 4096,0x90", "other: call 1b", "ret"],
    )
    alone = assemble(
        tmp_path, [".text", "victim: xor %eax,%eax", "1: push %rbp", "ret", ".skip 4096,0x90", "other: ret"]
    )
    results = [
        place([Function(o.symbols["victim"], 4)], o.text, o.address, entries(o), NONE) for o in (both, alone)
    ]
    assert results == [[0], [2]]


def test_larger_text_is_not_searched() -> None:
    code = b"\x31\xc0\x55\xc3"
    small = code.ljust(LARGEST_TEXT, b"\x90")
    assert place([Function(0x1000, 4)], small, 0x1000, [0x1000], NONE) == [2]
    assert place([Function(0x1000, 4)], small + b"\x90", 0x1000, [0x1000], NONE) == [0]


def test_function_outside_of_the_text_is_left_alone() -> None:
    assert place([Function(0x10, 4), Function(0x9000, 4)], b"\x31\xc0\x55\xc3", 0x1000, [], NONE) == [0, 0]


def test_every_moved_probe_of_libc_is_at_an_emulated_instruction() -> None:
    path = LIBRARIES[0]
    segment = executable_segment(path)
    text, address = segment.content, segment.address
    sizes = {symbol.address: symbol.size for symbol in symbols(path, ".dynsym") if symbol.kind == "STT_FUNC"}
    all_functions = [Function(start, size) for start, size in sorted(sizes.items())]
    offsets = place(all_functions, text, address, sizes, ARGS)
    moved = [(f, o) for f, o in zip(all_functions, offsets, strict=True) if o]
    assert len(moved) > 100
    for function, offset in moved:
        at = function.address + offset - address
        assert rule_at_entry(text[at : at + 16]) == Accepted(emulated=True)
        assert offset < function.size


COUNTED = """
#include <stdlib.h>
#define KEPT __attribute__((noinline))
KEPT long leaf(long a, long b) { if (!a) return b; return a * b + 1; }
KEPT long frame(long a, long b) { volatile char s[64]; s[a & 63] = b; return leaf(s[b & 63], a); }
KEPT long recursive(long a, long b) { return a <= 0 ? b : recursive(a - 1, b) + frame(a, b); }
KEPT long tail(long a, long b) { return recursive(b & 7, a); }
KEPT long sum(long a, long b) { long s = b; while (a-- > 0) s += leaf(a, s); return s; }
long run(long n) { long s = 0; for (long i = 0; i < n; i++) s += tail(i, i) + sum(i & 3, i) + frame(i, s);
return s; }
"""


@pytest.mark.parametrize(
    "options",
    [["-O2"], ["-O1", "-fcf-protection=none"], ["-O2", "-fno-omit-frame-pointer", "-fcf-protection"]],
    ids="-".join,
)
def test_moved_probes_count_what_entry_probes_count(tmp_path: Path, options: list[str]) -> None:
    source = tmp_path / "counted.c"
    source.write_text(COUNTED)
    path = tmp_path / "counted.so"
    subprocess.run(["gcc", "-shared", "-fPIC", *options, "-o", path, source], check=True)
    compiled = read(path)
    names = ("leaf", "frame", "recursive", "tail", "sum")
    at = [Function(compiled.symbols[name], compiled.sizes[name]) for name in names]
    offsets = place(at, compiled.text, compiled.address, entries(compiled), NONE)
    moved = [(function, offset) for function, offset in zip(at, offsets, strict=True) if offset]
    assert moved
    library = ctypes.CDLL(str(path))
    counts = []
    for function, offset in moved:
        with (
            uprobe(path, function.address, os.getpid()) as entry,
            uprobe(path, function.address + offset, os.getpid()) as place_,
        ):
            library.run(100)
            counts.append((hits(entry), hits(place_)))
    assert all(entry == moved_to > 0 for entry, moved_to in counts), counts
