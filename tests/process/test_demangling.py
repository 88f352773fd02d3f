"""C++ and Rust names as their source has them: both kinds of Rust's, clones, and names that are none."""

import random

import pytest

from backend.demangling import demangled

NAMES = {
    # C++, as its own runtime has it
    "_ZN3foo3barEv": "foo::bar()",
    "_ZN3foo3barEv.cold": "foo::bar() [clone .cold]",
    "_ZNSt6vectorIiSaIiEE9push_backEOi": "std::vector<int, std::allocator<int> >::push_back(int&&)",
    # Rust before 2025: a hash behind, punctuation spelled out
    "_ZN42_$LT$$RF$T$u20$as$u20$core..fmt..Debug$GT$3fmt17h2cf1a36eb9461185E": "<&T as core::fmt::Debug>::fmt",
    "_ZN3std2rt10lang_start28_$u7b$$u7b$closure$u7d$$u7d$17he39bdf0230cb3880E": "std::rt::lang_start::{{closure}}",
    "_ZN1a4main17h1854dee5fd9945b4E.llvm.1234": "a::main",
    # Rust since: RFC 2603
    "_RNvC6_123foo3bar": "123foo::bar",
    "_RNvCs6xxl1lAjzDf_1a4main": "a::main",
    "_RNvNtCs6xxl1lAjzDf_1a5inner1d.llvm.77": "a::inner::d",
    "_RNvC1a4main.cold": "a::main [clone .cold]",
    "_RNCNvC1a4main0B3_": "a::main::{closure#0}",
    "_RINvXCs6xxl1lAjzDf_1aINtB3_2SqKj7_ENtB3_5Shape4showReEB3_": "<a::Sq<7> as a::Shape>::show::<&str>",
    "_RINvC1a1gFG_RL0_eQShEbEB2_": "a::g::<for<'a> fn(&'a str, &mut [u8]) -> bool>",
    "_RINvC1a1gTcbEKan1_Kb1_E": "a::g::<(char, bool), -1, true>",
    "_RINvC1a1gDNtB2_4SendNtB2_4SyncEL_E": "a::g::<dyn a::Send + a::Sync>",
    "_RINvC1a1gFUKCPhThEEzE": 'a::g::<unsafe extern "C" fn(*const u8, (u8,)) -> !>',
    "_RNvC1au9bcher_kva": "a::bücher",
}
OTHERS = [
    "main",
    "_Reset",
    "_Z",
    "_Zero",
    "_R",
    "_RNv",
    "_RNvC1a4main_rest",
    "_RNvB_1a",
    "_ZN" + "P" * 10_000 + "E",
    "_R" + "NtN" * 1000,
]


@pytest.mark.parametrize(("mangled", "shown"), NAMES.items())
def test_name_is_shown_as_its_source_has_it(mangled: str, shown: str) -> None:
    assert demangled(mangled) == shown


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_such_name_stays_as_it_is(name: str) -> None:
    assert demangled(name) == name


def test_a_name_that_lies_stays_bounded() -> None:
    generator = random.Random(3)
    for name in NAMES:
        for _ in range(60):
            letters = list(name)
            for _ in range(3):
                letters[generator.randrange(2, len(letters))] = generator.choice("BCEIKMNRTX_0s1a")
            assert len(demangled("".join(letters))) < 1 << 16
