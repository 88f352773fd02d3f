"""What compiled clauses call: reading the process, its files in /proc, hashes, the ring of records. LLVM
assembly.

`target` emits the calls, `emit` links the two. Everything here may run in several processes at once, over the
same memory, and be killed at any instruction: there are no locks, and an entry or record is published by one
atomic store after it is whole. System calls are made directly; the C library is asked for the time only,
since that needs no system call.

Layouts are regions.py's. Every hash function is told the shape of its hash: the mask of entry numbers, and the
sizes of key and entry in bytes. Sources: clock_gettime(2), process_vm_readv(2), proc(5).
"""

from __future__ import annotations

from string import Template
from typing import Final

import llvmlite.ir as ir

from backend.fasttrap.regions import (
    HASH_ENTRIES,
    HASH_PROBES,
    HEADER_EVENT_FD,
    HEADER_RING_HEAD,
    HEADER_RING_TAIL,
    HEADER_SEED,
    RECORD_BUSY,
    RECORD_LENGTH,
    EntryState,
)
from dlang.emit_ir import I64, POINTER

EXPORTED: Final = ("place_memory", "exchange", "add")
"""What dtrap itself calls, with 64-bit words: `place_memory(address)`, and atomic operations on words that
clauses change as well: `exchange(address, new)` and `add(address, amount)` return what was there before."""

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
    "copy_string": (VOID, (POINTER, I64, POINTER)),
    "hash_find": (POINTER, (POINTER, I64, I64, I64, POINTER, POINTER)),
    "hash_make": (POINTER, (POINTER, I64, I64, I64, POINTER, POINTER, I64, POINTER)),
    "hash_free": (VOID, (POINTER, I64, I64, I64, POINTER, POINTER)),
    "reserve_record": (POINTER, (POINTER, POINTER, I64, I64)),
    "finish_record": (VOID, (POINTER, POINTER, I64, POINTER, I64)),
}

UID_LINE: Final = int.from_bytes(b"\nUid:\t", "little")
GID_LINE: Final = int.from_bytes(b"\nGid:\t", "little")
"""For `credential`: how the line of /proc/TID/status begins that holds the number."""


def runtime_function(module: ir.Module, name: str) -> ir.Function:
    """Return the declaration of one of the functions here, for calls from `module`."""
    known = module.globals.get(name)
    if known is not None:
        return known
    result, parameters = _SIGNATURES[name]
    return ir.Function(module, ir.FunctionType(result, parameters), name)


def assembly() -> str:
    """Return the definitions of all of them."""
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
        "slash_proc": int.from_bytes(b"/proc/", "little"),
        **{state.name.lower(): state.value for state in EntryState},
    }
    return Template(_SYSTEM + _CLOCKS + _FILES + _MEMORY + _HASH + _RING).substitute(numbers)


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

