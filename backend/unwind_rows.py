"""How the callers of an object's functions are found: its `.eh_frame`, run once, as rows of rules sorted by address.

Lives here: the virtual machine of DWARF's call frame information, as far as rsp, rbp and the return address go. Not
here: where rows go and how they are searched (dlang/unwind_format.py, backend/stack_tables.py). What a rule can't say
ends a stack. Nothing in a file is trusted: entries that contradict themselves are passed over. Sources: DWARF 5, 6.4;
Linux Standard Base, "Exception Frames"; System V ABI, AMD64 supplement, 3.6.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from backend.errors import MalformedElf
from backend.function_table import Function
from backend.leb128 import signed, unsigned
from backend.prologues import Entry, guessed_entries
from backend.symbols_elf import ElfFile
from dlang.unwind_format import (
    BLOCK_BITS,
    BLOCK_BYTES,
    END_RULE,
    FRAME_POINTER_RULE,
    RBP,
    RSP,
    SAVED_AT_RBP,
    Way,
    rule,
)

_RETURN_ADDRESS: Final = 16
_LARGEST_TEXT: Final = 1 << 31
_MOST_STEPS: Final = 1 << 16
"""Instructions of one entry that are followed: a hostile one could go on for as long as its section."""
_MOSTLY_COVERED: Final = 0.9
"""Where entries cover this much of the text, the rest is padding and what the linker made."""
_RESTORER: Final = bytes.fromhex("48c7c00f0000000f05")
"""`mov $15, %rax; syscall`: rt_sigreturn, what every C library returns from a signal's handler with."""

# The expressions that compilers, assemblers and linkers write; anything else ends a stack.
_PLT_EXPRESSION: Final = bytes.fromhex("770880003f1a3b2a332422")
"""rsp + 8 + ((rip & 15) >= 11) * 8, by the linker for its tables."""
_DEREFERENCE: Final = 0x06
_PLUS_CONSTANT: Final = 0x23
_BREG0: Final = 0x70
_LAST_BREG: Final = 0x7F

_SIGNED_4, _PC_RELATIVE_SIGNED_4 = 0x0B, 0x1B
_UNSIGNED_4, _ABSOLUTE, _SIGNED_8, _PC_RELATIVE_8, _PC_RELATIVE_SIGNED_8 = 0x03, 0x00, 0x0C, 0x10, 0x1C
_POINTERS: Final = {
    _PC_RELATIVE_SIGNED_4: ("<i", "<I", True),
    _SIGNED_4: ("<i", "<I", False),
    _UNSIGNED_4: ("<I", "<I", False),
    _ABSOLUTE: ("<Q", "<Q", False),
    _SIGNED_8: ("<q", "<Q", False),
    _PC_RELATIVE_8: ("<Q", "<Q", True),
    _PC_RELATIVE_SIGNED_8: ("<q", "<Q", True),
}
"""By encoding: how a start and a length are packed, and whether the start counts from its own place."""


@dataclass(frozen=True, slots=True)
class Rows:
    """An object's rows: each `offset << 32 | rule`, ascending, the offset counted from virtual address `base`; and for
    each block of text, and the end, which row holds where it begins (dlang/unwind_format.py)."""

    base: int
    rows: array[int]
    blocks: array[int]


@dataclass(frozen=True, slots=True)
class _Common:
    """A common information entry: `signal` frames are the kernel's; `initial` are the instructions of all its
    functions; `broken` where it asks for what is not understood."""

    code_factor: int
    data_factor: int
    encoding: int
    augmented: bool
    signal: bool
    initial: bytes
    broken: bool


_State = tuple[int | None, int]
"""A rule of the CFA (without where rbp is saved; None where it can't be said), and where rbp is saved, as in a rule; -1
where that can't be said."""


def unwind_rows(file: ElfFile, functions: Callable[[], Sequence[Function]] = lambda: ()) -> Rows | None:
    """Return the rows of an object; None where nothing is known. Raises MalformedElf.

    `functions` is asked where much of the text has no entry in `.eh_frame`: see backend/prologues.py.
    """
    section = file.section(".eh_frame")
    text = [part for part in file.sections if part.executable]
    if not text:
        return None
    base = min(part.address for part in text)
    end = max(part.address + part.size_bytes for part in text)
    if end - base >= _LARGEST_TEXT:
        raise MalformedElf(f"text of {end - base} bytes")
    found: list[Entry] = []
    if section is not None:
        found = entries(file.section_bytes(section), section.address, _signal_returns(file))
    covered = sum(length for _, length, _ in found)
    if covered < _MOSTLY_COVERED * sum(part.size_bytes for part in text):
        found += guessed_entries(file, functions(), found)
    # Go keeps frame pointers and writes no tables; elsewhere nothing is known of what has no entry.
    go = file.section(".gopclntab") is not None
    if not found and not go:
        return None
    rows = joined_rows(found, base, end, FRAME_POINTER_RULE if go else END_RULE)
    return Rows(base, rows, _blocks(rows, end - base))


