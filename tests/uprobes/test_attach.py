"""Attaching: exact counts by cookie in both ways, refused places found, everything detached afterwards."""

import os
import resource
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.errors import ProcessGone
from backend.linux import bpf, bpf_features, libbcc
from backend.uprobes import attach
from backend.uprobes.attach import Point
from tests.harness.triggers import Triggers
from tests.uprobes.counting import counters, counting_program, counts, function_offsets, started

pytestmark = pytest.mark.requires_uprobes

ENTRIES = 64
LIBC = Path("/lib/x86_64-linux-gnu/libc.so.6")


@pytest.fixture
def map_fd() -> Iterator[int]:
    fd = counters(ENTRIES)
    yield fd
    os.close(fd)


@pytest.fixture
def program(map_fd: int) -> Iterator[int]:
    fd = bpf.prog_load(
        bpf.ProgramKind.KPROBE, counting_program(map_fd), "count", bpf.AttachType.TRACE_UPROBE_MULTI
    )
    yield fd
    os.close(fd)


@pytest.fixture(scope="module")
def mixed(triggers: Triggers) -> Path:
    return triggers.path("mixed_entries")


def points_of(executable: Path, prefix: str) -> list[Point]:
    """Return a point for each function whose name starts with `prefix`, numbered in the order of names."""
    offsets = function_offsets(executable)
    names = sorted(name for name in offsets if name.startswith(prefix))
    return [Point(offsets[name], number) for number, name in enumerate(names)]


def test_one_link_counts_every_function_by_its_cookie(mixed: Path, map_fd: int, program: int) -> None:
    points = points_of(mixed, "plain_")
    with started(str(mixed)) as trigger:
        with attach.attach_together(program, str(mixed), points, trigger.pid) as attached:
            assert len(attached.links) == 1
            assert attached.refused == ()
            for _ in range(3):
                trigger.go()
        assert counts(map_fd, ENTRIES) == dict.fromkeys(range(37), 3)


def test_refused_places_are_named_and_all_others_are_attached(mixed: Path, map_fd: int, program: int) -> None:
    plain, locked = points_of(mixed, "plain_"), points_of(mixed, "locked_")
    scattered = sorted([*plain, *(Point(p.offset, p.cookie + 50) for p in locked)], key=lambda p: p.offset)
    with started(str(mixed)) as trigger:
        with attach.attach_together(program, str(mixed), scattered, trigger.pid) as attached:
            assert {refused.point.cookie for refused in attached.refused} == {50, 51, 52}
            assert {refused.errno for refused in attached.refused} == {bpf.ENOTSUPP}
            trigger.go()
        assert counts(map_fd, ENTRIES) == dict.fromkeys(range(37), 1)


def test_search_gives_up_after_its_bound_and_names_what_is_left(
    mixed: Path, program: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attach, "MAX_ATTEMPTS", 1)
    points = points_of(mixed, "plain_") + points_of(mixed, "locked_")
    with (
        started(str(mixed)) as trigger,
        attach.attach_together(program, str(mixed), points, trigger.pid) as attached,
    ):
        assert attached.links == ()
        assert len(attached.refused) == 40
        trigger.go()


def test_nothing_to_attach_makes_no_link(mixed: Path, program: int) -> None:
    with attach.attach_together(program, str(mixed), [], os.getpid()) as attached:
        assert attached.links == ()


def test_no_hit_is_counted_and_no_byte_is_left_after_detaching(
    mixed: Path, map_fd: int, program: int
) -> None:
    points = points_of(mixed, "plain_")
    with started(str(mixed)) as trigger:
        before = text_of(trigger.pid, mixed)
        with attach.attach_together(program, str(mixed), points, trigger.pid):
            assert text_of(trigger.pid, mixed) != before
        assert text_of(trigger.pid, mixed) == before
        trigger.go()
        assert counts(map_fd, ENTRIES) == {}


def test_killed_holder_is_detached_once_it_is_reaped(mixed: Path, program: int) -> None:
    points = points_of(mixed, "plain_")
    with started(str(mixed)) as trigger:
        before = text_of(trigger.pid, mixed)
        read_end, write_end = os.pipe()
        holder = os.fork()
        if holder == 0:
            try:
                attach.attach_together(program, str(mixed), points, trigger.pid)
                os.write(write_end, b".")
                signal.pause()
            finally:
                os._exit(1)
        os.read(read_end, 1)
        assert text_of(trigger.pid, mixed) != before
        os.kill(holder, signal.SIGKILL)
        os.waitpid(holder, 0)
        assert text_of(trigger.pid, mixed) == before
        os.close(read_end)
        os.close(write_end)


def text_of(pid: int, executable: Path) -> bytes:
    """Return the bytes of the executable mapping of `executable` in the process."""
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps:
        line = next(line for line in maps if "r-xp" in line and line.rstrip().endswith(str(executable)))
    start, end = (int(part, 16) for part in line.split()[0].split("-"))
    with open(f"/proc/{pid}/mem", "rb") as memory:
        memory.seek(start)
        return memory.read(end - start)


def test_only_the_given_process_is_counted(mixed: Path, map_fd: int, program: int) -> None:
    points = points_of(mixed, "plain_00")
    with started(str(mixed)) as traced, started(str(mixed)) as other:
        with attach.attach_together(program, str(mixed), points, traced.pid):
            other.go()
            traced.go()
            other.go()
        assert counts(map_fd, ENTRIES) == {0: 1}


