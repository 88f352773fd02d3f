"""--coverage: every site has one answer, and every hit is counted once, whichever engine serves it."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from backend.engine import Way
from tests.harness.command import SERVED_BY, Run
from tests.harness.ordinary_user import as_nobody
from tests.harness.triggers import Triggers, compile_c
from tests.integration.running import armed, counts, run, target

pytestmark = pytest.mark.requires_uprobes

COUNT: Final = "{ @[probefunc] = count(); }"
WAYS: Final = {way.value for way in Way}
DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "coverage.md"


def checked(document: Any) -> Any:
    """The document, which must be as docs/coverage.md says, with sums that agree."""
    assert set(document) == {"version", "traced", "modules", "total"}
    assert document["version"] == 2
    rows = [*document["modules"], document["total"]]
    for row in rows:
        kinds = row["kinds"]
        assert set(kinds) <= {"entry", "return", "offset"}
        assert row["sites"] == sum(kind["sites"] for kind in kinds.values())
    for part in [*rows, *(row["kinds"][kind] | {"kinds": {}} for row in rows for kind in row["kinds"])]:
        assert set(part) - {"name"} == {"sites", "served", "refused", "trapped", "hits", "kinds"}
        assert set(part["served"]) == WAYS
        assert part["sites"] == sum(part["served"].values()) + sum(part["refused"].values())
        assert all(type(count) is int and count > 0 for count in part["refused"].values())
        if document["traced"]:
            assert set(part["hits"]) == WAYS
            assert all(part["served"][way] for way, hits in part["hits"].items() if hits)
        else:
            assert part["hits"] is None
    assert all(type(module["name"]) is str for module in document["modules"])
    assert document["total"]["sites"] == sum(module["sites"] for module in document["modules"])
    for kind in ("served", "hits") if document["traced"] else ("served",):
        for way in WAYS:
            expected = sum(module[kind][way] for module in document["modules"])
            assert document["total"][kind][way] == expected, (kind, way)
    return document


def without_hits(row: dict[str, Any]) -> dict[str, Any]:
    kinds = {kind: own | {"hits": None} for kind, own in row["kinds"].items()}
    return row | {"hits": None, "kinds": kinds}


def nonzero(counted: dict[str, int]) -> dict[str, int]:
    return {way: count for way, count in counted.items() if count}


@dataclass(frozen=True, slots=True)
class Covered:
    """What a run with coverage left: the run, and its checked document."""

    run: Run
    document: Any

    @property
    def total(self) -> Any:
        return self.document["total"]


def covered(folder: Path, *arguments: str) -> Covered:
    """Run dtrap to its end with the coverage in a file."""
    file = folder / "coverage.json"
    result = run(f"--coverage={file}", *arguments)
    assert result.status == 0, result
    return Covered(result, checked(json.loads(file.read_text())))


def traced(folder: Path, command: Sequence[str | Path], said: str, *arguments: str) -> Covered:
    """Trace a target that waits; it is told `said`, and that nothing follows."""
    file = folder / "coverage.json"
    with target(command) as process:
        with armed(f"--coverage={file}", *arguments, "-p", str(process.pid)) as tracer:
            process.say(said)
            assert process.process.stdin is not None
            process.process.stdin.close()
            result = tracer.end()
        assert process.process.wait() == 0
    return Covered(result, checked(json.loads(file.read_text())))


ROUNDS: Final = 5
MIXED: Final = {
    "uprobes": ({"uprobe stepped": 37}, {"lock prefix": 3}, {"uprobe stepped": 37 * ROUNDS}),
    "traps": (
        {"out-of-line copy": 37, "rewritten copy": 3},
        {},
        {"out-of-line copy": 37 * ROUNDS, "rewritten copy": 3 * ROUNDS},
    ),
    "jumps": (
        {"out-of-line copy": 34, "jump": 3, "short jump": 3},
        {},
        {"out-of-line copy": 34 * ROUNDS, "jump": 3 * ROUNDS, "short jump": 3 * ROUNDS},
    ),
    "auto": (
        {"uprobe stepped": 37, "jump": 3},
        {},
        {"uprobe stepped": 37 * ROUNDS, "jump": 3 * ROUNDS},
    ),
}


@pytest.mark.parametrize("engine", SERVED_BY)
def test_every_function_and_every_call_of_a_known_program_is_in_the_table(
    triggers: Triggers, tmp_path: Path, engine: str
) -> None:
    program = f"pid$target:a.out:plain_*:entry, pid$target:a.out:locked_*:entry {COUNT}"
    command = [triggers.path("mixed_entries")]
    found = traced(tmp_path, command, "x" * ROUNDS, *SERVED_BY[engine], "-n", program)
    served, refused, hits = MIXED[engine]
    assert [module["name"] for module in found.document["modules"]] == ["mixed_entries"]
    assert nonzero(found.total["served"]) == served
    assert found.total["refused"] == refused
    assert nonzero(found.total["hits"]) == hits
    assert sum(hits.values()) == sum(counts(found.run.stdout).values())


@pytest.mark.parametrize("engine", SERVED_BY)
def test_hits_of_each_module_equal_the_counts_of_its_probes(tmp_path: Path, engine: str) -> None:
    program = "pid$target:::entry { @[probemod] = count(); }"
    found = covered(
        tmp_path,
        "-q",
        *SERVED_BY[engine],
        "-n",
        program,
        "-o",
        f"{tmp_path}/out",
        "-c",
        "/usr/bin/python3 -V",
    )
    counted = counts((tmp_path / "out").read_text())
    assert len(counted) >= 2 and sum(counted.values()) > 1000
    hits = {module["name"]: sum(module["hits"].values()) for module in found.document["modules"]}
    assert nonzero(hits) == counted
    by_kernel = {way for way, count in found.total["hits"].items() if count and way.startswith("uprobe")}
    by_trap = {way for way, count in found.total["hits"].items() if count and way.endswith("copy")}
    by_jump = {way for way, count in found.total["hits"].items() if count and way.endswith("jump")}
    assert bool(by_kernel) == (engine in ("uprobes", "auto"))
    assert bool(by_jump) == (engine in ("jumps", "auto"))
    assert by_trap or engine != "traps"


@pytest.mark.parametrize("engine", SERVED_BY)
def test_sites_are_those_that_match_and_those_left_out(tmp_path: Path, engine: str) -> None:
    program = f"pid$target:libc.so.6::entry {COUNT}"
    found = covered(tmp_path, "-v", *SERVED_BY[engine], "-n", program, "-c", "true")
    lines = found.run.stderr.splitlines()
    (matched,) = (int(line.split()[-2]) for line in lines if " matched " in line)
    unbound = sum(count for reason, count in found.total["refused"].items() if "IFUNC" in reason)
    assert found.total["sites"] == matched + unbound
    assert unbound > 0


def test_a_function_that_two_descriptions_leave_out_counts_once(tmp_path: Path) -> None:
    once = ["-n", f"pid$target:libc.so.6:str*:entry {COUNT}"]
    first = covered(tmp_path, "-l", *once, "-c", "true")
    second = covered(tmp_path, "-l", *once, *once, "-c", "true")
    assert first.total == second.total
    assert any("IFUNC" in reason for reason in first.total["refused"])


@pytest.mark.parametrize("engine", SERVED_BY)
def test_hits_of_eight_threads_are_exact(triggers: Triggers, tmp_path: Path, engine: str) -> None:
    command = f"{triggers.path('eight_threads')} 2000"
    program = f"pid$target:a.out:work:entry {COUNT}"
    found = covered(tmp_path, "-q", *SERVED_BY[engine], "-n", program, "-c", command)
    assert sum(found.total["hits"].values()) == 8 * 2000


@pytest.mark.parametrize("engine", SERVED_BY)
def test_hits_outlive_a_process_that_is_killed(triggers: Triggers, tmp_path: Path, engine: str) -> None:
    program = f"pid$target:a.out:work:entry {COUNT}"
    command = f"{triggers.path('calls_forever')} 3000 killed"
    found = covered(tmp_path, "-q", *SERVED_BY[engine], "-n", program, "-c", command)
    assert sum(found.total["hits"].values()) == counts(found.run.stdout)["work"] == 3000


def test_a_moved_probe_has_the_way_of_the_instruction_that_it_is_moved_to(tmp_path: Path) -> None:
    # The move is stepped, the push behind it is emulated; who reads rip forbids moving.
    body = 'asm("mov %rdi,%rax; push %rbx; pop %rbx; ret")'
    source = tmp_path / "moved.c"
    source.write_text(
        f"__attribute__((naked, noinline)) long moved(long n) {{ {body}; }}\n"
        "int main(void) { for (int i = 0; i < 50; i++) if (moved(i) != i) return 1; return 0; }\n"
    )
    probe, command = "pid$target:a.out:moved:entry", str(compile_c(source, tmp_path / "moved"))
    for predicate, way in (("", "uprobe emulated"), ("/uregs[R_RIP] != 0/", "uprobe stepped")):
        words = ("-qx", "engine=uprobes", "-n", f"{probe} {predicate} {COUNT}", "-c", command)
        assert nonzero(covered(tmp_path, *words).total["hits"]) == {way: 50}


@pytest.mark.parametrize("engine", SERVED_BY)
def test_hits_are_counted_before_predicates_and_beside_clauses_of_all_kinds(
    triggers: Triggers, tmp_path: Path, engine: str
) -> None:
    program = """
        pid$target:a.out:work:entry /arg1 == 7/ { @[arg0] = count(); }
        pid$target:a.out:work:entry /0/ { printf("%s %s", copyinstr(arg0), probefunc); self->x = arg1; }
    """
    command = f"{triggers.path('eight_threads')} 100"
    found = covered(tmp_path, "-q", *SERVED_BY[engine], "-n", program, "-c", command)
    assert sum(found.total["hits"].values()) == 800
    assert sum(counts(found.run.stdout).values()) == 8


def test_no_jump_is_in_code_that_runs_on_small_stacks(tmp_path: Path) -> None:
    source = tmp_path / "split.c"
    source.write_text(
        "int deeper(int n) { volatile char room[64]; room[0] = n; return n ? deeper(n - 1) + room[0] : 0; }\n"
        "int main(void) { return deeper(20) != 210; }\n"
    )
    program = compile_c(source, tmp_path / "split", ("-O1", "-fsplit-stack"))
    words = (*SERVED_BY["jumps"], "-n", f"pid$target:a.out:deeper:entry {COUNT}", "-c", str(program))
    found = covered(tmp_path, "-q", *words)
    assert found.total["trapped"] == {"its code runs on small stacks": 1}
    assert sum(found.total["hits"].values()) == 21


def test_hits_are_counted_where_probes_are_attached_one_by_one(triggers: Triggers, tmp_path: Path) -> None:
    words = ("-n", f"pid$target:a.out:work:entry {COUNT}", "-c", f"{triggers.path('eight_threads')} 1000")
    found = covered(tmp_path, "-qx", "engine=uprobes", "-x", "singly", *words)
    assert sum(found.total["hits"].values()) == counts(found.run.stdout)["work"] == 8000


@pytest.mark.parametrize("engine", SERVED_BY)
def test_listing_foresees_what_a_run_then_does_and_runs_nothing(
    triggers: Triggers, tmp_path: Path, engine: str
) -> None:
    touched = tmp_path / "touched"
    words = (*SERVED_BY[engine], "-n", f"pid$target:libc.so.6::entry {COUNT}", "-c", f"touch {touched}")
    listed = covered(tmp_path, "-l", *words)
    assert not touched.exists()
    assert not listed.document["traced"]
    done = covered(tmp_path, "-q", *words)
    assert touched.exists()
    for part, other in zip(listed.document["modules"], done.document["modules"], strict=True):
        assert without_hits(part) == without_hits(other)


def test_listing_a_running_process_leaves_it_untraced_and_running(triggers: Triggers, tmp_path: Path) -> None:
    with target([triggers.path("family")]) as process:
        found = covered(tmp_path, "-l", "-n", "pid$target:a.out:work:entry", "-p", str(process.pid))
        status = Path(f"/proc/{process.pid}/status").read_text()
        assert "TracerPid:\t0\n" in status and "State:\tT" not in status
        process.say()
        assert process.end().status == 0
    assert found.total["sites"] == 1


def test_compiling_only_foresees_as_well(tmp_path: Path) -> None:
    words = ("-n", f"pid$target:libc.so.6:malloc:entry {COUNT}", "-c", "true")
    assert covered(tmp_path, "-e", *words).document == covered(tmp_path, "-l", *words).document


def test_probes_that_are_never_armed_are_told_as_they_would_be_served(tmp_path: Path) -> None:
    words = ("-n", f"BEGIN {{ exit(0); }} pid$target:libc.so.6:malloc:entry {COUNT}", "-c", "true")
    for engine in SERVED_BY:
        found = covered(tmp_path, "-q", *SERVED_BY[engine], *words)
        assert (sum(found.total["served"].values()), sum(found.total["hits"].values())) == (1, 0), engine


def test_a_library_that_is_loaded_twice_has_the_sites_of_both(triggers: Triggers, tmp_path: Path) -> None:
    program = f"pid$target:libm.so.6:cbrt:entry {COUNT}"
    found = traced(tmp_path, [triggers.path("loaded_twice")], "\n", "-x", "engine=uprobes", "-n", program)
    assert found.total["sites"] == sum(found.total["served"].values()) == 2


@pytest.mark.parametrize("engine", SERVED_BY)
def test_returns_and_offsets_have_rows_of_their_own(triggers: Triggers, tmp_path: Path, engine: str) -> None:
    program = f"pid$target:a.out:work: {COUNT}"
    words = (*SERVED_BY[engine], "-n", program, "-c", f"{triggers.path('eight_threads')} 10")
    listed, done = covered(tmp_path, "-l", *words), covered(tmp_path, "-q", *words)
    kinds = done.total["kinds"]
    assert {kind: sum(own["hits"].values()) for kind, own in kinds.items()} == {
        "entry": 80,
        "return": 80,
        "offset": 80 * kinds["offset"]["sites"],
    }
    sites = {kind: own["sites"] for kind, own in listed.total["kinds"].items()}
    assert sites == {kind: own["sites"] for kind, own in kinds.items()}


@pytest.mark.parametrize(
    ("entry", "offset"),
    [
        ("{ @a = count(); }", "{ @b = count(); }"),
        ("{ @a = count(); }", "{ @b = count(); @c[arg0] = count(); }"),
        ("{ self->ready = 1; @a = count(); }", "/self->ready/ { @b = count(); self->ready = 0; }"),
        ("{ @a = count(); @c[ustackdepth] = count(); }", "{ @b = count(); @c[uregs[R_RDI]] = count(); }"),
    ],
    ids=["counters", "a key", "what the one leaves to the other", "registers"],
)
def test_several_probes_at_one_address_are_served_by_one_jump(
    triggers: Triggers, tmp_path: Path, entry: str, offset: str
) -> None:
    program = f"""
        self int ready;
        pid$target:a.out:work:0 {offset}
        pid$target:a.out:work:entry {entry}
        END {{ printa("%@d\\n", @a); printa("%@d\\n", @b); }}
    """
    words = ("-q", "-n", program, "-c", f"{triggers.path('eight_threads')} 100")
    trapped = covered(tmp_path, *SERVED_BY["traps"], *words)
    jumped = covered(tmp_path, *SERVED_BY["jumps"], *words)
    assert jumped.run.stdout == trapped.run.stdout
    assert jumped.run.stdout.startswith("800\n")
    for kind in ("entry", "offset"):
        own = jumped.total["kinds"][kind]
        assert (nonzero(own["served"]), nonzero(own["hits"])) == ({"jump": 1}, {"jump": 800})


def test_text_follows_what_the_program_prints_and_leaves_that_alone(triggers: Triggers) -> None:
    command = f"{triggers.path('eight_threads')} 10"
    words = ("-qx", "engine=uprobes", "-n", f"pid$target:a.out:work:entry {COUNT}", "-c", command)
    plain, told = run(*words), run("--coverage", *words)
    assert told.stdout == plain.stdout
    assert told.stderr.splitlines() == [
        *plain.stderr.splitlines(),
        "dtrap: coverage",
        "                    sites         hits",
        "eight_threads           1           80",
        "  uprobe stepped        1           80",
    ]


def test_a_run_without_sites_has_an_empty_table(tmp_path: Path) -> None:
    found = covered(tmp_path, "-qn", "BEGIN { exit(0); }")
    assert (found.document["modules"], found.total["sites"]) == ([], 0)


def test_error_of_a_file_that_cannot_be_written_comes_before_anything_is_run(tmp_path: Path) -> None:
    touched, file = tmp_path / "touched", tmp_path / "missing" / "coverage.json"
    result = run(f"--coverage={file}", "-n", f"pid$target:libc.so.6::entry {COUNT}", "-c", f"touch {touched}")
    message = f"dtrap: failed to open {file} for write: No such file or directory\n"
    assert (result.status, result.stdout, result.stderr) == (1, "", message)
    assert not touched.exists()


def test_error_of_a_full_disk() -> None:
    result = run("--coverage=/dev/full", "-qn", "BEGIN { exit(0); }")
    assert (result.status, result.stderr) == (
        1,
        "dtrap: failed to write /dev/full: No space left on device\n",
    )


def test_an_ordinary_user_is_told_of_the_engine_that_serves(triggers: Triggers, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    nobody = (*as_nobody(), sys.executable, "-m", "dlang.cli")
    words = ("--coverage", "-qn", f"pid$target:libc.so.6:malloc:entry {COUNT}", "-c", "true")
    result = run(*words, executable=nobody)
    assert result.status == 0, result
    assert "jump" in result.stderr and "uprobe" not in result.stderr


def test_the_documented_example_is_as_documented() -> None:
    text = DOCUMENT.read_text()
    example = text[text.index("```json\n") + 8 : text.rindex("```")]
    checked(json.loads(example))
    assert all(f"| `{way}` |" in text for way in WAYS)
