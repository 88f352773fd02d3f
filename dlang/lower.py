"""Typed clauses to LLVM IR, one function for each set of clauses that some probe fires.

A function runs its clauses in program order. A clause that records reserves its record after its predicate
held, fills it and commits it; a fault takes the record back, reports itself, runs the clauses of ERROR and goes on
with the next clause.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import llvmlite.ir as ir

from dlang.emit_ir import (
    I32,
    POINTER,
    at,
    constant,
    continue_when,
    is_null,
    load,
    stack_words,
    store,
    store32,
    zero_words,
)
from dlang.frame import FaultExit, Frame, drop, merge_words
from dlang.layout import FAULT_MARK, FAULT_RECORD_SIZE, SCRATCH_POINTER, STATE_STOPPED, Store
from dlang.lower_aggregation import lower_aggregate
from dlang.lower_place import free_if_zero
from dlang.lower_value import copy_out, evaluate, recorded_into, truth, word
from dlang.notices import Drop
from dlang.program import (
    ALWAYS_PERFORMED,
    Action,
    Aggregate,
    Branch,
    CopyOut,
    CopyOutString,
    Enabling,
    Evaluate,
    ExitAction,
    Fact,
    Scope,
    Signal,
    SpeculateAction,
    Statement,
    TypedProgram,
    fields_of,
    is_known_text,
)
from dlang.target import Machine, UnitKind

_CLAUSE_BLOCK_ON_STACK: Final = 64
"""Bytes of `this->` variables that go on the stack; more, or structures, in which words may lie at any address, go to
scratch."""
_NEAR: Final = 1 << 40
"""Bytes around the firing's own memory within which an address is taken for one that began there."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One function: the clauses that some probes fire. `after_exit` is true for END, which exit() leads to.

    `errors` are the clauses of ERROR, which run where one of `enablings` fails. With `counts_hits` each firing counts
    for its site, before any clause has a say.
    """

    name: str
    kind: UnitKind
    enablings: tuple[Enabling, ...]
    errors: tuple[Enabling, ...] = ()
    after_exit: bool = False
    counts_hits: bool = False

    @property
    def every_enabling(self) -> tuple[Enabling, ...]:
        """All whose clauses may run."""
        return self.enablings + self.errors


def lower(
    program: TypedProgram, units: Sequence[Unit], stores: Mapping[str, Store], machine: Machine
) -> None:
    """Emit every unit through the machine."""
    for unit in units:
        _lower_unit(unit, program, stores, machine)


def _lower_unit(unit: Unit, program: TypedProgram, stores: Mapping[str, Store], machine: Machine) -> None:
    function, target = machine.begin(unit.name, unit.kind)
    prologue = ir.IRBuilder(function.append_basic_block("entry"))
    body, out = function.append_basic_block("body"), function.append_basic_block("out")
    frame = Frame(
        b=ir.IRBuilder(body),
        prologue=prologue,
        target=target,
        program=program,
        constants=machine.pool,
        scratch_slot=stack_words(prologue, 1),
        copied=stack_words(prologue, 1),
    )
    if program.clause_size > _CLAUSE_BLOCK_ON_STACK or not program.clause_words:
        # A text that a pointer leads to is read as far as texts go.
        behind = program.string_size if Scope.CLAUSE in program.pointed else 0
        frame.clause_block = frame.temporary(program.clause_size + behind)
        zero_words(frame.b, frame.clause_block, program.clause_size)
    elif program.clause_size:
        frame.clause_block = stack_words(prologue, program.clause_size // 8)
        zero_words(prologue, frame.clause_block, program.clause_size)
    for enabling in unit.enablings:
        following = frame.b.append_basic_block("next_clause")
        faults = _enabling(enabling, following, stores, frame, after_exit=unit.after_exit)
        if _reported(faults, enabling, following, frame):
            _fire_error(unit.errors, stores, frame)
            frame.failure = None
            frame.b.branch(following)
        frame.b.position_at_end(following)
    frame.b.branch(out)
    _finish(frame, unit, machine, body, out)


def _finish(frame: Frame, unit: Unit, machine: Machine, body: ir.Block, out: ir.Block) -> None:
    """End the prologue with taking scratch, where any clause used some, and the function with giving it back.

    The hit is counted before that: it was one, also where no scratch is left for its clauses.
    """
    b = frame.b = ir.IRBuilder(out)
    if frame.thread_zeroed is not None:
        with b.if_then(b.icmp_unsigned("!=", load(b, frame.thread_zeroed), constant(0))):
            free_if_zero(frame)
    prologue = frame.first()
    if unit.kind is UnitKind.BRANCH:
        with prologue.if_then(prologue.not_(frame.target.leaves(prologue))):
            prologue.ret(constant(0))
    if unit.counts_hits:
        frame.target.count_hit(prologue)
    if frame.scratch_size:
        machine.need_scratch(frame.scratch_size)
        scratch = frame.target.scratch(prologue)
        with prologue.if_then(is_null(prologue, scratch), likely=False):
            outer, frame.b = frame.b, prologue
            drop(frame, Drop.PRINCIPAL)
            frame.b = outer
            prologue.ret(constant(0))
        prologue.store(scratch, frame.scratch_slot)
        frame.target.release_scratch(b, b.load(frame.scratch_slot, typ=POINTER))
    prologue.branch(body)
    b.ret(constant(0))


@dataclass(frozen=True, slots=True)
class _Faults:
    """Where faults of a clause lead, and the record that is to be taken back there, if any."""

    exit: FaultExit
    record: ir.Value | None


def _enabling(
    enabling: Enabling, following: ir.Block, stores: Mapping[str, Store], frame: Frame, *, after_exit: bool
) -> list[_Faults]:
    """Emit a clause, which goes on to `following`, and return where it fails: these blocks are still to be ended."""
    b = frame.b
    clause = enabling.clause
    frame.enabling = enabling.number
    store(b, 0, frame.copied)
    if not after_exit and may_stop(frame.program):
        runs = b.icmp_unsigned("==", load(b, frame.target.state(b), STATE_STOPPED), constant(0))
        continue_when(b, runs, following)
    faults = []
    if clause.predicate is not None:
        frame.fault_exit = FaultExit(b.append_basic_block("predicate_fault"))
        faults.append(_Faults(frame.fault_exit, None))
        with frame.temporaries():
            holds = truth(clause.predicate, frame)
        continue_when(b, holds, following)
        _end_given_up(None, following, frame)
    record = None
    if clause.record_size:
        record = _reserve(enabling, following, frame)
    frame.fault_exit = FaultExit(b.append_basic_block("fault"))
    faults.append(_Faults(frame.fault_exit, record))
    _statements(clause.statements, record, stores, frame, top=True)
    if record is not None:
        frame.target.commit_record(b, record)
    b.branch(following)
    _end_given_up(record, following, frame)
    return faults


def _end_given_up(record: ir.Value | None, following: ir.Block, frame: Frame) -> None:
    """Emit where the clause, or its predicate, ends when it is given up, if anything asks for that."""
    if frame.given_up is None:
        return
    b = ir.IRBuilder(frame.given_up)
    if record is not None:
        frame.target.discard_record(b, record)
    b.branch(following)
    frame.given_up = None


def may_stop(program: TypedProgram) -> bool:
    """Say whether some clause ends the run, so that all others look first whether one has."""
    return any(isinstance(action, ExitAction) for clause in program.clauses for action in clause.actions)


# --- records ------------------------------------------------------------------------------------------------


def _reserve(enabling: Enabling, full: ir.Block, frame: Frame) -> ir.Value:
    """Reserve the clause's record and write its header; actions in branches are not performed yet."""
    b = frame.b
    record = _reserved(enabling.clause.record_size, full, frame)
    _header(record, enabling.number, frame)
    store(b, 1 << ALWAYS_PERFORMED, record, 16)
    return record


