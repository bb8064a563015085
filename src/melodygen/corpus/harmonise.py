"""Chord symbols from notes, where a source has no markers.

Template matching a half bar at a time (whole bars where the meter is not even): the duration-weighted pitch classes of
all pitched roles, the lowest note counted twice more, against chord templates; a change must earn its cost. Plain on
purpose: it only has to agree with the ear on clear harmony, and unclear harmony gets no symbol.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from melodygen.harmony import CHORD_QUALITIES
from melodygen.tokens.grid import PITCHED_ROLES, GridBar, Piece
from melodygen.tokens.vocabulary import CHORD_QUALITY_NAMES, DURATIONS

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


def harmonise(piece: Piece, change_cost: float = 0.12, least_fit: float = 0.72) -> Piece:
    """The piece with estimated chord changes; unchanged when it has symbols, or one voice only (no harmony to hear)."""
    if any(b.chords for b in piece.bars):
        return piece
    voices = [r for r in PITCHED_ROLES if r in piece.roles]
    notes = piece.num_notes(PITCHED_ROLES)
    onsets = sum(len({n[0] for n in b.parts.get(r, ())}) for b in piece.bars for r in voices)
    if not voices or (len(voices) == 1 and notes < 1.3 * max(onsets, 1)):
        return piece
    bars: list[GridBar] = []
    held: int | None = None
    ringing: list[tuple[int, int, int]] = []  # (end, pitch, start) relative to this bar
    for bar in piece.bars:
        size = bar.num_positions
        step = size // 2 if bar.meter[0] % 2 == 0 and size >= 36 else size
        sounding = [(start, end, pitch) for end, pitch, start in ringing if end > 0]
        for role in voices:
            for position, _, duration, pitch in bar.parts.get(role, ()):
                sounding.append((position, position + DURATIONS[duration], pitch))
        changes: list[tuple[int, int, int]] = []
        for begin in range(0, size, step):
            weights = np.zeros(12)
            lowest: tuple[int, float] | None = None
            for start, end, pitch in sounding:
                overlap = min(end, begin + step) - max(start, begin)
                if overlap <= 0:
                    continue
                amount = min(overlap, 24) * (1.5 if start == begin else 1.0)
                weights[pitch % 12] += amount
                if lowest is None or pitch < lowest[0]:
                    lowest = (pitch, amount)
            norm = np.linalg.norm(weights)
            if norm == 0 or lowest is None:
                continue
            weights[lowest[0] % 12] += lowest[1]
            fit = _TEMPLATES @ (weights / np.linalg.norm(weights)) + _PRIORS
            if held is not None:
                fit[held] += change_cost
            best = int(np.argmax(fit))
            if fit[best] < least_fit:
                continue
            if best != held:
                changes.append((begin, *_NAMES[best]))
                held = best
        ringing = [(end - size, pitch, start - size) for start, end, pitch in sounding if end > size]
        bars.append(replace(bar, chords=tuple(changes)))
    return replace(piece, bars=tuple(bars))
