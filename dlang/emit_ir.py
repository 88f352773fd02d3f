"""Small phrases of LLVM IR that several parts of code generation share. Values are i64, pointers opaque."""

from __future__ import annotations

from typing import Final

import llvmlite.ir as ir

I8: Final = ir.IntType(8)
I32: Final = ir.IntType(32)
I64: Final = ir.IntType(64)
POINTER: Final = ir.PointerType()


def constant(number: int) -> ir.Constant:
    """Return an i64 constant; negative numbers in two's complement."""
    return ir.Constant(I64, number & ((1 << 64) - 1))


def at(b: ir.IRBuilder, pointer: ir.Value, offset: ir.Value | int) -> ir.Value:
    """Return the pointer `offset` bytes further on."""
    if isinstance(offset, int):
        if offset == 0:
            return pointer
        offset = constant(offset)
    return b.gep(pointer, [offset], source_etype=I8)


def load(b: ir.IRBuilder, pointer: ir.Value, offset: int = 0) -> ir.Value:
    """Return the 64-bit word at `pointer + offset`."""
    return b.load(at(b, pointer, offset), typ=I64)


def store(b: ir.IRBuilder, value: ir.Value | int, pointer: ir.Value, offset: int = 0) -> None:
    """Write a 64-bit word."""
    b.store(constant(value) if isinstance(value, int) else value, at(b, pointer, offset))


def store32(b: ir.IRBuilder, value: ir.Value | int, pointer: ir.Value, offset: int) -> None:
    """Write the low 32 bits of a value."""
    narrow = ir.Constant(I32, value) if isinstance(value, int) else b.trunc(value, I32)
    b.store(narrow, at(b, pointer, offset))


def stack_words(b: ir.IRBuilder, count: int) -> ir.Value:
    """Return a pointer to words on the stack; call it in a function's entry block."""
    words = b.alloca(I64, size=count)
    # llvmlite still gives this one instruction a typed pointer, which it then compares with what is stored.
    words.type = POINTER
    return words


def zero_words(b: ir.IRBuilder, pointer: ir.Value, size: int) -> None:
    """Write `size` zero bytes, a multiple of 8."""
    for offset in range(0, size, 8):
        store(b, 0, pointer, offset)


def copy_words(b: ir.IRBuilder, destination: ir.Value, source: ir.Value, size: int) -> None:
    """Copy `size` bytes, a multiple of 8."""
    for offset in range(0, size, 8):
        store(b, load(b, source, offset), destination, offset)


def is_null(b: ir.IRBuilder, pointer: ir.Value) -> ir.Value:
    return b.icmp_unsigned("==", pointer, ir.Constant(POINTER, None))


def continue_when(b: ir.IRBuilder, condition: ir.Value, otherwise: ir.Block) -> None:
    """Go on behind this where a condition holds, and elsewhere where it does not."""
    go_on = b.append_basic_block("go_on")
    b.cbranch(condition, go_on, otherwise)
    b.position_at_end(go_on)


def add_atomically(b: ir.IRBuilder, pointer: ir.Value, value: ir.Value, offset: int = 0) -> None:
    """Add to a word that other threads add to as well."""
    b.atomic_rmw("add", at(b, pointer, offset), value, "monotonic")


def fetch_and_add(b: ir.IRBuilder, pointer: ir.Value, value: ir.Value, offset: int = 0) -> ir.Value:
    """Add likewise, and return what was there before.

    Sequentially consistent, since LLVM's BPF backend makes a plain addition of a monotonic one whose result is
    only used in part.
    """
    return b.atomic_rmw("add", at(b, pointer, offset), value, "seq_cst")


def extend(b: ir.IRBuilder, value: ir.Value, size: int, *, signed: bool) -> ir.Value:
    """Return the low `size` bytes of a value, extended to 64 bits again."""
    if size == 8:
        return value
    narrow = b.trunc(value, ir.IntType(8 * size))
    return b.sext(narrow, I64) if signed else b.zext(narrow, I64)


def as_word(b: ir.IRBuilder, bit: ir.Value) -> ir.Value:
    """Return an i1 as 0 or 1."""
    return b.zext(bit, I64)


def opaque(b: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """Return the value as one of which LLVM knows nothing. To be used before a comparison that bounds an offset.

    Otherwise LLVM may compare what the value was computed from (`x` in place of `~x`), and the kernel's verifier
    does not see that the value itself is bounded.
    """
    identity = ir.FunctionType(I64, [I64])
    return b.asm(identity, "", "=r,0", [value], side_effect=False)
