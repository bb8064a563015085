"""``-v``: what a command does, line by line on stderr, with the time since it began."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

LOG = logging.getLogger("melodygen")


class _Stamped(logging.Formatter):
    """Seconds since the command began, and the message."""

    def __init__(self) -> None:
        super().__init__()
        self._began = time.monotonic()

    def format(self, record: logging.LogRecord) -> str:
        return f"melodygen: {time.monotonic() - self._began:7.2f} s  {record.getMessage()}"


@contextmanager
def told(wanted: bool) -> Iterator[None]:
    """Inside the block, messages of level INFO go to stderr, if that is wanted."""
    if not wanted:
        yield
        return
    handler, level = logging.StreamHandler(sys.stderr), LOG.level
    handler.setFormatter(_Stamped())
    LOG.addHandler(handler)
    LOG.setLevel(logging.INFO)
    LOG.info("begun")
    try:
        yield
    finally:
        LOG.info("ended")
        LOG.removeHandler(handler)
        LOG.setLevel(level)


__all__ = ["LOG", "told"]
