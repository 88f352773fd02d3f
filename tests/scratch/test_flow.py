"""Functions decoded whole: exits, jump tables, parts split off; and what makes a function not whole."""

from pathlib import Path

import pytest

from backend.sweeper import sweep
from scratch.flow import Exit, ExitKind, Function, NotWhole, whole
from scratch.jump_tables import named_table
from scratch.sweep import Swept
from tests.scratch.assembly import assemble
from tests.scratch.forms import text_of
from tests.scratch.test_coverage import frames

AT = 0x40_0000
LIBSTDCXX = "/usr/lib/x86_64-linux-gnu/libstdc++.so.6"

RELATIVE = """
    lea 8f(%rip),%rdx
    movslq (%rdx,%rdi,4),%rax
    add %rdx,%rax
    jmp *%rax
2:  nop
    ret
3:  leave
    ret
"""
TABLES = {
    "distances": (RELATIVE, "8: .long 2b-8b, 3b-8b, 0x7fff0000"),
    "distances, the sum the other way round": (
        "lea 8f(%rip),%rcx; movslq (%rcx,%rdi,4),%rax; add %rax,%rcx; jmp *%rcx; 2: nop; ret; 3: leave; ret",
        "8: .long 2b-8b, 3b-8b, 0x7fff0000",
    ),
    "the table's address from before a branch": (
        (
            "lea 8f(%rip),%rcx; test %esi,%esi; je 1f; call .; 1: movslq (%rbx,%rdi,4),%rax; add %rbx,%rax; jmp *%rax;"
            "2: nop; ret; 3: leave; ret; mov %rcx,%rbx; jmp 1b"
        ),
        "8: .long 2b-8b, 3b-8b, 0x7fff0000",
    ),
    "the table's address kept on the stack": (
        (
            "lea 8f(%rip),%rcx; mov %rcx,8(%rsp); mov 8(%rsp),%rcx; movslq (%rcx,%rdi,4),%rax; add %rcx,%rax;"
            "jmp *%rax; 2: nop; ret; 3: leave; ret"
        ),
        "8: .long 2b-8b, 3b-8b, 0x7fff0000",
    ),
    "addresses": (
        "0: lea 8f(%rip),%rdx; jmp *(%rdx,%rdi,8); 2: nop; ret; 3: leave; ret",
        f"8: .quad 2b-0b+{AT}, 3b-0b+{AT}, 0",
    ),
    "addresses, loaded first": (
        "0: lea 8f(%rip),%rdx; mov (%rdx,%rdi,8),%rax; jmp *%rax; 2: nop; ret; 3: leave; ret",
        f"8: .quad 2b-0b+{AT}, 3b-0b+{AT}, 0",
    ),
    "without optimization": (
        (
            "lea 0(,%rdi,4),%rdx; lea 8f(%rip),%rax; mov (%rdx,%rax,1),%eax; cltq; lea 8f(%rip),%rdx; add %rdx,%rax;"
            "jmp *%rax; 2: nop; ret; 3: leave; ret"
        ),
        "8: .long 2b-8b, 3b-8b, 0x7fff0000",
    ),
    "the sum by lea": (
        "lea 8f(%rip),%r11; movslq (%r11,%rdx,4),%rcx; lea (%r11,%rcx),%rcx; jmp *%rcx; 2: nop; ret; 3: leave; ret",
        "8: .long 2b-8b, 3b-8b, 0x7fff0000",
    ),
    "distances from a label": (
        (
            "lea 8f(%rip),%rsi; lea 2f(%rip),%rcx; movslq (%rsi,%rdi,4),%rax; add %rcx,%rax; jmp *%rax;"
            "2: nop; ret; 3: leave; ret"
        ),
        "8: .long 2b-2b, 3b-2b, 0x7fff0000",
    ),
    "the table kept on the stack, added from there": (
        (
            "lea 8f(%rip),%rcx; mov %rcx,8(%rsp); movslq (%rcx,%rdi,4),%rax; add 8(%rsp),%rax; jmp *%rax;"
            "2: nop; ret; 3: leave; ret"
        ),
        "8: .long 2b-8b, 3b-8b, 0x7fff0000",
    ),
    "addresses, without optimization": (
        "0: lea 0(,%rax,8),%rdx; lea 8f(%rip),%rax; mov (%rdx,%rax,1),%rax; nop; jmp *%rax; 2: nop; ret; 3: leave; ret",
        f"8: .quad 2b-0b+{AT}, 3b-0b+{AT}, 0",
    ),
    "one label": ("lea 2f(%rip),%rdx; jmp *%rdx; 2: nop; ret; 3: leave; ret", ""),
}
TABLE_CODES = {
    name: (made["code"], made["data"])
    for name, (code, data) in TABLES.items()
    for made in (assemble({"code": code, "data": data}),)
}


