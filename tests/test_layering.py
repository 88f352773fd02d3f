"""The direction of imports, read from the source: which folder imports which, who imports what is foreign."""

import ast
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("dlang", "scratch", "backend")
COMMAND = "dlang.cli"
START = "dlang.start"
"""What runs the command."""

# Which of our folders a folder's modules may import, apart from their own.
ALLOWED = {"dlang": set[str](), "scratch": set[str](), "backend": {"dlang", "scratch"}}

# A foreign library and the modules that alone may import it (shell patterns over import names).
ONLY_IN = {
    "lark": ("dlang.parse",),
    "capstone": ("scratch.instruction",),
    "elftools": ("backend.symbols*",),
    "bcc": ("backend.linux.*",),
    # fasttrap.loop shares a structure with the native code that it makes; system calls stay in backend.linux.
    "ctypes": ("backend.linux.*", "backend.fasttrap.loop"),
    "llvmlite": ("dlang.*", "backend.*"),
    "rich": ("dlang.*",),
}


@cache
def modules() -> dict[str, ast.Module]:
    """Every module of the three folders, by its import name, parsed."""
    found = {}
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return found


def imports(name: str, *, at_import_time: bool = False) -> Iterator[str]:
    """The names of all modules that a module imports, wherever it says so, or only when itself is imported.

    `from a import b` gives a.b where that is a module of ours, else a. Imports for the type checker alone
    count for the folders' rules but not for cycles: they are never executed.
    """
    tree = modules()[name]
    nodes = _executed(tree) if at_import_time else ast.walk(tree)
    for node in nodes:
        match node:
            case ast.Import():
                yield from (alias.name for alias in node.names)
            case ast.ImportFrom(level=0, module=str(module)):
                for alias in node.names:
                    full = f"{module}.{alias.name}"
                    yield full if full in modules() else module
            case ast.ImportFrom():
                pytest.fail(f"{name}, line {node.lineno}: a relative import; name the module in full")


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run when the module is imported: not function bodies, not `if TYPE_CHECKING`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from _executed(child)


def folder_of(module: str) -> str:
    return module.partition(".")[0]


def test_folders_import_only_those_below_them() -> None:
    wrong = [
        f"{name} imports {imported}"
        for name in modules()
        if name != COMMAND
        for imported in imports(name)
        if folder_of(imported) in FOLDERS
        and folder_of(imported) not in ALLOWED[folder_of(name)] | {folder_of(name)}
    ]
    assert wrong == []


def test_nothing_imports_the_command_but_what_runs_it() -> None:
    assert [name for name in modules() if COMMAND in set(imports(name))] == [START]


def test_nothing_imports_the_tests_or_the_benchmarks() -> None:
    assert [
        name for name in modules() for imported in imports(name) if folder_of(imported) in ("tests", "bench")
    ] == []


@pytest.mark.parametrize("library", ONLY_IN)
def test_foreign_library_is_imported_only_by_its_owner(library: str) -> None:
    owners = ONLY_IN[library]
    wrong = [
        name
        for name in modules()
        if any(folder_of(imported) == library for imported in imports(name))
        and not any(fnmatchcase(name, owner) for owner in owners)
    ]
    assert wrong == []


def test_imports_have_no_cycle() -> None:
    below: dict[str, set[str]] = {
        name: {imported for imported in imports(name, at_import_time=True) if imported in modules()} - {name}
        for name in modules()
    }
    while leaves := {name for name, needed in below.items() if not needed}:
        below = {name: needed - leaves for name, needed in below.items() if name not in leaves}
    assert below == {}, "these import one another in a circle (or import one that does)"


def test_every_module_says_what_it_is_for() -> None:
    assert [name for name, tree in modules().items() if ast.get_docstring(tree) is None] == []
