"""A library in a folder: a SQLite catalogue, the row files beside it, and the writer's lock.

The order of writing makes a killed writer harmless: rows go to the disk first, behind all rows that count, and then one
transaction of the catalogue makes them count.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from melodygen.library.approximate import FROM_TRACKS, VectorGraph, has_usearch
from melodygen.library.catalog import Catalog
from melodygen.library.database import SqliteDatabase
from melodygen.library.lock import writer_lock
from melodygen.library.rows import RowFile, Rows
from melodygen.library.schema import FOLDER_TABLES
from melodygen.library.similar import SoundSpace
from melodygen.library.store import CATALOG, SOUND, LibraryStore

LOCK = "writer.lock"
DEAD_SHARE = 0.3
"""Of the rows of a space; above it, the space is written anew without the dead ones."""


@dataclass(frozen=True)
class Span:
    """Rows of a row file."""

    space: str
    first_row: int
    num_rows: int


class FolderStore(LibraryStore):
    """One folder and one writer. Many may read meanwhile."""

    def __init__(self, folder: Path, create: bool = False) -> None:
        """``create`` makes it where it is missing. Raises LibraryError when it is not there or not a library."""
        self.folder = Path(folder)
        if create:
            self.folder.mkdir(parents=True, exist_ok=True)
        catalog = Catalog(SqliteDatabase(self.folder / CATALOG, create), FOLDER_TABLES, create)
        super().__init__(catalog, str(self.folder))

    @contextmanager
    def writing(self) -> Iterator[None]:
        with writer_lock(self.folder / LOCK):
            yield

    def _keep(self, spaces: Mapping[str, NDArray[Any]]) -> list[Span]:
        spans = []
        for space, rows in spaces.items():
            at = self._next_row(space)
            self._file(space).write(at, rows)
            spans.append(Span(space, at, len(rows)))
        return spans

    def _attach(self, track_id: int, kept: list[Span]) -> None:
        self.catalog.change("DELETE FROM spans WHERE track_id = ?", (track_id,))
        for span in kept:
            self._put_span(track_id, span)

    def _put_span(self, track_id: int, span: Span) -> None:
        self.catalog.change(
            "INSERT INTO spans (space, first_row, num_rows, track_id) VALUES (?, ?, ?, ?)",
            (span.space, span.first_row, span.num_rows, track_id),
        )

    def _next_row(self, space: str) -> int:
        found = self.catalog.rows(
            "SELECT first_row + num_rows FROM spans WHERE space = ? ORDER BY first_row DESC LIMIT 1", (space,)
        )
        return int(found[0][0]) if found else 0

    def rows(self, space: str) -> Rows:
        found = self.catalog.rows(
            "SELECT first_row, num_rows, track_id FROM spans WHERE space = ? ORDER BY first_row", (space,)
        )
        first, count, track = np.array(found, dtype=np.int64).reshape(-1, 3).T
        last = int(first[-1] + count[-1]) if len(first) else 0
        return Rows(self._file(space).read(last), first, count, track)

    def space(self) -> SoundSpace:
        graph, rows = self._graph(), self.sound()
        return (graph and graph.space(rows)) or SoundSpace(rows)

    def update_graph(self) -> None:
        if graph := self._graph():
            graph.update(self.sound())

    def _graph(self) -> VectorGraph | None:
        """None for a library that is looked through quickly, or without usearch."""
        if self.embedder_id is None or self.catalog.num_tracks() < FROM_TRACKS or not has_usearch():
            return None
        return VectorGraph(self.folder, self.embedder_id)

    def embedded(self) -> set[int]:
        return set(self.rows(f"{SOUND}{self.embedder_id}").track.tolist())

    def num_bytes(self) -> int:
        return sum(p.stat().st_size for p in self.folder.iterdir() if p.is_file())

    def forget_other_vectors(self, embedder_id: str) -> None:
        for space in self._spaces():
            if space.startswith(SOUND) and space != f"{SOUND}{embedder_id}":
                with self.catalog.transaction():
                    self.catalog.change("DELETE FROM spans WHERE space = ?", (space,))
                self._file(space).path.unlink(missing_ok=True)

    def _spaces(self) -> list[str]:
        return [str(row[0]) for row in self.catalog.rows("SELECT DISTINCT space FROM spans ORDER BY space")]

    def compact(self) -> dict[str, int]:
        gone = {}
        for space in self._spaces():
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
                self._put_span(track, Span(space, at, count))
                at += count
            self.catalog.set_meta(f"generation:{space}", str(generation))
        old.path.unlink(missing_ok=True)

    def _file(self, space: str) -> RowFile:
        generation = int(self.catalog.meta(f"generation:{space}") or 0)
        return RowFile(self._path(space, generation), *self._shape(space))

    def _path(self, space: str, generation: int) -> Path:
        name = "".join(c if c.isalnum() or c in "-_." else "_" for c in space)
        return self.folder / f"{name}.{generation}.rows"


__all__ = ["FolderStore", "Span"]
