"""The allocator of the C library that this process runs on."""

import ctypes

from backend.linux.libc import libc


def give_back_freed() -> None:
    """Have the allocator return to the system what it keeps for later of what has been freed; milliseconds.

    What is freed behind something that lives on stays resident otherwise. Not every C library has the call.
    """
    trim = getattr(libc(), "malloc_trim", None)
    if trim is not None:
        trim(ctypes.c_size_t(0))
