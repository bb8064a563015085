"""Routes that ask the library: what sounds alike, what to hear next, which track this is, where a tune lies.

A question about tracks of the library is answered at once; a file that is sent is heard by the analysis process, as a
job. Tracks are named by their number, and no answer holds a path of this machine.
"""

from __future__ import annotations

import time
from pathlib import Path as FilePath
from typing import Annotated, Any, Literal

from fastapi import FastAPI, HTTPException, Path, Query, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from melodygen.errors import LibraryError, UsageError
from melodygen.library.history import LISTENER, Play
from melodygen.library.track import TrackRecord
from melodygen.server.answers import UPLOAD, WAIT, answer_job, json_object, submit_upload
from melodygen.server.library_json import (
    EVERYWHERE,
    phrase_json,
    recommendation_json,
    similar_json,
    track_json,
)
from melodygen.server.score_json import score_to_json
from melodygen.server.studio import Studio
from melodygen.server.tasks import FILES
from melodygen.services.library import Library

MAX_TOP = 500
TrackId = Annotated[int, Field(ge=0, le=2**53)]
Seconds = Annotated[float, Field(ge=0.0, le=1e12, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Top = Annotated[int, Query(ge=1, le=MAX_TOP, description="How many, at most")]
Listener = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f]+$")]
Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f/]+$")]
Mood = Literal["happy", "tense", "calm", "sad"]
Kind = Literal["recording", "render", "score"]
PLAYABLE = {"wav": "audio/wav", "flac": "audio/flac", "ogg": "audio/ogg", "mp3": "audio/mpeg", "m4a": "audio/mp4",
             "opus": "audio/ogg"}  # fmt: skip


class Heard(BaseModel):
    """A play of a track: seconds since 1970, now where they are left out."""

    track: TrackId
    time: Seconds | None = None


class RecommendQuestion(BaseModel):
    """What to hear next: by ``likes`` and ``plays`` given here, beside what the library remembers of the ``user``."""

    likes: list[TrackId] = Field(default=[], max_length=10_000)
    plays: list[Heard] = Field(default=[], max_length=100_000)
    user: Listener = LISTENER
    top: int = Field(default=20, ge=1, le=MAX_TOP)
    diversity: Share = 0.2
    novelty: Share = 0.0
    half_life_days: float = Field(default=30.0, ge=0.1, le=36_500.0, allow_inf_nan=False)
    mood: Mood | None = None
    again: bool = False


class HistoryEntry(BaseModel):
    """Plays and likes to remember; ``unlike`` takes likes back."""

    user: Listener = LISTENER
    plays: list[Heard] = Field(default=[], max_length=100_000)
    likes: list[TrackId] = Field(default=[], max_length=10_000)
    unlike: list[TrackId] = Field(default=[], max_length=10_000)


class PlaylistQuestion(BaseModel):
    """A way from ``start`` to ``end`` in small steps, kept under ``name`` where there is one; or, with ``tracks``,
    a list of one's own to keep."""

    start: TrackId | None = None
    end: TrackId | None = None
    length: int | None = Field(default=None, ge=2, le=MAX_TOP)
    name: Name | None = None
    tracks: list[TrackId] = Field(default=[], max_length=10_000)


def add_library_routes(app: FastAPI, studio: Studio) -> None:
    """All of them."""
    _add_tracks(app, studio)
    _add_similar(app, studio)
    _add_questions(app, studio)
    _add_listeners(app, studio)
    _add_playlists(app, studio)


def held(library: Library, track_id: int) -> TrackRecord:
    """A track by its number. Raises LibraryError for an unknown one."""
    found = library.store.tracks([track_id]).get(track_id)
    if found is None or not found.path:
        raise LibraryError(f"no track has the number {track_id}: see /v1/library/tracks")
    return found


