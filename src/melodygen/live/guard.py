"""A process that outlives this one by a moment: if we are killed without a chance to end our notes, it ends them.

``python -m melodygen.live.guard PORT...`` waits for its stdin to close. ``bye`` before that means all is well. A
virtual port of ours is gone with us, so only ports of others are guarded.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import suppress

from melodygen.errors import PortError

BYE = b"bye"


class Guard:
    """Watches over ports by their full names until :meth:`close`."""

    def __init__(self, names: list[str]) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        if names:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "melodygen.live.guard", *names], stdin=subprocess.PIPE
            )

    def close(self) -> None:
        """All is silent: let the guard go."""
        if self._process is None or self._process.stdin is None:
            return
        try:
            self._process.stdin.write(BYE)
            self._process.stdin.close()
        except OSError:
            return  # it was killed before us
        with suppress(subprocess.TimeoutExpired):  # on a machine that is busy; it will end
            self._process.wait(timeout=10)


def main(names: list[str]) -> None:
    """Be the guard."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if sys.stdin.buffer.read() == BYE:
        return
    from melodygen.live.player import Player
    from melodygen.live.ports import PortOutput

    for name in names:
        try:
            output = PortOutput(name)
        except PortError:
            continue  # it went away too
        try:
            Player(output).panic()
        finally:
            output.close()


if __name__ == "__main__":
    main(sys.argv[1:])
