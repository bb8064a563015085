"""Chord symbols from notes, for music that has none.

Template matching in half bars (whole bars where the meter is not even). The duration-weighted pitch classes
of all pitched roles, with the lowest note weighted three times, are compared with chord templates; a change
of chord has a cost. The method is simple on purpose: it only has to agree with the ear on clear harmony, and
unclear harmony gets no symbol.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from melodygen.music.harmony import CHORD_QUALITIES
from melodygen.tokens.columns import DRUM_ROLE, Columns, Ints
from melodygen.tokens.grid import Piece, piece_to_columns
from melodygen.tokens.vocabulary import CHORD_QUALITY_NAMES, DURATIONS, METERS, SEGMENT_ROLES

_QUALITIES = ("maj", "min", "7", "min7", "maj7", "dim", "dim7", "hdim7", "aug", "sus4")
_PRIOR = {"maj": 0.05, "min": 0.04, "7": 0.02, "min7": 0.0, "maj7": -0.02, "dim": -0.02, "dim7": -0.03,
          "hdim7": -0.03, "aug": -0.06, "sus4": -0.06}  # fmt: skip


def _templates() -> tuple[NDArray[np.float64], list[tuple[int, int]], NDArray[np.float64]]:
    rows, names, prior = [], [], []
    for quality in _QUALITIES:
        for root in range(12):
            row = np.zeros(12)
            for rank, interval in enumerate(CHORD_QUALITIES[quality]):
                row[(root + interval) % 12] = 1.2 if rank == 0 else 0.8 if rank == 3 else 1.0
            rows.append(row / np.linalg.norm(row))
            names.append((root, CHORD_QUALITY_NAMES.index(quality)))
            prior.append(_PRIOR[quality])
    return np.array(rows), names, np.array(prior)


_TEMPLATES, _NAMES, _PRIORS = _templates()
_DURATIONS = np.array(DURATIONS, dtype=np.int64)
_BEATS = np.array([m[0] for m in METERS])


def harmonise(piece: Piece) -> Piece:
    """Return the piece with estimated chord symbols.

    A piece that has symbols, or only one voice (which shows no harmony), is returned unchanged.
    """
    table = piece_to_columns(piece)
    found = chord_changes(table)
    if found is table.chords:
        return piece
    lines: list[list[tuple[int, int, int]]] = [[] for _ in piece.bars]
    for bar, at, root, quality in found.tolist():
        lines[bar].append((at, root, quality))
    bars = (replace(b, chords=tuple(line)) for b, line in zip(piece.bars, lines, strict=True))
    return replace(piece, bars=tuple(bars))


def chord_changes(table: Columns, change_cost: float = 0.12, least_fit: float = 0.72) -> Ints:
    """Return estimated chord symbols as rows (bar, position, root, quality).

    A table that has symbols, or only one voice, gives back its own.

    Args:
        table: the piece.
        change_cost: by how much a new chord must fit better than the old one (cosine similarity).
        least_fit: smallest fit that gets a symbol.
    """
    pitched = np.flatnonzero(table.role != DRUM_ROLE)
    onset = table.bar_starts[table.bar[pitched]] + table.at[pitched]
    onsets = int((np.diff(onset * len(SEGMENT_ROLES) + table.role[pitched], prepend=-1) != 0).sum())
    one_voice = len(table.roles) - ("drums" in table.roles) == 1
    if len(table.chords) or not len(pitched) or (one_voice and len(pitched) < 1.3 * max(onsets, 1)):
        return table.chords
    bars, places, weights = _span_weights(table, pitched, onset)
    fit = weights @ _TEMPLATES.T + _PRIORS
    best = fit.argmax(axis=1)
    top = fit[np.arange(len(fit)), best]
    close = (fit > top[:, None] - 1e-9).sum(axis=1) > 1
    held = -1
    rows: list[tuple[int, int, int, int]] = []
    for index, (chosen, value, tied) in enumerate(
        zip(best.tolist(), top.tolist(), close.tolist(), strict=True)
    ):
        if held >= 0 or tied:
            kept = fit.item(index, held) + change_cost if held >= 0 else -1.0
            if tied or abs(kept - value) < 1e-9:
                # rounding decides between equals: one product at a time, so that it decides the same everywhere
                alone = _TEMPLATES @ weights[index] + _PRIORS
                if held >= 0:
                    alone[held] += change_cost
                chosen = int(np.argmax(alone))  # noqa: PLW2901
                value = float(alone[chosen])  # noqa: PLW2901
            elif kept > value:
                chosen, value = held, kept  # noqa: PLW2901
        if value >= least_fit and chosen != held:
            rows.append((bars[index], places[index], *_NAMES[chosen]))
            held = chosen
    return np.array(rows, dtype=np.int64).reshape(-1, 4)


def _span_weights(
    table: Columns, pitched: Ints, onset: Ints
) -> tuple[list[int], list[int], NDArray[np.float64]]:
    """Return bar, position and pitch-class weights (N, 12) of each half bar (or whole bar) in which notes sound.

    Args:
        table: the piece.
        pitched: indices of its pitched notes.
        onset: onset of each of them, in positions from the beginning of the piece.
    """
    # spans: half bars, or whole ones
    size = np.diff(table.bar_starts)
    halved = (_BEATS[table.meters] % 2 == 0) & (size >= 36)
    bar = np.repeat(np.arange(table.num_bars), 1 + halved)
    step = np.where(halved, size // 2, size)[bar]
    begin = np.cumsum(step) - step
    # each note in each span that it sounds in
    end = onset + _DURATIONS[table.duration[pitched]]
    first = np.searchsorted(begin, onset, side="right") - 1
    count = np.searchsorted(begin, end) - first
    note = np.repeat(np.arange(len(pitched)), count)
    span = first[note] + np.arange(len(note)) - np.repeat(np.cumsum(count) - count, count)
    overlap = np.minimum(end[note], (begin + step)[span]) - np.maximum(onset[note], begin[span])
    amount = np.minimum(overlap, 24) * np.where(onset[note] == begin[span], 1.5, 1.0)
    pitch = table.pitch[pitched][note]
    weights = np.bincount(span * 12 + pitch % 12, amount, len(begin) * 12).reshape(-1, 12)
    order = np.argsort(span * 128 + pitch, kind="stable")
    lowest = order[np.diff(span[order], prepend=-1) > 0]
    sounding = span[lowest]
    weights[sounding, pitch[lowest] % 12] += amount[lowest]
    weights = weights[sounding]  # halves and wholes: sums of squares are exact
    weights /= np.sqrt((weights * weights).sum(axis=1, keepdims=True))
    return bar[sounding].tolist(), (begin - table.bar_starts[bar])[sounding].tolist(), weights
