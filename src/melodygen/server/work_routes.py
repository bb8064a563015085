"""Routes that write, classify and render. Work is a job; see ``job_routes``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query, Request
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from melodygen.errors import UsageError
from melodygen.parsing import check_style
from melodygen.registry import list_styles
from melodygen.request import CONTROLS, LOOP_CONTROLS, check_loop, control_of, json_schema, loop_options
from melodygen.server.answers import UPLOAD, WAIT, answer_job, describe, json_object, submit_upload, uploaded
from melodygen.server.exports import NOTES_FORMATS
from melodygen.server.jobs import Job
from melodygen.server.studio import Studio
from melodygen.server.tasks import FILES
from melodygen.services.models import styles_in_checkpoint

Format = Literal["wav", "flac", "ogg", "mp3", "stems", "tracks", "musicxml", "dawproject", "abc"]
SOURCE = "'upload:ID' of /v1/uploads or 'job:ID/NUMBER', a candidate of a job"


def add_work_routes(app: FastAPI, studio: Studio) -> None:
    """All of them."""
    generate_schema = json_schema()
    for name, control in CONTROLS.items():
        if control.kind == "score":
            generate_schema["properties"][name] = {
                "type": ["string", "null"],
                "description": f"{control.help}: {SOURCE}",
            }
    generate_body = {
        "requestBody": {"required": True, "content": {"application/json": {"schema": generate_schema}}}
    }

    @app.post("/v1/generate", status_code=202, tags=["work"], openapi_extra=generate_body)
    async def generate(request: Request) -> JSONResponse:
        """Write music. Candidates are events of the job; they come with their notes."""
        asked = await json_object(request)
        job = await run_in_threadpool(submit_generate, studio, asked)
        return JSONResponse(describe(studio, job), 202)

    @app.post("/v1/classify", status_code=202, tags=["work"], openapi_extra=UPLOAD)
    async def classify(
        request: Request,
        recommend: int = Query(
            5, ge=0, le=100, description="Tracks of the library that sound like it, at most"
        ),
        wait: float = WAIT,
    ) -> JSONResponse:
        """Classify an audio, MIDI or score file. With ``wait``: 200 and the result if it is there by then."""
        asked = {"recommend": recommend if await run_in_threadpool(studio.has_library) else 0}
        return await submit_upload(request, studio, "classify", asked, wait)

    @app.post("/v1/uploads", status_code=201, tags=["work"], openapi_extra=UPLOAD)
    async def uploads(request: Request) -> dict[str, Any]:
        """Keep a file, to be named as ``upload:ID`` in a request."""
        upload = await uploaded(request, studio)
        return {"id": upload.id, "name": upload.name, "bytes": upload.num_bytes}

    _add_render(app, studio)


def _add_render(app: FastAPI, studio: Studio) -> None:
    source = {
        "type": "object",
        "required": ["source"],
        "properties": {"source": {"type": "string", "description": SOURCE}},
    }
    content = {**UPLOAD["requestBody"]["content"], "application/json": {"schema": source}}  # type: ignore[dict-item]
    body = {"requestBody": {"required": True, "content": content}}

    @app.post("/v1/render", status_code=202, tags=["work"], openapi_extra=body)
    async def render(
        request: Request,
        format: Annotated[
            Format, Query(description="'stems' and 'tracks' are ZIPs with a WAV or MIDI file for each track")
        ] = "ogg",
        wait: float = WAIT,
    ) -> JSONResponse:
        """A MIDI file or a candidate as sound, notation or a DAW project; the file is one of the job's files."""
        kind = "export" if format in NOTES_FORMATS else "render"
        if request.headers.get("content-type", "").startswith("multipart/form-data"):
            return await submit_upload(request, studio, kind, {"format": format}, wait)
        asked = await json_object(request)
        path = await run_in_threadpool(studio.find_source, "source", asked.get("source"))
        work = {"source": asked["source"], "format": format, FILES: {"file": str(path)}}
        return await answer_job(studio, await run_in_threadpool(studio.jobs.submit, kind, work), wait)


def submit_generate(studio: Studio, asked: dict[str, Any]) -> Job:
    """Check all that can be known without reading a file before a job is made of it. Raises UsageError."""
    from melodygen.services.requests import build_request, check_combination

    files, values = {}, {}
    for name, value in asked.items():
        control = control_of(name)
        if value is None:
            continue
        if control.kind == "score":
            files[name] = str(studio.find_source(name, value))
        else:
            values[name] = control.check(value)
    if "style" not in asked:
        raise UsageError(f"style is missing: name one of {', '.join(list_styles())}")
    check_style(values["style"], {**list_styles(), **styles_in_checkpoint(studio.settings.models.model)})
    loop = {name: value for name, value in values.items() if name in LOOP_CONTROLS}
    check_loop(loop_options(loop))
    controls = {name: asked[name] for name in values if name not in loop}
    check_combination({**controls, **files})
    if not files:
        build_request(controls)
    return studio.jobs.submit("generate", {**asked, FILES: files})
