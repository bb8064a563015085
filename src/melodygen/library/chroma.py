"""The fingerprint of sound: chroma in quarter tones, and patches of it that are the same in every key.

``chroma``   (T, 24): the spectrum between 80 and 2,000 Hz folded into 24 quarter tones, 7.8 frames a second. From
             each frame its mean is taken off, and from each bin its mean over the track, so that timbre and the key
             itself count little; frames have length 1. Stored as uint8: 128 + 127 x.
``patches``  (P, 78): the 2D Fourier transform of 4 s of chroma, magnitudes only, square root, length 1. A
             transposition rolls the bins and leaves the magnitudes as they are (Ellis & Bertin-Mahieux 2012: "Large-
             scale cover song recognition using the 2D Fourier transform magnitude"; there beat-synchronous, here with
             several tempi of the question).

Sound comes as mono at 8 kHz. A score's chroma is made of its notes with a falling overtone series, so that a MIDI file
and a recording of it can find each other.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.fft import rfft

from melodygen.music.score import Score

Floats = NDArray[np.float32]

SAMPLE_RATE = 8_000
N_FFT, HOP = 4_096, 1_024
FRAMES_PER_SECOND = SAMPLE_RATE / HOP
NUM_BINS = 24
FMIN_HZ, FMAX_HZ = 80.0, 2_000.0
PATCH_FRAMES, PATCH_HOP = 32, 8
_BIN_ORDERS, _TIME_ORDERS = 6, 6
PATCH_WIDTH = _BIN_ORDERS + 2 * _BIN_ORDERS * _TIME_ORDERS
MIN_FRAMES = 24
"""3 s: less is no fingerprint."""
MAX_SECONDS = 1_200.0
_OVERTONES = (1.0, 0.5, 0.35, 0.2, 0.15)
_FRAME_BLUR = (0.2, 0.7, 1.0, 0.7, 0.2)
_BIN_BLUR = (0.3, 1.0, 0.3)
_BLOCK_FRAMES = 2_048


@lru_cache(maxsize=1)
def _folding() -> tuple[NDArray[np.int64], Floats]:
    """(bins of the spectrum that count, their shares in the 24 quarter tones)."""
    hz = np.arange(N_FFT // 2 + 1) * SAMPLE_RATE / N_FFT
    kept = np.flatnonzero((hz >= FMIN_HZ) & (hz <= FMAX_HZ))
    place = np.log2(hz[kept] / 440.0) * NUM_BINS
    below = np.floor(place).astype(np.int64)
    share = (place - below).astype(np.float32)
    weights = np.zeros((len(kept), NUM_BINS), dtype=np.float32)
    rows = np.arange(len(kept))
    np.add.at(weights, (rows, below % NUM_BINS), 1 - share)
    np.add.at(weights, (rows, (below + 1) % NUM_BINS), share)
    return kept, weights / weights.sum(axis=0)


def chroma_of_sound(mono: Floats) -> Floats:
    """(num_samples,) at 8 kHz -> (T, 24) of ``MAX_SECONDS`` at most; empty for less than 3 s or silence."""
    mono = mono[: round(MAX_SECONDS * SAMPLE_RATE)]
    if len(mono) < MIN_FRAMES * HOP or float(np.abs(mono).max(initial=0.0)) < 1e-5:
        return np.zeros((0, NUM_BINS), dtype=np.float32)
    kept, weights = _folding()
    window = np.hanning(N_FFT).astype(np.float32)
    padded = np.pad(mono, N_FFT // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP]
    folded = []
    for start in range(0, len(frames), _BLOCK_FRAMES):
        spectrum = np.abs(rfft(frames[start : start + _BLOCK_FRAMES] * window, axis=1))[:, kept]
        folded.append(np.sqrt(spectrum).astype(np.float32) @ weights)
    return _levelled(np.concatenate(folded))


def chroma_of_score(score: Score) -> Floats:
    """(T, 24) of the pitched notes as they sound, drums left out; empty where there is too little. Frames before the
    first note are 0: a leading rest is no music that another piece could share."""
    seconds = min(score.duration_seconds, MAX_SECONDS)
    num_frames = int(seconds * FRAMES_PER_SECOND) + 1
    if num_frames < MIN_FRAMES:
        return np.zeros((0, NUM_BINS), dtype=np.float32)
    power = np.zeros((num_frames, NUM_BINS), dtype=np.float32)
    frames = np.arange(num_frames)
    for track in score.tracks:
        if track.is_drum:
            continue
        for note in track:
            first, last = (
                score.tick_to_seconds(tick) * FRAMES_PER_SECOND
                for tick in (note.onset_tick, note.offset_tick)
            )
            here = frames[int(first) : int(last) + 1]
            fading = (note.velocity / 127) * np.exp(-(here - int(first)) / (2 * FRAMES_PER_SECOND))
            for order, strength in enumerate(_OVERTONES, 1):
                # the bins count from A, as those of the spectrum do
                place = round((note.pitch - 69) * 2 + NUM_BINS * float(np.log2(order))) % NUM_BINS
                power[int(first) : int(last) + 1, place] += strength * fading[: len(here)]
    if not power.any():
        return np.zeros((0, NUM_BINS), dtype=np.float32)
    sounding = np.sqrt(_blurred(_blurred(power, _FRAME_BLUR, 0), _BIN_BLUR, 1))
    rest = leading_rest(sounding)
    if len(sounding) - rest < MIN_FRAMES:
        return np.zeros((0, NUM_BINS), dtype=np.float32)
    return np.concatenate((sounding[:rest], _levelled(sounding[rest:])))


def leading_rest(chroma: Floats) -> int:
    """How many frames of a chroma stand before the first that is not 0."""
    return int(np.argmax(chroma.any(axis=1))) if chroma.any() else len(chroma)


def _blurred(power: Floats, weights: tuple[float, ...], axis: int) -> Floats:
    """As the window of a spectrum spreads a note over frames and bins."""
    half = len(weights) // 2
    out = np.zeros_like(power)
    for offset, weight in zip(range(-half, half + 1), weights, strict=True):
        moved = np.roll(power, offset, axis)
        if axis == 0 and offset:  # time does not go round
            moved[slice(0, offset) if offset > 0 else slice(offset, None)] = 0
        out += weight * moved
    return out


def _levelled(folded: Floats) -> Floats:
    for axis in (1, 0):
        folded = folded - folded.mean(axis=axis, keepdims=True)
        folded = folded / (np.linalg.norm(folded, axis=1, keepdims=True) + 1e-3)
    return np.asarray(folded, dtype=np.float32)


def packed(chroma: Floats) -> NDArray[np.uint8]:
    """To be stored."""
    stored: NDArray[np.uint8] = np.rint(128 + 127 * chroma.clip(-1, 1)).astype(np.uint8)
    return stored


def unpacked(stored: NDArray[np.uint8]) -> Floats:
    """(T, 24) as it is stored -> as it was computed, to a 127th."""
    return np.asarray((stored.astype(np.float32) - 128) / 127, dtype=np.float32)


def at_tempo(chroma: Floats, ratio: float) -> Floats:
    """Played ``ratio`` times as long."""
    count = max(2, round(len(chroma) * ratio))
    place = np.linspace(0, len(chroma) - 1, count)
    below = np.minimum(place.astype(np.int64), len(chroma) - 2)
    share = (place - below).astype(np.float32)[:, None]
    result: Floats = chroma[below] * (1 - share) + chroma[below + 1] * share
    return result


def patches_of(chroma: Floats, hop: int = PATCH_HOP) -> Floats:
    """(T, 24) -> (P, 78); a track shorter than a patch is repeated to fill it."""
    if not len(chroma):
        return np.zeros((0, PATCH_WIDTH), dtype=np.float32)
    if len(chroma) < PATCH_FRAMES:
        chroma = np.resize(chroma, (PATCH_FRAMES, NUM_BINS))
    window = np.hanning(PATCH_FRAMES + 2)[1:-1].astype(np.float32)
    cut = (
        np.lib.stride_tricks.sliding_window_view(chroma, PATCH_FRAMES, axis=0)[::hop] * window
    )  # P, bins, frames
    magnitude = np.abs(np.fft.fft(np.fft.rfft(cut, axis=2), axis=1))
    orders = np.r_[1 : _BIN_ORDERS + 1, -_BIN_ORDERS:0]
    rows = np.concatenate(
        (
            magnitude[:, 1 : _BIN_ORDERS + 1, 0],
            magnitude[:, orders, 1 : _TIME_ORDERS + 1].reshape(len(magnitude), -1),
        ),
        axis=1,
    )
    rows = np.sqrt(rows)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(length, 1e-6), dtype=np.float32)


__all__ = [
    "FRAMES_PER_SECOND", "MIN_FRAMES", "NUM_BINS", "PATCH_WIDTH", "SAMPLE_RATE", "at_tempo", "chroma_of_score",
    "chroma_of_sound", "leading_rest", "packed", "patches_of", "unpacked",
]  # fmt: skip
