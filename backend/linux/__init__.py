"""The system's interfaces, one thin typed module for each: system calls, /proc, ptrace, bpf.

What to do with them is decided in the callers.
"""
