"""Scores, sound and units hold what they promise, from the moment they are made."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from pieces import rough_scores, tune

from melodygen.audio.buffer import Audio
from melodygen.errors import AudioError, ClassifierError, ScoreError
from melodygen.music import units
from melodygen.music.score import Chord, KeySignature, Score, Tempo, TimeSignature, Track, note_array
from melodygen.styles.scores import StyleScores


def test_notes_are_sorted_read_only_and_apart_from_their_source() -> None:
    rows = [(480, 10, 60, 90), (0, 20, 64, 90), (0, 20, 60, 90)]
    notes = note_array(rows)
    assert notes.tolist() == sorted(rows)
    with pytest.raises(ValueError, match="read-only"):
        notes["pitch"] = 0
    again = notes.copy()
    track = Track(again)
    again["pitch"] = 1
    assert [n.pitch for n in track] == [60, 64, 60]


@pytest.mark.parametrize(
    "row", [(0, 0, 60, 90), (-1, 1, 60, 90), (0, 1, 128, 90), (0, 1, -1, 90), (0, 1, 60, 0), (0, 1, 60, 128),
            (2**41, 1, 60, 90)]
)  # fmt: skip
def test_impossible_notes_are_refused(row: tuple[int, int, int, int]) -> None:
    with pytest.raises(ScoreError):
        note_array([row])


def test_impossible_music_is_refused() -> None:
    for make in (
        lambda: Tempo(0, 0), lambda: Tempo(0, float("nan")), lambda: TimeSignature(0, 0, 4),
        lambda: TimeSignature(0, 7, 3), lambda: KeySignature(0, 12), lambda: KeySignature(0, 0, "dorian"),
        lambda: Track(program=128), lambda: Track(role="kazoo"), lambda: Score(ticks_per_quarter=0),
    ):  # fmt: skip
        with pytest.raises(ScoreError):
            make()
    with pytest.raises(FrozenInstanceError):
        Score().title = "x"  # type: ignore[misc]


def test_there_is_always_a_tempo_and_a_meter_at_the_start() -> None:
    score = Score(tempos=(Tempo(960, 60), Tempo(480, 90)), time_signatures=(TimeSignature(480, 3, 4),))
    assert [(t.tick, t.qpm) for t in score.tempos] == [(0, 120), (480, 90), (960, 60)]
    assert [str(t) for t in score.time_signatures] == ["4/4", "3/4"]


def test_seconds_follow_the_tempo_changes() -> None:
    score = Score(tempos=(Tempo(0, 120), Tempo(960, 60)))
    assert [score.tick_to_seconds(t) for t in (0, 480, 960, 1440)] == [0, 0.5, 1.0, 2.0]


@settings(max_examples=60, deadline=None)
@given(rough_scores())
def test_bars_rise_to_the_end_and_begin_at_meter_changes(score: Score) -> None:
    bars = score.bar_ticks()
    assert bars[0] == 0
    assert bars[-1] >= score.end_tick > bars[-2]
    assert all(a < b for a, b in pairwise(bars))
    assert {t.tick for t in score.time_signatures if t.tick < score.end_tick} <= set(bars)
    for start, end in pairwise(bars):
        full = round(score.time_signature_at(start).bar_quarters * score.ticks_per_quarter)
        assert end - start <= full


def test_transposing_moves_pitched_tracks_keys_and_chords() -> None:
    score = tune(2, roles=("melody", "drums"))
    moved = score.transposed(2)
    assert [n.pitch - 2 for n in moved.tracks[0]] == [n.pitch for n in score.tracks[0]]
    assert moved.tracks[1] == score.tracks[1]
    assert [c.label for c in moved.chords] == ["D:maj", "B:min7"]
    assert moved.key_signatures[0].tonic == 2
    assert moved.transposed(-2) == score
    assert replace(score, chords=(Chord(0, "what?"),)).transposed(1).chords[0].label == "what?"
    with pytest.raises(ScoreError, match="leaves the MIDI range"):
        score.transposed(100)


def test_audio_is_float32_finite_and_read_only() -> None:
    source = np.zeros((2, 10), dtype=np.float32)
    audio = Audio(source, 44_100)
    source[:] = 1
    assert not audio.samples.any()
    with pytest.raises(ValueError, match="read-only"):
        audio.samples[0, 0] = 1
    assert Audio(np.array([0.0, 0.5]), 8000).samples.shape == (1, 2)
    assert Audio(np.array([[1.0, 0.0], [0.0, 0.0]]), 8000).to_mono().samples.tolist() == [[0.5, 0.0]]
    for samples, rate in ((np.array([np.nan]), 8000), (np.zeros((1, 1, 1)), 8000), (np.zeros(3), 10)):
        with pytest.raises(AudioError):
            Audio(samples, rate)


def test_style_scores_sum_to_one() -> None:
    scores = StyleScores(("jazz", "folk", "pop"), np.array([0.2, 0.5, 0.3]), "x")
    assert scores["folk"] == 0.5
    assert [name for name, _ in scores.top(2)] == ["folk", "pop"]
    labels = ("folk", "jig", "slip jig")
    within = StyleScores(labels, np.array([0.2, 0.5, 0.3]), "x", {"jig": "folk", "slip jig": "jig"})
    assert (
        within["folk"] == pytest.approx(1.0)
        and within["jig"] == pytest.approx(0.8)
        and within["slip jig"] == 0.3
    )
    with pytest.raises(ClassifierError, match="it knows jazz, folk, pop"):
        scores["polka"]
    for labels, values in (
        (("a", "a"), (0.5, 0.5)),
        (("a",), (0.5,)),
        (("a", "b"), (1.5, -0.5)),
        (("a",), (1, 0)),
    ):
        with pytest.raises(ClassifierError):
            StyleScores(labels, np.array(values), "x")


def test_units_by_hand() -> None:
    assert units.qpm_to_microseconds_per_quarter(120) == 500_000
    assert units.bar_quarters(6, 8) == 3.0
    assert units.midi_to_hz(69) == 440.0
    assert units.midi_to_hz(60) == pytest.approx(261.6256, abs=1e-4)
