"""What compiled clauses call to keep things in shared memory: hashes, and the ring of records. LLVM assembly.

Part of runtime.py, which says what is called how, and puts numbers in the places that begin with `$`. The layouts
are regions.py's. Every hash function is told the shape of its hash: the mask of entry numbers, and the sizes of key
and entry in bytes.
"""

from typing import Final

HASH: Final = """
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

; The value of a key, made from %new where the key is new. It costs %cost of what %room_used counts; null where
; %limit or more of that are taken.
define ptr @hash_make(ptr %table, i64 %mask, i64 %key_size, i64 %entry_size, ptr %key, ptr %header,
                      ptr %room_used, i64 %cost, i64 %limit, ptr %new) {
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
  %used = atomicrmw add ptr %room_used, i64 %cost seq_cst
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
  %given_back = atomicrmw sub ptr %room_used, i64 %cost seq_cst
  br label %again
over:
  %not_used = atomicrmw sub ptr %room_used, i64 %cost seq_cst
  br label %full
full:
  ret ptr null
}

; Deletes a key whose value nobody else can be at.
define void @hash_free(ptr %table, i64 %mask, i64 %key_size, i64 %entry_size, ptr %key, ptr %header,
                       ptr %room_used, i64 %cost) {
  %room = alloca ptr
  %mark = call i64 @mark_of(ptr %key, i64 %key_size, ptr %header)
  %at = call ptr @search(ptr %table, i64 %mask, i64 %key_size, i64 %entry_size, ptr %key, i64 %mark,
                        ptr %room)
  %missing = icmp eq ptr %at, null
  br i1 %missing, label %done, label %delete
delete:
  store atomic i64 $free, ptr %at release, align 8
  %used = atomicrmw sub ptr %room_used, i64 %cost seq_cst
  br label %done
done:
  ret void
}
"""

RING: Final = """
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
  call void @wake(ptr %header)
  br label %done
done:
  ret void
}
"""
