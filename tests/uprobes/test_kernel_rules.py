"""The rules of `kernel_rules` against the kernel itself: each probed instruction runs in a child, once for
real.

A site is what follows `SITE` in a body of the table below, which is a function `long f(unsigned char
memory[256])`. The parent runs it without a probe, a forked child with one. Whether the kernel stepped a copy
shows in the child's maps, where `[uprobes]` appears at its first step; nothing is timed.
"""

import ctypes
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from backend.uprobes.kernel_rules import Accepted, Corrupts, Refused, rule_at_entry, rule_inside
from tests.scratch.elf import section, symbols
from tests.uprobes.kernel_probe import ProbeRefused, hits, uprobe

ARENA = bytes(range(256))
ENOEXEC = 8
ENOTSUPP = 524

EMULATED = {
    "push_rbx": "mov %rbx,%rdx; mov $77,%ebx; SITE push %rbx; pop %rax; mov %rdx,%rbx; ret",
    "push_rsp": "SITE push %rsp; pop %rax; sub %rsp,%rax; ret",
    "push_r12": "mov %r12,%rdx; mov $77,%r12; SITE push %r12; pop %rax; mov %rdx,%r12; ret",
    "nop": "mov $5,%eax; SITE nop; ret",
    "nopw": "mov $5,%eax; SITE .byte 0x66,0x0f,0x1f,0x44,0,0; ret",
    "data16_nop": "mov $5,%eax; SITE .byte 0x66,0x90; ret",
    "nop_3": "mov $5,%eax; SITE .byte 0x0f,0x1f,0; ret",
    "nop_4": "mov $5,%eax; SITE .byte 0x0f,0x1f,0x40,0; ret",
    "nop_5": "mov $5,%eax; SITE .byte 0x0f,0x1f,0x44,0,0; ret",
    "nop_7": "mov $5,%eax; SITE .byte 0x0f,0x1f,0x80,0,0,0,0; ret",
    "nop_8": "mov $5,%eax; SITE .byte 0x0f,0x1f,0x84,0,0,0,0,0; ret",
    "nop_with_rex_w": "mov $5,%eax; SITE .byte 0x48,0x90; ret",
    "jmp_short": "mov $5,%eax; SITE jmp 1f; mov $6,%eax; 1: ret",
    "jmp_near": "mov $5,%eax; SITE .byte 0xe9; .long 5; mov $6,%eax; 1: ret",
    "jmp_bnd": "mov $5,%eax; SITE .byte 0xf2,0xeb,5; mov $6,%eax; 1: ret",
    "jcc_taken": "mov $5,%eax; cmp $4,%eax; SITE ja 1f; mov $6,%eax; 1: ret",
    "jcc_not_taken": "mov $5,%eax; cmp $4,%eax; SITE jb 1f; mov $6,%eax; 1: ret",
    "jcc_near": "mov $5,%eax; cmp $4,%eax; SITE .byte 0x0f,0x8f; .long 5; mov $6,%eax; 1: ret",
    "call": "SITE call 1f; 2: lea 2b(%rip),%rdx; sub %rdx,%rax; ret; 1: mov (%rsp),%rax; ret",
}
STEPPED = {
    "endbr64": "mov $5,%eax; SITE endbr64; ret",
    "mov_with_32_bits_to_itself": "mov $-1,%rax; SITE mov %eax,%eax; ret",
    "mov": "SITE mov $5,%eax; ret",
    "push_with_prefix": "mov %rbx,%rdx; mov $77,%ebx; SITE .byte 0x48,0x53; pop %rax; mov %rdx,%rbx; ret",
    "push_immediate": "SITE push $9; pop %rax; ret",
    "lea_rip": "SITE lea 0f(%rip),%rax; lea 0f(%rip),%rdx; sub %rdx,%rax; ret; 0:",
    "load_rip": "SITE mov 0f(%rip),%rax; ret; 0: .quad 1234",
    "load_rip_r9": "SITE mov 0f(%rip),%r9; mov %r9,%rax; ret; 0: .quad 1234",
    "shift_by_cl_rip": "mov $3,%ecx; SITE rolq %cl,scratch_word(%rip); mov scratch_word(%rip),%rax;"
    "rorq %cl,scratch_word(%rip); ret",
    "andn_rip": "mov $-1,%rcx; SITE andn 0f(%rip),%rcx,%rax; ret; 0: .quad 1234",
    "loop_once": "mov $1,%ecx; xor %eax,%eax; SITE loop 1f; mov $6,%eax; 1: add %rcx,%rax; ret",
    "loop_twice": "mov $2,%ecx; xor %eax,%eax; SITE loop 1f; mov $6,%eax; 1: add %rcx,%rax; ret",
    "jrcxz": "xor %ecx,%ecx; xor %eax,%eax; SITE jrcxz 1f; mov $6,%eax; 1: ret",
    "ret": "mov $5,%eax; SITE ret",
    "ret_n": "mov (%rsp),%rdx; mov %rsp,%rsi; push $0; push %rdx; lea 1f(%rip),%rcx; mov %rcx,(%rsp); "
    "SITE ret $8; 1: mov %rsi,%rax; sub %rsp,%rax; ret",
    "call_indirect": "lea 1f(%rip),%rax; SITE call *%rax; 2: lea 2b(%rip),%rdx; sub %rdx,%rax; ret; "
    "1: mov (%rsp),%rax; ret",
    "call_indirect_stack": "lea 1f(%rip),%rax; push $0; push %rax; SITE call *(%rsp); 2: pop %rdx; pop %rdx; "
    "lea 2b(%rip),%rdx; sub %rdx,%rax; ret; 1: mov (%rsp),%rax; ret",
    "jmp_indirect": "lea 1f(%rip),%rax; SITE jmp *%rax; mov $6,%eax; 1: mov $7,%eax; ret",
    "vex_load": "SITE vmovups (%rdi),%ymm0; vmovups %ymm0,64(%rdi); xor %eax,%eax; ret",
    "vex_alignr": "vmovups (%rdi),%xmm1; SITE vpalignr $3,%xmm1,%xmm1,%xmm0; vmovups %xmm0,64(%rdi); "
    "xor %eax,%eax; ret",
    "movs_once": "lea 64(%rdi),%rdx; mov %rdi,%rsi; mov %rdx,%rdi; SITE movsb; xor %eax,%eax; ret",
    "cpuid": "push %rbx; xor %eax,%eax; xor %ecx,%ecx; SITE cpuid; pop %rbx; ret",
    "popf": "pushf; orl $1,(%rsp); SITE popf; setc %al; movzbl %al,%eax; ret",
}
EITHER = {
    "nop_9": "mov $5,%eax; SITE .byte 0x66,0x0f,0x1f,0x84,0,0,0,0,0; ret",
    "xchg_rax_rax": "mov $5,%eax; SITE .byte 0x48,0x87,0xc0; ret",
    "nopl_7": "mov $5,%eax; SITE nopl 0x1000(%rax); ret",
    "mov_to_itself": "mov $5,%eax; SITE mov %rdx,%rdx; ret",
    "mov_r9_to_itself": "mov $5,%eax; SITE mov %r9,%r9; ret",
    "lea_of_itself": "mov $5,%eax; SITE .byte 0x48,0x8d,0x40,0x00; ret",
    "lea_of_itself_32": "mov $5,%eax; SITE .byte 0x48,0x8d,0x80,0,0,0,0; ret",
    "lea_of_rsp": "mov $5,%eax; SITE .byte 0x48,0x8d,0x64,0x24,0x00; ret",
    "pause": "mov $5,%eax; SITE pause; ret",
}
REFUSED = {
    "lock": "SITE lock incl (%rdi); ret",
    "cs_nop": "SITE .byte 0x2e,0x66,0x0f,0x1f,0x84,0,0,0,0,0; ret",
    "ds_prefix": "SITE .byte 0x3e,0x8b,0x07; ret",
    "notrack_jmp": "lea 1f(%rip),%rax; SITE notrack jmp *%rax; 1: ret",
    "int3": "SITE int3; ret",
    "int_80": "SITE int $0x80; ret",
    "hlt": "SITE hlt; ret",
    "in": "SITE in $1,%al; ret",
    "cli": "SITE cli; ret",
    "iret": "SITE iretq; ret",
    "mov_ss": "mov %ss,%eax; SITE mov %eax,%ss; ret",
    "jcc_66": "SITE .byte 0x66,0x74,0; ret",
    "call_66": "SITE .byte 0x66,0xe8,0,0,0,0; ret",
    "vpxor": "SITE vpxor %xmm0,%xmm0,%xmm0; ret",
    "vmovdqu_load": "SITE vmovdqu (%rdi),%ymm0; ret",
    "vpaddq": "SITE vpaddq %ymm1,%ymm2,%ymm3; ret",
    "vpmaskmov_store_of_xmm2": "SITE vpmaskmovd %xmm2,%xmm1,(%rdi); ret",
    "vfmsub132ps": "SITE vfmsub132ps %xmm1,%xmm2,%xmm3; ret",
}
CORRUPTS = {
    "xchg_r8_rax": "mov $5,%eax; mov $6,%r8d; SITE .byte 0x49,0x90; ret",
    "vmovdqu_store": "vmovups (%rdi),%ymm0; SITE vmovdqu %ymm0,64(%rdi); vzeroupper; mov $1,%eax; ret",
    "vzeroupper": "vmovups (%rdi),%ymm0; SITE vzeroupper; vmovups %ymm0,64(%rdi); mov $1,%eax; ret",
    "vpcmpeqb": "vpxor %xmm0,%xmm0,%xmm0; SITE vpcmpeqb %xmm0,%xmm0,%xmm1; vmovups %xmm1,64(%rdi); "
    "mov $1,%eax; ret",
    "vpshufd": "vmovups (%rdi),%xmm0; vmovaps %xmm0,%xmm1; SITE vpshufd $0x1b,%xmm0,%xmm1; "
    "vmovups %xmm1,64(%rdi); xor %eax,%eax; ret",
    "vpor": "vmovups (%rdi),%xmm0; vxorps %xmm1,%xmm1,%xmm1; SITE vpor %xmm0,%xmm1,%xmm1; "
    "vmovups %xmm1,64(%rdi); xor %eax,%eax; ret",
    "vpsubsb": "push $0; vmovups (%rdi),%xmm0; vxorps %xmm1,%xmm1,%xmm1; SITE vpsubsb %xmm0,%xmm1,%xmm1; "
    "vmovups %xmm1,64(%rdi); pop %rax; ret",
    "vcmpps": "vmovups (%rdi),%xmm0; SITE vcmpps $0,%xmm0,%xmm0,%xmm1; .rept 18; nop; .endr; "
    "mov $1,%eax; ret",
    "vfnmadd132ss": "vmovups (%rdi),%xmm0; SITE vfnmadd132ss %xmm0,%xmm0,%xmm1; nop; mov $1,%eax; ret",
    "pushf": "SITE pushf; pop %rax; ret",
    "rep_movsb": "mov $50,%ecx; mov %rdi,%rsi; lea 100(%rdi),%rdi; SITE rep movsb; xor %eax,%eax; ret",
    "syscall": "mov $39,%eax; SITE syscall; mov %r11,%rax; ret",
}
RED_ZONE = (
    "mov $20,%ecx; xor %eax,%eax; 1: movq $7,-8(%rsp); SITE .byte 0x0f,0x1f,0x44,0,0;"
    "add -8(%rsp),%rax; dec %ecx; jnz 1b; ret"
)
CASES = {**EMULATED, **STEPPED, **EITHER, **REFUSED, **CORRUPTS, "red_zone": RED_ZONE}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one call left: its result, its memory, and whether the kernel stepped a copy. None for each if it
    died.
    """

    result: int | None
    memory: bytes | None
    stepped: bool | None


class Code:
    """The shared object of all cases, mapped here so that the kernel looks at a site when it is probed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.library = ctypes.CDLL(str(path))
        self.content = path.read_bytes()
        text = section(path, ".text")
        self.offsets = {symbol.name: symbol.address + text.offset - text.address for symbol in symbols(path)}

    def site(self, name: str) -> int:
        return self.offsets[f"site_{name}"]

    def code_at(self, name: str) -> bytes:
        return self.content[self.site(name) : self.site(name) + 16]

    def run(self, name: str) -> tuple[int, bytes]:
        memory = ctypes.create_string_buffer(ARENA, 256)
        function = self.library[f"case_{name}"]
        function.restype = ctypes.c_uint64
        return function(memory), memory.raw


