"""Reading folders: every file is a piece or has a reason, and a bad one takes nothing down with it."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
from pieces import tune

from melodygen.data.census import read_census
from melodygen.data.scan import (
    Reading,
    SourceFile,
    find_files,
    mend_meters,
    prepare_score,
    read_folder,
    read_piece,
    snap_take,
)
from melodygen.errors import CorpusError
from melodygen.io.midi import write_midi
from melodygen.music.score import Chord, Score, Tempo, TimeSignature, Track, note_array


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for style in ("folk", "jazz"):
        (tmp_path / style / "sessions").mkdir(parents=True)
        for number in range(2):
            score = tune(4 + number, roles=("melody", "bass") if style == "jazz" else ("melody", "chords"))
            write_midi(tmp_path / style / "sessions" / f"tune {number}.mid", score)
    (tmp_path / "folk" / "notes.txt").write_text("no music")
    (tmp_path / "jazz" / "loop").symlink_to(tmp_path)
    return tmp_path


def test_files_are_found_with_their_style(folder: Path) -> None:
    files = find_files(folder)
    assert [(f.name, f.style, f.source) for f in files] == [
        (f"{style}/sessions/tune {n}.mid", style, "sessions") for style in ("folk", "jazz") for n in range(2)
    ]
    assert {f.style for f in find_files(folder, "polka")} == {"polka"}
    assert [f.split for f in files] == [f.split for f in find_files(folder)]


def test_a_manifest_says_more(folder: Path) -> None:
    (folder / "manifest.csv").write_text(
        "path,style,source,split,kind,title\njazz/sessions/tune 0.mid,bebop,club,valid,,Blue\n"
    )
    (file,) = find_files(folder)
    assert (file.style, file.source, file.split, file.kind, file.title) == (
        "bebop",
        "club",
        "valid",
        "piece",
        "Blue",
    )


def test_folders_without_music(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"no file ends in .*\.mid"):
        find_files(tmp_path)
    with pytest.raises(CorpusError, match="is not a folder"):
        find_files(tmp_path / "none")


def test_titles_are_split_the_same_whatever_their_numbers_and_case(tmp_path: Path) -> None:
    names = [f"{a}{b} {n}.mid" for a in "abcdefghij" for b in "klmnop" for n in ("1", "2")]
    for name in names:
        (tmp_path / name).touch()
    split = {f.title: f.split for f in find_files(tmp_path, "x")}
    assert all(split[t] == split[t.replace(" 1", " 2")] for t in split)
    assert 2 <= sum(s == "valid" for s in split.values()) <= 30


def test_a_piece_is_read_with_its_facts(folder: Path) -> None:
    reading = read_piece(find_files(folder)[2])
    assert reading.piece is not None
    assert reading.info is not None
    assert reading.piece.roles == ("melody", "bass")
    assert (reading.info.style, reading.info.num_bars, reading.info.qpm) == ("jazz", 4, pytest.approx(100.0))
    assert reading.reason == ""


def test_every_rejected_file_has_a_reason(tmp_path: Path) -> None:
    (tmp_path / "text.mid").write_text("no music")
    (tmp_path / "empty.mid").touch()
    write_midi(tmp_path / "few.mid", tune(1, roles=("melody",)))
    write_midi(tmp_path / "fine.mid", tune(4))
    reasons = {r.file.name: r.reason for r in map(read_piece, find_files(tmp_path, "x"))}
    assert "not a MIDI file" in reasons["text.mid"]
    assert "empty" in reasons["empty.mid"]
    assert "only 4 notes" in reasons["few.mid"]
    assert reasons["fine.mid"] == ""
    gone = read_piece(SourceFile(tmp_path / "gone.mid", "gone.mid", "x"))
    assert gone.piece is None
    assert "cannot be read" in gone.reason


def explosive(file: SourceFile) -> Reading:
    """A reader as a native parser may be: it dies on one file and hangs on another."""
    if "crash" in file.name:
        os.kill(os.getpid(), signal.SIGSEGV)
    if "hang" in file.name:
        time.sleep(1000)
    return Reading(file, None, None, "read")


def test_a_file_that_crashes_or_hangs_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    names = ["a", "b crash", "c", "d hang", "e"]
    files = [SourceFile(tmp_path / n, n, "x") for n in names]
    readings = list(read_folder(files, workers=1, seconds_per_file=5.0, read=explosive))
    reasons = {r.file.name: r.reason for r in readings}
    assert [r.file.name for r in readings] == names
    assert reasons["a"] == reasons["c"] == reasons["e"] == "read"
    assert "crash" in reasons["b crash"]
    assert "did not finish within 5 s" in reasons["d hang"]


def test_silence_at_the_front_is_cut_to_whole_bars() -> None:
    score = tune(2, (3, 4))
    late = replace(
        score,
        tracks=tuple(
            replace(t, notes=note_array([(n.onset_tick + 2 * 1440 + 480, *n[1:]) for n in t]))
            for t in score.tracks
        ),
        tempos=(Tempo(0, 60), Tempo(100, 100)),
        chords=(Chord(0, "C:maj"), Chord(2 * 1440 + 480, "G:7")),
    )
    ready = prepare_score(late)
    assert min(n.onset_tick for t in ready.tracks for n in t) == 480
    assert [(t.tick, t.qpm) for t in ready.tempos] == [(0, 100)]
    assert [(c.tick, c.label) for c in ready.chords] == [(0, "C:maj"), (480, "G:7")]


def test_meters_that_tokens_do_not_know_are_read_as_their_neighbour() -> None:
    def mended(*meters: tuple[int, int, int]) -> list[str]:
        score = Score(time_signatures=tuple(TimeSignature(*m) for m in meters))
        return [str(t) for t in mend_meters(score).time_signatures]

    assert mended((0, 1, 4)) == ["4/4"]
    assert mended((0, 3, 4), (1440, 11, 16), (2880, 6, 8)) == ["3/4", "6/8"]
    assert mended((0, 6, 8)) == ["6/8"]


def test_drum_takes_are_snapped_to_the_grid_they_were_felt_on() -> None:
    def snapped(onsets: list[int]) -> list[int]:
        rows = [(o, 10, 38, 90) for o in onsets]
        return [n.onset_tick for n in snap_take(Track(note_array(rows), is_drum=True), 480)]

    assert snapped([3, 118, 245, 357, 481]) == [0, 120, 240, 360, 480]
    assert snapped([3, 158, 325, 481, 640]) == [0, 160, 320, 480, 640]


def test_near_duplicates_are_found_in_any_key(tmp_path: Path) -> None:
    for name, score in {"a": tune(8), "b": tune(8).transposed(3), "c": tune(8, (3, 4)), "d": tune(2)}.items():
        write_midi(tmp_path / f"{name}.mid", score)
    said = "near-duplicate of "
    taken = read_census(find_files(tmp_path, "x"), workers=1)
    doubles = {i.file.name: i.reason.removeprefix(said) for i in taken if i.reason.startswith(said)}
    assert doubles == {"b.mid": "a.mid"}
