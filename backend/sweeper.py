"""Sweeps of whole ranges of code by native code, which is made with LLVM once and kept.

Lives here: `sweep`, what begins at every byte of a range; `Marker`, which notes besides in a set of bits all
addresses that direct branches lead to or that operands name. The loop is sweep_code.py's, its tables and its
result scratch/sweep.py's. scratch/flow.py and backend/entered.py take the results.
"""

from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Final

from backend import emit, sweep_code
from backend.linux.native_call import native_function
from backend.object_cache import compiled
from scratch.sweep import Swept, Tables, tables

_READ_BEYOND: Final = 32
"""The loop looks at bytes behind the last before it knows that they are too many; so many zeros follow."""

_SHORTEST_LEA: Final = 6
_NO_MORE: Final = (1 << 64) - 1
_DIGITS: Final = bytes(b"01"[info > 0] for info in range(256))
"""For each byte of Swept.info, as a binary digit: does something begin there?"""


def sweep(code: bytes, address: int, starts: Iterable[int] = ()) -> Swept:
    """Decode `code`, which lies at `address`, from its beginning to its end.

    At each of `starts` (addresses, ascending) an instruction begins for certain: one that would reach over it
    is none. Some nanoseconds an instruction, some microseconds a call.
    """
    info, _ = _run(code, address, starts, {})
    return Swept(address, code, info)


class Marker:
    """A set of addresses in [start, end) that swept code leads to, and the operands of its `lea` instructions.

    `bits`: bit n of byte m stands for `start + 8 * m + n`. `references`: pairs of an instruction's address
    and its operand's. `absolute`: the code is linked for a fixed address, so that any 4-byte constant in it
    may be one.
    """

    def __init__(self, start: int, end: int, *, absolute: bool) -> None:
        self.start = start
        self.size = max(end - start, 0)
        self.absolute = absolute
        self.bits = array("B", bytes((self.size >> 3) + 1))
        self.references = array("Q")
        self.count = 0

    def sweep(self, code: bytes, address: int, starts: Iterable[int] = ()) -> Swept:
        """Do as the function `sweep` does, and mark what the code leads to."""
        found = array("Q", bytes(16 * (len(code) // _SHORTEST_LEA + 1)))
        marks = {
            "marks": self.bits.buffer_info()[0],
            "marks_address": self.start,
            "marks_size": self.size,
            "references": found.buffer_info()[0],
            "absolute": int(self.absolute),
        }
        info, job = _run(code, address, starts, marks)
        self.references += found[: 2 * job["reference_count"]]
        self.count += job["count"]
        return Swept(address, code, info)

    def mark(self, addresses: Iterable[int]) -> None:
        """Put addresses into the set; those outside of its range can't be in it."""
        for address in addresses:
            at = address - self.start
            if 0 <= at < self.size:
                self.bits[at >> 3] |= 1 << (at & 7)

    def mark_beginnings(self, swept: Swept) -> None:
        """Put the addresses of all instructions of a sweep into the set, all at once: some code has millions."""
        low, high = max(swept.address, self.start), min(swept.end, self.start + self.size)
        info = swept.info[max(low - swept.address, 0) : max(high - swept.address, 0)]
        if info:
            at = low - self.start
            place = slice(at >> 3, (at + len(info) + 7) >> 3)
            known = self.bits[place]
            new = int(info.translate(_DIGITS)[::-1], 2) << (at & 7)
            both = new | int.from_bytes(known, "little")
            self.bits[place] = array("B", both.to_bytes(len(known), "little"))


def _run(
    code: bytes, address: int, starts: Iterable[int], marks: dict[str, int]
) -> tuple[bytes, dict[str, int]]:
    """Run one job; return what begins at each byte, and the job's words afterwards."""
    content = array("B", code)
    content.frombytes(bytes(_READ_BEYOND))
    info = array("B", bytes(len(code)))
    offsets = array("Q", [start - address for start in starts if start > address])
    offsets.append(_NO_MORE)
    native = _native()
    given = {
        "code": content.buffer_info()[0],
        "size": len(code),
        "tables": native.content.buffer_info()[0],
        "info": info.buffer_info()[0],
        "starts": offsets.buffer_info()[0],
        "address": address,
        **marks,
    }
    job = array("Q", [given.get(name, 0) for name in sweep_code.WORDS])
    native.run(job.buffer_info()[0])
    return info.tobytes(), dict(zip(sweep_code.WORDS, job, strict=True))


@dataclass(frozen=True, slots=True)
class _Native:
    """The loop, and the tables that it reads. `code` is held so that it stays where it is."""

    run: Callable[[int], int]
    content: "array[int]"
    code: emit.NativeCode


@cache
def _native() -> _Native:
    made: Tables = tables()
    module = sweep_code.module(made)
    text = str(module)
    code = emit.NativeCode(
        compiled("x86-64 sweep", text, lambda: emit.native_object(module, "", (sweep_code.ENTRY,)))
    )
    run = native_function(code.address(sweep_code.ENTRY), 1)
    return _Native(run, array("B", made.content), code)
