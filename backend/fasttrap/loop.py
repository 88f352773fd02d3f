"""The hot loop: wait for a tracee, run the clauses, send it to its copy. Native code, made once with LLVM.

    waitid -> SIGTRAP right behind a site's int3 -> registers -> rip := copy -> clauses -> PTRACE_CONT

Whatever is not that (another signal, an event, a site that has no copy yet, a thread with something unusual
about it, a site whose code the program has changed) is returned to `engine`, which deals with it in Python and enters
the loop again. The loop asks for all registers only if the clauses read them, and sets nothing but rip, so that a hit
costs four system calls; in code that the program may change one more, which looks at it. State lives in one `Control`
structure and in arrays parallel to the sorted addresses of the sites (`SiteTable`).
"""

import ctypes
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from enum import IntEnum
from signal import SIGTRAP

import llvmlite.binding as llvm

from backend.columns import ascending
from backend.fasttrap.tracee import WALL_OF_THIS_THREAD
from backend.linux.ptrace import RIP_OFFSET, USER_REGS_SIZE, Request


class Reason(IntEnum):
    """Why the loop returned."""

    STATUS = 0
    """A status that is not an ordinary hit: `Control.tid`, `Control.status`; the tracee is as it was when
    it stopped.
    """
    ATTENTION = 1
    """Somebody set `Control.attention`."""
    WINDOW = 2
    """`Control.window` hits have passed since it was set; the last was `Control.tid`'s, which runs."""
    INTERRUPTED = 3
    """A signal to the tracer ended the wait."""
    NO_TRACEES = 4
    """There is nothing left to wait for."""


class Control(ctypes.Structure):
    """What the loop shares with the engine. The offsets are those in the IR below, checked by a test."""

    _fields_ = (
        ("attention", ctypes.c_uint32),
        ("status", ctypes.c_int32),
        ("tid", ctypes.c_int32),
        ("every_hit", ctypes.c_uint32),  # non-zero: return every trap, some thread is unusual
        ("count", ctypes.c_uint64),
        ("addresses", ctypes.c_uint64),  # uint64_t[count], ascending
        (
            "copies",
            ctypes.c_uint64,
        ),  # uint64_t[count]: where the displaced instruction is executed; 0: not planned
        (
            "identifiers",
            ctypes.c_uint64,
        ),  # uint64_t[count]: what the clauses call the site; all ones: no clause does
        ("hits", ctypes.c_uint64),  # uint64_t[count]
        ("ambiguous", ctypes.c_uint64),  # uint8_t[count]: the byte after the site begins an instruction
        ("expected", ctypes.c_uint64),  # uint64_t[count]: what must stand at the site, and
        (
            "checked",
            ctypes.c_uint64,
        ),  # uint64_t[count]: which bits of that are to be looked at; 0: it never changes
        (
            "clauses",
            ctypes.c_uint64,
        ),  # void (*)(uint64_t site, struct user_regs_struct *, uint32_t pid, uint32_t tid)
        ("pid", ctypes.c_uint32),
        ("whole_registers", ctypes.c_uint32),  # non-zero: the clauses read more than rip
        ("window", ctypes.c_uint64),
        ("blocked_count", ctypes.c_uint64),
        (
            "blocked",
            ctypes.c_uint64,
        ),  # uint32_t[blocked_count]: threads that had SIGTRAP blocked before the trap
        ("mask", ctypes.c_uint64),
        ("registers", ctypes.c_uint8 * USER_REGS_SIZE),
        ("signal_info", ctypes.c_uint8 * 128),
    )

    def show(self, registers: bytes) -> int:
        """Put a `struct user_regs_struct` where the clauses may read it; return its address."""
        address = ctypes.addressof(self) + Control.registers.offset
        ctypes.memmove(address, registers, USER_REGS_SIZE)
        return address