def decode(code: bytes, data: bytes = b"") -> Function | NotWhole:
    """Decode a function at AT, with data behind it."""

    def read(address: int, size: int) -> bytes:
        at = address - AT - len(code)
        return data[at : at + size] if 0 <= at < len(data) else b""

    return whole([sweep(code, AT)], read)


@pytest.mark.parametrize("name", TABLE_CODES)
def test_jump_table_leads_into_the_function(name: str) -> None:
    code, data = TABLE_CODES[name]
    found = decode(code, data)
    assert isinstance(found, Function), found
    returns = [AT + at for at, byte in enumerate(code) if byte == 0xC3]
    assert [one.kind for one in found.exits] == [ExitKind.RETURN] * 2
    assert {one.address for one in found.exits} <= set(returns)
    first, second = (one.address for one in found.exits)
    assert first - 1 in found.targets
    assert name == "one label" or second - 1 in found.targets


def test_table_of_addresses_ends_where_that_of_another_jump_begins() -> None:
    """Without that the first of many is read to the end of the last, each time: two minutes for a compiler."""
    made = assemble({"f": "0: jmp *0x400100(,%rdi,8); 1: nop; 2: nop; ret"})["f"]
    words = [AT + len(made) - 3, AT + len(made) - 2]
    data = b"".join(word.to_bytes(8, "little") for word in words)
    assert named_table(made[:-3]) == AT + 0x100

    def targets(*tables: int) -> set[int]:
        found = whole(
            [sweep(made, AT)],
            lambda address, size: data[address - AT - 0x100 :][:size],
            tables=tables,
        )
        assert isinstance(found, Function)
        return set(found.targets)

    assert targets() == targets(AT + 0x100) == set(words)
    assert targets(AT + 0x100, AT + 0x108) == set(words[:1])


CALLS = {
    "through a table of functions": ("jmp *(%rdx,%rdi,8)", 0),
    "to what was passed": ("jmp *%rsi", 0),
    "to what was loaded": ("mov 8(%rdi),%rax; jmp *%rax", 4),
    "to what was moved": ("mov %rsi,%rax; jmp *%rax", 3),
    "to one of two": ("mov 8(%rdi),%rax; test %rsi,%rsi; cmovne %rsi,%rax; jmp *%rax", 11),
    "through memory": ("jmp *16(%rdi)", 0),
    "through a pointer of the object": ("jmp *64(%rip)", 0),
    "to what a call returned": ("call .+64; jmp *%rax", 5),
    "to what was on the stack": ("pop %rcx; jmp *%rcx", 1),
    "to a sum of distance and load bias": ("mov (%rbx),%rdx; add 8(%rax),%rdx; jmp *%rdx", 7),
    "to what was in disguise": ("mov 8(%rdi),%rax; ror $17,%rax; xor %fs:48,%rax; jmp *%rax", 17),
    "to an argument that a branch went round": ("test %edi,%edi; je 1f; jmp 2f; 1: nop; 2: jmp *%rsi", 7),
}
CALL_CODES = assemble({name: source for name, (source, _) in CALLS.items()})


@pytest.mark.parametrize("name", CALLS)
def test_indirect_jump_to_another_function_is_an_exit(name: str) -> None:
    found = decode(CALL_CODES[name])
    assert isinstance(found, Function), found
    assert found.exits == (Exit(AT + CALLS[name][1], ExitKind.INDIRECT_JUMP),)
    assert found.targets == frozenset()


