"""Kaldi's log-mel spectrogram, which FireRedVAD was trained on: 16 kHz mono, 25 ms every 10 ms, 80 bands from 20 Hz.

Written anew from the description of ``compute-fbank-feats`` (no dither, frames inside the sound alone): each frame
without its mean, its treble raised, under a Povey window; triangles that are straight in mel.

Letters: B sounds, N samples, T frames, F bands.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.fft import rfft

SAMPLE_RATE = 16_000
HOP_LENGTH, FRAME_LENGTH, N_FFT = 160, 400, 512
NUM_BANDS = 80
LOWEST_HZ, HIGHEST_HZ = 20.0, 8_000.0
FULL_SCALE = 32_767
"""Kaldi counts samples as 16-bit numbers."""
PRE_EMPHASIS, POVEY_POWER = 0.97, 0.85
LEAST_POWER = float(np.finfo(np.float32).eps)

Floats = NDArray[np.float32]


def _mel(hz: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1127.0 * np.log1p(hz / 700.0))


@lru_cache(maxsize=1)
def band_filters() -> Floats:
    """(bins, F): triangles of height 1, as high as their middle lies inside."""
    lowest, highest = _mel(np.array((LOWEST_HZ, HIGHEST_HZ))).tolist()
    edges = np.linspace(lowest, highest, NUM_BANDS + 2)
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    bins = _mel(np.arange(N_FFT // 2 + 1) * SAMPLE_RATE / N_FFT)[:, None]
    filters = np.minimum((bins - low) / (middle - low), (high - bins) / (high - middle))
    result: Floats = np.maximum(filters, 0.0).astype(np.float32)
    result.flags.writeable = False
    return result


@lru_cache(maxsize=1)
def povey_window() -> Floats:
    """(``FRAME_LENGTH``,): a Hann window that ends above zero."""
    return np.asarray(np.hanning(FRAME_LENGTH) ** POVEY_POWER, dtype=np.float32)


def kaldi_mel(sounds: Floats) -> Floats:
    """(B, N) samples from -1 to 1, N at least ``FRAME_LENGTH`` -> (B, T, F) log power. What is beyond is clipped."""
    # rounded as in a file: without the noise of 16 bits, near silence sounds like nothing the net knows
    samples = np.rint(np.clip(sounds, -1.0, 1.0) * np.float32(FULL_SCALE))
    frames = np.lib.stride_tricks.sliding_window_view(samples, FRAME_LENGTH, axis=1)[:, ::HOP_LENGTH]
    frames = frames - frames.mean(axis=2, keepdims=True)
    before = np.concatenate((frames[..., :1], frames[..., :-1]), axis=2)
    spectrum = rfft((frames - np.float32(PRE_EMPHASIS) * before) * povey_window(), N_FFT, axis=2)
    power = spectrum.real**2 + spectrum.imag**2
    level: Floats = np.log(np.maximum(power @ band_filters(), LEAST_POWER)).astype(np.float32)
    return level


__all__ = ["FRAME_LENGTH", "HOP_LENGTH", "NUM_BANDS", "SAMPLE_RATE", "band_filters", "kaldi_mel"]