def test_no_pid_means_every_process(mixed: Path, map_fd: int, program: int) -> None:
    points = points_of(mixed, "plain_00")
    with started(str(mixed)) as first, started(str(mixed)) as second:
        with attach.attach_together(program, str(mixed), points, None):
            first.go()
            second.go()
        assert counts(map_fd, ENTRIES) == {0: 2}


@pytest.mark.parametrize("way", ["together", "singly"])
def test_all_threads_of_the_process_are_counted(
    triggers: Triggers, map_fd: int, program: int, way: str
) -> None:
    executable = triggers.path("eight_threads")
    point = [Point(function_offsets(executable)["work"], 7)]
    with started(str(executable), "500") as trigger:
        if way == "together":
            attached = attach.attach_together(program, str(executable), point, trigger.pid)
        else:
            code = counting_program(map_fd)
            attached = attach.attach_singly(code, "count", str(executable), point, trigger.pid)
        with attached:
            assert trigger.finish() == 0
    assert counts(map_fd, ENTRIES) == {7: 4000}


def test_kernel_says_that_its_filter_counts_processes_when_it_does(
    triggers: Triggers, map_fd: int, program: int
) -> None:
    """The two calls that must fail agree with what eight threads, none of them the first one, show."""
    executable = triggers.path("eight_threads")
    point = [Point(function_offsets(executable)["work"], 0)]
    with (
        started(str(executable), "1") as trigger,
        attach.attach_together(program, str(executable), point, trigger.pid),
    ):
        trigger.finish()
    counts_processes = counts(map_fd, ENTRIES) == {0: 8}
    answer = bpf_features.uprobe_multi_support()
    assert (answer is bpf_features.UprobeMulti.PROCESS_FILTER) == counts_processes


def test_singly_each_place_has_its_own_cookie_and_refusals_are_named(mixed: Path, map_fd: int) -> None:
    points = [*points_of(mixed, "plain_0")[:4], Point(points_of(mixed, "locked_")[0].offset, 50)]
    with started(str(mixed)) as trigger:
        before = text_of(trigger.pid, mixed)
        with attach.attach_singly(
            counting_program(map_fd), "count", str(mixed), points, trigger.pid
        ) as attached:
            assert [refused.point.cookie for refused in attached.refused] == [50]
            assert len(attached.links) == 4
            trigger.go()
            trigger.go()
        assert counts(map_fd, ENTRIES) == dict.fromkeys(range(4), 2)
        assert text_of(trigger.pid, mixed) == before


def test_singly_raises_the_soft_limit_of_open_files(
    mixed: Path, map_fd: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Whatever earlier tests left open must not be in the way.
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    monkeypatch.setattr(attach, "SPARE_FDS", highest + attach.SPARE_FDS)
    resource.setrlimit(resource.RLIMIT_NOFILE, (attach.SPARE_FDS, hard))
    try:
        with started(str(mixed)) as trigger:
            code, points = counting_program(map_fd), points_of(mixed, "plain_00")
            with attach.attach_singly(code, "count", str(mixed), points, trigger.pid) as attached:
                assert len(attached.links) == 1
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == attach.SPARE_FDS + 1
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_what_libbcc_prints_becomes_the_error_and_stays_off_the_terminal(
    mixed: Path, map_fd: int, capfd: pytest.CaptureFixture[str]
) -> None:
    code = counting_program(map_fd)
    fd = bpf.prog_load(bpf.ProgramKind.KPROBE, code, "count")
    with started(str(mixed)) as trigger:
        offset = points_of(mixed, "locked_")[0].offset
        with pytest.raises(OSError, match=r"libbcc cannot attach at .*mixed_entries\+0x"):
            libbcc.attach_uprobe(fd, str(mixed), offset, trigger.pid)
    os.close(fd)
    assert capfd.readouterr().err == ""


def test_error_missing_file_is_not_taken_for_a_refused_place(mixed: Path, program: int) -> None:
    with pytest.raises(FileNotFoundError):
        attach.attach_together(program, f"{mixed}.gone", [Point(0x1000, 0), Point(0x1001, 1)], None)


def test_error_missing_process_is_not_taken_for_a_refused_place(mixed: Path, program: int) -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    with pytest.raises(ProcessGone) as raised:
        attach.attach_together(program, str(mixed), points_of(mixed, "plain_"), child.pid)
    assert raised.value.pid == child.pid


def test_every_function_of_libc_is_attached_in_few_links(map_fd: int, program: int) -> None:
    listing = subprocess.run(
        ["nm", "-D", "--defined-only", str(LIBC)], check=True, capture_output=True, text=True
    ).stdout
    rows = (line.split() for line in listing.splitlines())
    offsets = sorted({int(row[0], 16) for row in rows if row[1] in "TW"})
    points = [Point(offset, index % ENTRIES) for index, offset in enumerate(offsets)]
    with subprocess.Popen(["cat"], bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as cat:
        assert cat.stdin is not None
        assert cat.stdout is not None
        cat.stdin.write(b"a")
        assert cat.stdout.read(1) == b"a"
        with attach.attach_together(program, str(LIBC), points, cat.pid) as attached:
            assert len(attached.refused) < 10
            assert len(attached.links) < 60
            cat.stdin.write(b"b")
            assert cat.stdout.read(1) == b"b"
        cat.stdin.close()
        assert cat.wait() == 0
    assert sum(counts(map_fd, ENTRIES).values()) >= 2  # read and write at least
