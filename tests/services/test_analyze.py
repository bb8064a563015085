"""Analysis of files: beats, chords and sections against music whose truth is known; the files that it writes."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import mido
import numpy as np
import pytest
import soundfile as sf
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from melodygen.analysis.sections import section_spans
from melodygen.analysis.sound_chords import chord_spans, likeliest_path, pitch_classes_of_sound
from melodygen.analysis.track import TrackAnalysis, tempo_map
from melodygen.cli.app import app
from melodygen.errors import OutputExistsError, UsageError
from melodygen.io.midi import read_midi, write_midi
from melodygen.music.harmony import CHORD_QUALITIES, parse_chord
from melodygen.music.score import Chord, KeySignature, Score, Section, Tempo, TimeSignature, Track, note_array
from melodygen.services.analyze import AnalyzeRequest, analyze, run

RATE = 22_050
PROGRESSION = ((0, "maj"), (9, "min"), (5, "maj"), (7, "7"))


def block_chords(bars: int = 8, symbols: bool = False) -> Score:
    """3/4: a bass note, then two chords, a tune of chord tones; 90 and from bar 5 on 120 quarters a minute."""
    rows = []
    for bar in range(bars):
        root, quality = PROGRESSION[bar % 4]
        tones = [60 + (root + i) % 12 for i in CHORD_QUALITIES[quality]]
        at = bar * 3 * 480
        rows += [(at, 400, 36 + root, 100)]
        rows += [(at + beat * 480, 300, tone, 80) for beat in (1, 2) for tone in tones]
    labels = ("C:maj", "A:min", "F:maj", "G:7")
    chords = tuple(Chord(bar * 1440, labels[bar % 4]) for bar in range(bars)) if symbols else ()
    return Score(
        (Track(note_array(rows)),), (Tempo(0, 90), Tempo(4 * 1440, 120)), (TimeSignature(0, 3, 4),),
        (KeySignature(0, 0),), chords,
    )  # fmt: skip


def played(progression: tuple[tuple[int, str], ...], seconds: float) -> np.ndarray:
    """A chord for each span, with its root below."""
    t = np.arange(round(seconds * RATE)) / RATE
    parts = []
    for root, quality in progression:
        hz = [110 * 2 ** ((root - 9) / 12) / 2] + [
            220 * 2 ** (((root + i) % 12 - 9) / 12) for i in CHORD_QUALITIES[quality]
        ]
        tone = sum(np.sin(2 * np.pi * f * t) + 0.3 * np.sin(4 * np.pi * f * t) for f in hz)
        parts.append(0.1 * tone * np.exp(-t))
    return np.concatenate(parts).astype(np.float32)


def test_a_pickup_in_a_bar_of_its_own_is_not_the_meter(tmp_path: Path) -> None:
    meters = (TimeSignature(0, 1, 4), TimeSignature(480, 3, 4))
    piece = block_chords()
    write_midi(tmp_path / "pickup.mid", replace(piece, time_signatures=meters))
    found = analyze(tmp_path / "pickup.mid")
    assert found.meter == (3, 4) and found.places[:5].tolist() == [0, 0, 1, 2, 0]


@given(st.lists(st.tuples(st.integers(0, 11), st.sampled_from(("maj", "min"))), min_size=3, max_size=6))
@settings(max_examples=8, deadline=None)
def test_chords_of_sound_are_heard_in_every_key(progression: list[tuple[int, str]]) -> None:
    sound = played(tuple(progression), 2.0)
    edges = np.arange(0, 2 * len(progression) + 0.01, 0.5)
    spans = chord_spans(edges, *pitch_classes_of_sound(sound, RATE, edges), None, "major")
    for number, wanted in enumerate(progression):
        middle = 2 * number + 1.0
        label = next(s.label for s in spans if s.start_seconds <= middle < s.end_seconds)
        found = parse_chord(label)
        assert found is not None and found[0] == wanted[0]
        assert (3 in CHORD_QUALITIES[found[1]]) == (wanted[1] == "min")


def test_a_chord_is_held_through_a_doubtful_beat() -> None:
    likelihood = np.array([[2.0, 0.0], [2.0, 0.0], [0.0, 0.4], [2.0, 0.0], [0.0, 4.0], [0.0, 4.0]])
    assert likeliest_path(likelihood, 0.8).tolist() == [0, 0, 0, 0, 1, 1]


def test_sections_come_back_under_their_letter() -> None:
    rng = np.random.default_rng(0)
    harmony, timbre = rng.random((2, 8, 12)), rng.random((2, 17)) * 3
    order = (0, 1, 0, 1)
    rows = np.concatenate([harmony[i] for i in order]) + 0.05 * rng.random((32, 12))
    levels = np.concatenate([np.tile(timbre[i], (8, 1)) for i in order]) + 0.05 * rng.random((32, 17))
    found = section_spans(np.arange(33.0), rows, levels)
    assert [s.name for s in found] == ["A", "B", "A", "B"]
    assert [s.start_seconds for s in found] == [0, 8, 16, 24]


def test_times_are_those_of_the_file_though_it_begins_with_a_rest(tmp_path: Path) -> None:
    rest = 2 * 4 * 480
    tune = Track(notes=note_array([(rest + 480 * i, 480, 60 + i, 80) for i in range(8)]))
    write_midi(tmp_path / "late.mid", Score(tracks=(tune,)))
    found = analyze(tmp_path / "late.mid")
    assert found.downbeats.tolist() == [0.0, 2.0, 4.0, 6.0]
    assert found.chords[0].label == "N" and found.chords[0].end_seconds == 4.0


@pytest.mark.parametrize(
    ("marked", "told"),
    [
        (((0, "Section A"), (4, "Section B"), (6, "Section a")), ["A", "B", "a"]),
        (((0, "Verse"), (4, "Chorus")), ["Verse", "Chorus"]),
        (((0, "Take 3"),), None),
    ],
)
def test_sections_of_a_score_are_those_that_are_marked(
    tmp_path: Path, marked: tuple[tuple[int, str], ...], told: list[str] | None
) -> None:
    score = replace(
        block_chords(), sections=tuple(Section(bar * 1440, name) for bar, name in marked)
    )  # bars of 3/4
    write_midi(tmp_path / "song.mid", score)
    found = analyze(tmp_path / "song.mid").sections
    if told is None:
        assert "Take 3" not in [s.name for s in found], "one marker divides nothing"
        return
    assert [s.name for s in found] == told
    assert np.allclose([s.start_seconds for s in found], [score.tick_to_seconds(b * 1440) for b, _ in marked])
    assert all(a.end_seconds == b.start_seconds for a, b in itertools.pairwise(found))


def test_drums_alone_have_no_chords(tmp_path: Path) -> None:
    drums = Track(notes=note_array([(480 * i, 120, 36 + 2 * (i % 2), 80) for i in range(16)]), is_drum=True)
    write_midi(tmp_path / "drums.mid", Score(tracks=(drums,)))
    assert {chord.label for chord in analyze(tmp_path / "drums.mid").chords} == {"N"}


@pytest.mark.parametrize("symbols", [True, False])
def test_a_score_gives_what_is_written(tmp_path: Path, symbols: bool) -> None:
    path = tmp_path / "waltz.mid"
    score = block_chords(symbols=symbols)
    write_midi(path, score)
    found = analyze(path)
    assert found.meter == (3, 4) and found.key == (0, "major")
    assert np.allclose(found.beats[:24], [score.tick_to_seconds(480 * i) for i in range(24)])
    assert found.places[:7].tolist() == [0, 1, 2, 0, 1, 2, 0]
    starts = [(round(c.start_seconds, 2), c.label) for c in found.chords][:5]
    assert starts == [(0.0, "C:maj"), (2.0, "A:min"), (4.0, "F:maj"), (6.0, "G:7"), (8.0, "C:maj")]
    assert [qpm for _, qpm in found.tempo_curve()][3:5] == [90.0, 120.0]


@given(st.integers(2, 30), st.floats(0, 40), st.integers(0, 3), st.integers(0, 9))
@settings(max_examples=30, deadline=None)
def test_the_map_puts_every_beat_where_it_was(count: int, first: float, place: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    beats = first + np.concatenate(([0.0], np.cumsum(rng.uniform(0.4, 0.7, count - 1))))
    places = (np.arange(count) + place) % 4
    score = tempo_map(TrackAnalysis("x", beats[-1] + 1, beats, places, (4, 4), 110.0))
    lead = next((t.tick // 480 for t in score.tempos if abs(score.tick_to_seconds(t.tick) - first) < 1e-6), 0)
    shift = 0.0 if first >= 0.06 else first
    times = [score.tick_to_seconds(480 * (lead + i)) + shift for i in range(count)]
    assert np.allclose(times, beats, atol=1e-6)
    bars = {t / 480 for t in score.bar_ticks((lead + count) * 480)}
    assert {lead + i for i in np.flatnonzero(places == 0).tolist()} <= bars


@pytest.mark.models
def test_the_command_writes_click_map_and_picture(tmp_path: Path) -> None:
    sound = played(PROGRESSION * 4, 1.0)
    rng = np.random.default_rng(0)
    for start in np.arange(0, 16, 0.5):
        tick = rng.standard_normal(1500) * np.exp(-np.arange(1500) / 200) * (0.3 if start % 2 else 0.6)
        at = round(start * RATE)
        sound[at : at + 1500] += tick[: len(sound) - at].astype(np.float32)
    song = tmp_path / "song.wav"
    sf.write(song, np.clip(sound, -1, 1), RATE)
    click, midi, plot = tmp_path / "click.wav", tmp_path / "map.mid", tmp_path / "picture.png"
    options = ["--click", str(click), "--midi", str(midi), "--plot", str(plot), "--json"]
    said = CliRunner().invoke(app, ["analyze", str(song), *options])
    assert said.exit_code == 0, said.output
    record = json.loads(said.stdout)
    assert record["qpm"] == pytest.approx(120, rel=0.02) and len(record["chords"]) >= 8
    assert len(record["beats"]) == len(record["places"]) and set(record["downbeats"]) <= set(record["beats"])
    written = mido.MidiFile(midi)
    markers = [m.text for m in written.tracks[0] if m.type == "marker"]
    assert markers and {c["chord"] for c in record["chords"]} <= set(markers)
    score = read_midi(midi)
    assert abs(score.tempos[-1].qpm - 120) < 8
    heard, rate = sf.read(click)
    assert rate == 44_100 and abs(len(heard) / rate - 16) < 0.01
    assert plot.read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(OutputExistsError):
        run(AnalyzeRequest(song, click=click))
    for wrong in (AnalyzeRequest(song, click=midi), AnalyzeRequest(song, midi=click, force=True)):
        with pytest.raises(UsageError):
            run(wrong)
    with pytest.raises(UsageError, match="another name"):
        run(AnalyzeRequest(song, click=song, force=True))
    assert "bar" in CliRunner().invoke(app, ["analyze", str(song)]).stdout


@pytest.mark.models
def test_silence_has_no_beats(tmp_path: Path) -> None:
    path = tmp_path / "silence.wav"
    sf.write(path, np.zeros(RATE * 5), RATE)
    found = analyze(path)
    assert not len(found.beats) and found.qpm is None and found.key is None and not found.chords
    said = CliRunner().invoke(app, ["analyze", str(path), "--midi", str(tmp_path / "m.mid")])
    assert said.exit_code == 0 and "no beats" in said.stdout


@pytest.mark.models
def test_what_was_mended_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "song.wav"
    sound = 0.1 * np.random.default_rng(0).standard_normal(RATE * 4)
    sf.write(path, sound, RATE)
    path.write_bytes(path.read_bytes()[: RATE * 4])  # half of its 16-bit samples
    said = CliRunner().invoke(app, ["analyze", str(path), "--json"])
    assert json.loads(said.stdout)["notes"] == ["ends early: 50% of its sound is there"]
    assert "melodygen: song.wav: ends early: 50%" in said.stderr
    sound[100:200] = np.nan
    sf.write(path, sound, RATE, subtype="FLOAT")
    assert analyze(path).notes == ("100 samples that are no numbers were passed over",)
    monkeypatch.setattr("melodygen.services.analyze.MAX_SECONDS", 3.0)
    assert analyze(path).notes == ("the first 0 minutes were heard",) and analyze(path).seconds == 3.0
    assert CliRunner().invoke(app, ["analyze", str(path)]).stderr.count("melodygen:") == 1

    midi = tmp_path / "song.mid"
    write_midi(midi, block_chords())
    midi.write_bytes(midi.read_bytes()[:-40])
    assert any("cut off" in note for note in analyze(midi).notes)