def _reserved(size: int, full: ir.Block, frame: Frame) -> ir.Value:
    b = frame.b
    record = frame.target.reserve_record(b, size)
    missing = b.append_basic_block("buffer_full")
    there = b.append_basic_block("reserved")
    b.cbranch(is_null(b, record), missing, there)
    b.position_at_end(missing)
    drop(frame, Drop.PRINCIPAL)
    b.branch(full)
    b.position_at_end(there)
    return record


def _header(record: ir.Value, enabling: int, frame: Frame) -> None:
    b = frame.b
    store32(b, frame.site(), record, 0)
    store32(b, enabling, record, 4)
    # Asked for where it is needed: on one machine the processor is a file of /proc away.
    store32(b, frame.target.fact(b, Fact.CPU), record, 8)
    store32(b, frame.fact(Fact.TID), record, 12)


def _taken_back(faults: Sequence[_Faults], frame: Frame) -> tuple[ir.Value, ir.Value, ir.Value] | None:
    """Emit what any fault of a clause leads to first: its record is taken back. The builder is behind that.

    Returns the fault, its address, and its place in the program text; None if the clause can't fail.
    """
    b = frame.b
    brought = []
    failed = b.append_basic_block("failed")
    for each in faults:
        b.position_at_end(each.exit.block)
        if not each.exit.sources:
            b.unreachable()
            each.exit.block.parent.blocks.remove(each.exit.block)
            continue
        fault = merge_words(b, [(block, constant(code)) for block, code, _, _ in each.exit.sources])
        address = merge_words(b, [(block, value) for block, _, value, _ in each.exit.sources])
        where = merge_words(b, [(block, constant(place)) for block, _, _, place in each.exit.sources])
        if each.record is not None:
            frame.target.discard_record(b, each.record)
        b.branch(failed)
        brought.append((b.block, fault, address, where))
    b.position_at_end(failed)
    if not brought:
        b.unreachable()
        failed.parent.blocks.remove(failed)
        return None
    fault = merge_words(b, [(block, value) for block, value, _, _ in brought])
    address = merge_words(b, [(block, value) for block, _, value, _ in brought])
    where = merge_words(b, [(block, value) for block, _, _, value in brought])
    return fault, address, where


