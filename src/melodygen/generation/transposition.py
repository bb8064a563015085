"""A piece moved to another key, with every part inside the range of its instrument."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from melodygen.music.score import Score, Track, note_array


def in_key(score: Score, semitones: int, ranges: Mapping[str, tuple[int, int]]) -> Score:
    """Return the score moved by -5 to 6 semitones.

    A part that would leave its range goes the other way round the octave, where that keeps more of its notes inside;
    single notes that still lie outside are moved by octaves.

    Args:
        score: the music.
        semitones: by how many it is moved.
        ranges: lowest and highest MIDI number of each role.
    """
    if not semitones:
        return score
    limits = {role: ranges.get(role, (0, 127)) for role in {t.role for t in score.tracks}}
    moved = replace(score, tracks=()).transposed(semitones)
    tracks = [t if t.is_drum else _moved(t, semitones, *limits[t.role]) for t in score.tracks]
    return replace(moved, tracks=tuple(tracks))


def _moved(track: Track, semitones: int, low: int, high: int) -> Track:
    pitches = track.notes["pitch"].astype(np.int64)

    def outside(shift: int) -> tuple[int, int]:
        return int(((pitches + shift < low) | (pitches + shift > high)).sum()), abs(shift)

    shift = min((semitones, semitones - 12, semitones + 12), key=outside)
    pitches = pitches + shift
    pitches = np.where(pitches < low, pitches + 12 * -((pitches - low) // 12), pitches)
    pitches = np.where(pitches > high, pitches - 12 * -((high - pitches) // 12), pitches)
    notes = track.notes.copy()
    notes["pitch"] = pitches.clip(0, 127)
    return replace(track, notes=note_array(notes))


__all__ = ["in_key"]
