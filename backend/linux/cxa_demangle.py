"""C++ names as they were written: the C++ runtime's own `__cxa_demangle`, which every system with C++ programs has.

Here is the one call. Which names are given to it, and what becomes of the result, is backend/demangling.py's business.
Source: Itanium C++ ABI, 3.4, "Demangler API".
"""

import ctypes
from functools import cache

_LIBRARY = "libstdc++.so.6"


@cache
def _function() -> "ctypes._NamedFuncPointer | None":
    try:
        function = ctypes.CDLL(_LIBRARY).__cxa_demangle
    except (OSError, AttributeError):
        return None
    function.argtypes = (
        ctypes.c_char_p,
        ctypes.c_void_p,
        ctypes.POINTER(ctypes.c_size_t),
        ctypes.POINTER(ctypes.c_int),
    )
    function.restype = ctypes.c_void_p
    return function


def available() -> bool:
    """Say whether this system has the C++ runtime."""
    return _function() is not None


def cxa_demangle(name: bytes) -> bytes | None:
    """Return the name as C++ writes it; None where it is no mangled name, or none that the runtime understands.

    The name comes from a file that is not trusted: its length is to be bounded by the caller, since the runtime
    recurses with it.
    """
    function = _function()
    if function is None:
        return None
    status = ctypes.c_int(0)
    result = function(name, None, None, ctypes.byref(status))
    if not result:
        return None
    try:
        return ctypes.string_at(result)
    finally:
        free = ctypes.CDLL(None).free
        free.argtypes, free.restype = (ctypes.c_void_p,), None
        free(result)