def joined_rows(entries: list[Entry], base: int, end: int, gap: int = END_RULE) -> array[int]:
    """Return the rows of all entries in the order of their addresses, for the text from `base` to `end`.

    `gap` is the rule of what lies between entries.
    """
    entries.sort()
    rows = array("Q", [gap])
    last_rule, covered = gap, 0
    append = rows.append
    for start, length, own in entries:
        offset, limit = start - base, start - base + length
        if offset < covered or limit > end - base:
            continue
        if offset > covered and last_rule != gap:
            append(covered << 32 | gap)
            last_rule = gap
        for delta, rule_ in own:
            if delta >= length:
                break
            if rule_ != last_rule:
                at = offset + delta
                if rows[-1] >> 32 == at:
                    rows[-1] = at << 32 | rule_
                else:
                    append(at << 32 | rule_)
                last_rule = rule_
        covered = limit
    if last_rule != gap:
        append(covered << 32 | gap)
    return rows


def _blocks(rows: array[int], size: int) -> array[int]:
    """Return for each block, and the end, the number of the row that holds where it begins."""
    count = (size >> BLOCK_BITS) + 2
    blocks = array("I", bytes(4 * count))
    block = 0
    for number, row in enumerate(rows):
        offset = row >> 32
        # Blocks that begin before this row's place have the row before it.
        through = (offset + BLOCK_BYTES - 1) >> BLOCK_BITS
        if through > block:
            through = min(through, count)
            blocks[block:through] = array("I", [max(number - 1, 0)]) * (through - block)
            block = through
    blocks[block:] = array("I", [len(rows) - 1]) * (count - block)
    return blocks


def _signal_returns(file: ElfFile) -> list[int]:
    """Return where the C library returns from signals' handlers, if its unwind table doesn't say so itself."""
    found: list[int] = []
    for part in file.sections:
        if part.executable and part.size_bytes < 1 << 22:
            data = file.section_bytes(part)
            at = data.find(_RESTORER)
            while at >= 0 and len(found) < 8:
                found.append(part.address + at)
                at = data.find(_RESTORER, at + 1)
    return found


# --- entries ------------------------------------------------------------------------------------------------


def entries(data: bytes, address: int, signal_returns: Sequence[int] = ()) -> list[Entry]:
    """Return the entries of an `.eh_frame` at `address`, one for each function; `signal_returns` see above."""
    found: list[Entry] = []
    commons: dict[int, _Common] = {}
    # Functions of the same shape have the same instructions.
    known: dict[tuple[int, bytes], tuple[tuple[int, int], ...]] = {}
    known_signals = False
    at, size = 0, len(data)
    unpack_head = struct.Struct("<II").unpack_from
    while at + 8 <= size:
        length, identity = unpack_head(data, at)
        if length in (0, 0xFFFFFFFF):
            if length == 0:
                at += 4
                continue
            break
        end = at + 4 + length
        if end > size:
            break
        if identity == 0:
            commons[at] = _common(data, at + 8, end)
            at = end
            continue
        place = at + 4 - identity
        common = commons.get(place)
        if common is not None and not common.broken:
            entry = _function(data, at + 8, end, address, common)
            if entry is not None:
                start, extent, instructions = entry
                own = known.get((place, instructions))
                if own is None:
                    own = known[place, instructions] = tuple(_run(common, instructions))
                known_signals |= common.signal
                found.append((start, extent, own))
        at = end
    if not known_signals:
        # One byte earlier: where a return address is looked up by.
        found += [(start - 1, 1 + len(_RESTORER), ((0, int(Way.SIGNAL)),)) for start in signal_returns]
    return found


