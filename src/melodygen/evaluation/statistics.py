"""Statistics of one piece, and of generated music against human music.

Everything is computed on a ``Piece`` (twelfths of a quarter), so that both sides are
measured on the same grid with the same code. A statistic that is not defined (a range without notes) is NaN and left
out of means.

Definitions follow muspy's metrics (Dong et al. 2020) for pitch-class entropy, scale consistency, empty bars and groove
consistency (Wu & Yang 2020; here with adjacent bars of one meter only, on pitched and drum onsets), and MGEval (Yang &
Lerch 2020) for pitch range, inter-onset intervals and the overlapping area. Departures: the overlapping area is that of
two Gaussian kernel estimates of the statistic itself, not of intra- and inter-set distances, so that it reads beside
means and deviations; and each stands beside the same figure for two samples of human music, its noise floor.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import gaussian_kde, wasserstein_distance

from melodygen.music.harmony import CHORD_QUALITIES
from melodygen.music.score import Score
from melodygen.tokens.grid import (
    GRID_ROLES,
    PITCHED_ROLES,
    GridBar,
    Piece,
    estimate_piece_key,
    score_to_piece,
    strong_positions,
)
from melodygen.tokens.vocabulary import CHORD_QUALITY_NAMES, DURATIONS, POSITIONS_PER_QUARTER

MAX_INTERVAL = 48
"""Inter-onset intervals of a whole note and more share the last bin."""
_MAJOR_SCALE = (0, 2, 4, 5, 7, 9, 11)
_SCALES = np.array([[(pc - tonic) % 12 in _MAJOR_SCALE for pc in range(12)] for tonic in range(12)])

Histogram = NDArray[np.float64]


def piece_of(score: Score, bars: int | None = None) -> Piece:
    """A generated Score on the grid. ``bars``: how many were asked for; what rings on beyond adds none, and silence at
    the end takes none away. Raises TokenError when there are no notes."""
    piece = score_to_piece(score)
    if bars is None:
        return piece
    kept = piece.bars[:bars]
    silent = GridBar(kept[-1].meter)
    return replace(piece, bars=kept + (silent,) * (bars - len(kept)))


def pitch_class_entropy(piece: Piece) -> float:
    """Bits, 0 to log2(12), over the notes of pitched roles."""
    counts = _pitch_classes(piece)
    if not counts.sum():
        return math.nan
    p = counts[counts > 0] / counts.sum()
    return float(-(p * np.log2(p)).sum())


def scale_consistency(piece: Piece) -> float:
    """Share of the notes that the best-fitting major scale (= natural minor scale) holds."""
    counts = _pitch_classes(piece)
    return float((_SCALES @ counts).max() / counts.sum()) if counts.sum() else math.nan


def groove_consistency(piece: Piece) -> float:
    """1 minus the mean share of grid positions at which the onsets of adjacent bars differ."""
    distances = []
    for before, bar in zip(piece.bars, piece.bars[1:], strict=False):
        if before.meter == bar.meter:
            distances.append(len(_onsets(before) ^ _onsets(bar)) / bar.num_positions)
    return 1.0 - float(np.mean(distances)) if distances else math.nan


def chord_tone_share(piece: Piece) -> float:
    """Share of melody onsets on strong positions whose pitch class belongs to the chord symbol in force."""
    hits = total = 0
    chord: frozenset[int] = frozenset()
    for bar in piece.bars:
        strong = strong_positions(bar.meter)
        for note in bar.parts.get("melody", ()):
            if note[0] in strong:
                at_note = _chord_at(bar, note[0], chord)
                if at_note:
                    total += 1
                    hits += note[3] % 12 in at_note
        chord = _chord_at(bar, bar.num_positions, chord)
    return hits / total if total else math.nan


def repeated_bars(piece: Piece) -> float:
    """Share of the sounding bars whose onsets and pitches, all roles together, came before in the piece."""
    seen: set[frozenset[tuple[str, int, int]]] = set()
    repeats = count = 0
    for bar in piece.bars:
        content = _content(bar)
        if content:
            count += 1
            repeats += content in seen
            seen.add(content)
    return repeats / count if count else math.nan


def self_similarity(piece: Piece) -> float:
    """Mean Jaccard index of (role, position, pitch) over all pairs of sounding bars."""
    contents = [c for c in map(_content, piece.bars) if c]
    values = [len(a & b) / len(a | b) for i, a in enumerate(contents) for b in contents[i + 1 :]]
    return float(np.mean(values)) if values else math.nan


def rhythm_histogram(piece: Piece, role: str = "melody") -> Histogram:
    """Shares of inter-onset intervals in twelfths of a quarter, 1 to 48 and more; zeros where there are none."""
    onsets: list[int] = []
    at = 0
    for bar in piece.bars:
        onsets += [at + position for position in sorted({n[0] for n in bar.parts.get(role, ())})]
        at += bar.num_positions
    intervals = np.minimum(np.diff(np.asarray(onsets, dtype=np.int64)), MAX_INTERVAL)
    counts = np.bincount(intervals, minlength=MAX_INTERVAL + 1)[1:].astype(float)
    return counts / counts.sum() if counts.sum() else counts


def histogram_distance(a: Histogram, b: Histogram) -> float:
    """Total variation, 0 (same) to 1 (nothing in common), of two histograms brought to sum 1."""
    return float(0.5 * np.abs(a / a.sum() - b / b.sum()).sum()) if a.sum() and b.sum() else math.nan


def statistics(piece: Piece) -> dict[str, float]:
    """All scalar statistics of a piece by name."""
    bars = len(piece.bars)
    quarters = sum(b.num_positions for b in piece.bars) / POSITIONS_PER_QUARTER
    result = {
        "pitch-class entropy": pitch_class_entropy(piece),
        "scale consistency": scale_consistency(piece),
        "notes a quarter": piece.num_notes() / quarters,
        "silent bars": sum(not _content(b) for b in piece.bars) / bars,
        "silent bars, melody": math.nan,
        "groove consistency": groove_consistency(piece),
        "chord tones on strong beats": chord_tone_share(piece),
        "repeated bars": repeated_bars(piece),
        "bar self-similarity": self_similarity(piece),
    }
    if "melody" in piece.roles:
        result["silent bars, melody"] = sum(not b.parts.get("melody") for b in piece.bars) / bars
    for role in ("melody", "chords", "bass", "drums"):
        count = piece.num_notes((role,))
        result[f"notes a bar, {role}"] = count / bars if count else math.nan
    for role in ("melody", "chords", "bass"):
        pitches = [n[3] for b in piece.bars for n in b.parts.get(role, ())]
        result[f"range, {role}"] = float(max(pitches) - min(pitches)) if pitches else math.nan
    return result


def ending(piece: Piece) -> dict[str, float]:
    """How a piece ends, each 0 or 1, NaN where it cannot be said. The tonic is that of the key estimated from the
    notes, on both sides of a comparison.

    ``cut notes`` is the share of the pitched notes in the last bar that ring on over the closing bar line.
    """
    key = estimate_piece_key(piece.bars)
    final: frozenset[int] = frozenset()
    for bar in piece.bars:
        final = _chord_at(bar, bar.num_positions, final)
    last = piece.bars[-1]
    notes = [n for r in PITCHED_ROLES for n in last.parts.get(r, ())]
    over = sum(n[0] + DURATIONS[n[2]] > last.num_positions for n in notes)
    result = {"last bar sounds": float(bool(notes)), "cut notes": over / len(notes) if notes else math.nan}
    for role, pick in (("melody", max), ("bass", min)):
        pitch = _last_pitch(piece, role, pick)
        result[f"{role} ends on tonic"] = (
            math.nan if pitch is None or key is None else float(pitch % 12 == key[0])
        )
        result[f"{role} ends in chord"] = (
            math.nan if pitch is None or not final else float(pitch % 12 in final)
        )
    return result


@dataclass(frozen=True)
class Comparison:
    """One statistic of generated and human music. ``overlap``: 1 means the same distribution. ``distance``:
    Wasserstein, in human standard deviations. ``human_overlap``: of two human samples, what can be reached."""

    name: str
    generated_mean: float
    generated_std: float
    human_mean: float
    human_std: float
    overlap: float
    distance: float
    human_overlap: float


def compare(
    generated: Sequence[Mapping[str, float]],
    human: Sequence[Mapping[str, float]],
    first_half: Sequence[bool] = (),
) -> list[Comparison]:
    """Each statistic that both sides have. ``first_half`` parts the human rows in two for the noise floor; no piece
    should have windows in both halves."""
    rows = []
    one = [row for row, first in zip(human, first_half, strict=False) if first]
    two = [row for row, first in zip(human, first_half, strict=False) if not first]
    for name in human[0] if human else ():
        ours, theirs = _column(generated, name), _column(human, name)
        if not len(ours) or not len(theirs):
            continue
        spread = float(theirs.std())
        distance = float(wasserstein_distance(ours, theirs)) / spread if spread > 0 else math.nan
        rows.append(
            Comparison(
                name, float(ours.mean()), float(ours.std()), float(theirs.mean()), spread,
                overlapping_area(ours, theirs), distance, overlapping_area(_column(one, name), _column(two, name)),
            )
        )  # fmt: skip
    return rows


def overlapping_area(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Area under the lower of two Gaussian kernel estimates, 0 to 1; NaN with fewer than three values.

    Where a side is constant a kernel does not exist: then the share of equal values is given.
    """
    if min(len(a), len(b)) < 3:
        return math.nan
    if a.std() < 1e-9 or b.std() < 1e-9:
        values = np.union1d(a, b)
        return float(sum(min((a == v).mean(), (b == v).mean()) for v in values))
    low, high = min(a.min(), b.min()), max(a.max(), b.max())
    margin = 3 * max(a.std(), b.std())
    grid = np.linspace(low - margin, high + margin, 1000)
    lower = np.minimum(gaussian_kde(a)(grid), gaussian_kde(b)(grid))
    return float(min(1.0, np.trapezoid(lower, grid)))


