"""`python -m bench [WORD…]`: run all measurements or those named, print them, keep them in bench/results."""

import shutil
import sys
from collections.abc import Callable, Iterator

from bench.hits import hits, returns
from bench.jumps import jump_hits, jump_programs
from bench.process import BPFTRACE, CommandFailed
from bench.results import Row, keep, table
from bench.stacks import stacks
from bench.start import arm_and_leave, start_up
from bench.traps import memory, trap_arming, trap_hits

MEASUREMENTS: dict[str, Callable[[], Iterator[Row]]] = {
    "start": start_up,
    "arm": arm_and_leave,
    "hits": hits,
    "returns": returns,
    "stacks": stacks,
    "traps": trap_hits,
    "trap-arming": trap_arming,
    "memory": memory,
    "jumps": jump_hits,
    "jump-programs": jump_programs,
}


def main(words: list[str]) -> int:
    """Run the measurements named, or all; 1 if one of them fails, 2 for a word that is none."""
    if unknown := set(words) - MEASUREMENTS.keys():
        print(
            f"bench: no such measurement: {', '.join(sorted(unknown))}; there are {', '.join(MEASUREMENTS)}"
        )
        return 2
    if shutil.which(BPFTRACE) is None:
        print("bench: the peer is missing: apt-get install bpftrace")
        return 1
    rows: list[Row] = []
    try:
        for name in words or MEASUREMENTS:
            rows.extend(MEASUREMENTS[name]())
    except CommandFailed as failed:
        print(f"bench: {failed}")
        return 1
    print(table(rows))
    print(f"kept in {keep(rows)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
