"""Libraries that a process loads while it is traced: what names them takes effect then, on either engine."""

import subprocess
from pathlib import Path

import pytest

from tests.harness.command import DTRAP, environment
from tests.harness.triggers import SOURCES, WAIT, Triggers, compile_c
from tests.integration.running import run

SHARED = ("-O1", "-fPIC", "-shared")
CALLS, LOADS = 5, 2
PROGRAM = """
    BEGIN { n = 100; }
    pid$target:lib*.so::entry { n++; self->entered = 1; @[probefunc] = count(); }
    pid$target:libplugin.so:plugin_step:entry /self->entered/ { @["the second clause"] = count(); }
    pid$target:ld-linux*:_dl_debug_state:entry { @["the linker's breakpoint"] = count(); }
    pid$target:libplugin.so:plugin_step:return { @["returned"] = count(); self->entered = 0; }
    END { printf("n %d\\n", n); }
"""


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_c(SOURCES / "plugin.c", tmp_path_factory.mktemp("plugin") / "libplugin.so", SHARED)


# The fasttrap engine holds the process meanwhile; uprobes come when the constructor has run, the first time.
@pytest.mark.parametrize(("engine", "missed"), [("fasttrap", 0), ("uprobes", 1)])
@pytest.mark.requires_uprobes
def test_functions_of_a_library_loaded_later_are_traced_each_time_that_it_is_loaded(
    triggers: Triggers, plugin: Path, engine: str, missed: int
) -> None:
    command = f"{triggers.path('loads_plugin')} {plugin}"
    with subprocess.Popen(
        [DTRAP, "-Z", "-x", f"engine={engine}", "-n", PROGRAM, "-c", command],
        env=environment(**WAIT),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as dtrap:
        assert dtrap.stdin and dtrap.stdout and dtrap.stderr
        for line in dtrap.stderr:
            if line.startswith("dtrap: libplugin.so loaded: "):
                break
        else:
            pytest.fail("it never says that the library was loaded")
        dtrap.stdin.write("\n")
        dtrap.stdin.flush()
        output = dtrap.stdout.read().split("\n")
        assert dtrap.wait() == 0
    steps = LOADS * (CALLS + 1) - missed
    counted = {" ".join(line.split()[:-1]): line.split()[-1] for line in output if line.startswith("  ")}
    assert (counted["plugin_step"], counted["the second clause"], counted["returned"]) == (str(steps),) * 3


@pytest.mark.parametrize("tier", ["trap", "auto"])
def test_stacks_through_a_library_are_whole_from_its_first_instruction_on(
    triggers: Triggers, tmp_path: Path, tier: str
) -> None:
    library = compile_c(SOURCES / "calls_back.c", tmp_path / "libcallsback.so", ("-O2", *SHARED[1:]))
    program = "pid$target:a.out:here:entry { @[ustack(6)] = count(); }"
    words = ("-q", "-x", "engine=fasttrap", "-x", f"tier={tier}", "-n", program)
    result = run(*words, "-c", f"{triggers.path('loads_caller')} {library}")
    *frames, count = result.stdout.split()
    assert [frame.partition("+")[0] for frame in frames] == [
        "loads_caller`here",
        *["libcallsback.so`deep"] * 3,
        "libcallsback.so`through",
        "loads_caller`main",
    ]
    assert count == "3"
