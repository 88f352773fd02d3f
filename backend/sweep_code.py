"""The decoding loop of sweeper.py as LLVM IR, made from scratch/sweep.py's tables. Run by sweeper.py.

The same steps as `encoding.parse`: prefixes, the opcode's map, the opcode, ModRM, the immediate; then what
follows from the kind of the instruction. A job is a structure of 64-bit words (WORDS).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import llvmlite.ir as ir

from dlang.emit_ir import I8, I64, POINTER, at, constant, load, store
from scratch.encoding import MAX_SIZE
from scratch.sweep import (
    BEFORE_VECTOR,
    GROUP_3,
    GROUP_5,
    HAS_MODRM,
    NARROW_ADDRESS,
    NARROW_OPERAND,
    NO_OPCODE,
    REPEAT,
    REX,
    XBEGIN_FORM,
    XCHG_RAX,
    Flow,
    Tables,
)

WORDS: Final = (
    "code",  # address of the bytes
    "size",
    "tables",  # address of Tables.content
    "info",  # where to put the byte of each start
    "starts",  # offsets, ascending, where an instruction is known to begin; the last is all ones
    "address",  # of the first byte, as branches see it
    "marks",  # the set of bits; 0: none
    "marks_address",  # the address that the first bit stands for
    "marks_size",  # in bits
    "references",  # where to put pairs of words: each lea's address and operand
    "reference_count",
    "absolute",  # non-zero: 4-byte immediates and displacements may be addresses
    "count",  # instructions found, invalid ones not counted
)
"""What a job consists of."""

ENTRY: Final = "sweep"

_REX_W, _REX_B = 8, 1
_LEA: Final = 0x8D
_SIB_WITHOUT_BASE: Final = 5


def module(tables: Tables) -> ir.Module:
    """Return the module that exports `void sweep(uint64_t *job)`."""
    result = ir.Module("sweep")
    # A table of jumps would be data that the code has to be loaded beside.
    function = ir.Function(result, ir.FunctionType(I64, (I64,)), ENTRY)
    _Decoder(ir.IRBuilder(function.append_basic_block()), function.args[0], tables).emit()
    return result


class _Decoder:
    """Writes the loop. Values of the code decoded live in variables, by name."""

    def __init__(self, b: ir.IRBuilder, job: ir.Value, tables: Tables) -> None:
        self.b = b
        self.tables = tables
        self.job = b.inttoptr(job, POINTER)
        self.given = {name: load(b, self.job, 8 * index) for index, name in enumerate(WORDS)}
        names = ("at", "i", "seen", "rex", "map", "opcode", "modrm", "kind", "size", "flow", "limit", "start")
        self.places = {name: self._variable() for name in (*names, "count", "references", "displacement")}
        self.code = b.inttoptr(self.given["code"], POINTER)
        self.table = b.inttoptr(self.given["tables"], POINTER)

    def _variable(self) -> ir.Value:
        place = self.b.alloca(I64)
        place.type = POINTER  # see emit_ir.stack_words
        self.b.store(constant(0), place)
        return place

    def get(self, name: str) -> ir.Value:
        return self.b.load(self.places[name], typ=I64)

    def set(self, name: str, value: ir.Value | int) -> None:
        self.b.store(constant(value) if isinstance(value, int) else value, self.places[name])

    def add(self, name: str, value: ir.Value | int) -> None:
        self.set(name, self.b.add(self.get(name), constant(value) if isinstance(value, int) else value))

    def byte(self, pointer: ir.Value, offset: ir.Value) -> ir.Value:
        return self.b.zext(self.b.load(at(self.b, pointer, offset), typ=I8), I64)

    def look_up(self, table: int, index: ir.Value) -> ir.Value:
        return self.byte(self.table, self.b.add(index, constant(table)))

    def here(self) -> ir.Value:
        """The byte at `i` of the instruction."""
        return self.byte(self.code, self.b.add(self.get("at"), self.get("i")))

    def take(self) -> ir.Value:
        value = self.here()
        self.add("i", 1)
        return value

    def masked(self, value: ir.Value, mask: int) -> ir.Value:
        return self.b.and_(value, constant(mask))

    def has(self, value: ir.Value, mask: int) -> ir.Value:
        return self.b.icmp_unsigned("!=", self.masked(value, mask), constant(0))

    def equals(self, value: ir.Value, number: int) -> ir.Value:
        return self.b.icmp_unsigned("==", value, constant(number))

    def below(self, value: ir.Value, other: ir.Value | int) -> ir.Value:
        return self.b.icmp_unsigned("<", value, constant(other) if isinstance(other, int) else other)

    def choose(self, condition: ir.Value, yes: ir.Value | int, no: ir.Value | int) -> ir.Value:
        return self.b.select(
            condition,
            constant(yes) if isinstance(yes, int) else yes,
            constant(no) if isinstance(no, int) else no,
        )

    @contextmanager
    def loop(self, condition: Callable[[], ir.Value]) -> Iterator[None]:
        """Repeat the body as long as the condition holds before it."""
        b = self.b
        head, body, end = (b.append_basic_block() for _ in range(3))
        b.branch(head)
        b.position_at_end(head)
        b.cbranch(condition(), body, end)
        b.position_at_end(body)
        yield
        b.branch(head)
        b.position_at_end(end)

    def emit(self) -> None:
        b = self.b
        self.set("limit", 0)
        with self.loop(lambda: self.below(self.get("at"), self.given["size"])):
            with self.loop(lambda: b.icmp_unsigned("<=", self.get("limit"), self.get("at"))):
                starts = b.inttoptr(b.add(self.given["starts"], self.get("start")), POINTER)
                limit = load(b, starts)
                size = self.given["size"]
                self.set("limit", b.select(self.below(limit, size), limit, size))
                self.add("start", 8)
            self.prefixes()
            self.opcode()
            self.operands()
            self.finish()
        store(b, self.get("count"), self.job, 8 * WORDS.index("count"))
        store(b, self.get("references"), self.job, 8 * WORDS.index("reference_count"))
        b.ret(constant(0))

    def prefixes(self) -> None:
        """Collect prefixes; a REX byte counts only if nothing but the opcode follows."""
        b = self.b
        self.set("i", 0)
        self.set("seen", 0)
        self.set("rex", 0)
        self.set("kind", self.look_up(self.tables.prefixes, self.here()))

        def another() -> ir.Value:
            return b.and_(self.has(self.get("kind"), 0xFF), self.below(self.get("i"), MAX_SIZE))

        with self.loop(another):
            byte, kind = self.take(), self.get("kind")
            is_rex = self.has(kind, REX)
            self.set("rex", self.choose(is_rex, byte, 0))
            self.set("seen", b.or_(self.get("seen"), self.choose(is_rex, 0, kind)))
            self.set("kind", self.look_up(self.tables.prefixes, self.here()))

    def opcode(self) -> None:
        """Set `map` (the number of an opcode table, NO_OPCODE if there is none) and `opcode`."""
        b = self.b
        first = self.take()
        self.set("opcode", first)
        self.set("map", 0)
        with b.if_then(self.equals(first, 0x0F)):
            second = self.here()
            further = b.and_(
                self.equals(self.masked(second, 0xFD), 0x38), self.below(self.get("i"), MAX_SIZE)
            )
            self.set("map", self.choose(further, self.choose(self.equals(second, 0x38), 2, 3), 1))
            self.add("i", self.choose(further, 1, 0))
            self.set("opcode", self.take())
        next_byte = self.here()
        is_xop = b.and_(
            self.equals(first, 0x8F), b.icmp_unsigned(">=", self.masked(next_byte, 31), constant(8))
        )
        is_vex2, is_vex3 = self.equals(first, 0xC5), self.equals(first, 0xC4)
        is_evex = self.equals(first, 0x62)
        vector = b.or_(b.or_(is_xop, is_evex), b.or_(is_vex2, is_vex3))
        with b.if_then(vector, likely=False):
            number = self.masked(next_byte, 31)
            with b.if_then(is_evex):
                after = self.byte(self.code, b.add(b.add(self.get("at"), self.get("i")), constant(1)))
                apx = b.or_(self.has(next_byte, 8), b.not_(self.has(after, 4)))
                self.set("map", self.choose(apx, NO_OPCODE, 0))
            known = self.get("map")
            number = self.choose(is_vex2, 1, self.choose(is_evex, self.masked(next_byte, 7), number))
            maps = self.choose(is_xop, self.tables.xop_maps, self.tables.vector_maps)
            found = self.byte(self.table, b.add(maps, number))
            spoilt = b.or_(self.has(self.get("seen"), BEFORE_VECTOR), self.has(self.get("rex"), 0xFF))
            self.set("map", self.choose(b.or_(spoilt, self.has(known, 0xFF)), NO_OPCODE, found))
            self.add("i", self.choose(is_vex2, 1, self.choose(is_evex, 3, 2)))
            self.set("opcode", self.take())

    def operands(self) -> None:
        """Set `kind`, `modrm` and `size`, which is 0 for what is no instruction."""
        b = self.b
        opcode, number = self.get("opcode"), self.get("map")
        no_table = self.equals(number, NO_OPCODE)
        index = b.add(b.shl(self.choose(no_table, 0, number), constant(8)), opcode)
        kind = self.look_up(self.tables.opcodes, index)
        self.set("kind", self.choose(no_table, NO_OPCODE, kind))
        self.set("modrm", 0xC0)
        self.set("size", 0)
        self.set("displacement", 0)
        with b.if_then(b.icmp_unsigned("!=", self.get("kind"), constant(NO_OPCODE)), likely=True):
            with b.if_then(self.has(kind, HAS_MODRM)):
                self.modrm()
            self.set("size", b.add(self.get("i"), self.immediate()))

    def modrm(self) -> None:
        b = self.b
        modrm = self.take()
        self.set("modrm", modrm)
        opcode = self.get("opcode")
        control = b.and_(
            self.equals(self.get("map"), 1), self.equals(self.masked(opcode, 0xFC), 0x20)
        )  # moves of control and debug registers: always registers
        with b.if_then(b.and_(self.below(modrm, 0xC0), b.not_(control))):
            mod, base = b.lshr(modrm, constant(6)), self.masked(modrm, 7)
            with_sib = self.equals(base, 4)
            base = self.choose(with_sib, self.masked(self.here(), 7), base)
            self.add("i", self.choose(with_sib, 1, 0))
            long = b.or_(
                self.equals(mod, 2), b.and_(self.equals(mod, 0), self.equals(base, _SIB_WITHOUT_BASE))
            )
            self.set("displacement", self.choose(long, 4, self.choose(self.equals(mod, 1), 1, 0)))
            self.add("i", self.get("displacement"))

    def immediate(self) -> ir.Value:
        """The size of the immediate."""
        b = self.b
        kind, modrm, seen = self.get("kind"), self.get("modrm"), self.get("seen")
        none = b.and_(self.has(kind, GROUP_3), self.has(modrm, 0x30))
        narrow = self.masked(seen, NARROW_OPERAND)
        wide = b.lshr(self.masked(self.get("rex"), _REX_W), constant(2))
        address = b.lshr(self.masked(seen, NARROW_ADDRESS), constant(2))
        index = b.or_(b.or_(narrow, wide), b.or_(address, b.shl(self.masked(kind, 7), constant(3))))
        size = self.choose(none, 0, self.look_up(self.tables.immediates, index))
        # extrq and insertq with two immediates of a byte each
        pair = b.and_(self.equals(self.get("map"), 1), self.equals(self.get("opcode"), 0x78))
        return self.choose(b.and_(pair, self.has(seen, 0x05)), 2, size)

    def finish(self) -> None:
        """Write down the instruction and go on behind it."""
        b = self.b
        size, here = self.get("size"), self.get("at")
        end = b.add(here, size)
        good = b.and_(
            b.and_(self.has(size, -1), b.icmp_unsigned("<=", size, constant(MAX_SIZE))),
            b.icmp_unsigned("<=", end, self.get("limit")),
        )
        info = b.inttoptr(b.add(self.given["info"], here), POINTER)
        with b.if_else(good, likely=True) as (yes, no):
            with yes:
                self.classify()
                b.store(b.trunc(b.or_(size, b.shl(self.get("flow"), constant(4))), I8), info)
                self.mark()
                self.add("count", 1)
                self.set("at", end)
            with no:
                # What reaches over a known start isn't tried again at its second byte.
                left = b.sub(self.get("limit"), here)
                over = b.and_(self.has(size, -1), b.icmp_unsigned(">", end, self.get("limit")))
                over = b.and_(over, b.icmp_unsigned("<=", left, constant(MAX_SIZE)))
                step = self.choose(over, left, 1)
                b.store(b.trunc(b.or_(step, constant(Flow.INVALID << 4)), I8), info)
                self.set("at", b.add(here, step))

    def classify(self) -> None:
        """Set `flow`."""
        b = self.b
        number, opcode, modrm = self.get("map"), self.get("opcode"), self.get("modrm")
        legacy = self.below(number, 2)
        index = b.add(b.shl(self.choose(legacy, number, 0), constant(8)), opcode)
        found = self.look_up(self.tables.flows, index)
        self.set("flow", self.choose(legacy, found, Flow.PLAIN))
        with b.if_then(b.icmp_unsigned(">=", self.get("flow"), constant(GROUP_5)), likely=False):
            reg = self.masked(b.lshr(modrm, constant(3)), 7)
            group_5 = self.look_up(self.tables.group_5, reg)
            xbegin = self.choose(self.equals(modrm, 0xF8), Flow.BRANCH_32, Flow.PLAIN)
            exchange = b.or_(self.has(self.get("rex"), _REX_B), self.has(self.get("seen"), REPEAT))
            nop = self.choose(exchange, Flow.PLAIN, Flow.NOP)
            self.set(
                "flow",
                self.choose(
                    self.equals(found, GROUP_5),
                    group_5,
                    self.choose(
                        self.equals(found, XBEGIN_FORM),
                        xbegin,
                        self.choose(self.equals(found, XCHG_RAX), nop, Flow.PLAIN),
                    ),
                ),
            )
        rip = b.and_(self.equals(self.masked(modrm, 0xC7), 5), self.equals(self.get("flow"), Flow.PLAIN))
        self.set("flow", self.choose(rip, Flow.RIP_RELATIVE, self.get("flow")))

    def mark(self) -> None:
        """Mark what the instruction leads to or names."""
        b = self.b
        with b.if_then(self.has(self.given["marks"], -1)):
            flow = self.get("flow")
            end = b.add(self.get("at"), self.get("size"))
            after = b.add(self.given["address"], end)
            direct = b.and_(
                b.icmp_unsigned(">=", flow, constant(Flow.JMP_8)),
                b.icmp_unsigned("<=", flow, constant(Flow.CALL)),
            )
            with b.if_then(direct):
                short = b.or_(self.equals(flow, Flow.JMP_8), self.equals(flow, Flow.BRANCH_8))
                self.mark_address(b.add(after, b.select(short, self.signed(end, 8), self.signed(end, 32))))
            rip_relative = self.equals(self.masked(self.get("modrm"), 0xC7), 5)
            with b.if_then(rip_relative):
                operand = b.add(after, self.signed(b.add(self.get("at"), self.get("i")), 32))
                self.mark_address(operand)
                lea = b.and_(self.equals(self.get("opcode"), _LEA), self.equals(self.get("map"), 0))
                with b.if_then(lea):
                    offset = b.shl(self.get("references"), constant(4))
                    pair = b.inttoptr(b.add(self.given["references"], offset), POINTER)
                    store(b, b.add(self.given["address"], self.get("at")), pair)
                    store(b, operand, pair, 8)
                    self.add("references", 1)
            with b.if_then(self.has(self.given["absolute"], -1), likely=False):
                # Where the code can name 4-byte addresses: all that could be one.
                four = b.icmp_unsigned(">=", b.sub(self.get("size"), self.get("i")), constant(4))
                with b.if_then(b.and_(four, b.not_(direct))):
                    self.mark_address(self.unsigned(end))
                with b.if_then(b.and_(self.equals(self.get("displacement"), 4), b.not_(rip_relative))):
                    self.mark_address(self.unsigned(b.add(self.get("at"), self.get("i"))))

    def signed(self, end: ir.Value, bits: int) -> ir.Value:
        """The signed number whose last byte lies before offset `end` of the code."""
        place = at(self.b, self.code, self.b.sub(end, constant(bits // 8)))
        return self.b.sext(self.b.load(place, typ=ir.IntType(bits), align=1), I64)

    def unsigned(self, end: ir.Value) -> ir.Value:
        return self.masked(self.signed(end, 32), 0xFFFFFFFF)

    def mark_address(self, address: ir.Value) -> None:
        b = self.b
        bit = b.sub(address, self.given["marks_address"])
        with b.if_then(self.below(bit, self.given["marks_size"])):
            place = b.inttoptr(b.add(self.given["marks"], b.lshr(bit, constant(3))), POINTER)
            mask = b.shl(ir.Constant(I8, 1), b.trunc(self.masked(bit, 7), I8))
            b.store(b.or_(b.load(place, typ=I8), mask), place)
