"""A set of addresses in one range, as bits: what may be entered of an object, for windows.py.

A browser's library has a hundred million bytes of code, so it is an eighth of that, whatever is in it.
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class AddressSet:
    """Bit n of byte m of `bits` stands for the address `start + 8 * m + n`; no other address is in the set.

    Whoever made it of a bytearray may change that.
    """

    start: int
    bits: bytes | bytearray

    def __contains__(self, address: int) -> bool:
        at = address - self.start
        return 0 <= at >> 3 < len(self.bits) and self.bits[at >> 3] >> (at & 7) & 1 != 0

    def first(self, low: int, high: int) -> int | None:
        """Return the first address of the set in [low, high)."""
        low = max(low, self.start)
        high = min(high, self.start + 8 * len(self.bits))
        if low >= high:
            return None
        begin = (low - self.start) >> 3
        word = int.from_bytes(self.bits[begin : (high - self.start + 7) >> 3], "little")
        base = self.start + 8 * begin
        word = word >> (low - base) << (low - base) & (1 << (high - base)) - 1
        return base + (word & -word).bit_length() - 1 if word else None

    def moved(self, distance: int) -> "AddressSet":
        """Return the same set, as it is in a process where the object lies so much higher than its file says."""
        return replace(self, start=self.start + distance)
