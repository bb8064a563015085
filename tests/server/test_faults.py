"""What may go wrong while a job runs: its process or the server is killed, a client cancels, names are faked."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

pytest.importorskip("fastapi", reason="the server extra is not installed")
from melodygen.cli.app import app
from melodygen.server.jobs import INTERRUPTED


@contextmanager
def served(env: dict[str, str], data: Path, *options: str) -> Iterator[tuple[httpx.Client, Any]]:
    command = [
        sys.executable, "-m", "melodygen", "serve", "--port", "0", "--no-open", "--data", str(data),
        "--model", "fakeband:slow", "--renderer", "fakeband", "--classifier", "fakeband", *options,
    ]  # fmt: skip
    process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    url = process.stderr.readline().split()[2]
    with httpx.Client(base_url=url, timeout=30) as client:
        deadline = time.monotonic() + 30
        while True:
            try:
                client.get("/v1/styles")
                break
            except httpx.HTTPError:
                assert time.monotonic() < deadline
                time.sleep(0.1)
        try:
            yield client, process
        finally:
            process.kill()
            process.wait(20)


def wait_for(client: httpx.Client, job: str, *states: str, seconds: float = 60.0) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found: dict[str, Any] = client.get(f"/v1/jobs/{job}").json()
        if found["state"] in states:
            return found
        time.sleep(0.05)
    raise AssertionError(found)


def children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(p) for p in found.read_text().split()] if found.exists() else []


def is_alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="it looks for processes in /proc")
@pytest.mark.timeout(300)
def test_kills_lose_no_job_and_leave_no_process(env: dict[str, str], tmp_path: Path) -> None:
    """A job whose process is killed fails and says so, the next one runs; a killed server takes its processes with it,
    goes on with what waited, and says what it interrupted."""
    ask = {"style": "jazz", "bars": 1, "candidates": 1}
    with served(env, tmp_path) as (client, process):
        first = client.post("/v1/generate", json=ask).json()["id"]
        wait_for(client, first, "running")
        time.sleep(0.5)
        writing = [
            pid
            for pid in _descendants(process.pid)
            if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]
        assert writing
        begun = time.monotonic()
        for pid in writing:
            os.kill(pid, signal.SIGKILL)
        killed = wait_for(client, first, "failed")
        assert "the process that did it ended (exit code" in killed["error"] and time.monotonic() - begun < 20
        second = client.post("/v1/generate", json=ask).json()["id"]
        third = client.post("/v1/generate", json=ask).json()["id"]
        wait_for(client, second, "running")
        left = _descendants(process.pid)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(20)
        deadline = time.monotonic() + 20
        while any(map(is_alive, left)) and time.monotonic() < deadline:
            time.sleep(0.1)
    with served(env, tmp_path) as (client, _):
        assert client.get(f"/v1/jobs/{second}").json()["error"] == INTERRUPTED
        wait_for(client, third, "running")
        begun = time.monotonic()
        client.delete(f"/v1/jobs/{third}")
        assert wait_for(client, third, "cancelled", seconds=5)["error"] is None
        assert time.monotonic() - begun < 3  # a second on an idle machine
    alive = [pid for pid in left if is_alive(pid)]
    for pid in alive:
        os.kill(pid, signal.SIGKILL)
    assert not alive, "processes outlived the server that started them"


@pytest.mark.parametrize("option", ["--model", "--classifier", "--renderer"])
def test_a_model_that_is_not_there_is_told_before_it_serves(
    option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("uvicorn.Server.run", lambda *args, **named: pytest.fail("it serves"))
    words = ["serve", "--port", "0", "--no-open", "--data", str(tmp_path), option, "nix"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 1 and "nix" in done.output and "known: " in done.output, done.output


def _descendants(pid: int) -> list[int]:
    found = children(pid)
    # a spawned process is the child of the thread that started it
    for task in Path(f"/proc/{pid}/task").iterdir() if Path(f"/proc/{pid}/task").exists() else ():
        file = task / "children"
        found += [int(p) for p in file.read_text().split()] if file.exists() else []
    return sorted(set(found))


def test_a_token_guards_everything_below_v1_and_events_too(env: dict[str, str], tmp_path: Path) -> None:
    with served(env, tmp_path, "--token", "secret") as (client, _):
        for path in (
            "/v1/health",
            "/v1/jobs",
            f"/v1/jobs/{'0' * 32}/events",
            "/v1/live/events",
            "/v1/library",
        ):
            assert client.get(path).status_code == 401, path
            wrong = client.get(path, headers={"authorization": "Bearer secreT"})
            assert wrong.status_code == 401, path
        right = {"authorization": "Bearer secret"}
        job = client.post("/v1/generate", json={"style": "jazz"}, headers=right).json()["id"]
        assert client.get(f"/v1/jobs/{job}/events").status_code == 401
        with client.stream("GET", f"/v1/jobs/{job}/events", headers=right) as stream:
            lines = stream.iter_lines()
            assert next(lines) == "id: 1"
        assert json.loads(client.get("/rest/ping?f=json").text)["subsonic-response"]["status"] == "failed"
        # another site whose name was made to point here
        rebound = client.get("/v1/styles", headers={**right, "host": "evil.example:8765"})
        assert rebound.status_code == 421 and "evil" in rebound.json()["error"]
        for path in ("/", "/rest/ping", "/openapi.json"):
            assert client.get(path, headers={"host": "evil.example"}).status_code == 421
