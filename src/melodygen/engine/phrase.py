"""A phrase: whole bars of written music, and the same music as events on the host's timeline.

Times are in quarters. Notes never reach over the end of their phrase, so phrases can be repeated, cut at any
bar line and put in any order.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from melodygen.generation.performance import swung
from melodygen.generation.timing import deviations
from melodygen.live.playhead import Stretch
from melodygen.music.score import ROLES, Score
from melodygen.request import Request

SHORTEST_QUARTERS = 1.0 / 96


@dataclass(frozen=True, eq=False)
class Phrase:
    """A phrase that a writer wrote. ``style_probability`` is None where it was not classified; ``is_stored`` tells one
    that was written long before (``melodygen.engine.stored_opening``)."""

    score: Score
    request: Request
    seed: int = 0
    style_probability: float | None = None
    is_stored: bool = False

    @property
    def meter(self) -> tuple[int, int]:
        """Numerator and denominator."""
        first = self.score.time_signatures[0]
        return first.numerator, first.denominator

    @property
    def length_quarters(self) -> float:
        """Length in quarters."""
        return self.request.bars * self.score.time_signatures[0].bar_quarters

    @property
    def programs(self) -> dict[str, int]:
        """General MIDI program of each pitched role."""
        return {t.role: t.program for t in self.score.tracks if not t.is_drum}


@dataclass(frozen=True, eq=False)
class Placed(Stretch):
    """A phrase on the timeline, or a rest where ``phrase`` is None.

    ``voice`` is the index of a role in ``ROLES``; ``feel`` is swing and humanize.
    """

    phrase: Phrase | None = None
    feel: tuple[float, float] = (0.5, 0.0)


def place(phrase: Phrase, start: float, swing: float = 0.5, humanize: float = 0.0) -> Placed:
    """Return the events of a phrase that begins at ``start`` quarters. The same phrase and feel give the same
    events.
    """
    length = phrase.length_quarters
    per_quarter = phrase.score.ticks_per_quarter
    columns: list[NDArray[np.float64]] = []
    for track in phrase.score.tracks:
        role = ROLES.index("drums" if track.is_drum else track.role)
        notes = track.notes
        onset = notes["onset_tick"] / per_quarter
        end = onset + notes["duration_ticks"] / per_quarter
        rows = np.stack([onset, end, np.full(len(notes), role), notes["pitch"], notes["velocity"]])
        columns.append(rows)
    table = np.concatenate(columns, axis=1) if columns else np.zeros((5, 0))
    table = table[:, table[0] < length]
    onset, end = swung(table[0], swing), swung(table[1], swing)
    velocity = table[4].copy()
    if humanize > 0:
        rng = np.random.default_rng([phrase.seed, len(onset)])
        for role in np.unique(table[2]).astype(np.int64):
            own = table[2] == role
            shift, touch = deviations(table[0][own], ROLES[role], phrase.score.qpm, humanize, rng)
            onset[own] = (onset[own] + shift).clip(0.0, length - SHORTEST_QUARTERS)
            velocity[own] += touch
    end = np.minimum(np.maximum(end, onset + SHORTEST_QUARTERS), length)
    order = np.lexsort((table[3], table[2], onset))
    return Placed(
        start,
        start + length,
        start + onset[order],
        start + end[order],
        table[2][order].astype(np.int64),
        table[3][order].astype(np.int64),
        velocity[order].round().clip(1, 127).astype(np.int64),
        phrase,
        (swing, humanize),
    )


def rest(start: float, end: float) -> Placed:
    """Return a rest from ``start`` to ``end`` quarters."""
    return Placed(start, end)


def joined(first: Score, second: Score) -> Score:
    """Return ``second`` behind the last bar of ``first``, role by role; everything but the notes is that of
    ``first``.
    """
    shift, scale = first.bar_ticks()[-1], first.ticks_per_quarter / second.ticks_per_quarter
    tracks = {t.role: t for t in first.tracks}
    for track in second.tracks:
        notes = track.notes.copy()
        notes["onset_tick"] = np.rint(notes["onset_tick"] * scale) + shift
        notes["duration_ticks"] = np.maximum(1, np.rint(notes["duration_ticks"] * scale))
        if track.role in tracks:
            notes = np.concatenate([tracks[track.role].notes, notes])
        tracks[track.role] = replace(tracks.get(track.role, track), notes=notes)
    return replace(first, tracks=tuple(tracks.values()))


def without_roles(placed: Placed, roles: tuple[str, ...]) -> Placed:
    """Return the placed phrase without the notes of some roles."""
    keep = ~np.isin(placed.voice, [ROLES.index(role) for role in roles])
    columns = {n: getattr(placed, n)[keep] for n in ("onset", "offset", "voice", "pitch", "velocity")}
    return replace(placed, **columns)
