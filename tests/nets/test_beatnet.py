"""BeatNet against what the published package says, with madmom's spectrogram (tests/golden/make_beatnet.py)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from melodygen.analysis.beats import BeatTracker, load_beat_tracker
from melodygen.audio.beat_spectrum import SAMPLE_RATE, band_filters, beat_spectrum
from melodygen.errors import CheckpointError
from melodygen.resources import models_dir

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "beatnet.json").read_text(encoding="utf-8"))


def sounds() -> np.ndarray:
    """As tests/golden/make_beatnet.py makes them."""
    t = np.arange(4 * SAMPLE_RATE) / SAMPLE_RATE
    noise = np.random.default_rng(5).standard_normal((2, t.size))
    chord = sum(np.sin(2 * np.pi * f * t) for f in (110.0, 261.6, 329.6, 392.0)) * np.exp(-(t % 1.2) * 4)
    tick = noise[0] * np.exp(-(t % 0.4) * 60)
    sweep = np.sign(np.sin(2 * np.pi * (100 * t + 300 * t**2)))
    rows = [0.1 * chord + 0.2 * tick, 0.3 * sweep + noise[1] * np.exp(-(t % 0.5) * 30)]
    return np.stack(rows).astype(np.float32)


def test_spectrogram_is_madmoms() -> None:
    for index, sound in enumerate(sounds()):
        level = beat_spectrum(sound)
        assert list(level.shape) == GOLDEN["shape"]
        assert np.allclose(level[::40, ::19], GOLDEN["level_corner"][index], atol=2e-5)
        assert level.mean(dtype=np.float64) == pytest.approx(GOLDEN["level_mean"][index], abs=1e-6)
    assert np.allclose(band_filters().sum(axis=0), 1.0, atol=1e-6)


@pytest.mark.models
def test_activations_are_those_of_the_published_nets() -> None:
    tracker = load_beat_tracker()
    for index, sound in enumerate(sounds()):
        published = np.mean([GOLDEN[f"model_{number}"][index] for number in (2, 3)], axis=0)
        said = tracker.activations(beat_spectrum(sound))
        assert np.abs(said[::5] - published).max() < 5e-3  # weights are float16


def test_a_folder_of_another_kind_is_refused() -> None:
    with pytest.raises(CheckpointError, match="not a beats"):
        BeatTracker.from_folder(models_dir() / "style-cnn")
