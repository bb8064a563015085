"""A hummed, whistled, sung or played tune, one note at a time -> a phrase.

The contour of the pitch (``library.pitch``) is set to the singer's own tuning, and cut where it leaves a semitone for
longer than a moment, falls silent, or is attacked anew; each piece is a note. What is no pitch (breath, noise) is left
out.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from melodygen.errors import LibraryError
from melodygen.library.lines import MIN_NOTES, Phrase
from melodygen.library.pitch import FRAME_SECONDS, SAMPLE_RATE, Contour, Numbers, pitch_contour

SILENCE_RMS = 10 ** (-55 / 20)
MIN_NOTE_SECONDS = 0.065
MAX_SECONDS = 60.0
LEAVES_SEMITONES = 0.7
"""Distance from a note's middle at which the next one begins."""
DIP_DB = 3.0
"""A note that gets so much softer and louder again is two."""
TUNING_FRAMES = 100
"""Before and after a frame, of which the singer's tuning there is taken."""
_DIP_FRAMES = 8


def phrase_of_hum(mono: NDArray[np.float32]) -> Phrase:
    """(num_samples,) at 16 kHz, a minute at most. Raises LibraryError for silence, and for fewer than four notes."""
    mono = mono[: round(MAX_SECONDS * SAMPLE_RATE)]
    if not len(mono) or float(mono.std()) < SILENCE_RMS:
        raise LibraryError("the recording is silent: nothing was hummed")
    notes = notes_of_contour(pitch_contour(mono))
    if len(notes) < MIN_NOTES:
        heard = "no note" if not notes else "one note" if len(notes) == 1 else f"{len(notes)} notes"
        raise LibraryError(
            f"{heard} can be made out in the recording; hum at least {MIN_NOTES}, each a little apart"
        )
    return Phrase(tuple(pitch for pitch, _ in notes), tuple(onset for _, onset in notes))


def notes_of_contour(contour: Contour) -> list[tuple[int, float]]:
    """(MIDI number, onset in seconds) of the notes of a pitch contour."""
    pitch = 69 + 12 * np.log2(contour.hertz / 440.0)
    sounding = ~np.isnan(pitch)
    if not sounding.any():
        return []
    pitch = pitch - _tuning(pitch)
    smooth = _median(pitch, 5)
    anew = attacks(contour.loudness)
    notes: list[tuple[int, float]] = []
    start: int | None = None
    for i in range(len(pitch) + 1):
        here = i < len(pitch) and bool(sounding[i])
        if start is not None and (
            not here or anew[i] or abs(smooth[i] - np.nanmedian(smooth[start:i])) > LEAVES_SEMITONES
        ):
            if (i - start) * FRAME_SECONDS >= MIN_NOTE_SECONDS:
                notes.append((round(float(np.nanmedian(pitch[start:i]))), start * FRAME_SECONDS))
            start = None
        if here and start is None:
            start = i
    return notes


def _tuning(pitch: Numbers) -> Numbers:
    """(T,): how far the singer is from the semitones: the mean direction of the distances, of some seconds around each
    frame, since a voice drifts."""
    turns = np.where(np.isnan(pitch), 0, np.exp(2j * np.pi * np.nan_to_num(pitch)))
    around = fftconvolve(turns, np.hanning(2 * TUNING_FRAMES + 1), mode="same") + 1e-3 * turns.sum()
    return np.asarray(np.unwrap(np.angle(around)) / (2 * np.pi))


def attacks(loudness: Numbers) -> NDArray[np.bool_]:
    """(T,): where a voice that goes on gets louder again, after it had got softer, by ``DIP_DB`` each."""
    padded = np.pad(loudness, _DIP_FRAMES, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * _DIP_FRAMES + 1)
    before = windows[:, :_DIP_FRAMES].max(axis=1)
    after = windows[:, _DIP_FRAMES + 1 :].max(axis=1)
    lowest = windows.min(axis=1) >= loudness
    return np.asarray(lowest & (np.minimum(before, after) - loudness >= DIP_DB))


def _median(values: Numbers, width: int) -> Numbers:
    half = width // 2
    padded = np.pad(values, half, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, width)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # windows of silence alone
        return np.asarray(np.nanmedian(windows, axis=1))


__all__ = ["SAMPLE_RATE", "notes_of_contour", "phrase_of_hum"]
