"""The command line: one file per command, heavy imports inside the command."""

from __future__ import annotations

import atexit
import gc
import signal
import sys
from types import FrameType
from typing import TextIO


def main() -> None:
    """Entry point of ``melodygen`` and ``python -m melodygen``."""
    stopped: list[int] = []
    # with torch loaded, the collections at exit take half a second and free nothing
    atexit.register(gc.freeze)
    # imports make a million objects that stay: looking through them after every 700 takes a tenth of their time
    gc.set_threshold(50_000, 20, 20)

    def stop(signum: int, frame: FrameType | None) -> None:
        """End through the ``finally`` blocks, which remove unfinished files."""
        stopped.append(128 + signum)
        if signum == signal.SIGINT:
            raise KeyboardInterrupt
        sys.exit(128 + signum)

    signal.signal(signal.SIGTERM, stop)
    if (
        signal.getsignal(signal.SIGINT) is signal.default_int_handler
    ):  # else it is to be ignored: started with &
        signal.signal(signal.SIGINT, stop)
    for stream in (sys.stdout, sys.stderr):
        _never_fail_to_print(stream)
    try:
        from melodygen.cli.app import app

        app()
    except (SystemExit, KeyboardInterrupt, Exception) as error:
        if not stopped:
            raise
        # whatever it looks like: a signal in the middle of an import comes out as an ImportError, for one
        if not isinstance(error, SystemExit):
            print("melodygen: stopped", file=sys.stderr)
        sys.exit(stopped[0])


def _never_fail_to_print(stream: TextIO) -> None:
    """Escape what the terminal cannot show, so that no file name makes a command fail under LANG=C."""
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")
