"""A live session over HTTP and OSC, to the page: it plays, moves, tells, stops; pieces go to ports that are there."""

from __future__ import annotations

import io
import json
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import mido
import pytest
from fastapi.testclient import TestClient
from studio_jobs import generated

pytest.importorskip("pythonosc", reason="python-osc is not installed")
from pythonosc.dispatcher import Dispatcher
from pythonosc.osc_message_builder import build_msg
from pythonosc.osc_server import BlockingOSCUDPServer

QUICK = {"parameters": {"bars_per_phrase": 1, "candidates": 1, "opening": False, "tracks": "melody,drums"}}


def until(wanted: Callable[[], Any], seconds: float = 40.0) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := wanted():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not come")


def status(client: TestClient) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/v1/live").json()["status"]
    return found


def events(client: TestClient, after: int, seconds: float) -> list[tuple[str, dict[str, Any]]]:
    found = []
    kind = ""
    with client.stream("GET", "/v1/live/events", params={"after": after, "seconds": seconds}) as stream:
        for line in stream.iter_lines():
            if line.startswith("event: "):
                kind = line[7:]
            elif line.startswith("data: "):
                found.append((kind, json.loads(line[6:])))
    return found


@pytest.fixture
def session(client: TestClient) -> Iterator[None]:
    asked = {"style": "jazz", "qpm": 240, **QUICK}
    assert client.post("/v1/live/start", json=asked).json()["state"] == "loading"
    until(lambda: status(client).get("phrase", 0) >= 1 or status(client)["error"])
    assert status(client)["error"] is None
    yield
    client.post("/v1/live/stop")


def test_a_session_plays_to_the_page_and_every_note_ends(client: TestClient, session: None) -> None:
    until(lambda: status(client).get("notes_sent", 0) > 4)
    assert client.post("/v1/live/moves", json={"move": "mute_drums"}).status_code == 200
    until(lambda: status(client)["muted"] == ["drums"])
    client.post("/v1/live/parameters", json={"density": 0.8, "qpm": 200})
    until(lambda: status(client)["parameters"]["density"] == 0.8 and abs(status(client)["qpm"] - 200) < 1)
    for wrong in ({"density": 7}, {"nothing": 1}):
        answer = client.post("/v1/live/parameters", json=wrong)
        assert answer.status_code == 422 and answer.json()["error"]
    assert client.post("/v1/live/moves", json={"move": "jump"}).status_code == 422
    client.post("/v1/live/moves", json={"move": "save"})
    until(lambda: "live-1.mid" in status(client)["files"])
    stopped = client.post("/v1/live/stop").json()
    assert stopped["state"] == "off" and "take.mid" in stopped["files"] and stopped["error"] is None
    sounding: set[tuple[int, int]] = set()
    levels, heard = 0.0, 0
    for kind, data in events(client, 0, 0.2):
        assert kind != "status" or {"is_on", "files", "kind", "error"} <= set(data)
        for _, message in data["notes"] if kind == "notes" else ():
            on = message[0] & 0xF0 == 0x90 and message[2]
            key = (message[0] & 15, message[1])
            if on:
                sounding.add(key)
                heard += 1
            elif message[0] & 0xF0 in (0x80, 0x90):
                sounding.discard(key)
        levels = max([levels, *data.get("levels", {}).values()])
    assert levels > 0.3 and heard > 4
    assert not sounding
    take = client.get("/v1/live/files/take.mid")
    played = mido.MidiFile(file=io.BytesIO(take.content))
    assert any(m.type == "note_on" for track in played.tracks for m in track)
    assert take.headers["content-type"] == "audio/midi"
    assert client.get("/v1/live/files/..%2fjobs.sqlite").status_code == 404
    assert client.post("/v1/live/moves", json={"move": "next"}).status_code == 422  # nothing plays


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"style": "jaz"}, "jazz"),
        ({"style": "jazz", "parameters": {"swing": 2}}, "swing 2"),
        ({"style": "jazz", "parameters": {"mode": "answer"}}, "listen"),
        ({"style": "jazz", "parameters": {"standby": "folk"}}, "beside"),
        ({"style": "jazz", "meter": "9/7"}, "9/7"),
        ({"style": "jazz", "qpm": 5000}, "qpm"),
        ({"style": "jazz", "port": "no such port"}, ""),
    ],
)
def test_what_cannot_be_played_is_said_before_anything_starts(
    client: TestClient, asked: dict[str, Any], words: str
) -> None:
    answer = client.post("/v1/live/start", json=asked)
    assert answer.status_code == 422 and words in answer.json()["error"]
    assert status(client)["state"] == "off"


