"""MIDI and score files for the classifier: read, and cut to a stretch from the middle.

Tempo and meter are what is in force longest; the key is read from notes and signature (:mod:`melodygen.music.key`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from melodygen.analysis.rhythm import Rhythm
from melodygen.data.scan import dominant_meter, dominant_qpm, prepare_score
from melodygen.errors import MidiReadError
from melodygen.io.formats import MIDI_SUFFIXES
from melodygen.io.read import is_notation, read_score
from melodygen.music.key import key_of
from melodygen.music.score import Score, Tempo, Track, note_array

STRETCH_SECONDS = 60.0
MAX_SECONDS = 36_000.0
TICKS = 480


def is_symbolic(path: Path) -> bool:
    """By the first bytes for MIDI, whatever its name, by the suffix for notation."""
    if is_notation(path):
        return True
    try:
        with path.open("rb") as stream:
            head = stream.read(12)
    except OSError:
        return path.suffix.lower() in MIDI_SUFFIXES
    if head[:4] == b"MThd" or (head[:4] == b"RIFF" and head[8:] == b"RMID"):
        return True
    return path.suffix.lower() in MIDI_SUFFIXES and head[:4] not in (b"RIFF", b"fLaC", b"OggS")


def read_symbolic(path: Path, warnings: list[str] | None = None, keep_start: bool = False) -> Score:
    """The score of a file as classifiers know scores; what had to be mended is added to ``warnings``. Bars of silence
    at the front are cut off unless ``keep_start``: where times are told, they are those of the file.

    Raises MidiReadError with the reason, or that there is no note in it.
    """
    score = read_score(path, warnings)
    if not score.num_notes:
        raise MidiReadError(f"{path.name}: no note in the file")
    score = prepare_score(score, keep_start=keep_start)
    if score.duration_seconds > MAX_SECONDS:
        raise MidiReadError(
            f"{path.name}: lasts {score.duration_seconds / 3600:.0f} hours, "
            f"more than the limit of {MAX_SECONDS / 3600:.0f}"
        )
    return score


def stretch(score: Score, seconds: float = STRETCH_SECONDS) -> Score:
    """``seconds`` from the middle of a score; one that is shorter stays as it is."""
    total = score.duration_seconds
    if total <= seconds:
        return score
    first, last = (total - seconds) / 2, (total + seconds) / 2
    ticks = np.array([t.tick for t in score.tempos])
    pace = np.array([60.0 / (t.qpm * score.ticks_per_quarter) for t in score.tempos])
    base = np.concatenate(([0.0], np.cumsum(np.diff(ticks) * pace[:-1])))

    def at(tick: NDArray[np.int64]) -> NDArray[np.float64]:
        index = np.searchsorted(ticks, tick, side="right") - 1
        return np.asarray(base[index] + (tick - ticks[index]) * pace[index])

    tracks = []
    for track in score.tracks:
        notes = track.notes
        onset, end = at(notes["onset_tick"]), at(notes["onset_tick"] + notes["duration_ticks"])
        keep = (onset >= first) & (onset < last)
        if not keep.any():
            continue
        cut = notes[keep].copy()  # a quarter is half a second at 120 qpm: seconds become ticks
        cut["onset_tick"] = np.rint((onset[keep] - first) * 2 * TICKS)
        cut["duration_ticks"] = np.maximum(np.rint((np.minimum(end, last) - onset)[keep] * 2 * TICKS), 1)
        tracks.append(Track(note_array(cut), track.program, track.is_drum, track.role, track.name))
    if not tracks:  # a rest of a minute in the middle
        return score
    return Score(tuple(tracks), (Tempo(0, 120.0),), ticks_per_quarter=TICKS)


def score_rhythm(score: Score) -> Rhythm:
    """Tempo (quarters a minute), meter and key of the notes."""
    longest = dominant_meter(score)
    meter = (longest.numerator, longest.denominator)
    key = key_of(score)
    qpm = round(dominant_qpm(score), 1)
    return Rhythm(qpm, meter) if key is None else Rhythm(qpm, meter, (key.tonic, key.mode), key.fifths)