def _add_tracks(app: FastAPI, studio: Studio) -> None:
    @app.get("/v1/library", tags=["library"])
    def library() -> dict[str, Any]:
        """What the library holds: counts of kinds, styles, moods, keys; ``tracks`` is 0 where there is none."""
        try:
            with studio.library() as opened:
                found = opened.stats()
        except LibraryError as error:
            return {"tracks": 0, "note": studio.clean(str(error))}
        del found["library"]
        return found

    @app.get("/v1/library/tracks", tags=["library"])
    def tracks(
        text: Annotated[str, Query(max_length=100, description="In the name, any case")] = "",
        style: Annotated[str, Query(max_length=100, description="Of this style only")] = "",
        top: Top = 100,
        after: Annotated[int, Query(ge=0, le=2**53, description="Pass over so many")] = 0,
    ) -> dict[str, Any]:
        """Tracks by name."""
        with studio.library() as opened:
            found = [t for t in opened.tracks() if text.casefold() in t.name.casefold()]
        found = sorted((t for t in found if style in ("", t.facts.style)), key=lambda t: t.name.casefold())
        return {"total": len(found), "tracks": [track_json(t) for t in found[after : after + top]]}

    @app.get("/v1/library/tracks/{track}", tags=["library"])
    def track(track: Annotated[int, Path(ge=0, le=2**53)]) -> dict[str, Any]:
        """What is known of one track; a score comes with its notes."""
        from melodygen.classification.symbolic import is_symbolic, read_symbolic

        with studio.library() as opened:
            found = held(opened, track)
        path = FilePath(found.path)
        notes = score_to_json(read_symbolic(path, keep_start=True)) if is_symbolic(path) else None
        return {**track_json(found), "score": notes}

    @app.get("/v1/library/tracks/{track}/audio", tags=["library"], response_class=FileResponse)
    def audio(track: Annotated[int, Path(ge=0, le=2**53)]) -> Response:
        """The recording itself, to be heard."""
        with studio.library() as opened:
            found = held(opened, track)
        suffix = found.path.rpartition(".")[2].lower()
        if suffix not in PLAYABLE:
            raise HTTPException(404, "this track is no recording that a browser plays")
        if not FilePath(found.path).is_file():
            raise HTTPException(404, "the file is gone from the disk")
        return FileResponse(found.path, media_type=PLAYABLE[suffix])

    @app.post("/v1/library/map", status_code=202, tags=["library"])
    async def lay_out(
        seed: Annotated[int, Query(ge=0, le=2**32 - 1)] = 0, wait: float = WAIT
    ) -> JSONResponse:
        """The library in two dimensions, a point for each track: what sounds alike lies side by side."""
        asked = {"seed": seed, FILES: {"library": str(studio.library_address)}}
        return await answer_job(studio, await run_in_threadpool(studio.jobs.submit, "map", asked), wait)


def _add_similar(app: FastAPI, studio: Studio) -> None:
    @app.get("/v1/similar", tags=["library"])
    def similar(
        track: Annotated[int, Query(ge=0, le=2**53, description="Number of a track of the library")],
        top: Top = 20,
        same_style: bool = False,
        not_same_artist: bool = False,
        mood: Mood | None = None,
        kind: Kind | None = None,
    ) -> dict[str, Any]:
        """Tracks that sound like one of the library, nearest first."""
        with studio.library() as library:
            path = held(library, track).path
            found = library.similar(
                path, top=top, same_style=same_style, not_same_artist=not_same_artist, mood=mood, kind=kind
            )
        return {"tracks": similar_json(found)}

    @app.post("/v1/similar", status_code=202, tags=["library"], openapi_extra=UPLOAD)
    async def similar_upload(
        request: Request,
        top: Top = 20,
        same_style: bool = False,
        not_same_artist: bool = False,
        mood: Mood | None = None,
        kind: Kind | None = None,
        wait: float = WAIT,
    ) -> JSONResponse:
        """Tracks of the library that sound like a file, nearest first."""
        knobs = {
            "top": top,
            "same_style": same_style,
            "not_same_artist": not_same_artist,
            "mood": mood,
            "kind": kind,
        }
        return await submit_upload(request, studio, "similar", knobs, wait)


def _add_questions(app: FastAPI, studio: Studio) -> None:
    @app.post("/v1/recommend", tags=["library"])
    def recommend(asked: RecommendQuestion) -> dict[str, Any]:
        """What to hear next, from what was liked and played."""
        from melodygen.services.listening import Knobs, recommend_tracks

        knobs = Knobs(asked.diversity, asked.novelty, asked.mood, asked.again, asked.half_life_days)
        now = time.time()
        plays = [Play(asked.user, h.track, now if h.time is None else h.time) for h in asked.plays]
        with studio.library() as library:
            found = recommend_tracks(
                library.store, plays, asked.likes, listener=asked.user, top=asked.top, knobs=knobs, now=now
            )
        return {"tracks": [recommendation_json(r) for r in found]}

    @app.post("/v1/identify", status_code=202, tags=["library"], openapi_extra=UPLOAD)
    async def identify(request: Request, top: Top = 5, wait: float = WAIT) -> JSONResponse:
        """Which tracks share music with a file: where, how much, in which key and tempo. Empty where none does."""
        return await submit_upload(request, studio, "identify", {"top": top}, wait)

    notes = {
        "type": "object",
        "required": ["notes"],
        "properties": {
            "notes": {
                "description": "'E5 D5 C5' or MIDI numbers",
                "anyOf": [
                    {"type": "string"},
                    {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 127}},
                ],
            },
            "onsets": {"type": "array", "items": {"type": "number"}, "description": "Of each note, any unit"},
        },
    }
    content = {**UPLOAD["requestBody"]["content"], "application/json": {"schema": notes}}  # type: ignore[dict-item]
    body = {"requestBody": {"required": True, "content": content}}

    @app.post("/v1/find", status_code=202, tags=["library"], openapi_extra=body)
    async def find(request: Request, top: Top = 10, wait: float = WAIT) -> JSONResponse:
        """Where a tune lies: from notes (JSON, answered at once), or from a MIDI file or a hum (a form with a file)."""
        if request.headers.get("content-type", "").startswith("multipart/form-data"):
            return await submit_upload(request, studio, "find", {"top": top}, wait)
        asked = await json_object(request)
        return JSONResponse(await run_in_threadpool(_find, studio, asked, top))


