"""The system's bcc library (Debian: python3-bpfcc), found by location, and the few of its functions that
dtrap calls.

PyPI's package `bcc` is about crystal lattices, and a virtual environment does not see Debian's dist-packages:
so the module is looked for in known directories, loaded without its package's __init__ (which pulls in much
more), and checked to be the right one. Loading libbcc.so.0 takes 0.1 s, as it links clang: nothing on the way
to a first probe may call `library()`, except where the kernel has no uprobe_multi.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType

from backend.errors import MissingPackage

PACKAGE = "python3-bpfcc"
INSTALL = "apt-get install python3-bpfcc"
DIRECTORIES = (
    "/usr/lib/python3/dist-packages/bcc",  # Debian and its descendants
    "/usr/local/lib/python3/dist-packages/bcc",
)
_ALIAS = "dtrap_system_bcc"  # the name it gets in sys.modules: `bcc` may be taken by the other package
_ENTRY, _RETURN = 0, 1  # enum bpf_probe_attach_type: BPF_PROBE_ENTRY, BPF_PROBE_RETURN


@functools.cache
def library() -> ctypes.CDLL:
    """Return libbcc, with prototypes set. Raises MissingPackage."""
    return load_from(DIRECTORIES)


def load_from(directories: Sequence[str]) -> ctypes.CDLL:
    """Return the libbcc of the first directory that holds a `libbcc.py` of the BPF Compiler Collection.
    Raises MissingPackage.
    """
    found = next((d for d in directories if os.path.isfile(f"{d}/libbcc.py")), None)
    if found is None:
        raise MissingPackage(PACKAGE, INSTALL, f"no libbcc.py in {', '.join(directories)}")
    # A package object of our own with bcc's directory as its path: libbcc.py imports its neighbour perf.py
    # relatively.
    package = ModuleType(_ALIAS)
    package.__path__ = [found]
    sys.modules[_ALIAS] = package
    importlib.invalidate_caches()
    try:
        module = importlib.import_module(f"{_ALIAS}.libbcc")
    except (ImportError, OSError, AttributeError) as error:
        raise MissingPackage(PACKAGE, INSTALL, f"{found}/libbcc.py does not load: {error}") from error
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == _ALIAS]:
            del sys.modules[name]
    lib = getattr(module, "lib", None)
    if not isinstance(lib, ctypes.CDLL) or not hasattr(lib, "bcc_func_load"):
        raise MissingPackage(PACKAGE, INSTALL, f"{found}/libbcc.py is not the BPF Compiler Collection's")
    lib.bpf_attach_uprobe.argtypes = (
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.c_char_p,
        ctypes.c_uint64,
        ctypes.c_int,
        ctypes.c_uint32,
    )
    lib.bpf_attach_uprobe.restype = ctypes.c_int
    lib.bpf_detach_uprobe.argtypes = (ctypes.c_char_p,)
    lib.bpf_detach_uprobe.restype = ctypes.c_int
    return lib


def attach_uprobe(
    prog_fd: int, path: str | bytes, offset: int, pid: int | None, *, returns: bool = False
) -> int:
    """Return the fd of a perf event that runs a KPROBE program at a FILE offset of `path`; closing it
    detaches. Raises OSError.

    With `returns` it runs where the function that begins there returns.

    libbcc first asks the uprobe PMU (perf_event_open, no tracefs needed), then tracefs; what it says when
    both refuse is the error's text, and its errno is that of the second attempt, which need not be the
    reason. The PMU takes all threads of process `pid`, or all processes.
    """
    kind = _RETURN if returns else _ENTRY
    name = f"dtrap_{os.getpid()}_{kind}_{offset:x}".encode()
    lib = library()
    with _stderr_aside() as said:
        ctypes.set_errno(0)
        fd = int(lib.bpf_attach_uprobe(prog_fd, kind, name, os.fsencode(path), offset, pid or -1, 0))
        number = ctypes.get_errno()
        if fd < 0:
            lib.bpf_detach_uprobe(name)  # the second attempt may have left an event behind
    if fd < 0:
        reason = " ".join(said[0].split()) or os.strerror(number)
        raise OSError(number, f"libbcc cannot attach at {os.fsdecode(path)}+{offset:#x}: {reason}")
    return fd


@contextmanager
def _stderr_aside() -> Iterator[list[str]]:
    """Keep what a C library prints to fd 2 off the user's terminal; the list holds it as its only element
    afterwards.
    """
    said: list[str] = []
    saved = os.dup(2)
    aside = os.memfd_create("dtrap_stderr")
    os.dup2(aside, 2)
    try:
        yield said
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        said.append(os.pread(aside, 4096, 0).decode(errors="replace"))
        os.close(aside)
