"""Where a track lies among others: parts of one vector, each of length 1 and weighted.

    tags     the recordings tagger's embedding (200), for renders of scores as well
    style    the embedding of the style CNN that hears renders (384), for recordings as well
    rhythm   how strongly onsets repeat at fractions and multiples of the beat (16), and the tempo on a circle (2): a
             tempo and its double lie together
    tonality strength of each degree of the scale above the tonic (12), the same in every key
    notes    of scores only: intervals, note lengths, register, density and roles (30); zeros for recordings

The weights are those that agreed best with labelled recordings (docs/library.md has the ablation). numpy only.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from melodygen.errors import LibraryError
from melodygen.library.chroma import NUM_BINS
from melodygen.library.lines import BREAK, STEPS_A_DOUBLING
from melodygen.music.score import Score

Floats = NDArray[np.float32]

WEIGHTS: Mapping[str, float] = {"tags": 1.0, "style": 0.5, "rhythm": 0.3, "tonality": 0.2, "notes": 0.3}
SIZES: Mapping[str, int] = {"tags": 200, "style": 384, "rhythm": 18, "tonality": 12, "notes": 30}
DIMENSION = sum(SIZES.values())
BEAT_FRACTIONS = (0.25, 1 / 3, 0.5, 2 / 3, 0.75, 1.0, 1.25, 4 / 3, 1.5, 5 / 3, 1.75, 2.0, 2.5, 3.0, 3.5, 4.0)
FRAMES_PER_SECOND = 25
USUAL_QPM = 110.0
STYLES_OF = "; styles of "


def fused(parts: Mapping[str, Floats], weights: Mapping[str, float] = WEIGHTS) -> Floats:
    """(D,) of length 1; a part that is missing is zeros, a part's own length does not count."""
    vector = np.zeros(DIMENSION, dtype=np.float32)
    at = 0
    for name, size in SIZES.items():
        part = parts.get(name)
        if part is not None:
            if part.shape != (size,) or not np.isfinite(part).all():
                raise LibraryError(
                    f"part {name!r} of a vector has shape {part.shape} or is not finite; expected ({size},)"
                )
            length = float(np.linalg.norm(part))
            vector[at : at + size] = weights.get(name, 0.0) * part / max(length, 1e-9)
        at += size
    length = float(np.linalg.norm(vector))
    return vector / length if length > 0 else vector


def rhythm_part(power: Floats, qpm: float | None) -> Floats:
    """(18,) from mel power (F, T) at 25 frames a second and the tempo; zeros where no tempo is known."""
    out = np.zeros(SIZES["rhythm"], dtype=np.float32)
    if qpm is None or power.shape[1] < 4 * FRAMES_PER_SECOND:
        return out
    level = np.log1p(1e4 * power / max(float(power.mean()), 1e-12))
    flux = np.maximum(np.diff(level, axis=1), 0).mean(axis=0)
    flux = flux - flux.mean()
    spectrum = np.abs(np.fft.rfft(flux, 2 * len(flux))) ** 2
    repeats = np.fft.irfft(spectrum)[: len(flux)]
    if repeats[0] <= 0:
        return out
    lags = np.array(BEAT_FRACTIONS) * 60.0 / qpm * FRAMES_PER_SECOND
    out[:-2] = np.interp(lags, np.arange(len(repeats)), repeats / repeats[0], right=0.0)
    turn = 2 * np.pi * np.log2(qpm / USUAL_QPM)
    out[-2:] = np.cos(turn) / 2, np.sin(turn) / 2
    return out


def tonality_part(chroma: Floats, key: tuple[int, str] | None, pitch_classes: Floats | None = None) -> Floats:
    """(12,): strength of each semitone above the tonic; from pitch class weights, else from chroma (T, 24)."""
    out = np.zeros(SIZES["tonality"], dtype=np.float32)
    if key is None:
        return out
    if pitch_classes is None:
        if not len(chroma):
            return out
        from_a = np.maximum(chroma, 0).mean(axis=0).reshape(NUM_BINS // 2, 2).sum(axis=1)
        pitch_classes = np.roll(from_a, 9)
    rolled = np.roll(pitch_classes, -key[0]).astype(np.float32)
    return np.asarray(rolled - rolled.mean(), dtype=np.float32)


def notes_part(score: Score, steps: NDArray[np.int8]) -> Floats:
    """(30,) of a score and its lines' steps."""
    out = np.zeros(SIZES["notes"], dtype=np.float32)
    pitched = [t for t in score.tracks if not t.is_drum and len(t)]
    inside = steps[steps[:, 0] != BREAK]
    if not pitched or not len(inside):
        return out
    intervals = np.bincount(np.minimum(np.abs(inside[:, 0].astype(int)), 12), minlength=13)
    out[:13] = np.sqrt(intervals / intervals.sum())
    lengths = np.bincount((inside[:, 1].astype(int) // STEPS_A_DOUBLING + 5).clip(0, 8), minlength=9)
    out[13:22] = np.sqrt(lengths / lengths.sum())
    pitches = np.concatenate([t.notes["pitch"] for t in pitched]).astype(float)
    quarters = max(score.end_tick / score.ticks_per_quarter, 1.0)
    drums = sum(len(t) for t in score.tracks if t.is_drum)
    chords = sum(len(t) for t in pitched) / max(
        1, sum(len(np.unique(t.notes["onset_tick"])) for t in pitched)
    )
    out[22:30] = (
        (pitches.mean() - 60) / 24, pitches.std() / 16, np.tanh(len(pitches) / quarters / 8), min(len(pitched), 8) / 8,
        np.tanh(drums / quarters / 4), np.tanh(chords - 1), float(inside[:, 0].astype(float).mean()) / 4,
        float(np.mean(inside[:, 0] == 0)),
    )  # fmt: skip
    return out


def with_styles(vectors: str, classifier_id: str) -> str:
    """The id of an embedder whose tracks have the styles of a classifier that its vectors do not hang on."""
    return f"{vectors}{STYLES_OF}{classifier_id}"


def vectors_of(embedder_id: str) -> str:
    """What of an embedder's id its vectors hang on."""
    return embedder_id.partition(STYLES_OF)[0]


__all__ = [
    "DIMENSION",
    "SIZES",
    "WEIGHTS",
    "fused",
    "notes_part",
    "rhythm_part",
    "tonality_part",
    "vectors_of",
    "with_styles",
]
