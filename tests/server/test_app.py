"""The HTTP API with quick models: work, limits, refusals. The page is tried in a browser in test_page.py."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mido
import numpy as np
import pytest
import soundfile as sf

pytest.importorskip("fastapi", reason="the server extra is not installed")
pytest.importorskip("httpx", reason="httpx is not installed")
from fastapi.testclient import TestClient
from studio_jobs import ended, generated

from melodygen.music.score import Score, Section, Tempo, Track, note_array
from melodygen.server.app import PAGE, ServerSettings, create_app
from melodygen.server.score_json import score_to_json
from melodygen.services.models import ModelNames

HOST = "127.0.0.1"


def tone(seconds: float = 1.0) -> bytes:
    stream = io.BytesIO()
    sf.write(stream, 0.3 * np.sin(np.arange(round(8000 * seconds)) * 0.3), 8000, format="WAV")
    return stream.getvalue()


def test_a_piece_comes_with_its_candidates_and_files(client: TestClient) -> None:
    job = generated(client)
    assert job["state"] == "done", job["error"]
    result = job["result"]
    assert len(result["candidates"]) == 3 and result["command"].startswith("melodygen generate --style jazz")
    with client.stream("GET", job["events"]) as stream:
        lines = [line for line in stream.iter_lines() if line.startswith("data: ")]
        candidates = [json.loads(line[6:]) for line in lines if '"score"' in line and '"number"' in line]
    numbers = [line for line in candidates if "score" in line]
    assert [c["number"] for c in numbers] == [1, 2, 3]
    for candidate in numbers:
        read = mido.MidiFile(
            file=io.BytesIO(client.get(f"/v1/jobs/{job['id']}/files/{candidate['midi']}").content)
        )
        played = sorted(m.note for track in read.tracks for m in track if m.type == "note_on" and m.velocity)
        assert played == sorted(note[2] for track in candidate["score"]["tracks"] for note in track["notes"])
    again = generated(client)
    assert [c["seed"] for c in again["result"]["candidates"]] == [c["seed"] for c in result["candidates"]]


def test_a_mixture_is_taken(client: TestClient) -> None:
    mixed = client.post("/v1/generate", json={"style": "jazz:0.6,folk:0.4", "bars": 2})
    assert mixed.status_code == 202 and client.delete(f"/v1/jobs/{mixed.json()['id']}").status_code < 300


def test_a_candidate_is_worked_on(client: TestClient) -> None:
    job = generated(client, tracks="melody,bass")
    source = f"job:{job['id']}/1"
    more = generated(client, tracks="bass,melody", given=source, given_roles="bass", bars=None)
    assert more["state"] == "done", more["error"]
    unused = generated(client, tracks="melody", instruments="bass=tuba")["result"]["warnings"]
    assert unused == ["--instruments names bass, which is not written: see --tracks"]
    refused = client.post("/v1/generate", json={"style": "jazz", "prompt": f"job:{job['id']}/99"})
    assert refused.status_code == 422 and "is not here" in refused.json()["error"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({}, "style is missing"),
        ({"style": "jaz"}, "style 'jaz' is not known"),
        ({"style": "jazz", "bars": 0}, "bars 0 is not possible; give 1 to 256"),
        ({"style": "jazz", "qpm": "fast"}, "tempo 'fast' is not a number"),
        ({"style": "jazz", "meter": "7/3"}, "7/3"),
        ({"style": "jazz", "tempi": 3}, "control 'tempi' is not known"),
        ({"style": "jazz", "given": "/etc/passwd"}, "is not here"),
        ({"style": "jazz", "prompt": "upload:../../etc"}, "is not here"),
        ({"style": "jazz:0.5,jaz:0.5"}, "style 'jaz' is not known"),
        ({"style": "jazz", "fill": "1:2"}, "name it with --under"),
        ({"style": "jazz", "pick": 9, "candidates": 3}, "pick 9 is not possible: 3 candidates"),
        ({"style": "jazz", "form": "AABA", "bars": 30}, "does not divide 30 bars"),
    ],
)
def test_what_cannot_be_is_refused_before_it_is_queued(
    client: TestClient, asked: dict[str, Any], message: str
) -> None:
    answer = client.post("/v1/generate", json=asked)
    assert answer.status_code == 422 and message in answer.json()["error"]


def test_an_upload_is_classified_and_a_broken_one_says_why_without_a_path(client: TestClient) -> None:
    answer = client.post("/v1/classify", files={"file": ("../../a tone.wav", tone())})
    assert answer.status_code == 202, answer.text
    assert ended(client, answer.json()["id"], 100)["result"]["path"] == "a tone.wav"
    assert client.post("/v1/classify?wait=60", files={"file": ("b.wav", tone())}).status_code == 200
    for content, name in (
        (b"RIFF\0\0", "x.wav"),
        (b"MThd\0\0\0\6", "x.mid"),
        (b"\0" * 100, "x.mp3"),
        (b"<a/>", "x.xml"),
    ):
        answer = client.post("/v1/classify?wait=60", files={"file": (name, content)})
        job = answer.json()
        assert answer.status_code == 422 and job["state"] == "failed"
        assert job["error"] and "/" not in job["error"] and "Traceback" not in job["error"]
    assert client.post("/v1/classify", files={"file": ("x.wav", b"")}).status_code == 422
    assert client.post("/v1/classify", data={"file": "text"}).status_code == 400
    assert client.post("/v1/classify").status_code == 400


def test_every_refusal_is_an_error_in_words(client: TestClient) -> None:
    for answer, code, said in (
        (client.get("/v1/nosuch"), 404, "Not Found"),
        (client.put("/v1/jobs"), 405, "Not Allowed"),
        (client.post("/v1/generate", json={}), 422, "style is missing: name one of "),
        (client.post("/v1/generate", json={"style": ""}), 422, "style needs a value: give a style"),
        (client.post("/v1/generate", json={"style": "jazz", "chords": ""}), 422, "chords needs a value"),
    ):
        assert answer.status_code == code and said in answer.json()["error"], answer.text


def test_a_midi_file_is_rendered(client: TestClient) -> None:
    job = generated(client)
    midi = client.get(f"/v1/jobs/{job['id']}/files/candidate-1.mid").content
    made = client.post("/v1/render?format=wav&wait=60", files={"file": ("a.mid", midi)}).json()
    assert made["state"] == "done", made["error"]
    content = client.get(f"/v1/jobs/{made['id']}/files/{made['result']['file']}").content
    assert sf.info(io.BytesIO(content)).frames > 0


def test_limits_and_refusals(client: TestClient) -> None:
    assert client.get("/v1/health", headers={"host": "evil.example"}).status_code == 421
    assert client.get("/v1/health", headers={"host": f"{HOST}:8765"}).status_code == 200
    too_large = {"file": ("a.wav", bytes(300_000))}
    assert client.post("/v1/uploads", files=too_large).status_code == 413

    def dripping() -> Iterator[bytes]:  # no content length: counted as it arrives
        yield b"--x\r\nContent-Disposition: form-data; name=file; filename=a.wav\r\n\r\n"
        for _ in range(100):
            yield bytes(10_000)

    headers = {"content-type": "multipart/form-data; boundary=x"}
    assert client.post("/v1/uploads", content=dripping(), headers=headers).status_code == 413
    for path in ("/v1/jobs/none", f"/v1/jobs/{'0' * 32}/files/a.mid", "/v1/nothing", "/..%2f..%2fetc/passwd"):
        assert client.get(path).status_code == 404, path
    for body in (b"[1]", b"{", b"\xff"):
        assert client.post("/v1/generate", content=body).status_code == 400
    policy = client.get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe-inline" not in policy and "http" not in policy


def test_every_script_of_the_page_comes_from_here(client: TestClient) -> None:
    scripts = sorted(path.name for path in PAGE.iterdir() if path.suffix in (".js", ".css", ".html"))
    assert {"main.js", "library.js", "live.js", "recorder-worklet.js"} <= set(scripts)
    for name in ("", "docs", *scripts):
        answer = client.get(f"/{name}")
        assert answer.status_code == 200 and "https://" not in answer.text.replace("http://www.w3.org", "")
    assert client.get("/v1/controls").json()["required"] == ["style"]
    assert "/v1/generate" in client.get("/openapi.json").json()["paths"]


def test_a_full_queue_says_when_to_come_back_and_jobs_are_cancelled(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(site)
    slow = ModelNames("fakeband:slow", "fakeband", "fakeband")
    settings = ServerSettings(tmp_path, models=slow, max_waiting=1, token="secret")
    with TestClient(create_app(settings), base_url=f"http://{HOST}") as client:
        assert client.get("/v1/styles").status_code == 401
        client.headers["authorization"] = "Bearer secret"
        first = client.post("/v1/generate", json={"style": "jazz"}).json()["id"]
        deadline = time.monotonic() + 60
        while client.get(f"/v1/jobs/{first}").json()["state"] != "running" and time.monotonic() < deadline:
            time.sleep(0.05)
        second = client.post("/v1/generate", json={"style": "jazz"}).json()["id"]
        full = client.post("/v1/generate", json={"style": "jazz"})
        assert full.status_code == 429 and int(full.headers["retry-after"]) > 0
        assert client.delete(f"/v1/jobs/{second}").json()["state"] == "cancelled"
        client.delete(f"/v1/jobs/{first}")
        assert (
            ended(client, first, 10)["state"] == "cancelled"
        )  # it sleeps for a minute: its process was ended
        third = client.post("/v1/generate", json={"style": "jazz"}).json()["id"]
        assert client.get(f"/v1/jobs/{third}").json()["state"] in ("queued", "running")


def test_sections_are_drawn_where_they_begin() -> None:
    tune = Track(notes=note_array([(1920 * i, 960, 60, 80) for i in range(4)]))
    marked = (Section(0, "Section A"), Section(3840, "Chorus"))
    drawn = score_to_json(Score(tracks=(tune,), tempos=(Tempo(0, 60.0),), sections=marked))
    assert drawn["sections"] == [[0.0, "A"], [8.0, "Chorus"]]
