"""What stands in the traced process for the time when its tracer is dead: which int3s are ours, what they
displaced, and the *safety handler*, which takes them away by itself.

Every region of scratch memory has a record in its header: whether its sites are armed, and where the table of
them is, with the displaced bytes behind. The first region, *home*, has the handler's code too, and what the
program has set for SIGTRAP. All this is written before the first int3, by `write`. It is used

- by the handler, in force as long as int3s stand (`sigtrap`). A thread that meets one when there is no tracer writes
  all displaced bytes back, through /proc/self/mem, and goes on. Other threads run meanwhile: what lets them block
  SIGTRAP comes last (`Watched.rank`). If the process has forbidden others to look into it (PR_SET_DUMPABLE), its own
  files of /proc are root's, and it allows it for as long as it takes to open that one. Where that can't be opened it
  goes on in the site's copy, or if there is none yet waits for somebody to put the text in order. One that comes to
  the end of a copy that stops there for the sake of a signal (`signals`) sends itself that. One that has come into
  the middle of a jump, by another tool's uprobe, goes on in its trampoline (`jump_record`). A SIGTRAP that is none of
  ours is passed on to the program's own handler, with the registers, stack and return address that the kernel would
  have called that with: with a tracer that is all the handler ever does;
- by the next tracer, dtrap as the guardian or another one on another day: `find`.
"""

import struct
import time
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from backend.fasttrap.disposition import SA_NODEFER, SA_ONSTACK, SA_RESTORER, SA_SIGINFO, Action
from backend.fasttrap.made_sites import WITNESS_BYTES, MadeSites, Witness, standing
from backend.fasttrap.scratch_space import GATE_OFFSET, SPARE_OFFSET, TABLE_ENTRY_SIZE, Region
from backend.fasttrap.text import INT3, PAGE_SIZE, Displaced
from backend.fasttrap.tracee import Memory
from backend.fasttrap.watched import Watched
from backend.linux import procfs

