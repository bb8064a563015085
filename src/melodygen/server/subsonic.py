"""The part of OpenSubsonic with which players find sonically similar tracks: the extension ``sonicSimilarity``.

``getSonicSimilarTracks`` and ``findSonicPath`` are answered from the library; ``ping``, ``getLicense``,
``getOpenSubsonicExtensions``, ``getMusicFolders``, ``getSong``, ``search3`` and ``stream`` are what a player needs
around them. Answers are XML, or JSON with ``f=json``. Errors are answers with status ``failed``, as the protocol
wants it.

Source: OpenSubsonic API, https://opensubsonic.netlify.app/docs/.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from melodygen import __version__
from melodygen.errors import LibraryError, MelodygenError
from melodygen.library.track import TrackRecord
from melodygen.server.library_routes import PLAYABLE, held
from melodygen.server.studio import Studio

VERSION = "1.16.1"
NAMESPACE = "http://subsonic.org/restapi"
MISSING, WRONG_LOGIN, NOT_FOUND, GENERIC = 10, 40, 70, 0
MAX_COUNT = 500
Answer = dict[str, Any]
Parameters = Mapping[str, str]


class SubsonicError(MelodygenError):
    """An error with its number in the protocol."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def add_subsonic_routes(app: FastAPI, studio: Studio) -> None:
    """``/rest/METHOD`` and ``/rest/METHOD.view``, by GET or by a form."""
    methods: dict[str, Callable[[Studio, Parameters], Answer]] = {
        "ping": lambda *_: {},
        "getLicense": lambda *_: {"license": {"valid": True}},
        "getOpenSubsonicExtensions": lambda *_: {
            "openSubsonicExtensions": [
                {"name": "sonicSimilarity", "versions": [1]},
                {"name": "formPost", "versions": [1]},
            ]
        },
        "getMusicFolders": lambda *_: {"musicFolders": {"musicFolder": [{"id": 1, "name": "melodygen"}]}},
        "getSong": lambda studio, asked: {"song": _child(_track(studio, asked, "id"))},
        "search3": _search,
        "getSonicSimilarTracks": _similar,
        "findSonicPath": _path,
    }

    def answer(method: str, asked: Parameters) -> Response:
        if method != "getOpenSubsonicExtensions":  # it must answer without a login
            _check_login(studio.settings.token, asked)
        if method in ("stream", "download"):
            return _stream(studio, asked)
        if method not in methods:
            raise SubsonicError(
                GENERIC, f"{method} is not answered here; known: {', '.join(sorted(methods))}, stream"
            )
        return _ok(asked, methods[method](studio, asked))

    @app.api_route("/rest/{method}", methods=["GET", "POST"], include_in_schema=False)
    async def rest(request: Request, method: str) -> Response:
        asked = {**request.query_params}
        if request.method == "POST":
            async with request.form(max_files=0, max_fields=50) as form:
                asked |= {name: value for name, value in form.items() if isinstance(value, str)}
        try:
            return await run_in_threadpool(answer, method.removesuffix(".view"), asked)
        except SubsonicError as error:
            return _failed(asked, error.code, str(error))
        except LibraryError as error:
            return _failed(asked, NOT_FOUND, studio.clean(str(error)))
        except MelodygenError as error:
            return _failed(asked, GENERIC, studio.clean(str(error)))


def _check_login(token: str | None, asked: Parameters) -> None:
    """The password is the server's token, plain, in hexadecimal, or as the MD5 of it and a salt; any user will do."""
    if token is None:
        return
    if "t" in asked:
        right, given = hashlib.md5((token + asked.get("s", "")).encode()).hexdigest(), asked["t"].lower()
    else:
        right, given = token, asked.get("apiKey", asked.get("p", ""))
        if given.startswith("enc:"):
            try:
                given = bytes.fromhex(given.removeprefix("enc:")).decode()
            except ValueError:
                given = ""
    if not hmac.compare_digest(right.encode(), given.encode()):
        raise SubsonicError(WRONG_LOGIN, "wrong user name or password: the password is the server's token")


def _track(studio: Studio, asked: Parameters, name: str) -> TrackRecord:
    with studio.library() as library:
        return held(library, _number(asked, name, None, 0, 2**53))


def _number(asked: Parameters, name: str, default: int | None, low: int, high: int) -> int:
    text = asked.get(name)
    if text is None and default is not None:
        return default
    if text is None:
        raise SubsonicError(MISSING, f"required parameter is missing: {name}")
    if not (text.isascii() and text.isdecimal() and len(text) < 17):
        raise SubsonicError(NOT_FOUND, f"{name} {text!r} is not known here")
    return min(max(int(text), low), high)


