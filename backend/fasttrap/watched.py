"""Where the traced process sets SIGTRAP's disposition or mask, waits with one, returns from a handler, or asks to be
traced: found in its code.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from backend.fasttrap.inject import SYSCALL_INSTRUCTION, Syscall
from backend.linux import procfs
from scratch.encoding import Undecodable, parse

_SIGSUSPEND = re.compile(rb"\x0f\x05(?<=\xb8\x82\x00\x00\x00\x0f\x05)(?=\x48\x3d\x00\xf0\xff\xff)")
_CANDIDATE = re.compile(rb"\xb8[\x0d\x0e\x65]\x00\x00\x00(?=.{0,24}?\x0f\x05)", re.DOTALL)
# The literal comes first: that is what makes the search fast, and libraries have 100 MB of text.
_SIGRETURN = re.compile(
    rb"\x0f\x05(?:(?<=\xb8\x0f\x00\x00\x00\x0f\x05)|(?<=\x48\xc7\xc0\x0f\x00\x00\x00\x0f\x05))"
)
_LARGEST_TEXT = 1 << 27


@dataclass(frozen=True, slots=True)
class Watched:
    """Addresses of `syscall` instructions whose execution the engine must see: see `sites`."""

    settings: frozenset[int] = frozenset()
    """Those of rt_sigaction and rt_sigprocmask."""
    actions: frozenset[int] = frozenset()
    """Those of them that are rt_sigaction."""
    blocking: frozenset[int] = frozenset()
    """Those of them that block signals."""
    returns: frozenset[int] = frozenset()
    """Those of rt_sigreturn, with which every signal handler returns."""
    suspending: frozenset[int] = frozenset()
    """Those of rt_sigsuspend, which waits with other signals blocked."""
    tracing: frozenset[int] = frozenset()
    """Those of ptrace."""

    @property
    def first(self) -> Sequence[int]:
        """Those of `brought` in the order in which int3s are written."""
        return sorted(self.brought, key=self.rank, reverse=True)

    @property
    def last(self) -> Sequence[int]:
        """The same in the order in which the text is restored."""
        return sorted(self.brought, key=self.rank)

    def rank(self, site: int) -> int:
        """Return when the safety handler puts a site in order, the lowest first, up to 3. Other threads run meanwhile.
        One that has passed a site of a high rank may have SIGTRAP blocked (3), or the handler taken away, as
        posix_spawn does (2): it must meet none of ours any more.
        """
        if site in self.blocking or site in self.suspending:
            return 3
        return 2 if site in self.actions else int(site in self.settings)

    @property
    def brought(self) -> frozenset[int]:
        """Those whose every execution is seen."""
        return self.settings | self.suspending


def watched_sites(pid: int) -> Watched:
    """Find the `syscall` instructions to be watched in the executable files that the process has mapped.

    They are known by `mov $13,%eax`, `mov $14,%eax`, `mov $101,%eax` or `mov $15,%rax` with nothing but a few whole
    instructions, and for the last nothing at all, between it and the `syscall`. For rt_sigsuspend it is
    `mov $0x82,%eax` just before and the comparison for errors just behind: so C libraries make it, whose
    sigsuspend() has no more use for its argument then.
    """
    settings, actions, blocking, returns, suspending, tracing = (set[int]() for _ in range(6))
    for mapping in procfs.mappings(pid):
        if mapping.executable and mapping.readable and mapping.inode and mapping.size_bytes <= _LARGEST_TEXT:
            code = procfs.read_memory(pid, mapping.start, mapping.size_bytes)
            returns |= {mapping.start + match.start() for match in _SIGRETURN.finditer(code)}
            suspending |= {mapping.start + match.start() for match in _SIGSUSPEND.finditer(code)}
            for match in _CANDIDATE.finditer(code):
                offset = _next_syscall(code, match.start())
                if offset is None:
                    continue
                if code[match.start() + 1] == Syscall.PTRACE:
                    tracing.add(mapping.start + offset)
                else:
                    settings.add(mapping.start + offset)
                    if code[match.start() + 1] == Syscall.RT_SIGACTION:
                        actions.add(mapping.start + offset)
                    elif _blocks(code, offset):
                        blocking.add(mapping.start + offset)
    return Watched(*map(frozenset, (settings, actions, blocking, returns, suspending, tracing)))


_BEFORE = 96
_SIG_BLOCK, _SIG_SETMASK = b"\x31\xff", b"\xbf\x02\0\0\0"
"""xor %edi,%edi and mov $2,%edi."""


def _blocks(code: bytes, offset: int) -> bool:
    """Tell whether the `syscall` at `offset` blocks signals, by what has been loaded into edi last."""
    before = code[max(0, offset - _BEFORE) : offset]
    return before.rfind(_SIG_BLOCK) > before.rfind(_SIG_SETMASK)


_FEW = 6


def _next_syscall(code: bytes, offset: int) -> int | None:
    for _ in range(_FEW):
        if code.startswith(SYSCALL_INSTRUCTION, offset):
            return offset
        encoding = parse(code[offset : offset + 15])
        if isinstance(encoding, Undecodable):
            return None
        offset += encoding.size
    return None
