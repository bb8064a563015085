"""Jobs of the server in an SQLite database: what was asked, how far it is, what came out.

States: ``queued``, ``running``, then ``done``, ``failed`` or ``cancelled``. Every change is committed before anyone
hears of it, so jobs survive a restart; a job that ran when the server stopped is failed at the next start, with a
message that says so. Events of a job are numbered from 1 and kept, so that a client that lost its connection goes on
where it was. The files of a job lie in a folder of its own beside the database.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from melodygen.errors import MelodygenError

QUEUED, RUNNING, DONE, FAILED, CANCELLED = "queued", "running", "done", "failed", "cancelled"
ENDED = (DONE, FAILED, CANCELLED)
INTERRUPTED = "the server stopped while this job ran: send it again"

_SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, kind TEXT NOT NULL, request TEXT NOT NULL,
    state TEXT NOT NULL, created_seconds REAL NOT NULL, ended_seconds REAL, result TEXT, error TEXT
);
CREATE TABLE IF NOT EXISTS events (
    job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE, number INTEGER NOT NULL, kind TEXT NOT NULL,
    data TEXT NOT NULL, PRIMARY KEY (job, number)
);
CREATE INDEX IF NOT EXISTS waiting ON jobs (state, kind, number);
"""


class QueueFullError(MelodygenError):
    """More jobs wait than the queue may hold."""


@dataclass(frozen=True)
class Job:
    """One job. ``request`` is what was asked, ``result`` what came out (None until it is done)."""

    id: str
    kind: str
    request: dict[str, Any]
    state: str
    created_seconds: float
    ended_seconds: float | None
    result: dict[str, Any] | None
    error: str | None


@dataclass(frozen=True)
class JobEvent:
    """Something that happened to a job: ``state``, ``progress`` or ``candidate``. ``number`` counts from 1."""

    number: int
    kind: str
    data: dict[str, Any]


