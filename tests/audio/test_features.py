"""The front end against physics (tones, gain, rates), against librosa's filters, and against itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.fft import idct

from melodygen.audio.buffer import Audio
from melodygen.audio.features import (
    FrontEndConfig,
    cut_windows,
    features,
    hz_to_mel,
    mel_filters,
    mel_to_hz,
    to_mono_at,
)
from melodygen.errors import AudioError, CheckpointError

CONFIG = FrontEndConfig()


def tone(hz: float, rate: int, seconds: float = 10.0, gain: float = 0.3) -> Audio:
    t = np.arange(round(rate * seconds)) / rate
    return Audio((gain * np.sin(2 * np.pi * hz * t)).astype(np.float32), rate)


def noise(seconds: float, rate: int = 8_000, seed: int = 0, channels: int = 1) -> Audio:
    rng = np.random.default_rng(seed)
    return Audio(0.1 * rng.standard_normal((channels, round(rate * seconds))).astype(np.float32), rate)


@pytest.mark.parametrize("hz", [110.0, 440.0, 1760.0, 3500.0])
@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_a_tone_is_heard_in_its_band(hz: float, rate: int) -> None:
    loudest = int(features(tone(hz, rate), CONFIG)[0].mean(axis=1).argmax())
    centres = mel_to_hz(np.linspace(hz_to_mel(CONFIG.fmin_hz), hz_to_mel(CONFIG.fmax_hz), CONFIG.n_mels + 2))[
        1:-1
    ]
    assert loudest in np.argsort(np.abs(centres - hz))[:2]


def test_what_8_khz_cannot_hold_is_filtered_out_not_folded_down() -> None:
    """6 kHz would alias to 2 kHz."""
    low = tone(500.0, 22_050, gain=0.1).samples
    both = Audio(low + tone(6_000.0, 22_050, gain=0.5).samples, 22_050)
    alone = features(Audio(low, 22_050), CONFIG)[0]
    heard = features(both, CONFIG)[0]
    assert np.abs(heard - alone)[:, 5:-5].max() < 0.6, "18 dB: what is left of it lies 40 dB under the music"


def test_filters_agree_with_librosa_where_a_triangle_is_wider_than_a_bin() -> None:
    librosa = pytest.importorskip("librosa")
    theirs = librosa.filters.mel(
        sr=8_000, n_fft=1024, n_mels=80, fmin=30.0, fmax=3_900.0, htk=True, norm=None
    )
    ours = mel_filters(8_000, 1024, 80, 30.0, 3_900.0).T
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    narrow = mel_filters(8_000, 256, 80, 30.0, 3_900.0)
    assert (narrow.sum(axis=0) > 0).all(), "no band is deaf even where bins are wider than triangles"


@settings(max_examples=12, deadline=None)
@given(st.floats(1e-4, 30.0), st.integers(0, 100))
def test_gain_does_not_matter(gain: float, seed: int) -> None:
    plain = noise(10.0, seed=seed)
    louder = Audio(plain.samples * np.float32(gain), plain.sample_rate)
    np.testing.assert_allclose(features(louder, CONFIG), features(plain, CONFIG), atol=1e-3)


def test_equal_audio_gives_equal_bytes() -> None:
    audio = noise(23.0, 44_100, channels=2)
    again = Audio(audio.samples.copy(), 44_100)
    assert features(audio, CONFIG).tobytes() == features(again, CONFIG).tobytes()


def test_silence_and_direct_current_are_finite() -> None:
    for value in (0.0, 0.5):
        heard = features(Audio(np.full(80_000, value, dtype=np.float32), 8_000), CONFIG)
        assert np.isfinite(heard).all() and np.abs(heard).max() <= 2.0


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 600_000))
def test_windows_reach_both_ends(num: int) -> None:
    mono = np.arange(num, dtype=np.float32)
    windows = cut_windows(mono, CONFIG)
    assert windows.shape[1] == CONFIG.num_samples
    assert windows[0, 0] == 0 and num - 1 in windows[-1]
    if num >= CONFIG.num_samples:
        starts = windows[:, 0]
        assert windows[-1, -1] == num - 1
        assert len(starts) == 1 or np.diff(starts).max() <= CONFIG.step_seconds * CONFIG.sample_rate + 1


def test_odd_rates_and_channels() -> None:
    audio = noise(3.0, 11_027, channels=6)
    assert abs(len(to_mono_at(audio, 8_000)) - 24_000) < 30
    assert features(audio, CONFIG).shape == (1, 80, CONFIG.num_frames)


def test_no_samples() -> None:
    with pytest.raises(AudioError, match="no samples"):
        features(Audio(np.zeros((1, 0), dtype=np.float32), 8_000), CONFIG)


def test_mfcc_is_the_cosine_transform_of_the_levels() -> None:
    whole = replace(CONFIG, kind="mfcc", num_mfcc=80)
    audio = noise(10.0)
    back = idct(features(audio, whole), axis=-2, norm="ortho")
    np.testing.assert_allclose(back, features(audio, CONFIG), atol=1e-4)
    assert features(audio, replace(CONFIG, kind="mfcc")).shape == (1, 24, CONFIG.num_frames)


def test_config_is_strict() -> None:
    assert FrontEndConfig.from_dict(CONFIG.to_dict()) == CONFIG
    with pytest.raises(CheckpointError, match="hop"):
        FrontEndConfig.from_dict({k: v for k, v in CONFIG.to_dict().items() if k != "hop_length"})
    with pytest.raises(CheckpointError, match="extra"):
        FrontEndConfig.from_dict(CONFIG.to_dict() | {"extra": 1})
    with pytest.raises(CheckpointError, match="cqt"):
        FrontEndConfig(kind="cqt")
    with pytest.raises(CheckpointError, match="fmin"):
        FrontEndConfig(fmax_hz=5_000.0)
