"""Calls of native functions by their address: code that was generated, not found in a library."""

import ctypes
from collections.abc import Callable


def native_function(address: int, parameters: int) -> Callable[..., int]:
    """Return the function at `address` as one that takes so many 64-bit words and returns one.

    Other Python threads run while it does. The code must stay where it is as long as the result is in use.
    """
    prototype = ctypes.CFUNCTYPE(ctypes.c_uint64, *[ctypes.c_uint64] * parameters)
    function: Callable[..., int] = prototype(address)
    return function
