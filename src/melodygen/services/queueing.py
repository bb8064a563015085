"""The queue of a library in PostgreSQL: what is to be heard is put into it, and workers hear it, on any machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import TYPE_CHECKING

from melodygen.errors import UsageError
from melodygen.io.folder import stamp_of
from melodygen.library import intake as taking
from melodygen.library.address import open_store
from melodygen.library.queue import MAX_ATTEMPTS, Job
from melodygen.library.server import ServerStore
from melodygen.library.store import LibraryStore
from melodygen.library.track import Description, Failed
from melodygen.processes import ScriptlessContext

if TYPE_CHECKING:
    from melodygen.services.describing import Describer
    from melodygen.services.library import Library

POLL_SECONDS = 0.3
Heard = Callable[[str, str], None]
"""Told after each file of the queue: its path, and why it was skipped, or nothing."""


def server_of(store: LibraryStore) -> ServerStore:
    """Raises UsageError for a library in a folder, which has no queue."""
    if not isinstance(store, ServerStore):
        raise UsageError(
            f"{store.name} is a folder, which has one writer and no queue; workers need --library postgresql://…"
        )
    return store


def work(
    store: ServerStore, describer: Callable[[], Describer], until_empty: bool, progress: Heard | None
) -> int:
    """Take jobs and put their tracks in, until stopped, or until no job is free; the number of tracks put in.

    ``describer`` is called when there is a first job. Raises LibraryError when the library is of another embedder, or
    the database goes away; the job then goes back into the queue.
    """
    count = 0
    while True:
        with store.queue.take() as job:
            if job is not None:
                path, reason = _heard(store, describer(), job)
                count += not reason
        if job is None:
            if until_empty:
                return count
            time.sleep(POLL_SECONDS)
        elif progress is not None:
            progress(path, reason)


def _heard(store: ServerStore, describer: Describer, job: Job) -> tuple[str, str]:
    """(path, why it was skipped) of a job; its track is in when there is no reason."""
    store.queue.hold_embedder(describer.embedder_id)
    there = [path for path, stamp in job.files if stamp_of(Path(path)) == stamp]
    path = there[0] if there else job.files[0][0] if job.files else job.content_hash
    if job.attempts > MAX_ATTEMPTS:
        found: Description | str = f"{MAX_ATTEMPTS} workers ended while they heard it"
    elif not there:
        found = "no such file on the machine of the worker, or it has changed since it was queued"
    else:
        found = describer.describe_or_reason(Path(path))
    stamps = dict(job.files)
    if isinstance(found, str):
        for other, stamp in job.files:
            store.catalog.put_skipped(other, stamp, found.replace("\0", ""))
        return path, found
    track_id = store.put(path, stamps.pop(path), job.content_hash, found)
    for other, stamp in stamps.items():
        store.place(other, stamp, track_id)
    return path, ""


def enqueue(store: ServerStore, item: taking.Pending, intake: taking.Intake) -> bool:
    """False when a worker put the content in meanwhile: the file then has its place."""
    while not store.queue.put(item.path, item.stamp, item.content_hash):
        track_id = store.catalog.track_of_hash(item.content_hash)
        if track_id is not None:
            store.place(item.path, item.stamp, track_id)
            intake.duplicates += 1
            return False
    return True


def hear_queued(
    library: Library, items: Sequence[taking.Pending], intake: taking.Intake, workers: int,
    classifier: str | None, progress: Callable[[int, str], None],
) -> None:  # fmt: skip
    """Until all of ``items`` are heard, by ``workers`` processes here and whoever else works.

    ``progress`` gets the number of items that are done, and a path.
    """
    store = server_of(library.store)
    hashes = [item.content_hash for item in items]

    def tell(path: str, _: str = "") -> None:
        progress(len(items) - store.queue.waiting(hashes), path)

    context = ScriptlessContext()
    processes: list[SpawnProcess] = []
    try:
        while store.queue.waiting(hashes):
            if workers <= 1:
                work(store, lambda: library.describer, True, tell)
            elif not any(process.is_alive() for process in processes):
                # at first; and where all have ended and something is left, which another holds, or one died on
                processes = [
                    context.Process(target=_work_there, args=(store.url, classifier), daemon=True)
                    for _ in range(workers)
                ]
                for process in processes:
                    process.start()
            time.sleep(POLL_SECONDS)
            tell(items[0].path)
    finally:
        for process in processes:
            process.kill()
    skipped = store.catalog.skipped()
    for item in items:
        if store.catalog.track_of_hash(item.content_hash) is not None:
            intake.added += 1
        else:
            reason = skipped[item.path][2] if item.path in skipped else "it was taken out of the queue"
            intake.failed.append(Failed(item.path, reason))


def _work_there(url: str, classifier: str | None) -> None:
    """A process of ``hear_queued``."""
    import signal

    import torch

    from melodygen.services.describing import Describer

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to act on
    torch.set_num_threads(1)
    held: list[Describer] = []

    def describer() -> Describer:
        if not held:
            held.append(Describer.load(classifier))
        return held[0]

    with open_store(url) as store:
        work(server_of(store), describer, True, None)


__all__ = ["Heard", "enqueue", "hear_queued", "server_of", "work"]
