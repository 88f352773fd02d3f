"""Options by name: values, defaults, what is accepted without effect, what is refused, the environment."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlang.options import (
    INVALID_NAME,
    INVALID_VALUE,
    OPTIONS,
    Accepted,
    Effective,
    OptionError,
    Options,
    Preprocessing,
    Refused,
    from_environment,
    set_option,
)


def error_of(name: str, value: str | None = None) -> OptionError:
    with pytest.raises(OptionError) as caught:
        set_option(Options(), name, value)
    return caught.value


def value_of(name: str, value: str | None, field: str = "") -> object:
    return getattr(set_option(Options(), name, value), field or name)


def test_defaults_are_those_of_dtrace() -> None:
    options = Options()
    assert (options.strsize, options.bufsize, options.aggsize) == (256, 4194304, 4194304)
    assert (options.dynvarsize, options.stackindent, options.statusrate_ns) == (1048576, 14, 1_000_000_000)
    assert (options.aggrate_ns, options.switchrate_ns) == (0, 0)
    assert options.engine == "auto"


@pytest.mark.parametrize("word", [None, "yes", "YES", "true", "On", "set", "enable", "enabled", "1", "0x2"])
def test_a_switch_is_turned_on_by(word: str | None) -> None:
    assert value_of("quiet", word) is True


@pytest.mark.parametrize("word", ["", "no", "False", "off", "UNSET", "disable", "disabled"])
def test_a_switch_is_turned_off_by(word: str) -> None:
    on = set_option(Options(), "quiet", None)
    assert set_option(on, "quiet", word).quiet is False


@pytest.mark.parametrize("word", ["0", "-1", "maybe", "yes ", "1x"])
def test_a_switch_takes_nothing_else(word: str) -> None:
    error = error_of("quiet", word)
    assert (error.message, error.hint) == (INVALID_VALUE, "quiet takes no value, yes or no")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("512", 512),
        (" +512", 512),
        ("4k", 4096),
        ("4K", 4096),
        ("3m", 3 << 20),
        ("2g", 2 << 30),
        ("1t", 1 << 40),
        ("0x10", 16),
        ("0x10k", 16384),
        ("010", 8),
    ],
)
def test_a_size_is_a_number_of_bytes_or_has_a_binary_suffix(text: str, size: int) -> None:
    assert value_of("bufsize", text) == size


@pytest.mark.parametrize(
    "text",
    [None, "", "k", "-1", "-1k", "4kb", "4 k", "4.5m", "08", "x", "٣", "9" * 40, "9223372036854775808"],
)
def test_a_size_is_nothing_else(text: str | None) -> None:
    assert error_of("bufsize", text).message == INVALID_VALUE


def test_the_largest_size_is_that_of_a_signed_word() -> None:
    assert value_of("bufsize", "9223372036854775807") == (1 << 63) - 1
    assert error_of("bufsize", "8388608t").message == INVALID_VALUE


def test_a_string_holds_at_least_one_character_and_its_end() -> None:
    assert value_of("strsize", "2") == 2
    assert error_of("strsize", "1").message == INVALID_VALUE
    assert error_of("strsize", "4g").message == INVALID_VALUE


@pytest.mark.parametrize(
    ("text", "period_ns"),
    [
        ("0", 0),
        ("7", 7),
        ("7ns", 7),
        ("7nsec", 7),
        ("7us", 7_000),
        ("7usec", 7_000),
        ("7ms", 7_000_000),
        ("7MSEC", 7_000_000),
        ("7s", 7_000_000_000),
        ("7sec", 7_000_000_000),
        ("7m", 420_000_000_000),
        ("7min", 420_000_000_000),
        ("7h", 25_200_000_000_000),
        ("7hour", 25_200_000_000_000),
        ("7d", 604_800_000_000_000),
        ("7day", 604_800_000_000_000),
        ("10hz", 100_000_000),
        ("3HZ", 333_333_333),
        ("0hz", 0),
    ],
)
def test_a_rate_is_a_period_or_a_frequency(text: str, period_ns: int) -> None:
    assert value_of("aggrate", text, "aggrate_ns") == period_ns


@pytest.mark.parametrize("text", [None, "", "s", "-1s", "1w", "1 s", "1.5s", "999999999d"])
def test_a_rate_is_nothing_else(text: str | None) -> None:
    assert error_of("statusrate", text).message == INVALID_VALUE


def test_a_number_without_a_value_is_zero() -> None:
    start = set_option(Options(), "aggsortkeypos", "3")
    assert start.aggsortkeypos == 3
    assert set_option(start, "aggsortkeypos", None).aggsortkeypos == 0
    assert error_of("aggsortpos", "1k").message == INVALID_VALUE


def test_words_are_taken_as_they_stand() -> None:
    assert value_of("engine", "fasttrap") == "fasttrap"
    assert error_of("engine", None).message == INVALID_VALUE
    expected = "evaltime takes exec or preinit or postinit or main"
    assert error_of("evaltime", "later").hint == expected


def test_the_last_setting_wins_and_leaves_the_others() -> None:
    options = set_option(set_option(Options(), "bufsize", "1m"), "strsize", "8")
    assert set_option(options, "bufsize", "2m") == Options(bufsize=2 << 20, strsize=8)


def test_an_unknown_name_is_an_error_with_the_nearest_name_as_a_hint() -> None:
    error = error_of("quite")
    assert (error.message, error.hint) == (INVALID_NAME, "did you mean quiet?")
    assert (error.name, error.value, str(error)) == ("quite", None, "Invalid option name")
    assert error_of("nosuch").hint == ""
    assert error_of("QUIET").message == INVALID_NAME


def test_what_only_tunes_dtrace_is_accepted_with_a_right_value_and_changes_nothing() -> None:
    for name, value in [
        ("cleanrate", "50hz"),
        ("lockmem", "unlimited"),
        ("lockmem", "64m"),
        ("bufresize", "manual"),
        ("bufpolicy", "switch"),
        ("nolibs", None),
        ("libdir", "/usr/lib/dtrace"),
        ("stackframes", "20"),
    ]:
        assert set_option(Options(), name, value) == Options()
    for name, value in [
        ("nspec", "x"),
        ("cleanrate", "soon"),
        ("bufpolicy", "circle"),
        ("amin", "Stable/Common"),
        ("iregs", "9"),
        ("libdir", None),
    ]:
        assert error_of(name, value).message == INVALID_VALUE


def test_what_would_change_results_is_refused_by_name() -> None:
    assert error_of("version", "1.0").message == "Operation not supported"
    assert error_of("cpu", "all").message == INVALID_VALUE
    assert error_of("cpu", "0").message == "not supported by this version of dtrap: tracing on one processor"


def test_options_of_the_preprocessor_add_up() -> None:
    options = Options()
    for name, value in [
        ("define", "A=1"),
        ("incdir", "/x"),
        ("cpphdrs", None),
        ("undef", "B"),
        ("cppargs", "-P"),
    ]:
        options = set_option(options, name, value)
    assert options.cpp_arguments == ("-DA=1", "-I/x", "-H", "-UB", "-P")
    assert error_of("cpphdrs", "yes").message == INVALID_VALUE


def test_every_option_has_one_row_and_every_field_one_option() -> None:
    names = [row.name for row in OPTIONS]
    assert len(set(names)) == len(names)
    effective = [row for row in OPTIONS if isinstance(row, Effective)]
    fields = [field.name for field in dataclasses.fields(Options)]
    assert sorted([*(row.field for row in effective), "cpp_arguments"]) == sorted(fields)
    for row in OPTIONS:
        match row:
            case (
                Effective(meaning=text)
                | Preprocessing(meaning=text)
                | Accepted(reason=text)
                | Refused(reason=text)
            ):
                assert text


# Options of DTrace for Linux 2.0 (libdtrace/dt_options.c) and of illumos.
DTRACE_NAMES = """
    aggpercpu amin argref core cpp cppargs cpphdrs cpppath ctypes ctfpath defaultargs debug
    debugassert define disasm droptags dtypes empty errtags evaltime incdir iregs kdefs knodefs late
    lazyload ldpath libdir linkmode linktype linknommap modpath nolibs pgmax preallocate procfspath
    pspec stdc strip syslibdir sysslice tree tregs udefs undef unodefs useruid verbose version zdefs
    aggsize bpflog bpflogsize bufsize bufpolicy bufresize cleanrate cpu destructive dynvarsize
    grabanon jstackframes jstackstrsize lockmem maxframes nspec pcapsize scratchsize specsize
    stackframes statusrate strsize ustackframes noresolve aggrate aggsortkey aggsortkeypos
    aggsortpos aggsortrev flowindent quiet quietresize rawbytes stackindent switchrate printsize
    agghist aggpack aggzoom encoding setenv temporal unsetenv
