"""Signals that find a thread out of line: they reach the program as if it had never left its own text.

The rule: a signal is delivered when the displaced instruction has either not begun or completed, with the
original pc.

- The thread is behind the displaced instruction, on its jump back: pc := where the jump leads.
- The instruction itself faulted: pc := site, and si_addr with it where it names the instruction. The
  program's handler sees what it would have seen, and when it returns, the instruction is executed again.
  That repetition is no new hit.
- Any other signal before the instruction: the signal waits, an int3 is put where the copy completes, and the
  thread runs on to it; then the signal is delivered there. Nothing is counted twice, whatever the handler
  does.
- Copies that don't come back in one place (returns, jumps): the instruction's effect is computed, and the
  signal delivered where it leads. (A Go program's handler goes on elsewhere, in another thread: a repetition could
  not be told from a hit.)
- What faults there, calls, copies that borrow a register, and system calls, which may block for ever: pc := site,
  and the next hit there with the same stack pointer is the repetition.
- A system call that was interrupted is behind the site: the kernel steps back by 2 bytes to the site if it restarts
  the call, which is no new hit either.
- The siginfo of a system call that a filter refuses (SIGSYS) names the instruction behind the site.
"""

from collections.abc import Callable, Set
from dataclasses import replace
from signal import SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP

from backend.fasttrap.inject import SYSCALL_INSTRUCTION, await_stop
from backend.fasttrap.tracee import Memory, Thread, signal_set
from backend.fasttrap.tracepoints import GENERAL, Route, Tracepoints
from backend.linux import procfs, ptrace, threads
from backend.linux.ptrace import Registers
from backend.linux.wait_status import Interrupted, SignalStop, decode
from scratch import emulation
from scratch.displaced import Resume, State

FAULTS = frozenset({SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP})
NAMES_THE_INSTRUCTION = frozenset({SIGILL, SIGFPE, SIGTRAP})
"""Signals whose si_addr is the address of the instruction; for SIGSEGV and SIGBUS it is the memory's."""

_NAMES_THE_CALL = frozenset({1, 2})
"""SYS_SECCOMP, SYS_USER_DISPATCH: codes of SIGSYS whose si_call_addr is the instruction behind the `syscall`; it lies
where other signals have si_addr.
"""
_MOST_REPEATS = 32
"""Handlers in each other, of one thread; those that never return are forgotten by and by."""

SI_USER = 0
"""si_code of a signal sent to the process by kill(2). All that can be sent to a single thread is below."""
SI_TKILL = -6
"""si_code of a signal sent to one thread."""
SI_KERNEL = 0x80
"""si_code of the SIGTRAP that an int3 raises."""
_RESTARTS = frozenset((1 << 64) - code for code in (512, 513, 514, 516))
"""Results of a system call that the kernel may restart: ERESTARTSYS, ..NOINTR, ..NOHAND, _RESTARTBLOCK."""


def deliver(
    thread: Thread,
    number: int,
    tracepoints: Tracepoints,
    pid: int,
    used: Set[int],
    return_is_seen: Callable[[], bool],
) -> bool:
    """Deal with the signal-delivery-stop of a thread, and resume it, with the signal or to a place fit for
    it; tell whether with the signal. `return_is_seen` tells whether that has a handler whose return comes to us.

    Raises ProcessLookupError or ProcessGone if the thread is killed meanwhile.
    """
    if thread.waiting and thread.finishing is None:
        _put_first_info_back(thread, number)
    pc = ptrace.instruction_pointer(thread.tid)
    route = tracepoints.route_at(pc)
    if route is None:
        if thread.skip is not None and pc == thread.skip[0] + len(SYSCALL_INSTRUCTION) and return_is_seen():
            # A system call that the signal before this one would have restarted; what this one's handler says counts.
            thread.repeats.append(thread.skip)
            thread.skip = None
        ptrace.cont(thread.tid, number)
        return True
    info = ptrace.signal_info(thread.tid)
    resume = tracepoints.translate(route, pc)
    assert resume is not None, (hex(pc), route)
    if resume.state is State.COMPLETED:
        registers = ptrace.registers(thread.tid)
        if may_restart(route, registers):
            _note_repetition(thread, (route.site, registers.rsp), return_is_seen)
        _move(thread.tid, resume)
        if number == SIGSYS and info.code in _NAMES_THE_CALL:
            ptrace.set_signal_info(thread.tid, info.with_address(resume.address))
        if thread.finishing is not None:
            thread.finishing = None
            send_waiting(thread, pid)
        ptrace.cont(thread.tid, number)
    elif number in FAULTS and info.code > 0:
        _repeat_after_handler(thread, route, resume, return_is_seen)
        if thread.finishing is not None:
            thread.finishing = None
            send_waiting(thread, pid)
        _name_the_site(thread.tid, route)
        ptrace.cont(thread.tid, number)
    elif (stopping := tracepoints.stopping(route, used)) is not None:
        thread.waiting.append(info)
        thread.finishing = stopping.copy.slot
        tracepoints.note_waiting(thread)
        place = next(offset for offset, known in stopping.copy.boundaries if known == resume)
        if route is not stopping:
            ptrace.set_instruction_pointer(thread.tid, stopping.copy.slot + place)
        ptrace.cont(thread.tid)
        return False
    else:
        if not _completed_by_us(thread, route, resume, tracepoints.memory, pid):
            _repeat_after_handler(thread, route, resume, return_is_seen)
        ptrace.cont(thread.tid, number)
    return True


