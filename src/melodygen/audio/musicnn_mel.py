"""The log-mel that musicnn was trained on: 16 kHz mono, Hann frames of 512 samples every 256, 96 bands.

The same numbers as ``log10(1 + 10000 * librosa.feature.melspectrogram(y=y, sr=16000, n_fft=512, hop_length=256,
n_mels=96))`` (Slaney's mel scale, triangles of area 1), at a fraction of the time. musicnn's own code rounds the power
to float16 before the logarithm, where loud sound overflows; here it stays float32.

Letters: W windows, T frames, F bands.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.fft import rfft

SAMPLE_RATE = 16_000
N_FFT = 512
HOP_LENGTH = 256
NUM_BANDS = 96
NUM_FRAMES = 187
WINDOW_SAMPLES = (NUM_FRAMES - 1) * HOP_LENGTH + N_FFT
"""Of the three seconds that the net hears at once."""
WINDOW_SECONDS = WINDOW_SAMPLES / SAMPLE_RATE
KNEE_HZ = 1_000.0
KNEE_MEL = 15.0
LOG_STEP = np.log(6.4) / 27.0

Floats = NDArray[np.float32]


def slaney_mel_to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Linear up to 1 kHz, logarithmic above (Slaney 1998, Auditory Toolbox)."""
    above = KNEE_HZ * np.exp(LOG_STEP * (mel - KNEE_MEL))
    hz: NDArray[np.float64] = np.where(mel < KNEE_MEL, mel * KNEE_HZ / KNEE_MEL, above)
    return hz


@lru_cache(maxsize=1)
def mel_filters() -> Floats:
    """(257, F): triangles of area 1 from 0 Hz to half the sample rate."""
    top = KNEE_MEL + np.log(SAMPLE_RATE / 2 / KNEE_HZ) / LOG_STEP
    edges = slaney_mel_to_hz(np.linspace(0.0, top, NUM_BANDS + 2))
    bins = np.arange(N_FFT // 2 + 1)[:, None] * SAMPLE_RATE / N_FFT
    rising = (bins - edges[:-2]) / np.diff(edges)[:-1]
    falling = (edges[2:] - bins) / np.diff(edges)[1:]
    triangles = np.maximum(0.0, np.minimum(rising, falling)) * 2.0 / (edges[2:] - edges[:-2])
    filters: Floats = triangles.astype(np.float32)
    filters.flags.writeable = False
    return filters


@lru_cache(maxsize=1)
def _hann() -> Floats:
    window: Floats = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N_FFT) / N_FFT)).astype(np.float32)
    window.flags.writeable = False
    return window


def log_mel(windows: Floats) -> Floats:
    """(W, num_samples) of mono sound at 16 kHz -> (W, T, F); frames lie whole inside."""
    frames = np.lib.stride_tricks.sliding_window_view(windows, N_FFT, axis=1)[:, ::HOP_LENGTH]
    spectrum = rfft(frames * _hann(), axis=2)
    power = spectrum.real**2 + spectrum.imag**2
    level: Floats = np.log10(1.0 + 10_000.0 * (power @ mel_filters()))
    return level.astype(np.float32, copy=False)


__all__ = ["NUM_FRAMES", "SAMPLE_RATE", "WINDOW_SAMPLES", "WINDOW_SECONDS", "log_mel", "mel_filters"]