define void @clear(ptr %from, i64 %size) alwaysinline {
  %done = call { ptr, i64 } asm sideeffect "rep stosb",
    "={rdi},={rcx},{rax},0,1,~{memory},~{dirflag},~{fpsr},~{flags}" (i64 0, ptr %from, i64 %size)
  ret void
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

_CLOCKS: Final = """
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

_FILES: Final = """
@name_of_comm = private constant [16 x i8] c"/comm\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00", align 8
@name_of_stat = private constant [16 x i8] c"/stat\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00", align 8
@name_of_schedstat = private constant [16 x i8] c"/schedstat\\00\\00\\00\\00\\00\\00", align 8
@name_of_status = private constant [16 x i8] c"/status\\00\\00\\00\\00\\00\\00\\00\\00\\00", align 8

; Reads /proc/TID/NAME, at most %size bytes of it; returns how many, 0 where the thread is gone.
define i64 @read_file(i64 %tid, ptr %name, ptr %to, i64 %size) {
entry:
  ; The path grows backwards from the name at byte 32: digits, then what stands before them.
  %path = alloca [48 x i8], align 16
  %name_at = getelementptr i8, ptr %path, i64 32
  call void @copy_words(ptr %name_at, ptr %name, i64 16)
  br label %digit
digit:
  %number = phi i64 [ %tid, %entry ], [ %rest, %digit ]
  %behind = phi i64 [ 32, %entry ], [ %place, %digit ]
  %rest = udiv i64 %number, 10
  %tens = mul i64 %rest, 10
  %value = sub i64 %number, %tens
  %figure = add i64 %value, 48
  %byte = trunc i64 %figure to i8
  %place = sub i64 %behind, 1
  %digit_at = getelementptr i8, ptr %path, i64 %place
  store i8 %byte, ptr %digit_at
  %more = icmp ne i64 %rest, 0
  br i1 %more, label %digit, label %open
open:
  %start = sub i64 %place, 6
  %path_at = getelementptr i8, ptr %path, i64 %start
  store i48 $slash_proc, ptr %path_at, align 1
  %path_word = ptrtoint ptr %path_at to i64
  ; openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC)
  %fd = call i64 @system(i64 257, i64 -100, i64 %path_word, i64 524288, i64 0, i64 0, i64 0)
  %missing = icmp slt i64 %fd, 0
  br i1 %missing, label %gone, label %read
read:
  %to_word = ptrtoint ptr %to to i64
  %count = call i64 @system(i64 0, i64 %fd, i64 %to_word, i64 %size, i64 0, i64 0, i64 0)
  %closed = call i64 @system(i64 3, i64 %fd, i64 0, i64 0, i64 0, i64 0, i64 0)
  %failed = icmp slt i64 %count, 0
  br i1 %failed, label %gone, label %done
done:
  ret i64 %count
gone:
  ret i64 0
}

; The decimal number at %text, which ends with something else.
define i64 @number_at(ptr %text) {
entry:
  br label %look
look:
  %offset = phi i64 [ 0, %entry ], [ %next, %take ]
  %sum = phi i64 [ 0, %entry ], [ %longer, %take ]
  %place = getelementptr i8, ptr %text, i64 %offset
  %byte = load i8, ptr %place
  %value = sub i8 %byte, 48
  %is_digit = icmp ult i8 %value, 10
  br i1 %is_digit, label %take, label %done
take:
  %tens = mul i64 %sum, 10
  %wide = zext i8 %value to i64
  %longer = add i64 %tens, %wide
  %next = add i64 %offset, 1
  br label %look
done:
  ret i64 %sum
}

; The thread's name in 16 bytes, zero-padded. The line feed that the file has behind it gives way to a zero.
define void @thread_name(i64 %tid, ptr %to) {
  call void @clear(ptr %to, i64 16)
  %count = call i64 @read_file(i64 %tid, ptr @name_of_comm, ptr %to, i64 16)
  %empty = icmp eq i64 %count, 0
  %before = sub i64 %count, 1
  %last = select i1 %empty, i64 15, i64 %before
  %last_at = getelementptr i8, ptr %to, i64 %last
  store i8 0, ptr %last_at
  ret void
}

; Nanoseconds that a thread, which is not running now, has spent on processors: the first number of schedstat.
define i64 @thread_time(i64 %tid) {
  %text = alloca [64 x i8]
  call void @clear(ptr %text, i64 64)
  %count = call i64 @read_file(i64 %tid, ptr @name_of_schedstat, ptr %text, i64 63)
  %time = call i64 @number_at(ptr %text)
  ret i64 %time
}

