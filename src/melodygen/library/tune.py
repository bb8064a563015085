"""The tune of a recording, where one voice is heard almost alone: a singer, a flute, a line on a piano.

The pitch of the loudest voice (``library.pitch``) says little where several sound. So it is asked first how much of
the sound that voice explains: the share of the power that lies at its harmonics, in a few windows. Where that is
little, no tune is tracked, rather than a wrong one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.fft import rfft

from melodygen.library.hum import notes_of_contour
from melodygen.library.lines import MIN_NOTES, Notes, Steps, line_of
from melodygen.library.pitch import HOP, SAMPLE_RATE, Contour, has_swift_f0, pitch_contour
from melodygen.library.track import NOTE_DTYPE

MAX_SECONDS = 240.0
PROBES, PROBE_SECONDS = 3, 6.0
MIN_SHARE = 0.7
"""Of the power between 60 and 4,000 Hz, at the harmonics of the pitch; the median of the frames that have one."""
MIN_VOICED = 0.4
"""Share of the frames that sound which have a pitch."""
USUAL_QPM = 120.0
PAUSE_SECONDS = 3.0
"""A silence that ends a line."""
_N_FFT = 2_048
_LOW_HZ, _HIGH_HZ = 60.0, 4_000.0
_WIDTH_BINS = 2


def tune_of_sound(
    mono: NDArray[np.float32], qpm: float | None, meter: tuple[int, int] | None
) -> tuple[Notes, Steps]:
    """(notes, steps) as ``lines_of`` gives them of a score, of four minutes at most; empty where no voice is alone.

    Args:
        mono: (num_samples,) at 16 kHz.
        qpm: the tempo, which bars are counted by; None is 120.
        meter: None is 4/4.
    """
    none = np.zeros(0, NOTE_DTYPE), np.zeros((0, 2), np.int8)
    if not has_swift_f0() or not all(is_one_voice(part) for part in _probes(mono)):
        return none
    found = notes_of_contour(pitch_contour(mono[: round(MAX_SECONDS * SAMPLE_RATE)]))
    if len(found) < MIN_NOTES:
        return none
    pitch, second = np.array([p for p, _ in found]), np.array([s for _, s in found])
    quarter = second * (qpm or USUAL_QPM) / 60
    numerator, denominator = meter or (4, 4)
    bar = quarter * denominator / 4 / numerator
    parts = np.split(np.arange(len(pitch)), np.flatnonzero(np.diff(second) > PAUSE_SECONDS) + 1)
    parts = [part for part in parts if len(part) >= MIN_NOTES][:255]
    if not parts:
        return none
    lines = [line_of(pitch[p], quarter[p], bar[p], second[p], number) for number, p in enumerate(parts)]
    return np.concatenate([notes for notes, _ in lines]), np.concatenate([steps for _, steps in lines])


def is_one_voice(mono: NDArray[np.float32]) -> bool:
    """Whether one voice explains most of a few seconds at 16 kHz."""
    if len(mono) < _N_FFT:
        return False
    share, voiced = voice_share(mono, pitch_contour(mono))
    return share >= MIN_SHARE and voiced >= MIN_VOICED


def voice_share(mono: NDArray[np.float32], contour: Contour) -> tuple[float, float]:
    """(median share of the power at the pitch's harmonics, share of the sounding frames that have a pitch)."""
    padded = np.pad(mono, (_N_FFT // 2, _N_FFT))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _N_FFT)[::HOP][: len(contour.hertz)]
    sounding = contour.loudness > contour.loudness.max() - 40
    chosen = np.flatnonzero(~np.isnan(contour.hertz[: len(frames)]) & sounding[: len(frames)])
    if not len(chosen):
        return 0.0, 0.0
    voiced = len(chosen) / max(int(sounding.sum()), 1)
    chosen = chosen[:: max(1, len(chosen) // 100)]
    power = np.square(np.abs(rfft(frames[chosen] * np.hanning(_N_FFT).astype(np.float32), axis=1)))
    hertz = np.arange(power.shape[1]) * SAMPLE_RATE / _N_FFT
    inside = (hertz >= _LOW_HZ) & (hertz <= _HIGH_HZ)
    pitch = contour.hertz[chosen, None]
    harmonic = np.maximum(np.rint(hertz[None, :] / pitch), 1)
    at_harmonic = np.abs(hertz[None, :] - harmonic * pitch) <= _WIDTH_BINS * SAMPLE_RATE / _N_FFT
    explained = (power * (inside & at_harmonic)).sum(axis=1) / np.maximum((power * inside).sum(axis=1), 1e-12)
    return float(np.median(explained)), voiced


def _probes(mono: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """A few stretches, spread evenly."""
    size = round(PROBE_SECONDS * SAMPLE_RATE)
    if len(mono) <= PROBES * size:
        return [mono]
    return [mono[s : s + size] for s in np.linspace(0, len(mono) - size, PROBES).astype(int).tolist()]


__all__ = ["is_one_voice", "tune_of_sound", "voice_share"]
