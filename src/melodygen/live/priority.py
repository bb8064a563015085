"""Real-time priority for the playing process, where it is asked for and the system grants it.

On Linux it needs an rtprio limit, as audio groups have; other systems keep their priority. All threads get
it, not only the one that plays: they do little, but a thread that is preempted while it holds the interpreter
would hold up the music. The priority is bounded: the system kills a thread that runs for ``RUNAWAY_SECONDS``
without once waiting (RLIMIT_RTTIME), and the guard ends the notes. Child processes do not inherit it.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PRIORITY = 20
"""Priority of SCHED_FIFO, well below that of JACK and drivers."""
RUNAWAY_SECONDS = 1
SWITCH_SECONDS = 0.0005
"""Time for which another Python thread may keep the interpreter; Python's default is ten times as long."""


@contextmanager
def punctual(try_realtime: bool = False) -> Iterator[bool]:
    """Run the block with quick thread switches, without garbage collection of older objects, and with
    priority.

    Args:
        try_realtime: ask for real-time priority.

    Yields:
        Whether real-time priority was granted.
    """
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
    """Limit the time a real-time thread may run; it could freeze the machine. Raises OSError where that
    fails.
    """
    import resource

    most = RUNAWAY_SECONDS * 1_000_000
    try:
        _, hard = resource.getrlimit(resource.RLIMIT_RTTIME)
        resource.setrlimit(resource.RLIMIT_RTTIME, (most, hard if 0 < hard < 2 * most else 2 * most))
    except (AttributeError, ValueError) as error:
        raise OSError("real-time priority cannot be bounded here") from error
