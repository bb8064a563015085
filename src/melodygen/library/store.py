"""A library on disk: the catalogue, the row files beside it, and the writer's lock.

The order of writing makes a killed writer harmless: rows go to the disk first, behind all rows that count, and then one
transaction of the catalogue makes them count. Spaces (row files)

    sound:<embedder id>   one float16 vector a track
    patches               what recordings are looked up by (``library.chroma``)
    steps                 intervals and rhythm of melodic lines (``library.lines``)
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from melodygen.errors import LibraryError
from melodygen.library.catalog import Catalog, FileStamp, Ints, Span
from melodygen.library.chroma import NUM_BINS, PATCH_WIDTH
from melodygen.library.lock import writer_lock
from melodygen.library.rows import RowFile
from melodygen.library.track import NOTE_DTYPE, Description, TrackRecord

CATALOG, LOCK = "catalog.sqlite", "writer.lock"
PATCHES, STEPS, SOUND = "patches", "steps", "sound:"
DEAD_SHARE = 0.3
"""Of the rows of a space; above it, the space is written anew without the dead ones."""


@dataclass(frozen=True, eq=False)
class Rows:
    """A space: ``matrix`` (N, width), and for each span where it begins, how many rows it has and whose it is."""

    matrix: NDArray[Any]
    first: Ints
    count: Ints
    track: Ints

    def span_of_rows(self) -> Ints:
        """(N,): which span each row belongs to; the number of spans for rows that count no more."""
        number = len(self.first)
        before = np.diff(self.first, prepend=0) - np.concatenate(([0], self.count[:-1]))
        lengths = np.column_stack((before, self.count)).ravel()
        return np.repeat(np.column_stack((np.full(number, number), np.arange(number))).ravel(), lengths)


class LibraryStore:
    """A folder. ``create`` makes it where it is missing. Raises LibraryError when it is not there or not a library."""

    def __init__(self, folder: Path, create: bool = False) -> None:
        self.folder = Path(folder)
        if create:
            self.folder.mkdir(parents=True, exist_ok=True)
        self.catalog = Catalog(self.folder / CATALOG, create)

    def __enter__(self) -> LibraryStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.catalog.close()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the writer's lock. Raises LibraryError when another process holds it."""
        with writer_lock(self.folder / LOCK):
            yield

    @property
    def embedder_id(self) -> str | None:
        """Of the vectors that ``similar`` looks at."""
        return self.catalog.meta("embedder")

    def set_embedder(self, embedder_id: str, width: int) -> None:
        """From now on vectors are of this embedder. Vectors of another are no longer looked at."""
        with self.catalog.transaction():
            self.catalog.set_meta("embedder", embedder_id)
            self.catalog.set_meta(f"width:{SOUND}{embedder_id}", str(width))

    def forget_other_vectors(self, embedder_id: str) -> None:
        """Let go of the vectors of every other embedder, and their files. Needs the writer's lock."""
        for space in self.catalog.spaces():
            if space.startswith(SOUND) and space != f"{SOUND}{embedder_id}":
                with self.catalog.transaction():
                    self.catalog.change("DELETE FROM spans WHERE space = ?", (space,))
                self._file(space).path.unlink(missing_ok=True)

    def put(self, path: str, stamp: tuple[int, int], content_hash: str, found: Description) -> int:
        """A described file; its track's id. Needs the writer's lock. A track of the same bytes is replaced."""
        catalog = self.catalog
        spans = []
        for space, rows in self._spaces_of(found).items():
            if len(rows):
                at = catalog.next_row(space)
                self._file(space).write(at, rows)
                spans.append(Span(space, at, len(rows)))
        with catalog.transaction():
            held = catalog.track_of_hash(content_hash)
            if held is None:
                track_id = catalog.put_track(content_hash, found.facts, found.tags)
            else:
                track_id = held
                catalog.change("DELETE FROM spans WHERE track_id = ?", (held,))
            for span in spans:
                catalog.put_span(track_id, span)
            if len(found.chroma):
                catalog.put_blob(track_id, "chroma", zlib.compress(found.chroma.tobytes(), 6))
            if len(found.notes):
                catalog.put_blob(track_id, "notes", zlib.compress(found.notes.tobytes(), 6))
            self._place(path, stamp, track_id)
        return track_id

    def place(self, path: str, stamp: tuple[int, int], track_id: int) -> None:
        """A file that holds a known track."""
        with self.catalog.transaction():
            self._place(path, stamp, track_id)

    def _place(self, path: str, stamp: tuple[int, int], track_id: int) -> None:
        """What lay at ``path`` before and lies nowhere else goes with its rows."""
        before = self.catalog.rows("SELECT track_id FROM files WHERE path = ?", (path,))
        self.catalog.put_file(path, FileStamp(track_id, *stamp))
        self.catalog.forget_skipped(path)
        for (old,) in before:
            if old != track_id and not self.catalog.rows(
                "SELECT 1 FROM files WHERE track_id = ? LIMIT 1", (old,)
            ):
                self.catalog.remove_track(old)

    def remove(self, paths: Iterable[str]) -> int:
        """Forget these places, and the tracks that lie nowhere else; the number of tracks gone. Needs the lock."""
        before = self.catalog.num_tracks()
        with self.catalog.transaction():
            for path in paths:
                self.catalog.remove_file(path)
            self.catalog.change("DELETE FROM tracks WHERE track_id NOT IN (SELECT track_id FROM files)")
        return before - self.catalog.num_tracks()

    # reading

    def rows(self, space: str) -> Rows:
        first, count, track = self.catalog.spans(space)
        last = int(first[-1] + count[-1]) if len(first) else 0
        return Rows(self._file(space).read(last), first, count, track)

    def sound(self, embedder_id: str | None = None) -> Rows:
        """Vectors of one embedder. Raises LibraryError when the library has those of another."""
        held = self.embedder_id
        if embedder_id is not None and held != embedder_id:
            raise LibraryError(
                f"{self.folder}: its vectors are of {held}, and you listen with {embedder_id}; "
                "embed it again with: melodygen library add --re-embed"
            )
        return self.rows(f"{SOUND}{held}")

    def notes(self, track_ids: Iterable[int]) -> dict[int, NDArray[np.void]]:
        found = self.catalog.blobs("notes", track_ids)
        return {i: np.frombuffer(zlib.decompress(data), dtype=NOTE_DTYPE) for i, data in found.items()}

    def chroma(self, track_ids: Iterable[int]) -> dict[int, NDArray[np.uint8]]:
        found = self.catalog.blobs("chroma", track_ids)
        return {
            i: np.frombuffer(zlib.decompress(data), dtype=np.uint8).reshape(-1, NUM_BINS)
            for i, data in found.items()
        }

    def tracks(self, track_ids: Iterable[int] | None = None) -> dict[int, TrackRecord]:
        return self.catalog.tracks(track_ids)

    def track_at(self, path: Path) -> TrackRecord | None:
        """The track that lies at ``path``: by its name if it was added there, else by its bytes."""
        for name in (str(path), str(path.absolute())):
            found = self.catalog.rows("SELECT track_id FROM files WHERE path = ?", (name,))
            if found:
                return self.tracks([found[0][0]])[found[0][0]]
        if not path.is_file():
            return None
        track_id = self.catalog.track_of_hash(hash_of(path))
        return None if track_id is None else self.tracks([track_id])[track_id]

    def compact(self) -> dict[str, int]:
        """Write spaces anew that hold too many dead rows; space -> rows let go. Needs the writer's lock."""
        gone = {}
        for space in self.catalog.spaces():
            rows = self.rows(space)
            dead = len(rows.matrix) - int(rows.count.sum())
            if dead > DEAD_SHARE * max(len(rows.matrix), 1):
                self._rewrite(space, rows)
                gone[space] = dead
        return gone

    def _rewrite(self, space: str, rows: Rows) -> None:
        """Rows move to a new generation of the file; the catalogue changes over in one transaction."""
        old = self._file(space)
        generation = int(self.catalog.meta(f"generation:{space}") or 0) + 1
        new = RowFile(self._path(space, generation), old.width, old.dtype)
        new.path.unlink(missing_ok=True)
        kept = [rows.matrix[f : f + c] for f, c in zip(rows.first.tolist(), rows.count.tolist(), strict=True)]
        new.write(0, np.concatenate(kept))
        with self.catalog.transaction():
            self.catalog.change("DELETE FROM spans WHERE space = ?", (space,))
            at = 0
            for count, track in zip(rows.count.tolist(), rows.track.tolist(), strict=True):
                self.catalog.put_span(track, Span(space, at, count))
                at += count
            self.catalog.set_meta(f"generation:{space}", str(generation))
        old.path.unlink(missing_ok=True)

    def num_bytes(self) -> int:
        """On disk."""
        return sum(p.stat().st_size for p in self.folder.iterdir() if p.is_file())

    def _spaces_of(self, found: Description) -> dict[str, NDArray[Any]]:
        embedder_id = self.embedder_id
        spaces: dict[str, NDArray[Any]] = {PATCHES: found.patches, STEPS: found.steps}
        if embedder_id is not None and len(found.vector):
            spaces[f"{SOUND}{embedder_id}"] = found.vector[None, :]
        return spaces

    def _file(self, space: str) -> RowFile:
        generation = int(self.catalog.meta(f"generation:{space}") or 0)
        if space == STEPS:
            return RowFile(self._path(space, generation), 2, "int8")
        width = PATCH_WIDTH if space == PATCHES else int(self.catalog.meta(f"width:{space}") or 1)
        return RowFile(self._path(space, generation), width, "float16")

    def _path(self, space: str, generation: int) -> Path:
        name = "".join(c if c.isalnum() or c in "-_." else "_" for c in space)
        return self.folder / f"{name}.{generation}.rows"


def hash_of(path: Path) -> str:
    """32 hexadecimal digits of BLAKE2b of the file's bytes."""
    digest = blake2b(digest_size=16)
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


__all__ = ["PATCHES", "SOUND", "STEPS", "LibraryStore", "Rows", "hash_of"]
