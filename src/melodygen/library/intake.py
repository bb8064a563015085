"""Which files of a folder need work: new ones, changed ones, moved ones, and those that are there already.

Size and time of change tell whether a file may have changed; only then its bytes are hashed. A file whose bytes are
known lies in the library already, wherever it was: it gets its place and nothing is computed again. A file that could
not be described is tried again when it has changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from melodygen.io.folder import music_files, stamp_of
from melodygen.io.notation import tunes_in
from melodygen.library.store import LibraryStore, hash_of
from melodygen.library.track import Failed


@dataclass(frozen=True)
class Pending:
    """A file to be described."""

    path: str
    stamp: tuple[int, int]
    content_hash: str


@dataclass
class Intake:
    """What became of the files looked at. ``queued`` wait for a worker; ``gone``: places in those folders where no
    file lies any more."""

    known: int = 0
    moved: int = 0
    duplicates: int = 0
    added: int = 0
    queued: int = 0
    failed: list[Failed] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    twins: list[Pending] = field(default_factory=list)
    """Files with the bytes of another one that is being described: they get their place when it is in."""

    @property
    def num_done(self) -> int:
        """Files that need no more work."""
        counted = self.known + self.moved + self.duplicates + self.added + self.queued
        return counted + len(self.failed) + len(self.twins)


def files_of(paths: Iterable[Path]) -> list[Path]:
    """Absolute paths of files as they are named, and of music files at any depth of folders; each once.

    A book of ABC tunes is its tunes: ``book.abc#1``, ``book.abc#2`` and so on.
    """
    found: dict[str, Path] = {}
    for path in paths:
        for file in music_files(path, recursive=True) if path.is_dir() else [path]:
            for tune in tunes_in(file.absolute()):
                found.setdefault(str(tune), tune)
    return list(found.values())


def pending(
    store: LibraryStore, files: Iterable[Path], intake: Intake, again: bool = False
) -> Iterator[Pending]:
    """Files to be described, one by one; the others are counted in ``intake`` and get their place.

    Needs the right to write. ``again`` describes what has no vector of the current embedder.
    """
    placed, skipped = store.catalog.files(), store.catalog.skipped()
    embedded = store.embedded() if again else set()
    coming: set[str] = set()
    for file in files:
        path = str(file)
        try:
            path.encode()
        except UnicodeEncodeError:
            shown = path.encode("utf-8", "backslashreplace").decode()
            intake.failed.append(Failed(shown, "its name is not UTF-8: rename it"))
            continue
        stamp = stamp_of(file)
        if stamp is None:
            intake.failed.append(Failed(path, "no file there"))
            continue
        held = placed.get(path)
        if (
            held is not None
            and (held.size_bytes, held.modified_ns) == stamp
            and not _is_stale(again, held.track_id, embedded)
        ):
            intake.known += 1
            continue
        if path in skipped and skipped[path][:2] == stamp:
            intake.failed.append(Failed(path, skipped[path][2]))
            continue
        try:
            content_hash = hash_of(file)
        except OSError as error:
            intake.failed.append(Failed(path, error.strerror or str(error)))
            continue
        track_id = store.catalog.track_of_hash(content_hash)
        if track_id is not None and not _is_stale(again, track_id, embedded):
            before = store.tracks([track_id])[track_id].paths
            store.place(path, stamp, track_id)
            lost = [p for p in before if p != path and stamp_of(Path(p)) is None]
            if lost:
                store.remove(lost)
            if path in before:
                intake.known += 1
            elif lost:
                intake.moved += 1
            else:
                intake.duplicates += 1
        elif content_hash in coming:
            intake.twins.append(Pending(path, stamp, content_hash))
        else:
            coming.add(content_hash)
            yield Pending(path, stamp, content_hash)


def place_twins(store: LibraryStore, intake: Intake) -> None:
    """After the others are in. A twin of a file that failed fails too."""
    for twin in intake.twins:
        track_id = store.catalog.track_of_hash(twin.content_hash)
        if track_id is None:
            intake.failed.append(Failed(twin.path, "the same bytes as a file that cannot be described"))
        else:
            store.place(twin.path, twin.stamp, track_id)
            intake.duplicates += 1
    intake.twins.clear()


def _is_stale(again: bool, track_id: int, embedded: set[int]) -> bool:
    return again and track_id not in embedded


def gone(store: LibraryStore, folders: Iterable[Path]) -> list[str]:
    """Places below ``folders`` at which the library has a track and no file lies."""
    roots = [str(f.absolute()) for f in folders]
    return [
        path for path in store.catalog.files()
        if any(path == root or path.startswith(root.rstrip("/") + "/") for root in roots)
        and stamp_of(Path(path)) is None
    ]  # fmt: skip


__all__ = ["Intake", "Pending", "files_of", "gone", "pending", "place_twins"]
