"""SIGTRAP in the signal masks of the traced threads: what the program has set, and what the kernel is told.

As long as int3s stand, the kernel has SIGTRAP unblocked in every thread. One that meets an int3 with SIGTRAP blocked
loses the process its handler for SIGTRAP, and without a tracer its life; and the C library blocks all signals
wherever it makes or ends a thread. What the program has set is in `Thread.blocks_trap`: the tracer answers each
rt_sigprocmask that SIGTRAP has a part in from that (`exchange`), threads and children inherit it (`inherit`), and
those that leave us get it back (`give_back`).

Once a SIGTRAP is sent to a process that has it blocked, it has to be pending there, where sigwait, signalfd and
sigpending find it. Then the kernel has it blocked as well (`block_in_kernel`), and it is blocked anew after each trap.

Nor do handlers of other signals run with SIGTRAP blocked, which programs that block all signals meanwhile ask for:
`Sigtrap.masking` says which, and the kernel is told otherwise (`unblock_in_handlers`, `exchange_action`). Those that
are called out of a call with a mask of its own, such as ppoll, begin with that one: `unblock_in_wait`. Since that helps
nobody when we are dead, rt_sigsuspend, with which garbage collectors wait, is made with another mask from the beginning
(`lend`).
"""

import contextlib
import errno
import os
from dataclasses import dataclass, replace
from signal import SIGKILL, SIGSTOP, SIGTRAP

from backend.errors import CannotInject
from backend.fasttrap import disposition, inject, requeue, signals, sigtrap
from backend.fasttrap.disposition import SIGSET_SIZE, TRAP_BIT
from backend.fasttrap.inject import Gate, Syscall
from backend.fasttrap.process import Process
from backend.fasttrap.scratch_space import LENT_OFFSET, LENT_SIZE
from backend.fasttrap.tracee import OPTIONS, Memory, Thread, has_handler, signal_set
from backend.linux import ptrace, threads
from backend.linux.ptrace import Registers


def can_be_told(process: Process) -> bool:
    """Before the first int3: tell whether SIGTRAP can be unblocked wherever it is blocked. It can't in a thread that
    waits for its child of vfork, and posix_spawn waits with all signals blocked.
    """
    waiting = process.threads.known.keys() - process.threads.held.keys()
    return not any(signal_set(tid, "SigBlk:") & TRAP_BIT for tid in waiting)


def take_over_held(process: Process) -> None:
    """Before the first int3: take the masks of all held threads over from the kernel."""
    for tid in process.threads.held:
        with contextlib.suppress(ProcessLookupError):
            take_over(process, process.threads.known[tid])


def take_over(process: Process, thread: Thread) -> None:
    """Take the mask of a thread, stopped before it has met an int3, over from the kernel, unless that has been done."""
    if thread.mask_known or not process.tracepoints.table:
        return
    thread.mask_known = True
    mask = ptrace.signal_mask(thread.tid)
    thread.blocks_trap = mask & TRAP_BIT != 0
    has_blocking_handlers = process.sigtrap.masking != 0 or process.sigtrap.program.is_handler
    thread.was_blocking = thread.blocks_trap and has_blocking_handlers
    process.note(thread)
    if not thread.blocks_trap:
        return
    if (signal_set(thread.tid, "SigPnd:") | signal_set(thread.tid, "ShdPnd:")) & TRAP_BIT:
        process.block_in_kernel(thread.tid, blocked=True)
    else:
        ptrace.set_signal_mask(thread.tid, mask & ~TRAP_BIT)


def inherit(process: Process, thread: Thread) -> None:
    """Note whether a thread or child at its first stop has SIGTRAP blocked, as who has made it had."""
    is_born_blocking = process.threads.is_born_blocking(thread.tid)
    with contextlib.suppress(ProcessLookupError):
        take_over(process, thread)
        thread.blocks_trap |= is_born_blocking


def exchange(process: Process, thread: Thread, registers: Registers) -> Registers | None:
    """Answer a program's rt_sigprocmask, which is what `registers` are about to do, if SIGTRAP is in the mask before or
    after; return the registers behind it. None if the kernel may do it.
    """
    tid, memory = thread.tid, process.tracepoints.memory
    in_kernel = ptrace.signal_mask(tid) & ~TRAP_BIT
    mask = in_kernel | TRAP_BIT if thread.blocks_trap else in_kernel
    new = sigtrap.mask_after(registers, memory, mask)
    if new is None or not (mask | new) & TRAP_BIT:
        return None
    result = 0
    if registers.rdx:
        try:
            memory.write(registers.rdx, mask.to_bytes(SIGSET_SIZE, "little"))
        except OSError as error:
            result = -(error.errno or errno.EFAULT)
    thread.blocks_trap = new & TRAP_BIT != 0
    if not thread.blocks_trap:
        thread.was_blocking = False
        process.block_in_kernel(tid, blocked=False)
    told = new if tid in process.blocked else new & ~TRAP_BIT
    answered = sigtrap.returned(registers, result)
    # If we are killed in between, a thread may rather have missed to block its signals than block them for ever.
    if in_kernel & ~told:
        ptrace.set_signal_mask(tid, told)
        ptrace.set_registers(tid, answered)
    else:
        ptrace.set_registers(tid, answered)
        ptrace.set_signal_mask(tid, told)
    if told & ~in_kernel and ptrace.has_shared_pending(tid):
        _let_others_look(process, tid)
    return answered


