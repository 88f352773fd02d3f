"""What compiled clauses call to look at the traced process: its files in /proc, its memory. LLVM assembly.

Part of runtime.py, which says what is called how, and puts numbers in the places that begin with `$`. Sources:
proc(5), process_vm_readv(2).
"""

from typing import Final

FILES: Final = """
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

MEMORY: Final = """
; Moves one piece between us and the process by a system call, process_vm_readv or process_vm_writev:
; how many bytes, or a negative error number.
define i64 @transfer(i64 %number, i64 %pid, ptr %here, i64 %size, i64 %there) {
  %pieces = alloca [4 x i64]
  %local_size = getelementptr i8, ptr %pieces, i64 8
  %remote = getelementptr i8, ptr %pieces, i64 16
  %remote_size = getelementptr i8, ptr %pieces, i64 24
  store ptr %here, ptr %pieces
  store i64 %size, ptr %local_size
  store i64 %there, ptr %remote
  store i64 %size, ptr %remote_size
  %local_word = ptrtoint ptr %pieces to i64
  %remote_word = ptrtoint ptr %remote to i64
  %count = call i64 @system(i64 %number, i64 %pid, i64 %local_word, i64 1, i64 %remote_word, i64 1, i64 0)
  ret i64 %count
}

; Reads one piece; true where all of it was read.
define i1 @read_piece(i64 %pid, ptr %to, i64 %size, i64 %from) {
  %count = call i64 @transfer(i64 310, i64 %pid, ptr %to, i64 %size, i64 %from)
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

; Copies a word of the process's stack: 0, or -EFAULT. %copy keeps the piece of stack that was read last, as
; STACK_COPY_SIZE says: frames lie one above the other, so that the next word is mostly in it.
define i64 @read_stack(i64 %pid, ptr %copy, i64 %from, ptr %to) {
entry:
  %held_from = load i64, ptr %copy
  %held_at = getelementptr i8, ptr %copy, i64 8
  %held = load i64, ptr %held_at
  %offset = sub i64 %from, %held_from
  %behind = add i64 %offset, 8
  %wrapped = icmp ult i64 %behind, 8
  %beyond = icmp ugt i64 %behind, %held
  %absent = or i1 %wrapped, %beyond
  %bytes = getelementptr i8, ptr %copy, i64 16
  br i1 %absent, label %read, label %take
read:
  %count = call i64 @transfer(i64 310, i64 %pid, ptr %bytes, i64 $stack_piece, i64 %from)
  %failed = icmp slt i64 %count, 8
  br i1 %failed, label %missing, label %keep
missing:
  store i64 0, ptr %held_at
  ret i64 -14
keep:
  store i64 %from, ptr %copy
  store i64 %count, ptr %held_at
  br label %take
take:
  %place = phi i64 [ %offset, %entry ], [ 0, %keep ]
  %word_at = getelementptr i8, ptr %bytes, i64 %place
  %word = load i64, ptr %word_at, align 1
  store i64 %word, ptr %to
  ret i64 0
}

; Copies to memory of the process: 0, or -EFAULT.
define i64 @write_user(i64 %pid, ptr %from, i64 %size, i64 %to) {
  %count = call i64 @transfer(i64 311, i64 %pid, ptr %from, i64 %size, i64 %to)
  %whole = icmp eq i64 %count, %size
  %result = select i1 %whole, i64 0, i64 -14
  ret i64 %result
}

; Sends a thread of a process a signal: tgkill(2).
define void @send_signal(i64 %pid, i64 %tid, i64 %number) {
  %sent = call i64 @system(i64 234, i64 %pid, i64 %tid, i64 %number, i64 0, i64 0, i64 0)
  ret void
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
