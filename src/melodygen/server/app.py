"""The HTTP application: routes, and how errors become answers. :mod:`melodygen.server.runner` does the work.

``POST`` routes that work answer 202 with a job; its state, its events (server-sent, with pings) and its files are
fetched by its id. A full queue answers 429 with ``Retry-After``. An error is ``{"error": "..."}`` in one line.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException, Query, Request
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from melodygen import __version__
from melodygen.errors import MelodygenError, UsageError
from melodygen.registry import list_styles
from melodygen.request import CONTROLS, control_of, json_schema
from melodygen.resources import models_dir
from melodygen.server.guard import LOOPBACK, Guard
from melodygen.server.jobs import CANCELLED, ENDED, QUEUED, Job, JobStore, QueueFullError
from melodygen.server.runner import Runner
from melodygen.server.tasks import FILES
from melodygen.server.uploads import Upload, UploadStore
from melodygen.server.worker import ANALYSIS, GENERATION
from melodygen.services.models import ModelNames

PAGE = Path(__file__).parent / "page"
PING_SECONDS = 10.0
PRUNE_SECONDS = 600.0
POLL_SECONDS = 0.05
RETRY_SECONDS = 5
MAX_WAIT_SECONDS = 60.0
_FILE = re.compile(r"[a-z0-9-]{1,40}\.[a-z0-9]{1,8}")
_MEDIA = {
    "mid": "audio/midi", "wav": "audio/wav", "flac": "audio/flac", "ogg": "audio/ogg", "mp3": "audio/mpeg",
    "json": "application/json", "sf3": "application/octet-stream",
}  # fmt: skip


@dataclass(frozen=True)
class ServerSettings:
    """How a server is run.

    ``data``              folder of jobs, uploads and results.
    ``hosts``             names under which it may be asked for, without port.
    ``token``             what ``/v1`` needs in its Authorization header; None where only this machine can ask.
    ``max_upload_bytes``  limit of one request's body.
    ``max_waiting``       jobs of one kind that may wait.
    ``keep_seconds``, ``keep_bytes``  how long results stay, and how much disk they may take.
    ``job_seconds``       the longest a job may take.
    ``models``            what writes, renders and classifies.
    """

    data: Path
    hosts: tuple[str, ...] = LOOPBACK
    token: str | None = None
    max_upload_bytes: int = 100 * 2**20
    max_waiting: int = 32
    keep_seconds: float = 7 * 86_400.0
    keep_bytes: int = 2 * 2**30
    job_seconds: float = 600.0
    models: ModelNames = field(default_factory=ModelNames)


class Studio:
    """What the routes share: stores, runners, settings."""

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings
        self.jobs = JobStore(settings.data, settings.max_waiting)
        self.uploads = UploadStore(settings.data / "uploads")
        self.runners = {
            sort: Runner(self.jobs, sort, settings.models, settings.job_seconds, self.clean)
            for sort in (GENERATION, ANALYSIS)
        }
        self._ending = threading.Event()
        self._pruner = threading.Thread(target=self._prune, name="melodygen-prune", daemon=True)

    def start(self) -> None:
        """Fail what a crash interrupted, then start the runners; their models load in the background."""
        self.jobs.recover()
        for runner in self.runners.values():
            runner.start()
        self._pruner.start()

    def close(self) -> None:
        self._ending.set()
        for runner in self.runners.values():
            runner.close()
        self.jobs.close()

    def clean(self, text: str) -> str:
        """An error without the paths of this machine."""
        text = re.sub(r"upload\.[a-z0-9]+", "the file", text.replace(str(self.settings.data), ""))
        return re.sub(r"(?<![\w.])/(?:[\w.~-]+/)+", "", text)

    def find_source(self, name: str, value: Any) -> Path:
        """The file behind ``upload:ID`` or ``job:ID/NUMBER`` (a candidate of a job). UsageError for anything else."""
        text = value if isinstance(value, str) else ""
        try:
            if text.startswith("upload:"):
                return self.uploads.get(text.removeprefix("upload:")).path
            if match := re.fullmatch(r"job:([0-9a-f]{32})/(\d{1,4})", text):
                path = self.jobs.results(match[1]) / f"candidate-{int(match[2])}.mid"
                if path.is_file():
                    return path
        except KeyError:
            pass
        raise UsageError(f"{name} {text!r} is not here: give 'upload:ID' of /v1/uploads or 'job:ID/NUMBER'")

    def _prune(self) -> None:
        while not self._ending.wait(PRUNE_SECONDS):
            self.jobs.prune(self.settings.keep_seconds, self.settings.keep_bytes)
            self.uploads.prune(self.settings.keep_seconds)


def create_app(settings: ServerSettings) -> FastAPI:
    """The application. Models load in the background when it starts; ``/v1/health`` says when they are there."""
    studio = Studio(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        studio.start()
        yield
        await run_in_threadpool(studio.close)

    app = FastAPI(
        title="melodygen", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None,
        description="Write music in a named style, classify tracks, render MIDI.",
    )  # fmt: skip
    _add_errors(app)
    _add_information(app, studio)
    _add_work(app, studio)
    _add_jobs(app, studio)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return FileResponse(PAGE / "docs.html")

    app.mount("/", StaticFiles(directory=PAGE, html=True), name="page")
    app.add_middleware(Guard, hosts=settings.hosts, token=settings.token, max_bytes=settings.max_upload_bytes)
    return app


def new_token() -> str:
    """A token that nobody can guess."""
    return secrets.token_urlsafe(24)


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(QueueFullError)
    async def full(_: Request, error: QueueFullError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 429, {"Retry-After": str(RETRY_SECONDS)})

    @app.exception_handler(MelodygenError)
    async def refused(_: Request, error: MelodygenError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 422)

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": str(error.detail)}, error.status_code)


def _add_information(app: FastAPI, studio: Studio) -> None:
    @app.get("/v1/health", tags=["information"])
    async def health() -> dict[str, Any]:
        """Whether the server answers, and whether its models are loaded."""
        ready = {sort: runner.is_ready for sort, runner in studio.runners.items()}
        return {"status": "ok", "version": __version__, "ready": ready}

    @app.get("/v1/styles", tags=["information"])
    def styles() -> list[dict[str, Any]]:
        """The styles that can be asked for, with their usual tempo, meter and roles."""
        return [
            {
                "name": style.name, "description": style.description, "qpm": style.qpm,
                "meter": "{}/{}".format(*style.meter), "tracks": list(style.tracks),
            }
            for style in list_styles().values()
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
        return FileResponse(path, media_type=_MEDIA["sf3"], headers={"Cache-Control": "max-age=86400"})


def _add_work(app: FastAPI, studio: Studio) -> None:
    upload_body = {
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "required": ["file"],
                        "properties": {"file": {"type": "string", "format": "binary"}},
                    }
                }
            },
        }
    }
    generate_schema = json_schema()
    for name in ("prompt", "given"):
        generate_schema["properties"][name] = {
            "type": ["string", "null"],
            "description": f"{CONTROLS[name].help}: 'upload:ID' or 'job:ID/NUMBER'",
        }
    generate_body = {
        "requestBody": {"required": True, "content": {"application/json": {"schema": generate_schema}}}
    }

    @app.post("/v1/generate", status_code=202, tags=["work"], openapi_extra=generate_body)
    async def generate(request: Request) -> JSONResponse:
        """Write music. Candidates are events of the job; they come with their notes."""
        asked = await _json_object(request)
        return await run_in_threadpool(_submit_generate, studio, asked)

    @app.post("/v1/classify", status_code=202, tags=["work"], openapi_extra=upload_body)
    async def classify(
        request: Request,
        wait: float = Query(0.0, ge=0.0, le=MAX_WAIT_SECONDS, description="Seconds to wait for the result"),
    ) -> JSONResponse:
        """Classify an audio, MIDI or score file. With ``wait``: 200 and the result if it is there by then."""
        upload = await _upload(request, studio)
        work = {"name": upload.name, FILES: {"file": str(upload.path)}}
        job = await run_in_threadpool(studio.jobs.submit, "classify", work)
        return await _answer_job(studio, job, wait)

    @app.post("/v1/render", status_code=202, tags=["work"], openapi_extra=upload_body)
    async def render(
        request: Request,
        format: str = Query("ogg", pattern="^(wav|flac|ogg|mp3)$", description="Format of the audio"),
        wait: float = Query(0.0, ge=0.0, le=MAX_WAIT_SECONDS, description="Seconds to wait for the result"),
    ) -> JSONResponse:
        """Render a MIDI file as audio; the file is one of the job's files."""
        upload = await _upload(request, studio)
        work = {"name": upload.name, "format": format, FILES: {"file": str(upload.path)}}
        job = await run_in_threadpool(studio.jobs.submit, "render", work)
        return await _answer_job(studio, job, wait)

    @app.post("/v1/uploads", status_code=201, tags=["work"], openapi_extra=upload_body)
    async def uploads(request: Request) -> dict[str, Any]:
        """Keep a file, to be named as ``upload:ID`` in a request."""
        upload = await _upload(request, studio)
        return {"id": upload.id, "name": upload.name, "bytes": upload.num_bytes}


