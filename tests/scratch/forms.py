"""Instructions of real libraries, one of each distinct form, and registers and memory to run them with."""

import random
import struct
from collections.abc import Iterator
from functools import cache

from scratch.encoding import Encoding, Scheme, Undecodable, parse
from tests.scratch.elf import section
from tests.scratch.sacrifice import ARENA, ARENA_SIZE, CODE, GENERAL, Start

MASK = (1 << 64) - 1
LIBRARIES = (
    "/lib/x86_64-linux-gnu/libc.so.6",
    "/lib64/ld-linux-x86-64.so.2",
    "/usr/lib/x86_64-linux-gnu/libstdc++.so.6",
    "/usr/lib/x86_64-linux-gnu/libcrypto.so.3",
    "/usr/bin/python3",
)


@cache
def text_of(path: str) -> tuple[bytes, int]:
    """Return the .text section of an ELF file and its address."""
    text = section(path, ".text")
    return text.content, text.address


def form(encoding: Encoding) -> tuple[object, ...]:
    """Return what distinguishes an instruction's form: opcode, prefixes and the shape of its operands, not
    which registers.
    """
    modrm = encoding.modrm
    if modrm < 0:
        shape: tuple[int, ...] = ()
    elif modrm >= 0xC0:
        shape = (3, encoding.reg)
    else:
        base = modrm & 7
        shape = (
            modrm >> 6,
            encoding.reg,
            base if base in (4, 5) else 0,
            *((encoding.sib & 7 in (4, 5),) if base == 4 else ()),
        )
    return (
        encoding.scheme,
        bytes(sorted(encoding.prefixes)),
        encoding.rex,
        encoding.opcode_map,
        encoding.opcode,
        shape,
        encoding.displacement_size,
        encoding.size,
    )


def distinct_forms(paths: tuple[str, ...]) -> Iterator[bytes]:
    """Yield one instruction of each form, in the order of their appearance in a linear sweep."""
    seen: set[tuple[object, ...]] = set()
    for path in paths:
        code, _ = text_of(path)
        at = 0
        while at < len(code):
            encoding = parse(code[at : at + 16])
            if isinstance(encoding, Undecodable):
                at += 1
                continue
            key = form(encoding)
            if key not in seen:
                seen.add(key)
                yield code[at : at + encoding.size]
            at += encoding.size


def start_for(
    code: bytes, encoding: Encoding, chance: random.Random, vectors: bytes, address: int
) -> tuple[bytes, Start]:
    """Return the instruction, moved to `address` with an operand it can reach, and what to start it with.

    Most memory operands lie in the arena, some elsewhere so that they fault; rcx is mostly small, for loops
    and `rep`.
    """
    general = {name: _value(chance) for name in GENERAL}
    general["rsp"] = ARENA + ARENA_SIZE // 2 + 16 * chance.randrange(-64, 64)
    general["rsi"] = _pointer(chance)
    general["rdi"] = _pointer(chance)
    if chance.random() < 0.8:
        general["rcx"] = chance.choice((0, 1, 2, 3, 40, 1 << 32, (1 << 32) + 1))
    if chance.random() < 0.9:
        code = _aim(code, encoding, general, chance, address)
    if (encoding.opcode_map, encoding.opcode) in _SYSTEM_CALLS:
        general["rax"] = chance.choice(_SYSTEM_CALLS[encoding.opcode_map, encoding.opcode])
    registers = {
        **general,
        "flags": 0x202
        | chance.getrandbits(12) & 0x8D5
        | (chance.random() < 0.2) << 10
        | (chance.random() < 0.05) << 18,
        "fs_base": _pointer(chance),
        "gs_base": _pointer(chance),
    }
    return code, Start(registers, _vectors(vectors, chance), _arena(encoding, chance))


