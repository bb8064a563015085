"""The pitch of one voice, frame by frame: swift-f0 (MIT, the extra ``hum``) where it is installed, else librosa's pYIN.

swift-f0 is a small net (Nieradzik 2025) and far quicker than pYIN (Mauch & Dixon 2014).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
HOP = 256
FRAME_SECONDS = HOP / SAMPLE_RATE
FMIN_HZ, FMAX_HZ = 65.0, 1_500.0
MIN_CONFIDENCE = 0.35

Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Contour:
    """One value for each frame of 16 ms: ``hertz``, NaN where there is no pitch, and ``loudness`` in dB."""

    hertz: Numbers
    loudness: Numbers


def has_swift_f0() -> bool:
    """Whether the fast tracker is installed."""
    return find_spec("swift_f0") is not None


def pitch_contour(mono: NDArray[np.float32], with_swift_f0: bool | None = None) -> Contour:
    """(num_samples,) at 16 kHz. ``with_swift_f0`` None is: where it is installed."""
    if has_swift_f0() if with_swift_f0 is None else with_swift_f0:
        found = _detector().detect(mono, SAMPLE_RATE, FMIN_HZ, FMAX_HZ)
        hertz = np.where(found.confidence >= MIN_CONFIDENCE, found.pitch_hz, np.nan)
    else:
        import librosa

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pitch, voiced, _ = librosa.pyin(
                mono, fmin=FMIN_HZ, fmax=FMAX_HZ, sr=SAMPLE_RATE, hop_length=HOP, frame_length=2_048
            )
        hertz = np.where(voiced, pitch, np.nan)
    return Contour(hertz, _loudness(mono, len(hertz)))


@lru_cache(maxsize=1)
def _detector() -> Any:
    from swift_f0 import SwiftF0

    return SwiftF0(threads=1)


def _loudness(mono: NDArray[np.float32], num_frames: int) -> Numbers:
    """Of 32 ms around each frame."""
    padded = np.zeros((num_frames + 1) * HOP)
    padded[HOP:][: len(mono)] = mono[: num_frames * HOP]
    power = np.square(padded).reshape(-1, HOP).mean(axis=1)
    return np.asarray(10 * np.log10(np.maximum((power[1:] + power[:-1]) / 2, 1e-12)))


__all__ = ["FRAME_SECONDS", "HOP", "SAMPLE_RATE", "Contour", "Numbers", "has_swift_f0", "pitch_contour"]
