"""The library over HTTP: its tracks, files that are sent, listeners, playlists. No path of the machine comes out."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
from fastapi.testclient import TestClient
from small_library import NUM_SOUNDS, NUM_TUNES, tune
from studio_jobs import ended

from melodygen.io.midi import write_midi
from melodygen.services.library import Library


@pytest.fixture(autouse=True)
def no_path(client: TestClient, music: Path, library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every answer of every test is looked through."""
    send = client.send

    def looked_through(*values: Any, **more: Any) -> Any:
        answer = send(*values, **more)
        if "json" in answer.headers.get("content-type", ""):
            for place in (music, library, music.parent, library.parent):
                assert str(place) not in answer.text, answer.text
        return answer

    monkeypatch.setattr(client, "send", looked_through)


def test_tracks_are_listed_searched_and_heard(client: TestClient) -> None:
    stats = client.get("/v1/library").json()
    assert stats["tracks"] == NUM_TUNES + NUM_SOUNDS and stats["kinds"] == {
        "score": NUM_TUNES,
        "recording": NUM_SOUNDS,
    }
    found = client.get("/v1/library/tracks", params={"text": "sound", "top": 2, "after": 1}).json()
    assert found["total"] == NUM_SOUNDS and len(found["tracks"]) == 2
    sound = found["tracks"][0]
    assert sound["name"].startswith("The Testers - Sound") and "path" not in sound
    heard = client.get(f"/v1/library/tracks/{sound['track']}/audio")
    assert sf.info(io.BytesIO(heard.content)).frames == 16_000
    score = client.get("/v1/library/tracks", params={"style": "folk"}).json()["tracks"][0]
    assert len(client.get(f"/v1/library/tracks/{score['track']}").json()["score"]["tracks"][0]["notes"]) == 16
    assert client.get(f"/v1/library/tracks/{score['track']}/audio").status_code == 404
    unknown = client.get("/v1/library/tracks/999999")
    assert unknown.status_code == 422 and "no track has the number 999999" in unknown.json()["error"]


def test_similar_tracks_are_those_of_the_library(client: TestClient, library: Path) -> None:
    track = client.get("/v1/library/tracks", params={"text": "Tune 1"}).json()["tracks"][0]["track"]
    found = client.get("/v1/similar", params={"track": track, "top": 4}).json()["tracks"]
    with Library(library) as opened:
        path = opened.store.tracks([track])[track].path
        expected = [(t.track_id, likeness) for t, likeness in opened.similar(path, top=4)]
    assert [(t["track"], t["likeness"]) for t in found] == expected
    assert {t["kind"] for t in found} == {"score"}
    only = client.get("/v1/similar", params={"track": track, "kind": "recording"}).json()["tracks"]
    assert len(only) == NUM_SOUNDS


def test_what_was_liked_brings_more_of_it_and_is_remembered(client: TestClient) -> None:
    tunes = [t["track"] for t in client.get("/v1/library/tracks", params={"style": "folk"}).json()["tracks"]]
    unknown = client.post("/v1/recommend", json={"user": "nobody"})
    assert unknown.status_code == 422 and "nothing is known of" in unknown.json()["error"]
    found = client.post(
        "/v1/recommend", json={"likes": tunes[:3], "user": "a", "top": 3, "diversity": 0}
    ).json()
    assert {t["track"] for t in found["tracks"]} == set(tunes[3:])
    assert all(t["why"].startswith("like ") and t["like"]["track"] in tunes[:3] for t in found["tracks"])
    entry = {"user": "b", "likes": tunes[:2], "plays": [{"track": tunes[2], "time": 1e9}]}
    assert client.post("/v1/history", json=entry).json() == {"plays": 1, "likes": 2, "unliked": 0}
    assert client.post("/v1/history", json=entry).json()["plays"] == 0  # each play once
    held = client.get("/v1/history", params={"user": "b"}).json()
    assert held["plays"][0]["time"] == 1e9 and {t["track"] for t in held["likes"]} == set(tunes[:2])
    again = client.post("/v1/recommend", json={"user": "b", "top": 3}).json()["tracks"]
    assert again and not {t["track"] for t in again} & set(tunes[:3])
    assert client.post("/v1/history", json={"user": "b", "unlike": tunes[:2]}).json()["unliked"] == 2
    csv = "track,time,user\nTune 0,2026-01-01,c\nUnknown,2026-01-01,c\n"
    loaded = client.post("/v1/history/import?wait=60", files={"file": ("plays.csv", csv)}).json()
    assert loaded["result"] == {"listens": 1, "new": 1, "unknown_listens": 1, "listeners": ["c"]}


