"""The process that does the jobs of one kind: it loads models once and takes one job after the other.

The server talks to it over a pipe. A job comes as ``(job_id, kind, request, folder)``; events, the result and errors go
back as ``(job_id, what, data)``. The process ends with the pipe. It is a process of its own so that a file which
crashes a decoder, fills the memory or never ends takes only its job with it.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.synchronize import Event as StopEvent
from pathlib import Path
from typing import TYPE_CHECKING, Any

from melodygen.errors import MelodygenError
from melodygen.services.models import ModelNames

if TYPE_CHECKING:
    from melodygen.server.tasks import Task

ANALYSIS, GENERATION = "analysis", "generation"
KINDS = {
    GENERATION: ("generate", "render"),
    ANALYSIS: ("classify", "similar", "identify", "find", "history", "map", "export"),
}
"""Which kinds of job a process of each sort does. Analysis has its own so that an upload never waits for a piece."""
MAX_MEMORY_BYTES = 8 * 2**30
"""Address space of a process that decodes what users send."""

Emit = Callable[[str, dict[str, Any]], None]
"""Sends an event: its kind and its data."""


@dataclass(frozen=True)
class JobContext:
    """What a job may use: its folder, where its events go, and whether it shall stop."""

    folder: Path
    emit: Emit
    should_stop: Callable[[], bool]

    def progress(self, stage: str, done: float) -> None:
        """Report what is being done and how much of it is done, 0.0 to 1.0."""
        self.emit("progress", {"stage": stage, "done": round(done, 3)})


def serve(sort: str, names: ModelNames, connection: Connection, stop: StopEvent) -> None:
    """Do jobs until the pipe closes. ``sort`` is a key of ``KINDS``; ``names`` are the models to load."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's to act on
    threading.Thread(target=_end_with_server, name="melodygen-server-watch", daemon=True).start()
    from melodygen.server.tasks import make_tasks

    tasks: Mapping[str, Task] = {}
    missing = ""
    try:
        tasks = make_tasks(sort, names)
    except MelodygenError as error:  # every job hears it; to start again would change nothing
        missing = str(error)
    if sort == ANALYSIS:
        _limit_memory()
    _send(connection, "", "unavailable" if missing else "ready", {})
    while True:
        try:
            job_id, kind, request, folder = connection.recv()
        except (EOFError, OSError):
            return

        def emit(what: str, data: dict[str, Any], job_id: str = job_id) -> None:
            _send(connection, job_id, what, data)

        context = JobContext(Path(folder), emit, stop.is_set)
        try:
            if missing:
                raise MelodygenError(missing)
            emit("result", tasks[kind](request, context))
        except MelodygenError as error:
            emit("error", {"error": str(error)})
        except MemoryError:
            emit("error", {"error": "out of memory"})
        except Exception as error:  # a fault of ours: said in a line, the trace goes to the server's log
            emit("fault", {"error": f"{type(error).__name__}: {error}", "trace": traceback.format_exc()})


def _send(connection: Connection, job_id: str, what: str, data: dict[str, Any]) -> None:
    with contextlib.suppress(BrokenPipeError, OSError):
        connection.send((job_id, what, data))


def _end_with_server() -> None:
    """End this process, whatever it does, when the server has gone: nobody will fetch the result."""
    server = multiprocessing.parent_process()
    if server is not None:
        wait([server.sentinel])
        os._exit(1)


def _limit_memory() -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
