"""OpenSubsonic: what a player asks on its way to sonically similar tracks, as JSON and as XML."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from fastapi.testclient import TestClient

from melodygen.server.app import ServerSettings, create_app

SPACE = "{http://subsonic.org/restapi}"


def ask(client: TestClient, method: str, **asked: Any) -> dict[str, Any]:
    answer = client.get(f"/rest/{method}", params={"f": "json", **asked})
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()["subsonic-response"]
    assert found["openSubsonic"] is True and found["version"] == "1.16.1"
    return found


def test_a_player_finds_similar_tracks_and_a_way(client: TestClient, music: Path) -> None:
    assert ask(client, "ping.view")["status"] == "ok"
    offered = {e["name"] for e in ask(client, "getOpenSubsonicExtensions")["openSubsonicExtensions"]}
    assert "sonicSimilarity" in offered
    songs = ask(client, "search3", query="")["searchResult3"]["song"]
    song = next(s for s in songs if s["title"] == "Sound 6")
    assert song["artist"] == "The Testers" and song["year"] == 1999 and song["contentType"] == "audio/flac"
    matches = ask(client, "getSonicSimilarTracks", id=song["id"], count=3)["sonicMatch"]
    similarity = [m["similarity"] for m in matches]
    assert len(matches) == 3 and similarity == sorted(similarity, reverse=True) and 0 <= similarity[-1] <= 1
    assert {m["entry"]["genre"] for m in matches} == {"jazz"}
    way = ask(client, "findSonicPath", startSongId=song["id"], endSongId=songs[-1]["id"], count=4)[
        "sonicMatch"
    ]
    assert way[0]["entry"]["id"] == song["id"] and way[-1]["entry"]["id"] == songs[-1]["id"] and len(way) <= 4
    assert way[0]["similarity"] == 1.0
    assert str(music) not in str(way)
    sound = client.get("/rest/stream", params={"id": song["id"]})
    assert sound.content[:4] == b"fLaC"


def test_xml_says_the_same(client: TestClient) -> None:
    song = ask(client, "search3", query="Tune 1")["searchResult3"]["song"][0]
    root = ET.fromstring(
        client.post("/rest/getSonicSimilarTracks", data={"id": song["id"], "count": "2"}).content
    )
    assert root.tag == f"{SPACE}subsonic-response" and root.get("status") == "ok"
    matches = root.findall(f"{SPACE}sonicMatch")
    expected = ask(client, "getSonicSimilarTracks", id=song["id"], count=2)["sonicMatch"]
    assert [m.find(f"{SPACE}entry").get("id") for m in matches] == [m["entry"]["id"] for m in expected]  # type: ignore[union-attr]
    assert [float(m.get("similarity", "")) for m in matches] == [m["similarity"] for m in expected]


@pytest.mark.parametrize(
    ("method", "asked", "code"),
    [
        ("getSonicSimilarTracks", {}, 10),
        ("getSonicSimilarTracks", {"id": "999999"}, 70),
        ("getSong", {"id": "../etc"}, 70),
        ("getNothing", {}, 0),
        ("stream", {"id": "1"}, 70),
    ],
)
def test_errors_have_their_numbers(client: TestClient, method: str, asked: dict[str, str], code: int) -> None:
    found = ask(client, method, **asked)
    assert found["status"] == "failed" and found["error"]["code"] == code


@pytest.fixture
def guarded(tmp_path: Path, library: Path) -> Iterator[TestClient]:
    """Not started: no job is needed for a login."""
    settings = ServerSettings(tmp_path, token="secret", library=library)
    yield TestClient(create_app(settings), base_url="http://127.0.0.1")


def test_the_token_is_the_password(guarded: TestClient) -> None:
    digest = hashlib.md5(b"secretpepper").hexdigest()
    for login in (
        {"t": digest, "s": "pepper"},
        {"p": "secret"},
        {"p": "enc:" + b"secret".hex()},
        {"apiKey": "secret"},
    ):
        assert ask(guarded, "ping", **login)["status"] == "ok"
    for login in ({}, {"t": digest, "s": "salt"}, {"p": "wrong"}, {"p": "enc:zz"}, {"t": "é"}):
        found = ask(guarded, "ping", **login)
        assert found["status"] == "failed" and found["error"]["code"] == 40
    assert ask(guarded, "getOpenSubsonicExtensions")["status"] == "ok"