def test_a_phrase_is_found_by_its_notes_and_by_a_file(client: TestClient, tmp_path: Path) -> None:
    pitches = tune(2).tracks[0].notes["pitch"].tolist()[3:11]
    question = {"notes": [p + 3 for p in pitches], "onsets": list(range(8))}  # in another key
    found = client.post("/v1/find", json=question).json()
    assert found["tracks"][0]["name"] == "Tune 2" and found["tracks"][0]["cost"] == 0
    assert (found["tracks"][0]["start"], found["notes"]) == (1.5, question["notes"])
    write_midi(tmp_path / "phrase.mid", tune(4))
    sent = {"file": ("phrase.mid", (tmp_path / "phrase.mid").read_bytes())}
    job = client.post("/v1/find?wait=60", files=sent).json()
    assert job["result"]["tracks"][0]["name"] == "Tune 4"
    for wrong, words in (
        ({}, "notes are missing"),
        ({"notes": "H4 X"}, "is no note"),
        ({"notes": [60, 62]}, "at least 3"),
        ({"notes": [60, 62, 64, 65], "onsets": [0, 1]}, "one number for each note"),
        ({"notes": [60, 62, 64, 65], "onsets": [3, 2, 1, 0]}, "ascending"),
    ):
        answer = client.post("/v1/find", json=wrong)
        assert answer.status_code == 422 and words in answer.json()["error"]


def test_a_hum_is_heard(client: TestClient) -> None:
    pitches = tune(3).tracks[0].notes["pitch"].tolist()[:7]
    time = np.arange(4000) / 8000
    shape = np.minimum(1, np.minimum(time, time[::-1]) * 40)
    voice = [0.4 * shape * np.sin(2 * np.pi * 440 * 2 ** ((p - 12 - 69) / 12) * time) for p in pitches]
    stream = io.BytesIO()
    sf.write(stream, np.concatenate([np.pad(v, (0, 400)) for v in voice]), 8000, format="WAV")
    job = client.post("/v1/find?wait=60", files={"file": ("hum.wav", stream.getvalue())}).json()
    assert job["state"] == "done", job["error"]
    assert job["result"]["tracks"][0]["name"] == "Tune 3"


def test_a_file_is_identified_by_its_notes(client: TestClient, tmp_path: Path) -> None:
    write_midi(tmp_path / "x.mid", tune(5))
    sent = {"file": ("x.mid", (tmp_path / "x.mid").read_bytes())}
    job = client.post("/v1/identify?wait=60", files=sent).json()
    assert job["state"] == "done", job["error"]
    match = job["result"]["matches"][0]
    assert match["name"] == "Tune 5" and match["semitones"] == 0 and match["words"].startswith("shares ")


def test_what_cannot_be_heard_says_why(client: TestClient) -> None:
    """Nets of another kind than the library's: a classification comes without recommendations, and says so."""
    stream = io.BytesIO()
    sf.write(stream, 0.3 * np.sin(np.arange(8000) * 0.3), 8000, format="WAV")
    job = client.post("/v1/classify?wait=60", files={"file": ("a.wav", stream.getvalue())}).json()
    assert job["result"]["recommendations"] == []
    assert any(note.startswith("no recommendations:") for note in job["result"]["notes"])
    job = client.post("/v1/similar?wait=60", files={"file": ("a.wav", stream.getvalue())}).json()
    assert job["state"] == "failed" and "\n" not in job["error"]


def test_the_map_has_a_point_for_each_track(client: TestClient) -> None:
    job = ended(client, client.post("/v1/library/map").json()["id"])
    assert job["state"] == "done", job["error"]
    points = job["result"]["tracks"]
    assert len(points) == NUM_TUNES + NUM_SOUNDS
    assert all(0 <= p["x"] <= 1 and 0 <= p["y"] <= 1 and p["name"] for p in points)


def test_playlists_are_made_kept_and_forgotten(client: TestClient) -> None:
    all_tracks = client.get("/v1/library/tracks").json()["tracks"]
    start, end = all_tracks[0]["track"], all_tracks[-1]["track"]
    made = client.post("/v1/playlists", json={"start": start, "end": end, "length": 4, "name": "way"}).json()
    ids = [t["track"] for t in made["tracks"]]
    assert ids[0] == start and ids[-1] == end and len(ids) == 4
    assert client.get("/v1/playlists").json() == [{"name": "way", "tracks": 4}]
    assert [t["track"] for t in client.get("/v1/playlists/way").json()["tracks"]] == ids
    own = client.post("/v1/playlists", json={"tracks": ids[::-1], "name": "way"}).json()
    assert [t["track"] for t in own["tracks"]] == ids[::-1]
    assert client.delete("/v1/playlists/way").json() == {"gone": True}
    missing = client.get("/v1/playlists/way")
    assert missing.status_code == 422 and "there are: none" in missing.json()["error"]
    assert client.post("/v1/playlists", json={}).status_code == 422


def test_wrong_values_are_named(client: TestClient) -> None:
    for method, path, body in (
        ("GET", "/v1/similar", None),
        ("GET", "/v1/similar?track=x", None),
        ("GET", f"/v1/similar?track={2**70}", None),
        ("GET", "/v1/similar?track=1&mood=blue", None),
        ("POST", "/v1/recommend", {"top": 0}),
        ("POST", "/v1/recommend", {"likes": [2**70]}),
        ("POST", "/v1/history", {"user": "a\u0000"}),
        ("POST", "/v1/history", {"user": "\ud800"}),
    ):
        answer = client.request(method, path, content=None if body is None else json.dumps(body))
        assert answer.status_code == 422 and answer.json()["error"], path
