"""Copies: of sound in other keys, tempi and with noise; of scores, with the bars and the key told right."""

from __future__ import annotations

from dataclasses import replace

import librosa
import numpy as np
import pytest
from tests.library.test_phrase import TUNES, library

from melodygen.errors import LibraryError
from melodygen.library.chroma import (
    MIN_FRAMES,
    chroma_of_score,
    chroma_of_sound,
    packed,
    patches_of,
    unpacked,
)  # fmt: skip
from melodygen.library.hum import phrase_of_hum
from melodygen.library.lines import lines_of
from melodygen.library.match import Match
from melodygen.library.rows import Rows
from melodygen.library.score_match import grams, identify_notes, matches_of, shared_passages
from melodygen.library.sound_match import candidates, longest_stretch, match_sound
from melodygen.music.score import Score, Track, note_array

RATE = 8_000


def sound(seed: int, seconds: float = 14.0) -> np.ndarray:
    """Chords of falling partials over a beat."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(RATE * 0.5)) / RATE
    parts = []
    for _ in range(round(seconds / 0.5)):
        hertz = 110 * 2 ** (rng.choice([0, 2, 3, 5, 7, 8, 10, 12, 15, 19], 3, replace=False) / 12)
        parts.append(
            sum(np.sin(2 * np.pi * k * f * t) / k for f in hertz for k in (1, 2, 3)) * np.exp(-2 * t)
        )
    return (0.1 * np.concatenate(parts)).astype(np.float32)


CHROMA = {i: unpacked(packed(chroma_of_sound(sound(i)))) for i in range(12)}


def patch_rows() -> Rows:
    patches = [patches_of(c).astype(np.float16) for c in CHROMA.values()]
    count = np.array([len(p) for p in patches])
    return Rows(np.concatenate(patches), np.cumsum(count) - count, count, np.arange(len(patches)))


@pytest.mark.parametrize(
    ("change", "semitones", "ratio"),
    [
        (lambda y: y, 0, 1.0),
        (lambda y: librosa.effects.pitch_shift(y, sr=RATE, n_steps=3), -3, 1.0),
        (lambda y: librosa.effects.time_stretch(y, rate=1.1), 0, 1.1),
        (lambda y: y[3 * RATE : 8 * RATE], 0, 1.0),
        (
            lambda y: (
                y + np.random.default_rng(0).standard_normal(len(y)).astype(np.float32) * y.std() * 0.316
            ),
            0,
            1.0,
        ),
    ],
    ids=["same", "3 up", "10 % faster", "5 s", "noise at 10 dB"],
)
def test_a_changed_recording_is_identified(change, semitones: int, ratio: float) -> None:  # type: ignore[no-untyped-def]
    question = chroma_of_sound(change(sound(7)))
    near = candidates(question, patch_rows(), 4)
    assert 7 in near
    best = match_sound(question, {i: CHROMA[i] for i in near})[0]
    assert best.track_id == 7 and best.semitones == semitones
    assert best.tempo_ratio == pytest.approx(ratio, rel=0.02)


def test_sound_of_elsewhere_is_nothing() -> None:
    assert match_sound(chroma_of_sound(sound(99)), CHROMA) == []
    assert not len(chroma_of_sound(np.zeros(RATE * 10, np.float32)))
    assert not len(chroma_of_sound(sound(1)[: (MIN_FRAMES - 1) * 1024]))


def test_a_score_and_its_sound_are_alike() -> None:
    """An independent sound: sines of the notes alone."""
    score = TUNES[3]
    y = np.zeros(round(RATE * (score.duration_seconds + 1)), dtype=np.float32)
    for note in score.tracks[0]:
        a, b = (round(RATE * score.tick_to_seconds(t)) for t in (note.onset_tick, note.offset_tick))
        y[a:b] += 0.3 * np.sin(2 * np.pi * 440 * 2 ** ((note.pitch - 69) / 12) * np.arange(b - a) / RATE)
    scores = {i: chroma_of_score(t) for i, t in enumerate(TUNES[:12])}
    best = match_sound(chroma_of_sound(y), scores)[0]
    assert best.track_id == 3 and best.semitones == 0


def test_a_leading_rest_counts_in_times_and_not_in_likeness() -> None:
    score, seconds = TUNES[3], 30.0
    rest = round(seconds / score.tick_to_seconds(1))
    notes = [(n.onset_tick + rest, n.duration_ticks, n.pitch, n.velocity) for n in score.tracks[0]]
    late = Score((replace(Track(), notes=note_array(notes)),))
    at_once, after_a_rest = (
        match_sound(chroma_of_score(q), {0: chroma_of_score(score)})[0] for q in (score, late)
    )
    assert after_a_rest.question_start == pytest.approx(at_once.question_start + seconds, abs=0.2)
    assert after_a_rest.strength == pytest.approx(at_once.strength, rel=0.05)
    found = match_sound(chroma_of_score(score), {0: chroma_of_score(late)})[0]
    assert found.track_start == pytest.approx(at_once.track_start + seconds, abs=0.2)
    assert match_sound(chroma_of_score(Score(())), {0: chroma_of_score(score)}) == []


def test_the_longest_stretch() -> None:
    assert longest_stretch(np.array([-1.0, 2, 3, -1, 2, -9, 4])) == (1, 5)
    assert longest_stretch(np.array([-3.0, -1, -2])) == (1, 2)


def moved(score: Score, semitones: int, slower: float, first: int, last: int) -> Score:
    rows = [
        (round(o * slower), round(d * slower), p + semitones, v)
        for o, d, p, v in (tuple(note) for note in list(score.tracks[0])[first:last])
    ]
    start = rows[0][0]
    return Score((replace(Track(), notes=note_array([(o - start, d, p, v) for o, d, p, v in rows])),))


def test_a_take_of_a_score_is_identified_with_its_key_tempo_and_place() -> None:
    question = moved(TUNES[11], -2, 1.25, 20, 60)
    notes, steps = lines_of(question)
    found = identify_notes(notes, steps, library(TUNES), 3)
    match = matches_of(found, notes, {i: lines_of(t)[0] for i, t in enumerate(TUNES)})[0]
    whole = lines_of(TUNES[11])[0]
    assert match.track_id == 11 and match.semitones == 2
    assert match.tempo_ratio == pytest.approx(0.8, rel=0.02)
    assert match.track_start == pytest.approx(float(whole["second"][20]))
    assert match.bars == pytest.approx(float(whole["bar"][60] - whole["bar"][20]), abs=1e-4)
    assert match.sentence("X").startswith(f"shares {match.bars:.1f} bars with X, 2 semitones up, 20 % faster")


def test_shared_passages_come_once_and_not_of_chance() -> None:
    scores = [*TUNES[:6], moved(TUNES[2], 5, 1.0, 10, 50)]
    everyone = np.arange(len(scores))
    found = list(shared_passages(library(scores), everyone, everyone))
    assert [(a, b) for a, b, _ in found] == [(2, 6)]
    assert found[0][2].question == (10, 50) and found[0][2].track == (0, 40)
    assert list(shared_passages(library(scores), np.array([0, 1]), np.array([3]))) == []


def test_trills_scales_and_breaks_are_no_seeds() -> None:
    for intervals in ([0] * 9, [2, -2] * 5, [1] * 9, [3, 1, 127, 4, -2, 5, 1, 2]):
        assert not grams(np.array([[i, 0] for i in intervals], dtype=np.int8)).any()
    assert grams(np.array([[i, 0] for i in (2, 1, -3, 4, -2, 5)], dtype=np.int8))[0] > 0


def test_words() -> None:
    match = Match(1, 0, 5, 2, 7, -0.5, 1.0, 0.9, 5.0)
    assert match.sentence("A") == "shares 5.0 s with A, 0.5 semitones down, at the same tempo"


def test_a_hum_becomes_notes() -> None:
    pitches = (60, 64, 62, 67, 65, 60)
    t = np.arange(round(16_000 * 0.35)) / 16_000
    parts = []
    for pitch in pitches:  # a little flat, with vibrato, a breath between
        phase = 2 * np.pi * 440 * 2 ** ((pitch - 69.3) / 12) * (t + 0.0004 * np.sin(2 * np.pi * 5 * t))
        parts += [0.3 * np.sin(phase) + 0.1 * np.sin(2 * phase), np.zeros(1_600)]
    heard = phrase_of_hum(np.concatenate(parts).astype(np.float32)).pitches
    assert np.diff(heard).tolist() == np.diff(pitches).tolist()
    with pytest.raises(LibraryError, match="silent"):
        phrase_of_hum(np.zeros(16_000, np.float32))
    with pytest.raises(LibraryError, match="one note"):
        phrase_of_hum((0.3 * np.sin(2 * np.pi * 220 * np.arange(32_000) / 16_000)).astype(np.float32))
