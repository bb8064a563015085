"""Tempo, meter and key of a recording, estimated from the signal.

Beats, tempo and meter come from the beat tracker (:mod:`melodygen.analysis.beats`). The key is the best of Temperley's
24 profiles on what sounds from 65 to 800 Hz: on renders that names more keys than librosa's constant-Q chroma with
Krumhansl's profiles, in a fiftieth of the time (docs/hearing.md). All three are estimates: the tempo may be off by a
factor of two, and the meter is 3/4 or 4/4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.fft import rfft
from scipy.signal import resample_poly

from melodygen.analysis.beats import DEFAULT_TRACKER, MIN_BEATS_OF_METER, load_beat_tracker
from melodygen.audio.features import Features, resampling_ratio
from melodygen.music.key import estimate_key
from melodygen.nets.checkpoint import CONFIG
from melodygen.resources import models_dir

KEY_RATE = 8_000
KEY_FFT = 4_096
KEY_HZ = (65.0, 800.0)
TUNING_SPREAD = 0.2
"""Semitones from a note of equal temperament at which a frequency counts 0.6 for it."""
MIN_SECONDS = 4.0


@dataclass(frozen=True)
class Rhythm:
    """Tempo, meter and key of a recording; None where the signal gives no answer.

    ``key_fifths`` is the signature that a score has, which says whether 6 major is F# or Gb.
    """

    qpm: float | None = None
    meter: tuple[int, int] | None = None
    key: tuple[int, str] | None = None
    key_fifths: int | None = None


def read_rhythm(mono: Features, sample_rate: int) -> Rhythm:
    """Return tempo, meter and key of mono samples; a minute of them is enough. Only the key is told where the models
    folder holds no beat tracker.

    Args:
        mono: (num_samples,).
        sample_rate: in Hz; 16 kHz and more find more beats than 8 kHz.
    """
    if len(mono) < MIN_SECONDS * sample_rate or float(np.abs(mono).max(initial=0.0)) < 1e-5:
        return Rhythm()
    key = key_of_sound(mono, sample_rate)
    if not (models_dir() / DEFAULT_TRACKER / CONFIG).is_file():
        return Rhythm(None, None, key)
    beats = load_beat_tracker().track(mono, sample_rate)
    if beats is None:
        return Rhythm(None, None, key)
    return Rhythm(round(beats.qpm, 1), beats.meter if len(beats.seconds) >= MIN_BEATS_OF_METER else None, key)


def key_of_sound(mono: Features, sample_rate: int) -> tuple[int, str] | None:
    """Return (tonic, mode) of mono samples (num_samples,), or None where nothing sounds."""
    low = resample_poly(mono, *resampling_ratio(sample_rate, KEY_RATE))
    if len(low) < KEY_FFT:
        low = np.pad(low, (0, KEY_FFT - len(low)))
    frames = np.lib.stride_tricks.sliding_window_view(low, KEY_FFT)[:: KEY_FFT // 2]
    magnitude = np.abs(rfft(frames * np.hanning(KEY_FFT).astype(np.float32), axis=1)).mean(axis=0)
    hz = np.arange(len(magnitude)) * KEY_RATE / KEY_FFT
    heard = (hz >= KEY_HZ[0]) & (hz <= KEY_HZ[1])
    pitch = 69 + 12 * np.log2(hz[heard] / 440.0)
    nearest = np.rint(pitch)
    weights = np.zeros(12)
    near = np.exp(-0.5 * ((pitch - nearest) / TUNING_SPREAD) ** 2)
    np.add.at(weights, nearest.astype(np.int64) % 12, magnitude[heard] * near)
    return estimate_key(weights)


__all__ = ["Rhythm", "key_of_sound", "read_rhythm"]
