"""Execute one displaced x86-64 instruction somewhere else, correctly.

Pure: bytes, registers and addresses in; bytes, registers and addresses out. Nothing here touches a process, a
file or the kernel, and nothing here imports `dlang` or `backend`.
"""
