"""What is known about the tracks, in SQLite: the one place that says what the library holds.

Every change of a track is one transaction, so a reader or a later writer sees it whole or not at all. The journal is
a write-ahead log: readers never wait for the writer.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from melodygen.errors import LibraryError
from melodygen.library.schema import TABLES, VERSION
from melodygen.library.track import Facts, Tags, TrackRecord

Ints = NDArray[np.int64]
TAG_FIELDS = ("title", "artist", "album", "year", "rights", "isrc")
FACT_FIELDS = (
    "kind", "duration_seconds", "styles", "qpm", "meter", "key_tonic", "key_mode", "valence", "arousal", "not_music",
)  # fmt: skip
_COLUMNS = ", ".join(("track_id", "content_hash", *FACT_FIELDS, *TAG_FIELDS))
BUSY_SECONDS = 30.0


@dataclass(frozen=True)
class FileStamp:
    """A file as it was when it was described."""

    track_id: int
    size_bytes: int
    modified_ns: int


@dataclass(frozen=True)
class Span:
    """Rows of a row file."""

    space: str
    first_row: int
    num_rows: int


class Catalog:
    """One SQLite file. Close it, or use it in a ``with``."""

    def __init__(self, path: Path, create: bool = False) -> None:
        """Raises LibraryError for a file that is missing, no catalogue, or of another version."""
        if not create and not path.is_file():
            raise LibraryError(
                f"{path.parent}: no library there; make one with: melodygen library add FOLDER"
            )
        self.path = path
        try:
            self._db = sqlite3.connect(
                path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute("PRAGMA foreign_keys = ON")
            self._begin(create)
        except sqlite3.DatabaseError as error:
            raise LibraryError(f"{path} is not a library's catalogue ({error})") from error

    def _begin(self, create: bool) -> None:
        with self.transaction():
            held = self._db.execute("SELECT name FROM sqlite_master WHERE name = 'meta'").fetchone()
            if held is None:
                if not create:
                    raise LibraryError(f"{self.path}: no library in this file")
                for statement in TABLES.split(";"):
                    if statement.strip():
                        self._db.execute(statement)
                self.set_meta("version", str(VERSION))
        version = self.meta("version")
        if version != str(VERSION):
            raise LibraryError(
                f"{self.path}: a library of version {version}; this melodygen reads version {VERSION}. "
                "Build it again with: melodygen library add --rebuild"
            )

    def __enter__(self) -> Catalog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._db.execute(query, values).fetchall()

    def change(self, statement: str, values: Sequence[Any] = ()) -> int:
        """Carry out one statement; the number of rows it touched."""
        return self._db.execute(statement, values).rowcount

    def meta(self, name: str) -> str | None:
        found = self.rows("SELECT value FROM meta WHERE name = ?", (name,))
        return str(found[0][0]) if found else None

    def set_meta(self, name: str, value: str) -> None:
        self.change("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    # tracks and files

    def track_of_hash(self, content_hash: str) -> int | None:
        found = self.rows("SELECT track_id FROM tracks WHERE content_hash = ?", (content_hash,))
        return int(found[0][0]) if found else None

    def put_track(self, content_hash: str, facts: Facts, tags: Tags) -> int:
        """A new track; its id."""
        values = [content_hash, *_fact_values(facts), *(getattr(tags, name) for name in TAG_FIELDS)]
        marks = ", ".join("?" * (len(values)))
        names = _COLUMNS.removeprefix("track_id, ")
        self.change(f"INSERT INTO tracks ({names}) VALUES ({marks})", values)
        return int(self.rows("SELECT last_insert_rowid()")[0][0])

    def remove_track(self, track_id: int) -> None:
        """With all that hangs on it."""
        self.change("DELETE FROM tracks WHERE track_id = ?", (track_id,))

    def put_file(self, path: str, stamp: FileStamp) -> None:
        self.change(
            "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)",
            (path, stamp.track_id, stamp.size_bytes, stamp.modified_ns),
        )

    def remove_file(self, path: str) -> None:
        self.change("DELETE FROM files WHERE path = ?", (path,))

    def files(self) -> dict[str, FileStamp]:
        found = self.rows("SELECT path, track_id, size_bytes, modified_ns FROM files")
        return {path: FileStamp(track, size, modified) for path, track, size, modified in found}

    def tracks(self, track_ids: Iterable[int] | None = None) -> dict[int, TrackRecord]:
        """All tracks, or those asked for, in the order asked; ids that are not there are left out."""
        if track_ids is None:
            found, wanted = self.rows(f"SELECT {_COLUMNS} FROM tracks ORDER BY track_id"), None
            places = self.rows("SELECT track_id, path FROM files ORDER BY path")
        else:
            wanted = list(dict.fromkeys(int(i) for i in track_ids))
            listed = json.dumps(wanted)
            inside = "track_id IN (SELECT value FROM json_each(?))"
            found = self.rows(f"SELECT {_COLUMNS} FROM tracks WHERE {inside}", (listed,))
            places = self.rows(f"SELECT track_id, path FROM files WHERE {inside} ORDER BY path", (listed,))
        paths: dict[int, list[str]] = {}
        for track_id, path in places:
            paths.setdefault(track_id, []).append(path)
        records = {row[0]: _record(row, tuple(paths.get(row[0], ()))) for row in found}
        return records if wanted is None else {i: records[i] for i in wanted if i in records}

    def num_tracks(self) -> int:
        return int(self.rows("SELECT count(*) FROM tracks")[0][0])

    # rows and blobs

    def next_row(self, space: str) -> int:
        found = self.rows(
            "SELECT first_row + num_rows FROM spans WHERE space = ? ORDER BY first_row DESC LIMIT 1", (space,)
        )
        return int(found[0][0]) if found else 0

    def put_span(self, track_id: int, span: Span) -> None:
        self.change(
            "INSERT INTO spans (space, first_row, num_rows, track_id) VALUES (?, ?, ?, ?)",
            (span.space, span.first_row, span.num_rows, track_id),
        )

    def spans(self, space: str) -> tuple[Ints, Ints, Ints]:
        """(first rows, numbers of rows, track ids) in the order of the rows."""
        found = self.rows(
            "SELECT first_row, num_rows, track_id FROM spans WHERE space = ? ORDER BY first_row", (space,)
        )
        table = np.array(found, dtype=np.int64).reshape(-1, 3)
        return table[:, 0], table[:, 1], table[:, 2]

    def spaces(self) -> list[str]:
        return [str(row[0]) for row in self.rows("SELECT DISTINCT space FROM spans ORDER BY space")]

    def put_blob(self, track_id: int, name: str, data: bytes) -> None:
        self.change("INSERT OR REPLACE INTO blobs VALUES (?, ?, ?)", (track_id, name, data))

    def blobs(self, name: str, track_ids: Iterable[int]) -> dict[int, bytes]:
        listed = json.dumps([int(i) for i in track_ids])
        found = self.rows(
            "SELECT track_id, data FROM blobs WHERE name = ? AND track_id IN (SELECT value FROM json_each(?))",
            (name, listed),
        )
        return {int(track): bytes(data) for track, data in found}

    # files that were skipped

    def put_skipped(self, path: str, stamp: tuple[int, int], reason: str) -> None:
        self.change("INSERT OR REPLACE INTO skipped VALUES (?, ?, ?, ?)", (path, *stamp, reason))

    def skipped(self) -> Mapping[str, tuple[int, int, str]]:
        return {
            p: (s, m, r)
            for p, s, m, r in self.rows("SELECT path, size_bytes, modified_ns, reason FROM skipped")
        }

    def forget_skipped(self, path: str) -> None:
        self.change("DELETE FROM skipped WHERE path = ?", (path,))


def _fact_values(facts: Facts) -> list[Any]:
    tonic, mode = facts.key or (None, None)
    meter = None if facts.meter is None else f"{facts.meter[0]}/{facts.meter[1]}"
    styles = json.dumps([[label, round(p, 6)] for label, p in facts.styles])
    return [
        facts.kind, facts.duration_seconds, styles, facts.qpm, meter, tonic, mode, facts.valence, facts.arousal,
        facts.not_music,
    ]  # fmt: skip


def _record(row: tuple[Any, ...], paths: tuple[str, ...]) -> TrackRecord:
    track_id, content_hash, kind, seconds, styles, qpm, meter, tonic, mode, valence, arousal, not_music = row[
        :12
    ]
    parts = None if meter is None else meter.split("/")
    facts = Facts(
        kind=kind,
        duration_seconds=seconds,
        styles=tuple((label, p) for label, p in json.loads(styles)),
        qpm=qpm,
        meter=None if parts is None else (int(parts[0]), int(parts[1])),
        key=None if tonic is None else (tonic, mode),
        valence=valence,
        arousal=arousal,
        not_music=not_music,
    )
    return TrackRecord(track_id, content_hash, paths, facts, Tags(*row[12:]))


__all__ = ["Catalog", "FileStamp", "Span"]