_HANDLER: Final = bytes.fromhex(
    "4989d7"  # home:      mov    %rdx,%r15
    "817e0880000000"  #            cmpl   $0x80,0x8(%rsi)              si_code: raised by an int3?
    "756f"  #            jne    chain
    "4d8bb7a8000000"  #            mov    RIP(%r15),%r14               where the thread is, in its ucontext
    "498d46ff"  #            lea    -0x1(%r14),%rax              the int3 that it is behind
    "488d1de2ffffff"  #            lea    home,%rbx
    "4939de"  # find:      cmp    %rbx,%r14
    "7209"  #            jb     elsewhere
    "4c3bb3d0020000"  #            cmp    END(%rbx),%r14
    "7267"  #            jb     sent                         it has been sent to its copy
    "488bbbe8020000"  # elsewhere: mov    TABLE(%rbx),%rdi
    "488b8bf0020000"  #            mov    COUNT(%rbx),%rcx
    "e309"  #            jrcxz  next
    "f248af"  #            repnz  scas %es:(%rdi),%rax         among the sites of this region?
    "0f8495000000"  #            je     ours
    "488b9bd8020000"  # next:      mov    NEXT(%rbx),%rbx
    "4885db"  #            test   %rbx,%rbx
    "75cd"  #            jne    find
    "4c8b1dd8020000"  #            mov    DETOUR,%r11                  in the middle of a jump?
    "4d85db"  #            test   %r11,%r11
    "7405"  #            je     unknown
    "41ffd3"  #            call   *%r11
    "7277"  #            jc     out                          yes: it goes on in the trampoline
    "41f7c6ff0f0000"  # unknown:   test   $0xfff,%r14d                 none of ours: is it behind one that stands?
    "7410"  #            je     chain
    "41807effcc"  #            cmpb   $0xcc,-0x1(%r14)
    "7409"  #            je     chain
    "6641817efecd03"  #            cmpw   $0x3cd,-0x2(%r14)
    "755e"  #            jne    out                          no: put back at the site already
    "4c8b1d86020000"  # chain:     mov    PROGRAM,%r11                 the program's own handler
    "4983fb01"  #            cmp    $0x1,%r11
    "7651"  #            jbe    out                          SIG_DFL, SIG_IGN
    "bf05000000"  #            mov    $0x5,%edi                    as it would have been called
    "4c89fa"  #            mov    %r15,%rdx
    "41ffe3"  #            jmp    *%r11
    "803d5e02000000"  # sent:      cmpb   $0x0,may_open                to the end of its copy: signals wait for that
    "743d"  #            je     out
    "b8ba000000"  #            mov    $0xba,%eax                   gettid
    "0f05"  #            syscall
    "89c5"  #            mov    %eax,%ebp
    "41bc19000000"  #            mov    $0x19,%r12d
    "488d1d86020000"  #            lea    WAITING,%rbx
    "396b04"  # waiting:   cmp    %ebp,0x4(%rbx)               does this one wait for this thread?
    "7519"  #            jne    other
    "0fb613"  #            movzbl (%rbx),%edx                  which: 0 if it waits for something else
    "85d2"  #            test   %edx,%edx
    "7412"  #            je     other
    "b827000000"  #            mov    $0x27,%eax                   getpid
    "0f05"  #            syscall
    "89c7"  #            mov    %eax,%edi
    "89ee"  #            mov    %ebp,%esi
    "b8ea000000"  #            mov    $0xea,%eax                   tgkill
    "0f05"  #            syscall
    "4883c308"  # other:     add    $0x8,%rbx
    "41ffcc"  #            dec    %r12d
    "75d9"  #            jne    waiting
    "c3"  # out:       ret
    "482bbbe8020000"  # ours:      sub    TABLE(%rbx),%rdi
    "4889f9"  #            mov    %rdi,%rcx
    "48c1e903"  #            shr    $0x3,%rcx
    "488b93f0020000"  #            mov    COUNT(%rbx),%rdx
    "488d4cd1ff"  #            lea    -0x1(%rcx,%rdx,8),%rcx
    "48038be8020000"  #            add    TABLE(%rbx),%rcx             its displaced byte
    "8039cc"  #            cmpb   $0xcc,(%rcx)
    "0f8477ffffff"  #            je     chain                        given up: this int3 is of the program
    "498987a8000000"  #            mov    %rax,RIP(%r15)               back to the site
    "488dacfbc00f0000"  #            lea    0xfc0(%rbx,%rdi,8),%rbp      its slot: HEADER_SIZE + 64 * number
    "50"  #            push   %rax
    "803ddd01000000"  #            cmpb   $0x0,may_open
    "0f8435010000"  #            je     copy
    "e857010000"  #            call   open
    "85c0"  #            test   %eax,%eax
    "7939"  #            jns    opened
    "bf03000000"  #            mov    $0x3,%edi                    PR_GET_DUMPABLE
    "e864010000"  #            call   prctl
    "a9fdffffff"  #            test   $0xfffffffd,%eax             may nobody look into the process, 0 or 2?
    "0f8517010000"  #            jne    copy                         no: that is not why
    "be01000000"  #            mov    $0x1,%esi                    then for as long as this takes
    "e84a010000"  #            call   set
    "e82f010000"  #            call   open
    "4189c4"  #            mov    %eax,%r12d
    "31f6"  #            xor    %esi,%esi                    2 can not be set
    "e83b010000"  #            call   set
    "4489e0"  #            mov    %r12d,%eax
    "85c0"  #            test   %eax,%eax
    "0f88f3000000"  #            js     copy
    "4189c5"  # opened:    mov    %eax,%r13d
    "4531c9"  #            xor    %r9d,%r9d                    the sites in order of their ranks
    "488d1d90feffff"  # rank:      lea    home,%rbx
    "80bbe002000000"  # region:    cmpb   $0x0,ARMED(%rbx)
    "0f84ab000000"  #            je     after
    "4c8ba3e8020000"  #            mov    TABLE(%rbx),%r12
    "4531c0"  #            xor    %r8d,%r8d
    "4c3b83f0020000"  # site:      cmp    COUNT(%rbx),%r8
    "7370"  #            jae    healed
    "488b8bf0020000"  #            mov    COUNT(%rbx),%rcx
    "488d0cc9"  #            lea    (%rcx,%rcx,8),%rcx           behind table and displaced bytes: the ranks
    "4c01e1"  #            add    %r12,%rcx
    "46380c01"  #            cmp    %r9b,(%rcx,%r8)
    "7557"  #            jne    on
    "4f8b14c4"  #            mov    (%r12,%r8,8),%r10            the site, as a file offset
    "4889e6"  #            mov    %rsp,%rsi
    "ba08000000"  #            mov    $0x8,%edx
    "b811000000"  #            mov    $0x11,%eax                   pread64: what stands there, as far as it goes
    "e8eb000000"  #            call   some
    "803c24cc"  #            cmpb   $0xcc,(%rsp)
    "753b"  #            jne    on
    "488b9300030000"  #            mov    WITNESSES(%rbx),%rdx         if the program may change it: is it ours?
    "4885d2"  #            test   %rdx,%rdx
    "7417"  #            je     write
    "4c89c1"  #            mov    %r8,%rcx
    "48c1e104"  #            shl    $0x4,%rcx
    "4801ca"  #            add    %rcx,%rdx
    "488b02"  #            mov    (%rdx),%rax
    "48330424"  #            xor    (%rsp),%rax
    "48854208"  #            test   %rax,0x8(%rdx)
    "7518"  #            jne    on
    "488bb3f0020000"  # write:     mov    COUNT(%rbx),%rsi
    "498d34f4"  #            lea    (%r12,%rsi,8),%rsi           behind the table: the displaced bytes
    "4c01c6"  #            add    %r8,%rsi
    "b812000000"  #            mov    $0x12,%eax                   pwrite64
    "e8a5000000"  #            call   one
    "49ffc0"  # on:        inc    %r8
    "eb87"  #            jmp    site
    "4183f903"  # healed:    cmp    $0x3,%r9d
    "7522"  #            jne    after
    "4883bb0003000000"  #            cmpq   $0x0,WITNESSES(%rbx)         of those some may be left
    "7518"  #            jne    after
    "c6042400"  #            movb   $0x0,(%rsp)                  this region has no int3 any more
    "4c8d93e0020000"  #            lea    ARMED(%rbx),%r10
    "4889e6"  #            mov    %rsp,%rsi
    "b812000000"  #            mov    $0x12,%eax
    "e878000000"  #            call   one
    "488b9bd8020000"  # after:     mov    NEXT(%rbx),%rbx
    "4885db"  #            test   %rbx,%rbx
    "0f8538ffffff"  #            jne    region
    "41ffc1"  #            inc    %r9d
    "4183f903"  #            cmp    $0x3,%r9d
    "0f8624ffffff"  #            jbe    rank
    "4489ef"  #            mov    %r13d,%edi
    "b803000000"  #            mov    $0x3,%eax                    close
    "0f05"  #            syscall
    "41807effcc"  #            cmpb   $0xcc,-0x1(%r14)             it could not be written
    "750d"  #            jne    back
    "807d0000"  # copy:      cmpb   $0x0,0x0(%rbp)               is the copy there?
    "7409"  #            je     wait
    "4989afa8000000"  #            mov    %rbp,RIP(%r15)               then go on with it
    "58"  # back:      pop    %rax
    "c3"  #            ret
    "6840420f00"  # wait:      push   $0xf4240                     nanosleep({0 s, 1000000 ns}, NULL)
    "6a00"  #            push   $0x0
    "4889e7"  #            mov    %rsp,%rdi
    "31f6"  #            xor    %esi,%esi
    "b823000000"  #            mov    $0x23,%eax
    "0f05"  #            syscall
    "4883c418"  #            add    $0x18,%rsp
    "c3"  #            ret
    "488d3d34000000"  # open:      lea    path,%rdi
    "be02000800"  #            mov    $0x80002,%esi                open(path, O_RDWR | O_CLOEXEC)
    "31d2"  #            xor    %edx,%edx
    "b802000000"  #            mov    $0x2,%eax
    "0f05"  #            syscall
    "c3"  #            ret
    "bf04000000"  # set:       mov    $0x4,%edi                    PR_SET_DUMPABLE
    "b89d000000"  # prctl:     mov    $0x9d,%eax                   prctl
    "0f05"  #            syscall
    "c3"  #            ret
    "ba01000000"  # one:       mov    $0x1,%edx
    "4489ef"  # some:      mov    %r13d,%edi
    "0f05"  #            syscall
    "c3"  #            ret
    "b80f000000"  # restorer:  mov    $0xf,%eax                    rt_sigreturn
    "0f05"  #            syscall
)
_RESTORER_OFFSET: Final = 0x2AB
_PATH_OFFSET: Final = 0x2B8
_PATH: Final = b"/proc/self/mem\0"

