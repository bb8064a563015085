"""Tempo, meter and key of a recording, estimated from the signal.

Beats come from librosa's tracker (Ellis 2007) on its onset strength. The meter is 3/4 or 4/4, whichever
repeats better in the strength of the beats, overall and in the bass. The key is the best of the 24
Krumhansl-Kessler profiles on librosa's chroma. All three are estimates: the tempo may be off by a factor of
two, and other meters are not recognised. librosa takes a second to import, so it is imported on first use.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from melodygen.audio.features import Features
from melodygen.music.key import KRUMHANSL_KESSLER, estimate_key

HOP = 128
MIN_SECONDS = 4.0
MIN_BEATS = 12


@dataclass(frozen=True)
class Rhythm:
    """Tempo, meter and key of a recording; None where the signal gives no answer."""

    qpm: float | None = None
    meter: tuple[int, int] | None = None
    key: tuple[int, str] | None = None


def read_rhythm(mono: Features, sample_rate: int) -> Rhythm:
    """Return tempo, meter and key of mono samples; a minute of them is enough.

    Args:
        mono: (num_samples,).
        sample_rate: in Hz, a low one such as the front end's.
    """
    if len(mono) < MIN_SECONDS * sample_rate or float(np.abs(mono).max(initial=0.0)) < 1e-5:
        return Rhythm()
    import librosa

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of empty tuning estimates
        mel = librosa.feature.melspectrogram(
            y=mono, sr=sample_rate, n_fft=512, hop_length=HOP, n_mels=48, fmax=sample_rate / 2
        )
        level = librosa.power_to_db(mel)
        onset = librosa.onset.onset_strength(S=level, sr=sample_rate, hop_length=HOP)
        tempo, beats = librosa.beat.beat_track(onset_envelope=onset, sr=sample_rate, hop_length=HOP)
        chroma = librosa.feature.chroma_stft(y=mono, sr=sample_rate, n_fft=4096, hop_length=2048, norm=None)
    qpm = float(np.atleast_1d(tempo)[0])
    key = estimate_key(np.sqrt(chroma).sum(axis=1), profiles=KRUMHANSL_KESSLER)
    if not 20 <= qpm <= 400 or len(beats) < 4:
        return Rhythm(None, None, key)
    low = librosa.onset.onset_strength(S=level[:10], sr=sample_rate, hop_length=HOP)
    return Rhythm(round(qpm, 1), meter_of(onset, low, np.asarray(beats, dtype=np.int64)), key)


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


__all__ = ["Rhythm", "meter_of", "read_rhythm"]