; The processor that a thread was last on: field 39 of stat, with 37 blanks between it and the name's last `)`.
define i64 @thread_processor(i64 %tid) {
entry:
  %text = alloca [1024 x i8]
  call void @clear(ptr %text, i64 1024)
  %count = call i64 @read_file(i64 %tid, ptr @name_of_stat, ptr %text, i64 1023)
  br label %backwards
backwards:
  %end = phi i64 [ %count, %entry ], [ %before, %look_back ]
  %nothing = icmp eq i64 %end, 0
  br i1 %nothing, label %unknown, label %look_back
look_back:
  %before = sub i64 %end, 1
  %before_at = getelementptr i8, ptr %text, i64 %before
  %letter = load i8, ptr %before_at
  %is_end = icmp eq i8 %letter, 41
  br i1 %is_end, label %fields, label %backwards
fields:
  %position = phi i64 [ %end, %look_back ], [ %next, %look_on ]
  %blanks = phi i64 [ 0, %look_back ], [ %blanks_next, %look_on ]
  %position_at = getelementptr i8, ptr %text, i64 %position
  %there = icmp eq i64 %blanks, 37
  br i1 %there, label %found, label %check_end
check_end:
  %is_over = icmp uge i64 %position, %count
  br i1 %is_over, label %unknown, label %look_on
look_on:
  %byte = load i8, ptr %position_at
  %is_blank = icmp eq i8 %byte, 32
  %one_more = zext i1 %is_blank to i64
  %blanks_next = add i64 %blanks, %one_more
  %next = add i64 %position, 1
  br label %fields
found:
  %processor = call i64 @number_at(ptr %position_at)
  ret i64 %processor
unknown:
  ret i64 0
}

; The real user or group ID: the first number in the line of status that begins with the six bytes in %line.
; No line before it can hold a line feed: the kernel writes names with those escaped.
define i64 @credential(i64 %tid, i64 %line) {
entry:
  %text = alloca [1032 x i8]
  call void @clear(ptr %text, i64 1032)
  %count = call i64 @read_file(i64 %tid, ptr @name_of_status, ptr %text, i64 1024)
  br label %look
look:
  %position = phi i64 [ 0, %entry ], [ %next, %go_on ]
  %more = icmp ult i64 %position, %count
  br i1 %more, label %compare, label %unknown
compare:
  %place = getelementptr i8, ptr %text, i64 %position
  %word = load i64, ptr %place, align 1
  %six = and i64 %word, 281474976710655
  %same = icmp eq i64 %six, %line
  br i1 %same, label %found, label %go_on
go_on:
  %next = add i64 %position, 1
  br label %look
found:
  %number_at = getelementptr i8, ptr %place, i64 6
  %number = call i64 @number_at(ptr %number_at)
  ret i64 %number
unknown:
  ret i64 0
}
"""

_MEMORY: Final = """
; process_vm_readv of one piece; true where all of it was read.
define i1 @read_piece(i64 %pid, ptr %to, i64 %size, i64 %from) {
  %pieces = alloca [4 x i64]
  %local_size = getelementptr i8, ptr %pieces, i64 8
  %remote = getelementptr i8, ptr %pieces, i64 16
  %remote_size = getelementptr i8, ptr %pieces, i64 24
  store ptr %to, ptr %pieces
  store i64 %size, ptr %local_size
  store i64 %from, ptr %remote
  store i64 %size, ptr %remote_size
  %local_word = ptrtoint ptr %pieces to i64
  %remote_word = ptrtoint ptr %remote to i64
  %count = call i64 @system(i64 310, i64 %pid, i64 %local_word, i64 1, i64 %remote_word, i64 1, i64 0)
  %whole = icmp eq i64 %count, %size
  ret i1 %whole
}

; Copies memory of the process: 0, or -EFAULT with zeros at %to.
define i64 @read_user(i64 %pid, ptr %to, i64 %size, i64 %from) {
  %whole = call i1 @read_piece(i64 %pid, ptr %to, i64 %size, i64 %from)
  br i1 %whole, label %done, label %failed
done:
  ret i64 0
failed:
  call void @clear(ptr %to, i64 %size)
  ret i64 -14
}

