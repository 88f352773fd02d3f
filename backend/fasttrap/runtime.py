"""What compiled clauses call: reading the process, its files in /proc, hashes, the ring of records. LLVM assembly.

Here are the interface and what the parts in runtime_process.py and runtime_store.py share; `target` emits the calls,
`emit` links the two. Everything may run in several processes at once, over the same memory, and be killed at any
instruction: there are no locks, and an entry or record is published by one atomic store after it is whole. System
calls are made directly; outside of the traced process the C library is asked for clocks and the processor, which
needs no system call. What only clauses in the traced process call is in runtime_inside.py.
"""

from __future__ import annotations

from enum import Enum
from string import Template
from typing import Final

import llvmlite.ir as ir

from backend.fasttrap.regions import (
    HASH_ENTRIES,
    HASH_PROBES,
    HEADER_CLOCK,
    HEADER_EVENT_FD,
    HEADER_FS_BASE,
    HEADER_POOL,
    HEADER_RING_HEAD,
    HEADER_RING_TAIL,
    HEADER_SEED,
    RECORD_BUSY,
    RECORD_LENGTH,
    TID_BITS,
    TIDS_BITS,
    EntryState,
)
from backend.fasttrap.runtime_inside import CLOCK_RETURN, INSIDE
from backend.fasttrap.runtime_process import FILES, MEMORY
from backend.fasttrap.runtime_store import HASH, RING
from dlang.emit_ir import I64, POINTER

EXPORTED: Final = ("place_memory", "exchange", "add")
"""What dtrap itself calls, with 64-bit words: `place_memory(address)`, and atomic operations on words that
clauses change as well: `exchange(address, new)` and `add(address, amount)` return what was there before."""


class Where(Enum):
    """Where code runs."""

    OUTSIDE = "in the tracer, and in dtrap"
    INSIDE = "in the traced process"


VOID: Final = ir.VoidType()
_SIGNATURES: Final[dict[str, tuple[ir.Type, tuple[ir.Type, ...]]]] = {
    "clock": (I64, (I64,)),
    "own_processor": (I64, ()),
    "thread_processor": (I64, (I64,)),
    "thread_time": (I64, (I64,)),
    "thread_name": (VOID, (I64, POINTER)),
    "credential": (I64, (I64, I64)),
    "read_user": (I64, (I64, POINTER, I64, I64)),
    "read_user_string": (I64, (I64, POINTER, I64, I64)),
    "read_stack": (I64, (I64, POINTER, I64, POINTER)),
    "write_user": (I64, (I64, POINTER, I64, I64)),
    "send_signal": (VOID, (I64, I64, I64)),
    "copy_memory": (VOID, (POINTER, I64, POINTER)),
    "copy_string": (VOID, (POINTER, I64, POINTER)),
    "hash_find": (POINTER, (POINTER, I64, I64, I64, POINTER, POINTER)),
    "hash_make": (POINTER, (POINTER, I64, I64, I64, POINTER, POINTER, POINTER, I64, I64, POINTER)),
    "hash_free": (VOID, (POINTER, I64, I64, I64, POINTER, POINTER, POINTER, I64)),
    "reserve_record": (POINTER, (POINTER, POINTER, I64, I64)),
    "finish_record": (VOID, (POINTER, POINTER, I64, POINTER, I64)),
    "own_thread": (I64, (POINTER, POINTER)),
    "claim_scratch": (POINTER, (POINTER, POINTER, I64)),
    "release_scratch": (VOID, (POINTER, POINTER, I64, POINTER)),
}
WITHOUT_SYSTEM_CALLS: Final = frozenset(
    {
        "clock",
        "own_processor",
        "copy_memory",
        "copy_string",
        "hash_find",
        "hash_make",
        "hash_free",
        "reserve_record",
        "finish_record",
        "claim_scratch",
        "release_scratch",
    }
)
"""Those that make none where they run in the traced process, whose vdso knows the time."""

CLOCK_MONOTONIC, CLOCK_THREAD = 1, 3
"""For `clock`: CLOCK_MONOTONIC and CLOCK_THREAD_CPUTIME_ID."""

UID_LINE: Final = int.from_bytes(b"\nUid:\t", "little")
GID_LINE: Final = int.from_bytes(b"\nGid:\t", "little")
"""For `credential`: how the line of /proc/TID/status begins that holds the number."""


def stack_copy_size(where: Where) -> int:
    """Return the bytes of a copy of a piece of the thread's stack, for `read_stack`: two words (where it is from, and
    its bytes, 0 at first), and the piece.

    Two kilobytes hold ten frames of most programs, and cost no more to read than a word; but on a stack of the process
    itself there is not so much room.
    """
    return 16 + (2048 if where is Where.OUTSIDE else 256)


def runtime_function(module: ir.Module, name: str) -> ir.Function:
    """Return the declaration of one of the functions here, for calls from `module`."""
    known = module.globals.get(name)
    if known is not None:
        return known
    result, parameters = _SIGNATURES[name]
    return ir.Function(module, ir.FunctionType(result, parameters), name)


