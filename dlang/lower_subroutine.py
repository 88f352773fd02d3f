"""Code for D's string and arithmetic subroutines: `substr()`, `strtok()`, `htonl()` and their like.

lower_value.py evaluates the arguments and calls `word_result` or `string_result`, by what the subroutine returns. A
string is `string_size` bytes, zero-padded, or NULL. Results are made in memory of their own before they go to their
place, which may be that of an argument (`s = strjoin(s, "x")`).

Source: DTrace guide, "Actions and Subroutines"; d-language.md §8; tests/reference lang-strings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import llvmlite.ir as ir

from dlang.emit_ir import I32, I64, at, constant, copy_words, fetch_and_add, load, opaque, store, zero_words
from dlang.frame import Frame
from dlang.layout import ANCESTORS, STATE_RANDOM
from dlang.lower_address import address_of_family, hardware_address, internet_address
from dlang.lower_place import null_string_into
from dlang.lower_speculation import new_speculation
from dlang.notices import Fault
from dlang.program import Fact, SubroutineCall
from dlang.string_code import length
from dlang.string_scan import (
    Predicate,
    bounded,
    byte_at,
    cell,
    counted_loop,
    end_within_limit,
    find,
    find_last,
    find_text,
    is_zero_bit,
    mask_of,
    padded,
    part_to_find,
    store_byte,
)

_MINOR_BITS: Final = 20
"""Bits of a device's number, as the kernel has it, that are the minor number."""
_SLASH, _DOT, _ZERO, _MINUS, _PLUS = (constant(ord(letter)) for letter in "/.0-+")


def word_result(call: SubroutineCall, arguments: Sequence[ir.Value], frame: Frame) -> ir.Value:
    """Emit a subroutine that returns a number. Strings among the arguments are pointers, and what was left out is not
    among them."""
    b = frame.b
    match call.name, arguments:
        case "rand", []:
            return _random(frame)
        case "progenyof", [process]:
            return _is_progeny(process, frame)
        case "speculation", []:
            return new_speculation(frame)
        case "getmajor", [device]:
            return b.lshr(b.and_(device, constant(0xFFFFFFFF)), constant(_MINOR_BITS))
        case "getminor", [device]:
            return b.and_(device, constant((1 << _MINOR_BITS) - 1))
        case (("htons" | "ntohs"), [value]):
            low = b.and_(value, constant(0xFF))
            return b.or_(b.shl(low, constant(8)), b.and_(b.lshr(value, constant(8)), constant(0xFF)))
        case (("htonl" | "ntohl"), [value]):
            return b.lshr(b.bswap(value), constant(32))
        case (("htonll" | "ntohll"), [value]):
            return b.bswap(value)
        case "strtoll", [text, *base]:
            return _to_number(text, _base(base, call, frame), frame)
        case "index", [text, part, *start]:
            return _index(text, part, start, frame)
        case "rindex", [text, part, *start]:
            return _last_index(text, part, start, frame)
    raise AssertionError(f"{call.name}() has a row in actions.py but no code")


def string_result(call: SubroutineCall, arguments: Sequence[ir.Value], place: ir.Value, frame: Frame) -> None:
    """Emit a subroutine that returns a string, into `string_size` bytes at `place`. strtok()'s memory is the first of
    the arguments."""
    with frame.temporaries():
        match call.name, arguments:
            case "strjoin", [left, right]:
                _join(left, right, place, frame)
            case "substr", [text, start, *count]:
                _substring(text, start, count[0] if count else None, place, frame)
            case (("strchr" | "strrchr"), [text, character]):
                _from_character(call.name, text, character, place, frame)
            case "strstr", [text, part]:
                _from_part(text, part, place, frame)
            case "strtok", [rest, *text, delimiters]:
                _token(rest, delimiters, text[0] if text else rest, place, frame)
            case "basename", [path]:
                _base_name(path, place, frame)
            case "dirname", [path]:
                _directory_name(path, place, frame)
            case "cleanpath", [path]:
                _clean_path(path, place, frame)
            case "tolower", [text]:
                _change_case(text, "A", place, frame)
            case "toupper", [text]:
                _change_case(text, "a", place, frame)
            case "lltostr", [number, *base]:
                _number_text(number, _base(base, call, frame), place, frame)
            case (("inet_ntoa" | "inet_ntoa6"), [address, *_]):
                internet_address(call, address, place, frame)
            case "inet_ntop", [family, address]:
                address_of_family(call, family, address, place, frame)
            case "link_ntop", [kind, address]:
                hardware_address(call, kind, address, place, frame)
            case _:
                raise AssertionError(f"{call.name}() has a row in actions.py but no code")


