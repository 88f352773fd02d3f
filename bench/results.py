"""What a measurement is, and how measurements are shown and kept: a table, and bench/results/*.json."""

import json
import os
import platform
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

RESULTS: Final = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement: ours and, if there is one, the peer's, taken in the same run; both in `unit`."""

    name: str
    unit: str
    ours: float
    peer: str | None = None
    theirs: float | None = None

    @property
    def ratio(self) -> float | None:
        """Ours as a fraction of the peer's; None without a peer, or where its figure is not above 0."""
        return self.ours / self.theirs if self.theirs is not None and self.theirs > 0 else None


def table(rows: Iterable[Row]) -> str:
    """The rows as aligned text; the ratio first, since it alone can be compared between runs."""
    lines = [f"{'ratio':>7}  {'dtrap':>10}  {'peer':>10}  {'unit':<5}  measurement"]
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}" if row.ratio >= 0.1 else f"{row.ratio:.4f}"
        theirs = "" if row.theirs is None else f"{row.theirs:.1f}"
        against = f" (against {row.peer})" if row.peer else ""
        lines.append(f"{ratio:>7}  {row.ours:>10.1f}  {theirs:>10}  {row.unit:<5}  {row.name}{against}")
    return "\n".join(lines)


def keep(rows: Sequence[Row]) -> Path:
    """Write the rows with the commit, kernel and processor that they belong to; return the file."""
    commit = _output("git", "rev-parse", "--short=12", "HEAD")
    document = {
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "commit": commit + ("+" if _output("git", "status", "--porcelain", "--untracked-files=no") else ""),
        "kernel": platform.release(),
        "processor": processor(),
        "processors": len(os.sched_getaffinity(0)),
        "rows": [asdict(row) | {"ratio": row.ratio} for row in rows],
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{document['date']}-{commit}.json".replace(":", "")
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return path


def processor() -> str:
    """The processor's name as the kernel gives it, or "unknown"."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return "unknown"


def _output(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=RESULTS.parent)
    return done.stdout.strip() if done.returncode == 0 else "uncommitted"
