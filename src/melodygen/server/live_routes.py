"""Routes of what plays on this machine: a live session, and a piece to a MIDI port."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Query, Request
from fastapi.responses import FileResponse, Response, StreamingResponse
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from melodygen.errors import PortError, UsageError
from melodygen.live.moves import MOVES
from melodygen.server.job_routes import MEDIA, PING_SECONDS, SSE_HEADERS
from melodygen.server.stage import LIVE, PAGE, PIECE, VIRTUAL, Show
from melodygen.server.studio import Studio

POLL_SECONDS = 0.03
_SAVED = re.compile(r"(take|live-[0-9]{1,4})\.mid")
PortName = Annotated[str, Field(min_length=1, max_length=200)]


class LiveQuestion(BaseModel):
    """A live session. ``port``: a MIDI output of the server's machine, ``virtual`` for a new one, or ``page`` for a
    browser that follows ``/v1/live/events``. ``parameters``: of the engine, by name; see ``GET /v1/live``."""

    style: str = Field(default="jazz", max_length=100)
    port: PortName = PAGE
    qpm: float | None = Field(default=None, ge=20.0, le=300.0, allow_inf_nan=False)
    meter: str | None = Field(default=None, max_length=10)
    standby: list[str] = Field(default=[], max_length=10)
    listen: PortName | None = None
    count_in: int = Field(default=0, ge=0, le=8)
    clock_out: bool = False
    latency_ms: float = Field(default=0.0, ge=-1000.0, le=1000.0, allow_inf_nan=False)
    wait: bool = False
    parameters: dict[str, Any] = {}


class Move(BaseModel):
    """A move by name; ``value`` 1.0 for a press, 0.0 to 1.0 for a turn."""

    move: str = Field(max_length=40)
    value: float = Field(default=1.0, ge=0.0, le=1.0, allow_inf_nan=False)


class PlayQuestion(BaseModel):
    """A piece to a MIDI output of the server's machine; ``virtual`` opens a new one."""

    source: str = Field(max_length=100)
    port: PortName
    loop: bool = False


def add_live_routes(app: FastAPI, studio: Studio) -> None:
    """All of them."""
    _add_ports(app, studio)
    _add_session(app, studio)
    _add_following(app, studio)


def live_show(studio: Studio, asked: LiveQuestion) -> Show:
    """What a live session shall be, checked. Raises UsageError or PortError."""
    from melodygen.services.performance import check_live_music

    if asked.parameters.get("mode", "play") != "play" and asked.listen is None:
        raise UsageError(
            f"mode {asked.parameters['mode']!r} needs what it listens to: give listen, see /v1/ports"
        )
    unknown = sorted({"style", "standby"} & set(asked.parameters))
    if unknown:
        raise UsageError(f"{unknown[0]} stands beside the parameters, not among them")
    models = studio.settings.models
    music = check_live_music(
        {"style": asked.style, **asked.parameters}, tuple(asked.standby), asked.qpm, asked.meter, None
    )
    if asked.port not in (PAGE, VIRTUAL):
        check_port(asked.port)
    return Show(
        LIVE, asked.port, music, listen=asked.listen, count_in=asked.count_in, clock_out=asked.clock_out,
        latency_seconds=asked.latency_ms / 1000, wait=asked.wait, models=models,
    )  # fmt: skip


def piece_show(studio: Studio, asked: PlayQuestion) -> Show:
    """What shall be played, checked. Raises UsageError or PortError."""
    piece = studio.find_source("source", asked.source)
    if asked.port != VIRTUAL:
        check_port(asked.port)
    return Show(PIECE, asked.port, piece=piece, loop=asked.loop)


def check_port(name: str) -> None:
    """Raises PortError for a name that no output has; JACK's own ports are looked for when they are opened."""
    from melodygen.live.ports import find_port, is_jack, list_outputs

    if not is_jack(name):
        find_port(name, list_outputs())


