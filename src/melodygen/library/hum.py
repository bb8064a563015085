"""A hummed, whistled, sung or played tune, one note at a time -> a phrase.

Pitch comes from pYIN (Mauch & Dixon 2014, in librosa). Its contour is set to the singer's own tuning, cut where it
leaves a semitone for longer than a moment or falls silent, and each piece is a note. What is no pitch (breath, noise)
is left out.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from melodygen.errors import LibraryError
from melodygen.library.lines import MIN_NOTES, Phrase

SAMPLE_RATE = 16_000
FMIN_HZ, FMAX_HZ = 65.0, 1_500.0
HOP = 256
SILENCE_RMS = 10 ** (-55 / 20)
MIN_NOTE_SECONDS = 0.09
MAX_SECONDS = 60.0


def phrase_of_hum(mono: NDArray[np.float32]) -> Phrase:
    """(num_samples,) at 16 kHz, a minute at most. Raises LibraryError for silence, and for fewer than four notes."""
    mono = mono[: round(MAX_SECONDS * SAMPLE_RATE)]
    if not len(mono) or float(mono.std()) < SILENCE_RMS:
        raise LibraryError("the recording is silent: nothing was hummed")
    import librosa

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        hertz, voiced, _ = librosa.pyin(
            mono, fmin=FMIN_HZ, fmax=FMAX_HZ, sr=SAMPLE_RATE, hop_length=HOP, frame_length=2_048
        )
    notes = notes_of_contour(np.where(voiced, hertz, np.nan), HOP / SAMPLE_RATE)
    if len(notes) < MIN_NOTES:
        heard = "no note" if not notes else "one note" if len(notes) == 1 else f"{len(notes)} notes"
        raise LibraryError(
            f"{heard} can be made out in the recording; hum at least {MIN_NOTES}, each a little apart"
        )
    return Phrase(tuple(pitch for pitch, _ in notes), tuple(onset for _, onset in notes))


def notes_of_contour(hertz: NDArray[np.float64], frame_seconds: float) -> list[tuple[int, float]]:
    """(MIDI number, onset in seconds) of the notes of a pitch contour; NaN where there is no pitch."""
    pitch = 69 + 12 * np.log2(hertz / 440.0)
    sounding = ~np.isnan(pitch)
    if not sounding.any():
        return []
    # the singer's tuning: the mean direction of the distances to the nearest semitone
    turn = np.exp(2j * np.pi * pitch[sounding]).mean()
    pitch = pitch - float(np.angle(turn)) / (2 * np.pi)
    smooth = _median(pitch, 5)
    notes: list[tuple[int, float]] = []
    start: int | None = None
    for i in range(len(pitch) + 1):
        here = i < len(pitch) and bool(sounding[i])
        if start is not None and (not here or abs(smooth[i] - np.nanmedian(smooth[start:i])) > 0.7):
            if (i - start) * frame_seconds >= MIN_NOTE_SECONDS:
                notes.append((round(float(np.nanmedian(pitch[start:i]))), start * frame_seconds))
            start = None
        if here and start is None:
            start = i
    return notes


def _median(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    half = width // 2
    padded = np.pad(values, half, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, width)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # windows of silence alone
        return np.asarray(np.nanmedian(windows, axis=1))


__all__ = ["SAMPLE_RATE", "notes_of_contour", "phrase_of_hum"]
