"""What routes share: reading bodies and uploads, and telling of jobs."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from fastapi import HTTPException, Query, Request
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from melodygen.server.jobs import ENDED, FAILED, Job
from melodygen.server.studio import Studio
from melodygen.server.tasks import FILES
from melodygen.server.uploads import Upload

POLL_SECONDS = 0.05
MAX_WAIT_SECONDS = 60.0
WAIT = Query(0.0, ge=0.0, le=MAX_WAIT_SECONDS, description="Seconds to wait for the result")
UPLOAD = {
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
"""OpenAPI of a route that takes a file."""


async def answer_job(studio: Studio, job: Job, wait_seconds: float) -> JSONResponse:
    """The job with 200 if it is done within the time, 422 if it failed, else 202."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait_seconds
    while job.state not in ENDED and loop.time() < deadline:
        await asyncio.sleep(POLL_SECONDS)
        job = await run_in_threadpool(studio.jobs.get, job.id)
    status = 422 if job.state == FAILED else 200 if job.state in ENDED else 202
    return JSONResponse(describe(studio, job), status)


async def submit_upload(
    request: Request, studio: Studio, kind: str, asked: dict[str, Any], wait_seconds: float
) -> JSONResponse:
    """A job about the file in the request's body; analysis jobs are told where the library is."""
    upload = await uploaded(request, studio)
    files = {"file": str(upload.path), "library": str(studio.library_address)}
    job = await run_in_threadpool(studio.jobs.submit, kind, {"name": upload.name, **asked, FILES: files})
    return await answer_job(studio, job, wait_seconds)


async def json_object(request: Request) -> dict[str, Any]:
    """The body as a JSON object. HTTPException 400 for anything else."""
    try:
        found = json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, f"the body is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise HTTPException(400, "the body is not a JSON object")
    return found


async def uploaded(request: Request, studio: Studio) -> Upload:
    """The file of a form, kept. HTTPException 400 for a body without one."""
    async with request.form(max_files=1, max_fields=20) as form:
        found = form.get("file")
        if not isinstance(found, UploadFile):
            raise HTTPException(400, "send the file as multipart form data in a field named 'file'")
        return await run_in_threadpool(studio.uploads.add, found.file, found.filename or "upload")


def known(studio: Studio, job_id: str) -> Job:
    """A job by its id. HTTPException 404 for an unknown one."""
    try:
        return studio.jobs.get(job_id)
    except KeyError:
        raise HTTPException(404, "no job has this id; results are kept for a limited time") from None


def file_names(folder: Path) -> str:
    """The files of a job, as a message lists them."""
    return ", ".join(sorted(path.name for path in folder.iterdir())) or "none"


def describe(studio: Studio, job: Job) -> dict[str, Any]:
    """A job as clients see it."""
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