def _completed_by_us(thread: Thread, route: Route, resume: Resume, memory: Memory, pid: int) -> bool:
    """Produce the effect of a displaced jump or return that has not begun; False if it can't be done here.

    With a shadow stack only the processor can: it compares a return with what the call has left there.
    """
    instruction = route.plan.instruction
    if instruction.kind not in emulation.JUMPS or "shstk" in procfs.status(pid).thread_features:
        return False
    home = resumed(ptrace.registers(thread.tid), resume)
    before = emulation.Registers(
        tuple(getattr(home, name) for name in _BY_NUMBER), home.rip, home.eflags, home.fs_base, home.gs_base
    )

    def read_word(address: int) -> int | None:
        try:
            word = memory.read(address, 8)
        except OSError:
            return None
        return int.from_bytes(word, "little") if len(word) == 8 else None

    after = emulation.emulate(instruction, before, read_word, lambda _address, _value: False)
    if not isinstance(after, emulation.Registers):
        return False
    general = dict(zip(_BY_NUMBER, after.general, strict=True))
    ptrace.set_registers(thread.tid, replace(home, rip=after.rip, **general))
    return True


_BY_NUMBER = (
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
)  # fmt: skip


def _name_the_site(tid: int, route: Route) -> None:
    """Let the siginfo of a displaced instruction's fault name the site, where it names the instruction."""
    info = ptrace.signal_info(tid)
    if info.signal in NAMES_THE_INSTRUCTION:
        ptrace.set_signal_info(tid, info.with_address(route.site))


def complete_info(thread: Thread, tracepoints: Tracepoints) -> None:
    """Give the signal that has stopped a thread, and that we leave to others, the siginfo that its handler is to see:
    that with which it came first, and the site where a displaced instruction's fault names the copy.
    """
    if thread.waiting and thread.finishing is None:
        _put_first_info_back(thread, ptrace.signal_info(thread.tid).signal)
    pc = ptrace.instruction_pointer(thread.tid)
    route, info = tracepoints.route_at(pc), ptrace.signal_info(thread.tid)
    resume = route and tracepoints.translate(route, pc)
    if route and resume and resume.state is State.NOT_BEGUN and info.signal in FAULTS and info.code > 0:
        _name_the_site(thread.tid, route)


def _move(tid: int, resume: Resume) -> None:
    """Put a thread where a copy's boundary stands for."""
    if resume.add_to_rsp or resume.set_registers:
        ptrace.set_registers(tid, resumed(ptrace.registers(tid), resume))
    else:
        ptrace.set_instruction_pointer(tid, resume.address)


def _repeat_after_handler(
    thread: Thread, route: Route, resume: Resume, return_is_seen: Callable[[], bool]
) -> None:
    home = resumed(ptrace.registers(thread.tid), resume)
    _note_repetition(thread, (route.site, home.rsp), return_is_seen)
    ptrace.set_registers(thread.tid, home)


