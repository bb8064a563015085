"""``melodygen library`` end to end, with the shipped nets, on a handful of files; and what it says of bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from conftest import Run
from postgres import empty_database, running_server
from typer.testing import CliRunner

from melodygen.cli.app import app
from melodygen.io.midi import write_midi
from melodygen.music.score import Score, Track, note_array

RATE = 16_000


def tune(seed: int, semitones: int = 0) -> Score:
    rng = np.random.default_rng(seed)
    pitches = np.clip(64 + np.cumsum(rng.integers(-4, 5, 60)), 40, 90) + semitones
    gaps = rng.choice([240, 480], 60)
    onsets = np.cumsum(gaps) - gaps
    rows = [(int(o), int(g), int(p), 80) for o, g, p in zip(onsets, gaps, pitches, strict=True)]
    return Score((Track(note_array(rows), role="melody", name="melody"),))


def sound(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    t = np.arange(RATE // 2) / RATE
    parts = []
    for _ in range(24):
        hertz = 110 * 2 ** (rng.choice([0, 2, 3, 5, 7, 8, 10, 12], 3, replace=False) / 12)
        parts.append(
            sum(np.sin(2 * np.pi * k * f * t) / k for f in hertz for k in (1, 2, 3)) * np.exp(-3 * t)
        )
    return (0.1 * np.concatenate(parts)).astype(np.float32)


@pytest.fixture
def music(tmp_path: Path) -> Path:
    folder = tmp_path / "music"
    folder.mkdir()
    for seed in range(3):
        write_midi(folder / f"tune{seed}.mid", tune(seed))
        with soundfile.SoundFile(folder / f"sound{seed}.flac", "w", RATE, 1) as file:
            file.title, file.artist = f"Sound {seed}", "The Testers"
            file.write(sound(seed))
    write_midi(folder / "cover.mid", tune(1, 5))
    (folder / "broken.mid").write_bytes(b"MThd nonsense")
    return folder


@pytest.mark.models
def test_a_library_from_add_to_recommend(tmp_path: Path, music: Path) -> None:
    where = ("--library", str(tmp_path / "library"))

    def ask(*command: str, code: int = 0) -> dict[str, Any]:
        done = CliRunner().invoke(app, ["library", *command, *where, "--json"])
        assert done.exit_code == code, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    first = ask("add", str(music), "--workers", "1", code=1)
    assert (first["added"], first["failed"], first["tracks"]) == (7, 1, 7)
    assert "broken.mid" in first["failures"][0]["path"]
    again = ask("add", str(music), "--workers", "1", code=1)
    assert (again["added"], again["known"], again["failed"]) == (0, 7, 1)

    soundfile.write(tmp_path / "clip.wav", sound(1)[4 * RATE : 10 * RATE], RATE)
    match = ask("identify", str(tmp_path / "clip.wav"), "--plot", str(tmp_path / "match.png"))["matches"][0]
    assert (tmp_path / "match.png").read_bytes()[:4] == b"\x89PNG"
    assert match["title"] == "Sound 1" and match["artist"] == "The Testers" and match["semitones"] == 0
    assert match["track_start"] == pytest.approx(4.0, abs=0.4)

    pairs = ask("copies", str(music))["pairs"]
    names = {(Path(p["first"]["path"]).name, Path(p["second"]["path"]).name): p["semitones"] for p in pairs}
    assert names in ({("cover.mid", "tune1.mid"): -5.0}, {("tune1.mid", "cover.mid"): 5.0})

    write_midi(tmp_path / "phrase.mid", tune(2, -3))
    found = ask("find", "--midi", str(tmp_path / "phrase.mid"), "--top", "1")["tracks"][0]
    assert Path(found["path"]).name == "tune2.mid" and found["likeness"] == 1.0

    near = ask("similar", str(music / "sound0.flac"), "--top", "2")["tracks"]
    assert {t["kind"] for t in near} == {"recording"}  # rather than tunes of one voice
    (tmp_path / "plays.csv").write_text(
        "track,artist,time\nSound 0,The Testers,2026-01-01\nGone,Nobody,2026-01-01\n"
    )
    advice = ask("recommend", "--history", str(tmp_path / "plays.csv"), "--top", "3", "--diversity", "0")
    assert advice["unknown_listens"] == 1 and len(advice["tracks"]) == 3
    assert advice["tracks"][0]["title"] in ("Sound 1", "Sound 2") and "Sound 0" in advice["tracks"][0]["why"]
    path = ask(
        "playlist", "--from", str(music / "sound0.flac"), "--to", str(music / "tune0.mid"), "--length", "4"
    )
    assert len(path["tracks"]) == 4 and path["tracks"][-1]["path"] == str(music / "tune0.mid")
    assert sum(len(c["tracks"]) for c in ask("cluster", "--clusters", "2")["clusters"]) == 7
    assert ask("stats")["kinds"] == {"score": 4, "recording": 3}
    (music / "sound2.flac").unlink()
    told = CliRunner().invoke(app, ["library", "similar", str(music / "sound0.flac"), *where]).stdout
    assert "(gone from disk)" in told
    assert ask("remove", str(music / "sound2.flac"))["removed"] == 1


@pytest.mark.models
def test_a_library_in_postgresql_is_filled_by_a_worker(
    tmp_path: Path, music: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("tune0.mid", "tune2.mid", "sound1.flac", "sound2.flac"):
        (music / name).unlink()
    with running_server() as uri:
        monkeypatch.setenv("MELODYGEN_LIBRARY", empty_database(uri))

        def ask(*command: str) -> Any:
            done = CliRunner().invoke(app, ["library", *command, "--json"])
            assert done.exit_code in (0, 1), done.output
            return json.loads(done.stdout)

        queued = ask("add", str(music), "--queue")
        assert (queued["queued"], queued["added"], queued["tracks"]) == (4, 0, 0)
        assert ask("worker", "--until-empty") == {"added": 3}
        again = ask("add", str(music), "--queue")  # what the worker could not use is named
        assert again["known"] == 3 and "truncated" in again["failures"][0]["reason"]
        assert ask("identify", str(music / "sound0.flac"))["matches"][0]["title"] == "Sound 0"
        [pair] = ask("copies")["pairs"]
        assert abs(pair["semitones"]) == 5 and "secret" not in json.dumps(ask("stats"))
        assert {t["path"] for t in ask("similar", str(music / "tune1.mid"))["tracks"]} == {
            str(music / "cover.mid"), str(music / "sound0.flac"),
        }  # fmt: skip


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["similar", "x.mid"], "no library there"),
        (["stats"], "no library there"),
        (["find", "--notes", "C4 D4 E4"], "no library there"),
        (["find"], "one of them"),
        (["similar", "x.mid", "--mood", "odd"], "not known"),
        (["add", "nowhere"], "no file or folder"),
        (["add"], "give files"),
        (["map", "--out", "map.pdf"], "ends in .html or .png"),
    ],
)
def test_bad_input_is_one_line(melodygen: Run, tmp_path: Path, command: list[str], said: str) -> None:
    done = melodygen("library", *command, "--library", str(tmp_path / "library"))
    assert done.returncode in (1, 2) and not done.stdout
    assert said in done.stderr and len(done.stderr.strip().splitlines()) == 1


def test_an_output_makes_its_folder(tmp_path: Path, music: Path) -> None:
    where = ["--library", str(tmp_path / "library")]
    table, short = tmp_path / "new" / "t.csv", tmp_path / "s.wav"
    soundfile.write(short, np.full(800, 0.1), 16_000)
    done = CliRunner().invoke(app, ["library", "add", str(music / "tune1.mid"), str(short), *where])
    assert "s.wav: 50 ms are too short to be heard" in done.stderr
    done = CliRunner().invoke(app, ["library", "export", str(table), *where])
    assert done.exit_code == 0 and table.read_text().count("\n") == 2, done.output
    done = CliRunner().invoke(app, ["library", "export", str(table / "t.csv"), *where])
    assert done.exit_code == 1 and "is a file, not a folder" in done.stderr


def test_an_empty_library_says_how_to_fill_it(melodygen: Run, tmp_path: Path) -> None:
    from melodygen.library.folder import FolderStore

    FolderStore(tmp_path / "library", create=True).close()
    write_midi(tmp_path / "x.mid", tune(1))
    for command in (
        ["similar", "x.mid"],
        ["identify", "x.mid"],
        ["recommend"],
        ["find", "--notes", "C4 D4 E4 F4"],
    ):
        done = melodygen("library", *command, "--library", str(tmp_path / "library"))
        assert done.returncode == 1
        assert "melodygen library add" in done.stderr or "add MIDI" in done.stderr
