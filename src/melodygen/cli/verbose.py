"""``-v``: what a command does, line by line on stderr, with the time since it began."""

from __future__ import annotations

import logging
import sys
import time

LOG = logging.getLogger("melodygen")


class _Stamped(logging.Formatter):
    """Seconds since the command began, and the message."""

    def __init__(self) -> None:
        super().__init__()
        self._began = time.monotonic()

    def format(self, record: logging.LogRecord) -> str:
        return f"melodygen: {time.monotonic() - self._began:7.2f} s  {record.getMessage()}"


class _Handler(logging.StreamHandler):  # type: ignore[type-arg]
    """One handler, however often ``-v`` is given in a process."""


def turn_on(wanted: bool) -> None:
    """Let the commands' messages of level INFO go to stderr."""
    if not wanted:
        return
    for handler in [h for h in LOG.handlers if isinstance(h, _Handler)]:
        LOG.removeHandler(handler)
    handler = _Handler(sys.stderr)
    handler.setFormatter(_Stamped())
    LOG.addHandler(handler)
    LOG.setLevel(logging.INFO)
    LOG.info("begun")


__all__ = ["LOG", "turn_on"]
