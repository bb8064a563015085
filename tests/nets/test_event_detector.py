"""FireRedVAD's detector against what the published library says (tests/golden/make_fireredvad.py)."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from melodygen.audio.kaldi_mel import (
    FRAME_LENGTH,
    HOP_LENGTH,
    NUM_BANDS,
    SAMPLE_RATE,
    band_filters,
    kaldi_mel,
)
from melodygen.classification.event_evidence import (
    MOST_LOG_ODDS,
    EventEvidence,
    EventWeight,
    load_detector,
    read_event_evidence,
)
from melodygen.errors import CheckpointError
from melodygen.nets.checkpoint import SCALE, load_weights
from melodygen.nets.event_detector import EventDetector
from melodygen.resources import models_dir

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "fireredvad.json").read_text(encoding="utf-8"))


def sounds() -> np.ndarray:
    """As tests/golden/make_fireredvad.py makes them."""
    t = np.arange(3 * SAMPLE_RATE) / SAMPLE_RATE
    noise = np.random.default_rng(7).standard_normal((2, t.size))
    chord = sum(np.sin(2 * np.pi * f * t) for f in (110.0, 261.6, 329.6, 392.0)) * np.exp(-(t % 0.5) * 6)
    sweep = np.sign(np.sin(2 * np.pi * (100 * t + 400 * t**2)))
    rows = [0.2 * chord, 0.5 * sweep + 0.2 * noise[0], 0.02 * noise[1] * (1 + np.sin(2 * np.pi * t))]
    return np.stack(rows).astype(np.float32)


@pytest.mark.models
def test_probabilities_are_those_of_the_published_net() -> None:
    detector = load_detector("fireredvad").eval()
    with torch.inference_mode():
        said = detector(torch.from_numpy(kaldi_mel(sounds()))).numpy()
    assert said.shape == (3, GOLDEN["frames"], 3)
    # with the float16 weights of the package they differ by less than 1e-4; five matrices are stored in 8 bits
    assert np.abs(said[:, ::10] - np.array(GOLDEN["probabilities"])).max() < 0.03
    assert np.abs(said[:, ::10] - np.array(GOLDEN["probabilities"])).mean() < 0.003


def test_bands_rise_and_fall_between_their_neighbours() -> None:
    filters = band_filters()
    assert filters.shape == (257, NUM_BANDS) and filters.min() == 0 and filters.max() <= 1
    tone = np.sin(2 * np.pi * 1000 * np.arange(FRAME_LENGTH + 3 * HOP_LENGTH) / SAMPLE_RATE)
    level = kaldi_mel(0.5 * tone[None].astype(np.float32))
    assert level.shape == (1, 4, NUM_BANDS)
    assert abs(int(level[0, 0].argmax()) - int(filters[32].argmax())) <= 1  # 1 kHz is bin 32


def test_matrices_in_eight_bits_are_whole_again(tmp_path: Path) -> None:
    net = EventDetector()
    state = dict(net.state_dict())
    wanted = state["blocks.0.expand.weight"]
    scale = wanted.abs().amax(dim=1, keepdim=True) / 127
    state["blocks.0.expand.weight"] = torch.round(wanted / scale).to(torch.int8)
    state["blocks.0.expand.weight" + SCALE] = scale
    save_file(state, str(tmp_path / "model.safetensors"))
    other = EventDetector()
    load_weights(tmp_path, other)
    gap = (other.state_dict()["blocks.0.expand.weight"] - wanted).abs()
    assert bool((gap <= 0.51 * scale).all()) and gap.max() > 0
    assert torch.equal(other.head.weight, net.head.weight)


class Sure(EventDetector):
    """Says the same of every frame."""

    def __init__(self, said: tuple[float, float, float]) -> None:
        super().__init__()
        self._said = said

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        return torch.tensor(self._said).expand(*mel.shape[:2], 3)


def test_the_likelier_of_music_and_singing_counts_in_log_odds() -> None:
    windows = [np.zeros(SAMPLE_RATE, np.float32)] * 2
    how = EventWeight("", weight=0.5, offset=-1.0)
    for said, expected in (
        ((0.9, 0.2, 0.8), math.log(4)),
        ((0.9, 0.8, 0.2), math.log(4)),
        ((0.9, 0.0, 0.0), -MOST_LOG_ODDS),
        ((0.0, 1.0, 1.0), MOST_LOG_ODDS),
    ):
        evidence = EventEvidence(Sure(said), how)
        assert evidence.evidence(windows) == pytest.approx(0.5 * expected, abs=1e-5)
        assert evidence.added(2.0, 0.5 * expected) == pytest.approx(1.0 + 0.5 * expected)


def test_singing_counts_once_more_as_far_as_it_is_above_what_speech_has() -> None:
    windows = [np.zeros(SAMPLE_RATE, np.float32)] * 2
    how = EventWeight("", weight=0.5, offset=0.0, singing=2.0, singing_above=-1.0)
    for said, expected in (
        ((0.1, 0.8, 0.2), 0.5 * math.log(4) + 2.0 * (math.log(4) + 1.0)),
        ((0.1, 0.2, 0.8), 0.5 * math.log(4)),  # music, no singing
        ((0.9, 0.2, 0.1), -0.5 * math.log(4)),  # speech: what is below takes nothing away
    ):
        assert EventEvidence(Sure(said), how).evidence(windows) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("singing", (0.0, 2.0))
def test_it_is_asked_just_where_it_could_change_the_verdict(singing: float) -> None:
    how = EventWeight("", weight=0.5, offset=-1.0, singing=singing, singing_above=-1.0)
    most = EventEvidence(Sure((0.0, 1.0, 1.0)), how).evidence([np.zeros(SAMPLE_RATE, np.float32)])
    assert most == pytest.approx(0.5 * MOST_LOG_ODDS + singing * (MOST_LOG_ODDS + 1.0), abs=1e-4)
    evidence = EventEvidence(EventDetector(), how)
    for logit in np.linspace(-30, 10, 401).tolist():
        verdicts = {evidence.added(logit, odds) > 0 for odds in (-0.5 * MOST_LOG_ODDS, 0.0, most)}
        assert evidence.matters(logit) or len(verdicts) == 1
    assert not evidence.matters(1.0 + 0.5 * MOST_LOG_ODDS + 0.01)
    assert not evidence.matters(1.0 - most - 0.01)


def test_what_is_no_detector_is_refused() -> None:
    with pytest.raises(CheckpointError, match="not a detector"):
        load_detector("beatnet")
    broken = {"music_head": {"events": {"checkpoint": "fireredvad", "weight": -1.0, "offset": 0.0}}}
    with pytest.raises(CheckpointError, match="weight"):
        read_event_evidence(models_dir() / "musicnn", broken)
    assert read_event_evidence(models_dir() / "musicnn", {"music_head": {"weights": [], "bias": 0}}) is None
