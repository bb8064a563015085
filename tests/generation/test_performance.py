"""Swing and humanizing change when and how hard notes are played, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from melodygen.generation.performance import perform
from melodygen.generation.timing import most_quarters
from melodygen.music.score import Score, Tempo, TimeSignature, Track, note_array
from melodygen.request import Request

PLAIN = Request("jazz", bars=2, flat=True)


def score() -> Score:
    """Two bars of eighth notes: a melody and a bass."""
    rows = [(i * 240, 240, 60 + i, 80) for i in range(16)]
    low = [(onset, length, pitch - 24, velocity) for onset, length, pitch, velocity in rows]
    tracks = (Track(rows, role="melody"), Track(low, role="bass"))  # type: ignore[arg-type]
    return Score(tracks, (Tempo(0, 120.0),), (TimeSignature(0, 4, 4),), ticks_per_quarter=480)


def onsets(piece: Score, role: str) -> list[int]:
    track = piece.track_by_role(role)
    assert track is not None
    return [int(tick) for tick in track.notes["onset_tick"]]


def test_without_a_feel_the_score_is_the_same_object() -> None:
    piece = score()
    assert perform(piece, PLAIN, 1) is piece


def test_triplet_swing_moves_every_off_beat_to_two_thirds() -> None:
    swung = perform(score(), replace(PLAIN, swing=2 / 3), 1)
    expected = [beat * 480 + off for beat in range(8) for off in (0, 320)]
    assert onsets(swung, "melody") == expected
    ends = swung.tracks[0].notes["onset_tick"] + swung.tracks[0].notes["duration_ticks"]
    assert list(ends[:-1]) == expected[1:], "notes that met still meet"


def test_given_notes_stay_as_they_are() -> None:
    piece = score()
    melody = replace(piece, tracks=piece.tracks[:1])
    around = perform(piece, replace(PLAIN, given=melody, given_roles=("melody",), swing=0.6, humanize=0.5), 1)
    assert around.track_by_role("melody") == piece.track_by_role("melody")
    assert onsets(around, "bass") != onsets(piece, "bass")
    first_bar = replace(piece, tracks=tuple(replace(t, notes=note_array(t.notes[:8])) for t in piece.tracks))
    filled = perform(piece, replace(PLAIN, given=first_bar, fill=(1, 1), swing=0.6), 1)
    assert onsets(filled, "bass")[:8] == onsets(piece, "bass")[:8]
    assert onsets(filled, "bass")[8:] != onsets(piece, "bass")[8:]


@settings(max_examples=40, deadline=None)
@given(swing=st.floats(0.5, 0.75), humanize=st.floats(0.0, 1.0), seed=st.integers(0, 2**32 - 1))
def test_any_feel_keeps_every_note_inside_the_piece(swing: float, humanize: float, seed: int) -> None:
    piece, request = score(), replace(PLAIN, swing=swing, humanize=humanize)
    played = perform(piece, request, seed)
    assert played == perform(piece, request, seed)
    end = piece.bar_ticks()[-1]
    for before, after in zip(piece.tracks, played.tracks, strict=True):
        assert sorted(before.notes["pitch"]) == sorted(after.notes["pitch"])
        last = after.notes["onset_tick"] + after.notes["duration_ticks"]
        assert last.max() <= end and after.notes["velocity"].min() >= 1
    shifts = np.abs(np.array(onsets(played, "bass")) - onsets(piece, "bass")) / 480
    assert shifts.max() <= 0.25 + most_quarters(piece.qpm) + 1 / 480
