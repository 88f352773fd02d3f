"""The constants of generated code: strings, tables, initial values. One block, read-only at run time."""

from __future__ import annotations


class Constants:
    """The constants that code refers to: each distinct one once, 8-byte aligned."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._places: dict[bytes, int] = {}

    def place(self, data: bytes) -> int:
        """Return the offset of these bytes."""
        if data not in self._places:
            self._data += bytes(-len(self._data) % 8)
            self._places[data] = len(self._data)
            self._data += data
        return self._places[data]

    def contents(self) -> bytes:
        """Return all of them, at least 8 bytes."""
        return bytes(self._data) + bytes(-len(self._data) % 8 or (0 if self._data else 8))
