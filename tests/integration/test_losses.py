"""Losses are counted, reported, and add up: what was printed and what was lost is what happened."""

import os
import re
import signal

import pytest

from tests.harness.triggers import Triggers
from tests.integration.running import armed, counts, run, target

pytestmark = pytest.mark.requires_uprobes

CALLS = 20000


def losses(errors: str, kind: str) -> int:
    """The sum over all notices of one kind; nothing else may have been said."""
    found = re.findall(rf"^dtrap: (\d+) {kind}s? on CPU \d+$", errors, re.MULTILINE)
    assert len(found) == len(errors.splitlines()), errors
    return sum(map(int, found))


def test_records_that_find_no_room_are_reported_and_nothing_else_is_lost(triggers: Triggers) -> None:
    # A firing that finds no room is lost for its clause as a whole, and for that clause only.
    program = """
        pid$target:a.out:work:entry { @calls["all"] = count(); }
        pid$target:a.out:work:entry { @calls["shown"] = count(); printf("hit %d\\n", arg0); }
    """
    with (
        target([triggers.path("calls_forever"), str(CALLS)]) as process,
        armed("-b", "16k", "-p", str(process.pid), "-n", program) as tracer,
    ):
        # While dtrap is stopped its buffer fills up.
        tracer.process.send_signal(signal.SIGSTOP)
        os.waitpid(tracer.pid, os.WUNTRACED)
        process.say()
        assert process.end().stdout == f"called {CALLS}\n"
        tracer.process.send_signal(signal.SIGCONT)
        result = tracer.end()
    hits = [int(line.split()[1]) for line in result.stdout.splitlines() if line.startswith("hit ")]
    dropped = losses(result.stderr, "drop")
    assert hits == list(range(len(hits)))
    assert len(hits) > 100
    assert len(hits) + dropped == CALLS
    rest = "\n".join(line for line in result.stdout.splitlines() if not line.startswith("hit "))
    assert counts(rest) == {"all": CALLS, "shown": len(hits)}
    assert result.status == 0


def test_drops_carry_their_tag_when_asked(triggers: Triggers) -> None:
    program = "pid$target:a.out:work:entry { @[arg0] = count(); }"
    result = run(
        "-q",
        "-x",
        "aggsize=4k",
        "-x",
        "droptags",
        "-n",
        program,
        "-c",
        f"{triggers.path('calls_forever')} 1000",
    )
    assert re.fullmatch(
        r"(dtrap: \[DTRACEDROP_AGGREGATION\] \d+ aggregation drops? on CPU \d+\n)+", result.stderr
    )


def test_keys_that_find_no_room_are_reported_and_the_others_are_exact(triggers: Triggers) -> None:
    program = 'pid$target:a.out:work:entry { @[arg0 % 1000] = count(); @calls["calls"] = count(); }'
    command = f"{triggers.path('calls_forever')} {CALLS}"
    result = run("-q", "-x", "aggsize=4k", "-n", program, "-c", command)
    found = counts(result.stdout.replace(f"called {CALLS}\n", ""))
    assert found.pop("calls") == CALLS
    assert set(found.values()) == {CALLS // 1000}
    assert len(found) < 1000
    assert sum(found.values()) + losses(result.stderr, "aggregation drop") == CALLS


def test_string_longer_than_strsize_is_cut(triggers: Triggers) -> None:
    program = (
        'pid$target:a.out:text:entry { @[copyinstr(arg0)] = count(); printf("<%s>\\n", copyinstr(arg0)); }'
    )
    result = run("-q", "-x", "strsize=8", "-n", program, "-c", str(triggers.path("calls")))
    rows, entries = result.stdout.split("\n\n")
    assert rows == "<hello>\n<a longe>\n<>"
    assert counts(entries.replace("     ", " .", 1)) == {".": 1, "hello": 1, "a longe": 1}
    assert result.stderr == ""