class JobStore:
    """Jobs on disk. All methods may be called from any thread.

    ``folder``       holds ``jobs.sqlite`` and a folder ``results/ID`` for each job; it is made if it is not there.
    ``max_waiting``  jobs of one kind that may wait; one more raises QueueFullError.
    ``clock``        seconds since 1970.
    """

    def __init__(self, folder: Path, max_waiting: int = 32, clock: Callable[[], float] = time.time) -> None:
        self.folder, self.max_waiting, self._clock = folder, max_waiting, clock
        (folder / "results").mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._database = sqlite3.connect(
            folder / "jobs.sqlite", check_same_thread=False, isolation_level=None
        )
        self._database.execute("PRAGMA foreign_keys = ON")
        self._database.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the database; waiting threads are woken."""
        with self._changed:
            self._database.close()
            self._changed.notify_all()

    def recover(self) -> int:
        """Fail the jobs that ran when the server stopped, and say how many there were. Waiting jobs go on waiting."""
        rows = self._select("SELECT id FROM jobs WHERE state = ?", (RUNNING,))
        for (job_id,) in rows:
            self.end(job_id, FAILED, error=INTERRUPTED)
        return len(rows)

    def submit(self, kind: str, request: dict[str, Any], job_id: str | None = None) -> Job:
        """Queue a job. Raises QueueFullError if ``max_waiting`` jobs of its kind wait already."""
        job_id = job_id or new_id()
        with self._transaction():
            ((waiting,),) = self._select(
                "SELECT count(*) FROM jobs WHERE state = ? AND kind = ?", (QUEUED, kind)
            )
            if waiting >= self.max_waiting:
                raise QueueFullError(
                    f"{waiting} jobs wait already, and the limit is {self.max_waiting}: try later"
                )
            self._database.execute(
                "INSERT INTO jobs (id, kind, request, state, created_seconds) VALUES (?, ?, ?, ?, ?)",
                (job_id, kind, json.dumps(request), QUEUED, self._clock()),
            )
            self._add(job_id, "state", {"state": QUEUED})
        self.results(job_id).mkdir(exist_ok=True)
        return self.get(job_id)

    def get(self, job_id: str) -> Job:
        """Raises KeyError for an unknown id."""
        rows = self._select(f"SELECT {_COLUMNS} FROM jobs WHERE id = ?", (job_id,))
        if not rows:
            raise KeyError(job_id)
        return _job(rows[0])

    def newest(self, count: int) -> list[Job]:
        """The ``count`` newest jobs, newest first."""
        return [
            _job(row)
            for row in self._select(f"SELECT {_COLUMNS} FROM jobs ORDER BY number DESC LIMIT ?", (count,))
        ]

    def position(self, job_id: str) -> int:
        """How many jobs of its kind run before a queued job starts; 0 for a job that does not wait."""
        rows = self._select(
            "SELECT count(*) FROM jobs AS other JOIN jobs AS mine ON mine.id = ? AND mine.state = ?"
            " WHERE other.kind = mine.kind AND other.number < mine.number AND other.state IN (?, ?)",
            (job_id, QUEUED, QUEUED, RUNNING),
        )
        return int(rows[0][0])

    def claim(self, kinds: Sequence[str], timeout_seconds: float) -> Job | None:
        """The oldest queued job of these kinds, now running; None if none came within ``timeout_seconds``."""
        marks = ",".join("?" * len(kinds))
        deadline = time.monotonic() + timeout_seconds
        with self._changed:
            while True:
                rows = self._select(
                    f"SELECT id FROM jobs WHERE state = ? AND kind IN ({marks}) ORDER BY number LIMIT 1",
                    (QUEUED, *kinds),
                )
                if rows:
                    with self._transaction():
                        self._database.execute(
                            "UPDATE jobs SET state = ? WHERE id = ?", (RUNNING, rows[0][0])
                        )
                        self._add(rows[0][0], "state", {"state": RUNNING})
                    return self.get(rows[0][0])
                left = deadline - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    return None

    def add_event(self, job_id: str, kind: str, data: dict[str, Any]) -> None:
        """Append an event; those of a job that has ended, or is gone, are dropped."""
        with self._transaction():
            rows = self._select("SELECT state FROM jobs WHERE id = ?", (job_id,))
            if rows and rows[0][0] not in ENDED:
                self._add(job_id, kind, data)

    def end(
        self, job_id: str, state: str, result: dict[str, Any] | None = None, error: str | None = None
    ) -> bool:
        """End a job as ``done``, ``failed`` or ``cancelled``; whether it had not ended before."""
        with self._transaction():
            changed = self._database.execute(
                "UPDATE jobs SET state = ?, ended_seconds = ?, result = ?, error = ?"
                " WHERE id = ? AND state NOT IN (?, ?, ?)",
                (state, self._clock(), None if result is None else json.dumps(result), error, job_id, *ENDED),
            ).rowcount
            if changed:
                self._add(job_id, "state", {"state": state, "error": error})
        return bool(changed)

    def withdraw(self, job_id: str) -> bool:
        """Cancel a job that still waits; whether it did."""
        with self._transaction():
            changed = self._database.execute(
                "UPDATE jobs SET state = ?, ended_seconds = ? WHERE id = ? AND state = ?",
                (CANCELLED, self._clock(), job_id, QUEUED),
            ).rowcount
            if changed:
                self._add(job_id, "state", {"state": CANCELLED, "error": None})
        return bool(changed)

    def events(self, job_id: str, after: int = 0) -> list[JobEvent]:
        """Events with a number above ``after``."""
        rows = self._select(
            "SELECT number, kind, data FROM events WHERE job = ? AND number > ? ORDER BY number",
            (job_id, after),
        )
        return [JobEvent(number, kind, json.loads(data)) for number, kind, data in rows]

    def results(self, job_id: str) -> Path:
        """The folder of a job's files."""
        return self.folder / "results" / job_id

    def prune(self, max_age_seconds: float, max_bytes: int) -> int:
        """Forget jobs that ended longer ago than ``max_age_seconds``, then the oldest until their files take at most
        ``max_bytes``. Gives how many went. Jobs that wait or run stay."""
        rows = self._select(
            "SELECT id, ended_seconds FROM jobs WHERE ended_seconds IS NOT NULL ORDER BY number", ()
        )
        sizes = {job_id: _folder_bytes(self.results(job_id)) for job_id, _ in rows}
        total, gone = sum(sizes.values()), 0
        for job_id, ended in rows:
            if self._clock() - ended <= max_age_seconds and total <= max_bytes:
                continue
            with self._transaction():
                self._database.execute("DELETE FROM jobs WHERE id = ?", (job_id,))
            shutil.rmtree(self.results(job_id), ignore_errors=True)
            total -= sizes[job_id]
            gone += 1
        return gone

    def _add(self, job_id: str, kind: str, data: dict[str, Any]) -> None:
        self._database.execute(
            "INSERT INTO events SELECT ?, coalesce(max(number), 0) + 1, ?, ? FROM events WHERE job = ?",
            (job_id, kind, json.dumps(data), job_id),
        )
        self._changed.notify_all()

    def _select(self, query: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._database.execute(query, tuple(values)).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")


_COLUMNS = "id, kind, request, state, created_seconds, ended_seconds, result, error"


def new_id() -> str:
    """A name that nobody can guess: 32 hexadecimal digits."""
    return uuid.uuid4().hex


def _job(row: tuple[Any, ...]) -> Job:
    job_id, kind, request, state, created, ended, result, error = row
    return Job(
        job_id,
        kind,
        json.loads(request),
        state,
        created,
        ended,
        None if result is None else json.loads(result),
        error,
    )


def _folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file()) if folder.is_dir() else 0
