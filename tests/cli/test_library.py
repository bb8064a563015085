"""``melodygen library`` end to end, with the shipped nets, on a handful of files; and what it says of bad input."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from conftest import Run
from postgres import empty_database, running_server
from small_library import make_library
from typer.testing import CliRunner

from melodygen.cli.app import app
from melodygen.evaluation.collection_map import lay_out_vectors
from melodygen.io.midi import write_midi
from melodygen.library.address import open_store
from melodygen.music.score import Score, Track, note_array
from melodygen.services.library import Library
from melodygen.services.phrases import read_phrase

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
    shutil.copy(music / "tune1.mid", music / "twin.mid")
    with running_server() as uri:
        monkeypatch.setenv("MELODYGEN_LIBRARY", empty_database(uri))

        def ask(*command: str) -> Any:
            done = CliRunner().invoke(app, ["library", *command, "--json"])
            assert done.exit_code in (0, 1), done.output
            return json.loads(done.stdout)

        queued = ask("add", str(music), "--queue")
        assert (queued["queued"], queued["added"], queued["tracks"]) == (5, 0, 0)
        assert queued["failures"] == []  # the twin waits with the file whose bytes it has
        assert ask("worker", "--until-empty") == {"added": 3}
        again = ask("add", str(music), "--queue")  # what the worker could not use is named
        assert again["known"] == 4 and "truncated" in again["failures"][0]["reason"]
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
        (["similar", "x.mid", "--kind", "odd"], "known: recording, score"),
        (["add", "nowhere"], "no file or folder"),
        (["add"], "give files"),
        (["map", "--out", "map.pdf"], "ends in .html or .png"),
    ],
)
def test_bad_input_is_one_line(melodygen: Run, tmp_path: Path, command: list[str], said: str) -> None:
    done = melodygen("library", *command, "--library", str(tmp_path / "library"))
    assert done.returncode in (1, 2) and not done.stdout
    assert said in done.stderr and len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("notes", ["H4", "C4 D4", "C4 D4 C99"])
def test_notes_that_are_no_phrase_are_wrong_usage(tmp_path: Path, notes: str) -> None:
    library = make_library(tmp_path / "library", tmp_path / "music")
    done = CliRunner().invoke(app, ["library", "find", "--notes", notes, "--library", str(library)])
    assert done.exit_code == 2 and not done.stdout, done.output


def test_what_is_forgotten_is_counted_in_files_and_tracks(tmp_path: Path) -> None:
    music = tmp_path / "music"
    library = make_library(tmp_path / "library", music)
    with open_store(library) as store, store.writing():
        twin = store.track_at(music / "tune0.mid")
        assert twin is not None
        store.place(str(music / "twin.mid"), (1, 1), twin.track_id)

    def remove(name: str) -> Any:
        return CliRunner().invoke(
            app, ["library", "remove", str(music / name), "--library", str(library), "--json"]
        )

    assert json.loads(remove("twin.mid").stdout) == {"removed": 0, "files": 1}
    assert json.loads(remove("tune0.mid").stdout) == {"removed": 1, "files": 1}
    done = remove("tune0.mid")
    assert done.exit_code == 1 and not done.stdout and "no track of the library lies there" in done.stderr


def test_a_few_notes_are_identified_without_a_fingerprint(tmp_path: Path) -> None:
    library = make_library(tmp_path / "library", tmp_path / "music")
    write_midi(
        tmp_path / "lick.mid", Score((Track(note_array([(i * 240, 200, 60 + i % 4, 80) for i in range(5)])),))
    )
    done = CliRunner().invoke(
        app, ["library", "identify", str(tmp_path / "lick.mid"), "--library", str(library)]
    )
    assert done.exit_code == 1 and "no track of the library shares music with it" in done.stdout, done.output


def test_a_map_names_the_files(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    library = make_library(tmp_path / "library", tmp_path / "music")
    where = ["--library", str(library), "--out", str(tmp_path / "map.html"), "--json"]
    placed = json.loads(CliRunner().invoke(app, ["library", "map", *where]).stdout)["tracks"]
    assert all(Path(track["path"]).is_file() for track in placed)
    assert "Tune 3: heard as folk" in (tmp_path / "map.html").read_text()


@pytest.mark.models
def test_times_are_those_of_the_file_where_it_begins_with_a_rest(tmp_path: Path) -> None:
    rest_seconds = 12.0
    late = tune(1)
    rows = [(n.onset_tick + 24 * 480, n.duration_ticks, n.pitch, n.velocity) for n in late.tracks[0]]
    write_midi(tmp_path / "late.mid", Score((replace(late.tracks[0], notes=note_array(rows)),)))
    write_midi(tmp_path / "plain.mid", late)
    with Library(tmp_path / "library", create=True) as library:
        library.add([tmp_path / "late.mid"], workers=1)
        [(track, _, start, _)] = library.find(read_phrase(tmp_path / "plain.mid"))
        assert start == pytest.approx(rest_seconds)
        assert track.facts.duration_seconds == pytest.approx(late.duration_seconds + rest_seconds)
        [(_, match)] = library.identify(tmp_path / "plain.mid")
        assert (match.question_start, match.track_start) == pytest.approx((0.0, rest_seconds))


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


def test_a_map_of_equal_tracks_has_no_more_clusters_than_there_are(recwarn: pytest.WarningsRecorder) -> None:
    pytest.importorskip("sklearn")
    rows = np.repeat(np.eye(2, 6), [3, 4], axis=0)
    layout = lay_out_vectors(rows, ("x",) * 7, ("",) * 7, (("jazz", 1.0),) * 7, None, 0)
    assert layout.num_clusters == 2 and len(recwarn) == 0
