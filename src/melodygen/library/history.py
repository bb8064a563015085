"""Playing histories as programs export them, and which tracks of the library they are about.

Read are CSV with a header (track or title or path; time, uts, date or played_at; artist, user where there), last.fm
exports with a header (``uts,utc_time,artist,...,track``) or without (``artist,album,track,date``), and ListenBrainz
exports (JSON, a list or a line a listen).
"""

from __future__ import annotations

import csv
import json
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from melodygen.errors import LibraryError
from melodygen.library.track import TrackRecord

LISTENER = "me"
_TITLES = ("track", "title", "track_name", "name", "song")
_ARTISTS = ("artist", "artist_name", "artist name")
_TIMES = ("time", "uts", "played_at", "timestamp", "listened_at", "date", "utc_time", "datetime")
_USERS = ("user", "listener", "user_name", "username")
_PATHS = ("path", "file", "location")
_FORMS = (
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d",
    "%d %b %Y %H:%M",
    "%d %b %Y, %H:%M",
    "%d/%m/%Y %H:%M",
)


@dataclass(frozen=True)
class Listen:
    """``played_at`` in seconds since 1970; None where the file does not say."""

    title: str
    artist: str = ""
    path: str = ""
    played_at: float | None = None
    listener: str = LISTENER


@dataclass(frozen=True)
class Play:
    """A listen to a track of the library."""

    listener: str
    track_id: int
    played_at: float


def read_history(path: Path) -> list[Listen]:
    """Raises LibraryError when the file cannot be read as a history, or holds no listen."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is not UTF-8"
        raise LibraryError(f"{path}: the history cannot be read: {reason}") from error
    try:
        found = _from_json(text) if text.lstrip()[:1] in ("[", "{") else _from_csv(text)
    except (ValueError, csv.Error, AttributeError, TypeError) as error:
        raise LibraryError(f"{path}: the history cannot be read: {error}") from error
    if not found:
        raise LibraryError(
            f"{path}: no listen in it; expected columns are track (or path) and time, and artist if known"
        )
    return found


def _from_json(text: str) -> list[Listen]:
    held = (
        json.loads(text)
        if text.lstrip().startswith("[")
        else [json.loads(line) for line in text.splitlines() if line.strip()]
    )
    found = []
    for row in held:
        about: dict[str, Any] = row.get("track_metadata", row)
        title = str(about.get("track_name") or about.get("title") or "")
        when = row.get("listened_at", row.get("time"))
        if title:
            listener = str(row.get("user_name") or row.get("user") or LISTENER)
            found.append(
                Listen(title, str(about.get("artist_name") or ""), "", _seconds(str(when)), listener)
            )
    return found


def _from_csv(text: str) -> list[Listen]:
    lines = text.splitlines()
    first = next(csv.reader(lines[:1]), [])
    names = [name.strip().lower() for name in first]
    if not {*_TITLES, *_PATHS} & set(names):
        if len(first) != 4:
            raise ValueError(
                "the first line must name the columns: track (or path), time, and artist if known"
            )
        names = ["artist", "album", "track", "date"]  # last.fm exports of this kind have no header
        lines = ["", *lines]
    found = []
    for row in csv.reader(lines[1:]):
        values = dict(zip(names, (cell.strip() for cell in row), strict=False))
        title, path = _first(values, _TITLES), _first(values, _PATHS)
        if title or path:
            listener = _first(values, _USERS) or LISTENER
            found.append(
                Listen(title, _first(values, _ARTISTS), path, _seconds(_first(values, _TIMES)), listener)
            )
    return found


def _first(values: dict[str, str], names: Iterable[str]) -> str:
    return next((values[n] for n in names if values.get(n)), "")


def _seconds(text: str) -> float | None:
    """Seconds since 1970 from a number (of seconds, or of milliseconds) or a date; None where there is none."""
    if not text or text == "None":
        return None
    try:
        number = float(text)
        return number / 1000 if number > 1e11 else number
    except ValueError:
        pass
    try:
        when = datetime.fromisoformat(text.replace("Z", "+00:00"))
        return when.replace(tzinfo=when.tzinfo or UTC).timestamp()
    except ValueError:
        pass
    for form in _FORMS:
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC).timestamp()
        except ValueError:
            continue
    raise ValueError(f"{text!r} is no time; write seconds since 1970, or 2026-11-27 18:30")


class Resolver:
    """Which track a listen is about: by its path, by artist and title, or by a title that is there once."""

    def __init__(self, tracks: Iterable[TrackRecord]) -> None:
        self._by_path: dict[str, int] = {}
        self._by_name: dict[tuple[str, str], int] = {}
        titles: dict[str, set[int]] = {}
        for track in tracks:
            title = track.tags.title or Path(track.path).stem
            self._by_name.setdefault((_plain(track.tags.artist), _plain(title)), track.track_id)
            titles.setdefault(_plain(title), set()).add(track.track_id)
            for path in track.paths:
                self._by_path[path] = track.track_id
                titles.setdefault(_plain(Path(path).name), set()).add(track.track_id)
                titles.setdefault(_plain(Path(path).stem), set()).add(track.track_id)
        self._by_title = {title: next(iter(ids)) for title, ids in titles.items() if len(ids) == 1}

    def track_of(self, listen: Listen) -> int | None:
        """None for a track that is not in the library."""
        if listen.path:
            for path in (listen.path, str(Path(listen.path).expanduser().absolute())):
                if path in self._by_path:
                    return self._by_path[path]
        if listen.artist:
            exact = self._by_name.get((_plain(listen.artist), _plain(listen.title)))
            return (
                exact
                if exact is not None
                else self._by_title.get(_plain(f"{listen.artist} - {listen.title}"))
            )
        name = listen.title or Path(listen.path).name
        if name in self._by_path:
            return self._by_path[name]
        return self._by_title.get(_plain(name))


def _plain(text: str) -> str:
    """Lower case, without accents and signs: histories and tags write names differently."""
    bare = "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))
    return " ".join("".join(c if c.isalnum() else " " for c in bare).split())


def plays_of(listens: Iterable[Listen], tracks: Iterable[TrackRecord], now: float) -> tuple[list[Play], int]:
    """(plays of the library's tracks, number of listens to tracks that are not there). A listen without a time counts
    as now."""
    resolver = Resolver(tracks)
    plays, unknown = [], 0
    for listen in listens:
        track_id = resolver.track_of(listen)
        if track_id is None:
            unknown += 1
        else:
            plays.append(
                Play(listen.listener, track_id, now if listen.played_at is None else listen.played_at)
            )
    return plays, unknown


__all__ = ["LISTENER", "Listen", "Play", "Resolver", "plays_of", "read_history"]
