"""Windows: which bytes become which jump; and that whatever runs through the code still finds its instructions."""

import random
from collections.abc import Collection

import pytest

from backend.sweeper import sweep
from scratch.address_set import AddressSet
from scratch.instruction import Instruction, Kind, decode
from scratch.placement import REACH
from scratch.sweep import LEAVING, Flow, Swept
from scratch.windows import JUMP_SIZE, NoWindow, Way, Window, Windows
from tests.scratch.assembly import assemble
from tests.scratch.forms import text_of
from tests.scratch.test_coverage import frames

AT = 0x5555_5555_0000
LIBC = "/lib/x86_64-linux-gnu/libc.so.6"


def address_set(start: int, size: int, members: Collection[int]) -> AddressSet:
    bits = bytearray((size + 7) // 8)
    for member in members:
        bits[(member - start) // 8] |= 1 << (member - start) % 8
    return AddressSet(start, bytes(bits))


def planner(
    code: bytes, entered: Collection[int] = (), sites: Collection[int] = (), *, placeable: bool = True
) -> Windows:
    """Return a planner for code at AT; the other arguments count from there."""

    def read(address: int, size: int) -> bytes:
        return code[address - AT : address - AT + size] if address >= AT else b""

    return Windows(
        address_set(AT, len(code), [AT + at for at in entered]),
        [AT + at for at in sites],
        read,
        lambda _: sweep(code, AT),
        lambda _low, _high: placeable,
    )


def plan(
    source: str, entered: Collection[int] = (), sites: Collection[int] = (0,), site: int = 0
) -> Window | NoWindow:
    return planner(assemble({"f": source})["f"], entered, sites).plan(AT + site)


NEAR = {
    "pushes": ("push %rbp; mov %rsp,%rbp; push %rbx; ret", 3),
    "one long instruction": ("movabs $0x1122334455667788,%rax; ret", 1),
    "a call at the end": ("push %rbx; call .+100; ret", 2),
    "a call alone": ("call .+100; ret", 1),
    "a conditional jump, and what follows it": ("test %edi,%edi; je .+100; inc %eax; ret", 3),
    "a jump": ("jmp .+1000", 1),
    "a return and padding": ("ret; nopl (%rax,%rax); ret", 1),
    "a return and int3": ("inc %eax; ret; int3; int3; int3", 2),
    "an indirect jump and padding": ("jmp *%rax; nopl (%rax)", 1),
}
NEAR_CODES = assemble({name: source for name, (source, _) in NEAR.items()})


@pytest.mark.parametrize("name", NEAR)
def test_five_bytes_are_displaced_where_nothing_enters_them(name: str) -> None:
    code, count = NEAR_CODES[name], NEAR[name][1]
    window = planner(code, [0], [0]).plan(AT)
    assert isinstance(window, Window), window
    assert (window.way, len(window.instructions)) == (Way.NEAR, count)
    assert window.reach == (AT - REACH, AT + REACH)
    ((address, written),) = window.patches(AT + 0x1234567)
    assert address == AT
    jump = decode(written, AT)
    assert isinstance(jump, Instruction)
    assert (jump.kind, jump.target, jump.size) == (Kind.JMP, AT + 0x1234567, JUMP_SIZE)
    assert window.resume == AT + sum(one.size for one in window.instructions)


SHORTER = {
    "a jump into it": ("push %rbp; mov %rsp,%rbp; sub $8,%rsp", [4], 4, "jumps into"),
    "a jump into it, early": ("push %rbp; mov %rsp,%rbp; sub $8,%rsp", [1], 1, "jumps into"),
    "a call that returns into it": ("call *%rax; mov %eax,%edi; call .+100", [], 2, "a call returns"),
    "a call that never returns": ("push %rax; call *%rbx; nop; nop; nop", [], 3, "a call returns"),
    "another function": ("ret; push %rbx; push %rbp; push %rbx; push %rbp", [1], 1, "room"),
    "code that nothing is known to enter": ("ret; push %rbx; push %rbp; push %rbx; push %rbp", [], 1, "room"),
    "padding that something enters": ("ret; nop; nop; nop; nop", [2], 2, "room"),
    "what can't be displaced": ("inc %eax; lret; nop; nop; nop; nop", [], 2, "far"),
    "what isn't an instruction": ("inc %eax; .byte 6,6,6,6,6,6,6", [], 2, "not sure"),
}
SHORTER_CODES = assemble({name: source for name, (source, *_) in SHORTER.items()})


@pytest.mark.parametrize("name", SHORTER)
def test_jump_shares_bytes_where_fewer_can_be_destroyed(name: str) -> None:
    code = SHORTER_CODES[name]
    _, entered, size, reason = SHORTER[name]
    window = planner(code, entered, [0]).plan(AT)
    assert isinstance(window, Window), window
    assert window.way is Way.PUNNED
    assert sum(one.size for one in window.instructions) <= size
    assert JUMP_SIZE + window.prefixes - len(window.kept) == size
    assert window.kept == code[size : JUMP_SIZE + window.prefixes]
    for trampoline in {window.reach[0], window.reach[1] - 1}:
        ((address, written),) = window.patches(trampoline)
        assert (address, len(written)) == (AT, size)
        jump = decode(written + code[size:], AT)
        assert isinstance(jump, Instruction)
        assert jump.target == trampoline
    nowhere = planner(code, entered, [0], placeable=False).plan(AT)
    assert isinstance(nowhere, NoWindow)
    assert reason in nowhere.reason


@pytest.mark.parametrize(
    ("source", "reason"),
    [("syscall", "system call"), ("lret", "far"), (".byte 6", "not sure"), ("int3", "breakpoint")],
)
def test_no_window_where_the_site_itself_can_not_be_displaced(source: str, reason: str) -> None:
    window = plan(f"{source}; nop; nop; nop; nop; nop; nop")
    assert isinstance(window, NoWindow)
    assert reason in window.reason


def test_fewer_fixed_bytes_come_first() -> None:
    window = plan("push %rbp; mov %rsp,%rbp; sub $8,%rsp", [4])
    assert isinstance(window, Window)
    assert window.reach[1] - window.reach[0] == 1 << 24


def test_prefixes_offer_more_places() -> None:
    code = assemble({"f": "push %rbp; mov %rsp,%rbp; sub $8,%rsp; ret"})["f"]
    tried: list[tuple[int, int]] = []

    def placeable(low: int, high: int) -> bool:
        tried.append((low, high))
        return len(tried) == 3

    windows = Windows(
        address_set(AT, len(code), [AT + 4]),
        [AT],
        lambda address, size: code[address - AT :][:size],
        lambda _: sweep(code, AT),
        placeable,
    )
    window = windows.plan(AT)
    assert isinstance(window, Window)
    assert [high - low for low, high in tried] == [1 << 24, 1 << 16, 1 << 8]
    assert window.prefixes == 2
    ((_, written),) = window.patches(window.reach[0])
    jump = decode(written + code[4:], AT)
    assert isinstance(jump, Instruction)
    assert (jump.target, jump.size) == (window.reach[0], 7)


def test_jump_shares_no_byte_of_a_system_call() -> None:
    shares = plan("mov %eax,%edi; jmp *%rax; xor %eax,%eax; ret", [2, 4])
    assert isinstance(shares, Window) and shares.way is Way.PUNNED
    for code in ("mov %eax,%edi; syscall; ret; nop", "inc %eax; .byte 0x48,0x90; syscall; ret"):
        window = plan(code, [2])
        assert isinstance(window, NoWindow)
        assert "system call" in window.reason or "jumps into" in window.reason


SPARE = "inc %eax; 1: inc %ecx; jne 1b; ret; nopw (%rax,%rax); push %rbx; ret"
SPARE_AT = 7


def test_short_jump_to_padding() -> None:
    window = plan(SPARE, [2])
    assert isinstance(window, Window), window
    assert (window.way, window.spare, window.resume) == (Way.SHORT, AT + SPARE_AT, AT + 2)
    (site, short), (spare, near) = window.patches(AT + 0x100000)
    first, second = decode(short, site), decode(near, spare)
    assert isinstance(first, Instruction)
    assert isinstance(second, Instruction)
    assert (site, first.target, second.target) == (AT, spare, AT + 0x100000)


def test_padding_serves_one_site() -> None:
    code = assemble({"f": SPARE})["f"]
    windows = planner(code, [2, 4], [0, 2], placeable=False)
    first, second = windows.plan(AT), windows.plan(AT + 2)
    assert isinstance(first, Window)
    assert isinstance(second, NoWindow)


@pytest.mark.parametrize(
    "source",
    [
        "inc %eax; 1: inc %ecx; jne 1b; nopw (%rax,%rax); push %rbx; ret",  # executed
        "inc %eax; 1: inc %ecx; jne 1b; ret; nopl (%rax); push %rbx; ret",  # too short
        "inc %eax; 1: inc %ecx; jne 1b; ret; push %rbx; ret",
        "inc %eax; 1: inc %ecx; jne 1b; ret; .fill 128,1,0x53; ret; nopw (%rax,%rax)",  # too far
    ],
)
def test_no_short_jump_without_padding(source: str) -> None:
    window = plan(source, [2])
    assert isinstance(window, Window), window
    assert window.way is Way.PUNNED


def test_padding_that_something_enters_is_no_spare() -> None:
    window = plan(SPARE, [2, SPARE_AT])
    assert isinstance(window, Window)
    assert window.way is Way.PUNNED


def test_other_sites_keep_their_bytes() -> None:
    source = "push %rbp; mov %rsp,%rbp; sub $8,%rsp; ret"
    code = assemble({"f": source})["f"]
    windows = planner(code, [], [0, 4])
    window = windows.plan(AT)
    # Its last byte would have to be one that the other site changes.
    assert isinstance(window, NoWindow)
    assert "another probe" in window.reason
    other = windows.plan(AT + 4)
    assert isinstance(other, Window)


def test_code_ends() -> None:
    window = plan("inc %eax; ret")
    assert isinstance(window, NoWindow)


@pytest.mark.parametrize("seed", range(3))
def test_whatever_runs_through_the_code_finds_its_instructions(seed: int) -> None:
    """Real functions, sites anywhere in them, entered anywhere: walk from every entry through the changed code."""
    chance = random.Random(seed)
    text, base = text_of(LIBC)
    starts = sorted(start for start, _ in set(frames(LIBC)))
    first = chance.randrange(len(starts) - 60)
    low, high = starts[first], starts[first + 50]
    shift = AT - low
    code = text[low - base : high - base]
    swept = sweep(code, AT, [start + shift for start in starts[first : first + 50]])
    instructions = [address for address, flow in swept.instructions() if flow is not Flow.INVALID]
    entered = {start + shift for start in starts[first : first + 50]}
    entered |= {target for _, target in swept.jumps()} | {
        swept.target_at(call) or 0 for call in swept.of(CALLS)
    }
    entered |= set(chance.sample(instructions, len(instructions) // 20))
    entered = {address for address in entered if address in swept}
    sites = chance.sample(instructions, len(instructions) // chance.choice((3, 10, 30)))
    windows = planner(code, [address - AT for address in entered], [site - AT for site in sites])
    changed = bytearray(code)
    planned: dict[int, Window] = {}
    traps: set[int] = set()
    trampolines: dict[int, int] = {}
    ways = set()
    for site in sites:
        window = windows.plan(site)
        if isinstance(window, NoWindow):
            changed[site - AT] = 0xCC
            traps.add(site)
            continue
        planned[site] = window
        ways.add(window.way)
        trampolines[site] = chance.randrange(*window.reach)
        for address, text in window.expected:
            assert code[address - AT :][: len(text)] == text
        for address, written in window.patches(trampolines[site]):
            assert any(
                at <= address and address + len(written) <= at + len(text) for at, text in window.expected
            )
            changed[address - AT : address - AT + len(written)] = written
    assert ways == set(Way)
    assert any(window.lead for window in planned.values())
    for site, trampoline in trampolines.items():
        assert _leads(bytes(changed), planned[site].start) == trampoline, planned[site]
    returns = {call + swept.size_at(call) for call in swept.of(CALLS)}
    resumed = {window.resume for window in planned.values() if not _leaves(window.instructions[-1])}
    jumps = {window.start for window in planned.values()}
    missed = {at for window in planned.values() for at in range(window.start + 1, window.site + 1)}
    for begin in sorted((entered | returns | resumed) & set(instructions)):
        _walk(swept, bytes(changed), begin, traps | jumps, missed)


CALLS = frozenset((Flow.CALL, Flow.INDIRECT_CALL))


def _leaves(instruction: Instruction) -> bool:
    return instruction.kind in (Kind.JMP, Kind.RET, Kind.INDIRECT_JMP)


def _leads(changed: bytes, at: int) -> int | None:
    """Return where a jump at an address leads, by way of others in the code."""
    target: int | None = at
    while target is not None and 0 <= target - AT < len(changed):
        jump = decode(changed[target - AT :], target)
        assert isinstance(jump, Instruction), hex(target)
        assert jump.kind is Kind.JMP, jump
        target = jump.target
    return target


def _walk(swept: Swept, changed: bytes, at: int, ends: set[int], missed: set[int]) -> None:
    """Go on from an address until control leaves, comes to a jump or a trap: all instructions are as they were, and
    nothing comes to a site past its jump.
    """
    while at in swept and at not in ends:
        size = swept.size_at(at)
        assert size, hex(at)
        assert at not in missed, hex(at)
        assert changed[at - AT : at - AT + size] == swept.bytes_at(at), hex(at)
        if swept.flow_at(at) in LEAVING:
            return
        at += size
