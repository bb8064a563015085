"""The HTTP application: routes, and how errors become answers. :mod:`melodygen.server.runner` does the work.

``POST`` routes that work answer 202 with a job; its state, its events (server-sent, with pings) and its files are
fetched by its id. A full queue answers 429 with ``Retry-After``. An error is ``{"error": "..."}`` in one line.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException as StarletteHTTPException

from melodygen import __version__
from melodygen.errors import MelodygenError
from melodygen.registry import list_styles
from melodygen.request import json_schema
from melodygen.resources import models_dir
from melodygen.server.guard import Guard
from melodygen.server.job_routes import MEDIA, add_job_routes
from melodygen.server.jobs import QueueFullError
from melodygen.server.library_routes import add_library_routes
from melodygen.server.live_routes import add_live_routes
from melodygen.server.studio import ServerSettings, Studio
from melodygen.server.subsonic import add_subsonic_routes
from melodygen.server.work_routes import add_work_routes
from melodygen.services.models import styles_in_checkpoint

PAGE = Path(__file__).parent / "page"
RETRY_SECONDS = 5


def create_app(settings: ServerSettings) -> FastAPI:
    """The application. Models load in the background when it starts; ``/v1/health`` says when they are there."""
    studio = Studio(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        studio.start()
        osc = None
        if settings.osc_port is not None:
            from melodygen.server.osc import OscServer

            osc = app.state.osc = OscServer(studio, settings.osc_port, settings.osc_reply_port)
            osc.start()
        yield
        if osc is not None:
            osc.close()
        await run_in_threadpool(studio.close)

    app = FastAPI(
        title="melodygen", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None,
        description="Write music in a named style, classify tracks, render MIDI.",
    )  # fmt: skip
    _add_errors(app, studio)
    _add_information(app, studio)
    add_work_routes(app, studio)
    add_job_routes(app, studio)
    add_library_routes(app, studio)
    add_live_routes(app, studio)
    add_subsonic_routes(app, studio)
    app.state.studio = studio

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return FileResponse(PAGE / "docs.html")

    app.mount("/", StaticFiles(directory=PAGE, html=True), name="page")
    app.add_middleware(Guard, hosts=settings.hosts, token=settings.token, max_bytes=settings.max_upload_bytes)
    return app


def new_token() -> str:
    """A token that nobody can guess."""
    return secrets.token_urlsafe(24)


def _add_errors(app: FastAPI, studio: Studio) -> None:
    @app.exception_handler(QueueFullError)
    async def full(_: Request, error: QueueFullError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 429, {"Retry-After": str(RETRY_SECONDS)})

    @app.exception_handler(MelodygenError)
    async def refused(_: Request, error: MelodygenError) -> JSONResponse:
        return JSONResponse({"error": studio.clean(str(error))}, 422)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        said = [f"{'.'.join(map(str, e['loc'][1:])) or 'the body'}: {e['msg']}" for e in error.errors()[:3]]
        return JSONResponse({"error": "; ".join(said)}, 422)

    @app.exception_handler(StarletteHTTPException)  # also of unknown paths and methods
    async def http(_: Request, error: StarletteHTTPException) -> JSONResponse:
        return JSONResponse({"error": str(error.detail)}, error.status_code, error.headers)


def _add_information(app: FastAPI, studio: Studio) -> None:
    @app.get("/v1/health", tags=["information"])
    async def health() -> dict[str, Any]:
        """Whether the server answers, and whether its models are loaded."""
        ready = {sort: runner.is_ready for sort, runner in studio.runners.items()}
        return {"status": "ok", "version": __version__, "ready": ready}

    @app.get("/v1/styles", tags=["information"])
    def styles() -> list[dict[str, Any]]:
        """The styles that can be asked for, with their usual tempo, meter and roles."""
        installed = {name: asdict(style) for name, style in list_styles().items()}
        return [
            {
                "name": style["name"], "description": style["description"], "qpm": style["qpm"],
                "meter": "{}/{}".format(*style["meter"]), "tracks": list(style["tracks"]),
            }
            for style in (styles_in_checkpoint(studio.settings.models.model) | installed).values()
        ]  # fmt: skip

    @app.get("/v1/models", tags=["information"])
    def models() -> list[dict[str, str]]:
        """The checkpoints that are installed."""
        from melodygen.nets.checkpoint import list_checkpoints

        return [
            {"name": found.name, "kind": found.kind, "summary": found.summary, "sha256": found.sha256}
            for found in list_checkpoints()
        ]

    @app.get("/v1/controls", tags=["information"])
    async def controls() -> dict[str, Any]:
        """The JSON schema of what ``POST /v1/generate`` takes."""
        return json_schema()

    @app.get("/v1/soundfont", tags=["information"], response_class=FileResponse)
    async def soundfont() -> Response:
        """The soundfont that the page plays with (SF3)."""
        path = models_dir() / "soundfont" / "melodygen.sf3"
        if not path.is_file():
            raise HTTPException(404, "no soundfont is installed")
        return FileResponse(path, media_type=MEDIA["sf3"], headers={"Cache-Control": "max-age=86400"})


__all__ = ["ServerSettings", "create_app", "new_token"]
