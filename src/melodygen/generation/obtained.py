"""What a piece has of what was asked for: density, syncopation, leaps, length of notes, introduction.

The figures are on the scale of the control, so that asked and obtained can be compared; ``closeness`` makes one figure
of them, by which the loop chooses among candidates that sound like the style.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from melodygen.errors import TokenError
from melodygen.generation.leaning import density_of, syncopated
from melodygen.music.score import Score, Track
from melodygen.request import STEP_SEMITONES, Request
from melodygen.styles.mixture import style_shares
from melodygen.tokens.grid import Piece, beat_positions, meter_positions, score_to_piece
from melodygen.tokens.vocabulary import POSITIONS_PER_QUARTER

LEAP_SEMITONES = 12.0
"""A leap that is so much wider than asked for is as far off as can be."""


def of_writing(score: Score, request: Request, kept: Collection[str], level: float) -> dict[str, float]:
    """Figures of the written parts on the grid, by control; of ``--track-density`` by control and role.

    Args:
        score: as it was written, not yet played.
        request: what was asked for.
        kept: roles that were given.
        level: median density level of the style.
    """
    if not (
        request.track_density
        or request.intro
        or any(getattr(request, n) is not None for n in ("density", "syncopation", "leap", "leap_share"))
    ):
        return {}
    try:
        piece = score_to_piece(score)
    except TokenError:  # nothing sounds
        return {}
    found: dict[str, float] = {}
    roles = [r for r in request.tracks if r not in kept]
    alone = {role for role, _ in request.track_density}
    overall = [_density(piece, role, level, request) for role in roles if role not in alone]
    if request.density is not None and overall:
        found["density"] = float(np.mean(overall))
    for role in roles:
        if role in alone:
            found[f"track_density {role}"] = _density(piece, role, level, request)
    pitched = [r for r in roles if r != "drums" and piece.num_notes((r,))]
    if request.syncopation is not None and pitched:
        found["syncopation"] = float(np.mean([syncopation(piece, role) for role in pitched]))
    melody = score.track_by_role("melody")
    if request.leap is not None and melody is not None and "melody" not in kept:
        found["leap"] = float(largest_leap(melody))
    if request.leap_share is not None and melody is not None and "melody" not in kept:
        found["leap_share"] = leap_share(melody)
    if request.intro:
        bars = [i for i, bar in enumerate(piece.bars) if bar.parts.get("melody")]
        found["intro"] = float(bars[0] if bars else len(piece.bars))
    return {name: round(value, 4) for name, value in found.items()}


def _density(piece: Piece, role: str, level: float, request: Request) -> float:
    onsets = sum(len({n[0] for n in bar.parts.get(role, ())}) for bar in piece.bars)
    positions = sum(meter_positions(bar.meter) for bar in piece.bars) / len(piece.bars)
    bars = max(request.bars, len(piece.bars)) - (request.intro if role == "melody" else 0)
    quarters = bars * positions / POSITIONS_PER_QUARTER
    return density_of(role, onsets / quarters, level)


def syncopation(piece: Piece, role: str) -> float:
    """Share of a part's onsets that lie off the beat with none on the beat after them, 0 to 1."""
    count = total = 0
    for bar, following in zip(piece.bars, (*piece.bars[1:], None), strict=True):
        onsets = sorted({n[0] for n in bar.parts.get(role, ())})
        beats = (*beat_positions(bar.meter), meter_positions(bar.meter))
        struck = following is not None and any(n[0] == 0 for n in following.parts.get(role, ()))
        count += syncopated(onsets, beats, struck)
        total += len(onsets)
    return count / total if total else 0.0


def largest_leap(track: Track) -> int:
    """The widest step from one onset's highest note to the next's, in semitones; 0 where there is none."""
    return int(_widths(track).max(initial=0))


def leap_share(track: Track) -> float:
    """Of the moves from one onset's highest note to another pitch: the share wider than a whole tone, 0 to 1."""
    widths = _widths(track)
    return float((widths > STEP_SEMITONES).sum() / max(1, (widths > 0).sum()))


def _widths(track: Track) -> NDArray[np.int64]:
    """Semitones from each onset's highest note to the next's."""
    tops: dict[int, int] = {}
    for note in track:
        tops[note.onset_tick] = max(note.pitch, tops.get(note.onset_tick, 0))
    return np.abs(np.diff(np.array([tops[tick] for tick in sorted(tops)], dtype=np.int64)))


def of_playing(score: Score, request: Request) -> dict[str, float]:
    """Figures of how a piece is played, by control."""
    if request.note_length is None:
        return {}
    kept = request.given_roles if request.given is not None else ()
    shares = [
        held_shares(t.notes) for t in score.tracks if not t.is_drum and t.role not in kept and len(t) > 1
    ]
    return {"note_length": round(float(np.median(np.concatenate(shares))), 4)} if shares else {}


def held_shares(notes: NDArray[np.void]) -> NDArray[np.float64]:
    """Of each note with another one behind it: the share of the time to the part's next onset that it sounds."""
    onsets = np.unique(notes["onset_tick"])
    at = np.searchsorted(onsets, notes["onset_tick"]) + 1
    inside = at < len(onsets)
    gap = onsets[at[inside]] - notes["onset_tick"][inside]
    return np.asarray(notes["duration_ticks"][inside] / gap, dtype=np.float64)


def closeness(obtained: Mapping[str, float], request: Request) -> float:
    """How near the figures are to what was asked for, 0 to 1; 1 where nothing was asked for."""
    asked = asked_figures(request)
    marks = []
    for name, value in obtained.items():
        off = abs(value - asked[name])
        if name == "leap":
            off = max(0.0, value - asked[name]) / LEAP_SEMITONES
        marks.append(max(0.0, 1.0 - off))
    return float(np.mean(marks)) if marks else 1.0


def asked_figures(request: Request) -> dict[str, float]:
    """What was asked for, by the names of the figures."""
    names = ("density", "syncopation", "leap", "leap_share", "note_length", "intro")
    single = {n: getattr(request, n) for n in names}
    found = {name: float(value) for name, value in single.items() if value is not None}
    shares = style_shares(request.style)
    styles = {f"style {name}": share for name, share in shares.items()} if len(shares) > 1 else {}
    return found | styles | {f"track_density {role}": value for role, value in request.track_density}


__all__ = [
    "asked_figures",
    "closeness",
    "held_shares",
    "largest_leap",
    "leap_share",
    "of_playing",
    "of_writing",
    "syncopation",
]
