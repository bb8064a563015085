"""Dynamics give loudness to parts that have none, and change nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from melodygen.generation.dynamics import FEATURES, features, models, shape
from melodygen.generation.performance import perform
from melodygen.music.score import Score, Tempo, TimeSignature, Track, note_array
from melodygen.request import Request

BARS = [0, 1920, 3840, 5760, 7680]


def eighths(velocity: int = 80) -> list[tuple[int, int, int, int]]:
    return [(i * 240, 240, 60 + i * 5 % 12, velocity) for i in range(32)]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 7000), st.integers(1, 3000), st.integers(0, 127), st.just(80)), min_size=1
    ),
    st.sampled_from(("melody", "chords", "bass", "other")),
    st.integers(0, 99),
)
def test_only_loudness_changes(rows: list[tuple[int, int, int, int]], role: str, seed: int) -> None:
    notes = note_array(rows)
    assert features(notes, 480, BARS).shape == (len(notes), len(FEATURES))
    shaped, again = (shape(notes, role, 480, BARS, np.random.default_rng(seed)) for _ in range(2))
    for name in ("onset_tick", "duration_ticks", "pitch"):
        np.testing.assert_array_equal(shaped[name], notes[name])
    assert ((shaped["velocity"] >= 1) & (shaped["velocity"] <= 127)).all()
    np.testing.assert_array_equal(shaped, again)


def test_beats_are_louder_than_off_beats_and_the_mean_stays() -> None:
    notes = note_array(eighths())
    for role in ("melody", "chords", "bass"):
        loud = np.mean(
            [shape(notes, role, 480, BARS, np.random.default_rng(s))["velocity"] for s in range(60)], axis=0
        )
        assert loud[::2].mean() > loud[1::2].mean() + 1
        assert abs(loud.mean() - 80) < 1
        assert len(np.unique(shape(notes, role, 480, BARS, np.random.default_rng(0))["velocity"])) > 4


def test_what_has_loudness_and_what_was_given_stays() -> None:
    played = note_array([*eighths()[:-1], (31 * 240, 240, 60, 100)])
    assert shape(played, "melody", 480, BARS, np.random.default_rng(0)) is played
    drums = Track(note_array(eighths()), is_drum=True, role="drums")
    tracks = (Track(note_array(eighths()), role="melody"), Track(note_array(eighths(90)), role="bass"), drums)
    score = Score(tracks, (Tempo(0, 120.0),), (TimeSignature(0, 4, 4),), ticks_per_quarter=480)
    asked = Request("hymn", bars=4)
    around = perform(
        score, replace(asked, given=replace(score, tracks=tracks[:1]), given_roles=("melody",)), 1
    )
    assert around.tracks[0] == tracks[0] and around.tracks[2] == drums
    assert len(np.unique(around.tracks[1].notes["velocity"])) > 4
    assert perform(score, replace(asked, flat=True), 1) is score
    assert set(models()) == {"melody", "chords", "bass", "other"}
