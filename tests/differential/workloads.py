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
    script = folder / "script.py"
    script.write_text(_SCRIPT)
    return ["/usr/bin/python3", "-S", "-B", str(script)]


def query(folder: Path) -> list[str]:
    """SQL statements on a database in memory, through Python's sqlite3, which needs no package of its own."""
    script = folder / "query.py"
    script.write_text(
        "import sqlite3\n"
        "database = sqlite3.connect(':memory:')\n"
        f"for statement in {_STATEMENTS.splitlines()!r}:\n"
        "    print(database.execute(statement).fetchall())\n"
    )
    return ["/usr/bin/python3", "-S", "-B", str(script)]


WORKLOADS = (list_files, run_script, query)
