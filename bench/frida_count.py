"""`frida_count.py PROGRAM FUNCTION N`: run the calls program with a frida C callback at the function that counts.

For a Python that has frida, which is no part of this project: see jumps.py. The program prints what it measured.
"""

import sys
import threading

import frida  # type: ignore[import-not-found]  # in no environment of ours

SCRIPT = """
const code = new CModule(`
#include <gum/guminterceptor.h>
extern volatile long count;
void on_enter(GumInvocationContext *context) { count++; }
`, { count: Memory.alloc(8) });
Interceptor.attach(Process.mainModule.getExportByName(%r), { onEnter: code.on_enter });
"""


def main(program: str, function: str, calls: str) -> None:
    ended = threading.Event()
    device = frida.get_local_device()
    pid = device.spawn([program, function, calls], stdio="inherit")
    session = device.attach(pid)
    session.on("detached", lambda *_: ended.set())
    session.create_script(SCRIPT % function).load()
    device.resume(pid)
    ended.wait()


main(*sys.argv[1:])
