"""What compiled clauses call where they run in the traced process: its clock, its threads, memory for a firing. LLVM
assembly.

Part of runtime.py, which says what is called how, and puts numbers in the places that begin with `$`. A thread that
runs this may be in the middle of anything: here is no lock, nothing of the C library, no string instruction
that minds the direction flag, and little stack. Sources: vdso(7), prctl(2), `Documentation/arch/x86/x86_64/fsgs.rst`.
"""

from typing import Final

CLOCK_RETURN: Final = "vdso_return"
"""The symbol behind the one call of the vdso: a thread in the vdso with this address on its stack runs clauses."""

INSIDE: Final = """
; No consumer is told of a record: it looks by itself, now and then.
define void @wake(ptr %header) alwaysinline {
  ret void
}

define void @clear(ptr %from, i64 %size) noinline noredzone {
  %done = call { ptr, i64 } asm sideeffect "pushfq; cld; rep stosb; popfq",
    "={rdi},={rcx},{rax},0,1,~{memory},~{dirflag},~{fpsr},~{flags}" (i64 0, ptr %from, i64 %size)
  ret void
}

define void @copy_memory(ptr %to, i64 %size, ptr %from) noinline noredzone {
  %done = call { ptr, ptr, i64 } asm sideeffect "pushfq; cld; rep movsb; popfq",
    "={rdi},={rsi},={rcx},0,1,2,~{memory},~{dirflag},~{fpsr},~{flags}" (ptr %to, ptr %from, i64 %size)
  ret void
}

; Calls a function of the vdso. Its return address is wiped out behind it, so that it is nowhere on a stack but while
; the call lasts.
define i64 @call_vdso(ptr %function, i64 %a, ptr %b) noinline noredzone {
  %result = call { i64, i64, i64 } asm sideeffect
    "callq *$$3\\0A.globl $clock_return\\0A$clock_return:\\0A\\09movq $$$$0, -8(%rsp)",
    "={rax},={rdi},={rsi},{rax},1,2,{rdx},~{rcx},~{r8},~{r9},~{r10},~{r11},~{memory},~{dirflag},~{fpsr},~{flags}"
    (ptr %function, i64 %a, ptr %b, i64 0)
  %value = extractvalue { i64, i64, i64 } %result, 0
  ret i64 %value
}

define i64 @clock(i64 %number) {
  %time = alloca [2 x i64]
  %header = load ptr, ptr @memory
  %function_at = getelementptr i8, ptr %header, i64 $clock
  %function = load ptr, ptr %function_at
  %failed = call i64 @call_vdso(ptr %function, i64 %number, ptr %time)
  %seconds = load i64, ptr %time
  %fraction_at = getelementptr i8, ptr %time, i64 8
  %fraction = load i64, ptr %fraction_at
  %whole = mul i64 %seconds, 1000000000
  %result = add i64 %whole, %fraction
  ret i64 %result
}

; Its number is the low 12 bits of a segment's limit, where the vdso finds it as well; the vdso itself may be probed.
define i64 @own_processor() {
  %limit = call i64 asm sideeffect "xorl $${0:k}, $${0:k}; lsll $${1:k}, $${0:k}",
    "=&r,r,~{dirflag},~{fpsr},~{flags}" (i64 123)
  %number = and i64 %limit, 4095
  ret i64 %number
}

; clock_gettime(CLOCK_THREAD_CPUTIME_ID)
define i64 @thread_time(i64 %unused) {
  %time = alloca [2 x i64]
  %time_word = ptrtoint ptr %time to i64
  %failed = call i64 @system(i64 228, i64 3, i64 %time_word, i64 0, i64 0, i64 0, i64 0)
  %seconds = load i64, ptr %time
  %fraction_at = getelementptr i8, ptr %time, i64 8
  %fraction = load i64, ptr %fraction_at
  %whole = mul i64 %seconds, 1000000000
  %result = add i64 %whole, %fraction
  ret i64 %result
}

; prctl(PR_GET_NAME): 16 bytes, zero-padded
define void @thread_name(i64 %unused, ptr %to) {
  %to_word = ptrtoint ptr %to to i64
  %failed = call i64 @system(i64 157, i64 16, i64 %to_word, i64 0, i64 0, i64 0, i64 0)
  ret void
}

; getuid or getgid
define i64 @credential(i64 %unused, i64 %line) {
  %is_user = icmp eq i64 %line, $uid_line
  %call = select i1 %is_user, i64 102, i64 104
  %number = call i64 @system(i64 %call, i64 0, i64 0, i64 0, i64 0, i64 0, i64 0)
  ret i64 %number
}

declare ptr @llvm.addressofreturnaddress.p0()

; The thread's ID. It is remembered by where the thread runs: the base of its thread-local storage, and the page of its
; stack. No two threads that live have both in common; when one begins to live the tracer empties the table.
define i64 @own_thread(ptr %table, ptr %header) {
entry:
  %may_at = getelementptr i8, ptr %header, i64 $fs_base
  %may = load i64, ptr %may_at
  %is_known = icmp ne i64 %may, 0
  br i1 %is_known, label %look, label %ask
look:
  %base = call i64 asm sideeffect "rdfsbase $$0", "=r"()
  %stack = call ptr @llvm.addressofreturnaddress.p0()
  %stack_word = ptrtoint ptr %stack to i64
  %page = lshr i64 %stack_word, 12
  %high = mul i64 %page, -7046029254386353131
  %joined = xor i64 %base, %high
  %folded = lshr i64 %joined, 29
  %mixed = xor i64 %joined, %folded
  %spread = mul i64 %mixed, -4658895280553007687
  %spread_high = lshr i64 %spread, 32
  %hash = xor i64 %spread, %spread_high
  %number = and i64 %hash, $tids_mask
  %offset = shl i64 %number, 3
  %place = getelementptr i8, ptr %table, i64 %offset
  %word = load atomic i64, ptr %place monotonic, align 8
  %difference = xor i64 %word, %hash
  %tag = lshr i64 %difference, $tid_bits
  %is_here = icmp eq i64 %tag, 0
  br i1 %is_here, label %known, label %learn
known:
  %tid = and i64 %word, $tid_mask
  %is_there = icmp ne i64 %tid, 0
  br i1 %is_there, label %found, label %learn
found:
  ret i64 %tid
learn:
  %own = call i64 @system(i64 186, i64 0, i64 0, i64 0, i64 0, i64 0, i64 0)
  %upper = and i64 %hash, $tag_mask
  %new = or i64 %upper, %own
  store atomic i64 %new, ptr %place monotonic, align 8
  ret i64 %own
ask:
  %asked = call i64 @system(i64 186, i64 0, i64 0, i64 0, i64 0, i64 0, i64 0)
  ret i64 %asked
}

; Memory for a firing: a free slot of the pool, or null.
define ptr @claim_scratch(ptr %header, ptr %pool, i64 %bits) {
entry:
  %taken_at = getelementptr i8, ptr %header, i64 $pool
  br label %again
again:
  %taken = load atomic i64, ptr %taken_at monotonic, align 8
  %free = xor i64 %taken, -1
  %none = icmp eq i64 %free, 0
  br i1 %none, label %full, label %claim
claim:
  %number = call i64 @llvm.cttz.i64(i64 %free, i1 true)
  %bit = shl i64 1, %number
  %then = or i64 %taken, %bit
  %swap = cmpxchg ptr %taken_at, i64 %taken, i64 %then seq_cst seq_cst
  %claimed = extractvalue { i64, i1 } %swap, 1
  br i1 %claimed, label %take, label %again
take:
  %offset = shl i64 %number, %bits
  %slot = getelementptr i8, ptr %pool, i64 %offset
  ret ptr %slot
full:
  ret ptr null
}

declare i64 @llvm.cttz.i64(i64, i1)

define void @release_scratch(ptr %header, ptr %pool, i64 %bits, ptr %slot) {
  %taken_at = getelementptr i8, ptr %header, i64 $pool
  %slot_word = ptrtoint ptr %slot to i64
  %pool_word = ptrtoint ptr %pool to i64
  %offset = sub i64 %slot_word, %pool_word
  %number = lshr i64 %offset, %bits
  %bit = shl i64 1, %number
  %others = xor i64 %bit, -1
  %before = atomicrmw and ptr %taken_at, i64 %others seq_cst
  ret void
}
"""
