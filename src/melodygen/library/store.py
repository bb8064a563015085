"""What a library keeps: the catalogue, and spaces of rows that questions scan. How rows are kept is each store's own.

Spaces

    sound:<embedder id>   one float16 vector a track
    patches               what recordings are looked up by (``library.chroma``)
    steps                 intervals and rhythm of melodic lines (``library.lines``)

``folder.FolderStore`` keeps them in files beside a SQLite catalogue, ``server.ServerStore`` in PostgreSQL.
"""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from hashlib import blake2b
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from melodygen.errors import LibraryError
from melodygen.io.notation import split_tune
from melodygen.library.catalog import Catalog, FileStamp
from melodygen.library.chroma import NUM_BINS, PATCH_WIDTH
from melodygen.library.embedding import vectors_of
from melodygen.library.rows import Rows
from melodygen.library.similar import SoundSpace
from melodygen.library.track import NOTE_DTYPE, Description, TrackRecord

PATCHES, STEPS, SOUND = "patches", "steps", "sound:"
CATALOG = "catalog.sqlite"
"""A library's folder is one that holds a file of this name."""


class LibraryStore(ABC):
    """A library that is open. Close it, or use it in a ``with``.

    Attributes:
        catalog: what is known about the tracks.
        name: where the library lies, for messages; without a password.
    """

    def __init__(self, catalog: Catalog, name: str) -> None:
        self.catalog, self.name = catalog, name

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the database."""
        self.catalog.close()

    # how rows are kept

    @abstractmethod
    def writing(self) -> AbstractContextManager[None]:
        """The right to write. Raises LibraryError when another process has it and the store allows only one."""

    @abstractmethod
    def _keep(self, spaces: Mapping[str, NDArray[Any]]) -> Any:
        """Before the transaction of a track: bring its rows to where they do no harm if it does not come about."""

    @abstractmethod
    def _attach(self, track_id: int, kept: Any) -> None:
        """Within the transaction: what ``_keep`` returned counts from now on, and what the track had before no more."""

    @abstractmethod
    def rows(self, space: str) -> Rows:
        """All rows of a space, as they are now."""

    @abstractmethod
    def forget_other_vectors(self, embedder_id: str) -> None:
        """Let go of the vectors of every other embedder. Needs the right to write."""

    @abstractmethod
    def compact(self) -> dict[str, int]:
        """Write spaces anew that hold too many dead rows; space -> rows let go. Needs the right to write."""

    @abstractmethod
    def num_bytes(self) -> int:
        """On disk."""

    # writing

    @property
    def embedder_id(self) -> str | None:
        """Of the vectors that ``similar`` looks at."""
        return self.catalog.meta("embedder")

    def set_embedder(self, embedder_id: str, width: int) -> None:
        """From now on vectors are of this embedder. Vectors of another are no longer looked at."""
        with self.catalog.transaction():
            self.catalog.set_meta("embedder", embedder_id)
            self.catalog.set_meta(f"width:{SOUND}{embedder_id}", str(width))

    def put(self, path: str, stamp: tuple[int, int], content_hash: str, found: Description) -> int:
        """A described file; its track's id. Needs the right to write. A track of the same bytes is replaced."""
        catalog = self.catalog
        kept = self._keep(self._spaces_of(found))
        with catalog.transaction():
            track_id = catalog.put_track(content_hash, found.facts, found.tags)
            self._attach(track_id, kept)
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
        """Forget these places, and the tracks that lie nowhere else; the number of tracks gone.

        Needs the right to write.
        """
        before = self.catalog.num_tracks()
        with self.catalog.transaction():
            for path in paths:
                self.catalog.remove_file(path)
            self.catalog.change("DELETE FROM tracks WHERE track_id NOT IN (SELECT track_id FROM files)")
        return before - self.catalog.num_tracks()

    # reading

    def sound(self, embedder_id: str | None = None) -> Rows:
        """Vectors of one embedder. Raises LibraryError when the library has those of another; whose styles they come
        with makes no difference."""
        held = self.embedder_id
        if embedder_id is not None and vectors_of(held or "") != vectors_of(embedder_id):
            raise self.other_embedder(embedder_id)
        return self.rows(f"{SOUND}{held}")

    def other_embedder(self, embedder_id: str) -> LibraryError:
        """What to raise where the library was filled with another embedder, or with other styles."""
        return LibraryError(
            f"{self.name}: its vectors are of {self.embedder_id}, and you listen with {embedder_id}; give the "
            "--classifier it was made with, or embed it again with: melodygen library add --re-embed"
        )

    @abstractmethod
    def space(self) -> SoundSpace:
        """What sounds alike: of the vectors of the library's embedder."""

    @abstractmethod
    def update_graph(self) -> None:
        """What makes neighbours quick to find in a large library follows its tracks. Needs the right to write."""

    @abstractmethod
    def embedded(self) -> set[int]:
        """Tracks that have a vector of the library's embedder."""

    def notes(self, track_ids: Iterable[int]) -> dict[int, NDArray[np.void]]:
        """NOTE_DTYPE arrays of the tracks that have lines."""
        found = self.catalog.blobs("notes", track_ids)
        return {i: np.frombuffer(zlib.decompress(data), dtype=NOTE_DTYPE) for i, data in found.items()}

    def chroma(self, track_ids: Iterable[int]) -> dict[int, NDArray[np.uint8]]:
        """(T, 24) arrays of the tracks that have a fingerprint, as they are stored."""
        found = self.catalog.blobs("chroma", track_ids)
        return {
            i: np.frombuffer(zlib.decompress(data), dtype=np.uint8).reshape(-1, NUM_BINS)
            for i, data in found.items()
        }

    def tracks(self, track_ids: Iterable[int] | None = None) -> dict[int, TrackRecord]:
        """All tracks, or those asked for, by their ids; ids that are not there are left out."""
        return self.catalog.tracks(track_ids)

    def track_at(self, path: Path) -> TrackRecord | None:
        """The track that lies at ``path``: by its name if it was added there, else by its bytes."""
        for name in (str(path), str(path.absolute())):
            found = self.catalog.rows("SELECT track_id FROM files WHERE path = ?", (name,))
            if found:
                return self.tracks([found[0][0]])[found[0][0]]
        if not split_tune(path)[0].is_file():
            return None
        track_id = self.catalog.track_of_hash(hash_of(path))
        return None if track_id is None else self.tracks([track_id])[track_id]

    def _spaces_of(self, found: Description) -> dict[str, NDArray[Any]]:
        embedder_id = self.embedder_id
        spaces: dict[str, NDArray[Any]] = {PATCHES: found.patches, STEPS: found.steps}
        if embedder_id is not None and len(found.vector):
            spaces[f"{SOUND}{embedder_id}"] = found.vector[None, :]
        return {space: rows for space, rows in spaces.items() if len(rows)}

    def _shape(self, space: str) -> tuple[int, str]:
        """(width, numpy's name of the type) of a space's rows."""
        if space == STEPS:
            return 2, "int8"
        return PATCH_WIDTH if space == PATCHES else int(self.catalog.meta(f"width:{space}") or 1), "float16"


def hash_of(path: Path) -> str:
    """32 hexadecimal digits of BLAKE2b of the file's bytes; of a tune's book and its number for ``book.abc#2``."""
    digest = blake2b(digest_size=16)
    file, number = split_tune(path)
    if number is not None:
        digest.update(f"#{number} ".encode())
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


__all__ = ["CATALOG", "PATCHES", "SOUND", "STEPS", "LibraryStore", "hash_of"]
