"""Probe descriptions: fields, levels, globs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlang.probe_description import (
    Level,
    ProbeDescription,
    ProbeDescriptionError,
    is_glob,
    matches,
    matching,
    parse,
)


@pytest.mark.parametrize(
    ("text", "level", "expected"),
    [
        ("pid1:libc.so.6:malloc:entry", Level.NAME, ("pid1", "libc.so.6", "malloc", "entry")),
        ("malloc:entry", Level.NAME, ("", "", "malloc", "entry")),
        ("BEGIN", Level.NAME, ("", "", "", "BEGIN")),
        ("libc::entry", Level.NAME, ("", "libc", "", "entry")),
        (":::", Level.NAME, ("", "", "", "")),
        ("", Level.NAME, ("", "", "", "")),
        ("malloc", Level.FUNCTION, ("", "", "malloc", "")),
        ("libc:malloc", Level.FUNCTION, ("", "libc", "malloc", "")),
        ("pid1:libc", Level.MODULE, ("pid1", "libc", "", "")),
        ("pid1", Level.PROVIDER, ("pid1", "", "", "")),
    ],
)
def test_missing_leading_fields_are_empty(text: str, level: Level, expected: tuple[str, ...]) -> None:
    assert parse(text, level) == ProbeDescription(*expected)


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("a:b:c:d:e", Level.NAME),
        ("a:b:c:d", Level.FUNCTION),
        ("a:b:c", Level.MODULE),
        ("a:b", Level.PROVIDER),
    ],
)
def test_error_too_many_fields_have_dtraces_words(text: str, level: Level) -> None:
    with pytest.raises(ProbeDescriptionError) as caught:
        parse(text, level)
    assert caught.value.message == "Overspecified probe description"
    assert caught.value.text == text


def test_a_description_prints_its_four_fields() -> None:
    assert str(parse("malloc:entry")) == "::malloc:entry"


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("", "anything", True),
        ("*", "", True),
        ("malloc", "malloc", True),
        ("malloc", "mallocx", False),
        ("mal?oc", "malloc", True),
        ("mal?oc", "maloc", False),
        ("m*c", "malloc", True),
        ("m*c", "mallocs", False),
        ("*a*b*", "xaxxbx", True),
        ("*a*b*", "xbxxax", False),
        ("[a-cx]y", "by", True),
        ("[a-cx]y", "dy", False),
        ("[!a-c]y", "dy", True),
        ("[!a-c]y", "by", False),
        ("[]]", "]", True),
        ("[!]]", "]", False),
        ("[a-]", "-", True),
        ("[z-a]", "m", False),
        ("[!z-a]", "m", True),
        ("[^a]", "a", True),
        (r"[\]x]", "]", True),
        (r"\*", "*", True),
        (r"\*", "x", False),
        (r"\[a]", "[a]", True),
        ("[ab", "[ab", True),
        ("[ab", "a", False),
        ("x\\", "x\\", True),
        ("a.c", "abc", False),
        ("a?c", "a\nc", True),
        ("a*", "a\n", True),
        ("(a|b)+", "(a|b)+", True),
    ],
)
def test_globs_are_the_shells(pattern: str, text: str, expected: bool) -> None:
    assert matches(pattern, text) is expected


def naive(pattern: str, text: str) -> bool:
    """Stars and question marks by definition, for comparison."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return naive(pattern[1:], text) or (text != "" and naive(pattern, text[1:]))
    return text != "" and pattern[0] in ("?", text[0]) and naive(pattern[1:], text[1:])


@given(st.text("ab?*", min_size=1, max_size=8), st.text("ab", max_size=8))
def test_stars_match_what_their_definition_says(pattern: str, text: str) -> None:
    assert matches(pattern, text) == naive(pattern, text)


@given(st.text(max_size=12), st.text(max_size=12))
def test_any_text_is_a_pattern(pattern: str, text: str) -> None:
    assert matches(pattern, text) in (True, False)


@given(st.text(min_size=1).filter(lambda text: not is_glob(text)))
def test_a_plain_name_matches_itself_alone(name: str) -> None:
    assert matches(name, name)
    assert not matches(name, name + "x")


def test_many_stars_on_a_long_name_end() -> None:
    # Backtracking over these stars would take longer than the universe has.
    assert not matches("*a" * 40 + "*b", "a" * 20_000)


def test_half_a_million_names_are_matched_in_one_call() -> None:
    names = [f"_ZN7mozilla3dom{number}Element{number}SetAttributeEv" for number in range(500_000)]
    assert len(matching("*Element1*SetAttr*", names)) == 111_111
