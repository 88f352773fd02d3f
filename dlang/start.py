"""The first moment of the command: an interrupt while modules are still being imported ends it as it ends any program,
not with a traceback.
"""

import signal
from typing import NoReturn


def command() -> NoReturn:
    """Run `cli.command`."""
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from dlang import cli

    signal.signal(signal.SIGINT, handler)
    cli.command()