def _add_jobs(app: FastAPI, studio: Studio) -> None:
    @app.get("/v1/jobs", tags=["jobs"])
    def jobs(count: int = Query(50, ge=1, le=500)) -> list[dict[str, Any]]:
        """The newest jobs, newest first."""
        return [_describe(studio, job) for job in studio.jobs.newest(count)]

    @app.get("/v1/jobs/{job_id}", tags=["jobs"])
    def job(job_id: str) -> dict[str, Any]:
        """State, progress and result of a job."""
        return _describe(studio, _known(studio, job_id))

    @app.delete("/v1/jobs/{job_id}", tags=["jobs"])
    def cancel(job_id: str) -> dict[str, Any]:
        """Cancel a job: it ends within a second. A job that has ended stays as it is."""
        found = _known(studio, job_id)
        if found.state == QUEUED:
            studio.jobs.end(job_id, CANCELLED)
        for runner in studio.runners.values():
            if found.state not in ENDED:
                runner.cancel(job_id)
        return _describe(studio, _known(studio, job_id))

    @app.get("/v1/jobs/{job_id}/events", tags=["jobs"], response_class=StreamingResponse)
    async def events(
        request: Request,
        job_id: str,
        after: int = Query(0, ge=0, description="Number of the last event that is known"),
    ) -> StreamingResponse:
        """Server-sent events: state, progress, candidate; ``end`` is the last. Reconnect with ``Last-Event-ID``."""
        await run_in_threadpool(_known, studio, job_id)
        last = request.headers.get("last-event-id", "")
        start = int(last) if last.isdigit() and len(last) < 12 else after
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(
            _event_stream(studio, job_id, start), media_type="text/event-stream", headers=headers
        )

    @app.get("/v1/jobs/{job_id}/files/{name}", tags=["jobs"], response_class=FileResponse)
    def file(job_id: str, name: str) -> Response:
        """A file of a job: ``candidate-1.mid``, ``render.ogg``."""
        folder = studio.jobs.results(_known(studio, job_id).id)
        if not _FILE.fullmatch(name) or not (folder / name).is_file():
            raise HTTPException(404, f"this job has no file of that name; it has {_names(folder)}")
        return FileResponse(folder / name, media_type=_MEDIA.get(name.rpartition(".")[2]), filename=name)


