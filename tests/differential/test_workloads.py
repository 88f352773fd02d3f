"""Every function of the C library, counted in real programs: the engines agree, and the programs notice nothing."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.differential.engines import ENGINES, FIXED_ADDRESSES, SAME_CALLS, counted
from tests.differential.workloads import WORKLOADS
from tests.harness.command import environment

pytestmark = pytest.mark.requires_uprobes

ALL_OF_LIBC = "pid$target:libc.so.6::entry { @[probefunc] = count(); }"


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.__name__)
def test_every_engine_counts_the_same_calls_of_every_function(
    workload: Callable[[Path], list[str]], tmp_path: Path
) -> None:
    command = workload(tmp_path)
    untraced = subprocess.run(
        command, env=environment(**SAME_CALLS), capture_output=True, text=True, check=True
    ).stdout
    of = {
        engine: counted(engine, ALL_OF_LIBC, command, tmp_path, executable=FIXED_ADDRESSES)
        for engine in ENGINES
    }
    assert untraced
    assert [each.printed for each in of.values()] == [untraced] * len(ENGINES)
    assert sum(of["auto"].counts.values()) > 1000
    assert of["auto"].counts == of["jumps"].counts == of["traps"].counts
    # What the kernel would execute wrongly is left out there, by name; everything else is counted.
    missing = of["auto"].counts.keys() - of["uprobes"].counts.keys()
    assert missing <= of["uprobes"].left_out - of["auto"].left_out
    assert of["uprobes"].counts == {
        name: count for name, count in of["auto"].counts.items() if name not in missing
    }