def _note_repetition(thread: Thread, hit: tuple[int, int], return_is_seen: Callable[[], bool]) -> None:
    """Note that a hit that has counted comes again: at once if no handler is called that could go elsewhere, or none
    whose return we would see.
    """
    if return_is_seen():
        thread.repeats = [*thread.repeats[1 - _MOST_REPEATS :], hit]
    else:
        thread.skip = hit


def completed(thread: Thread, registers: Registers, tracepoints: Tracepoints, pid: int) -> bool:
    """At a SIGTRAP: if it is the int3 at which a copy has completed, move on from there and deliver what
    waits.

    False if it is something else.
    """
    address = registers.rip - 1
    route = tracepoints.route_at(address)
    if route is None or not tracepoints.ends_copy(address):
        return False
    resume = tracepoints.translate(route, address)
    assert resume is not None
    _move(thread.tid, resume)
    thread.finishing = None
    if not thread.waiting:
        ptrace.cont(thread.tid)
        return True
    if thread.waiting[0].signal == SIGTRAP:
        # Its handler may have been reset meanwhile: `upkeep.foreign_trap` is to see it.
        send_waiting(thread, pid)
        ptrace.cont(thread.tid)
        return True
    first = thread.waiting.pop(0)
    send_waiting(thread, pid)
    ptrace.set_signal_info(thread.tid, first)
    ptrace.cont(thread.tid, first.signal)
    return True


def put_off(thread: Thread, tracepoints: Tracepoints, pid: int) -> None:
    """At a signal-delivery-stop that is to become a plain stop: let the signal come again afterwards, or with
    those that already wait for a copy to complete.
    """
    complete_info(thread, tracepoints)
    info = ptrace.signal_info(thread.tid)
    later = thread.finishing is not None or thread.late
    if not later and threads.queue_signal(process_of(thread, pid), thread.tid, info.signal, info.raw):
        return
    thread.waiting.append(info)
    tracepoints.note_waiting(thread)
    if not later:
        threads.send_signal(process_of(thread, pid), thread.tid, info.signal)


def send_waiting(thread: Thread, pid: int) -> None:
    """Send the signals that wait for the thread anew: each stops it again, and is then given its first
    siginfo.
    """
    for info in thread.waiting:
        threads.send_signal(process_of(thread, pid), thread.tid, info.signal)


def process_of(thread: Thread, pid: int) -> int:
    """Return the process that a thread belongs to: a guest is one of its own."""
    return thread.tid if thread.guest else pid


def recall_waiting(thread: Thread) -> int:
    """Have a signal that waits, and has been sent anew to a thread in a plain stop, stop it once more. Return that
    signal, with its first siginfo, to detach with; 0 if none would come before the thread runs on.

    One only: its handler, with which the thread would have to go on to meet the next, may block that for ever. Raises
    TraceeEnded.
    """
    while any(_deliverable(thread.tid) >> info.signal - 1 & 1 for info in thread.waiting):
        ptrace.cont(thread.tid)
        match decode(await_stop(thread.tid)):
            case SignalStop(number):
                _put_first_info_back(thread, number)
                return number
            case Interrupted():  # asked for when it was held, and overtaken by the signal then
                continue
            case _:
                return 0
    return 0


def _deliverable(tid: int) -> int:
    """Return the signals, bit n-1 for signal n, that are pending for one thread and not blocked by it."""
    return signal_set(tid, "SigPnd:") & ~ptrace.signal_mask(tid)


def resumed(registers: Registers, resume: Resume) -> Registers:
    """Return the registers as the program would have them at the place that a copy's boundary stands for."""
    changes = {GENERAL[number]: value for number, value in resume.set_registers}
    return replace(registers, rip=resume.address, **{"rsp": registers.rsp + resume.add_to_rsp, **changes})


def may_restart(route: Route, registers: Registers) -> bool:
    """Tell whether a thread behind the `syscall` of a copy is in a call that the kernel may step back to."""
    return route.may_sleep and registers.orig_rax < 1 << 63 and registers.rax in _RESTARTS


def _put_first_info_back(thread: Thread, number: int) -> None:
    """If the signal that stopped the thread is one that we sent anew, let it carry the siginfo that it came
    with first.
    """
    if ptrace.signal_info(thread.tid).code == SI_TKILL:
        for waiting in thread.waiting:
            if waiting.signal == number:
                thread.waiting.remove(waiting)
                ptrace.set_signal_info(thread.tid, waiting)
                return
