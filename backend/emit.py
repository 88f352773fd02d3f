"""LLVM IR to code: for BPF an object to load into the kernel, for x86-64 one that any process can execute.

BPF code is made for the third instruction set (`v3`): atomics, 32-bit operations; every kernel from 5.12
runs it. A program in which jumps lead further than 32,767 instructions needs the fourth, of Linux 6.6. Native
code is position-independent and uses general registers only, so that whoever runs it in the middle of something
else has no others to save.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from functools import cache
from multiprocessing import get_context

import llvmlite.binding as llvm
import llvmlite.ir as ir

from backend.errors import ProgramTooLarge

_BPF_TRIPLE = "bpfel"
_BPF_LEVELS = ("v3", "v4")
_LARGE = 300_000
"""Characters of a module's text from which on jumps may be too far for the third instruction set."""

# LLVM ends the process where a program needs more stack than it thinks that kernels have; the verifier's refusal can
# be reported. And it moves a computation to where its result is used, which for a sum of calls keeps every operand on
# the stack to the end.
_BPF_OPTIONS = ("-bpf-stack-size=1048576", "-disable-machine-sink")

_NATIVE_TRIPLE = "x86_64-pc-linux-gnu"
_NATIVE_LEVEL = "x86-64"
_GENERAL_REGISTERS_ONLY = "-x87,-mmx,-sse,-sse2,-fxsr"


def bpf_object(module: ir.Module) -> bytes:
    """Return the ELF object of a module's programs. Raises ProgramTooLarge."""
    module.triple = _BPF_TRIPLE
    module.data_layout = str(_bpf_machine(_BPF_LEVELS[0]).target_data)
    text = str(module)
    if len(text) < _LARGE:
        return _bpf_object(text, _BPF_LEVELS[0])
    # LLVM ends the process where a jump is too far.
    for level in _BPF_LEVELS:
        with (
            suppress(BrokenProcessPool),
            ProcessPoolExecutor(1, get_context("fork"), initializer=_be_silent) as child,
        ):
            return child.submit(_bpf_object, text, level).result()
    raise ProgramTooLarge("a clause is too long for BPF's jumps")


def _be_silent() -> None:
    """What LLVM says when it gives up is for its makers, not for users."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def _bpf_object(text: str, level: str) -> bytes:
    with llvm.parse_assembly(text) as parsed:
        parsed.verify()
        return bytes(_bpf_machine(level).emit_object(parsed))


def _bpf_machine(level: str) -> llvm.TargetMachine:
    _initialize_bpf()
    return llvm.Target.from_triple(_BPF_TRIPLE).create_target_machine(cpu=level, opt=2)


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
