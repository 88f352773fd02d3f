"""`python -m tests.scratch.fuzz [SEED]`: displaced execution against execution at home, until stopped or
wrong.

First every form of instruction in this machine's libraries, then instructions made up at random, with new
registers and memory each time round. A difference is printed with the seed that finds it again.
"""

import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.scratch.differential import compare, runnable
from tests.scratch.forms import LIBRARIES, distinct_forms
from tests.scratch.sacrifice import sacrifice

_PREFIXES = b"\x26\x2e\x36\x3e\x64\x65\x66\x67\xf0\xf2\xf3"


def made_up(chance: random.Random) -> bytes:
    """Return 15 bytes that may begin with an instruction: prefixes, an opcode of any map, random bytes."""
    head = bytes(chance.choices(_PREFIXES, k=chance.choice((0, 0, 0, 1, 1, 2))))
    kind = chance.randrange(8)
    if kind < 5:
        rex = bytes((0x40 | chance.randrange(16),)) if chance.random() < 0.5 else b""
        head += rex + (b"", b"\x0f", b"\x0f", b"\x0f\x38", b"\x0f\x3a")[kind]
    elif kind == 5:
        head = b"\xc5" + chance.randbytes(1)
    elif kind == 6:
        head = b"\xc4" + bytes((chance.randrange(8) << 5 | chance.randrange(1, 4), chance.randrange(256)))
    else:
        head = b"\x62" + bytes(
            (
                chance.randrange(16) << 4 | chance.randrange(1, 4),
                chance.randrange(256) | 4,
                chance.randrange(256),
            )
        )
    modrm = chance.randrange(256) if chance.random() < 0.7 else chance.randrange(8) << 3 | 5
    return (head + bytes((chance.randrange(256), modrm)) + chance.randbytes(15))[:15]


def instructions(chance: random.Random) -> Iterator[bytes]:
    """Yield the libraries' forms in random order, then made-up instructions for ever."""
    forms = list(distinct_forms(LIBRARIES))
    chance.shuffle(forms)
    yield from forms
    while True:
        yield made_up(chance)


def main() -> int:
    """Run until a difference is found (status 1) or until interrupted."""
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}", flush=True)
    chance = random.Random(seed)
    executed = 0
    with tempfile.TemporaryDirectory() as folder, sacrifice(Path(folder)) as process:
        for code in instructions(chance):
            if not runnable(code):
                continue
            executed += 1
            if executed % 10_000 == 0:
                print(f"{executed} instructions, no difference", flush=True)
            differences = compare(process, code, chance)
            if differences:
                print(f"seed {seed}, instruction {executed}")
                for difference in differences:
                    print(difference)
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