def _common(data: bytes, at: int, end: int) -> _Common:
    broken = _Common(1, 1, 0, False, False, b"", broken=True)
    try:
        version = data[at]
        text_end = data.index(b"\0", at + 1, end)
        augmentation = data[at + 1 : text_end]
        code_factor, at = unsigned(data, text_end + 1)
        data_factor, at = signed(data, at)
        returns, at = (data[at], at + 1) if version == 1 else unsigned(data, at)
        encoding = _ABSOLUTE
        if augmentation.startswith(b"z"):
            extra, at = unsigned(data, at)
            following = at + extra
            for letter in augmentation[1:].decode("latin-1"):
                match letter:
                    case "R":
                        encoding = data[at]
                        at += 1
                    case "P":
                        width = {0: 8, 2: 2, 3: 4, 4: 8}.get(data[at] & 7)
                        if width is None:
                            return broken
                        at += 1 + width
                    case "L":
                        at += 1
                    case "S" | "B":
                        pass
                    case _:
                        break
            at = following
        elif augmentation:
            return broken
    except (IndexError, ValueError):
        return broken
    usable = returns == _RETURN_ADDRESS and encoding in _POINTERS and at <= end
    signal = b"S" in augmentation
    initial = _without_padding(data[at:end])
    return _Common(code_factor, data_factor, encoding, augmentation[:1] == b"z", signal, initial, not usable)


def _function(data: bytes, at: int, end: int, address: int, common: _Common) -> tuple[int, int, bytes] | None:
    """Return a function's start, its length and its instructions."""
    start_format, length_format, relative = _POINTERS[common.encoding]
    width = struct.calcsize(start_format)
    if at + 2 * width > end:
        return None
    (start,) = struct.unpack_from(start_format, data, at)
    if relative:
        start += address + at
    (length,) = struct.unpack_from(length_format, data, at + width)
    at += 2 * width
    if common.augmented:
        try:
            extra, at = unsigned(data, at)
        except IndexError:
            return None
        at += extra
    if at > end or length == 0 or start & ~((1 << 63) - 1):
        return None
    return start, length, _without_padding(data[at:end])


_MOST_ZEROS: Final = 8


def _without_padding(instructions: bytes) -> bytes:
    """Cut the nops at the end short, so that equal functions are known as such. Some may be the last operand."""
    return instructions.rstrip(b"\0") + bytes(_MOST_ZEROS)


def _run(common: _Common, instructions: bytes) -> Iterator[tuple[int, int]]:
    """Yield from where in the function which rule holds."""
    if common.signal:
        yield 0, int(Way.SIGNAL)
        return
    machine = _Machine(common)
    try:
        machine.execute(common.initial)
        machine.initial = machine.state
        machine.execute(instructions)
    except IndexError:
        # Cut short: what came before it holds, up to there.
        machine.rows.append((machine.place, END_RULE))
        machine.rows.append((machine.place + 1, END_RULE))
        yield from machine.rows
        return
    yield from machine.rows
    yield machine.place, _whole(machine.state)


def _whole(state: _State) -> int:
    """Return the rule of a state."""
    cfa, saved = state
    return END_RULE if cfa is None or saved < 0 else cfa | saved << 7


