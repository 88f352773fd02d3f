"""Commands of an ordinary user in tests that root runs, wherever the checkout is: also in a folder of root's alone."""

import os
import stat
from pathlib import Path

NOBODY = 65534
CHECKOUT = Path(__file__).parents[2]

_WITH_ITS_FOLDERS_OPEN = """
mount --bind "$2" /mnt
mount -t tmpfs -o mode=755 none "$1"
mkdir -p "$2"
mount --move /mnt "$2"
cd "$PWD"
shift 2
exec "$@"
"""
"""In a mount namespace: in place of folder $1, which lets nobody in, one with folder $2 at its path, and no more."""


def reaching(folder: Path) -> tuple[str, ...]:
    """Return the words before a command of root's that let other users reach a folder, none where they do anyway."""
    ways = (*reversed(folder.parents), folder)
    closed = next((way for way in ways if not way.stat().st_mode & stat.S_IXOTH), None)
    if closed is None or os.geteuid() != 0:
        return ()
    return ("unshare", "--mount", "sh", "-ec", _WITH_ITS_FOLDERS_OPEN, "sh", str(closed), str(folder))


def as_nobody() -> tuple[str, ...]:
    """Return the words before a command that make it an ordinary user's, who reaches the checkout."""
    return (*reaching(CHECKOUT), "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
