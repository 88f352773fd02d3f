"""Which bytes of a jump let a thread survive that another tool's uprobe comes over it, and goes."""

import pytest

from scratch.displaced import leads_on
from scratch.instruction import Instruction, decode
from scratch.overlaid import First, Pins, Traps, pins, survives, traps
from scratch.windows import Window

AT = 0x40_0000


def of(code: str) -> tuple[Window, First]:
    """The window of a function that begins with this code, in hexadecimal, and its first instruction."""
    text = bytes.fromhex(code)
    first = decode(text, AT)
    assert isinstance(first, Instruction)
    return Window(AT, len(text), text), First(first.size, leads_on(first))


@pytest.mark.parametrize(
    ("code", "pinned", "found"),
    [
        ("534889fb", Pins(0xFF, 0xCC), Traps(AT + 1, 0)),  # push %rbx
        ("41544989fc", Pins(0xFFFF, 0xCC54), Traps(AT + 2, 0)),  # push %r12
        ("89f84883c003", Pins(0xFFFF, 0xCCF8), Traps(AT + 2, 0)),  # mov %edi,%eax
        ("4889f84883c004", Pins(0xFF00FF, 0xCC00CC), Traps(AT + 3, AT + 1)),  # mov %rdi,%rax
        ("f30f1efa488d4707", Pins(0xFF0000FF, 0xCC0000CC), Traps(AT + 4, AT + 1)),  # endbr64
        ("488b05f12c0000", Pins(0xFF, 0xCC), Traps(0, AT + 1)),  # mov …(%rip),%rax
        ("c3660f1f4400", None, Traps(0, 0)),  # ret
        ("e9c8000000", None, Traps(0, 0)),  # jmp
    ],
)
def test_pins_make_a_jump_that_survives(code: str, pinned: Pins | None, found: Traps) -> None:
    window, first = of(code)
    assert pins(window, first) == pinned
    distance = pinned.value if pinned else 0
    written = b"\xe9" + distance.to_bytes(4, "little")
    assert traps(AT, window.text[:5], written, first) == found
    assert survives(window.text[:5], written, first)
    if pinned is not None:
        for at in range(4):
            if pinned.mask >> 8 * at & 0xFF:
                changed = (distance ^ 1 << 8 * at).to_bytes(4, "little")
                assert not survives(window.text[:5], b"\xe9" + changed, first)


@pytest.mark.parametrize(
    ("code", "pinned"),
    [
        ("83ff01488d4705", Pins(0xFF0000, 0xCC0000)),  # cmp $1,%edi
        ("8b4424f8488d4708", Pins(0xFF000000, 0xCC000000)),  # mov -8(%rsp),%eax
        ("b8090000004801f8", None),  # mov $9,%eax
        ("c5f877c5f877", Pins(0xFF0000, 0xCC0000)),  # vzeroupper
    ],
)
def test_longer_instructions_without_a_prefix_survive_only_that_it_comes(
    code: str, pinned: Pins | None
) -> None:
    window, first = of(code)
    assert pins(window, first) == pinned
    distance = pinned.value if pinned else 0
    assert not survives(window.text[:5], b"\xe9" + distance.to_bytes(4, "little"), first)
