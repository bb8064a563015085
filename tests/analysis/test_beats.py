"""Beats: the decoder on activations whose beats are known, the tracker on a played piece."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from melodygen.analysis.beats import bar_places, beat_frames, load_beat_tracker
from melodygen.analysis.rhythm import Rhythm, read_rhythm
from melodygen.audio.beat_spectrum import SAMPLE_RATE

FPS = 50.0


def clicks(times: np.ndarray, seconds: float, noise: float, seed: int = 0) -> np.ndarray:
    """Activations that rise at the times, some of them missing, some where nothing is."""
    rng = np.random.default_rng(seed)
    likely = 0.02 + noise * rng.random(round(seconds * FPS)) ** 4
    for time in times[rng.random(len(times)) > noise / 2]:
        likely[min(len(likely) - 1, round(time * FPS))] = 0.9
    return likely


@pytest.mark.parametrize(("qpm", "noise"), [(84.0, 0.0), (101.5, 0.3), (150.0, 0.2)])
def test_steady_beats_are_found_through_noise(qpm: float, noise: float) -> None:
    times = np.arange(0.3, 19.5, 60 / qpm)
    found = beat_frames(clicks(times, 20, noise)) / FPS
    near = np.abs(found[:, None] - times[None]).min(axis=1) < 0.07
    assert near.mean() > 0.95 and len(found) == pytest.approx(len(times), abs=2)


def test_beats_follow_a_tempo_that_rises() -> None:
    times = np.cumsum(60 / np.linspace(90, 130, 60))
    found = beat_frames(clicks(times, times[-1] + 0.5, 0.1)) / FPS
    assert (np.abs(found[:, None] - times[None]).min(axis=1) < 0.05).mean() > 0.95


@given(st.sampled_from((3, 4)), st.integers(0, 3), st.integers(0, 50))
@settings(max_examples=15, deadline=None)
def test_bars_of_three_and_four_are_told(size: int, first: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    at = np.arange(48)
    odds = np.where((at - first) % size == 0, 1.0, -1.0) + rng.normal(0, 0.7, 48)
    places, said = bar_places(odds)
    assert said == size and (places == (at - first) % size).mean() > 0.9


def test_a_bar_that_is_cut_short_moves_the_downbeats_after_it() -> None:
    at = np.concatenate((np.arange(24) % 4, np.arange(2), np.arange(24) % 4))
    places, said = bar_places(np.where(at == 0, 3.0, -3.0))
    assert said == 4 and (places[:24] == at[:24]).all() and (places[26:] == at[26:]).all()


def test_little_sound_and_none() -> None:
    assert len(beat_frames(np.zeros(0))) == 0
    assert read_rhythm(np.zeros(10 * SAMPLE_RATE, dtype=np.float32), SAMPLE_RATE) == Rhythm()


def waltz(qpm: float, seconds: float, rate: int = SAMPLE_RATE) -> np.ndarray:
    """Bass, chord, chord, with a tick on each beat; another harmony every bar."""
    t = np.arange(round(seconds * rate)) / rate
    rng = np.random.default_rng(1)
    sound = 0.0005 * rng.standard_normal(t.size)
    for number, start in enumerate(np.arange(0.2, seconds, 60 / qpm)):
        after = np.maximum(t - start, 0)
        heard = (t >= start) * np.exp(-5 * after)
        root = 110 * 2 ** ((0, 5, 7, 0)[number // 3 % 4] / 12)
        tones = (root / 2,) if number % 3 == 0 else (root * 2, root * 2.52, root * 3)
        sound += sum(0.25 / len(tones) * np.sin(2 * np.pi * hz * after) for hz in tones) * heard
        sound += 0.2 * rng.standard_normal(t.size) * (t >= start) * np.exp(-80 * after)
    return sound.astype(np.float32)


@pytest.mark.models
def test_a_waltz_has_its_beats_its_bars_and_its_tempo_at_any_gain() -> None:
    sound = waltz(132.0, 24.0)
    beats = load_beat_tracker().track(sound, SAMPLE_RATE)
    assert beats is not None and beats.meter == (3, 4) and beats.qpm == pytest.approx(132, rel=0.02)
    true = np.arange(0.2, 24.0, 60 / 132)
    assert (np.abs(beats.seconds[:, None] - true[None]).min(axis=1) < 0.05).mean() > 0.95
    bars = np.arange(0.2, 24.0, 3 * 60 / 132)
    assert (np.abs(beats.downbeats[:, None] - bars[None]).min(axis=1) < 0.05).mean() > 0.9
    softer = load_beat_tracker().track(sound * np.float32(0.05), SAMPLE_RATE)
    assert softer is not None and np.allclose(softer.seconds, beats.seconds, atol=1e-3)
