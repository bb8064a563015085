"""How written music is played: length of notes, swing, and small deviations of time and touch.

The loop applies it to whole pieces (``perform``), the engine to phrases on its timeline.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from melodygen.generation.articulation import held
from melodygen.generation.dynamics import shape
from melodygen.generation.ending import with_ending
from melodygen.generation.timing import deviations
from melodygen.music.score import Score, note_array
from melodygen.request import Request

Floats = NDArray[np.float64]


def swung(quarters: Floats, swing: float) -> Floats:
    """Times in quarters, bent so that the middle of each quarter falls at ``swing``.

    0.5 leaves them, 2/3 is triplet swing.
    """
    whole = np.floor(quarters)
    part = quarters - whole
    bent = np.where(part < 0.5, part * 2 * swing, swing + (part - 0.5) * 2 * (1 - swing))
    return np.asarray(whole + bent)


def perform(score: Score, request: Request, seed: int) -> Score:
    """The score with dynamics, and with swing, humanizing and ending of the request. The same seed gives the same
    performance.

    Notes that were given stay as they are, and so does the end of a given piece.
    """
    played = _played(score, request, seed)
    return played if request.given is not None else with_ending(played, request.ending)


def _played(score: Score, request: Request, seed: int) -> Score:
    given = request.given.tracks if request.given is not None else ()
    kept = {row.tobytes() for track in given for row in track.notes}
    if not (request.flat or request.raw):
        score = _with_dynamics(score, kept, seed)
    if request.note_length is not None:
        score = _articulated(score, request.note_length, kept)
    if request.swing == 0.5 and request.humanize == 0.0:
        return score
    rng = np.random.default_rng([seed, score.num_notes])
    bars = score.bar_ticks()
    last = bars[-1]
    if request.fill is not None:
        last = bars[min(sum(request.fill), len(bars) - 1)]
    tracks = []
    for track in score.tracks:
        mask = np.array([row.tobytes() not in kept for row in track.notes], dtype=bool)
        notes = track.notes.copy()
        role = "drums" if track.is_drum else track.role
        notes[mask] = _performed(notes[mask], role, request, score, last, rng)
        tracks.append(replace(track, notes=note_array(notes)))
    return replace(score, tracks=tuple(tracks))


def _with_dynamics(score: Score, kept: set[bytes], seed: int) -> Score:
    """The score with dynamics in parts that were written with one velocity and hold nothing that was given."""
    bars = score.bar_ticks()
    tracks = []
    for index, track in enumerate(score.tracks):
        if not track.is_drum and not any(row.tobytes() in kept for row in track.notes):
            rng = np.random.default_rng([seed, 23, index])
            shaped = shape(track.notes, track.role, score.ticks_per_quarter, bars, rng)
            track = replace(track, notes=note_array(shaped))  # noqa: PLW2901
        tracks.append(track)
    return replace(score, tracks=tuple(tracks))


def _articulated(score: Score, share: float, kept: set[bytes]) -> Score:
    """The score with the notes of pitched parts held so long; what was given stays."""
    tracks = []
    for track in score.tracks:
        notes = track.notes.copy()
        mask = np.array([row.tobytes() not in kept for row in notes], dtype=bool)
        if not track.is_drum and mask.any():
            notes["duration_ticks"][mask] = held(notes, share, score.ticks_per_quarter)[mask]
        tracks.append(replace(track, notes=note_array(notes)))
    return replace(score, tracks=tuple(tracks))


def _performed(
    notes: NDArray[np.void],
    role: str,
    request: Request,
    score: Score,
    end_tick: int,
    rng: np.random.Generator,
) -> NDArray[np.void]:
    ticks_per_quarter = score.ticks_per_quarter
    onset = swung(notes["onset_tick"] / ticks_per_quarter, request.swing)
    end = swung((notes["onset_tick"] + notes["duration_ticks"]) / ticks_per_quarter, request.swing)
    if request.humanize > 0:
        written = notes["onset_tick"] / ticks_per_quarter
        shift, touch = deviations(written, role, score.qpm, request.humanize, rng)
        onset = onset + shift
        notes["velocity"] = (notes["velocity"] + touch).round().clip(1, 127)
    onset_tick = np.rint(onset * ticks_per_quarter).clip(0, end_tick - 1)
    end_tick_of = np.minimum(np.rint(end * ticks_per_quarter), end_tick)
    notes["onset_tick"] = onset_tick
    notes["duration_ticks"] = np.maximum(end_tick_of - onset_tick, 1)
    return notes
