"""The D language: text in, typed program and LLVM IR out, results rendered.

Nothing here knows a process or a kernel; `cli.py` alone, the command, stands above and imports `backend`.
"""