; Copies a string of the process, zeros behind it: its length with the terminator, or -EFAULT with zeros
; at %to. Page by page: memory behind the string's end may not be there.
define i64 @read_user_string(i64 %pid, ptr %to, i64 %size, i64 %from) {
entry:
  %nothing = icmp eq i64 %size, 0
  br i1 %nothing, label %no_room, label %page
page:
  %done = phi i64 [ 0, %entry ], [ %read_so_far, %all_read ]
  %left = sub i64 %size, %done
  %address = add i64 %from, %done
  %in_page = and i64 %address, 4095
  %to_page_end = sub i64 4096, %in_page
  %fits = icmp ult i64 %left, %to_page_end
  %piece = select i1 %fits, i64 %left, i64 %to_page_end
  %place = getelementptr i8, ptr %to, i64 %done
  %read = call i1 @read_piece(i64 %pid, ptr %place, i64 %piece, i64 %address)
  br i1 %read, label %look, label %failed
look:
  %read_so_far = add i64 %done, %piece
  br label %search
search:
  %position = phi i64 [ %done, %look ], [ %next, %letter ]
  %over = icmp eq i64 %position, %read_so_far
  br i1 %over, label %all_read, label %letter
letter:
  %letter_at = getelementptr i8, ptr %to, i64 %position
  %byte = load i8, ptr %letter_at
  %next = add i64 %position, 1
  %is_end = icmp eq i8 %byte, 0
  br i1 %is_end, label %ended, label %search
all_read:
  %full = icmp eq i64 %read_so_far, %size
  br i1 %full, label %cut, label %page
cut:
  %last = sub i64 %size, 1
  %last_at = getelementptr i8, ptr %to, i64 %last
  store i8 0, ptr %last_at
  ret i64 %size
ended:
  %behind = getelementptr i8, ptr %to, i64 %next
  %rest = sub i64 %read_so_far, %next
  call void @clear(ptr %behind, i64 %rest)
  ret i64 %next
failed:
  call void @clear(ptr %to, i64 %size)
  ret i64 -14
no_room:
  ret i64 0
}

; Copies a string of our own, at most %size bytes with its terminator, over zeros.
define void @copy_string(ptr %to, i64 %size, ptr %from) {
entry:
  %letters = sub i64 %size, 1
  br label %test
test:
  %position = phi i64 [ 0, %entry ], [ %next, %copy ]
  %more = icmp ult i64 %position, %letters
  br i1 %more, label %look, label %done
look:
  %from_at = getelementptr i8, ptr %from, i64 %position
  %byte = load i8, ptr %from_at
  %is_end = icmp eq i8 %byte, 0
  br i1 %is_end, label %done, label %copy
copy:
  %to_at = getelementptr i8, ptr %to, i64 %position
  store i8 %byte, ptr %to_at
  %next = add i64 %position, 1
  br label %test
done:
  %end_at = getelementptr i8, ptr %to, i64 %position
  store i8 0, ptr %end_at
  ret void
}
"""

_HASH: Final = """
; The hash of a key, its low three bits zero.
define i64 @mark_of(ptr %key, i64 %size, ptr %header) {
entry:
  %seed_at = getelementptr i8, ptr %header, i64 $seed
  %seed = load i64, ptr %seed_at
  br label %test
test:
  %offset = phi i64 [ 0, %entry ], [ %next, %mix ]
  %hash = phi i64 [ %seed, %entry ], [ %folded, %mix ]
  %more = icmp ult i64 %offset, %size
  br i1 %more, label %mix, label %done
mix:
  %place = getelementptr i8, ptr %key, i64 %offset
  %word = load i64, ptr %place
  %joined = xor i64 %hash, %word
  ; 2^64 divided by the golden ratio, odd.
  %spread = mul i64 %joined, -7046029254386353131
  %high = lshr i64 %spread, 32
  %folded = xor i64 %spread, %high
  %next = add i64 %offset, 8
  br label %test
done:
  %mark = and i64 %hash, -8
  ret i64 %mark
}

