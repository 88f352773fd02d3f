"""Commands that call the C library the same number of times in every run, whoever looks on."""

from pathlib import Path

_DIRECTORIES, _FILES = 6, 5

_SCRIPT = """\
import json

rows = [{"n": i, "text": str(i) * 3, "list": list(range(i % 7))} for i in range(60)]
text = json.dumps(rows)
assert json.loads(text) == rows
print(len(text))
"""

_STATEMENTS = """\
create table t(a integer primary key, b text);
insert into t(b) values ('one'), ('two'), ('three');
insert into t(b) select b || a from t;
select b, count(*) from t group by b order by b;
update t set b = upper(b) where a % 2;
select sum(length(b)) from t;
"""


def list_files(folder: Path) -> list[str]:
    """`ls -R` of a tree made for it."""
    tree = folder / "tree"
    for directory in range(_DIRECTORIES):
        for place in (tree / f"d{directory}", tree / f"d{directory}" / "e"):
            place.mkdir(parents=True, exist_ok=True)
            for file in range(_FILES):
                (place / f"f{file}").write_text("x")
    return ["ls", "-R", str(tree)]


def run_script(folder: Path) -> list[str]:
    """A Python script; without site, and without writing byte code, so that the first run is like the second."""
    return _python(folder, _SCRIPT)


def query(folder: Path) -> list[str]:
    """SQL statements on a database in memory, through Python's sqlite3, which needs no package of its own."""
    text = (
        "import sqlite3\n"
        "database = sqlite3.connect(':memory:')\n"
        f"for statement in {_STATEMENTS.splitlines()!r}:\n"
        "    print(database.execute(statement).fetchall())\n"
    )
    return _python(folder, text)


def _python(folder: Path, text: str) -> list[str]:
    # A folder of its own: Python lists the one that the script is in.
    place = folder / "script"
    place.mkdir(exist_ok=True)
    (place / "script.py").write_text(text)
    return ["/usr/bin/python3", "-S", "-B", str(place / "script.py")]


WORKLOADS = (list_files, run_script, query)
