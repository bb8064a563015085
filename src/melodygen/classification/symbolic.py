"""MIDI and score files for the classifier: read, and cut to a stretch from the middle.

Tempo and meter are what is in force longest; the key is read from notes and signature (:mod:`melodygen.music.key`).
"""

from __future__ import annotations

from dataclasses import replace
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
LEADS = range(80, 88)
"""General MIDI programs of synthesiser leads."""
CONSOLE_LINES = 3
"""So many single lines two pulse waves and a triangle play, or the voices of a home computer's chip."""
MAX_CHORD_SHARE = 0.1
"""Of a single line's onsets: grace notes and overlaps of a transcription."""


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


def leads_are_placeholders(score: Score) -> bool:
    """Return whether a score's synthesiser leads stand for instruments that nobody chose.

    A games console of the 1980s plays up to three single lines on square and saw waves. A score that has nothing but
    leads (General MIDI programs 80-87, drums aside) and is more than that, in lines or in chords, can be none: its
    sequencer had no better program, or put one on every track.

    Args:
        score: any.
    """
    pitched = [track for track in score.tracks if not track.is_drum and len(track)]
    if not pitched or not all(track.program in LEADS for track in pitched):
        return False
    return len(pitched) > CONSOLE_LINES or any(_chord_share(track) > MAX_CHORD_SHARE for track in pitched)


def _chord_share(track: Track) -> float:
    """Share of the onsets of a track at which more than one note begins."""
    _, together = np.unique(track.notes["onset_tick"], return_counts=True)
    return float((together > 1).mean())


def as_heard(score: Score) -> Score:
    """Return the score as it is rendered for classifiers: on a piano where its leads are placeholders."""
    if not leads_are_placeholders(score):
        return score
    return replace(score, tracks=tuple(t if t.is_drum else replace(t, program=0) for t in score.tracks))


def score_rhythm(score: Score) -> Rhythm:
    """Tempo (quarters a minute), meter and key of the notes."""
    longest = dominant_meter(score)
    meter = (longest.numerator, longest.denominator)
    key = key_of(score)
    qpm = round(dominant_qpm(score), 1)
    return Rhythm(qpm, meter) if key is None else Rhythm(qpm, meter, (key.tonic, key.mode), key.fifths)