def _arena(encoding: Encoding, chance: random.Random) -> bytes:
    """Return random memory; for returns and indirect branches mostly addresses in the code page."""
    goes_there = encoding.opcode_map == 0 and encoding.opcode in b"\xff\xc2\xc3"
    if not goes_there or chance.random() < 0.3:
        return chance.randbytes(ARENA_SIZE)
    word = (CODE + chance.randrange(0xC80, 0xF00)).to_bytes(8, "little")
    return word * (ARENA_SIZE // 8)


# syscall and int 0x80, with calls that change nothing: getpid, getuid or getppid, and one that does not
# exist.
_SYSTEM_CALLS = {(1, 0x05): (39, 102, 1000), (0, 0xCD): (20, 64, 1000)}


def _value(chance: random.Random) -> int:
    kind = chance.random()
    if kind < 0.3:
        return _pointer(chance)
    if kind < 0.5:
        return chance.randrange(-130, 130) & MASK
    if kind < 0.6:
        return chance.choice((0, 1, MASK, 1 << 63, (1 << 63) - 1, 1 << 31, 0xFFFFFFFF, 1 << 32))
    return chance.getrandbits(64)


def _pointer(chance: random.Random) -> int:
    return ARENA + ARENA_SIZE // 2 + 64 * chance.randrange(-24, 24) + chance.choice((0, 0, 0, 8, 16, 32, 1))


def _aim(
    code: bytes, encoding: Encoding, general: dict[str, int], chance: random.Random, address: int
) -> bytes:
    """Let the instruction's memory operand lie in the arena: by its base register, or its displacement beside
    rip.
    """
    if not 0 <= encoding.modrm < 0xC0:
        return code
    target = _pointer(chance)
    at = encoding.displacement_offset
    if encoding.rip_relative:
        distance = target - (address + encoding.size)
        return code[:at] + struct.pack("<i", distance) + code[at + 4 :]
    size = encoding.displacement_size
    target -= int.from_bytes(code[at : at + size], "little", signed=True)
    high = _high_bits(code, encoding)
    base = encoding.modrm & 7 | high[0]
    if encoding.modrm & 7 == 4:
        if encoding.sib & 7 == 5 and encoding.modrm < 0x40:
            return code
        base = encoding.sib & 7 | high[0]
        index = (encoding.sib >> 3) & 7 | high[1]
        if index not in (4, base):
            general[GENERAL[index]] = chance.randrange(-8, 8) & MASK
            target -= general[GENERAL[index]] << (encoding.sib >> 6)
    general[GENERAL[base]] = target & MASK
    return code


def _high_bits(code: bytes, encoding: Encoding) -> tuple[int, int]:
    """Return what extends base and index, 0 or 8 each."""
    match encoding.scheme:
        case Scheme.LEGACY:
            return (encoding.rex & 1) << 3, (encoding.rex & 2) << 2
        case Scheme.VEX2:
            return 0, 0
        case _:
            inverted = ~code[encoding.scheme_offset + 1]
            return (inverted & 0x20) >> 2, (inverted & 0x40) >> 3


_MXCSR = 24
_XMM = 160
_FEATURES = 464
_STATE_BITS = 512
_EXTENDED = 576
_PKRU = 2688


def _vectors(template: bytes, chance: random.Random) -> bytes:
    """Return an xsave image with random x87, SSE, AVX and AVX-512 state, each register valid; PKRU as in
    `template`.
    """
    image = bytearray(template)
    end = min(len(image), _PKRU)
    image[32:_XMM] = b"".join(chance.randbytes(10) + bytes(6) for _ in range(8))
    image[4] = 0xFF
    image[8:24] = bytes(16)
    image[_XMM:416] = chance.randbytes(256)
    image[_EXTENDED:end] = chance.randbytes(end - _EXTENDED)
    if chance.random() < 0.3:
        image[_XMM:416] = struct.pack("<32Q", *(_pointer(chance) - ARENA for _ in range(32)))
    mxcsr = 0x1F80 | chance.randrange(4) << 13
    if chance.random() < 0.1:
        mxcsr &= ~0x1F80
    image[_MXCSR : _MXCSR + 4] = struct.pack("<I", mxcsr)
    (features,) = struct.unpack_from("<Q", template, _FEATURES)
    struct.pack_into("<Q", image, _STATE_BITS, features & 0xE7)
    return bytes(image)


def site(chance: random.Random) -> int:
    """Return an address for the probed instruction, with room for it in the code page and after it."""
    return CODE + 0x400 + chance.randrange(0x800)
