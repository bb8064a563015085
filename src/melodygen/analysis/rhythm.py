"""Tempo, meter and key of a recording, estimated from the signal.

Beats come from librosa's tracker (Ellis 2007) with its own settings: 22.05 kHz, hop 512, prior around 120. The
meter is 3/4 or 4/4, whichever repeats better in the strength of the beats, overall and in the bass. The key is the
best of Temperley's 24 profiles on what sounds from 65 to 800 Hz: on renders that names more keys than librosa's
constant-Q chroma with Krumhansl's profiles, in a fiftieth of the time (docs/hearing.md). All three are estimates:
the tempo may be off by a factor of two, and other meters are not recognised. librosa takes a second to import, so
it is imported on first use.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import rfft
from scipy.signal import resample_poly

from melodygen.analysis.compiled import compile_once
from melodygen.audio.features import Features, resampling_ratio
from melodygen.music.key import estimate_key

TEMPO_RATE = 22_050
HOP = 512
KEY_RATE = 8_000
KEY_FFT = 4_096
KEY_HZ = (65.0, 800.0)
TUNING_SPREAD = 0.2
"""Semitones from a note of equal temperament at which a frequency counts 0.6 for it."""
LOW_BANDS = 10
"""Of 128 mel bands up to half the rate: the bass, below about 300 Hz."""
MIN_SECONDS = 4.0
MIN_BEATS = 12


@dataclass(frozen=True)
class Rhythm:
    """Tempo, meter and key of a recording; None where the signal gives no answer.

    ``key_fifths`` is the signature that a score has, which says whether 6 major is F# or Gb.
    """

    qpm: float | None = None
    meter: tuple[int, int] | None = None
    key: tuple[int, str] | None = None
    key_fifths: int | None = None


def _compile() -> None:
    """Call what librosa compiles, on two seconds of clicks."""
    import librosa

    clicks = np.tile(np.eye(1, 20, dtype=np.float32)[0], 5)
    librosa.beat.beat_track(onset_envelope=clicks, sr=TEMPO_RATE, hop_length=HOP)


def read_rhythm(mono: Features, sample_rate: int) -> Rhythm:
    """Return tempo, meter and key of mono samples; a minute of them is enough.

    Args:
        mono: (num_samples,).
        sample_rate: in Hz, a low one such as the front end's.
    """
    if len(mono) < MIN_SECONDS * sample_rate or float(np.abs(mono).max(initial=0.0)) < 1e-5:
        return Rhythm()
    import librosa

    compile_once(_compile)

    key = key_of_sound(mono, sample_rate)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of empty tuning estimates
        sound = resample_poly(mono, *resampling_ratio(sample_rate, TEMPO_RATE)).astype(np.float32)
        level = librosa.power_to_db(librosa.feature.melspectrogram(y=sound, sr=TEMPO_RATE, hop_length=HOP))
        onset = librosa.onset.onset_strength(S=level, sr=TEMPO_RATE, hop_length=HOP)
        # what beat_track makes itself when it is given sound: the median over bands, not their mean
        sharp = librosa.onset.onset_strength(S=level, sr=TEMPO_RATE, hop_length=HOP, aggregate=np.median)
        tempo, beats = librosa.beat.beat_track(onset_envelope=sharp, sr=TEMPO_RATE, hop_length=HOP)
    qpm = float(np.atleast_1d(tempo)[0])
    if not 20 <= qpm <= 400 or len(beats) < 4:
        return Rhythm(None, None, key)
    low = librosa.onset.onset_strength(S=level[:LOW_BANDS], sr=TEMPO_RATE, hop_length=HOP)
    return Rhythm(round(qpm, 1), meter_of(onset, low, np.asarray(beats, dtype=np.int64)), key)


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


def meter_of(onset: Features, low: Features, beats: NDArray[np.int64]) -> tuple[int, int] | None:
    """Return 3/4 or 4/4 from the autocorrelation of beat strengths, or None for fewer than ``MIN_BEATS``
    beats.

    Args:
        onset: onset strength in each frame.
        low: onset strength of the low bands in each frame.
        beats: frame of each beat.
    """
    if len(beats) < MIN_BEATS:
        return None
    likeness = {}
    rows = []
    for curve in (onset, low):
        strength = np.array([curve[max(0, b - 2) : b + 3].max() for b in beats], dtype=np.float64)
        spread = strength.std()
        rows.append((strength - strength.mean()) / spread if spread > 1e-9 else np.zeros(len(strength)))
    for lag in (2, 3, 4, 6):
        likeness[lag] = float(np.mean([(row[:-lag] * row[lag:]).mean() for row in rows]))
    three = max(likeness[3], (likeness[3] + likeness[6]) / 2)
    four = max(likeness[4], (likeness[2] + likeness[4]) / 2)
    return (3, 4) if three > four + 0.03 else (4, 4)


__all__ = ["Rhythm", "key_of_sound", "meter_of", "read_rhythm"]
