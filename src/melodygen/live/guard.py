"""A guard process that outlives this one by a moment.

If this process is killed without a chance to end its notes, the guard ends them; if a signal that should end
this process has no effect, the guard kills it first.

``python -m melodygen.live.guard PID PORT...`` waits for its stdin to close. ``bye`` before that means that
all is well. The numbers of the signals that reach PID come on the same pipe (``signal.set_wakeup_fd``): the
interpreter's own signal handler writes them, so they come even where a port library spins and no Python code
runs any more. A virtual port vanishes with this process, so the guard silences only ports of other programs.
Windows has no such pipe.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress

from melodygen.errors import PortError

BYE = b"bye"
DEADLINE_SECONDS = 5.0
"""Time from the first signal to the end of the process, whatever the port library does."""
PANIC_SECONDS = 15
"""Time that ending the notes may take before the guard gives up."""
SIGNALS = tuple(getattr(signal, n) for n in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, n))


class Guard:
    """Starts a guard process over ports (by their full names) until ``close``. To be made in the main
    thread.
    """

    def __init__(self, names: list[str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "melodygen.live.guard", str(os.getpid()), *names],
            stdin=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for us alone
        )
        assert self._process.stdin is not None
        self._pipe = self._process.stdin
        if os.name != "nt":
            os.set_blocking(self._pipe.fileno(), False)
            signal.set_wakeup_fd(self._pipe.fileno(), warn_on_full_buffer=False)

    def close(self) -> None:
        """End the guard: all notes have ended."""
        if os.name != "nt":
            signal.set_wakeup_fd(-1)
        try:
            self._pipe.write(BYE)
            self._pipe.close()
        except OSError:
            return  # it was killed before us
        with suppress(subprocess.TimeoutExpired):  # on a machine that is busy; it will end
            self._process.wait(timeout=10)


def main(parent: int, names: list[str]) -> None:
    """Run the guard process.

    Args:
        parent: process id to watch.
        names: full names of the output ports to silence.
    """
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    if _all_is_well(parent):
        return
    if hasattr(signal, "alarm"):
        signal.alarm(PANIC_SECONDS)
    from melodygen.live.jack_panic import panic_on
    from melodygen.live.player import Player
    from melodygen.live.ports import PortOutput, is_jack

    for name in names:
        with suppress(PortError):  # it went away too
            if is_jack(name):
                panic_on(name.partition(":")[2])
                continue
            output = PortOutput(name)
            try:
                Player(output).panic()
            finally:
                output.close()


def _all_is_well(parent: int) -> bool:
    """Wait for the parent's end. Return False if it ended without ``bye`` or had to be killed."""
    heard, deadline = b"", None
    while BYE not in heard:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        if os.name != "nt" and not select.select([0], [], [], left)[0]:
            if os.getppid() == parent:
                sys.stderr.write(f"melodygen: not ended {DEADLINE_SECONDS:g} s after the signal: killed\n")
                os.kill(parent, signal.SIGKILL)
            return False
        read = os.read(0, 64)
        if not read:
            return False
        heard = (heard + read)[-64:]
        if deadline is None and not set(SIGNALS).isdisjoint(read):
            deadline = time.monotonic() + DEADLINE_SECONDS
    return True


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