def lend(process: Process, thread: Thread, registers: Registers) -> Registers:
    """Of a thread that is about to make the call rt_sigsuspend with `registers`: return those with which it waits
    without SIGTRAP blocked.

    What is lent is never changed: the call may be made again with it, also after our end. Where there is no room for
    one more mask, or the call would fail, the kernel may have the program's.
    """
    if registers.rax != Syscall.RT_SIGSUSPEND or thread.tid in process.blocked:
        return registers
    memory = process.tracepoints.memory
    try:
        asked = memory.read(registers.rdi, SIGSET_SIZE)
    except OSError:
        return registers
    mask = int.from_bytes(asked, "little")
    if len(asked) < SIGSET_SIZE or not mask & TRAP_BIT:
        return registers
    told = mask & ~TRAP_BIT
    if told not in process.lent:
        if SIGSET_SIZE * len(process.lent) == LENT_SIZE:
            return registers
        memory.write(_lent_at(process, len(process.lent)), told.to_bytes(SIGSET_SIZE, "little"))
        process.lent.append(told)
    return replace(registers, rdi=_lent_at(process, process.lent.index(told)))


def _lent_at(process: Process, place: int) -> int:
    return process.tracepoints.space.home + LENT_OFFSET + SIGSET_SIZE * place


def note_return(process: Process, thread: Thread, registers: Registers) -> None:
    """At rt_sigreturn in a thread that may be in a handler since before the first int3: take the mask that is restored
    over.
    """
    memory, place = process.tracepoints.memory, registers.rsp + sigtrap.MASK_IN_FRAME
    with contextlib.suppress(OSError):
        mask = int.from_bytes(memory.read(place, SIGSET_SIZE), "little")
        thread.blocks_trap = thread.was_blocking = mask & TRAP_BIT != 0
        if thread.blocks_trap:
            memory.write(place, (mask & ~TRAP_BIT).to_bytes(SIGSET_SIZE, "little"))
        process.note(thread)


@dataclass(frozen=True, slots=True)
class WaitMask:
    """The mask that a thread waits with (`told`, SIGTRAP taken out of it), and the one that the kernel would have put
    back when the handler returns (`kept`), which it has forgotten now.
    """

    told: int
    kept: int


def unblock_in_wait(process: Process, thread: Thread, number: int) -> WaitMask | None:
    """Of a thread that is stopped by a signal with a handler: if it waits in a call that has set a mask for as long as
    it waits, and that blocks SIGTRAP, unblock it. `return_to_mask` is due then, in the handler. None if there is
    nothing to do.
    """
    tid = thread.tid
    if ptrace.registers(tid).orig_rax not in _CALLS_WITH_MASK or tid in process.blocked:
        return None
    mask = signal_set(tid, "SigBlk:")
    if not mask & TRAP_BIT or not has_handler(tid, number):
        return None
    wait = WaitMask(mask & ~TRAP_BIT, ptrace.signal_mask(tid))
    ptrace.set_signal_mask(tid, wait.told)
    return wait


def return_to_mask(process: Process, tid: int, wait: WaitMask) -> None:
    """Of a thread that is stopped at the first instruction of its handler: have that return to the mask that was kept,
    if there is a frame with the other.
    """
    memory = process.tracepoints.memory
    place = ptrace.registers(tid).rsp + sigtrap.RETURN_ADDRESS_SIZE + sigtrap.MASK_IN_FRAME
    with contextlib.suppress(OSError):
        if memory.read(place, SIGSET_SIZE) == wait.told.to_bytes(SIGSET_SIZE, "little"):
            memory.write(place, wait.kept.to_bytes(SIGSET_SIZE, "little"))


_CALLS_WITH_MASK = frozenset((Syscall.RT_SIGSUSPEND, 270, 271, 281, 333, 441))
"""The others are pselect6, ppoll, epoll_pwait, io_pgetevents and epoll_pwait2: those that call set_user_sigmask.
Source: arch/x86/entry/syscalls/syscall_64.tbl.
"""


def unblock_in_handlers(process: Process, tid: int) -> None:
    """Before the first int3: let no handler of another signal block SIGTRAP, in the name of the held thread `tid`."""
    gate, memory = process.gate, process.tracepoints.memory
    found = {
        number: action
        for number in _members(signal_set(tid, "SigCgt:") & ~TRAP_BIT)
        if (action := disposition.read_action(tid, gate, memory, number)).blocks_trap
    }
    process.sigtrap.masking |= sum(1 << number - 1 for number in found)
    process.sigtrap.note(memory)
    for number, action in found.items():
        disposition.write_action(tid, gate, memory, action.with_trap(blocked=False), number)