def assembly(where: Where) -> str:
    """Return the definitions of all functions that code there can call."""
    numbers = {
        "entries": HASH_ENTRIES,
        "probes": HASH_PROBES,
        "event_fd": HEADER_EVENT_FD,
        "ring_head": HEADER_RING_HEAD,
        "ring_tail": HEADER_RING_TAIL,
        "seed": HEADER_SEED,
        "busy_record": RECORD_BUSY,
        "length_only": RECORD_LENGTH,
        "free_bit": EntryState.FREE + 1,
        "stack_piece": stack_copy_size(where) - 16,
        "clock": HEADER_CLOCK,
        "fs_base": HEADER_FS_BASE,
        "pool": HEADER_POOL,
        "uid_line": UID_LINE,
        "tids_mask": (1 << TIDS_BITS) - 1,
        "tid_bits": TID_BITS,
        "tid_mask": (1 << TID_BITS) - 1,
        "tag_mask": -1 << TID_BITS,
        "clock_return": CLOCK_RETURN,
        "slash_proc": int.from_bytes(b"/proc/", "little"),
        **{state.name.lower(): state.value for state in EntryState},
    }
    own = _OUTSIDE + FILES if where is Where.OUTSIDE else INSIDE
    return Template(_SYSTEM + own + MEMORY + HASH + RING).substitute(numbers)


_SYSTEM: Final = """
@memory = external global ptr

define void @place_memory(i64 %address) {
  %pointer = inttoptr i64 %address to ptr
  store ptr %pointer, ptr @memory
  ret void
}

define i64 @exchange(i64 %address, i64 %new) {
  %pointer = inttoptr i64 %address to ptr
  %old = atomicrmw xchg ptr %pointer, i64 %new seq_cst
  ret i64 %old
}

define i64 @add(i64 %address, i64 %amount) {
  %pointer = inttoptr i64 %address to ptr
  %old = atomicrmw add ptr %pointer, i64 %amount seq_cst
  ret i64 %old
}

; Returns -errno where the kernel refuses, and leaves no trace in the C library.
define i64 @system(i64 %number, i64 %a, i64 %b, i64 %c, i64 %d, i64 %e, i64 %f) alwaysinline {
  %result = call i64 asm sideeffect "syscall",
    "={rax},{rax},{rdi},{rsi},{rdx},{r10},{r8},{r9},~{rcx},~{r11},~{memory}"
    (i64 %number, i64 %a, i64 %b, i64 %c, i64 %d, i64 %e, i64 %f)
  ret i64 %result
}

define void @copy_words(ptr %to, ptr %from, i64 %size) {
entry:
  br label %test
test:
  %offset = phi i64 [ 0, %entry ], [ %next, %copy ]
  %more = icmp ult i64 %offset, %size
  br i1 %more, label %copy, label %done
copy:
  %from_word = getelementptr i8, ptr %from, i64 %offset
  %to_word = getelementptr i8, ptr %to, i64 %offset
  %word = load i64, ptr %from_word
  store i64 %word, ptr %to_word
  %next = add i64 %offset, 8
  br label %test
done:
  ret void
}

define i1 @same_words(ptr %left, ptr %right, i64 %size) {
entry:
  br label %test
test:
  %offset = phi i64 [ 0, %entry ], [ %next, %same ]
  %more = icmp ult i64 %offset, %size
  br i1 %more, label %compare, label %equal
compare:
  %left_at = getelementptr i8, ptr %left, i64 %offset
  %right_at = getelementptr i8, ptr %right, i64 %offset
  %left_word = load i64, ptr %left_at
  %right_word = load i64, ptr %right_at
  %is_same = icmp eq i64 %left_word, %right_word
  br i1 %is_same, label %same, label %different
same:
  %next = add i64 %offset, 8
  br label %test
equal:
  ret i1 true
different:
  ret i1 false
}
"""

_OUTSIDE: Final = """
define void @clear(ptr %from, i64 %size) alwaysinline {
  %done = call { ptr, i64 } asm sideeffect "rep stosb",
    "={rdi},={rcx},{rax},0,1,~{memory},~{dirflag},~{fpsr},~{flags}" (i64 0, ptr %from, i64 %size)
  ret void
}

define void @copy_memory(ptr %to, i64 %size, ptr %from) {
  %done = call { ptr, ptr, i64 } asm sideeffect "rep movsb",
    "={rdi},={rsi},={rcx},0,1,2,~{memory},~{dirflag},~{fpsr},~{flags}" (ptr %to, ptr %from, i64 %size)
  ret void
}

; Tells the consumer that there are records.
define void @wake(ptr %header) {
  %one = alloca i64
  store i64 1, ptr %one
  %one_word = ptrtoint ptr %one to i64
  %fd_at = getelementptr i8, ptr %header, i64 $event_fd
  %fd = load i64, ptr %fd_at
  %written = call i64 @system(i64 1, i64 %fd, i64 %one_word, i64 8, i64 0, i64 0, i64 0)
  ret void
}

declare i32 @clock_gettime(i32, ptr)
declare i32 @sched_getcpu()

; A clock in nanoseconds.
define i64 @clock(i64 %number) {
  %time = alloca [2 x i64]
  %narrow = trunc i64 %number to i32
  %failed = call i32 @clock_gettime(i32 %narrow, ptr %time)
  %seconds = load i64, ptr %time
  %fraction_at = getelementptr i8, ptr %time, i64 8
  %fraction = load i64, ptr %fraction_at
  %whole = mul i64 %seconds, 1000000000
  %result = add i64 %whole, %fraction
  ret i64 %result
}

define i64 @own_processor() {
  %number = call i32 @sched_getcpu()
  %wide = sext i32 %number to i64
  ret i64 %wide
}
"""
