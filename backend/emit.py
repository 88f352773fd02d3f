"""LLVM IR to object bytes: the only user of llvmlite.binding.

BPF code is made for the third instruction set (`v3`): atomics, 32-bit operations; every kernel from 5.12 runs it.
"""

from __future__ import annotations

import llvmlite.binding as llvm
import llvmlite.ir as ir

_BPF_TRIPLE = "bpfel"
_BPF_LEVEL = "v3"


def bpf_object(module: ir.Module) -> bytes:
    """Return the ELF object of a module's programs."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    machine = llvm.Target.from_triple(_BPF_TRIPLE).create_target_machine(cpu=_BPF_LEVEL, opt=2)
    module.triple = _BPF_TRIPLE
    module.data_layout = str(machine.target_data)
    with llvm.parse_assembly(str(module)) as parsed:
        parsed.verify()
        return bytes(machine.emit_object(parsed))
