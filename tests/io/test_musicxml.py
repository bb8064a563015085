"""MusicXML opens in music21 again with the bars, notes and symbols that were written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pieces import tune

from melodygen.errors import OutputExistsError, ScoreError
from melodygen.io.musicxml import write_musicxml
from melodygen.music.score import Chord, KeySignature, Score, Tempo, TimeSignature, Track, note_array

converter = pytest.importorskip("music21.converter")
ROLES = ("melody", "chords", "bass", "drums")


def opened(score: Score, tmp_path: Path) -> Any:
    write_musicxml(tmp_path / "x.musicxml", score, overwrite=True)
    return converter.parse(tmp_path / "x.musicxml", forceSource=True)


def sounding(part: Any) -> list[tuple[float, int]]:
    """(onset in quarters, pitch) of notes, tied ones once."""
    found = []
    for element in part.stripTies().flatten().notes:
        if "Chord" in element.classes and "ChordSymbol" not in element.classes:
            found += [(float(element.offset), p.midi) for p in element.pitches]
        elif "Note" in element.classes:
            found.append((float(element.offset), element.pitch.midi))
    return sorted(found)


@pytest.mark.parametrize("meter", [(4, 4), (3, 4), (6, 8)])
def test_bars_notes_and_symbols_come_back(tmp_path: Path, meter: tuple[int, int]) -> None:
    score = tune(5, meter, ROLES)
    sheet = opened(score, tmp_path)
    assert [p.partName for p in sheet.parts] == list(ROLES)
    for part in sheet.parts:
        assert len(part.getElementsByClass("Measure")) == 5
        assert float(part.highestTime) == pytest.approx(5 * meter[0] * 4 / meter[1])
    for part, track in zip(sheet.parts, score.tracks, strict=True):
        if not track.is_drum:
            assert sounding(part) == sorted((n.onset_tick / 480, n.pitch) for n in track)
    symbols = [c.figure for c in sheet.parts[0].flatten().getElementsByClass("ChordSymbol")]
    assert symbols == ["C", "Am7", "Dm7", "G7", "C"]
    assert not sheet.parts[1].flatten().getElementsByClass("ChordSymbol")
    assert sheet.parts[0].flatten().getElementsByClass("MetronomeMark")[0].number == 100


def test_drums_stand_on_a_percussion_staff_all_of_them(tmp_path: Path) -> None:
    rows = [(beat * 480, 40, pitch, 90) for beat in range(8) for pitch in (42, 36 if beat % 2 == 0 else 38)]
    drums = Track(note_array(rows), 0, True, "drums", "drums")
    part = opened(Score((drums,)), tmp_path).parts[0]
    assert part.flatten().getElementsByClass("PercussionClef")
    hits = [e for e in part.flatten().notes if "Rest" not in e.classes]
    assert [float(e.offset) for e in hits] == list(range(8))
    assert all(len(e.notes) == 2 for e in hits)
    assert len(part.getElementsByClass("Measure")) == 2


def test_meter_changes_and_triplets(tmp_path: Path) -> None:
    rows = [(i * 160, 160, 60 + i % 12, 90) for i in range(21)]
    score = Score(
        (Track(note_array(rows), name="melody"),),
        time_signatures=(TimeSignature(0, 4, 4), TimeSignature(1920, 3, 4)),
    )
    part = opened(score, tmp_path).parts[0]
    assert len(part.getElementsByClass("Measure")) == 2
    assert [p for _, p in sounding(part)] == [60 + i % 12 for i in range(21)]


def test_any_music_on_the_grid_can_be_engraved(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for _ in range(3):
        rows = [
            (int(rng.integers(0, 96)) * 40, int(rng.integers(1, 60)) * 40, int(rng.integers(40, 80)), 90)
            for _ in range(12)
        ]
        hits = [(int(rng.integers(0, 96)) * 40, 40, int(rng.integers(35, 60)), 90) for _ in range(10)]
        score = Score(
            (Track(note_array(rows), 0, name="chords"), Track(note_array(hits), 0, True, "drums", "drums")),
            (Tempo(0, 87.3),), (TimeSignature(0, 3, 4),), (KeySignature(0, 6, "minor"),),
            (Chord(0, "Gb:min7"), Chord(960, "no such chord"), Chord(40_000, "C:maj")),
        )  # fmt: skip
        sheet = opened(score, tmp_path)
        bars = len(score.bar_ticks()) - 1
        assert [len(p.getElementsByClass("Measure")) for p in sheet.parts] == [bars, bars]
        assert {p for _, p in sounding(sheet.parts[0])} == {r[2] for r in rows}


def test_nothing_to_engrave_and_nothing_overwritten(tmp_path: Path) -> None:
    with pytest.raises(ScoreError, match="without notes"):
        write_musicxml(tmp_path / "x.musicxml", replace(tune(1), tracks=()))
    assert not list(tmp_path.iterdir())
    (tmp_path / "x.musicxml").write_text("precious")
    with pytest.raises(OutputExistsError):
        write_musicxml(tmp_path / "x.musicxml", tune(1))
    assert (tmp_path / "x.musicxml").read_text() == "precious"
