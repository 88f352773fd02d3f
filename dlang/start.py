"""The first moment of the command: an interrupt while modules are still being imported ends it as it ends any program,
not with a traceback.
"""

import os
import signal
import sys
from typing import NoReturn


def command() -> NoReturn:
    """Run `cli.command`."""
    _open_closed_streams()
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from dlang import cli

    signal.signal(signal.SIGINT, handler)
    cli.command()


def _open_closed_streams() -> None:
    """Have something at the three first descriptors: whoever has closed one wants nothing there, least of all a file or
    socket of ours.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115