def test_exits_and_starts() -> None:
    code = assemble({"f": "push %rbx; je 1f; jmp .+1000; 1: jne .+1000; pop %rbx; ret; nopl (%rax)"})["f"]
    found = decode(code)
    assert isinstance(found, Function)
    assert list(found.starts) == [AT, AT + 1, AT + 3, AT + 8, AT + 14, AT + 15, AT + 16]
    assert found.exits == (
        Exit(AT + 3, ExitKind.JUMP),
        Exit(AT + 8, ExitKind.BRANCH),
        Exit(AT + 15, ExitKind.RETURN),
    )
    assert not found.falls_off


@pytest.mark.parametrize(
    ("source", "falls_off"),
    [
        ("nop; ret; nop", False),
        ("jmp .", False),
        ("call .+64", False),
        ("ud2", False),
        ("inc %eax; nop", True),
    ],
)
def test_code_that_continues_behind_its_end_is_noticed(source: str, falls_off: bool) -> None:
    found = decode(assemble({"f": source})["f"])
    assert isinstance(found, Function)
    assert found.falls_off is falls_off


@pytest.mark.parametrize(
    ("source", "reason", "offset"),
    [
        ("nop; .byte 0x06", "no instruction", 1),
        ("je 1f+1; 1: mov $1,%eax; ret", "middle", 0),
        ("lret", "far", 0),
        ("lea 1f(%rip),%rax; 1: shl $6,%edi; add %rdi,%rax; jmp *%rax", "indirect", 13),
    ],
)
def test_not_whole(source: str, reason: str, offset: int) -> None:
    found = decode(assemble({"f": source})["f"])
    assert isinstance(found, NotWhole), found
    assert reason in found.reason
    assert found.address == AT + offset


def test_a_jump_over_a_lock_prefix_is_no_jump_into_an_instruction() -> None:
    found = decode(assemble({"f": "je 1f; lock; 1: incl (%rdi); ret"})["f"])
    assert isinstance(found, Function), found


def with_part(source: str, part: str, *, certain: bool) -> Function | NotWhole:
    """Decode a function with a part at AT + 0x1000."""
    made = assemble({"f": f"0: {source}; .fill 0x1000-(.-0b),1,0x90", "part": part})
    code, other = made["f"].rstrip(b"\x90"), made["part"]
    swept: Swept = sweep(other, AT + 0x1000)
    return whole(
        [sweep(code, AT)],
        lambda _address, _size: b"",
        (),
        lambda at: (swept, certain) if at in swept else None,
    )


def test_part_that_was_split_off_belongs_to_the_function() -> None:
    found = with_part("test %edi,%edi; je 2f; 1: ret", "2: call .; ret", certain=True)
    assert isinstance(found, Function)
    assert found.exits == (Exit(AT + 8, ExitKind.RETURN), Exit(AT + 0x1005, ExitKind.RETURN))
    assert AT + 0x1000 in found.starts


@pytest.mark.parametrize(
    ("part", "belongs"), [("2: call .; jmp 1b", True), ("2: call .; jmp 0b", False), ("2: ret", False)]
)
def test_part_that_may_be_a_function_belongs_to_it_if_it_leads_back(part: str, belongs: bool) -> None:
    found = with_part("test %edi,%edi; je 2f; 1: ret", part, certain=False)
    assert isinstance(found, Function)
    assert (AT + 0x1000 in found.starts) is belongs
    assert (Exit(AT + 2, ExitKind.BRANCH) in found.exits) is not belongs


def test_compilers_marks_of_switches_agree() -> None:
    """libstdc++ is compiled with -fcf-protection: a switch's jump has the prefix notrack, a call's has not."""
    text, base = text_of(LIBSTDCXX)
    data = Path(LIBSTDCXX).read_bytes()  # its constant data lie in the file where they do in memory
    switches = calls = 0
    for start, end in sorted(set(frames(LIBSTDCXX))):
        swept = sweep(text[start - base : end - base], start)
        found = whole([swept], lambda address, size: data[address : address + size])
        if isinstance(found, NotWhole):
            continue
        leaving = {one.address for one in found.exits}
        for address, flow in swept.instructions():
            if flow.name == "INDIRECT_JMP":
                is_switch = swept.bytes_at(address).startswith(b"\x3e")
                assert (address not in leaving) is is_switch, hex(address)
                switches += is_switch
                calls += not is_switch
    assert switches > 15
    assert calls > 100
