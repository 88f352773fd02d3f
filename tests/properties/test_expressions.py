"""What compiled expressions compute, run by the kernel, is what evaluation.py computes by D's rules."""

import operator
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.properties.evaluation import TYPES, Term, as_word, binary, stored, terms, values
from tests.properties.firing import firing

pytestmark = [pytest.mark.requires_uprobes, pytest.mark.timeout(120)]

BATCH: Final = 8
"""Expressions computed by one program: loading it takes longer than running it."""


@settings(max_examples=60)
@given(st.data())
def test_integers(data: st.DataObject) -> None:
    arguments = data.draw(st.lists(values, min_size=4, max_size=4), "arguments")
    kinds = data.draw(st.lists(st.sampled_from(tuple(TYPES)), min_size=4, max_size=4), "types")
    given_terms = [Term(f"arg{number}", value, 8, True) for number, value in enumerate(arguments)]
    variables = [
        Term(f"v{number}", stored(value, *TYPES[kind]), *TYPES[kind])
        for number, (value, kind) in enumerate(zip(arguments, kinds, strict=True))
    ]
    expressions = terms((*given_terms, *variables))
    wanted = data.draw(st.lists(expressions, min_size=BATCH, max_size=BATCH), "expressions")
    declared = "".join(f"{kind} v{number};\n" for number, kind in enumerate(kinds))
    assigned = " ".join(f"v{number} = arg{number};" for number in range(len(kinds)))
    results = "".join(f"long r{number};\n" for number in range(BATCH))
    computed = "\n".join(f"r{number} = {term.text};" for number, term in enumerate(wanted))
    with firing(f"{declared}{results}BEGIN {{ {assigned}\n{computed} }}") as run:
        run.fire(arguments)
        for number, term in enumerate(wanted):
            assert run.integer(f"r{number}") == as_word(term.value), term.text


ASSIGNMENTS: Final = ("+=", "-=", "*=", "&=", "|=", "^=", "<<=", ">>=", "/=", "%=")


@settings(max_examples=25)
@given(st.sampled_from(tuple(TYPES)), values, values, st.sampled_from(["", "self->", "this->"]))
def test_assignments_and_steps_keep_the_variable_in_its_type(
    kind: str, start: int, operand: int, scope: str
) -> None:
    variable = Term("v", stored(start, *TYPES[kind]), *TYPES[kind])
    other = Term("arg1", operand, 8, True)
    expected = {
        assignment: stored(result.value, *TYPES[kind])
        for assignment in ASSIGNMENTS
        if (result := binary(assignment[:-1], variable, other)) is not None
    }
    declared = f"{scope.removesuffix('->')} {kind} v;\n" + "".join(f"long r{n}; " for n in range(20))
    lines = [
        f"{scope}v = arg0; {scope}v {assignment} arg1; r{number} = {scope}v;"
        for number, assignment in enumerate(expected)
    ]
    steps = f"{scope}v = arg0; r15 = {scope}v++; r16 = {scope}v; r17 = --{scope}v; r18 = ++{scope}v;"
    with firing(f"{declared}BEGIN {{ {' '.join(lines)} {steps} }}") as run:
        run.fire([start, operand])
        assert [run.integer(f"r{n}") for n in range(len(expected))] == list(map(as_word, expected.values()))
        above = stored(variable.value + 1, *TYPES[kind])
        shown = [run.integer(f"r{n}") for n in (15, 16, 17, 18)]
        assert shown == list(map(as_word, (variable.value, above, variable.value, above)))


COMPARE: Final = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
letters = st.one_of(
    st.text("ab", max_size=20).map(str.encode),
    st.binary(max_size=40).map(lambda raw: raw.replace(b"\0", b"\1")),
)


def quoted(text: bytes) -> str:
    return '"' + "".join(f"\\{byte:03o}" for byte in text) + '"'


@settings(max_examples=40)
@given(
    left=letters,
    right=letters,
    limit=st.sampled_from([2, 8, 16, 20, 64, 256]),
    amount=st.integers(-3, 70),
    which=st.booleans(),
)
def test_strings(left: bytes, right: bytes, limit: int, amount: int, which: bool) -> None:
    a, b = left[: limit - 1], right[: limit - 1]
    compared = " ".join(f"r{number} = s {name} t;" for number, name in enumerate(COMPARE))
    constant = " ".join(f"c{number} = s {name} {quoted(right)};" for number, name in enumerate(COMPARE))
    text = f"""
    string s, t, chosen, rest, self_copy; self string u; this string w;
    long {", ".join(f"r{n}, c{n}" for n in range(len(COMPARE)))}, n, m;
    BEGIN {{
        s = {quoted(left)}; t = {quoted(right)}; {compared} {constant}
        chosen = arg0 ? s : t; n = strlen(s); m = strlen(t + arg1); rest = s + arg1;
        self->u = s; this->w = self->u; self_copy = this->w; self_copy = self_copy;
    }}"""
    with firing(text, limit) as run:
        run.fire([int(which), amount])
        for number, compare in enumerate(COMPARE.values()):
            assert run.integer(f"r{number}") == run.integer(f"c{number}") == int(compare(a, b))
        assert run.text("chosen") == (a if which else b)
        assert run.integer("n") == len(a)
        assert run.text("rest") == (a[amount:] if amount >= 0 else b"")
        assert run.integer("m") == (len(b[amount:]) if amount >= 0 else 0)
        assert run.text("self_copy") == a
