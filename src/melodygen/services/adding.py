"""Filling a library: files are described in worker processes and put in, one transaction a track, as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from melodygen.classification.batch import default_workers
from melodygen.errors import LibraryError
from melodygen.io.folder import stamp_of
from melodygen.library import intake as taking
from melodygen.library.server import ServerStore
from melodygen.library.store import LibraryStore
from melodygen.library.track import Description, Failed
from melodygen.services.describing import Describer
from melodygen.services.queueing import enqueue, hear_queued, server_of
from melodygen.worker_pool import in_processes

if TYPE_CHECKING:
    from melodygen.services.library import Library

Outcome = tuple[taking.Pending, Description | str]
"""A description, or the reason there is none."""
Progress = Callable[[int, int, str], None]

_here: list[Describer] = []
"""Of a worker process, made when it starts."""


@dataclass(frozen=True)
class Filling:
    """How to add.

    ``workers``     processes; None is one a core.
    ``re_embed``    describe again what another model described.
    ``queue_only``  leave the hearing to workers; for libraries on a server.
    ``classifier``  whose styles; None is the shipped one.
    """

    workers: int | None = None
    re_embed: bool = False
    queue_only: bool = False
    classifier: str | None = None


def add_files(
    library: Library, roots: Sequence[Path], filling: Filling, progress: Progress | None
) -> taking.Intake:
    """Needs the right to write. See :meth:`melodygen.services.library.Library.add`."""
    store = library.store
    if filling.queue_only:
        server_of(store)
    missing = [root for root in roots if not root.is_dir() and stamp_of(root) is None]
    if missing:
        raise LibraryError(f"{missing[0]}: no file or folder there")
    _choose_embedder(store, library.describer, filling.re_embed)
    files = taking.files_of(roots)
    if filling.re_embed:
        files = list(dict.fromkeys((*files, *(Path(p) for p in sorted(store.catalog.files())))))
    result = taking.Intake()
    waiting = taking.pending(store, files, result, filling.re_embed)
    workers = filling.workers or default_workers(len(files))
    tell = _counting(result, len(files), progress)
    if isinstance(store, ServerStore):
        queued = [item for item in waiting if enqueue(store, item, result)]
        if filling.queue_only:  # a job has all places of its content
            queued += [twin for twin in result.twins if enqueue(store, twin, result)]
            result.twins.clear()
            result.queued = len(queued)
        elif queued:
            hear_queued(library, queued, result, workers, filling.classifier, tell)
    else:
        for item, found in _described(waiting, workers, library.describer, filling.classifier):
            if isinstance(found, str):
                result.failed.append(Failed(item.path, found))
                store.catalog.put_skipped(item.path, item.stamp, found)
            else:
                store.put(item.path, item.stamp, item.content_hash, found)
                result.added += 1
            tell(0, item.path)
    taking.place_twins(store, result)
    result.gone = taking.gone(store, [root for root in roots if root.is_dir()])
    store.compact()
    store.update_graph()
    return result


def _counting(result: taking.Intake, total: int, progress: Progress | None) -> Callable[[int, str], None]:
    """``tell(ahead, path)``: what ``result`` counts is done, and ``ahead`` more."""

    def tell(ahead: int, path: str) -> None:
        if progress is not None:
            progress(result.num_done + ahead, total, path)

    return tell


def _choose_embedder(store: LibraryStore, describer: Describer, re_embed: bool) -> None:
    held = store.embedder_id
    if held is not None and held != describer.embedder_id:
        if not re_embed:
            raise store.other_embedder(describer.embedder_id)
        store.forget_other_vectors(describer.embedder_id)
    if held != describer.embedder_id:  # or else it would wait for workers, who hold it while they hear
        store.set_embedder(describer.embedder_id, describer.dimension)


def _described(
    waiting: Iterator[taking.Pending], workers: int, describer: Describer, classifier: str | None
) -> Iterator[Outcome]:
    if workers <= 1:
        for item in waiting:
            yield item, describer.describe_or_reason(Path(item.path))
    else:
        yield from in_processes(
            waiting, _describe_there, workers, _begin, (classifier,),
            lambda item: (item, "the decoder crashed on this file"),
        )  # fmt: skip


def _begin(classifier: str | None) -> None:
    import torch

    torch.set_num_threads(1)
    _here.append(Describer.load(classifier))


def _describe_there(item: taking.Pending) -> Outcome:
    return item, _here[0].describe_or_reason(Path(item.path))


__all__ = ["Filling", "add_files"]