def _add_ports(app: FastAPI, studio: Studio) -> None:
    @app.get("/v1/ports", tags=["live"])
    def ports() -> dict[str, Any]:
        """MIDI ports of the server's machine; ``note`` says why there are none."""
        from melodygen.live.ports import list_inputs, list_outputs

        try:
            return {"outputs": list_outputs(), "inputs": list_inputs(), "note": None}
        except PortError as error:
            return {"outputs": [], "inputs": [], "note": studio.clean(str(error))}

    @app.post("/v1/play", tags=["live"])
    def play(asked: PlayQuestion) -> dict[str, Any]:
        """Play a piece to a MIDI port of the server's machine; what played before ends. ``/v1/live/stop`` ends it."""
        return studio.performer.start(piece_show(studio, asked))


def _add_session(app: FastAPI, studio: Studio) -> None:
    performer = studio.performer

    @app.get("/v1/live", tags=["live"])
    def live() -> dict[str, Any]:
        """What plays, the moves that can be made, and the parameters with their ranges."""
        from melodygen.engine.parameters import TABLE

        moves = [{"name": m.name, "key": m.key, "kind": m.kind, "description": m.description} for m in MOVES]
        parameters = {p.name: p.schema() | {"default": p.default} for p in TABLE}
        return {"status": performer.status(), "moves": moves, "parameters": parameters}

    @app.post("/v1/live/start", tags=["live"])
    def start(asked: LiveQuestion) -> dict[str, Any]:
        """Begin a live session; what played before ends. It plays as soon as its first phrase is written."""
        return performer.start(live_show(studio, asked))

    @app.post("/v1/live/stop", tags=["live"])
    def stop() -> dict[str, Any]:
        """End what plays. The take is one of the files then."""
        return performer.stop()

    @app.post("/v1/live/moves", tags=["live"])
    def move(asked: Move) -> dict[str, Any]:
        """Make a move: next phrase, variation, loop, mute, another style."""
        performer.move(asked.move, asked.value)
        return performer.status()

    @app.post("/v1/live/parameters", tags=["live"])
    def parameters(values: dict[str, Any]) -> dict[str, Any]:
        """Set parameters by name, and ``qpm``."""
        performer.set_parameters(values)
        return performer.status()

    @app.get("/v1/live/files/{name}", tags=["live"], response_class=FileResponse)
    def file(name: str) -> Response:
        """What was saved: ``take.mid`` of the last session, ``live-1.mid`` of the move ``save``."""
        path = performer.folder / name
        if not _SAVED.fullmatch(name) or not path.is_file():
            raise HTTPException(404, "nothing of that name was saved; see files of /v1/live")
        return FileResponse(path, media_type=MEDIA["mid"], filename=name)


def _add_following(app: FastAPI, studio: Studio) -> None:
    performer = studio.performer

    @app.get("/v1/live/events", tags=["live"], response_class=StreamingResponse)
    async def events(
        request: Request,
        after: int = Query(-1, ge=-1, le=2**53, description="Number of the last event; -1: from now on"),
        seconds: float = Query(3600.0, ge=0.0, le=86_400.0, description="How long, at most"),
    ) -> StreamingResponse:
        """Server-sent events: ``status``, ``notes`` (seconds since the beginning, MIDI bytes), ``notice``."""
        last = request.headers.get("last-event-id", "")
        begin = int(last) if re.fullmatch(r"[0-9]{1,12}", last) else after
        begin = performer.last_event if begin < 0 else begin
        return StreamingResponse(_stream(begin, seconds), media_type="text/event-stream", headers=SSE_HEADERS)

    async def _stream(after: int, seconds: float) -> AsyncIterator[str]:
        loop = asyncio.get_running_loop()
        first = last_sent = loop.time()
        status = await run_in_threadpool(performer.status)
        yield f"event: status\ndata: {json.dumps(status)}\n\n"
        while loop.time() - first < seconds:
            for number, kind, data in performer.events(after):
                after, last_sent = number, loop.time()
                yield f"id: {number}\nevent: {kind}\ndata: {json.dumps(data)}\n\n"
            if loop.time() - last_sent > PING_SECONDS:
                last_sent = loop.time()
                yield ": ping\n\n"
            await asyncio.sleep(POLL_SECONDS)
