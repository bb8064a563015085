"""Real-time priority for the process that plays, where it is asked for and the system grants it (Linux with an rtprio
limit, as audio groups have; other systems keep their own).

All threads get it, not only the one that plays: they do little, but one that is pushed aside while it holds the
interpreter would hold up the music. It is bounded: a thread that runs for ``RUNAWAY_SECONDS`` without once waiting is
killed by the system (RLIMIT_RTTIME), and the guard ends the notes. Children do not inherit it.
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
RUNAWAY_SECONDS = 1
SWITCH_SECONDS = 0.0005
"""How long another Python thread may keep the interpreter from this one; Python's own default is ten times that."""


@contextmanager
def punctual(try_realtime: bool = False) -> Iterator[bool]:
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
    policy, priority = (os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, PRIORITY) if on else (os.SCHED_OTHER, 0)
    try:
        if on:
            _bound()
        os.sched_setscheduler(0, policy, os.sched_param(priority))
    except OSError:
        return False
    for task in Path("/proc/self/task").glob("*"):
        with suppress(OSError):  # it has ended meanwhile
            os.sched_setscheduler(int(task.name), policy, os.sched_param(priority))
    return True


def _bound() -> None:
    """A spinning real-time thread would freeze a core, or the machine. OSError where it cannot be bounded."""
    import resource

    most = RUNAWAY_SECONDS * 1_000_000
    try:
        _, hard = resource.getrlimit(resource.RLIMIT_RTTIME)
        resource.setrlimit(resource.RLIMIT_RTTIME, (most, hard if 0 < hard < 2 * most else 2 * most))
    except (AttributeError, ValueError) as error:
        raise OSError("real-time priority cannot be bounded here") from error