def _similar(studio: Studio, asked: Parameters) -> Answer:
    count = _number(asked, "count", 10, 1, MAX_COUNT)
    start = _track(studio, asked, "id")
    with studio.library() as library:
        found = library.similar(start.path, top=count, kind=None)
    return {"sonicMatch": [_match(track, likeness) for track, likeness in found]}


def _path(studio: Studio, asked: Parameters) -> Answer:
    count = _number(asked, "count", 25, 2, MAX_COUNT)
    start, end = _track(studio, asked, "startSongId"), _track(studio, asked, "endSongId")
    with studio.library() as library:
        tracks = library.playlist(start.path, end.path)
        if len(tracks) > count:
            tracks = library.playlist(start.path, end.path, length=count)
        space = library.sound_space()
        vectors = space.vectors([t.track_id for t in tracks])
    return {"sonicMatch": [_match(t, float(v @ vectors[0])) for t, v in zip(tracks, vectors, strict=True)]}


def _search(studio: Studio, asked: Parameters) -> Answer:
    text = asked.get("query", "").strip('"').casefold()
    count, after = _number(asked, "songCount", 20, 0, MAX_COUNT), _number(asked, "songOffset", 0, 0, 2**53)
    with studio.library() as library:
        found = sorted(
            (t for t in library.tracks() if text in t.name.casefold()), key=lambda t: t.name.casefold()
        )
    return {"searchResult3": {"song": [_child(track) for track in found[after : after + count]]}}


def _stream(studio: Studio, asked: Parameters) -> Response:
    path = Path(_track(studio, asked, "id").path)
    suffix = path.suffix.lower().lstrip(".")
    if suffix not in PLAYABLE or not path.is_file():
        raise SubsonicError(NOT_FOUND, "this track is no recording that is there to be played")
    return FileResponse(path, media_type=PLAYABLE[suffix])


def _match(track: TrackRecord, likeness: float) -> Answer:
    """Similarity 1.0 is the same sound, 0.0 the most different; our cosine runs from -1.0 to 1.0."""
    return {"entry": _child(track), "similarity": round(min(max((likeness + 1) / 2, 0.0), 1.0), 4)}


def _child(track: TrackRecord) -> Answer:
    facts, tags = track.facts, track.tags
    suffix = track.path.rpartition(".")[2].lower()
    found: Answer = {
        "id": str(track.track_id), "isDir": False, "isVideo": False, "type": "music",
        "title": tags.title or track.name, "duration": round(facts.duration_seconds), "suffix": suffix,
        "contentType": PLAYABLE.get(suffix, "audio/midi"),
    }  # fmt: skip
    named = {"artist": tags.artist, "album": tags.album, "genre": facts.style}
    found |= {name: value for name, value in named.items() if value}
    if tags.year[:4].isdecimal():
        found["year"] = int(tags.year[:4])
    if facts.qpm:
        found["bpm"] = round(facts.qpm)
    return found


def _ok(asked: Parameters, content: Answer) -> Response:
    return _response(asked, {"status": "ok", **_about(), **content})


def _failed(asked: Parameters, code: int, message: str) -> Response:
    return _response(asked, {"status": "failed", **_about(), "error": {"code": code, "message": message}})


def _about() -> Answer:
    return {"version": VERSION, "type": "melodygen", "serverVersion": __version__, "openSubsonic": True}


def _response(asked: Parameters, content: Answer) -> Response:
    if asked.get("f") == "json":
        return JSONResponse({"subsonic-response": content})
    root = _element("subsonic-response", content)
    root.set("xmlns", NAMESPACE)
    text = tostring(root, encoding="unicode")
    return Response(f'<?xml version="1.0" encoding="UTF-8"?>\n{text}', media_type="application/xml")


def _element(name: str, content: Answer) -> Element:
    """Plain values are attributes, objects and lists are elements, as the protocol's two forms correspond."""
    element = Element(name)
    for key, value in content.items():
        if isinstance(value, dict):
            element.append(_element(key, value))
        elif isinstance(value, list):
            for one in value:
                if isinstance(one, dict):
                    element.append(_element(key, one))
                else:
                    SubElement(element, key).text = str(one)
        else:
            element.set(key, _text(value))
    return element


def _text(value: object) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return "".join(c for c in text if c.isprintable())
