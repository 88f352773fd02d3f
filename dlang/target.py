"""What code generation asks of a machine: the short list of intrinsics that an engine implements.

`lower.py` and its neighbours emit everything else themselves. backend/uprobes/target.py implements this with BPF
helpers and maps, backend/fasttrap/target.py with native code over shared memory. A new feature of the language
touches at most one line of this list.

Unless it says otherwise a method emits code at the builder's place and returns an i64. Pointers are opaque;
those marked *may be null* must be compared with null before they are used.
"""

from __future__ import annotations

import enum
from typing import Protocol

import llvmlite.ir as ir

from dlang.constants import Constants
from dlang.program import AssociativeArray, Fact, ProbeField


class Target(Protocol):
    """One compiled function's machine: the code that runs when one kind of probe fires."""

    def site(self, b: ir.IRBuilder) -> ir.Value:
        """ID of the probe that fired."""

    def leaves(self, b: ir.IRBuilder) -> ir.Value:
        """Whether the conditional jump at the site is taken, an i1. Only in functions of kind BRANCH."""

    def argument(self, b: ir.IRBuilder, number: int) -> ir.Value:
        """`argN` of the firing probe."""

    def register(self, b: ir.IRBuilder, index: int) -> ir.Value:
        """A user register by its `uregs[]` index; 0 where the probe has none."""

    def fact(self, b: ir.IRBuilder, fact: Fact) -> ir.Value:
        """`pid`, `timestamp` and their like but `ppid`, extended to 64 bits by the variable's sign; not PROBE_ID,
        ENABLING_ID.
        """

    def ancestors(self, b: ir.IRBuilder) -> ir.Value:
        """Pointer to the IDs of the parent and whom it descends from, ANCESTORS words (layout.py), zeros behind."""

    def command_name(self, b: ir.IRBuilder, destination: ir.Value) -> None:
        """Write the thread's name, 16 bytes, zero-padded."""

    def read_user(
        self, b: ir.IRBuilder, destination: ir.Value, size: ir.Value, address: ir.Value
    ) -> ir.Value:
        """Copy `size` (at most option scratchsize) bytes of the process; negative where that memory can't be read."""

    def read_user_string(
        self, b: ir.IRBuilder, destination: ir.Value, size: ir.Value, address: ir.Value
    ) -> ir.Value:
        """Copy a string of the process, at most `size` bytes, terminated; negative where it can't be read."""

    def read_stack(self, b: ir.IRBuilder, place: ir.Value, address: ir.Value) -> ir.Value:
        """Copy a word of the thread's stack to `place`; negative where it can't be read."""

    def unwind_tables(self, b: ir.IRBuilder) -> tuple[ir.Value, int]:
        """Pointer to the tables that stacks are unwound by (unwind_format.py), and their pool's size as the power of
        two."""

    def wake_consumer(self, b: ir.IRBuilder) -> None:
        """Wake the consumer, if it sleeps until there are records."""

    def copy_string(self, b: ir.IRBuilder, destination: ir.Value, size: int, source: ir.Value) -> None:
        """Copy a string of the firing's own memory, at most `size` bytes, terminated."""

    def copy_memory(self, b: ir.IRBuilder, destination: ir.Value, size: ir.Value, source: ir.Value) -> None:
        """Copy `size` (at most option scratchsize, or a constant) bytes of the firing's own memory."""

    def write_user(self, b: ir.IRBuilder, address: ir.Value, size: ir.Value, source: ir.Value) -> ir.Value:
        """Copy `size` bytes to the process's memory; negative where it can't be written."""

    def send_signal(self, b: ir.IRBuilder, number: ir.Value) -> None:
        """Send the thread that fires a signal."""

    def constants(self, b: ir.IRBuilder) -> ir.Value:
        """Pointer to the program's constants."""

    def state(self, b: ir.IRBuilder) -> ir.Value:
        """Pointer to the state block (layout.py)."""

    def site_text(self, b: ir.IRBuilder, site: ir.Value, field: ProbeField) -> ir.Value:
        """Pointer to a field of the site's name, a zero-padded string. May be null."""

    def thread_block(self, b: ir.IRBuilder) -> ir.Value:
        """Pointer to this thread's variables. May be null: all are zero then."""

    def new_thread_block(self, b: ir.IRBuilder) -> ir.Value:
        """Pointer to this thread's variables, made where there were none. May be null: no room."""

    def free_thread_block(self, b: ir.IRBuilder) -> None:
        """Forget this thread's variables, which are all zero."""

    def find_element(self, b: ir.IRBuilder, array: AssociativeArray, key: ir.Value) -> ir.Value:
        """Pointer to an element of an associative array. May be null: it is zero then."""

    def make_element(self, b: ir.IRBuilder, array: AssociativeArray, key: ir.Value) -> ir.Value:
        """Pointer to an element, made of zeros where there was none. May be null: no room."""

    def free_element(self, b: ir.IRBuilder, array: AssociativeArray, key: ir.Value) -> None:
        """Forget an element, if it is there."""

    def table_cell(self, b: ir.IRBuilder, aggregation: str, slot: ir.Value) -> ir.Value:
        """Pointer to a cell of an aggregation's table. May be null, never for a slot of the table."""

    def hash_cell(self, b: ir.IRBuilder, aggregation: str, key: ir.Value) -> ir.Value:
        """Pointer to the cell of a key, made with the function's identity where new. May be null: no room."""

    def scratch(self, b: ir.IRBuilder) -> ir.Value:
        """Pointer to memory for this firing alone. May be null: none is free."""

    def release_scratch(self, b: ir.IRBuilder, scratch: ir.Value) -> None:
        """Give it back."""

    def reserve_record(self, b: ir.IRBuilder, size: int) -> ir.Value:
        """Pointer to `size` bytes of the buffer to the consumer. May be null: it is full."""

    def commit_record(self, b: ir.IRBuilder, record: ir.Value) -> None:
        """Send a reserved record."""

    def discard_record(self, b: ir.IRBuilder, record: ir.Value) -> None:
        """Take a reserved record back."""

    def count_hit(self, b: ir.IRBuilder) -> None:
        """Count the firing for its site. Only in functions that the traced process fires."""


class UnitKind(enum.Enum):
    """Who fires a function's probes: a thread of the traced process, somewhere or where it returns from a
    function, perhaps only if a conditional jump is taken; whatever a processor is at (profile); or the consumer (BEGIN,
    END, tick)."""

    PROCESS = "process"
    RETURN = "return"
    BRANCH = "branch"
    SAMPLE = "sample"
    CONSUMER = "consumer"


class Machine(Protocol):
    """One module's machine: makes functions, and keeps the constants that they refer to in `pool`."""

    pool: Constants

    def begin(self, name: str, kind: UnitKind) -> tuple[ir.Function, Target]:
        """Add a function that returns an i64; the clauses go into it."""

    def need_scratch(self, size: int) -> None:
        """Note that firings need this many bytes of their own memory."""
