"""Melodic lines of a score: what a phrase is looked for in.

Every pitched track gives the line of its highest notes, and where it is chordal also that of its lowest. Of a line the
library keeps its notes (NOTE_DTYPE) and, row for row, its steps: the interval to the next note in semitones and the
time to it, which is all that a search invariant to key and tempo looks at.

    steps[i] = (pitch[i + 1] - pitch[i], round(8 log2(quarters between the onsets)))

The last note of a line has the interval ``BREAK``, which is equal to none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from melodygen.errors import LibraryError, UsageError
from melodygen.library.track import NOTE_DTYPE
from melodygen.music.score import Score, Track

BREAK = 127
MAX_INTERVAL = 60
STEPS_A_DOUBLING = 8
MIN_NOTES = 4
CHORDAL = 1.2
"""Mean number of notes that begin together, above which a track's lowest notes are a line of their own."""
MAX_LINES = 64
TOGETHER_QUARTERS = 1 / 16
"""Onsets that are closer are one onset: a strummed or a played chord."""

_NAME = re.compile(r"^([A-Ga-g])([#b♯♭]*)(-?\d)$")
_STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}

Notes = NDArray[np.void]
Steps = NDArray[np.int8]


@dataclass(frozen=True, eq=False)
class Phrase:
    """What is looked for: MIDI numbers and onsets in any unit of time;
    ``onsets`` is None where no rhythm is known."""

    pitches: tuple[int, ...]
    onsets: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if len(self.pitches) < MIN_NOTES - 1:
            raise LibraryError(
                f"a phrase of {len(self.pitches)} notes is found everywhere; at least {MIN_NOTES - 1} are needed, "
                "and 6 or more are better"
            )

    def steps(self) -> Steps:
        """(notes - 1, 2), as of a line without its end; time is 0 throughout where it is not known."""
        intervals = np.diff(self.pitches).clip(-MAX_INTERVAL, MAX_INTERVAL)
        if self.onsets is None:
            return np.column_stack((intervals, np.zeros(len(intervals)))).astype(np.int8)
        return np.column_stack((intervals, _time_codes(np.diff(self.onsets)))).astype(np.int8)


def lines_of(score: Score) -> tuple[Notes, Steps]:
    """(notes, steps) of all lines, one after the other; empty where no track has ``MIN_NOTES``."""
    bars = np.asarray(score.bar_ticks(), dtype=np.float64)
    tempo_ticks = np.array([t.tick for t in score.tempos], dtype=np.float64)
    tempo_seconds = np.array([score.tick_to_seconds(t.tick) for t in score.tempos])
    second_per_tick = np.array([60.0 / t.qpm / score.ticks_per_quarter for t in score.tempos])
    together = round(TOGETHER_QUARTERS * score.ticks_per_quarter)
    notes: list[Notes] = []
    steps: list[Steps] = []
    known: set[tuple[bytes, bytes]] = set()
    for track in score.tracks:
        if track.is_drum or len(track) < MIN_NOTES:
            continue
        for onset, pitch in _lines_of_track(track, together):
            if len(onset) < MIN_NOTES or len(notes) >= MAX_LINES:
                continue
            key = (onset.tobytes(), pitch.tobytes())
            if key in known:  # doubled by another instrument
                continue
            known.add(key)
            at = np.searchsorted(tempo_ticks, onset, side="right") - 1
            second = tempo_seconds[at] + (onset - tempo_ticks[at]) * second_per_tick[at]
            bar = np.interp(onset, bars, np.arange(len(bars)))
            line = line_of(pitch, onset / score.ticks_per_quarter, bar, second, len(notes))
            notes.append(line[0])
            steps.append(line[1])
    if not notes:
        return np.zeros(0, NOTE_DTYPE), np.zeros((0, 2), np.int8)
    return np.concatenate(notes), np.concatenate(steps)


def line_of(
    pitch: NDArray[np.int64], quarter: NDArray[np.float64], bar: NDArray[np.float64], second: NDArray[np.float64],
    number: int,
) -> tuple[Notes, Steps]:  # fmt: skip
    """(notes, steps) of one line, the track's ``number``: MIDI numbers, and onsets in quarters, bars and seconds."""
    notes = np.zeros(len(pitch), dtype=NOTE_DTYPE)
    notes["pitch"], notes["line"], notes["bar"], notes["second"] = pitch, number, bar, second
    interval = np.append(np.diff(pitch).clip(-MAX_INTERVAL, MAX_INTERVAL), BREAK)
    time = np.append(_time_codes(np.diff(quarter)), 0)
    return notes, np.column_stack((interval, time)).astype(np.int8)


def _lines_of_track(track: Track, together: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """(onset ticks, pitches) of the highest notes, and of the lowest where the track is chordal."""
    onset = track.notes["onset_tick"]
    first = np.flatnonzero(np.concatenate(([True], np.diff(onset) > together)))
    pitch = track.notes["pitch"].astype(np.int64)
    starts = onset[first]
    lines = [(starts, np.maximum.reduceat(pitch, first))]
    if len(onset) / len(first) > CHORDAL:
        lines.append((starts, np.minimum.reduceat(pitch, first)))
    return lines


def _time_codes(gaps: Sequence[float] | NDArray[np.float64]) -> NDArray[np.int64]:
    held = np.maximum(np.asarray(gaps, dtype=np.float64), 1e-3)
    codes: NDArray[np.int64] = np.rint(STEPS_A_DOUBLING * np.log2(held)).clip(-100, 100).astype(np.int64)
    return codes


def phrase_of_score(score: Score, max_notes: int) -> Phrase:
    """The first line of a score, as a question. Raises LibraryError when there is none."""
    notes, _ = lines_of(score)
    if not len(notes):
        raise LibraryError(f"no line of at least {MIN_NOTES} notes in it")
    line = notes[notes["line"] == 0][:max_notes]
    return Phrase(tuple(line["pitch"].tolist()), tuple(line["second"].tolist()))


def phrase_of_names(text: str) -> Phrase:
    """``E5 D5 C#5`` (middle C is C4) or MIDI numbers, blanks or commas between. Raises UsageError."""
    pitches = []
    for word in text.replace(",", " ").split():
        match = _NAME.match(word)
        if word.isdigit() and int(word) <= 127:
            pitches.append(int(word))
        elif match:
            step, accidentals, octave = match.groups()
            sharp = (
                accidentals.count("#")
                + accidentals.count("♯")
                - accidentals.count("b")
                - accidentals.count("♭")
            )
            pitches.append(_STEPS[step.upper()] + sharp + 12 * (int(octave) + 1))
        else:
            raise UsageError(
                f"{word!r} is no note; write names with octaves (E5 D#5 C5) or MIDI numbers (76 75 72)"
            )
    if not all(0 <= p <= 127 for p in pitches):
        raise UsageError("a note lies outside MIDI's range of 0-127 (C-1 to G9)")
    try:
        return Phrase(tuple(pitches))
    except LibraryError as error:
        raise UsageError(str(error)) from error


__all__ = [
    "BREAK",
    "MIN_NOTES",
    "STEPS_A_DOUBLING",
    "Notes",
    "Phrase",
    "Steps",
    "line_of",
    "lines_of",
    "phrase_of_names",
    "phrase_of_score",
]