def give_back_handlers(process: Process, tid: int) -> None:
    """Let them block it as the program has set, in the name of the held thread `tid`: no int3 stands any more."""
    block_in_handlers(tid, process.gate, process.tracepoints.memory, process.sigtrap.masking)
    process.sigtrap.masking = 0
    process.sigtrap.note(process.tracepoints.memory)


def block_in_handlers(tid: int, gate: Gate, memory: Memory, masking: int) -> None:
    """Let the handlers of these signals, as far as they are there, block SIGTRAP."""
    for number in _members(masking):
        action = disposition.read_action(tid, gate, memory, number)
        if action.is_handler:
            disposition.write_action(tid, gate, memory, action.with_trap(blocked=True), number)


def exchange_action(process: Process, thread: Thread, registers: Registers) -> Registers | None:
    """Answer a program's rt_sigaction for another signal, which is what `registers` are about to do, if it has or gets
    a handler that blocks SIGTRAP; return the registers behind it. None if the kernel may do it, or a sandbox keeps us
    from it.
    """
    tid, gate, memory = thread.tid, process.gate, process.tracepoints.memory
    number = registers.rdi & 0xFFFF_FFFF
    if number not in _SETTABLE:
        return None
    bit = 1 << number - 1
    was_masking = process.sigtrap.masking & bit != 0
    if not was_masking and not sigtrap.sets_masking(registers, memory):
        return None
    with contextlib.suppress(CannotInject), inject.seccomp_suspended(tid, OPTIONS):
        current = disposition.read_action(tid, gate, memory, number)
        if was_masking and current.is_handler:
            current = current.with_trap(blocked=True)
        try:
            new = sigtrap.exchange_action(registers, memory, current)
        except OSError as error:
            return sigtrap.returned(registers, -(error.errno or errno.EFAULT))
        if new is not None:
            process.sigtrap.masking = process.sigtrap.masking & ~bit | bit * new.blocks_trap
            process.sigtrap.note(memory)
            disposition.write_action(tid, gate, memory, new.with_trap(blocked=False), number)
        return sigtrap.returned(registers, 0)
    return None


_SETTABLE = frozenset(range(1, 65)) - {SIGKILL, SIGSTOP}


def _members(signals: int) -> list[int]:
    """Return the numbers of the signals in a set."""
    return [number for number in range(1, 65) if signals >> number - 1 & 1]


def _let_others_look(process: Process, tid: int) -> None:
    """Have the other threads look for signals of the process: the one that the kernel has chosen for one of these may
    have just blocked it, and a mask that is set from outside tells them nothing.
    """
    for other in process.threads.known:
        if other != tid and other not in process.threads.held:
            with contextlib.suppress(ProcessLookupError):
                ptrace.interrupt(other)


def block_again(process: Process, tid: int) -> None:
    """After a trap of ours, which has unblocked SIGTRAP: have the kernel block it again where it had."""
    if tid in process.blocked:
        block(tid)


def must_stay_pending(process: Process, thread: Thread) -> bool:
    """Of a thread that a SIGTRAP has stopped: tell whether that has been sent while it had SIGTRAP blocked."""
    is_hidden = thread.blocks_trap and not thread.guest and thread.tid not in process.blocked
    return is_hidden and ptrace.signal_info(thread.tid).code <= 0


def keep_pending(process: Process, thread: Thread) -> None:
    """Let the SIGTRAP that has stopped a thread wait where the program has blocked it, in the kernel. The process is
    held, and the signal will not be passed on to the thread.
    """
    for tid in process.threads.held:
        with contextlib.suppress(ProcessLookupError):
            if process.threads.known[tid].blocks_trap:
                process.block_in_kernel(tid, blocked=True)
                block(tid)
    info = ptrace.signal_info(thread.tid)
    to_thread = info.code == signals.SI_TKILL
    memory = process.tracepoints.memory
    if requeue.requeue(thread.tid, process.gate, memory, info, to_thread=to_thread):
        return
    if to_thread:
        signals.put_off(thread, process.tracepoints, process.pid)
    elif not threads.queue_signal_to_process(process.pid, SIGTRAP, info.raw):
        os.kill(process.pid, SIGTRAP)


def give_back(thread: Thread) -> None:
    """Have the kernel block SIGTRAP, where the program has, in a thread that leaves us."""
    if thread.blocks_trap:
        block(thread.tid)


def block(tid: int) -> None:
    """Have the kernel block SIGTRAP in a stopped thread."""
    ptrace.set_signal_mask(tid, ptrace.signal_mask(tid) | TRAP_BIT)
