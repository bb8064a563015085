"""Whether the JACK server runs, seen from outside: by its listening socket in ``/proc/net/unix`` (Linux
only).
"""

from __future__ import annotations

import os
import re
from pathlib import Path

_SOCKETS = Path("/proc/net/unix")
_LISTENS = "00010000"


def jack_server() -> str | None:
    """Return an identifier of the running server, different for each start.

    It is empty without a server, and None where that cannot be known.
    """
    if not _SOCKETS.exists():
        return None
    name = re.escape(os.environ.get("JACK_DEFAULT_SERVER", "default"))
    path = re.compile(rf"/jack_{name}_(\d+_)?0$")
    for line in _SOCKETS.read_text(encoding="utf-8", errors="replace").splitlines():
        columns = line.split(maxsplit=7)
        if len(columns) == 8 and columns[3] == _LISTENS and path.search(columns[7]):
            return columns[6]  # the inode
    return ""
