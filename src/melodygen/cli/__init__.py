"""The command line: one file per command, heavy imports inside the command."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import TextIO


def main() -> None:
    """Entry point of ``melodygen`` and ``python -m melodygen``."""
    signal.signal(signal.SIGTERM, _leave)
    for stream in (sys.stdout, sys.stderr):
        _never_fail_to_print(stream)
    try:
        from melodygen.cli.app import app

        app()
    except KeyboardInterrupt:  # before or after the command itself
        print("melodygen: stopped", file=sys.stderr)
        sys.exit(130)


def _leave(signum: int, frame: FrameType | None) -> None:
    """SIGTERM ends through the ``finally`` blocks, which take unfinished files away."""
    sys.exit(128 + signum)


def _never_fail_to_print(stream: TextIO) -> None:
    """A file name in any script must not be the reason a command fails under LANG=C."""
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")
