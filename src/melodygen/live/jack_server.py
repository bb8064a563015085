"""Whether the JACK server runs, seen from outside: by its listening socket in ``/proc/net/unix`` (Linux only)."""

from __future__ import annotations

import os
import re
from pathlib import Path

_SOCKETS = Path("/proc/net/unix")
_LISTENS = "00010000"


def jack_server() -> str | None:
    """Which server runs under the name in use, another string for each start: empty while there is none, None where
    that cannot be told."""
    if not _SOCKETS.exists():
        return None
    name = re.escape(os.environ.get("JACK_DEFAULT_SERVER", "default"))
    path = re.compile(rf"/jack_{name}_(\d+_)?0$")
    for line in _SOCKETS.read_text(encoding="utf-8", errors="replace").splitlines():
        columns = line.split(maxsplit=7)
        if len(columns) == 8 and columns[3] == _LISTENS and path.search(columns[7]):
            return columns[6]  # the inode
    return ""
