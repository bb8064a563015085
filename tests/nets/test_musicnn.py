"""musicnn against what the published package says, run by TensorFlow and librosa (tests/golden/make_musicnn.py)."""

from __future__ import annotations

import json
from pathlib import Path

import librosa
import numpy as np
import pytest
import torch

from melodygen.audio.musicnn_mel import SAMPLE_RATE, WINDOW_SAMPLES, log_mel, mel_filters
from melodygen.classification.tagger import tagger_nets
from melodygen.nets.checkpoint import load_weights
from melodygen.nets.musicnn import Musicnn
from melodygen.resources import models_dir

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "musicnn.json").read_text())


def sounds() -> np.ndarray:
    """The same as in make_musicnn.py."""
    t = np.arange(WINDOW_SAMPLES) / SAMPLE_RATE
    noise = np.random.default_rng(7).standard_normal((2, t.size))
    chord = sum(np.sin(2 * np.pi * f * t) for f in (110.0, 261.6, 329.6, 392.0)) * np.exp(-(t % 0.5) * 6)
    sweep = np.sign(np.sin(2 * np.pi * (100 * t + 400 * t**2)))
    swell = 0.02 * noise[1] * (1 + np.sin(2 * np.pi * t))
    return np.stack([0.2 * chord, 0.5 * sweep + 0.2 * noise[0], swell]).astype(np.float32)


def test_filters_are_librosas() -> None:
    assert np.allclose(mel_filters().T, librosa.filters.mel(sr=16_000, n_fft=512, n_mels=96), atol=1e-7)


def test_log_mel_is_that_of_the_published_package() -> None:
    level = log_mel(sounds())
    assert level.shape == (3, 187, 96)
    assert np.abs(level.mean(axis=(1, 2)) - GOLDEN["mel_mean"]).max() < 1e-5
    assert np.abs(level[:, ::60, ::19] - np.array(GOLDEN["mel_corner"])).max() < 1e-4


@pytest.mark.models
def test_the_net_says_what_the_published_one_says() -> None:
    nets = tagger_nets()
    load_weights(models_dir() / "musicnn", nets)
    net = nets["msd"]
    assert isinstance(net, Musicnn)
    with torch.inference_mode():
        embedding, logits = net.prepare()(torch.from_numpy(log_mel(sounds())))
    assert np.abs(torch.sigmoid(logits).numpy() - GOLDEN["MSD_musicnn"]["tags"]).max() < 1e-3
    # float16 weights: 0.4 % of the largest number; with float32 weights the difference is 1e-5
    assert np.abs(embedding.numpy() - GOLDEN["MSD_musicnn"]["embedding"]).max() < 0.02