_RECORD_OFFSET: Final = 0x2C8
_RECORD: Final = struct.Struct("<8s7Q")
"""MAGIC, END of the region, NEXT region or 0, ARMED, TABLE of sites (64-bit, ascending, the displaced bytes behind
it, and their ranks), COUNT of them, at home whether the handler may open files, and WITNESSES, 0 where the program
changes none of these sites: behind the ranks two words for each site, what stands there from the int3 on, and which
bits of that tell that it is ours (`made_sites`).
"""
_MAGIC: Final = b"dtrap 6\0"
_WITNESS: Final = struct.Struct("<2Q")
_ARMED_OFFSET: Final = 0x2E0
PROGRAM_OFFSET: Final = 0x308
"""At home: the disposition of SIGTRAP that the program has set, and behind it the set of the other signals for whose
handlers the program has SIGTRAP blocked.
"""
_MASKING: Final = struct.Struct("<Q")
_DETOUR_OFFSET: Final = 0x330
_DETOUR: Final = struct.Struct("<Q")
"""At home: the address of what sends a thread that is in the middle of a jump into its trampoline (`jump_record`), or
0.
"""
_WAITING_OFFSET: Final = 0x338
_WAITING: Final = struct.Struct("<BBHI")
_MOST_WAITING: Final = 25
"""At home: the signals that wait for a thread to come out of line. Each is in the first byte if the thread comes to the
end of a copy that stops, else in the second; behind them are the time (seconds, modulo 65,536) and the thread.
"""
_FRESH_S: Final = 10
"""A signal that has waited for longer is none that somebody has just been killed over."""


