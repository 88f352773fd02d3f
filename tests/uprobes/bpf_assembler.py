"""Just enough BPF assembly for tests: each function returns the 8 (or 16) bytes of one instruction.

Source: Documentation/bpf/standardization/instruction-set.rst. Programs under test otherwise come from LLVM.
"""

import struct

R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10 = range(11)
MAP_FD, MAP_VALUE = 1, 2  # src_reg of load_map: BPF_PSEUDO_MAP_FD, BPF_PSEUDO_MAP_VALUE
ADD, FETCH, CMPXCHG = 0x00, 0x01, 0xF1  # imm of atomic()


def instruction(code: int, dst: int = 0, src: int = 0, offset: int = 0, immediate: int = 0) -> bytes:
    return struct.pack("<BBhi", code, src << 4 | dst, offset, immediate)


def move(dst: int, immediate: int) -> bytes:
    return instruction(0xB7, dst, immediate=immediate)


def move_register(dst: int, src: int) -> bytes:
    return instruction(0xBF, dst, src)


def add(dst: int, immediate: int) -> bytes:
    return instruction(0x07, dst, immediate=immediate)


def load_map(dst: int, reference: int, kind: int, value_offset: int = 0) -> bytes:
    return instruction(0x18, dst, kind, immediate=reference) + instruction(0, immediate=value_offset)


def load64(dst: int, src: int, offset: int) -> bytes:
    return instruction(0x79, dst, src, offset)


def store64(dst: int, offset: int, src: int) -> bytes:
    return instruction(0x7B, dst, src, offset)


def store64_immediate(dst: int, offset: int, immediate: int) -> bytes:
    return instruction(0x7A, dst, offset=offset, immediate=immediate)


def atomic64(dst: int, offset: int, src: int, operation: int) -> bytes:
    return instruction(0xDB, dst, src, offset, operation)


def jump_if_equal(dst: int, immediate: int, offset: int) -> bytes:
    return instruction(0x15, dst, offset=offset, immediate=immediate)


def jump_if_not_equal(dst: int, immediate: int, offset: int) -> bytes:
    return instruction(0x55, dst, offset=offset, immediate=immediate)


def jump_if_less(dst: int, immediate: int, offset: int) -> bytes:
    return instruction(0xA5, dst, offset=offset, immediate=immediate)


def jump_if_greater_or_equal_register(dst: int, src: int, offset: int) -> bytes:
    return instruction(0x3D, dst, src, offset)


def jump(offset: int) -> bytes:
    return instruction(0x05, offset=offset)


def call(helper: int) -> bytes:
    return instruction(0x85, immediate=helper)


def leave() -> bytes:
    return instruction(0x95)