def _reported(faults: Sequence[_Faults], enabling: Enabling, following: ir.Block, frame: Frame) -> bool:
    """Emit the report of a clause's fault, in a record of its own, and note what ERROR is to be told.

    Says whether the clause can fail; if so, the builder is behind the report.
    """
    b = frame.b
    failure = _taken_back(faults, frame)
    if failure is None:
        return False
    fault, address, where = failure
    address = _shown_address(address, b)
    report = _reserved(FAULT_RECORD_SIZE, following, frame)
    _header(report, enabling.number | FAULT_MARK, frame)
    store(b, load(b, frame.target.state(b), STATE_STOPPED), report, 16)
    store(b, fault, report, 24)
    store(b, address, report, 32)
    store(b, where, report, 40)
    frame.target.commit_record(b, report)
    frame.failure = constant(0), frame.site(), constant(enabling.number), where, fault, address
    return True


def _shown_address(address: ir.Value, b: ir.IRBuilder) -> ir.Value:
    """Return an address as DTrace reports it: to it what copyin() and alloca() give begins at 8."""
    offset = b.sub(address, constant(SCRATCH_POINTER))
    own = b.icmp_unsigned("<", b.add(offset, constant(_NEAR)), constant(2 * _NEAR))
    return b.select(own, b.add(offset, constant(8)), address)


def _fire_error(errors: Sequence[Enabling], stores: Mapping[str, Store], frame: Frame) -> None:
    """Emit the clauses of ERROR. What fails in them is counted: it fires nothing."""
    b = frame.b
    for enabling in errors:
        following = b.append_basic_block("next_error_clause")
        faults = _enabling(enabling, following, stores, frame, after_exit=True)
        if _taken_back(faults, frame) is not None:
            drop(frame, Drop.DBLERROR)
            b.branch(following)
        b.position_at_end(following)


# --- statements ---------------------------------------------------------------------------------------------


def _statements(
    statements: Sequence[Statement],
    record: ir.Value | None,
    stores: Mapping[str, Store],
    frame: Frame,
    *,
    top: bool,
) -> None:
    for statement in statements:
        with frame.temporaries():
            match statement:
                case Evaluate(value=value):
                    evaluate(value, frame)
                case Aggregate():
                    lower_aggregate(statement, stores, frame)
                case Branch(condition=condition, then=then, otherwise=otherwise):
                    with frame.b.if_else(truth(condition, frame)) as (yes, no):
                        with yes:
                            _statements(then, record, stores, frame, top=False)
                        with no:
                            _statements(otherwise, record, stores, frame, top=False)
                case Signal(number=number):
                    frame.target.send_signal(frame.b, word(number, frame))
                case CopyOut() | CopyOutString():
                    copy_out(statement, frame)
                case _:
                    assert record is not None
                    _action(statement, record, frame)
                    if not top:
                        performed = load(frame.b, record, 16)
                        store(frame.b, frame.b.or_(performed, constant(1 << statement.bit)), record, 16)


def _action(action: Action, record: ir.Value, frame: Frame) -> None:
    b = frame.b
    for field in fields_of(action):
        if is_known_text(field.value):
            continue
        recorded_into(field.value, at(b, record, field.offset), frame)
    match action:
        case ExitAction():
            store(b, 1, frame.target.state(b), STATE_STOPPED)
        case SpeculateAction(field=field):
            number = b.load(at(b, record, field.offset), typ=I32)
            continue_when(b, b.icmp_unsigned("!=", number, ir.Constant(I32, 0)), frame.way_out())
