"""The spectrogram that BeatNet was trained on: 22.05 kHz mono, 64 ms every 20 ms, 24 bands an octave, and its rises.

The same numbers as madmom 0.16 gives (``FilteredSpectrogramProcessor(num_bands=24, fmin=30, fmax=17000)``, logarithm
of 1 + x, positive differences of neighbouring frames), written anew from its description: Hann windows, magnitudes,
triangles of area 1 between the bins that lie nearest to notes and quarter tones, each bin once.

Letters: T frames, F bands.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.fft import rfft

SAMPLE_RATE = 22_050
HOP_LENGTH = 441
FRAMES_PER_SECOND = SAMPLE_RATE / HOP_LENGTH
FRAME_LENGTH = 1_411
NUM_BINS = FRAME_LENGTH // 2
BANDS_PER_OCTAVE = 24
LOWEST_HZ, HIGHEST_HZ, TUNING_HZ = 30.0, 17_000.0, 440.0
NUM_BANDS = 136
BLOCK = 1_000
"""Frames that are transformed at once."""

Floats = NDArray[np.float32]


@lru_cache(maxsize=1)
def band_filters() -> Floats:
    """(bins, F): triangles of area 1."""
    steps = np.log2(np.array((LOWEST_HZ, HIGHEST_HZ)) / TUNING_HZ) * BANDS_PER_OCTAVE
    notes = TUNING_HZ * 2.0 ** (np.arange(np.ceil(steps[0]), np.ceil(steps[1])) / BANDS_PER_OCTAVE)
    hz = np.arange(NUM_BINS) * SAMPLE_RATE / (2 * NUM_BINS)  # madmom's bins: as if the frame were even
    above = np.clip(hz.searchsorted(notes), 1, NUM_BINS - 1)
    nearest = np.unique(above - (notes - hz[above - 1] < hz[above] - notes))
    filters = np.zeros((NUM_BINS, len(nearest) - 2), dtype=np.float64)
    for band, (first, middle, last) in enumerate(zip(nearest, nearest[1:], nearest[2:], strict=False)):
        rise = np.linspace(0.0, 1.0, middle - first, endpoint=False)
        fall = np.linspace(1.0, 0.0, last - middle, endpoint=False)
        filters[first:last, band] = np.concatenate((rise, fall)) / (rise.sum() + fall.sum())
    result: Floats = filters.astype(np.float32)
    result.flags.writeable = False
    return result


def band_hz() -> NDArray[np.float64]:
    """(F,): the frequency at which each band is highest."""
    return np.asarray(band_filters().argmax(axis=0) * SAMPLE_RATE / (2 * NUM_BINS))


def beat_spectrum(mono: Floats) -> Floats:
    """(num_samples,) of mono sound at 22.05 kHz -> (T, 2 F): level of each band, and by how much it rose."""
    num_frames = -(-len(mono) // HOP_LENGTH)
    padded = np.pad(mono, (FRAME_LENGTH // 2, FRAME_LENGTH + HOP_LENGTH))
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME_LENGTH)[::HOP_LENGTH][:num_frames]
    window = np.hanning(FRAME_LENGTH).astype(np.float32)
    level = np.zeros((num_frames, NUM_BANDS), dtype=np.float32)
    for start in range(0, num_frames, BLOCK):
        magnitude = np.abs(rfft(frames[start : start + BLOCK] * window, axis=1)[:, :NUM_BINS])
        level[start : start + BLOCK] = np.log10(1.0 + magnitude @ band_filters())
    rise = np.zeros_like(level)
    rise[1:] = np.maximum(np.diff(level, axis=0), 0.0)
    return np.concatenate((level, rise), axis=1)


__all__ = [
    "FRAMES_PER_SECOND",
    "HOP_LENGTH",
    "NUM_BANDS",
    "SAMPLE_RATE",
    "band_filters",
    "band_hz",
    "beat_spectrum",
]