def _submit_generate(studio: Studio, asked: dict[str, Any]) -> JSONResponse:
    """Check every value before a job is made of it."""
    files = {}
    for name, value in asked.items():
        control = control_of(name)
        if value is None:
            continue
        if control.kind == "score":
            files[name] = str(studio.find_source(name, value))
        else:
            control.check(value)
    if "style" not in asked:
        raise UsageError("style is missing: name one of /v1/styles")
    known = list_styles()
    if asked["style"] not in known:
        raise UsageError(f"style {asked['style']!r} is not known; known: {', '.join(known)}")
    job = studio.jobs.submit("generate", {**asked, FILES: files})
    return JSONResponse(_describe(studio, job), 202)


async def _answer_job(studio: Studio, job: Job, wait_seconds: float) -> JSONResponse:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait_seconds
    while job.state not in ENDED and loop.time() < deadline:
        await asyncio.sleep(POLL_SECONDS)
        job = await run_in_threadpool(studio.jobs.get, job.id)
    return JSONResponse(_describe(studio, job), 200 if job.state in ENDED else 202)


async def _event_stream(studio: Studio, job_id: str, after: int) -> AsyncIterator[str]:
    loop = asyncio.get_running_loop()
    last_sent = loop.time()
    while True:
        try:
            job = await run_in_threadpool(studio.jobs.get, job_id)
        except KeyError:  # forgotten meanwhile
            return
        for event in await run_in_threadpool(studio.jobs.events, job_id, after):
            after, last_sent = event.number, loop.time()
            yield f"id: {event.number}\nevent: {event.kind}\ndata: {json.dumps(event.data)}\n\n"
        if job.state in ENDED:
            yield f"event: end\ndata: {json.dumps(_describe(studio, job))}\n\n"
            return
        if loop.time() - last_sent > PING_SECONDS:
            last_sent = loop.time()
            yield ": ping\n\n"
        await asyncio.sleep(POLL_SECONDS)


async def _json_object(request: Request) -> dict[str, Any]:
    try:
        found = json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, f"the body is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise HTTPException(400, "the body is not a JSON object")
    return found


async def _upload(request: Request, studio: Studio) -> Upload:
    async with request.form(max_files=1, max_fields=20) as form:
        found = form.get("file")
        if not isinstance(found, UploadFile):
            raise HTTPException(400, "send the file as multipart form data in a field named 'file'")
        return await run_in_threadpool(studio.uploads.add, found.file, found.filename or "upload")


def _known(studio: Studio, job_id: str) -> Job:
    try:
        return studio.jobs.get(job_id)
    except KeyError:
        raise HTTPException(404, "no job has this id; results are kept for a limited time") from None


def _names(folder: Path) -> str:
    return ", ".join(sorted(path.name for path in folder.iterdir())) or "none"


def _describe(studio: Studio, job: Job) -> dict[str, Any]:
    folder = studio.jobs.results(job.id)
    return {
        "id": job.id,
        "kind": job.kind,
        "state": job.state,
        "position": studio.jobs.position(job.id),
        "created_seconds": job.created_seconds,
        "ended_seconds": job.ended_seconds,
        "asked": {name: value for name, value in job.request.items() if name != FILES},
        "result": job.result,
        "error": job.error,
        "files": sorted(path.name for path in folder.iterdir()) if folder.is_dir() else [],
        "events": f"/v1/jobs/{job.id}/events",
    }