_WAITID, _PTRACE = 247, 101
_WSTOPPED, _WEXITED, _WNOWAIT = 2, 4, 0x01000000
_CLD_TRAPPED = 4
_TRAP_STATUS = 5 << 8 | 0x7F
_SI_KERNEL = 0x80
_EINTR, _ECHILD = 4, 10

# Raw system calls: they return -errno and leave no trace in the C library.
_IR = """
target triple = "{triple}"

define internal i64 @system(i64 %number, i64 %a, i64 %b, i64 %c, i64 %d) alwaysinline {{
  %result = call i64 asm sideeffect "syscall",
    "={{rax}},{{rax}},{{rdi}},{{rsi}},{{rdx}},{{r10}},{{r8}},~{{rcx}},~{{r11}},~{{memory}}"
    (i64 %number, i64 %a, i64 %b, i64 %c, i64 %d, i64 0)
  ret i64 %result
}}

define internal i64 @ptrace(i64 %request, i64 %tid, i64 %address, i64 %data) alwaysinline {{
  %result = call i64 @system(i64 {ptrace}, i64 %request, i64 %tid, i64 %address, i64 %data)
  ret i64 %result
}}

@watched = internal global ptr null

define void @call_attention(i32 %signal) {{
  %control = load ptr, ptr @watched
  store volatile i32 1, ptr %control
  ret void
}}

define void @watch(ptr %control) {{
  store ptr %control, ptr @watched
  ret void
}}

define i32 @run(ptr %control) {{
entry:
  %status_at = getelementptr i8, ptr %control, i64 {status}
  %tid_at = getelementptr i8, ptr %control, i64 {tid}
  %every_hit_at = getelementptr i8, ptr %control, i64 {every_hit}
  %count_at = getelementptr i8, ptr %control, i64 {count}
  %addresses_at = getelementptr i8, ptr %control, i64 {addresses}
  %copies_at = getelementptr i8, ptr %control, i64 {copies}
  %identifiers_at = getelementptr i8, ptr %control, i64 {identifiers}
  %hits_at = getelementptr i8, ptr %control, i64 {hits}
  %ambiguous_at = getelementptr i8, ptr %control, i64 {ambiguous}
  %expected_at = getelementptr i8, ptr %control, i64 {expected}
  %checked_at = getelementptr i8, ptr %control, i64 {checked}
  %clauses_at = getelementptr i8, ptr %control, i64 {clauses}
  %pid_at = getelementptr i8, ptr %control, i64 {pid}
  %whole_at = getelementptr i8, ptr %control, i64 {whole_registers}
  %window_at = getelementptr i8, ptr %control, i64 {window}
  %registers = getelementptr i8, ptr %control, i64 {registers}
  %rip_at = getelementptr i8, ptr %registers, i64 {rip}
  %info = getelementptr i8, ptr %control, i64 {signal_info}
  %code_at = getelementptr i8, ptr %info, i64 8
  %blocked_count_at = getelementptr i8, ptr %control, i64 {blocked_count}
  %blocked_list_at = getelementptr i8, ptr %control, i64 {blocked}
  %mask_at = getelementptr i8, ptr %control, i64 {mask}
  %mask_word = ptrtoint ptr %mask_at to i64
  %blocked_count = load i64, ptr %blocked_count_at
  %some_blocked = icmp ne i64 %blocked_count, 0
  %blocked = load ptr, ptr %blocked_list_at
  %child_at = getelementptr i8, ptr %info, i64 16
  %stop_at = getelementptr i8, ptr %info, i64 24
  %registers_word = ptrtoint ptr %registers to i64
  %rip_word = ptrtoint ptr %rip_at to i64
  %info_word = ptrtoint ptr %info to i64
  %count = load i64, ptr %count_at
  %addresses = load ptr, ptr %addresses_at
  %copies = load ptr, ptr %copies_at
  %identifiers = load ptr, ptr %identifiers_at
  %hits = load ptr, ptr %hits_at
  %ambiguous = load ptr, ptr %ambiguous_at
  %expected = load ptr, ptr %expected_at
  %checked = load ptr, ptr %checked_at
  %clauses = load ptr, ptr %clauses_at
  %pid = load i32, ptr %pid_at
  %whole_word = load i32, ptr %whole_at
  %whole = icmp ne i32 %whole_word, 0
  br label %again

again:
  %attention_word = load volatile i32, ptr %control
  %attention = icmp ne i32 %attention_word, 0
  br i1 %attention, label %return_attention, label %wait

wait:
  %waiting = call i64 @system(i64 {waitid}, i64 0, i64 0, i64 %info_word, i64 {wait_flags})
  %failed = icmp slt i64 %waiting, 0
  br i1 %failed, label %wait_failed, label %reported

wait_failed:
  %interrupted = icmp eq i64 %waiting, -{eintr}
  br i1 %interrupted, label %return_interrupted, label %return_none

reported:
  %tid = load i32, ptr %child_at
  %waited = zext i32 %tid to i64
  store i32 %tid, ptr %tid_at
  %how = load i32, ptr %code_at
  %is_stop = icmp eq i32 %how, {stopped}
  %stop = load i32, ptr %stop_at
  %shifted = shl i32 %stop, 8
  %stop_status = or i32 %shifted, 127
  %status = select i1 %is_stop, i32 %stop_status, i32 0
  store i32 %status, ptr %status_at
  %is_trap = icmp eq i32 %status, {trap}
  %every_word = load i32, ptr %every_hit_at
  %ordinary = icmp eq i32 %every_word, 0
  %candidate = and i1 %is_trap, %ordinary
  br i1 %candidate, label %trapped, label %return_status

trapped:
  br i1 %whole, label %read_all, label %read_rip

read_all:
  %all_failed = call i64 @ptrace(i64 {getregs}, i64 %waited, i64 0, i64 %registers_word)
  br label %read

read_rip:
  %rip_failed = call i64 @ptrace(i64 {peekuser}, i64 %waited, i64 {rip}, i64 %rip_word)
  br label %read

read:
  %read_result = phi i64 [ %all_failed, %read_all ], [ %rip_failed, %read_rip ]
  %gone = icmp ne i64 %read_result, 0
  br i1 %gone, label %again, label %look_up

look_up:
  %behind = load i64, ptr %rip_at
  %address = sub i64 %behind, 1
  br label %search

search:
  %low = phi i64 [ 0, %look_up ], [ %next_low, %narrow ]
  %high = phi i64 [ %count, %look_up ], [ %next_high, %narrow ]
  %more = icmp ult i64 %low, %high
  br i1 %more, label %narrow, label %found_place

narrow:
  %sum = add i64 %low, %high
  %middle = lshr i64 %sum, 1
  %middle_at = getelementptr i64, ptr %addresses, i64 %middle
  %middle_address = load i64, ptr %middle_at
  %below = icmp ult i64 %middle_address, %address
  %after_middle = add i64 %middle, 1
  %next_low = select i1 %below, i64 %after_middle, i64 %low
  %next_high = select i1 %below, i64 %high, i64 %middle
  br label %search

found_place:
  %inside = icmp ult i64 %low, %count
  br i1 %inside, label %compare, label %return_status

compare:
  %place = getelementptr i64, ptr %addresses, i64 %low
  %place_address = load i64, ptr %place
  %copy_at = getelementptr i64, ptr %copies, i64 %low
  %copy = load i64, ptr %copy_at
  %same = icmp eq i64 %place_address, %address
  %planned = icmp ne i64 %copy, 0
  %ready = and i1 %same, %planned
  br i1 %ready, label %check, label %return_status

check:
  %bits_at = getelementptr i64, ptr %checked, i64 %low
  %bits = load i64, ptr %bits_at
  %unchanging = icmp eq i64 %bits, 0
  br i1 %unchanging, label %doubt_it, label %look

look:
  %looked = call i64 @ptrace(i64 {peektext}, i64 %waited, i64 %address, i64 %mask_word)
  %unseen = icmp ne i64 %looked, 0
  br i1 %unseen, label %return_status, label %match

match:
  %stands = load i64, ptr %mask_at
  %wanted_at = getelementptr i64, ptr %expected, i64 %low
  %wanted = load i64, ptr %wanted_at
  %differing = xor i64 %stands, %wanted
  %telling = and i64 %differing, %bits
  %is_as_it_was = icmp eq i64 %telling, 0
  br i1 %is_as_it_was, label %doubt_it, label %return_status

doubt_it:
  %doubt_at = getelementptr i8, ptr %ambiguous, i64 %low
  %doubt_byte = load i8, ptr %doubt_at
  %is_ambiguous = icmp ne i8 %doubt_byte, 0
  %doubt = or i1 %is_ambiguous, %some_blocked
  br i1 %doubt, label %ask, label %hit

ask:
  %asked = call i64 @ptrace(i64 {getsiginfo}, i64 %waited, i64 0, i64 %info_word)
  %asked_failed = icmp ne i64 %asked, 0
  br i1 %asked_failed, label %again, label %judge

judge:
  %code = load i32, ptr %code_at
  %by_kernel = icmp eq i32 %code, {si_kernel}
  br i1 %by_kernel, label %hit, label %return_status

hit:
  %sent = call i64 @ptrace(i64 {pokeuser}, i64 %waited, i64 {rip}, i64 %copy)
  store i64 %address, ptr %rip_at
  %identifier_at = getelementptr i64, ptr %identifiers, i64 %low
  %identifier = load i64, ptr %identifier_at
  %uncounted = icmp eq i64 %identifier, -1
  br i1 %uncounted, label %send, label %count_hit

count_hit:
  %hit_at = getelementptr i64, ptr %hits, i64 %low
  %hit_count = load i64, ptr %hit_at
  %hit_next = add i64 %hit_count, 1
  store i64 %hit_next, ptr %hit_at
  call void %clauses(i64 %identifier, ptr %registers, i32 %pid, i32 %tid)
  br label %send

send:
  br i1 %some_blocked, label %scan, label %resume

scan:
  %number = phi i64 [ 0, %send ], [ %next_number, %scan_on ]
  %scanned = icmp eq i64 %number, %blocked_count
  br i1 %scanned, label %resume, label %scan_one

scan_one:
  %blocked_at = getelementptr i32, ptr %blocked, i64 %number
  %blocked_tid = load i32, ptr %blocked_at
  %is_blocked = icmp eq i32 %blocked_tid, %tid
  br i1 %is_blocked, label %block_again, label %scan_on

scan_on:
  %next_number = add i64 %number, 1
  br label %scan

block_again:
  %got_mask = call i64 @ptrace(i64 {getsigmask}, i64 %waited, i64 8, i64 %mask_word)
  %mask = load i64, ptr %mask_at
  %with_trap = or i64 %mask, {trap_bit}
  store i64 %with_trap, ptr %mask_at
  %set_mask = call i64 @ptrace(i64 {setsigmask}, i64 %waited, i64 8, i64 %mask_word)
  br label %resume

resume:
  %resumed = call i64 @ptrace(i64 {cont}, i64 %waited, i64 0, i64 0)
  %window = load i64, ptr %window_at
  %window_left = sub i64 %window, 1
  store i64 %window_left, ptr %window_at
  %window_over = icmp eq i64 %window_left, 0
  br i1 %window_over, label %return_window, label %again

return_status:
  ret i32 0
return_attention:
  ret i32 1
return_window:
  ret i32 2
return_interrupted:
  ret i32 3
return_none:
  ret i32 4
}}
"""