class _Machine:
    """The state at one place of a function: `register` and `offset` are the CFA's where it is their sum."""

    __slots__ = ("_common", "_kept", "expression", "initial", "offset", "place", "register", "rows", "saved")

    def __init__(self, common: _Common) -> None:
        self._common = common
        self._kept: list[tuple[int, int, int | None, int]] = []
        self.initial: _State = (None, 0)
        self.register, self.offset, self.saved, self.place = RSP, 8, 0, 0
        self.expression: int | None = None
        self.rows: list[tuple[int, int]] = []

    @property
    def state(self) -> _State:
        cfa = self.expression if self.expression is not None else rule(Way.OFFSET, self.register, self.offset)
        if self.register > 15 and self.expression is None:
            cfa = None
        return cfa, self.saved

    def _advance(self, amount: int) -> None:
        if amount:
            self.rows.append((self.place, _whole(self.state)))
            self.place += amount * self._common.code_factor

    def _save(self, register: int, offset: int) -> None:
        if register == RBP:
            words, remainder = divmod(-offset, 8)
            self.saved = words if 0 < words < SAVED_AT_RBP and not remainder else -1
        elif register == _RETURN_ADDRESS and offset != -8:
            self.expression = END_RULE

    def execute(self, code: bytes) -> None:
        """Run instructions from the state as it is. DWARF 5, table 7.29; the GNU ones in the Linux Standard Base."""
        at, size, factor = 0, len(code), self._common.data_factor
        steps = 0
        while at < size:
            steps += 1
            if steps > _MOST_STEPS:
                raise IndexError
            byte = code[at]
            at += 1
            match byte >> 6:
                case 1:
                    self._advance(byte & 63)
                    continue
                case 2:
                    amount, at = unsigned(code, at)
                    self._save(byte & 63, amount * factor)
                    continue
                case 3:
                    self._restore(byte & 63)
                    continue
            match byte:
                case 0x00:  # nop
                    pass
                case 0x01:  # set_loc: written by nobody, and its form depends on the file
                    raise IndexError
                case 0x02:  # advance_loc1
                    self._advance(code[at])
                    at += 1
                case 0x03:  # advance_loc2
                    self._advance(int.from_bytes(code[at : at + 2], "little"))
                    at += 2
                case 0x04:  # advance_loc4
                    self._advance(int.from_bytes(code[at : at + 4], "little"))
                    at += 4
                case 0x05:  # offset_extended
                    register, at = unsigned(code, at)
                    amount, at = unsigned(code, at)
                    self._save(register, amount * factor)
                case 0x06:  # restore_extended
                    register, at = unsigned(code, at)
                    self._restore(register)
                case 0x07:  # undefined
                    register, at = unsigned(code, at)
                    if register == _RETURN_ADDRESS:
                        self.expression = END_RULE
                case 0x08:  # same_value
                    register, at = unsigned(code, at)
                    self._restore(register)
                case 0x09:  # register: the caller's value is in another one
                    register, at = unsigned(code, at)
                    _, at = unsigned(code, at)
                    if register == RBP:
                        self.saved = -1
                    elif register == _RETURN_ADDRESS:
                        self.expression = END_RULE
                case 0x0A:  # remember_state
                    self._kept.append((self.register, self.offset, self.expression, self.saved))
                case 0x0B:  # restore_state
                    if self._kept:
                        self.register, self.offset, self.expression, self.saved = self._kept.pop()
                case 0x0C:  # def_cfa
                    self.register, at = unsigned(code, at)
                    self.offset, at = unsigned(code, at)
                    self.expression = None
                case 0x0D:  # def_cfa_register
                    self.register, at = unsigned(code, at)
                case 0x0E:  # def_cfa_offset
                    self.offset, at = unsigned(code, at)
                case 0x0F:  # def_cfa_expression
                    length, at = unsigned(code, at)
                    self.expression = _cfa_expression(code[at : at + length])
                    at += length
                case 0x10 | 0x16:  # expression, val_expression
                    register, at = unsigned(code, at)
                    length, at = unsigned(code, at)
                    if register == RBP:
                        in_place = byte == 0x10 and code[at : at + length] == bytes((_BREG0 + RBP, 0))
                        self.saved = SAVED_AT_RBP if in_place else -1
                    elif register == _RETURN_ADDRESS:
                        self.expression = END_RULE
                    at += length
                case 0x11:  # offset_extended_sf
                    register, at = unsigned(code, at)
                    amount, at = signed(code, at)
                    self._save(register, amount * factor)
                case 0x12:  # def_cfa_sf
                    self.register, at = unsigned(code, at)
                    amount, at = signed(code, at)
                    self.offset, self.expression = amount * factor, None
                case 0x13:  # def_cfa_offset_sf
                    amount, at = signed(code, at)
                    self.offset = amount * factor
                case 0x14 | 0x15:  # val_offset, val_offset_sf
                    register, at = unsigned(code, at)
                    _, at = unsigned(code, at)
                    if register == RBP:
                        self.saved = -1
                case 0x2E:  # GNU_args_size: about arguments on the stack, not the CFA
                    _, at = unsigned(code, at)
                case _:
                    raise IndexError

    def _restore(self, register: int) -> None:
        if register == RBP:
            self.saved = self.initial[1]


def _cfa_expression(code: bytes) -> int:
    """Return the rule that a CFA's expression stands for; END_RULE where it is none that is known."""
    if code == _PLT_EXPRESSION:
        return int(Way.PLT)
    if len(code) < 2 or not _BREG0 <= code[0] <= _LAST_BREG:
        return END_RULE
    try:
        offset, at = signed(code, 1)
        if at == len(code):
            made = rule(Way.OFFSET, code[0] - _BREG0, offset)
        elif code[at] == _DEREFERENCE:
            more, after = 0, at + 1
            if after < len(code) and code[after] == _PLUS_CONSTANT:
                more, after = unsigned(code, after + 1)
            made = rule(Way.INDIRECT, code[0] - _BREG0, offset, more=more) if after == len(code) else None
        else:
            made = None
    except IndexError:
        return END_RULE
    return END_RULE if made is None else made
