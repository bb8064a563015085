"""Filling a library: files are described in worker processes and put in, one transaction a track, as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from melodygen.classification.batch import default_workers
from melodygen.errors import LibraryError, reason_of
from melodygen.library import intake as taking
from melodygen.library.store import LibraryStore
from melodygen.library.track import Description, Failed
from melodygen.services.describing import Describer
from melodygen.services.workers import in_processes

if TYPE_CHECKING:
    from melodygen.services.library import Library

Outcome = tuple[taking.Pending, Description | str]
"""A description, or the reason there is none."""
Progress = Callable[[int, int, str], None]

_here: list[Describer] = []
"""Of a worker process, made when it starts."""


def add_files(
    library: Library, roots: Sequence[Path], workers: int | None, re_embed: bool, classifier: str | None,
    progress: Progress | None,
) -> taking.Intake:  # fmt: skip
    """Needs the writer's lock. See :meth:`melodygen.services.library.Library.add`."""
    store = library.store
    missing = [root for root in roots if not root.exists()]
    if missing:
        raise LibraryError(f"{missing[0]}: no file or folder there")
    _choose_embedder(store, library.describer, re_embed)
    files = taking.files_of(roots)
    if re_embed:
        files = list(dict.fromkeys((*files, *(Path(p) for p in sorted(store.catalog.files())))))
    result = taking.Intake()
    waiting = taking.pending(store, files, result, re_embed)
    count = workers or default_workers(len(files))
    for item, found in _described(waiting, count, library.describer, classifier):
        if isinstance(found, str):
            result.failed.append(Failed(item.path, found))
            store.catalog.put_skipped(item.path, item.stamp, found)
        else:
            store.put(item.path, item.stamp, item.content_hash, found)
            result.added += 1
        if progress is not None:
            done = (
                result.known
                + result.moved
                + result.duplicates
                + result.added
                + len(result.failed)
                + len(result.twins)
            )
            progress(done, len(files), item.path)
    taking.place_twins(store, result)
    result.gone = taking.gone(store, [root for root in roots if root.is_dir()])
    store.compact()
    return result


def _choose_embedder(store: LibraryStore, describer: Describer, re_embed: bool) -> None:
    held = store.embedder_id
    if held is not None and held != describer.embedder_id:
        if not re_embed:
            store.sound(describer.embedder_id)  # raises, and says the way out
        store.forget_other_vectors(describer.embedder_id)
    store.set_embedder(describer.embedder_id, describer.dimension)


def _described(
    waiting: Iterator[taking.Pending], workers: int, describer: Describer, classifier: str | None
) -> Iterator[Outcome]:
    if workers <= 1:
        for item in waiting:
            yield item, _describe(describer, item)
    else:
        yield from in_processes(
            waiting, _describe_there, workers, _begin, (classifier,),
            lambda item: (item, "the decoder crashed on this file"),
        )  # fmt: skip


def _begin(classifier: str | None) -> None:
    _here.append(Describer.load(classifier))


def _describe_there(item: taking.Pending) -> Outcome:
    return item, _describe(_here[0], item)


def _describe(describer: Describer, item: taking.Pending) -> Description | str:
    """Every failure becomes a line: nothing that a file holds may stop the others."""
    path = Path(item.path)
    try:
        return describer.describe(path)
    except Exception as error:
        return reason_of(error, path.name)


__all__ = ["add_files"]
