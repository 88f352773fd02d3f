"""What the attach tests share: a running trigger, its functions' places, a program that counts by cookie."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from backend.linux import bpf
from tests.uprobes import bpf_assembler as asm

GET_ATTACH_COOKIE, MAP_LOOKUP_ELEM = 174, 1


class Trigger:
    """A trigger that says a line for each byte it is sent."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.pid = process.pid

    def go(self) -> None:
        """Send a byte and wait for the line that says that its work is done."""
        assert self._process.stdin is not None
        self._process.stdin.write(b".")
        self.listen()

    def finish(self) -> int:
        """Send a byte, close the standard input and return the exit status."""
        self._process.communicate(b".", timeout=60)
        return self._process.returncode

    def listen(self) -> None:
        """Wait for one line."""
        assert self._process.stdout is not None
        assert self._process.stdout.readline(), "the trigger has ended"


@contextmanager
def started(*command: str) -> Iterator[Trigger]:
    """Run a trigger until exit of the context, from the moment when it says that it is ready."""
    environment = {**os.environ, "TRIGGER_WAIT": "1"}
    with subprocess.Popen(
        command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as process:
        trigger = Trigger(process)
        try:
            trigger.listen()
            yield trigger
        finally:
            process.kill()


def function_offsets(executable: Path) -> dict[str, int]:
    """Return the FILE offset of every function in .text, as nm and readelf see them."""
    sections = subprocess.run(
        ["readelf", "-SW", str(executable)], check=True, capture_output=True, text=True
    ).stdout
    line = next(line for line in sections.splitlines() if " .text " in line)
    address, offset = (int(field, 16) for field in line.partition("PROGBITS")[2].split()[:2])
    symbols = subprocess.run(["nm", str(executable)], check=True, capture_output=True, text=True).stdout
    rows = (line.split() for line in symbols.splitlines())
    return {row[2]: int(row[0], 16) - address + offset for row in rows if len(row) == 3 and row[1] in "Tt"}


def counters(entries: int) -> int:
    """Return the fd of a per-CPU array of 8-byte counters."""
    return bpf.map_create(bpf.MapKind.PERCPU_ARRAY, 4, 8, entries, name="counters")


def counting_program(map_fd: int) -> bytes:
    """Return a program that adds one to the counter whose index is the attach cookie."""
    return (
        asm.call(GET_ATTACH_COOKIE)
        + asm.instruction(0x63, asm.R10, asm.R0, -4)  # u32 at fp-4 := cookie
        + asm.load_map(asm.R1, map_fd, asm.MAP_FD)
        + asm.move_register(asm.R2, asm.R10)
        + asm.add(asm.R2, -4)
        + asm.call(MAP_LOOKUP_ELEM)
        + asm.jump_if_equal(asm.R0, 0, 2)
        + asm.move(asm.R1, 1)
        + asm.atomic64(asm.R0, 0, asm.R1, asm.ADD)
        + asm.move(asm.R0, 0)
        + asm.leave()
    )


def counts(map_fd: int, entries: int) -> dict[int, int]:
    """Return the counters that are not zero, summed over CPUs, by index."""
    size = bpf.user_value_size(bpf.MapKind.PERCPU_ARRAY, 8)
    sums = {
        int.from_bytes(key, "little"): sum(memoryview(value).cast("Q"))
        for key, value in bpf.map_items(map_fd, 4, size, entries)
    }
    return {index: count for index, count in sums.items() if count}
