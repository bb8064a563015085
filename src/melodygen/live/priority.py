"""Real-time priority for the playing process, where it is asked for and the system grants it.

On Linux it needs an rtprio limit, as audio groups have; other systems keep their priority. All threads get it, not
only the one that plays: they do little, but a thread that is preempted while it holds the interpreter would hold up
the music. Threads that have such a priority already, as JACK's, keep theirs. The priority is bounded: the system kills
a thread that runs for ``RUNAWAY_SECONDS`` without once waiting (RLIMIT_RTTIME), and the guard ends the notes. Child
processes do not inherit it.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PRIORITY = 20
"""Priority of SCHED_FIFO, well below that of drivers."""
RUNAWAY_SECONDS = 1
SWITCH_SECONDS = 0.0005
"""Time for which another Python thread may keep the interpreter; Python's default is ten times as long."""


@contextmanager
def punctual(priority: int = 0) -> Iterator[bool]:
    """Run the block with quick thread switches, without garbage collection of older objects, and with
    priority.

    Args:
        priority: real-time priority to ask for, 1 to 99; 0 for none.

    Yields:
        Whether real-time priority was granted.
    """
    switch = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.collect()
    gc.freeze()
    raised = _raise_threads(priority) if priority else []
    try:
        yield bool(raised)
    finally:
        for thread in raised:
            with suppress(OSError):  # it has ended meanwhile
                os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))
        gc.unfreeze()
        sys.setswitchinterval(switch)


def _raise_threads(priority: int) -> list[int]:
    """Give the threads that have none real-time priority, and return them; none where it is not granted."""
    if not hasattr(os, "sched_setscheduler"):
        return []
    wanted = os.sched_param(priority)
    this = threading.get_native_id()
    try:
        _bound()
        os.sched_setscheduler(this, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, wanted)
    except OSError:
        return []
    raised = [this]
    for thread in (int(task.name) for task in Path("/proc/self/task").glob("*")):
        with suppress(OSError):  # it has ended meanwhile
            if os.sched_getscheduler(thread) == os.SCHED_OTHER:
                os.sched_setscheduler(thread, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, wanted)
                raised.append(thread)
    return raised


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