class Child:
    """A process that waits, runs one case, and reports its outcome."""

    def __init__(self, code: Code, name: str) -> None:
        start_read, self._start = os.pipe()
        self._outcome, outcome_write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._start)
            os.read(start_read, 1)
            result, memory = code.run(name)
            stepped = b"[uprobes]" in Path("/proc/self/maps").read_bytes()
            os.write(outcome_write, result.to_bytes(8, "little") + memory + bytes([stepped]))
            os._exit(0)
        os.close(start_read)
        os.close(outcome_write)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.close(self._start)
        os.close(self._outcome)
        os.waitpid(self.pid, 0)

    def finish(self) -> Outcome:
        os.write(self._start, b"!")
        report = b""
        while part := os.read(self._outcome, 512):
            report += part
        os.close(self._start)
        os.close(self._outcome)
        _, status = os.waitpid(self.pid, 0)
        if os.WIFSIGNALED(status):
            return Outcome(None, None, None)
        return Outcome(int.from_bytes(report[:8], "little"), report[8:-1], bool(report[-1]))


def probed(code: Code, name: str) -> tuple[Outcome, int]:
    """Run a case in a child with its site probed; return what came of it and the number of hits.

    Raises ProbeRefused; the case has run without a probe then.
    """
    child = Child(code, name)
    try:
        with uprobe(code.path, code.site(name), child.pid) as fd:
            return child.finish(), hits(fd)
    except ProbeRefused:
        child.kill()
        raise


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Code:
    folder = tmp_path_factory.mktemp("kernel_rules")
    lines = [".text"]
    for name, body in CASES.items():
        lines += [
            ".balign 64",
            f".globl case_{name}",
            f"case_{name}:",
            body.replace("SITE", f"site_{name}:"),
            ".balign 64, 0x90",
        ]
    lines += [".data", "scratch_word: .quad 0x123456789", '.section .note.GNU-stack,"",@progbits', ""]
    source = folder / "cases.S"
    source.write_text("\n".join(lines))
    path = folder / "cases.so"
    subprocess.run(["gcc", "-shared", "-o", path, source], check=True)
    return Code(path)


