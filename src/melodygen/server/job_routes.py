"""Routes of jobs: state, server-sent events, cancelling, files."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI, HTTPException, Query, Request
from fastapi.responses import FileResponse, Response, StreamingResponse
from starlette.concurrency import run_in_threadpool

from melodygen.server.answers import POLL_SECONDS, describe, file_names, known
from melodygen.server.jobs import ENDED
from melodygen.server.studio import Studio

PING_SECONDS = 10.0
SSE_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_FILE = re.compile(r"[a-z0-9-]{1,40}\.[a-z0-9]{1,12}")
MEDIA = {
    "mid": "audio/midi", "wav": "audio/wav", "flac": "audio/flac", "ogg": "audio/ogg", "mp3": "audio/mpeg",
    "json": "application/json", "sf3": "application/octet-stream", "zip": "application/zip",
    "musicxml": "application/vnd.recordare.musicxml+xml", "abc": "text/vnd.abc",
    "dawproject": "application/octet-stream",
}  # fmt: skip


def add_job_routes(app: FastAPI, studio: Studio) -> None:
    """The routes below ``/v1/jobs``: what is queued, its events and its files."""

    @app.get("/v1/jobs", tags=["jobs"])
    def jobs(count: int = Query(50, ge=1, le=500)) -> list[dict[str, Any]]:
        """The newest jobs, newest first."""
        return [describe(studio, job) for job in studio.jobs.newest(count)]

    @app.get("/v1/jobs/{job_id}", tags=["jobs"])
    def job(job_id: str) -> dict[str, Any]:
        """State, progress and result of a job."""
        return describe(studio, known(studio, job_id))

    @app.delete("/v1/jobs/{job_id}", tags=["jobs"])
    def cancel(job_id: str) -> dict[str, Any]:
        """Cancel a job: it ends within a second. A job that has ended stays as it is."""
        studio.cancel(known(studio, job_id))
        return describe(studio, known(studio, job_id))

    @app.get("/v1/jobs/{job_id}/events", tags=["jobs"], response_class=StreamingResponse)
    async def events(
        request: Request,
        job_id: str,
        after: int = Query(0, ge=0, le=2**53, description="Number of the last event that is known"),
    ) -> StreamingResponse:
        """Server-sent events: state, progress, candidate; ``end`` is the last. Reconnect with ``Last-Event-ID``."""
        await run_in_threadpool(known, studio, job_id)
        last = request.headers.get("last-event-id", "")
        start = int(last) if re.fullmatch(r"[0-9]{1,12}", last) else after
        return StreamingResponse(
            _event_stream(studio, job_id, start), media_type="text/event-stream", headers=SSE_HEADERS
        )

    @app.get("/v1/jobs/{job_id}/files/{name}", tags=["jobs"], response_class=FileResponse)
    def file(job_id: str, name: str) -> Response:
        """A file of a job: ``candidate-1.mid``, ``render.ogg``."""
        folder = studio.jobs.results(known(studio, job_id).id)
        if not _FILE.fullmatch(name) or not (folder / name).is_file():
            raise HTTPException(404, f"this job has no file of that name; it has {file_names(folder)}")
        return FileResponse(folder / name, media_type=MEDIA.get(name.rpartition(".")[2]), filename=name)


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
            yield f"event: end\ndata: {json.dumps(describe(studio, job))}\n\n"
            return
        if loop.time() - last_sent > PING_SECONDS:
            last_sent = loop.time()
            yield ": ping\n\n"
        await asyncio.sleep(POLL_SECONDS)