def test_ports_are_listed_or_it_is_said_why_not(client: TestClient) -> None:
    found = client.get("/v1/ports").json()
    assert found["outputs"] or found["note"] or found["note"] is None
    job = generated(client)
    refused = client.post("/v1/play", json={"source": f"job:{job['id']}/1", "port": "no such port"})
    assert refused.status_code == 422 and refused.json()["error"]
    assert client.post("/v1/play", json={"source": "job:x", "port": "virtual"}).status_code == 422


class Patch:
    """What a patch in Max or Pd does: it sends, and listens on the same port."""

    def __init__(self, port: int) -> None:
        self.heard: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()
        dispatcher = Dispatcher()
        dispatcher.set_default_handler(lambda address, *values: self.heard.put((address, *values)))
        self._server = BlockingOSCUDPServer(("127.0.0.1", 0), dispatcher)
        self._target = ("127.0.0.1", port)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def send(self, address: str, *values: Any) -> None:
        self._server.socket.sendto(build_msg(address, list(values)).dgram, self._target)

    def hear(self, address: str, seconds: float = 40.0) -> tuple[Any, ...]:
        deadline = time.monotonic() + seconds
        while True:
            found = self.heard.get(timeout=max(0.01, deadline - time.monotonic()))
            if found[0] == address:
                return found[1:]
            assert address == "/melodygen/error" or found[0] != "/melodygen/error", found

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def patch(client: TestClient, osc_port: int) -> Iterator[Patch]:
    found = Patch(osc_port)
    yield found
    found.close()


def test_a_patch_generates_and_gets_notes(client: TestClient, patch: Patch) -> None:
    patch.send("/melodygen/generate", "jazz", "bars", 2, "candidates", 2, "seed", 7)
    (job,) = patch.hear("/melodygen/job")
    numbers = [patch.hear("/melodygen/candidate")[1] for _ in range(2)]
    assert numbers == [1, 2]
    done = patch.hear("/melodygen/done")
    assert done[0] == job and done[1] in (1, 2) and done[2] == "7"
    patch.send("/melodygen/notes", job, 1)
    role, onset, duration, pitch, velocity = patch.hear("/melodygen/note")
    assert role and onset == 0 and duration > 0 and 0 <= pitch < 128 and velocity
    assert patch.hear("/melodygen/end") == (job, 1)
    for wrong in (
        ("generate", "jaz"),
        ("generate", "jazz", "bars"),
        ("generate",),
        ("notes", job, 9),
        ("x",),
    ):
        patch.send(f"/melodygen/{wrong[0]}", *wrong[1:])
        assert patch.hear("/melodygen/error")[0]


def test_a_patch_drives_a_live_session(client: TestClient, patch: Patch) -> None:
    flat = [x for pair in QUICK["parameters"].items() for x in pair if not isinstance(pair[1], bool)]
    patch.send("/melodygen/live/start", "jazz", "page", "qpm", 240, *flat)
    assert patch.hear("/melodygen/status")[0] == "loading"
    until(lambda: status(client).get("phrase", 0) >= 1)
    patch.send("/melodygen/live/freeze")
    until(lambda: status(client)["frozen"])
    patch.send("/melodygen/live/set", "density", 0.25)
    until(lambda: status(client)["parameters"]["density"] == 0.25)
    patch.send("/melodygen/live/next")
    patch.send("/melodygen/live/stop")
    assert patch.hear("/melodygen/status")[0] == "off"
    assert status(client)["state"] == "off"
