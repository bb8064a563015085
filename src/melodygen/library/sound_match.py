"""Which recording is this, or whose music: candidates by patches, then chroma laid over chroma.

1.  The question's patches, at ``SEARCH_RATIOS`` tempi, are compared with every patch of the library (exact, float16);
    tracks whose patches come nearest are candidates.
2.  Each candidate's chroma is correlated with the question's at all lags and all 24 transpositions at once (2D FFT),
    for each of ``RATIOS`` tempi. The strength of a match is the correlation summed over the overlap, over the square
    root of its frames: chance gives it the same spread whatever the length.
3.  Along the best lag, the stretch is kept that stands out (maximum sum over a floor): from where to where.

Strong tempo changes inside a piece break the straight line of step 2 into shorter ones; the longest is reported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from melodygen.library.chroma import (
    FRAMES_PER_SECOND,
    MIN_FRAMES,
    NUM_BINS,
    at_tempo,
    leading_rest,
    patches_of,
)
from melodygen.library.match import Match
from melodygen.library.rows import CHUNK_ROWS, Rows

Floats = NDArray[np.float32]

SEARCH_RATIOS = (0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.17)
RATIOS = (0.8, 0.83, 0.865, 0.9, 0.93, 0.965, 1.0, 1.035, 1.075, 1.11, 1.15, 1.2, 1.25)
THRESHOLD = 4.8
"""Of ``Match.strength``; below, nothing is reported. Set where 73 recordings that are not in a library of 120 were not
found there (at most 4.61), and damaged copies of those that are there were (at least 4.95)."""
_FINE = (-0.018, -0.012, -0.006, 0.006, 0.012, 0.018)
CANDIDATES = 60
MAX_PATCHES = 8
"""Of the question, evenly spread: more cost time and find nothing more."""
FLOOR = 0.35
"""Likeness of frames that one would meet by chance; what lies above it counts towards a stretch."""
_NEAREST = 3


@dataclass(frozen=True)
class _Laid:
    """Where two chromas lie best over each other."""

    strength: float
    shift: int
    lag: int
    ratio: float


def candidates(question: Floats, patches: Rows, count: int = CANDIDATES) -> list[int]:
    """The ids of the ``count`` tracks whose patches come nearest to those of a chroma (T, 24), nearest first."""
    question = question[leading_rest(question) :]
    if not len(patches.matrix) or len(question) < MIN_FRAMES:
        return []
    step = max(1, len(question) // MAX_PATCHES)
    asked = [patches_of(at_tempo(question, ratio), step)[:MAX_PATCHES] for ratio in SEARCH_RATIOS]
    size = min(len(rows) for rows in asked)
    questions = np.concatenate([rows[:size] for rows in asked])
    owner = patches.span_of_rows()
    best = np.full((len(questions), len(patches.first) + 1), -1.0, dtype=np.float32)
    for start in range(0, len(patches.matrix), CHUNK_ROWS):
        found = questions @ np.asarray(patches.matrix[start : start + CHUNK_ROWS], dtype=np.float32).T
        whose = owner[start : start + CHUNK_ROWS]
        edges = np.flatnonzero(np.concatenate(([True], whose[1:] != whose[:-1])))
        there = whose[edges]
        best[:, there] = np.maximum(best[:, there], np.maximum.reduceat(found, edges, axis=1))
    best = best[:, :-1]
    by_ratio = best.reshape(len(SEARCH_RATIOS), size, -1)
    nearest = min(_NEAREST, size)
    near = np.sort(by_ratio, axis=1)[:, -nearest:].mean(axis=1).max(axis=0)
    return [int(patches.track[i]) for i in np.argsort(-near, kind="stable")[:count]]


def match_sound(question: Floats, tracks: Mapping[int, Floats], threshold: float = THRESHOLD) -> list[Match]:
    """Matches of a chroma with candidates' chromas, strongest first."""
    if len(question) < MIN_FRAMES:
        return []
    asked = {ratio: at_tempo(question, ratio) for ratio in RATIOS}
    found = []
    for track_id, chroma in tracks.items():
        if len(chroma) < MIN_FRAMES:
            continue
        laid = max((_lay(q, chroma, ratio) for ratio, q in asked.items()), key=lambda m: m.strength)
        if laid.strength < threshold:
            continue
        near = [laid.ratio * (1 + off) for off in _FINE]
        laid = max(laid, *(_lay(at_tempo(question, r), chroma, r) for r in near), key=lambda m: m.strength)
        found.append(_match(track_id, at_tempo(question, laid.ratio), chroma, laid))
    return sorted(found, key=lambda match: -match.strength)


def _lay(asked: Floats, chroma: Floats, ratio: float) -> _Laid:
    """All lags and transpositions by one correlation. An overlap of less than 3 s, or than 60 % of the shorter for
    short ones, is none."""
    size = fft.next_fast_len(len(asked) + len(chroma) - 1, real=True)
    product = fft.rfft2(chroma.T, (NUM_BINS, size)) * np.conj(fft.rfft2(asked.T, (NUM_BINS, size)))
    table = fft.irfft2(product, (NUM_BINS, size))
    lags = np.arange(-len(asked) + 1, len(chroma))
    overlap = np.minimum(len(chroma), lags + len(asked)) - np.maximum(0, lags)
    enough = overlap >= max(MIN_FRAMES, min(0.6 * min(len(asked), len(chroma)), 10 * FRAMES_PER_SECOND))
    if not enough.any():
        return _Laid(0.0, 0, 0, ratio)
    lags, overlap = lags[enough], overlap[enough]
    scores = table[:, lags % size] / np.sqrt(
        overlap * ratio
    )  # a slower question has more frames, not more music
    shift, at = np.unravel_index(int(np.argmax(scores)), scores.shape)
    return _Laid(float(scores[shift, at]), int(shift), int(lags[at]), ratio)


def _match(track_id: int, asked: Floats, chroma: Floats, laid: _Laid) -> Match:
    first = max(0, laid.lag)
    last = min(len(chroma), laid.lag + len(asked))
    alike = (np.roll(asked[first - laid.lag : last - laid.lag], laid.shift, axis=1) * chroma[first:last]).sum(
        axis=1
    )
    begin, end = longest_stretch(alike - FLOOR)
    shift = laid.shift if laid.shift <= NUM_BINS // 2 else laid.shift - NUM_BINS
    seconds = laid.ratio * FRAMES_PER_SECOND
    return Match(
        track_id=track_id,
        question_start=(first - laid.lag + begin) / seconds,
        question_end=(first - laid.lag + end) / seconds,
        track_start=(first + begin) / FRAMES_PER_SECOND,
        track_end=(first + end) / FRAMES_PER_SECOND,
        semitones=shift * 12 / NUM_BINS,
        tempo_ratio=laid.ratio,
        likeness=float(alike[begin:end].mean()),
        strength=laid.strength,
    )


def longest_stretch(gain: NDArray[np.floating]) -> tuple[int, int]:
    """(begin, end) of the run whose sum is largest (Kadane 1984); at least one long."""
    total = np.concatenate(([0.0], np.cumsum(gain)))
    lowest = np.minimum.accumulate(total[:-1])
    end = int(np.argmax(total[1:] - lowest)) + 1
    begin = int(np.argmin(total[:end]))
    return begin, end


__all__ = ["CANDIDATES", "THRESHOLD", "candidates", "longest_stretch", "match_sound"]
