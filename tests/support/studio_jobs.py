"""Jobs of the server, waited for."""

from __future__ import annotations

import time
from typing import Any

from fastapi.testclient import TestClient


def ended(client: TestClient, job_id: str, seconds: float = 60.0) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        job: dict[str, Any] = client.get(f"/v1/jobs/{job_id}").json()
        if job["state"] in ("done", "failed", "cancelled"):
            return job
        time.sleep(0.05)
    raise AssertionError(f"job {job_id} is {job['state']} after {seconds} s")


def generated(client: TestClient, **asked: Any) -> dict[str, Any]:
    answer = client.post(
        "/v1/generate", json={"style": "jazz", "bars": 2, "candidates": 3, "seed": 7, **asked}
    )
    assert answer.status_code == 202, answer.text
    return ended(client, answer.json()["id"])
