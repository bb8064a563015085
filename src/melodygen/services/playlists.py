"""Playlists of a library: from one track to another in small steps, kept under a name, and as M3U8."""

from __future__ import annotations

from collections.abc import Sequence

from melodygen.errors import LibraryError
from melodygen.library.path import path_between, resampled
from melodygen.library.store import LibraryStore
from melodygen.library.track import TrackRecord


def playlist(
    store: LibraryStore, start: TrackRecord, end: TrackRecord, length: int | None
) -> list[TrackRecord]:
    """Tracks from one to another in small steps, both included. Raises LibraryError when they are the same."""
    space = store.space()
    records = store.tracks()
    usable = [int(t) for t in space.track_ids.tolist() if not records[int(t)].facts.not_music]
    usable = sorted({*usable, start.track_id, end.track_id})
    vectors = space.vectors(usable)
    at = {track: row for row, track in enumerate(usable)}
    tempi = [records[t].facts.qpm for t in usable]
    path = path_between(vectors, at[start.track_id], at[end.track_id], tempi)
    if length is not None:
        path = resampled(vectors, path, length)
    return [records[usable[row]] for row in path]


def save_playlist(store: LibraryStore, name: str, tracks: Sequence[TrackRecord]) -> None:
    """Under a name, in the library; one of that name is replaced."""
    with store.catalog.transaction():
        store.catalog.change("DELETE FROM playlists WHERE name = ?", (name,))
        for position, track in enumerate(tracks):
            store.catalog.change("INSERT INTO playlists VALUES (?, ?, ?)", (name, position, track.track_id))


def list_playlists(store: LibraryStore) -> dict[str, int]:
    """Name -> number of tracks of each playlist that was saved."""
    return dict(store.catalog.rows("SELECT name, count(*) FROM playlists GROUP BY name ORDER BY name"))


def load_playlist(store: LibraryStore, name: str) -> list[TrackRecord]:
    """The tracks of a saved playlist, in order. Raises LibraryError for a name that is not there."""
    rows = store.catalog.rows("SELECT track_id FROM playlists WHERE name = ? ORDER BY position", (name,))
    if not rows:
        known = ", ".join(list_playlists(store)) or "none"
        raise LibraryError(f"no playlist is called {name!r}; there are: {known}")
    records = store.tracks([row[0] for row in rows])
    return [records[row[0]] for row in rows]


def delete_playlist(store: LibraryStore, name: str) -> bool:
    """Forget a saved playlist; whether it was there."""
    return bool(store.catalog.change("DELETE FROM playlists WHERE name = ?", (name,)))


def m3u(tracks: Sequence[TrackRecord]) -> str:
    """An M3U8 playlist."""
    lines = ["#EXTM3U"]
    for track in tracks:
        lines += [f"#EXTINF:{round(track.facts.duration_seconds)},{track.name}", track.path]
    return "\n".join(lines) + "\n"


__all__ = ["delete_playlist", "list_playlists", "load_playlist", "m3u", "playlist", "save_playlist"]