# --- numbers ------------------------------------------------------------------------------------------------


def _base(given: Sequence[ir.Value], call: SubroutineCall, frame: Frame) -> ir.Value:
    """Return the base that numbers are written in: 2 to 36, or the clause is given up."""
    if not given:
        return constant(10)
    outside = frame.b.icmp_unsigned(">", frame.b.sub(given[0], constant(2)), constant(34))
    frame.fault_when(outside, Fault.ILLOP, None, call.span)
    return given[0]


def _random(frame: Frame) -> ir.Value:
    """Return 31 bits of a sequence that all firings share (splitmix64, Steele, Lea and Flood 2014)."""
    b = frame.b
    step = constant(0x9E3779B97F4A7C15)
    word = b.add(fetch_and_add(b, frame.target.state(b), step, STATE_RANDOM), step)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        word = b.mul(b.xor(word, b.lshr(word, constant(shift))), constant(factor))
    return b.lshr(word, constant(33))


def _is_progeny(process: ir.Value, frame: Frame) -> ir.Value:
    """Say whether a process is the one that fires, or one of its ancestors."""
    b = frame.b
    wanted = b.and_(process, constant(0xFFFFFFFF))
    found = is_zero_bit(b, b.xor(wanted, frame.fact(Fact.PID)))
    ancestors = frame.target.ancestors(b)
    for number in range(ANCESTORS):
        ancestor = load(b, ancestors, 8 * number)
        # The list ends with zeros, and 0 is nobody's number.
        known = b.xor(is_zero_bit(b, ancestor), constant(1))
        found = b.or_(found, b.and_(known, is_zero_bit(b, b.xor(wanted, ancestor))))
    return found


def _to_number(text: ir.Value, base: ir.Value, frame: Frame) -> ir.Value:
    """Return the number that a text begins with, behind blanks and a sign; in base 16 behind 0x as well."""
    b, size = frame.b, frame.program.string_size
    with frame.temporaries():
        source = padded(text, frame)
        start = find(source, lambda byte: b.not_(_is_blank(b, byte)), frame)
        sign = byte_at(b, source, start)
        negative = b.zext(b.icmp_unsigned("==", sign, _MINUS), start.type)
        signed = b.or_(negative, b.zext(b.icmp_unsigned("==", sign, _PLUS), start.type))
        digits = at(b, source, b.add(start, signed))
        marked = b.and_(
            b.icmp_unsigned("==", base, constant(16)),
            b.and_(
                b.icmp_unsigned("==", byte_at(b, digits, constant(0)), _ZERO),
                b.icmp_unsigned(
                    "==", b.or_(byte_at(b, digits, constant(1)), constant(0x20)), constant(ord("x"))
                ),
            ),
        )
        behind_mark = at(b, digits, b.shl(b.zext(marked, start.type), constant(1)))
        total = cell(frame)
        with counted_loop(frame, size - 4) as (offset, done):
            digit = _digit(b, byte_at(b, behind_mark, offset))
            with b.if_then(b.icmp_unsigned(">=", digit, base)):
                b.branch(done)
            total.set(b.add(b.mul(total.get(), base), digit))
        value = total.get()
        return b.sub(b.xor(value, b.sub(constant(0), negative)), b.sub(constant(0), negative))


def _is_blank(b: ir.IRBuilder, byte: ir.Value) -> ir.Value:
    """Say whether a byte is one of isspace()'s in the C locale: a blank, or 9 to 13."""
    control = b.icmp_unsigned("<", b.sub(byte, constant(9)), constant(5))
    return b.or_(b.icmp_unsigned("==", byte, constant(ord(" "))), control)