def _find(studio: Studio, asked: dict[str, Any], top: int) -> dict[str, Any]:
    from melodygen.library.lines import Phrase, phrase_of_names

    notes, onsets = asked.get("notes"), asked.get("onsets")
    if isinstance(notes, list):
        notes = " ".join(str(note) for note in notes)
    if not isinstance(notes, str):
        raise UsageError("notes are missing: give names with octaves ('E5 D5 C5') or MIDI numbers")
    phrase = phrase_of_names(notes)
    if onsets is not None:
        is_timed = isinstance(onsets, list) and all(type(o) in (int, float) and abs(o) < 1e9 for o in onsets)
        if not is_timed or len(onsets) != len(phrase.pitches) or sorted(onsets) != onsets:
            raise UsageError("onsets are not possible: give one number for each note, ascending")
        phrase = Phrase(phrase.pitches, tuple(float(o) for o in onsets))
    with studio.library() as library:
        return phrase_json(phrase, library.find(phrase, top=max(top, EVERYWHERE + 1)), top)


def _add_listeners(app: FastAPI, studio: Studio) -> None:
    @app.get("/v1/history", tags=["library"])
    def history(user: Listener = LISTENER, top: Top = 100) -> dict[str, Any]:
        """What the library remembers of a listener: the newest plays, and what is liked."""
        from melodygen.services.listening import liked_tracks, recent_plays

        with studio.library() as library:
            plays = recent_plays(library.store, user, top)
            liked = liked_tracks(library.store, user)
            records = library.store.tracks({*liked, *(p.track_id for p in plays)})
        return {
            "plays": [{"time": p.played_at, **track_json(records[p.track_id])} for p in plays],
            "likes": [track_json(records[i]) for i in liked],
        }

    @app.post("/v1/history", tags=["library"])
    def remember(entry: HistoryEntry) -> dict[str, int]:
        """Remember plays and likes."""
        from melodygen.services.listening import forget_like, record_like, record_plays

        now = time.time()
        with studio.library() as library:
            for track_id in {*entry.likes, *(h.track for h in entry.plays)}:
                held(library, track_id)
            plays = [Play(entry.user, h.track, now if h.time is None else h.time) for h in entry.plays]
            new = record_plays(library.store, plays)
            for track_id in entry.likes:
                record_like(library.store, track_id, entry.user)
            gone = sum(forget_like(library.store, track_id, entry.user) for track_id in entry.unlike)
        return {"plays": new, "likes": len(entry.likes), "unliked": gone}

    @app.post("/v1/history/import", status_code=202, tags=["library"], openapi_extra=UPLOAD)
    async def load(request: Request, wait: float = WAIT) -> JSONResponse:
        """Remember the plays of a file: CSV (track,time), a last.fm or ListenBrainz export."""
        return await submit_upload(request, studio, "history", {}, wait)


def _add_playlists(app: FastAPI, studio: Studio) -> None:
    from melodygen.services import playlists as kept

    @app.get("/v1/playlists", tags=["library"])
    def playlists() -> list[dict[str, Any]]:
        """The playlists that were kept."""
        with studio.library() as library:
            found = kept.list_playlists(library.store)
        return [{"name": name, "tracks": count} for name, count in found.items()]

    @app.post("/v1/playlists", tags=["library"])
    def make(asked: PlaylistQuestion) -> dict[str, Any]:
        """From one track to another in small steps, or a list of one's own; kept where it has a name."""
        with studio.library() as library:
            if asked.tracks:
                tracks = [held(library, track_id) for track_id in asked.tracks]
            elif asked.start is None or asked.end is None:
                raise UsageError("give start and end, or tracks")
            else:
                ends = [held(library, track_id).path for track_id in (asked.start, asked.end)]
                tracks = library.playlist(*ends, length=asked.length)
            if asked.name is not None:
                kept.save_playlist(library.store, asked.name, tracks)
        return {"name": asked.name, "tracks": [track_json(t) for t in tracks]}

    @app.get("/v1/playlists/{name}", tags=["library"])
    def playlist(name: Name) -> dict[str, Any]:
        """The tracks of a playlist."""
        with studio.library() as library:
            tracks = kept.load_playlist(library.store, name)
        return {"name": name, "tracks": [track_json(t) for t in tracks]}

    @app.delete("/v1/playlists/{name}", tags=["library"])
    def forget(name: Name) -> dict[str, bool]:
        """Forget a playlist."""
        with studio.library() as library:
            return {"gone": kept.delete_playlist(library.store, name)}
