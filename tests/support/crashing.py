"""Work for worker processes, some of which ends its process."""

from __future__ import annotations

import os
import time

_scale: list[float] = []


def begin(scale: float) -> None:
    _scale.append(scale)


def waited(seconds: float) -> float:
    """The seconds that were waited; a process that is asked for less than none is gone."""
    if seconds < 0:
        os._exit(1)
    time.sleep(seconds * _scale[0])
    return seconds