def _digit(b: ir.IRBuilder, byte: ir.Value) -> ir.Value:
    """Return the value of a digit or letter; of anything else a number that is no digit in any base."""
    decimal = b.sub(byte, _ZERO)
    letter = b.sub(b.or_(byte, constant(0x20)), constant(ord("a")))
    as_letter = b.select(
        b.icmp_unsigned("<", letter, constant(26)), b.add(letter, constant(10)), constant(99)
    )
    return b.select(b.icmp_unsigned("<", decimal, constant(10)), decimal, as_letter)


def _number_text(number: ir.Value, base: ir.Value, place: ir.Value, frame: Frame) -> None:
    """Write a number's digits: signed in base 10, unsigned in any other."""
    b, size = frame.b, frame.program.string_size
    room = -(-max(size, 72) // 8) * 8
    digits = frame.temporary(2 * room)
    zero_words(b, digits, 2 * room)
    decimal = b.icmp_unsigned("==", base, constant(10))
    sign = b.select(decimal, b.ashr(number, constant(63)), constant(0))
    left, position = cell(frame, b.sub(b.xor(number, sign), sign)), cell(frame, room)
    with counted_loop(frame, 64) as (_, done):
        value, here = left.get(), b.sub(position.get_bounded(room), constant(1))
        here = bounded(b, here, room)
        digit = b.urem(value, base)
        letter = b.select(b.icmp_unsigned("<", digit, constant(10)), _ZERO, constant(ord("a") - 10))
        store_byte(b, b.add(digit, letter), digits, here)
        position.set(here)
        left.set(b.udiv(value, base))
        with b.if_then(b.icmp_unsigned("==", left.get(), constant(0))):
            b.branch(done)
    with b.if_then(b.icmp_unsigned("!=", sign, constant(0))):
        here = bounded(b, b.sub(position.get_bounded(room), constant(1)), room)
        store_byte(b, _MINUS, digits, here)
        position.set(here)
    end_within_limit(at(b, digits, position.get_bounded(room)), frame)
    copy_words(b, place, at(b, digits, position.get_bounded(room)), size)


# --- finding ------------------------------------------------------------------------------------------------


def _length(text: ir.Value, frame: Frame) -> ir.Value:
    return bounded(frame.b, length(frame.b, text, frame.program.string_size), frame.program.string_size)


def _clamped(value: ir.Value, most: ir.Value, frame: Frame) -> ir.Value:
    """Return a signed number brought into 0 to `most`."""
    b = frame.b
    value = opaque(b, value)
    above = b.select(b.icmp_signed("<", value, most), value, most)
    return b.select(b.icmp_signed(">", above, constant(0)), above, constant(0))


def _index(text: ir.Value, part: ir.Value, start: Sequence[ir.Value], frame: Frame) -> ir.Value:
    """Return where a part first occurs from `start` on, or -1. An empty part occurs everywhere up to the end."""
    b, size = frame.b, frame.program.string_size
    with frame.temporaries():
        whole, wanted = _length(text, frame), _length(part, frame)
        first = _clamped(start[0], whole, frame) if start else constant(0)
        result = cell(frame, first)
        if start:
            with b.if_then(b.icmp_signed(">", start[0], whole)):
                result.set(-1)
        with b.if_then(b.icmp_unsigned("!=", wanted, constant(0))):
            sought = part_to_find(part, wanted, frame)
            result.set(find_text(text, whole, sought, bounded(b, first, size), None, frame))
        return result.get()


def _last_index(text: ir.Value, part: ir.Value, start: Sequence[ir.Value], frame: Frame) -> ir.Value:
    """Return where a part last occurs, not behind `start`, or -1."""
    b = frame.b
    with frame.temporaries():
        whole, wanted = _length(text, frame), _length(part, frame)
        last = _clamped(start[0], whole, frame) if start else whole
        result = cell(frame, last)
        with b.if_then(b.icmp_unsigned("!=", wanted, constant(0))):
            sought = part_to_find(part, wanted, frame)
            result.set(find_text(text, whole, sought, constant(0), last, frame))
            if start:
                with b.if_then(b.icmp_signed("<", start[0], constant(0))):
                    result.set(-1)
        return result.get()


def _suffix_or_null(text: ir.Value, offset: ir.Value, place: ir.Value, frame: Frame) -> None:
    """Write what a text, which is padded, holds from an offset on; NULL where it is -1."""
    b, size = frame.b, frame.program.string_size
    with b.if_else(b.icmp_signed("<", offset, constant(0)), likely=False) as (missing, there):
        with missing:
            null_string_into(place, frame)
        with there:
            copy_words(b, place, at(b, text, bounded(b, offset, size)), size)


def _from_character(name: str, text: ir.Value, character: ir.Value, place: ir.Value, frame: Frame) -> None:
    b = frame.b
    source = padded(text, frame)
    wanted = b.and_(character, constant(0xFF))

    def is_wanted(byte: ir.Value) -> ir.Value:
        return b.icmp_unsigned("==", byte, wanted)

    end = _length(source, frame)
    if name == "strchr":
        offset = find(source, is_wanted, frame)
        # The end of a text is no part of it, other than in C.
        offset = b.select(b.icmp_unsigned(">=", offset, end), constant(-1), offset)
    else:
        offset = b.sub(find_last(source, end, is_wanted, frame), constant(1))
    _suffix_or_null(source, opaque(b, offset), place, frame)


def _from_part(text: ir.Value, part: ir.Value, place: ir.Value, frame: Frame) -> None:
    source = padded(text, frame)
    _suffix_or_null(source, _index(source, part, (), frame), place, frame)


# --- making -------------------------------------------------------------------------------------------------


def _slice(text: ir.Value, start: ir.Value, count: ir.Value, place: ir.Value, frame: Frame) -> None:
    """Write `count` characters of a padded text; both numbers are bounded by `string_size`."""
    b, size = frame.b, frame.program.string_size
    with frame.temporaries():
        whole = frame.temporary(2 * size)
        copy_words(b, whole, at(b, text, start), size)
        zero_words(b, at(b, whole, count), size)
        copy_words(b, place, whole, size)


def _join(left: ir.Value, right: ir.Value, place: ir.Value, frame: Frame) -> None:
    b, size = frame.b, frame.program.string_size
    joined = frame.temporary(2 * size)
    copy_words(b, joined, left, size)
    copy_words(b, at(b, joined, _length(left, frame)), right, size)
    end_within_limit(joined, frame)
    copy_words(b, place, joined, size)


def _substring(
    text: ir.Value, start: ir.Value, count: ir.Value | None, place: ir.Value, frame: Frame
) -> None:
    """Write a part of a text. A negative start counts from the end; a negative count leaves so many at the end off."""
    b, size = frame.b, frame.program.string_size
    source = padded(text, frame)
    whole = _length(source, frame)
    zero = constant(0)
    if count is None:
        count = constant(size)
    from_end = b.add(start, b.select(b.icmp_signed("<", start, zero), whole, zero))
    # What lies before the text's beginning is taken off the count.
    reaches = b.and_(b.icmp_signed("<", from_end, zero), b.icmp_signed(">", b.add(from_end, count), zero))
    count = b.select(reaches, b.add(count, from_end), count)
    first = b.select(reaches, zero, from_end)
    rest = b.sub(whole, first)
    count = b.add(count, b.select(b.icmp_signed("<", count, zero), rest, zero))
    outside = b.or_(b.icmp_signed("<", first, zero), b.icmp_signed(">=", first, whole))
    count = b.select(b.or_(outside, b.icmp_signed("<", count, zero)), zero, count)
    _slice(source, bounded(b, first, size), bounded(b, count, size), place, frame)


def _token(rest: ir.Value, delimiters: ir.Value, text: ir.Value, place: ir.Value, frame: Frame) -> None:
    """Write the next token of a text, NULL where there is none. In `rest` is what follows, other than in C from the
    delimiter on."""
    b, size = frame.b, frame.program.string_size
    is_delimiter = _member_of(delimiters, frame)
    source, token = padded(text, frame), frame.temporary(2 * size)
    start = find(source, lambda byte: b.not_(is_delimiter(byte)), frame)
    copy_words(b, token, at(b, source, start), size)
    zero_words(b, at(b, token, size), size)
    end = find(token, lambda byte: b.or_(b.icmp_unsigned("==", byte, constant(0)), is_delimiter(byte)), frame)
    copy_words(b, rest, at(b, token, end), size)
    with b.if_else(b.icmp_unsigned("==", end, constant(0))) as (none, some):
        with none:
            null_string_into(place, frame)
        with some:
            _slice(token, constant(0), end, place, frame)


def _member_of(characters: ir.Value, frame: Frame) -> Predicate:
    """Return what says whether a byte is one of a string's characters: a bit for each of 256 values."""
    b, size = frame.b, frame.program.string_size
    bits = frame.temporary(32)
    zero_words(b, bits, 32)

    def word_of(byte: ir.Value) -> ir.Value:
        return at(b, bits, b.shl(b.lshr(byte, constant(6)), constant(3)))

    with counted_loop(frame, size) as (offset, done):
        byte = byte_at(b, characters, offset)
        with b.if_then(b.icmp_unsigned("==", byte, constant(0))):
            b.branch(done)
        bit = b.shl(constant(1), b.and_(byte, constant(63)))
        store(b, b.or_(load(b, word_of(byte)), bit), word_of(byte))

    def is_member(byte: ir.Value) -> ir.Value:
        bit = b.lshr(load(b, word_of(byte)), b.and_(byte, constant(63)))
        return b.icmp_unsigned("!=", b.and_(bit, constant(1)), constant(0))

    return is_member


def _change_case(text: ir.Value, first: str, place: ir.Value, frame: Frame) -> None:
    """Turn the letters from `first` on, 26 of them, into those of the other case: eight bytes at a time."""
    b = frame.b
    each = 0x0101010101010101
    for offset in range(0, frame.program.string_size, 8):
        word = load(b, text, offset)
        low = b.and_(word, constant(0x7F * each))
        from_first = b.add(low, constant((0x80 - ord(first)) * each))
        behind_last = b.add(low, constant((0x7F - ord(first) - 25) * each))
        ascii_ = b.xor(b.and_(word, constant(0x80 * each)), constant(0x80 * each))
        letters = b.and_(ascii_, b.xor(from_first, behind_last))
        store(b, b.xor(word, b.lshr(letters, constant(2))), place, offset)


# --- paths --------------------------------------------------------------------------------------------------


def _is_slash(frame: Frame) -> Predicate:
    return lambda byte: frame.b.icmp_unsigned("==", byte, _SLASH)


def _is_no_slash(frame: Frame) -> Predicate:
    return lambda byte: frame.b.icmp_unsigned("!=", byte, _SLASH)


def _base_name(path: ir.Value, place: ir.Value, frame: Frame) -> None:
    """Write a path's last component, as basename(1): of slashes alone one, of nothing a dot."""
    b, size = frame.b, frame.program.string_size
    source = padded(path, frame)
    whole = _length(source, frame)
    end = find_last(source, whole, _is_no_slash(frame), frame)
    start = find_last(source, end, _is_slash(frame), frame)
    with b.if_else(b.icmp_unsigned("==", end, constant(0)), likely=False) as (empty, named):
        with empty:
            _slash_or_dot(b.icmp_unsigned("!=", whole, constant(0)), place, frame)
        with named:
            _slice(source, start, bounded(b, b.sub(end, start), size), place, frame)


def _directory_name(path: ir.Value, place: ir.Value, frame: Frame) -> None:
    """Write a path without its last component, as dirname(1)."""
    b = frame.b
    source = padded(path, frame)
    whole = _length(source, frame)
    end = find_last(source, whole, _is_no_slash(frame), frame)
    slashes_end = find_last(source, end, _is_slash(frame), frame)
    directory_end = find_last(source, slashes_end, _is_no_slash(frame), frame)
    with b.if_else(b.icmp_unsigned("==", directory_end, constant(0)), likely=False) as (none, named):
        with none:
            # Of nothing but slashes it is one, of a relative name, or of nothing, a dot.
            rooted = b.icmp_unsigned("==", byte_at(b, source, constant(0)), _SLASH)
            _slash_or_dot(rooted, place, frame)
        with named:
            _slice(source, constant(0), directory_end, place, frame)


def _slash_or_dot(slash: ir.Value, place: ir.Value, frame: Frame) -> None:
    b = frame.b
    zero_words(b, place, frame.program.string_size)
    store_byte(b, b.select(slash, _SLASH, _DOT), place, constant(0))
    end_within_limit(place, frame)


def _clean_path(path: ir.Value, place: ir.Value, frame: Frame) -> None:
    """Write a path without empty components, `.`, and each `..` that has a component to take away. Of a relative path
    with nothing left that is a dot, of nothing nothing.

    A component is written behind a slash as it is read, and judged when it ends, by bits and masks: every comparison
    would double what the verifier follows. `slash` is where the component's slash is; `before` has for each slash where
    the one in front of it is; `depth` counts the components that `..` can take away.
    """
    b, size = frame.b, frame.program.string_size
    most = (1 << size.bit_length()) - 1
    source, out, before = padded(path, frame), frame.temporary(most + 9), frame.temporary(4 * (most + 1))
    zero_words(b, out, 8)
    b.store(ir.Constant(I32, 0), before)
    store_byte(b, _SLASH, out, constant(0))
    first = byte_at(b, source, constant(0))
    absolute, empty = is_zero_bit(b, b.xor(first, _SLASH)), is_zero_bit(b, first)
    position, slash, depth = cell(frame, 1), cell(frame), cell(frame)
    with counted_loop(frame, size) as (offset, done):
        byte, here = byte_at(b, source, offset), position.get_bounded(most)
        last = is_zero_bit(b, byte)
        ends = opaque(b, b.or_(last, is_zero_bit(b, b.xor(byte, _SLASH))))
        with b.if_else(b.icmp_unsigned("!=", ends, constant(0))) as (component, letter):
            with letter:
                store_byte(b, byte, out, here)
                position.set(b.add(here, constant(1)))
            with component:
                start, taken = slash.get_bounded(most), depth.get()
                length, text = b.sub(here, start), load(b, at(b, out, start))
                is_two_dots = _is_component(b, text, length, b"/..")
                takable = b.xor(is_zero_bit(b, taken), constant(1))
                goes = b.or_(_is_component(b, text, length, b"/"), _is_component(b, text, length, b"/."))
                takes = b.and_(is_two_dots, b.or_(absolute, takable))
                stays = b.xor(b.or_(goes, takes), constant(1))
                left = b.zext(b.load(_entry(b, before, start), typ=I32), I64)
                following = b.or_(
                    b.or_(b.and_(start, mask_of(b, goes)), b.and_(left, mask_of(b, takes))),
                    b.and_(here, mask_of(b, stays)),
                )
                following = bounded(b, following, most)
                entry = _entry(b, before, following)
                old = b.and_(b.zext(b.load(entry, typ=I32), I64), mask_of(b, b.xor(stays, constant(1))))
                b.store(b.trunc(b.or_(old, b.and_(start, mask_of(b, stays))), I32), entry)
                store_byte(b, _SLASH, out, following)
                slash.set(following)
                position.set(b.add(following, constant(1)))
                more = b.and_(stays, b.xor(is_two_dots, constant(1)))
                depth.set(b.sub(b.add(taken, more), b.and_(takes, takable)))
                with b.if_then(b.icmp_unsigned("!=", opaque(b, last), constant(0))):
                    b.branch(done)
    end = slash.get_bounded(most)
    zero_words(b, at(b, out, end), 8)
    result = at(b, out, b.xor(absolute, constant(1)))
    dot = b.xor(b.or_(absolute, empty), constant(1))
    nothing = b.or_(b.and_(_SLASH, mask_of(b, absolute)), b.and_(_DOT, mask_of(b, dot)))
    byte = b.or_(byte_at(b, result, constant(0)), b.and_(nothing, mask_of(b, is_zero_bit(b, end))))
    store_byte(b, byte, result, constant(0))
    zero_words(b, place, size)
    frame.target.copy_string(b, place, frame.program.string_limit, result)


def _entry(b: ir.IRBuilder, table: ir.Value, index: ir.Value) -> ir.Value:
    return at(b, table, b.shl(index, constant(2)))


def _is_component(b: ir.IRBuilder, word: ir.Value, length: ir.Value, text: bytes) -> ir.Value:
    """Return 1 where a component of a length that begins with the bytes of a word is that text, else 0."""
    beginning = b.and_(word, constant((1 << 8 * len(text)) - 1))
    other = b.xor(beginning, constant(int.from_bytes(text, "little")))
    return is_zero_bit(b, b.or_(other, b.xor(length, constant(len(text)))))