def write(
    memory: Memory,
    regions: Sequence[Region],
    displaced: Displaced,
    made: MadeSites,
    watched: Watched,
    *,
    may_open: bool,
) -> Action:
    """Write handler and records for sites about to be armed; return the handler's disposition.

    `may_open`: no seccomp filter would kill a thread for opening /proc/self/mem. The program's disposition is
    noted by `note_program`.
    """
    home = regions[0].start
    code = _HANDLER.ljust(_PATH_OFFSET, b"\x90") + _PATH
    memory.write(home, code)
    following = 0
    for region in reversed(regions):
        witnesses = 0
        if region.sites:
            table = array("Q", region.sites).tobytes()
            # In place of what was given up an int3 stands for itself: whoever puts it back changes nothing.
            table += bytes(INT3 if site in made.gone else displaced[site] for site in region.sites)
            table += bytes(watched.rank(site) for site in region.sites)
            witnesses = region.table + len(table) if any(site in made for site in region.sites) else 0
            if witnesses:
                table += b"".join(_witness(site, displaced, made) for site in region.sites)
            memory.write(region.table, table)
        record = (region.end, following, 1, region.table, len(region.sites), may_open, witnesses)
        memory.write(region.start + _RECORD_OFFSET, _RECORD.pack(_MAGIC, *record))
        following = region.start
    return Action(home, _FLAGS, home + _RESTORER_OFFSET)


def _witness(site: int, displaced: Displaced, made: MadeSites) -> bytes:
    """Return a site's witness as it is noted, without the bytes that further int3s of ours may stand for."""
    others = (other - site for other, _ in displaced.within(site + 1, site + WITNESS_BYTES))
    found = made.witness(site).without(others)
    return _WITNESS.pack(found.word, found.mask)


def strike(memory: Memory, region: Region, site: int) -> None:
    """Note that nothing is to be put back at a site any more."""
    memory.write(region.table + 8 * len(region.sites) + bisect_left(region.sites, site), bytes((INT3,)))


_FLAGS: Final = SA_SIGINFO | SA_RESTORER | SA_ONSTACK | SA_NODEFER


def note_program(memory: Memory, home: int, action: Action, masking: int) -> None:
    """Note what the program has set for SIGTRAP in the region that begins at `home`, and the set of `masking` signals
    (`Sigtrap.masking`).
    """
    memory.write(home + PROGRAM_OFFSET, action.to_bytes() + _MASKING.pack(masking))


def note_detour(memory: Memory, home: int, detour: int) -> None:
    """Note where those go who have met an int3 in the middle of a jump, in the region that begins at `home`."""
    memory.write(home + _DETOUR_OFFSET, _DETOUR.pack(detour))


@dataclass(frozen=True, slots=True)
class Waiting:
    """A signal that the tracer keeps back until thread `tid` is out of line: at the end of a copy that stops if
    `at_stop`, else as soon as it is seen to be.
    """

    tid: int
    signal: int
    at_stop: bool


def note_waiting(memory: Memory, home: int, waiting: Sequence[Waiting]) -> None:
    """Note the signals that wait, as many as there is room for, in the region that begins at `home`."""
    now = _seconds()
    rows = [
        _WAITING.pack(each.signal * each.at_stop, each.signal * (not each.at_stop), now, each.tid)
        for each in waiting[:_MOST_WAITING]
    ]
    memory.write(home + _WAITING_OFFSET, b"".join(rows).ljust(_WAITING.size * _MOST_WAITING, bytes(1)))


def _seconds() -> int:
    return int(time.monotonic()) % (1 << 16)


def _noted_waiting(raw: bytes) -> list[Waiting]:
    """Return the signals that are noted as waiting, without those that have waited for long."""
    now, found = _seconds(), []
    for at_stop, late, noted, tid in _WAITING.iter_unpack(raw):
        if (at_stop or late) and (now - noted) % (1 << 16) <= _FRESH_S:
            found.append(Waiting(tid, at_stop or late, at_stop != 0))
    return found