; The live entry of a key, or null. %room then has the first entry that the key could take, or null.
define ptr @search(ptr %table, i64 %mask, i64 %key_size, i64 %entry_size, ptr %key, i64 %mark, ptr %room) {
entry:
  store ptr null, ptr %room
  %entries = getelementptr i8, ptr %table, i64 $entries
  %start = lshr i64 %mark, 32
  br label %probe
probe:
  %number = phi i64 [ 0, %entry ], [ %number_next, %following ]
  %enough = icmp eq i64 %number, $probes
  br i1 %enough, label %none, label %take
take:
  %sum = add i64 %start, %number
  %index = and i64 %sum, %mask
  %offset = mul i64 %index, %entry_size
  %at = getelementptr i8, ptr %entries, i64 %offset
  br label %judge
judge:
  %patience = phi i64 [ 0, %take ], [ %patience_next, %wait ]
  %word = load atomic i64, ptr %at acquire, align 8
  %state = and i64 %word, 7
  %theirs = and i64 %word, -8
  %alike = icmp eq i64 %theirs, %mark
  switch i64 %state, label %following [
    i64 $empty, label %end_of_chain
    i64 $busy, label %filling
    i64 $live, label %occupied
    i64 $free, label %usable
  ]
filling:
  ; Somebody puts in a key that may be ours. Should they never finish, having been killed, or take long, the
  ; key gets a second entry, and whoever reads the hash adds the two up.
  %patient = icmp ult i64 %patience, 100
  %worth = and i1 %alike, %patient
  br i1 %worth, label %wait, label %following
wait:
  call void asm sideeffect "pause", ""()
  %patience_next = add i64 %patience, 1
  br label %judge
occupied:
  br i1 %alike, label %compare, label %following
compare:
  %key_at = getelementptr i8, ptr %at, i64 8
  %equal = call i1 @same_words(ptr %key_at, ptr %key, i64 %key_size)
  br i1 %equal, label %found, label %following
found:
  ret ptr %at
usable:
  %noted = load ptr, ptr %room
  %first = icmp eq ptr %noted, null
  %kept = select i1 %first, ptr %at, ptr %noted
  store ptr %kept, ptr %room
  br label %following
end_of_chain:
  %noted_before = load ptr, ptr %room
  %is_first = icmp eq ptr %noted_before, null
  %chosen = select i1 %is_first, ptr %at, ptr %noted_before
  store ptr %chosen, ptr %room
  br label %none
following:
  %number_next = add i64 %number, 1
  br label %probe
none:
  ret ptr null
}

; The value of a key, or null.
define ptr @hash_find(ptr %table, i64 %mask, i64 %key_size, i64 %entry_size, ptr %key, ptr %header) {
  %room = alloca ptr
  %mark = call i64 @mark_of(ptr %key, i64 %key_size, ptr %header)
  %at = call ptr @search(ptr %table, i64 %mask, i64 %key_size, i64 %entry_size, ptr %key, i64 %mark,
                        ptr %room)
  %missing = icmp eq ptr %at, null
  %size = add i64 %key_size, 8
  %value = getelementptr i8, ptr %at, i64 %size
  %result = select i1 %missing, ptr null, ptr %value
  ret ptr %result
}

; The value of a key, made from %new where the key is new; null where there are %limit entries.
define ptr @hash_make(ptr %table, i64 %mask, i64 %key_size, i64 %entry_size, ptr %key, ptr %header,
                      i64 %limit, ptr %new) {
entry:
  %room = alloca ptr
  %mark = call i64 @mark_of(ptr %key, i64 %key_size, ptr %header)
  %before_value = add i64 %key_size, 8
  %value_size = sub i64 %entry_size, %before_value
  br label %again
again:
  %at = call ptr @search(ptr %table, i64 %mask, i64 %key_size, i64 %entry_size, ptr %key, i64 %mark,
                        ptr %room)
  %missing = icmp eq ptr %at, null
  br i1 %missing, label %make, label %found
found:
  %value = getelementptr i8, ptr %at, i64 %before_value
  ret ptr %value
make:
  %empty = load ptr, ptr %room
  %no_room = icmp eq ptr %empty, null
  br i1 %no_room, label %full, label %count
count:
  %used = atomicrmw add ptr %table, i64 1 seq_cst
  %allowed = icmp ult i64 %used, %limit
  br i1 %allowed, label %look, label %over
look:
  %old = load atomic i64, ptr %empty monotonic, align 8
  %other_bits = and i64 %old, -$free_bit
  %still_free = icmp eq i64 %other_bits, $empty
  br i1 %still_free, label %claim, label %taken
claim:
  %busy = or i64 %mark, $busy
  %swap = cmpxchg ptr %empty, i64 %old, i64 %busy seq_cst seq_cst
  %claimed = extractvalue { i64, i1 } %swap, 1
  br i1 %claimed, label %fill, label %taken
fill:
  %key_at = getelementptr i8, ptr %empty, i64 8
  %value_at = getelementptr i8, ptr %empty, i64 %before_value
  call void @copy_words(ptr %key_at, ptr %key, i64 %key_size)
  call void @copy_words(ptr %value_at, ptr %new, i64 %value_size)
  %live = or i64 %mark, $live
  store atomic i64 %live, ptr %empty release, align 8
  ret ptr %value_at
taken:
  %given_back = atomicrmw sub ptr %table, i64 1 seq_cst
  br label %again
over:
  %not_used = atomicrmw sub ptr %table, i64 1 seq_cst
  br label %full
full:
  ret ptr null
}

