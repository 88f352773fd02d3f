"""The table of coverage: what it counts, and how it looks as text and as JSON; and the flag that asks for it."""

import json

import pytest

from backend.coverage import Coverage, render_json, render_text, tabulate
from backend.engine import Answer, SiteCoverage, Trapped, Unserved, Way
from backend.site_table import SiteKind
from dlang.command_line import UsageError, parse


def site(module: str, answer: Answer, hits: int = 0, kind: SiteKind = SiteKind.ENTRY) -> SiteCoverage:
    return SiteCoverage(module, kind, answer, hits)


SITES = (
    site("libc.so.6", Way.UPROBE_STEPPED, 10),
    site("a.out", Way.REWRITTEN, 7),
    site("libc.so.6", Unserved("lock prefix")),
    site("libc.so.6", Way.UPROBE_STEPPED),
    site("a.out", Unserved("lock prefix")),
    site("libc.so.6", Unserved("an int3")),
    site("a.out", Unserved("lock prefix")),
    site("libc.so.6", Way.UPROBE_EMULATED, 1000),
)

TEXT = """\
                     sites         hits
libc.so.6                5         1010
  uprobe emulated        1         1000
  uprobe stepped         2           10
  refused                2
    an int3              1
    lock prefix          1
a.out                    3            7
  rewritten copy         1            7
  refused                2
    lock prefix          2
total                    8         1017
  uprobe emulated        1         1000
  uprobe stepped         2           10
  rewritten copy         1            7
  refused                4
    lock prefix          3
    an int3              1
"""


def test_each_site_is_counted_once_in_its_module_and_in_total() -> None:
    table = tabulate(SITES, (), traced=True)
    libc, program = table.modules
    assert (libc.name, libc.all.sites, program.name, program.all.sites) == ("libc.so.6", 5, "a.out", 3)
    assert libc.all.served == {Way.UPROBE_STEPPED: 2, Way.UPROBE_EMULATED: 1}
    assert program.all.refused == {"lock prefix": 2}
    total = table.total.all
    assert total.sites == len(SITES)
    assert total.hits == {Way.UPROBE_STEPPED: 10, Way.UPROBE_EMULATED: 1000, Way.REWRITTEN: 7}


def test_text_has_a_line_for_each_way_in_use_and_each_reason_the_most_frequent_first() -> None:
    assert render_text(tabulate(SITES, (), traced=True)) == TEXT


def test_text_and_json_tell_entries_returns_and_offsets_apart_where_there_are_several() -> None:
    sites = [
        site("m", Way.JUMP, 5),
        site("m", Way.PUNNED_JUMP, 4, SiteKind.BRANCH),
        site("m", Unserved("an int3"), 0, SiteKind.OFFSET),
        site("m", Way.JUMP, 3, SiteKind.RETURN),
        site("n", Way.JUMP, 2),
    ]
    table = tabulate(sites, (), traced=True)
    lines = [line.split() for line in render_text(table).splitlines()]
    assert lines[1:15] == [
        ["m", "4", "12"],
        ["entry", "1", "5"],
        ["jump", "1", "5"],
        ["return", "2", "7"],
        ["jump", "1", "3"],
        ["punned", "jump", "1", "4"],
        ["offset", "1", "0"],
        ["refused", "1"],
        ["an", "int3", "1"],
        ["n", "1", "2"],
        ["entry", "1", "2"],
        ["jump", "1", "2"],
        ["total", "5", "14"],
        ["entry", "2", "7"],
    ]
    kinds = json.loads(render_json(table))["total"]["kinds"]
    assert {kind: (own["sites"], sum(own["hits"].values())) for kind, own in kinds.items()} == {
        "entry": (2, 7),
        "return": (2, 7),
        "offset": (1, 0),
    }


def test_text_without_a_run_has_no_hits() -> None:
    text = render_text(tabulate(SITES[:1], (), traced=False))
    assert text == f"{'':16}    sites\n{'libc.so.6':16}        1\n  uprobe stepped        1\n"


def test_text_tells_why_a_site_is_not_served_by_a_jump() -> None:
    sites = [site("m", Way.JUMP), site("m", Trapped(Way.OUT_OF_LINE, "too short"))]
    lines = render_text(tabulate(sites, (), traced=False)).splitlines()
    assert [line.split() for line in lines[2:]] == [
        ["out-of-line", "copy", "1"],
        ["jump", "1"],
        ["of", "these", "not", "by", "jumps", "1"],
        ["too", "short", "1"],
    ]


def test_text_of_no_sites_is_a_total_of_none() -> None:
    text = render_text(Coverage((), traced=True))
    assert text.splitlines()[1].split() == ["total", "0", "0"]


def test_text_does_not_pass_control_characters_on() -> None:
    assert "\x1b" not in render_text(tabulate([site("a\x1b[2J", Way.OUT_OF_LINE)], (), traced=True))


def test_json_has_every_way_and_keeps_names_that_are_not_unicode() -> None:
    table = tabulate([site("caf\udce9", Trapped(Way.OUT_OF_LINE, "too short"), 5)], (), traced=True)
    document = json.loads(render_json(table))
    (module,) = document["modules"]
    assert module["name"] == "caf\udce9"
    assert module["served"] == {way.value: int(way is Way.OUT_OF_LINE) for way in Way}
    assert module["hits"] == {way.value: 5 * (way is Way.OUT_OF_LINE) for way in Way}


def test_json_without_a_run_has_null_for_hits() -> None:
    document = json.loads(render_json(tabulate(SITES, (), traced=False)))
    assert document["traced"] is False
    assert [part["hits"] for part in (*document["modules"], document["total"])] == [None] * 3


def test_flag_without_and_with_a_file_and_both() -> None:
    program = ["-n", "BEGIN"]
    plain, printed = parse(program), parse([*program, "--coverage"])
    assert (plain.wants_coverage, plain.coverage_printed, plain.coverage_file) == (False, False, None)
    assert (printed.wants_coverage, printed.coverage_printed, printed.coverage_file) == (True, True, None)
    written = parse(["--coverage=a=b.json", *program])
    assert (written.wants_coverage, written.coverage_printed, written.coverage_file) == (
        True,
        False,
        "a=b.json",
    )
    both = parse(["--coverage", *program, "--coverage=f"])
    assert (both.coverage_printed, both.coverage_file) == (True, "f")


def test_error_of_a_flag_with_an_empty_file_name() -> None:
    with pytest.raises(UsageError, match="'--coverage=' requires a file name"):
        parse(["--coverage=", "-n", "BEGIN"])
