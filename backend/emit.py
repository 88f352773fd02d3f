"""LLVM IR to code: for BPF an object to load into the kernel, for x86-64 one that any process can execute.

BPF code is made for the third instruction set (`v3`): atomics, 32-bit operations; every kernel from 5.12
runs it. Native code is position-independent and uses general registers only, so that whoever runs it in the
middle of something else has no others to save.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cache

import llvmlite.binding as llvm
import llvmlite.ir as ir

_BPF_TRIPLE = "bpfel"
_BPF_LEVEL = "v3"

# LLVM ends the process where a program needs more stack than it thinks that kernels have; the verifier's refusal can
# be reported. And it moves a computation to where its result is used, which for a sum of calls keeps every operand on
# the stack to the end.
_BPF_OPTIONS = ("-bpf-stack-size=1048576", "-disable-machine-sink")

_NATIVE_TRIPLE = "x86_64-pc-linux-gnu"
_NATIVE_LEVEL = "x86-64"
_GENERAL_REGISTERS_ONLY = "-x87,-mmx,-sse,-sse2,-fxsr"


def bpf_object(module: ir.Module) -> bytes:
    """Return the ELF object of a module's programs."""
    _initialize_bpf()
    machine = llvm.Target.from_triple(_BPF_TRIPLE).create_target_machine(cpu=_BPF_LEVEL, opt=2)
    module.triple = _BPF_TRIPLE
    module.data_layout = str(machine.target_data)
    with llvm.parse_assembly(str(module)) as parsed:
        parsed.verify()
        return bytes(machine.emit_object(parsed))


@cache
def _initialize_bpf() -> None:
    """Make LLVM ready once: it takes an option a single time."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    for option in _BPF_OPTIONS:
        llvm.set_option("dtrap", option)


def native_object(module: ir.Module, support: str, exported: Collection[str]) -> bytes:
    """Return the ELF object of a module linked with `support`, assembly of the functions that it calls.

    Only the functions in `exported` can be found in the object by name.
    """
    machine = _native_machine()
    module.triple = _NATIVE_TRIPLE
    module.data_layout = str(machine.target_data)
    with llvm.parse_assembly(str(module)) as linked:
        linked.link_in(llvm.parse_assembly(support))
        for name in (*linked.functions, *linked.global_variables):
            if not name.is_declaration and name.name not in exported:
                name.linkage = "internal"
        for variable in linked.global_variables:
            if variable.name in exported:
                variable.visibility = (
                    "hidden"  # else the code would look for it in a table that a linker fills
                )
        linked.verify()
        _passes().run(linked, llvm.create_pass_builder(machine, llvm.PipelineTuningOptions()))
        return bytes(machine.emit_object(linked))


def _passes() -> llvm.ModulePassManager:
    """Return the few passes that pay: a whole pipeline takes ten times as long to save nanoseconds of a hit."""
    passes = llvm.create_new_module_pass_manager()
    passes.add_global_dead_code_eliminate_pass()
    passes.add_always_inliner_pass()
    passes.add_sroa_pass()
    passes.add_instruction_combine_pass()
    passes.add_simplify_cfg_pass()
    return passes


def _native_machine() -> llvm.TargetMachine:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    llvm.initialize_native_asmparser()  # for the system call instructions in `support`
    return llvm.Target.from_triple(_NATIVE_TRIPLE).create_target_machine(
        cpu=_NATIVE_LEVEL, features=_GENERAL_REGISTERS_ONLY, opt=1, reloc="pic", codemodel="small"
    )


class NativeCode:
    """An object in this process's memory, and in that of processes forked from it, as long as this lives."""

    def __init__(self, code: bytes) -> None:
        machine = _native_machine()
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        self._engine.finalize_object()

    def address(self, name: str) -> int:
        """Return where an exported function begins."""
        address: int = self._engine.get_function_address(name)
        assert address, name
        return address

    def close(self) -> None:
        """Free the code: no address of it may be used any more."""
        self._engine.close()