; Deletes a key whose value nobody else can be at.
define void @hash_free(ptr %table, i64 %mask, i64 %key_size, i64 %entry_size, ptr %key, ptr %header) {
  %room = alloca ptr
  %mark = call i64 @mark_of(ptr %key, i64 %key_size, ptr %header)
  %at = call ptr @search(ptr %table, i64 %mask, i64 %key_size, i64 %entry_size, ptr %key, i64 %mark,
                        ptr %room)
  %missing = icmp eq ptr %at, null
  br i1 %missing, label %done, label %delete
delete:
  store atomic i64 $free, ptr %at release, align 8
  %used = atomicrmw sub ptr %table, i64 1 seq_cst
  br label %done
done:
  ret void
}
"""

_RING: Final = """
; Room for a record of %size bytes, or null. %mask: the ring's size, a power of two, less one.
define ptr @reserve_record(ptr %header, ptr %ring, i64 %mask, i64 %size) {
entry:
  %head_at = getelementptr i8, ptr %header, i64 $ring_head
  %tail_at = getelementptr i8, ptr %header, i64 $ring_tail
  %more = add i64 %size, 15
  %total = and i64 %more, -8
  br label %again
again:
  %head = load atomic i64, ptr %head_at acquire, align 8
  %tail = load atomic i64, ptr %tail_at acquire, align 8
  %end = add i64 %head, %total
  %used = sub i64 %end, %tail
  %fits = icmp ule i64 %used, %mask
  br i1 %fits, label %claim, label %full
claim:
  %swap = cmpxchg ptr %head_at, i64 %head, i64 %end seq_cst seq_cst
  %claimed = extractvalue { i64, i1 } %swap, 1
  br i1 %claimed, label %take, label %again
take:
  %offset = and i64 %head, %mask
  %place = getelementptr i8, ptr %ring, i64 %offset
  %word = or i64 %size, $busy_record
  store atomic i64 %word, ptr %place release, align 8
  %record = getelementptr i8, ptr %place, i64 8
  ret ptr %record
full:
  ret ptr null
}

; Hands a record over, whole or (by %flag) as nothing, and wakes the consumer if it has taken all before.
define void @finish_record(ptr %header, ptr %ring, i64 %mask, ptr %record, i64 %flag) {
  %place = getelementptr i8, ptr %record, i64 -8
  %busy = load i64, ptr %place
  %length = and i64 %busy, $length_only
  %word = or i64 %length, %flag
  %old = atomicrmw xchg ptr %place, i64 %word seq_cst
  %tail_at = getelementptr i8, ptr %header, i64 $ring_tail
  %tail = load atomic i64, ptr %tail_at seq_cst, align 8
  %tail_offset = and i64 %tail, %mask
  %tail_place = getelementptr i8, ptr %ring, i64 %tail_offset
  %awaited = icmp eq ptr %tail_place, %place
  br i1 %awaited, label %wake, label %done
wake:
  %one = alloca i64
  store i64 1, ptr %one
  %one_word = ptrtoint ptr %one to i64
  %fd_at = getelementptr i8, ptr %header, i64 $event_fd
  %fd = load i64, ptr %fd_at
  %written = call i64 @system(i64 1, i64 %fd, i64 %one_word, i64 8, i64 0, i64 0, i64 0)
  br label %done
done:
  ret void
}
"""
