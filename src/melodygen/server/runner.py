"""Hands jobs to a worker process, passes on its events, stops it for a cancelled job, replaces it when it dies."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

from melodygen.processes import ScriptlessContext
from melodygen.server.jobs import CANCELLED, DONE, ENDED, FAILED, Job, JobStore
from melodygen.server.worker import KINDS, serve
from melodygen.services.models import ModelNames

POLL_SECONDS = 0.1
CANCEL_SECONDS = 0.6
"""A cancelled job has so long to stop between two steps; then its process is killed."""
LOG = logging.getLogger("melodygen.server")


class Runner:
    """A thread with one worker process. ``sort`` is a key of ``worker.KINDS``, ``names`` are the models it loads,
    ``limit_seconds`` is the longest a job may take. ``clean`` removes paths of this machine from an error."""

    def __init__(
        self, store: JobStore, sort: str, names: ModelNames, limit_seconds: float, clean: Callable[[str], str]
    ) -> None:
        self._store, self._sort, self._names = store, sort, names
        self._limit, self._clean = limit_seconds, clean
        self._ending = threading.Event()
        self._cancelled: set[str] = set()
        self._context = ScriptlessContext()
        self._stop = self._context.Event()
        self._process: SpawnProcess | None = None
        self._pipe: Connection | None = None
        self.is_ready = False
        """Its models are loaded."""
        self._thread = threading.Thread(target=self._run, name=f"melodygen-{sort}", daemon=True)

    def start(self) -> None:
        """Start the thread and, in it, the process; models load in the background."""
        self._thread.start()

    def close(self) -> None:
        """End the process and the thread. A job that runs is left as it is: the next start fails it."""
        self._ending.set()
        self._kill()
        self._thread.join(5.0)

    def cancel(self, job_id: str) -> None:
        """Stop a job that runs here."""
        self._cancelled.add(job_id)
        if self._store.get(job_id).state in ENDED:  # it ended meanwhile: nothing will take it off the list
            self._cancelled.discard(job_id)

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                self._ensure_process()
                self._receive_idle()
                job = self._store.claim(KINDS[self._sort], POLL_SECONDS)
                if job is not None:
                    self._do(job)
            except Exception:
                if self._ending.is_set():
                    return
                LOG.exception("the runner for %s goes on after an error", self._sort)
                time.sleep(POLL_SECONDS)

    def _ensure_process(self) -> None:
        if self._process is not None and self._process.is_alive():
            return
        self.is_ready = False
        ours, theirs = self._context.Pipe()
        self._stop = self._context.Event()
        self._process = self._context.Process(
            target=serve, args=(self._sort, self._names, theirs, self._stop), daemon=True
        )
        self._process.start()
        theirs.close()
        self._pipe = ours

    def _receive_idle(self) -> None:
        """Nothing but "ready" comes while no job runs."""
        assert self._pipe is not None
        try:
            while self._pipe.poll(0):
                _, what, _ = self._pipe.recv()
                self.is_ready = self.is_ready or what == "ready"
        except (EOFError, OSError):
            self._kill()

    def _do(self, job: Job) -> None:
        assert self._pipe is not None
        self._stop.clear()
        deadline = time.monotonic() + self._limit
        told_to_stop: float | None = None
        try:
            self._pipe.send((job.id, job.kind, job.request, str(self._store.results(job.id))))
            while not self._ending.is_set():
                if self._pipe.poll(POLL_SECONDS) and self._heed(job, *self._pipe.recv()):
                    return
                now = time.monotonic()
                if job.id in self._cancelled and told_to_stop is None:
                    self._stop.set()
                    told_to_stop = now
                if told_to_stop is not None and now - told_to_stop > CANCEL_SECONDS:
                    self._kill()
                    self._store.end(job.id, CANCELLED)
                    return
                if now > deadline:
                    self._kill()
                    self._store.end(job.id, FAILED, error=f"it took longer than {self._limit:g} s, the limit")
                    return
        except (EOFError, OSError):
            if not self._ending.is_set():
                code = self._process.exitcode if self._process is not None else None
                self._kill()
                self._store.end(
                    job.id, FAILED, error=f"the process that did it ended (exit code {code}): send it again"
                )
        finally:
            self._cancelled.discard(job.id)

    def _heed(self, job: Job, job_id: str, what: str, data: dict[str, Any]) -> bool:
        """Pass on a message of the process; whether the job has ended."""
        if what == "ready":
            self.is_ready = True
            return False
        if job_id != job.id:
            return False
        if what == "fault":
            LOG.error("job %s (%s): %s", job.id, job.kind, data["trace"])
        if what in ("error", "fault"):
            is_cancelled = job.id in self._cancelled
            self._store.end(
                job.id,
                CANCELLED if is_cancelled else FAILED,
                error=None if is_cancelled else self._clean(data["error"]),
            )
            return True
        if what == "result":
            self._store.end(job.id, CANCELLED if job.id in self._cancelled else DONE, result=data)
            return True
        self._store.add_event(job.id, what, data)
        return False

    def _kill(self) -> None:
        process, self._process = self._process, None
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None
        if process is not None:
            process.kill()
            process.join(2.0)