def _column(rows: Sequence[Mapping[str, float]], name: str) -> NDArray[np.float64]:
    values = np.array([r[name] for r in rows], dtype=float)
    return np.asarray(values[np.isfinite(values)])


def _pitch_classes(piece: Piece) -> NDArray[np.int64]:
    pitches = [n[3] for b in piece.bars for r in PITCHED_ROLES for n in b.parts.get(r, ())]
    return np.asarray(np.bincount(np.array(pitches, dtype=int) % 12, minlength=12))


def _onsets(bar: GridBar) -> set[int]:
    return {n[0] for r in GRID_ROLES for n in bar.parts.get(r, ())}


def _content(bar: GridBar) -> frozenset[tuple[str, int, int]]:
    """Role, onset, and pitch or drum of every note."""
    return frozenset(
        (role, n[0], n[1] if role == "drums" else n[3])
        for role in GRID_ROLES
        for n in bar.parts.get(role, ())
    )


def _chord_at(bar: GridBar, position: int, held: frozenset[int]) -> frozenset[int]:
    """Pitch classes of the chord in force at ``position``; ``held`` is the one from before the bar, empty for none."""
    for at, root, quality in bar.chords:
        if at > position:
            break
        intervals = () if root < 0 else CHORD_QUALITIES[CHORD_QUALITY_NAMES[quality]]
        held = frozenset((root + i) % 12 for i in intervals)
    return held


def _last_pitch(piece: Piece, role: str, pick: object) -> int | None:
    """The top (``max``) or lowest (``min``) note of the role's last onset."""
    assert callable(pick)
    for bar in reversed(piece.bars):
        notes = bar.parts.get(role, ())
        if notes:
            at = max(n[0] for n in notes)
            return int(pick(n[3] for n in notes if n[0] == at))
    return None