def disarmed(memory: Memory, regions: Sequence[Region]) -> None:
    """Note that the text is in order again, as far as these regions are concerned."""
    for region in regions:
        forget(memory, region.start)


def are_armed(memory: Memory, regions: Sequence[Region]) -> bool:
    """Tell whether no handler has taken the int3s away: in a child, say, that nobody traces."""
    return all(memory.read(region.start + _ARMED_OFFSET, 1) != bytes(1) for region in regions if region.sites)


def forget(memory: Memory, start: int) -> None:
    """Note the same of the region that begins there."""
    memory.write(start + _ARMED_OFFSET, bytes(1))


def is_in_handler(home: int, pc: int) -> bool:
    """Tell whether a thread with this pc runs the handler of the region that begins at `home`."""
    return 0 <= pc - home < _RESTORER_OFFSET


@dataclass(frozen=True, slots=True)
class Leftover:
    """A region that a tracer which is gone has left behind: its `sites`, ascending, the bytes displaced there, and the
    ranks that these have in putting them back, and, where the program may change the sites, their witnesses.
    `is_armed` unless that tracer has put them back. A home has a `handler`, the safety handler; `program` is what
    the program has set for SIGTRAP, `masking` the set of other signals whose handlers it has set to run with SIGTRAP
    blocked; and the signals in `waiting` have been kept back.
    """

    start: int
    sites: Sequence[int]
    displaced_bytes: bytes
    ranks: bytes
    witnesses: Sequence[Witness]
    is_armed: bool
    handler: Action | None
    program: Action
    masking: int
    waiting: Sequence[Waiting]

    @property
    def ranked(self) -> dict[int, int]:
        """The ranks of sites that are to be put in order after the others."""
        return {site: rank for site, rank in zip(self.sites, self.ranks, strict=True) if rank}

    @property
    def gate(self) -> int:
        """Where there is room for a gate (`inject`)."""
        return self.start + GATE_OFFSET

    def is_in_handler(self, pc: int) -> bool:
        """Tell whether a thread with this pc runs the handler."""
        return self.handler is not None and is_in_handler(self.start, pc)

    def has_stop(self, pc: int) -> bool:
        """Tell whether a thread with this pc is in a copy that stops at its end."""
        return SPARE_OFFSET <= pc - self.start < GATE_OFFSET

    def displaced(self, memory: Memory) -> dict[int, int]:
        """Return the displaced bytes by address, without those of sites at which something else stands by now."""
        return {
            site: byte
            for place, (site, byte) in enumerate(zip(self.sites, self.displaced_bytes, strict=True))
            if not self.witnesses or self.witnesses[place].says_ours(standing(memory, site))
        }


def find(pid: int, memory: Memory) -> list[Leftover]:
    """Return what earlier tracers have left in the process. Raises ProcessGone."""
    return [
        leftover
        for mapping in procfs.mappings(pid)
        if mapping.is_anonymous_code
        for leftover in _within(memory, mapping.start, mapping.end)
    ]


def _within(memory: Memory, start: int, end: int) -> Iterator[Leftover]:
    # To the kernel, regions that are neighbours are one mapping, also with one that has no record yet.
    while start < end:
        header = memory.read(start, SPARE_OFFSET)
        magic, region_end, _, armed, table, count, _, witnessed = _RECORD.unpack_from(header, _RECORD_OFFSET)
        if magic != _MAGIC or not start < region_end <= end:
            start += PAGE_SIZE
            continue
        raw = memory.read(table, TABLE_ENTRY_SIZE * count) if count else b""
        sites = array("Q", raw[: 8 * count])
        witnesses = [Witness(*row) for row in _WITNESS.iter_unpack(raw[10 * count :])] if witnessed else []
        handler = Action(start, _FLAGS, start + _RESTORER_OFFSET) if header.startswith(_HANDLER) else None
        program = Action.from_bytes(header[PROGRAM_OFFSET : PROGRAM_OFFSET + Action.SIZE])
        masking = _MASKING.unpack_from(header, PROGRAM_OFFSET + Action.SIZE)[0]
        waiting = _noted_waiting(header[_WAITING_OFFSET:SPARE_OFFSET]) if handler else []
        displaced = raw[8 * count : 9 * count]
        ranks = raw[9 * count : 10 * count]
        yield Leftover(
            start, sites, displaced, ranks, witnesses, bool(armed), handler, program, masking, waiting
        )
        start = region_end
