"""Libraries that a process loads while it is traced: what names them takes effect then, on either engine."""

import re
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


def run_through(triggers: Triggers, library: Path, engine: str, program: str) -> tuple[list[str], list[str]]:
    """The lines said from when the library is loaded for the first time, and those printed."""
    command = f"{triggers.path('loads_plugin')} {library}"
    with subprocess.Popen(
        [DTRAP, "-Z", "-x", f"engine={engine}", "-n", program, "-c", command],
        env=environment(**WAIT),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as dtrap:
        assert dtrap.stdin and dtrap.stdout and dtrap.stderr
        for line in dtrap.stderr:
            if line.startswith(f"dtrap: {library.name} loaded: "):
                break
        else:
            pytest.fail("it never says that the library was loaded")
        dtrap.stdin.write("\n")
        dtrap.stdin.flush()
        output = dtrap.stdout.read().split("\n")
        said = [line.strip(), *map(str.strip, dtrap.stderr)]
        assert dtrap.wait() == 0
    return said, output


# The fasttrap engine holds the process meanwhile; uprobes come when the constructor has run, the first time.
@pytest.mark.parametrize(("engine", "missed"), [("fasttrap", 0), ("uprobes", 1)])
@pytest.mark.requires_uprobes
def test_functions_of_a_library_loaded_later_are_traced_each_time_that_it_is_loaded(
    triggers: Triggers, plugin: Path, engine: str, missed: int
) -> None:
    _, output = run_through(triggers, plugin, engine, PROGRAM)
    steps = LOADS * (CALLS + 1) - missed
    counted = {" ".join(line.split()[:-1]): line.split()[-1] for line in output if line.startswith("  ")}
    assert (counted["plugin_step"], counted["the second clause"], counted["returned"]) == (str(steps),) * 3


MANY = 8500
LEAST = """
    pid$target:libmany.so:f[0-9]*:entry { @[probefunc] = count(); @least[probefunc] = min(7); }
    END { printa("%s %@d %@d\\n", @, @least); }
"""
SPREAD = "pid$target:libmany.so:f[0-9]*:entry { @[probefunc] = quantize(1); }"


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library whose `plugin_step` calls each of its MANY other functions once."""
    folder = tmp_path_factory.mktemp("many")
    functions = "".join(f"NOINLINE void f{number}(void) {{ STEP; }}\n" for number in range(MANY))
    calls = "".join(f"f{number}();" for number in range(MANY))
    (folder / "many.c").write_text(
        "#define NOINLINE __attribute__((noinline))\n"
        '#define STEP __asm__ volatile("nop; nop; nop; nop; nop")\n'
        f"{functions}long plugin_step(long n) {{ {calls} return n + 1; }}\n"
    )
    return compile_c(folder / "many.c", folder / "libmany.so", ("-O0", *SHARED[1:]))


@pytest.mark.parametrize("engine", ["fasttrap", "uprobes"])
@pytest.mark.requires_uprobes
def test_a_library_loaded_later_may_have_thousands_of_functions(
    triggers: Triggers, many: Path, engine: str
) -> None:
    said, output = run_through(triggers, many, engine, LEAST)
    assert said[0] == f"dtrap: libmany.so loaded: {MANY} probes armed"
    counted = sorted(re.findall(r"f\d+ \d+ \d+", "\n".join(output)))
    assert counted == sorted(f"f{number} {LOADS * CALLS} 7" for number in range(MANY))


@pytest.mark.parametrize("engine", ["fasttrap", "uprobes"])
@pytest.mark.requires_uprobes
def test_functions_for_whose_cells_there_is_no_room_are_left_out_by_name(
    triggers: Triggers, many: Path, engine: str
) -> None:
    said, output = run_through(triggers, many, engine, SPREAD)
    armed = re.fullmatch(r"dtrap: libmany.so loaded: (\d+) probes armed", said[0])
    assert armed is not None, said[0]
    assert 4096 < int(armed[1]) < MANY
    assert "libmany.so:f" in said[1] and "no room for so many probes of libraries" in said[1]
    # Each distribution has one value with hits.
    assert sum(f"|@@@@ {LOADS * CALLS}" in re.sub("@+", "@@@@", line) for line in output) == int(armed[1])


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
