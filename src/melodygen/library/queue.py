"""Files that wait for a worker, in PostgreSQL.

A job is a content, with all places it was found at: two copies of a file are one job. A worker takes a job by locking
its row (``FOR UPDATE SKIP LOCKED``) in the transaction that also puts the track in and strikes the job off. So a job is
never given to two, and a worker that dies in the middle gives it back by dying: the server lets go of what it held. A
job that was tried stands behind those that were not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from melodygen.errors import LibraryError
from melodygen.library.postgres import PostgresDatabase

MAX_ATTEMPTS = 5
"""Workers that may die on a job; then it is struck off."""


@dataclass(frozen=True)
class Job:
    """``files``: (path, (size in bytes, time of change in ns)) of the places. ``attempts``: this one included."""

    content_hash: str
    files: tuple[tuple[str, tuple[int, int]], ...]
    attempts: int


class JobQueue:
    """The queue of one library, seen from one connection."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._db = database
        self._notes: PostgresDatabase | None = None

    def put(self, path: str, stamp: tuple[int, int], content_hash: str) -> bool:
        """A place whose content is to be described; False when a worker has just struck that job off: look again."""
        with self._db.transaction():
            self._db.change(
                "INSERT INTO jobs (content_hash) VALUES (?) ON CONFLICT (content_hash) DO NOTHING",
                (content_hash,),
            )
            # waits for a worker that has the job, and finds it struck off or given back
            if not self._db.rows("SELECT 1 FROM jobs WHERE content_hash = ? FOR KEY SHARE", (content_hash,)):
                return False
            self._db.change(
                "INSERT INTO job_files VALUES (?, ?, ?, ?) ON CONFLICT (path) DO UPDATE SET "
                "content_hash = excluded.content_hash, size_bytes = excluded.size_bytes, "
                "modified_ns = excluded.modified_ns",
                (path, content_hash, *stamp),
            )
        return True

    @contextmanager
    def take(self) -> Iterator[Job | None]:
        """A job for the block, which strikes it off when it ends well; None when none is free."""
        with self._db.transaction():
            found = self._db.rows(
                "SELECT content_hash, coalesce(count, 0) FROM jobs LEFT JOIN attempts USING (content_hash) "
                "ORDER BY coalesce(count, 0), job_id LIMIT 1 FOR UPDATE OF jobs SKIP LOCKED"
            )
            if not found:
                yield None
                return
            content_hash, count = found[0]
            files = self._db.rows(
                "SELECT path, size_bytes, modified_ns FROM job_files WHERE content_hash = ? ORDER BY path",
                (content_hash,),
            )
            self._note(content_hash)
            yield Job(content_hash, tuple((path, (size, ns)) for path, size, ns in files), int(count) + 1)
            self._db.change("DELETE FROM jobs WHERE content_hash = ?", (content_hash,))
            self._db.change("DELETE FROM attempts WHERE content_hash = ?", (content_hash,))

    def _note(self, content_hash: str) -> None:
        """On another connection: it must stand when this one breaks off."""
        if self._notes is None:
            self._notes = PostgresDatabase(self._db.url)
        self._notes.change(
            "INSERT INTO attempts VALUES (?, 1) ON CONFLICT (content_hash) DO UPDATE SET count = attempts.count + 1",
            (content_hash,),
        )

    def waiting(self, content_hashes: Sequence[str] | None = None) -> int:
        """Jobs that are not done, those being worked on included; of these contents, or of all."""
        if content_hashes is None:
            return int(self._db.rows("SELECT count(*) FROM jobs")[0][0])
        return int(
            self._db.rows("SELECT count(*) FROM jobs WHERE content_hash = ANY(?)", (list(content_hashes),))[
                0
            ][0]
        )

    def hold_embedder(self, embedder_id: str) -> None:
        """Within a job: the library's embedder stays what it is until the job ends. Raises LibraryError when it is
        another than the worker's."""
        [(held,)] = self._db.rows("SELECT value FROM meta WHERE name = 'embedder' FOR SHARE") or [(None,)]
        if held != embedder_id:
            raise LibraryError(
                f"{self._db.name}: its vectors are of {held}, and this worker listens with {embedder_id}; start it "
                "with the --classifier that the library was made with"
            )

    def close(self) -> None:
        """Let go of the second connection."""
        if self._notes is not None:
            self._notes.close()
            self._notes = None


__all__ = ["MAX_ATTEMPTS", "Job", "JobQueue"]
