"""Real-time priority for the process that plays, where the system grants it (Linux with an rtprio limit, as audio
groups have; other systems keep their own).

All threads get it, not only the one that plays: they do little, but one that is pushed aside while it holds the
interpreter would hold up the music.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PRIORITY = 20
"""Well below what JACK and drivers run at."""
SWITCH_SECONDS = 0.0005
"""How long another Python thread may keep the interpreter from this one; Python's own default is ten times that."""


@contextmanager
def punctual(try_realtime: bool = True) -> Iterator[bool]:
    """The block runs with the priority, with quick changes of thread, and without garbage collection of what was
    there before. Yields whether real-time priority was granted."""
    switch = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.collect()
    gc.freeze()
    granted = try_realtime and _set_realtime(True)
    try:
        yield granted
    finally:
        if granted:
            _set_realtime(False)
        gc.unfreeze()
        sys.setswitchinterval(switch)


def _set_realtime(on: bool) -> bool:
    if not hasattr(os, "sched_setscheduler"):
        return False
    policy, priority = (os.SCHED_FIFO, PRIORITY) if on else (os.SCHED_OTHER, 0)
    try:
        os.sched_setscheduler(0, policy, os.sched_param(priority))
    except OSError:
        return False
    for task in Path("/proc/self/task").glob("*"):
        with suppress(OSError):  # it has ended meanwhile
            os.sched_setscheduler(int(task.name), policy, os.sched_param(priority))
    return True


def ordinary() -> None:
    """Give up what was inherited: for a child that computes."""
    _set_realtime(False)
