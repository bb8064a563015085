"""What is known about the tracks, in a database: the one place that says what the library holds.

Every change of a track is one transaction, so a reader or a later writer sees it whole or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from melodygen.errors import LibraryError
from melodygen.library.database import Database
from melodygen.library.schema import TABLES, VERSION, statements
from melodygen.library.track import Facts, Tags, TrackRecord

TAG_FIELDS = ("title", "artist", "album", "year", "rights", "isrc")
FACT_FIELDS = (
    "kind", "duration_seconds", "styles", "qpm", "meter", "key_tonic", "key_mode", "valence", "arousal", "not_music",
)  # fmt: skip
_COLUMNS = ", ".join(("track_id", "content_hash", *FACT_FIELDS, *TAG_FIELDS))


@dataclass(frozen=True)
class FileStamp:
    """A file as it was when it was described."""

    track_id: int
    size_bytes: int
    modified_ns: int


class Catalog:
    """The tables that every library has. Close it, or use it in a ``with``."""

    def __init__(self, database: Database, own_tables: str, create: bool = False) -> None:
        """``own_tables`` are made beside the common ones. Raises LibraryError for a database that holds no library,
        or one of another version."""
        self.database = database
        self.rows, self.change, self.transaction = database.rows, database.change, database.transaction
        if not database.has_table("meta"):
            if not create:
                raise LibraryError(
                    f"{database.name}: no library in it; make one with: melodygen library add FOLDER"
                )
            with self.transaction():
                for statement in statements(TABLES + own_tables, database.types):
                    self.change(statement)
                self.set_meta("version", str(VERSION))
        version = self.meta("version")
        if version != str(VERSION):
            raise LibraryError(
                f"{database.name}: a library of version {version}; this melodygen reads version {VERSION}. "
                "Add the music to a new library: melodygen library add FOLDER --library ELSEWHERE"
            )

    def __enter__(self) -> Catalog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the database."""
        self.database.close()

    def meta(self, name: str) -> str | None:
        """A note about the library as a whole; None where there is none."""
        found = self.rows("SELECT value FROM meta WHERE name = ?", (name,))
        return str(found[0][0]) if found else None

    def set_meta(self, name: str, value: str) -> None:
        """Note something about the library as a whole."""
        self.change(
            "INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (name, value),
        )

    # tracks and files

    def track_of_hash(self, content_hash: str) -> int | None:
        """The track of these bytes; None where there is none."""
        found = self.rows("SELECT track_id FROM tracks WHERE content_hash = ?", (content_hash,))
        return int(found[0][0]) if found else None

    def put_track(self, content_hash: str, facts: Facts, tags: Tags) -> int:
        """A track; its id. One of the same content is described anew."""
        values = [content_hash, *_fact_values(facts), *(getattr(tags, name) for name in TAG_FIELDS)]
        marks = ", ".join("?" * (len(values)))
        names = _COLUMNS.removeprefix("track_id, ")
        anew = ", ".join(f"{name} = excluded.{name}" for name in (*FACT_FIELDS, *TAG_FIELDS))
        self.change(
            f"INSERT INTO tracks ({names}) VALUES ({marks}) ON CONFLICT (content_hash) DO UPDATE SET {anew}",
            values,
        )
        return int(self.rows("SELECT track_id FROM tracks WHERE content_hash = ?", (content_hash,))[0][0])

    def remove_track(self, track_id: int) -> None:
        """With all that hangs on it."""
        self.change("DELETE FROM tracks WHERE track_id = ?", (track_id,))

    def put_file(self, path: str, stamp: FileStamp) -> None:
        """A place where a track lies."""
        self.change(
            "INSERT INTO files VALUES (?, ?, ?, ?) ON CONFLICT (path) DO UPDATE SET track_id = excluded.track_id, "
            "size_bytes = excluded.size_bytes, modified_ns = excluded.modified_ns",
            (path, stamp.track_id, stamp.size_bytes, stamp.modified_ns),
        )

    def remove_file(self, path: str) -> None:
        """Forget a place."""
        self.change("DELETE FROM files WHERE path = ?", (path,))

    def files(self) -> dict[str, FileStamp]:
        """Every place, and what lies there."""
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
            inside = f"track_id IN {self.database.listed}"
            found = self.rows(f"SELECT {_COLUMNS} FROM tracks WHERE {inside}", (listed,))
            places = self.rows(f"SELECT track_id, path FROM files WHERE {inside} ORDER BY path", (listed,))
        paths: dict[int, list[str]] = {}
        for track_id, path in places:
            paths.setdefault(track_id, []).append(path)
        records = {row[0]: _record(row, tuple(paths.get(row[0], ()))) for row in found}
        return records if wanted is None else {i: records[i] for i in wanted if i in records}

    def tracks_of_kind(self, kind: str) -> set[int]:
        """The ids of tracks: ``recording``, ``render`` or ``score``."""
        return {int(row[0]) for row in self.rows("SELECT track_id FROM tracks WHERE kind = ?", (kind,))}

    def num_tracks(self) -> int:
        """How many tracks there are."""
        return int(self.rows("SELECT count(*) FROM tracks")[0][0])

    # blobs

    def put_blob(self, track_id: int, name: str, data: bytes) -> None:
        """What is needed of a few tracks at a time: ``chroma`` or ``notes``."""
        self.change(
            "INSERT INTO blobs VALUES (?, ?, ?) ON CONFLICT (track_id, name) DO UPDATE SET data = excluded.data",
            (track_id, name, data),
        )

    def blobs(self, name: str, track_ids: Iterable[int]) -> dict[int, bytes]:
        """Track -> blob, of the tracks that have one."""
        listed = json.dumps([int(i) for i in track_ids])
        found = self.rows(
            f"SELECT track_id, data FROM blobs WHERE name = ? AND track_id IN {self.database.listed}",
            (name, listed),
        )
        return {int(track): bytes(data) for track, data in found}

    # files that were skipped

    def put_skipped(self, path: str, stamp: tuple[int, int], reason: str) -> None:
        """``stamp``: size in bytes and time of change in nanoseconds; the file is tried again when they differ."""
        self.change(
            "INSERT INTO skipped VALUES (?, ?, ?, ?) ON CONFLICT (path) DO UPDATE SET "
            "size_bytes = excluded.size_bytes, modified_ns = excluded.modified_ns, reason = excluded.reason",
            (path, *stamp, reason),
        )

    def skipped(self) -> Mapping[str, tuple[int, int, str]]:
        """Path -> size in bytes, time of change in nanoseconds, and why it was skipped."""
        return {
            p: (s, m, r)
            for p, s, m, r in self.rows("SELECT path, size_bytes, modified_ns, reason FROM skipped")
        }

    def forget_skipped(self, path: str) -> None:
        """The file at ``path`` is in."""
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


__all__ = ["Catalog", "FileStamp"]