@pytest.mark.parametrize("name", EMULATED)
def test_an_emulated_instruction_has_its_effect_without_a_step(code: Code, name: str) -> None:
    assert rule_at_entry(code.code_at(name)) == Accepted(emulated=True)
    assert probed(code, name) == (Outcome(*code.run(name), stepped=False), 1)


@pytest.mark.parametrize("name", STEPPED)
def test_a_stepped_instruction_has_its_effect_from_a_copy(code: Code, name: str) -> None:
    assert rule_at_entry(code.code_at(name)) == Accepted(emulated=False)
    assert probed(code, name) == (Outcome(*code.run(name), stepped=True), 1)


@pytest.mark.parametrize("name", EITHER)
def test_a_nop_of_another_form_has_no_effect(code: Code, name: str) -> None:
    assert rule_at_entry(code.code_at(name)) == Accepted(emulated=False)
    outcome, count = probed(code, name)
    assert (outcome.result, outcome.memory, count) == (*code.run(name), 1)


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_instruction_is_refused_by_the_kernel(code: Code, name: str) -> None:
    assert isinstance(rule_at_entry(code.code_at(name)), Refused)
    with pytest.raises(ProbeRefused) as caught:
        probed(code, name)
    assert caught.value.number in (ENOEXEC, ENOTSUPP)


@pytest.mark.parametrize("name", CORRUPTS)
def test_a_corrupted_instruction_is_taken_and_goes_wrong(code: Code, name: str) -> None:
    assert isinstance(rule_at_entry(code.code_at(name)), Corrupts)
    outcome, count = probed(code, name)
    result, memory = code.run(name)
    assert (outcome.result, outcome.memory, count) != (result, memory, 1)


def test_a_five_byte_nop_inside_a_function_overwrites_the_red_zone(code: Code) -> None:
    assert rule_at_entry(code.code_at("red_zone")) == Accepted(emulated=True)
    assert isinstance(rule_inside(code.code_at("red_zone")), Corrupts)
    outcome, _ = probed(code, "red_zone")
    assert outcome.result != code.run("red_zone")[0] == 140