class HotLoop:
    """The compiled loop. Keeps its code alive; `run` may be called by the one thread that seized the
    tracees.
    """

    def __init__(self) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        llvm.initialize_native_asmparser()
        module = llvm.parse_assembly(_IR.format(**_numbers()))
        module.verify()
        machine = llvm.Target.from_default_triple().create_target_machine(opt=2, jit=True)
        self._engine = llvm.create_mcjit_compiler(module, machine)
        self._engine.finalize_object()
        prototype = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p)
        self._run = prototype(self._engine.get_function_address("run"))
        self._watch = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(self._engine.get_function_address("watch"))

    def attention_handler(self, control: Control) -> int:
        """Return the address of a signal handler that makes the loop on `control`, wherever it is, return
        ATTENTION.
        """
        self._watch(ctypes.addressof(control))
        address: int = self._engine.get_function_address("call_attention")
        return address

    def run(self, control: Control) -> Reason:
        """Serve hits until something else is to be done. Other Python threads run meanwhile."""
        return Reason(self._run(ctypes.addressof(control)))


def _numbers() -> dict[str, int | str]:
    offsets = {name: getattr(Control, name).offset for name, *_ in Control._fields_}
    return offsets | {
        "triple": llvm.get_default_triple(),
        "waitid": _WAITID,
        "wait_flags": _WSTOPPED | _WEXITED | _WNOWAIT | WALL_OF_THIS_THREAD,
        "stopped": _CLD_TRAPPED,
        "ptrace": _PTRACE,
        "eintr": _EINTR,
        "trap": _TRAP_STATUS,
        "si_kernel": _SI_KERNEL,
        "rip": RIP_OFFSET,
        "getregs": int(Request.GETREGS),
        "getsiginfo": int(Request.GETSIGINFO),
        "cont": int(Request.CONT),
        "getsigmask": int(Request.GETSIGMASK),
        "setsigmask": int(Request.SETSIGMASK),
        "trap_bit": 1 << SIGTRAP - 1,
        "peektext": int(Request.PEEKTEXT),
        "peekuser": int(Request.PEEKUSER),
        "pokeuser": int(Request.POKEUSER),
    }


