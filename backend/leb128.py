"""LEB128 numbers, as DWARF's tables hold them (DWARF 5, 7.6). Raises IndexError behind the end of the data."""


def unsigned(data: bytes, at: int) -> tuple[int, int]:
    """Return the number at an offset, and the offset behind it."""
    byte = data[at]
    if byte < 0x80:
        return byte, at + 1
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def signed(data: bytes, at: int) -> tuple[int, int]:
    """Return the number at an offset, and the offset behind it."""
    value, after = unsigned(data, at)
    if data[after - 1] & 0x40:
        value -= 1 << 7 * (after - at)
    return value, after
