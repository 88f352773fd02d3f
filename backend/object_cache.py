"""Compiled objects kept between runs, so that a program that was compiled before needs no LLVM; and what was found
out of large files, which takes seconds.

LLVM is two thirds of a short run's memory and a third of its time. An object's key is all that decides it: the
IR, the machine, the version of LLVM, and how emit.py uses it. The folder is the user's own; what lies there is loaded
into the kernel, or run, so a folder that anybody else can write to is not used.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

import llvmlite

MOST_PROGRAMS: Final = 256
MOST_FILES: Final = 1024
MOST_BYTES: Final = 1 << 28
"""How many compiled objects are kept, what is known of how many files, and how much of either; when there are more the
oldest go. A program may have two hundred libraries, so one kind must not displace the other.
"""

_OF_FILE: Final = ".file"


def compiled(machine: str, ir_text: str, compile_: Callable[[], bytes]) -> bytes:
    """Return the object of this IR for a machine: the kept one, or what `compile_` makes, which is kept."""
    emit = str(Path(__file__).with_name("emit.py"))
    return _kept(f"{llvmlite.__version__} {machine}\n{ir_text}", (emit,), compile_, "")


def kept(stamp: str, makers: Iterable[str], make: Callable[[], bytes]) -> bytes:
    """Return what `make` finds out of a file, or found out in a run before for the same stamp.

    `makers` are the paths of the modules that decide what it is besides the stamp: with a change of one it is made
    anew.
    """
    return _kept(stamp, makers, make, _OF_FILE)


def _kept(stamp: str, makers: Iterable[str], make: Callable[[], bytes], kind: str) -> bytes:
    """Do as `kept`, among what has this suffix."""
    folder = _folder()
    if folder is None:
        return make()
    digest = hashlib.sha256()
    for maker in makers:
        digest.update(Path(maker).read_bytes())
    digest.update(stamp.encode())
    path = folder / (digest.hexdigest() + kind)
    with suppress(OSError):
        content = path.read_bytes()
        check, result = content[:32], content[32:]
        if hashlib.sha256(result).digest() == check:
            os.utime(path)
            return result
    result = make()
    with suppress(OSError):
        _keep(folder, path, hashlib.sha256(result).digest() + result)
    return result


def _folder() -> Path | None:
    """Return the folder, made if need be; None where it can't be had or isn't ours alone."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    folder = Path(base) / "dtrap"
    try:
        if not all(_is_safe(parent) for parent in folder.parents):
            return None
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return None
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022
    return folder if ours else None


def _is_safe(parent: Path) -> bool:
    """Say whether nobody else can put another folder in the place of one in this folder; one that isn't there yet
    will be ours."""
    try:
        found = parent.stat()
    except FileNotFoundError:
        return True
    sticky = bool(found.st_mode & stat.S_ISVTX)
    return found.st_uid in (0, os.geteuid()) and (sticky or not found.st_mode & 0o022)


def _keep(folder: Path, path: Path, content: bytes) -> None:
    """Write a file so that readers see all of it or nothing, and make room."""
    handle, temporary = tempfile.mkstemp(dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise
    _make_room(folder, path.suffix)


def _make_room(folder: Path, kind: str) -> None:
    """Remove the oldest of what has this suffix, as far as it is too many or too much."""
    found = ((entry.stat(), entry) for entry in folder.iterdir() if entry.suffix == kind)
    newest_first = sorted(found, key=lambda one: one[0].st_mtime, reverse=True)
    most, left = MOST_FILES if kind == _OF_FILE else MOST_PROGRAMS, MOST_BYTES
    for number, (status, entry) in enumerate(newest_first):
        left -= status.st_size
        if number >= most or left < 0:
            entry.unlink()