"""


def test_every_option_of_dtrace_has_a_row() -> None:
    own = {"demangle", "engine", "returns", "singly", "tier"}
    assert {row.name for row in OPTIONS} == {*DTRACE_NAMES.split(), *own}


def test_the_environment_sets_options() -> None:
    environ = {"DTRACE_OPT_STRSIZE": "512", "DTRACE_OPT_QUIET": "", "DTRACE_OPT_ZDEFS": "1", "HOME": "/"}
    assert from_environment(environ) == Options(strsize=512, zdefs=True)
    assert from_environment({}) == Options()


def test_a_wrong_value_in_the_environment_names_its_variable() -> None:
    with pytest.raises(
        OptionError, match=r"^DTRACE_OPT_STRSIZE: Invalid value for specified option$"
    ) as caught:
        from_environment({"DTRACE_OPT_STRSIZE": "1"})
    assert (caught.value.name, caught.value.value) == ("strsize", "1")
    with pytest.raises(OptionError, match=r"^DTRACE_OPT_QUITE: Invalid option name$") as caught:
        from_environment({"DTRACE_OPT_QUITE": "1"})
    assert caught.value.hint == "did you mean quiet?"


@given(name=st.sampled_from([row.name for row in OPTIONS]), value=st.none() | st.text())
def test_any_value_is_taken_or_refused(name: str, value: str | None) -> None:
    options = Options()
    try:
        options = set_option(options, name, value)
    except OptionError as error:
        message = error.message
    else:
        message = "taken"
    assert message
    for field in dataclasses.fields(options):
        assert type(getattr(options, field.name)) is type(field.default)