class SiteTable:
    """The arrays of the loop, one element for each site in ascending order of address. More sites are a new
    table.
    """

    def __init__(
        self, addresses: Sequence[int] = (), identifiers: Sequence[int] = (), ambiguous: Sequence[int] = b""
    ) -> None:
        """Of each site, in any order: its address, its identifier, and whether an instruction begins at the byte after
        the address.
        """
        order = ascending(addresses)
        self.addresses = array("Q", map(addresses.__getitem__, order))
        self.identifiers = array("Q", map(identifiers.__getitem__, order))
        self.ambiguous = array("B", map(ambiguous.__getitem__, order))
        self.copies = array("Q", bytes(8 * len(order)))
        self.hits = array("Q", bytes(8 * len(order)))
        self.expected = array("Q", bytes(8 * len(order)))
        self.checked = array("Q", bytes(8 * len(order)))

    def __len__(self) -> int:
        return len(self.addresses)

    def index(self, address: int) -> int | None:
        """Return the place of a site, or None."""
        place = bisect_left(self.addresses, address)
        return place if place < len(self) and self.addresses[place] == address else None

    def with_sites(self, more: "SiteTable") -> "SiteTable":
        """Return a table of other sites as well, none of which was hit, which knows what this one knows."""
        if not self:
            return more
        table = SiteTable(
            self.addresses + more.addresses,
            self.identifiers + more.identifiers,
            self.ambiguous + more.ambiguous,
        )
        for old, address in enumerate(self.addresses):
            place = table.index(address)
            assert place is not None, address
            for name in ("copies", "hits", "expected", "checked"):
                getattr(table, name)[place] = getattr(self, name)[old]
        return table

    def install(self, control: Control) -> None:
        """Make the loop use this table, which must live as long as it does."""
        control.count = len(self)
        for name in ("addresses", "identifiers", "ambiguous", "copies", "hits", "expected", "checked"):
            setattr(control, name, getattr(self, name).buffer_info()[0])
